//! Wire vectors: requests as bytes, and the answers that they must get.
//!
//! `tests/http1-cases.json` describes its format itself. `WIRE_CASES=FILE` runs the cases of another file. Each failing
//! case prints one line. Cases that wait for real timeouts run over sockets only with `WIRE_SLOW=1`; without sockets
//! time costs nothing.

#[allow(dead_code, reason = "its main is for the example")]
#[path = "../docs/examples/conformance.rs"]
mod conformance;

#[cfg(feature = "tls")]
#[path = "support/tls.rs"]
mod tls;
#[path = "support/wire/mod.rs"]
mod wire;

use conformance::Conformance;
use stannel::{Server, ServerOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, fs, thread};
use wire::cases::{After, Case, Step};
use wire::cut::{Mode, Split};
use wire::play::play;
use wire::pure::Loop;
use wire::report::Report;
#[cfg(feature = "tls")]
use wire::secure::SecureWire;
use wire::socket::SocketWire;

const MODES: [Mode; 6] = [
    Mode::Whole,
    Mode::Bytes,
    Mode::Cuts,
    Mode::Random(1),
    Mode::Random(2),
    Mode::Random(3),
];

/// The tests take turns: what one computes is not to count against the other's real time.
static TURN: Mutex<()> = Mutex::new(());

fn cases() -> Vec<Case> {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http1-cases.json");
    let path = env::var("WIRE_CASES").unwrap_or_else(|_| committed.to_owned());
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    wire::cases::read(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What lies between a client and the server's HTTP.
#[derive(Clone)]
enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(std::sync::Arc<stannel::tls::TlsEndpoint>),
}

impl Transport {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain => "",
            #[cfg(feature = "tls")]
            Self::Tls(_) => " over TLS",
        }
    }

    /// Whether there is time for a connection for each place in each case where its input can be cut.
    fn is_quick(&self) -> bool {
        matches!(self, Self::Plain)
    }
}

/// The connection and nothing else: no socket, no clock, no thread.
#[test]
fn the_core_answers_as_expected_however_its_input_is_cut() {
    run_all_pure(&Transport::Plain);
}

/// The same inside TLS. Each piece of the input is a record.
#[cfg(feature = "tls")]
#[test]
fn the_core_answers_inside_tls_as_expected_however_its_input_is_cut() {
    run_all_pure(&Transport::Tls(tls::any_endpoint()));
}

fn run_all_pure(transport: &Transport) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cases = cases();
    let transcripts: Vec<_> = thread::scope(|scope| {
        let modes = MODES
            .into_iter()
            .filter(|mode| transport.is_quick() || *mode != Mode::Cuts);
        let runs: Vec<_> = modes
            .map(|mode| {
                let cases = &cases;
                scope.spawn(move || run_pure(cases, mode, transport))
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("the run ends")).collect()
    });
    let mut report = Report::new(format!("pure{}, bytes compared", transport.name()));
    for (index, case) in cases.iter().enumerate() {
        let result = transcripts[1..].iter().try_for_each(|run| {
            // A case that failed has no transcript, and was reported already.
            match (&transcripts[0].0[index], &run.0[index]) {
                (Some(whole), Some(cut)) if without_continue(whole) != without_continue(cut) => {
                    Err("the server's bytes depend on how the client's are cut".to_owned())
                }
                _ => Ok(()),
            }
        });
        report.case(&case.id, result);
    }
    let failed = transcripts.iter().map(|run| run.1).sum::<usize>() + report.end();
    assert_eq!(failed, 0, "cases failed");
}

/// Returns what the server sent in each case that passed, and how many failed.
fn run_pure(cases: &[Case], mode: Mode, transport: &Transport) -> (Vec<Option<Vec<u8>>>, usize) {
    let mut report = Report::new(format!("pure {}{}", name(mode), transport.name()));
    let mut shared = Loop::new(|| Conformance);
    let mut transcripts = Vec::new();
    for case in cases {
        let result = catch_unwind(AssertUnwindSafe(|| run_pure_case(&mut shared, case, mode, transport)));
        let result = result.unwrap_or_else(|_| {
            shared = Loop::new(|| Conformance);
            Err("the core panicked".to_owned())
        });
        let (transcript, result) = match result {
            Ok(transcript) => (Some(transcript), Ok(())),
            Err(reason) => (None, Err(reason)),
        };
        report.case(&case.id, result);
        transcripts.push(transcript);
    }
    (transcripts, report.end())
}

