//! ClientHellos that are none, or one too many.

#[path = "support/core.rs"]
mod core;
#[path = "support/forger.rs"]
mod forger;
#[path = "support/greeting.rs"]
mod greeting;
#[path = "support/secured.rs"]
mod secured;
#[path = "support/tls.rs"]
mod tls;

use core::{Core, ok};
use forger::{FATAL, HANDSHAKE, open_hearted};
use greeting::Greeting;
use rustls::AlertDescription;
use rustls::version::TLS13;
use secured::{BOTH, alerts, connect, ends, established, plain_alert};
use stannel::CloseReason;
use tls::Peer;

/// RFC 8446 §4.1.2: a ClientHello comes once.
#[test]
fn rfc8446_4_1_2_a_second_client_hello() {
    for version in BOTH {
        for separately in [false, true] {
            let core = Core::new(|_| (), ok);
            let mut client = connect(&core);
            let hello = open_hearted(version).records();
            if separately {
                client.send(&hello);
                assert_eq!(plain_alert(&client.take(usize::MAX)), None);
                client.push(&hello);
            } else {
                client.push(hello.repeat(2));
            }
            assert!(!client.wants_read());
            ends(client, CloseReason::HandshakeFailed);
        }
        // Sealed, as any handshake message that has no place behind the handshake.
        let core = Core::new(|_| (), ok);
        let (mut client, mut forger) = established(&core, &TLS13);
        let hello = open_hearted(version).records()[5..].to_vec();
        client.push(forger.record(HANDSHAKE, &hello));
        let said = alerts(&mut client, &mut forger);
        assert_eq!(said, [(FATAL, AlertDescription::UnexpectedMessage)]);
        ends(client, CloseReason::Reset);
    }
}

/// RFC 6066 §3: names that are none. What the server makes of them must not depend on how they are cut.
#[test]
fn rfc6066_3_server_names_that_are_none() {
    let long = [b'a'; 256];
    // 253 bytes, the most that there may be.
    let labels = [&[b'a'; 63][..], b".", &[b'b'; 63], b".", &[b'c'; 63], b".", &[b'd'; 61]].concat();
    let illegal = Some(AlertDescription::IllegalParameter);
    let malformed = Some(AlertDescription::DecodeError);
    for (names, expected) in [
        (&[(0, &b"site.test"[..])][..], None),
        (&[(0, b"127.0.0.1")], None),
        (&[(0, b"a_b.test")], None),
        (&[(0, b"site.test.")], None),
        (&[(0, b"::1")], None),
        (&[(0, b"[::1]")], illegal),
        (&[(0, b"")], malformed),
        (&[], malformed),
        (&[(0, b"a"), (0, b"b")], malformed),
        (&[(0, b"a\0.test")], illegal),
        (&[(0, b"a..test")], illegal),
        (&[(0, b"\xff\xfe")], illegal),
        (&[(0, &long)], illegal),
        (&[(0, &labels)], None),
        (&[(7, b"site.test")], illegal),
    ] {
        let greeting = Greeting::of(&Peer::any().records()).with_names(names).record();
        for size in [1, usize::MAX] {
            let core = Core::new(|_| (), ok);
            let mut client = connect(&core);
            greeting.chunks(size.min(greeting.len())).for_each(|piece| {
                client.push(piece);
            });
            let answer = client.take(usize::MAX);
            assert_eq!(plain_alert(&answer), expected, "{names:?}");
            assert_eq!(client.is_write_shut(), expected.is_some());
            if client.is_open() {
                client.finish();
            }
            assert_eq!(client.reason(), Some(CloseReason::HandshakeFailed));
        }
    }
    // Lengths that do not fit together.
    for content in [
        &b""[..],
        &[0],
        &[0, 9, 0, 0, 1, b'a'],
        &[0, 4, 0, 0, 9, b'a'],
        &[0, 0, 0],
    ] {
        let greeting = Greeting::of(&Peer::any().records()).with(greeting::SERVER_NAME, Some(content));
        let core = Core::new(|_| (), ok);
        let mut client = connect(&core);
        client.push(greeting.record());
        assert_eq!(plain_alert(&client.take(usize::MAX)), malformed, "{content:?}");
        ends(client, CloseReason::HandshakeFailed);
    }
}
