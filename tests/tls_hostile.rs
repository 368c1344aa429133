//! Clients that mean no good inside TLS: no panic, no endless turn, nothing kept, the right alert.

#[path = "support/core.rs"]
mod core;
#[path = "support/forger.rs"]
mod forger;
#[path = "support/secured.rs"]
mod secured;
#[path = "support/tls.rs"]
mod tls;

use core::{Core, GET, ok, post};
use forger::{CHANGE_CIPHER_SPEC, DATA, FATAL, HANDSHAKE, WARNING, open_hearted, plain_record};
use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};
use secured::{BOTH, alerts, connect, ends, established, shake};
use stannel::{CloseReason, Exchange, Flow, Outcome, Request, Tunnel, TunnelIo};
use tls::Peer;

/// RFC 8446 §5.4 and RFC 5246 §6.2.3: no more than 2^14 bytes of content, no more than 2^14 + 256 (or 2048) sealed.
#[test]
fn rfc8446_5_2_records_that_are_too_long() {
    for version in BOTH {
        let core = Core::new(|_| (), ok);
        let (mut client, mut forger) = established(&core, version);
        let whole = forger.record(DATA, &vec![b'\r'; 1 << 14]);
        client.push(&whole);
        assert_eq!(
            alerts(&mut client, &mut forger),
            [(WARNING, AlertDescription::CloseNotify)]
        );

        let (mut client, mut forger) = established(&core, version);
        let longer = forger.record(DATA, &vec![b'\r'; (1 << 14) + 1]);
        client.push(&longer);
        let said = alerts(&mut client, &mut forger);
        assert_eq!(said, [(FATAL, AlertDescription::RecordOverflow)]);
        ends(client, CloseReason::Reset);

        // Known from its length alone: its content need not come.
        let (mut client, mut forger) = established(&core, version);
        client.push([DATA, 3, 3, 0x48, 0x01]);
        let said = alerts(&mut client, &mut forger);
        assert_eq!(said, [(FATAL, AlertDescription::DecodeError)]);
        ends(client, CloseReason::Reset);
    }
}

/// A record costs work and an empty one brings nothing: 32 in a row are enough.
#[test]
fn rfc8446_5_1_a_flood_of_empty_application_data() {
    for version in BOTH {
        let core = Core::new(|_| (), ok);
        let (mut client, mut forger) = established(&core, version);
        for _ in 0..32 {
            client.send(forger.record(DATA, b""));
            assert!(!client.is_write_shut());
        }
        assert_eq!(client.memory(), 0);
        client.push(forger.record(DATA, b""));
        ends(client, CloseReason::Reset);
    }
}

/// RFC 8446 §5.1 forbids empty fragments of a handshake; they come before anything is known of the client.
#[test]
fn rfc8446_5_1_a_flood_of_empty_handshake_records() {
    let core = Core::new(|_| (), ok);
    let mut client = connect(&core);
    let empty = plain_record(HANDSHAKE, b"");
    let mut count = 0;
    while client.is_open() && client.wants_read() {
        client.push(&empty);
        count += 1;
        assert!(count < 100, "it takes them for ever");
    }
    ends(client, CloseReason::HandshakeFailed);
}

/// RFC 8446 §5: two are let through in a handshake, for old middleboxes; any other one is refused.
#[test]
fn rfc8446_5_a_flood_of_change_cipher_spec() {
    let record = plain_record(CHANGE_CIPHER_SPEC, &[1]);
    let core = Core::new(|_| (), ok);
    let mut client = connect(&core);
    client.send(open_hearted(&TLS13).records());
    client.take(usize::MAX);
    client.send(record.repeat(2));
    assert!(!client.is_write_shut());
    client.push(record.repeat(10_000));
    ends(client, CloseReason::HandshakeFailed);

    for version in BOTH {
        let (mut client, mut forger) = established(&core, version);
        client.push(&record);
        // In TLS 1.2 it is no record of the sealed kind.
        let said = alerts(&mut client, &mut forger);
        assert!(
            matches!(
                said[..],
                [(
                    FATAL,
                    AlertDescription::UnexpectedMessage | AlertDescription::DecodeError
                )]
            ),
            "{said:?}"
        );
        ends(client, CloseReason::Reset);
    }
}

/// RFC 8446 §4.6.3: each asks for an answer of ours.
#[test]
fn rfc8446_4_6_3_a_flood_of_key_updates() {
    let core = Core::new(|_| (), ok);
    let mut client = connect(&core);
    let mut peer = Peer::any();
    shake(&mut client, &mut peer);
    let mut count = 0;
    while client.is_open() && client.wants_read() {
        peer.tls.refresh_traffic_keys().unwrap();
        client.push(peer.records());
        count += 1;
        assert!(count < 100, "it takes them for ever");
        // It reads nothing of what that brings.
        assert!(client.unsent() < 4096);
    }
    ends(client, CloseReason::Reset);
}