fn run_pure_case(shared: &mut Loop, case: &Case, mode: Mode, transport: &Transport) -> Result<Vec<u8>, String> {
    let mut transcript: Option<Vec<u8>> = None;
    in_its_own_pieces(case, mode, |steps, mode| {
        // Who announces the end, or goes on, resets nothing.
        let expect = &case.expect;
        let is_orderly = expect.connection != After::Any && !expect.no_close_header && !expect.cut && !expect.or_cut;
        let may_be_reset = !is_orderly || expect.responses.is_empty();
        let dice = mode.dice(&case.id);
        let this = match transport {
            Transport::Plain => {
                let mut wire = shared.connect(mode, dice);
                play(case, steps, mode, &mut wire)?;
                wire.finish(may_be_reset)?
            }
            #[cfg(feature = "tls")]
            Transport::Tls(endpoint) => {
                let secured = |engine: &_, info| stannel::connection::Connection::secured(engine, info, 0, endpoint);
                let mut wire = SecureWire::connect(shared.connect_with(mode, dice, secured))?;
                play(case, steps, mode, &mut wire)?;
                let (wire, received) = wire.into_inner(may_be_reset)?;
                wire.finish(may_be_reset)?;
                received
            }
        };
        match transcript.replace(this.clone()) {
            Some(before) if without_continue(&before) != without_continue(&this) => {
                Err("the server's bytes are others than before".into())
            }
            _ => Ok(()),
        }
    })?;
    Ok(transcript.unwrap_or_default())
}

/// Plays a case as often as the mode wants, or as it wants itself if the mode does not cut.
fn in_its_own_pieces(
    case: &Case,
    mode: Mode,
    mut play_once: impl FnMut(&[Step], Mode) -> Result<(), String>,
) -> Result<(), String> {
    let cuts_twice = case.split == Some(Split::EachCut) || mode == Mode::Cuts;
    match (mode, &case.steps[..]) {
        (Mode::Whole | Mode::Cuts, [Step::Send(bytes)]) if cuts_twice && (2..=LONGEST_CUT).contains(&bytes.len()) => {
            (1..bytes.len()).try_for_each(|cut| {
                let steps = [&bytes[..cut], &bytes[cut..]].map(|piece| Step::Send(piece.to_vec()));
                play_once(&steps, mode).map_err(|reason| format!("cut at {cut}: {reason}"))
            })
        }
        (Mode::Whole, steps) if case.split == Some(Split::EveryByte) => play_once(steps, Mode::Bytes),
        (_, steps) => play_once(steps, mode),
    }
}

/// Longer input is not cut everywhere.
const LONGEST_CUT: usize = 2000;

/// Whether a client is told to go on depends on when its body came; nothing else may.
fn without_continue(transcript: &[u8]) -> Vec<u8> {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut rest = transcript;
    let mut kept = Vec::new();
    while let Some(at) = memchr::memmem::find(rest, CONTINUE) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + CONTINUE.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}

/// The same handler behind a server, over real sockets.
#[test]
fn a_server_answers_as_expected_however_its_input_is_cut() {
    let mut options = ServerOptions::default();
    options.listen(Ipv4Addr::LOCALHOST, 0);
    run_all_sockets(options, &Transport::Plain);
}

/// The same over HTTPS.
#[cfg(feature = "tls")]
#[test]
fn a_server_answers_over_https_as_expected_however_its_input_is_cut() {
    let folder = "tests/fixtures/dotnet/pem";
    let certificate = stannel::CertificateSource::pem(format!("{folder}/p256.crt"), format!("{folder}/p256.pkcs8.key"));
    let mut options = ServerOptions::default();
    options.listen(Ipv4Addr::LOCALHOST, 0).use_https(certificate);
    run_all_sockets(options, &Transport::Tls(tls::any_endpoint()));
}

fn run_all_sockets(options: ServerOptions, transport: &Transport) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cases = cases();
    let server = Server::new(options, || Conformance).bind().expect("a free port");
    let address = server.addresses()[0].socket_addrs()[0];
    let handle = server.handle();
    let running = thread::spawn(move || server.run());
    let modes = [Mode::Whole, Mode::Bytes, Mode::Random(1)];
    let failed: usize = modes
        .map(|mode| run_sockets(&cases, mode, address, transport))
        .iter()
        .sum();
    handle.shutdown();
    running.join().expect("the server ends").expect("the server ran");
    assert_eq!(failed, 0, "cases failed");
}

/// Returns how many cases failed.
fn run_sockets(cases: &[Case], mode: Mode, address: SocketAddr, transport: &Transport) -> usize {
    let runs_slow = env::var_os("WIRE_SLOW").is_some_and(|value| value == "1");
    let report = Mutex::new(Report::new(format!("sockets {}{}", name(mode), transport.name())));
    let next = AtomicUsize::new(0);
    let client = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let lock = || report.lock().unwrap_or_else(PoisonError::into_inner);
            if case.is_slow && !runs_slow {
                lock().skip();
                continue;
            }
            let result = in_its_own_pieces(case, mode, |steps, mode| {
                let wire = SocketWire::connect(address)?;
                match transport {
                    Transport::Plain => play(case, steps, mode, &mut { wire }),
                    #[cfg(feature = "tls")]
                    Transport::Tls(_) => play(case, steps, mode, &mut SecureWire::connect(wire)?),
                }
            });
            lock().case(&case.id, result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(client);
        }
    });
    report.into_inner().unwrap_or_else(PoisonError::into_inner).end()
}

/// Most cases wait for a pause or for the server: many fit beside each other.
const CLIENTS: usize = 16;

fn name(mode: Mode) -> String {
    match mode {
        Mode::Whole => "whole".to_owned(),
        Mode::Bytes => "bytes".to_owned(),
        Mode::Cuts => "cuts".to_owned(),
        Mode::Random(seed) => format!("random {seed}"),
    }
}
