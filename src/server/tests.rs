//! The server as a whole, on a transport on which everything goes wrong that can: its sockets lie, and its peers are those of
//! the simulation, with real sockets that have small buffers and segments, and reset at any moment.
//!
//! A run that fails prints its seed; `STANNEL_SEED=N` runs that one alone. What peers and sockets do follows from it, but
//! how their threads take turns does not: it may take several tries.

mod crowd;
pub(super) mod lies;

#[path = "../../tests/support/dice.rs"]
mod dice;
#[path = "../../tests/simulation/ledger.rs"]
mod ledger;
#[path = "../../tests/simulation/peer.rs"]
mod peer;
#[path = "../../tests/support/wire/response.rs"]
mod response;
#[path = "../../tests/simulation/script.rs"]
mod script;
#[path = "../../tests/simulation/service.rs"]
mod service;
#[path = "../../tests/support/tls.rs"]
mod tls;

use super::{BoundServer, Server};
use crate::endpoint::{CertificateSource, ServerOptions};
use crowd::Crowd;
use dice::Dice;
use ledger::Ledger;
use service::Service;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// One server and those who come to it.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    peers: usize,
    /// Whether it is stopped while they are there.
    is_cut_short: bool,
}

#[test]
fn on_a_flaky_transport_everybody_gets_what_is_theirs() {
    run_all(3, 200, |seed| Plan {
        seed,
        peers: 100,
        is_cut_short: false,
    });
}

#[test]
fn on_a_flaky_transport_a_stop_ends_in_time() {
    run_all(3, 200, |seed| Plan {
        seed,
        peers: 100,
        is_cut_short: true,
    });
}

/// Runs as many seeds as there is time for.
fn run_all(usual: u64, heavy: u64, plan: impl Fn(u64) -> Plan) {
    service::silence_planned_panics(|| false);
    if let Ok(seed) = std::env::var("STANNEL_SEED") {
        run(plan(seed.parse().expect("STANNEL_SEED is a number")));
        return;
    }
    let is_heavy = std::env::var_os("STANNEL_HEAVY").is_some_and(|value| value == "1");
    let count = if is_heavy { heavy } else { usual };
    let mut answers = 0;
    for seed in 1..=count {
        let plan = plan(seed);
        match catch_unwind(AssertUnwindSafe(|| run(plan))) {
            Ok(given) => answers += given,
            Err(panic) => {
                println!("STANNEL_SEED={seed} fails: {plan:?}");
                resume_unwind(panic);
            }
        }
    }
    // A transport on which nobody is answered shows nothing.
    assert!(answers > 50 * count, "{answers} answers");
}

/// How many answers there were.
fn run(plan: Plan) -> u64 {
    let mut dice = Dice::new(plan.seed);
    let service = Service::default();
    let ledger = Arc::new(Ledger::default());
    let server = bind(plan, dice.between(1, 2), &service, &ledger);
    let [plain, secured] = [0, 1].map(|index| server.addresses()[index].socket_addrs()[0]);
    let sockets = || sockets_at(plain) + sockets_at(secured);
    let listening = sockets();
    let handle = server.handle();
    let running = thread::spawn(move || server.run());
    let mut crowd = Crowd::new(plan.seed, plan.peers, [plain, secured], service);
    let mut strangers = 0;
    if plan.is_cut_short {
        let until = Duration::from_micros(dice.below(150_000) as u64);
        crowd.live_while(|crowd| crowd.elapsed() < until);
    } else {
        crowd.live_while(|crowd| !crowd.is_at_rest());
        // The server holds no socket, and counts no connection, whose client has closed its end.
        crowd.live_while(|crowd| handle.metrics().total().active_connections > crowd.present() as u64);
        crowd.live_while(|crowd| sockets() > listening + crowd.present());
        ask(plan.peers, plain);
        strangers = 1;
    }
    crowd.cut();
    let began = Instant::now();
    handle.shutdown();
    crowd.live_while(|_| !running.is_finished());
    let took = began.elapsed();
    running.join().unwrap().unwrap();
    assert!(took < SHUTDOWN + AFTER_SHUTDOWN, "the stop took {took:?}");
    // On a machine that is busy with other things a loop may be late, and is left behind as if its handler blocked.
    crowd.live_while(|_| sockets() > 0);
    let total = handle.metrics().total();
    assert_eq!((total.active_connections, total.upgraded_connections), (0, 0));
    assert_eq!(
        total.connection_duration.iter().sum::<u64>(),
        total.accepted_connections
    );
    assert_eq!(total.accepted_connections, ledger.connections() as u64);
    assert_eq!(total.requests, ledger.requests() as u64);
    assert_eq!(crowd.check(&ledger) + strangers, ledger.connections());
    total.responses
}

fn bind(plan: Plan, workers: usize, service: &Service, ledger: &Arc<Ledger>) -> BoundServer {
    let mut options = ServerOptions::default();
    service::limit(&mut options.limits, true);
    options.limits.shutdown_timeout = SHUTDOWN;
    options.workers = NonZeroUsize::new(workers);
    options.observer = Some(Arc::clone(ledger) as Arc<dyn crate::Observer>);
    options.listen(Ipv4Addr::LOCALHOST, 0);
    let folder = "tests/fixtures/dotnet/pem";
    let certificate = CertificateSource::pem(format!("{folder}/p256.crt"), format!("{folder}/p256.pkcs8.key"));
    options.listen(Ipv4Addr::LOCALHOST, 0).use_https_with(|https| {
        https.server_certificate = Some(certificate);
        // A machine that is busy with other things may take long.
        https.handshake_timeout = None;
    });
    let handler = service.clone();
    let mut server = Server::new(options, move || handler.clone()).bind().unwrap();
    for parts in &mut server.parts {
        parts.lie(plan.seed);
    }
    server
}

/// Somebody who was never there before is answered.
fn ask(number: usize, server: SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_read_timeout(Some(crowd::PATIENCE)).unwrap();
    let mut stream = crowd::connect(number, server, socket).unwrap();
    let request = format!("GET /early/{number}/1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// How many sockets somebody holds at that port of 127.0.0.1.
fn sockets_at(address: SocketAddr) -> usize {
    let local = format!("0100007F:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Nobody holds those without an inode: the kernel waits for their last segments.
        fields[1] == local && fields[9] != "0"
    });
    sockets.count()
}

/// What a stop may take for those who do not go, and for its way to the threads.
const SHUTDOWN: Duration = Duration::from_millis(500);
const AFTER_SHUTDOWN: Duration = Duration::from_secs(20);