/// The same with a byte behind each, which makes them allowed again: our answers to them must not pile up before a client
/// that reads nothing, whatever becomes of the byte.
#[test]
fn rfc8446_4_6_3_key_updates_between_data_by_a_client_that_reads_nothing() {
    let never = |_: &Request<'_>, exchange: Exchange<'_>| exchange.defer(std::mem::forget);
    let tunnel = |_: &Request<'_>, exchange: Exchange<'_>| exchange.upgrade("idle").switch_to(Idle);
    let head = "GET / HTTP/1.1\r\nHost: h\r\nX: ".to_owned();
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: idle\r\n\r\n".to_owned();
    let core = |handler: fn(&Request<'_>, Exchange<'_>) -> Outcome| {
        Core::new(
            |limits| {
                limits.max_request_body_size = None;
                limits.max_request_headers_total_size = 1 << 20;
            },
            handler,
        )
    };
    for (name, core, begin) in [
        ("a head that does not end", core(ok), head),
        ("a body that is taken", core(drain), post(1 << 30)),
        ("requests behind one that is not answered", core(never), GET.to_owned()),
        ("a tunnel that is not read", core(tunnel), upgrade),
    ] {
        let mut client = connect(&core);
        let mut peer = Peer::any();
        shake(&mut client, &mut peer);
        let begin = peer.seal(begin);
        client.send(&begin);
        let before = client.unsent();
        for _ in 0..5000 {
            peer.tls.refresh_traffic_keys().unwrap();
            let records = peer.seal("x");
            client.send(&records);
        }
        assert!(
            client.unsent() < before + 1024,
            "{name}: {} bytes unsent",
            client.unsent()
        );
        assert!(client.memory() < 32 << 10, "{name}: {} bytes kept", client.memory());
        // It is not held against a client that goes on reading.
        peer.open(&client.take(usize::MAX)).unwrap();
        assert!(client.wants_read(), "{name}");
    }
}

struct Idle;

impl Tunnel for Idle {
    fn on_data(&mut self, _: &[u8], _: &mut TunnelIo<'_>) -> Flow {
        Flow::Pause
    }
}

/// A sink that takes everything.
fn drain(_: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    struct Sink;
    impl stannel::BodySink for Sink {
        fn data(&mut self, _: &[u8]) -> Flow {
            Flow::Continue
        }

        fn finish(self: Box<Self>, _: stannel::BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
            exchange.respond(stannel::StatusCode::OK).send("")
        }
    }
    exchange.receive(Sink)
}

/// They cost nothing but are no use either.
#[test]
fn rfc8446_6_a_flood_of_warnings() {
    const USER_CANCELED: u8 = 90;
    for version in BOTH {
        let core = Core::new(|_| (), ok);
        let (mut client, mut forger) = established(&core, version);
        for _ in 0..4 {
            client.send(forger.alert(WARNING, USER_CANCELED));
        }
        client.push(forger.alert(WARNING, USER_CANCELED));
        ends(client, CloseReason::Reset);
    }
}

/// RFC 5746 §4.5: once it is told that we do not, the second time is the last.
#[test]
fn rfc5746_4_5_renegotiation_is_refused() {
    let core = Core::new(|_| (), ok);
    let (mut client, mut forger) = established(&core, &TLS12);
    let hello = open_hearted(&TLS12).records()[5..].to_vec();
    client.send(forger.record(HANDSHAKE, &hello));
    let said = alerts(&mut client, &mut forger);
    assert_eq!(said, [(WARNING, AlertDescription::NoRenegotiation)]);
    // Who did not mean it can go on.
    client.send(forger.record(DATA, GET.as_bytes()));
    assert!(forger.open(&client.take(usize::MAX))[0].1.starts_with(b"HTTP/1.1 200 "));
    client.push(forger.record(HANDSHAKE, &hello));
    ends(client, CloseReason::Reset);
}

/// Half a record and then nothing is no request: the deadlines are those of a silent client.
#[test]
fn half_a_record_and_then_silence_for_hours() {
    let core = Core::new(|_| (), ok);
    let (mut idle, mut forger) = established(&core, &TLS13);
    let record = forger.record(DATA, GET.as_bytes());
    idle.send(&record[..record.len() / 2]);
    // Dripping on does not help either.
    let (mut dripping, mut other) = established(&core, &TLS13);
    let record = other.record(DATA, &[b'x'; 1000]);
    // Half a head, whose rest never comes.
    let (mut reading, mut third) = established(&core, &TLS13);
    reading.send(third.record(DATA, b"GET / HT"));
    let rest = third.record(DATA, b"TP/1.1\r\n");
    reading.send(&rest[..rest.len() / 2]);
    for (second, byte) in record.iter().enumerate() {
        core.at(second as u64 * 1000);
        if !dripping.is_open() || !dripping.wants_read() {
            break;
        }
        dripping.push([*byte]);
    }
    assert_eq!(core.now(), 130_000);
    for (client, forger) in [(&mut idle, &mut forger), (&mut dripping, &mut other)] {
        let said = alerts(client, forger);
        assert_eq!(said, [(WARNING, AlertDescription::CloseNotify)]);
        assert_eq!(client.reason(), Some(CloseReason::KeepAliveTimeout));
    }
    core.advance(3 * 3600 * 1000);
    assert!(!reading.is_open());
}
