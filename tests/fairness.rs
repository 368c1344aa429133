//! Who waits for whom: nobody for what happens on another loop, and on the same one for a turn of each other at most.
//! Counted in answers, not in time.

#[path = "support/client.rs"]
mod client;
#[path = "support/local.rs"]
mod local;
#[path = "support/site.rs"]
mod site;
#[cfg(feature = "tls")]
#[path = "support/tls.rs"]
mod tls;

use client::{Client, PATIENCE, get};
use local::{Local, options};
use stannel::{Exchange, Outcome, Request, Server, StatusCode};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// Something that keeps a loop busy until it is told to stop.
#[derive(Clone)]
struct Hold {
    holding: Sender<String>,
    released: Arc<Mutex<Receiver<()>>>,
}

/// The other end of it.
struct Held {
    /// Tells the loop that is busy.
    holding: Receiver<String>,
    release: Sender<()>,
}

impl Hold {
    fn new() -> (Self, Held) {
        let (holding, is_held) = channel();
        let (release, released) = channel();
        let hold = Self {
            holding,
            released: Arc::new(Mutex::new(released)),
        };
        let held = Held {
            holding: is_held,
            release,
        };
        (hold, held)
    }

    fn here(&self) {
        self.holding.send(this_loop()).unwrap();
        self.released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    }
}

/// Each loop has a thread of its own.
fn this_loop() -> String {
    format!("{:?}", std::thread::current().id())
}

/// Answers with the loop's name, on `/hold` when it is released.
fn named(hold: Hold) -> impl FnMut(&Request<'_>, Exchange<'_>) -> Outcome + Clone + Send {
    move |request: &Request<'_>, exchange: Exchange<'_>| {
        if request.path() == "/hold" {
            hold.here();
        }
        exchange.respond(StatusCode::OK).send(this_loop())
    }
}

/// A client on each of two loops: which one a connection comes to is the kernel's choice.
fn on_each_loop(address: std::net::SocketAddr) -> BTreeMap<String, Client> {
    let mut clients = BTreeMap::new();
    // A fair coin that falls on one side so often was none.
    for _ in 0..200 {
        let mut client = Client::connect(address);
        let name = client.get("/").text().to_owned();
        clients.entry(name).or_insert(client);
        if clients.len() == 2 {
            return clients;
        }
    }
    panic!("all connections came to one loop");
}

/// A thousand answers by each loop but that one, which is busy.
fn others_answer(clients: &mut BTreeMap<String, Client>, busy: &str) {
    assert!(clients.contains_key(busy), "{busy} is none of the loops");
    for (name, client) in clients.iter_mut().filter(|(name, _)| *name != busy) {
        for _ in 0..1000 {
            assert_eq!(client.get("/").text(), name);
        }
    }
}

#[test]
fn a_handler_that_blocks_holds_up_its_own_loop_alone() {
    let (hold, held) = Hold::new();
    let server = Local::run(Server::new(options(2), move || named(hold.clone())));
    let mut clients = on_each_loop(server.address());
    for name in clients.keys().cloned().collect::<Vec<_>>() {
        clients.get_mut(&name).unwrap().send(get("/hold"));
        assert_eq!(held.holding.recv_timeout(PATIENCE).unwrap(), name);
        others_answer(&mut clients, &name);
        held.release.send(()).unwrap();
        assert_eq!(clients.get_mut(&name).unwrap().response().text(), name);
    }
    server.stop();
}

/// The handshake takes as long as the choice of a certificate does.
#[cfg(feature = "tls")]
#[test]
fn a_handshake_holds_up_its_own_loop_alone() {
    use stannel::Certificate;
    use stannel::tls::ServerCertificateSelector;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};

    let (hold, held) = Hold::new();
    let pem = "tests/fixtures/dotnet/pem";
    let own = Certificate::from_pem_files(format!("{pem}/p256.crt"), format!("{pem}/p256.pkcs8.key"), None).unwrap();
    let mut options = options(2);
    let in_handshakes = hold.clone();
    options.listen(Ipv4Addr::LOCALHOST, 0).use_https_with(move |https| {
        https.server_certificate_selector = Some(ServerCertificateSelector::new(move |_, _| {
            in_handshakes.here();
            Some(own.clone())
        }));
    });
    let server = Local::run(Server::new(options, move || named(hold.clone())));
    let mut clients = on_each_loop(server.address());
    let mut greeting = TcpStream::connect(server.addresses[1].socket_addrs()[0]).unwrap();
    greeting.write_all(&tls::Peer::any().records()).unwrap();
    let busy = held.holding.recv_timeout(PATIENCE).unwrap();
    others_answer(&mut clients, &busy);
    held.release.send(()).unwrap();
    // It goes on where it was.
    greeting.set_read_timeout(Some(PATIENCE)).unwrap();
    greeting.read_exact(&mut [0; 5]).unwrap();
    server.stop();
}

/// All requests have come while the loop was busy, that of the one who asks for little as the last.
#[test]
fn a_single_request_waits_for_one_turn_of_each_who_pipelines_at_most() {
    const CLIENTS: usize = 64;
    const REQUESTS: usize = 200;
    const BODY: usize = 4096;
    /// A turn goes on twice while there is room for responses, which ends with the one that begins below 64 KiB.
    const IN_ONE_TURN: usize = 2 * ((64 << 10) / BODY + 1);
    let (hold, held) = Hold::new();
    let server = Local::run(Server::new(options(1), move || {
        let hold = hold.clone();
        let mut answered = BTreeMap::new();
        move |request: &Request<'_>, exchange: Exchange<'_>| {
            let body = match request.path() {
                "/hold" => {
                    hold.here();
                    String::new()
                }
                "/most" => {
                    let all: usize = answered.values().sum();
                    format!("{all} {}", answered.values().max().unwrap_or(&0))
                }
                path => {
                    *answered.entry(path.to_owned()).or_insert(0_usize) += 1;
                    "x".repeat(BODY)
                }
            };
            exchange.respond(StatusCode::OK).send(body)
        }
    }));
    let mut single = Client::connect(server.address());
    let mut pipelining: Vec<_> = (0..CLIENTS).map(|_| Client::connect(server.address())).collect();
    let mut holding_up = Client::connect(server.address());
    // All are accepted: what comes now comes as events of one wait.
    for client in pipelining.iter_mut().chain([&mut single]) {
        client.get("/most");
    }
    holding_up.send(get("/hold"));
    held.holding.recv_timeout(PATIENCE).unwrap();
    for (number, client) in pipelining.iter_mut().enumerate() {
        client.send(get(&format!("/{number}")).repeat(REQUESTS));
    }
    single.send(get("/most"));
    held.release.send(()).unwrap();
    let answer = single.response();
    let (all, most) = answer.text().split_once(' ').unwrap();
    let (all, most): (usize, usize) = (all.parse().unwrap(), most.parse().unwrap());
    // Whoever came first is not what this is about; that they were before it is.
    assert!(all >= CLIENTS, "only {all} answers went before");
    assert!(most <= IN_ONE_TURN, "{most} answers of one client went before");
    // And each goes on afterwards.
    for mut client in pipelining {
        client.discard((REQUESTS * BODY) as u64);
    }
    server.stop();
}
