//! What a client sends, damaged on its way: nothing panics, nothing is left waiting for ever, and no request reaches the
//! handler that was not sent.

#[path = "support/core.rs"]
mod core;
#[path = "support/tls.rs"]
mod tls;

use core::{Client, Core};
use proptest::prelude::*;
use rustls::SupportedProtocolVersion;
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use stannel::connection::Connection;
use stannel::tls::TlsEndpoint;
use stannel::{Exchange, Outcome, Request, StatusCode};
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use tls::{Peer, Trusting, any_endpoint};

/// What happens to the bytes; places are parts of 65536.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: u16, bits: u8 },
    Set { at: u16, byte: u8 },
    Cut { from: u16, length: u16 },
    Double { from: u16, length: u16 },
    Move { from: u16, length: u16, to: u16 },
    Insert { at: u16, bytes: Vec<u8> },
    Truncate { at: u16 },
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |part: u16| (bytes.len() * usize::from(part)) >> 16;
        let range = |from: u16, length: u16| place(from)..(place(from) + usize::from(length)).min(bytes.len());
        match *self {
            Self::Flip { at, bits } => {
                let at = place(at);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
            }
            Self::Set { at, byte: new } => {
                let at = place(at);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte = new);
            }
            Self::Cut { from, length } => drop(bytes.drain(range(from, length))),
            Self::Double { from, length } => {
                let range = range(from, length);
                let twice = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, twice);
            }
            Self::Move { from, length, to } => {
                let moved: Vec<u8> = bytes.drain(range(from, length)).collect();
                let to = (bytes.len() * usize::from(to)) >> 16;
                bytes.splice(to..to, moved);
            }
            Self::Insert { at, bytes: ref new } => {
                let at = place(at);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Truncate { at } => bytes.truncate(place(at)),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let length = prop_oneof![1_u16..8, 1_u16..600];
    prop_oneof![
        (any::<u16>(), 1_u8..).prop_map(|(at, bits)| Damage::Flip { at, bits }),
        any::<(u16, u8)>().prop_map(|(at, byte)| Damage::Set { at, byte }),
        (any::<u16>(), length.clone()).prop_map(|(from, length)| Damage::Cut { from, length }),
        (any::<u16>(), length.clone()).prop_map(|(from, length)| Damage::Double { from, length }),
        (any::<u16>(), length, any::<u16>()).prop_map(|(from, length, to)| Damage::Move { from, length, to }),
        (any::<u16>(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        any::<u16>().prop_map(|at| Damage::Truncate { at }),
    ]
}

static ENDPOINT: LazyLock<Arc<TlsEndpoint>> = LazyLock::new(any_endpoint);

const REQUESTS: [&str; 3] = ["/first", "/second", "/third"];

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

/// Plays a session up to the flight of the client that is damaged; says what the handler was asked for.
fn play(version: &'static SupportedProtocolVersion, flight: usize, damages: &[Damage], sizes: &[usize]) -> Vec<String> {
    let seen = Seen::default();
    let told = seen.clone();
    let handler = move |request: &Request<'_>, exchange: Exchange<'_>| -> Outcome {
        told.0.lock().unwrap().push(request.target().to_owned());
        exchange.respond(StatusCode::OK).send("ok")
    };
    let core = Core::new(|_| (), handler);
    let mut client = core.client_of(|engine, info| Connection::secured(engine, info, 0, &ENDPOINT));
    let mut config = Trusting::new().config(&[version]);
    config.resumption = Resumption::disabled();
    let mut peer = Peer::new(&Arc::new(config), "site.test");
    // They go out as soon as the handshake allows.
    for target in REQUESTS {
        write!(peer.tls.writer(), "GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    }
    for number in 0..=flight {
        let mut bytes = peer.records();
        if number == flight {
            damages.iter().for_each(|damage| damage.apply(&mut bytes));
        }
        send(&mut client, &bytes, sizes);
        let answer = client.take(usize::MAX);
        // What was damaged has no sensible answer.
        if number < flight {
            peer.open(&answer).unwrap();
        }
    }
    let memory = client.memory();
    assert!(memory < 64 << 10, "{memory} bytes");
    if client.is_open() {
        assert!(client.deadline().is_some(), "it waits for ever");
        core.advance(200_000);
        // Nobody took its last word; then it is lost.
        client.take(usize::MAX);
        core.advance(200_000);
    }
    assert!(!client.is_open());
    assert!(client.reason().is_some());
    std::mem::take(&mut *seen.0.lock().unwrap())
}

fn send(client: &mut Client, mut bytes: &[u8], sizes: &[usize]) {
    let mut sizes = sizes.iter().cycle();
    while !bytes.is_empty() && client.is_open() && client.wants_read() {
        let size = sizes.next().copied().unwrap_or(usize::MAX).min(bytes.len());
        let (piece, rest) = bytes.split_at(size);
        client.push(piece);
        bytes = rest;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_sessions_end_in_order(
        is_new in any::<bool>(),
        flight in 0..3_usize,
        damages in prop::collection::vec(damage(), 0..4),
        sizes in prop::collection::vec(prop_oneof![1..20_usize, 1..1000_usize], 0..4),
    ) {
        let seen = play(if is_new { &TLS13 } else { &TLS12 }, flight, &damages, &sizes);
        prop_assert!(REQUESTS.starts_with(&seen.iter().map(String::as_str).collect::<Vec<_>>()), "{seen:?}");
    }
}

/// Without damage all that was sent is seen, so that the test above does not pass for want of requests.
#[test]
fn whole_sessions_are_answered() {
    for version in [&TLS12, &TLS13] {
        for sizes in [&[][..], &[1], &[7, 100]] {
            assert_eq!(play(version, 2, &[], sizes), REQUESTS);
        }
    }
}
