//! TLS in the pure connection: a client in memory, no sockets, and time that only the test moves.

#[path = "support/core.rs"]
mod core;
#[path = "support/tls.rs"]
mod tls;

use core::{Client, Core, End, GET, echo, ok, status};
use rustls::{AlertDescription, Error};
use stannel::connection::Connection;
use stannel::tls::TlsEndpoint;
use stannel::{CloseReason, Exchange, Request, StatusCode};
use std::sync::Arc;
use tls::{Peer, any_endpoint};

fn connect(core: &Core, endpoint: &Arc<TlsEndpoint>) -> Client {
    core.client_of(|engine, info| Connection::secured(engine, info, 0, endpoint))
}

/// Passes records to and fro until both are silent; returns the plaintext that came.
fn run(client: &mut Client, peer: &mut Peer) -> Result<String, Error> {
    let mut plain = Vec::new();
    loop {
        let sent = peer.records();
        if !sent.is_empty() && client.is_open() {
            client.push(&sent);
        }
        let came = client.take(usize::MAX);
        if came.is_empty() && sent.is_empty() {
            return Ok(String::from_utf8(plain).unwrap());
        }
        plain.extend(peer.open(&came)?);
    }
}

fn whoami(request: &Request<'_>, exchange: Exchange<'_>) -> stannel::Outcome {
    let tls = request.connection().tls().unwrap();
    let text = format!(
        "{} {} {} {:?}",
        request.scheme(),
        tls.version(),
        tls.cipher_suite(),
        tls.server_name()
    );
    exchange.respond(StatusCode::OK).send(text)
}

#[test]
fn a_request_is_answered_inside_tls_and_knows_it() {
    for (versions, expected) in [
        (
            &[&rustls::version::TLS13],
            "https TLSv1.3 TLS_AES_256_GCM_SHA384 Some(\"site.test\")",
        ),
        (
            &[&rustls::version::TLS12],
            "https TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 Some(\"site.test\")",
        ),
    ] {
        let core = Core::new(|_| (), whoami);
        let mut client = connect(&core, &any_endpoint());
        let config = Arc::new(tls::Trusting::new().config(versions));
        let mut peer = Peer::new(&config, "site.test");
        assert_eq!(run(&mut client, &mut peer).unwrap(), "");
        assert!(!peer.tls.is_handshaking());
        let sealed = peer.seal(GET);
        client.send(&sealed);
        let answer = run(&mut client, &mut peer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(expected),
            "{answer}"
        );
        assert_eq!(client.memory(), 0);
        let sealed = peer.seal("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        client.send(&sealed);
        assert_eq!(status(&run(&mut client, &mut peer).unwrap()), 200);
        assert!(peer.has_seen_close_notify());
        client.finish();
        assert_eq!(client.reason(), Some(CloseReason::Finished));
    }
}

/// Everything whole, byte by byte and in pieces gives the same answers.
#[test]
fn records_may_come_in_any_pieces() {
    for step in [1, 2, 3, 5, 16, 100, 1000, 100_000] {
        let core = Core::new(|_| (), echo);
        let mut client = connect(&core, &any_endpoint());
        let mut peer = Peer::any();
        let body = "x".repeat(40_000);
        let mut plain = Vec::new();
        let requests = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n{body}{GET}");
        // It goes out as soon as the handshake allows.
        let mut sent = peer.seal(&requests);
        while !sent.is_empty() {
            for piece in sent.chunks(step) {
                client.send(piece);
                plain.extend(peer.open(&client.take(usize::MAX)).unwrap());
            }
            sent = peer.records();
        }
        let plain = String::from_utf8(plain).unwrap();
        let answers = core::bodies(&plain);
        assert_eq!(answers, [body.as_str(), ""], "in pieces of {step}");
    }
}

/// Larger than what a record holds, and larger than what the server keeps at once.
#[test]
fn answers_are_cut_into_records() {
    let big = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send(vec![b'y'; 300_000]);
    let core = Core::new(|_| (), big);
    let mut client = connect(&core, &any_endpoint());
    let mut peer = Peer::any();
    run(&mut client, &mut peer).unwrap();
    let sealed = peer.seal([GET, GET].concat());
    client.send(&sealed);
    let mut plain = Vec::new();
    // The kernel takes it in small bites.
    while client.unsent() > 0 {
        plain.extend(peer.open(&client.take(777)).unwrap());
    }
    let plain = String::from_utf8(plain).unwrap();
    assert_eq!(core::bodies(&plain), ["y".repeat(300_000), "y".repeat(300_000)]);
}

#[test]
fn a_handshake_has_a_deadline_however_its_bytes_drip_in() {
    let core = Core::new(|_| (), ok);
    let mut silent = connect(&core, &any_endpoint());
    let mut slow = connect(&core, &any_endpoint());
    let mut halfway = connect(&core, &any_endpoint());
    let mut peer = Peer::any();
    let hello = peer.records();
    halfway.send(&hello);
    assert_ne!(halfway.take(usize::MAX), b"");
    for (second, byte) in hello.iter().take(9).enumerate() {
        slow.send([*byte]);
        core.at((second as u64 + 1) * 1000);
    }
    core.at(9_999);
    assert!(silent.is_open() && slow.is_open() && halfway.is_open());
    core.at(10_000);
    for client in [&mut silent, &mut slow, &mut halfway] {
        assert_eq!(client.end(), Some((core::End::Closed, 10_000)));
        assert_eq!(client.reason(), Some(CloseReason::HandshakeFailed));
        assert_eq!(client.take(usize::MAX), b"");
    }
}

#[test]
fn who_speaks_no_tls_gets_no_answer_at_all() {
    // SSL 2's greeting, HTTP, anything.
    for first in [
        &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"\x80\x2e\x01\x00\x02",
        b"\0",
        &[0xff; 70_000],
    ] {
        let core = Core::new(|_| (), ok);
        let mut client = connect(&core, &any_endpoint());
        client.push(first);
        assert_eq!(client.end(), Some((core::End::Closed, 0)));
        assert_eq!(client.take(usize::MAX), b"");
        assert_eq!(client.reason(), Some(CloseReason::HandshakeFailed));
    }
}

/// An alert as it lies in a record of its own, before there are keys.
fn alert(bytes: &[u8]) -> Option<AlertDescription> {
    match bytes {
        [21, 3, _, 0, 2, 2, description] => Some(AlertDescription::from(*description)),
        _ => None,
    }
}

#[test]
fn damaged_handshakes_are_told_so() {
    for (bytes, expected) in [
        // A record that is longer than records are.
        (&[22, 3, 1, 0xff, 0xff][..], AlertDescription::DecodeError),
        // No record at all behind the first byte.
        (&[22, 9, 9, 0, 1, 1], AlertDescription::DecodeError),
        // A whole handshake message, but not the first one.
        (&[22, 3, 1, 0, 4, 14, 0, 0, 0], AlertDescription::UnexpectedMessage),
    ] {
        let core = Core::new(|_| (), ok);
        let mut client = connect(&core, &any_endpoint());
        client.push(bytes);
        let answer = client.take(usize::MAX);
        assert_eq!(alert(&answer), Some(expected), "{answer:x?}");
        // It waits for its peer to read that.
        assert!(client.is_write_shut());
        client.finish();
        assert_eq!(client.reason(), Some(CloseReason::HandshakeFailed));
    }
}

#[test]
fn a_client_that_leaves_halfway_costs_nothing() {
    let hello = Peer::any().records();
    for cut in 0..=hello.len() {
        let core = Core::new(|_| (), ok);
        let mut client = connect(&core, &any_endpoint());
        client.send(&hello[..cut]);
        client.finish();
        assert_eq!(client.reason(), Some(CloseReason::HandshakeFailed), "cut at {cut}");
        assert_eq!(client.memory(), 0);
    }
}

/// CVE-2024-32650: others spun for ever.
#[test]
fn a_close_notify_right_behind_the_hello_ends_it() {
    let hello = Peer::any().records();
    let close_notify = [21, 3, 3, 0, 2, 1, 0];
    for separately in [false, true] {
        let core = Core::new(|_| (), ok);
        let mut client = connect(&core, &any_endpoint());
        if separately {
            client.send(&hello);
            client.send(close_notify);
        } else {
            client.send([&hello[..], &close_notify].concat());
        }
        client.push(close_notify);
        client.take(usize::MAX);
        if client.is_open() {
            client.finish();
        }
        assert_eq!(client.reason(), Some(CloseReason::HandshakeFailed));
    }
}

/// RUSTSEC-2024-0399: others panicked.
#[test]
fn a_hello_may_come_in_many_records() {
    let hello = Peer::any().records();
    let message = &hello[5..];
    for size in [1, 2, 7, 100] {
        let mut records = Vec::new();
        for piece in message.chunks(size) {
            records.extend([22, 3, 1, 0, u8::try_from(piece.len()).unwrap()]);
            records.extend(piece);
        }
        let core = Core::new(|_| (), ok);
        let mut client = connect(&core, &any_endpoint());
        for record in records.chunks(size + 5) {
            client.push(record);
        }
        assert!(client.is_open(), "in records of {size}");
        assert_eq!(client.take(usize::MAX)[0], 22);
    }
}

/// Whoever half-closes is still answered; whoever goes on after its own end is not heard.
#[test]
fn the_peers_close_notify_is_the_end_of_its_requests() {
    let core = Core::new(|_| (), ok);
    let mut client = connect(&core, &any_endpoint());
    let mut peer = Peer::any();
    run(&mut client, &mut peer).unwrap();
    let request = peer.seal(GET);
    peer.tls.send_close_notify();
    let end = peer.records();
    client.send([&request[..], &end, &request].concat());
    let answer = run(&mut client, &mut peer).unwrap();
    assert_eq!(core::bodies(&answer), ["ok"]);
    assert!(peer.has_seen_close_notify());
    assert_eq!(client.reason(), Some(CloseReason::ClientClosed));
}

/// RFC 9112 §9.6: a plain close would meet the close_notify that this client is sending with a reset, and what it has not
/// read of the answer would be lost.
#[test]
fn rfc9112_9_6_a_close_notify_on_its_way_costs_no_answer() {
    let big = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send(vec![b'y'; 300_000]);
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let core = Core::new(|_| (), big);
        let mut client = connect(&core, &any_endpoint());
        let mut peer = Peer::any();
        run(&mut client, &mut peer).unwrap();
        let sealed = peer.seal(request);
        client.send(&sealed);
        assert!(run(&mut client, &mut peer).unwrap().ends_with('y'));
        assert!(peer.has_seen_close_notify() && client.is_open() && client.is_write_shut());
        peer.tls.send_close_notify();
        client.send(peer.records());
        client.finish();
        assert_eq!(client.end().map(|(end, _)| end), Some(End::Closed));
        assert_eq!(client.reason(), Some(CloseReason::Finished));
    }
}

#[test]
fn a_record_that_was_tampered_with_ends_it_with_an_alert() {
    let core = Core::new(|_| (), ok);
    let mut client = connect(&core, &any_endpoint());
    let mut peer = Peer::any();
    run(&mut client, &mut peer).unwrap();
    let mut sealed = peer.seal(GET);
    *sealed.last_mut().unwrap() ^= 1;
    client.push(&sealed);
    let error = run(&mut client, &mut peer).unwrap_err();
    assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
    assert!(client.is_write_shut());
    client.finish();
    assert_eq!(client.reason(), Some(CloseReason::Reset));
}

#[test]
fn the_end_of_an_idle_connection_is_announced() {
    let core = Core::new(|_| (), ok);
    let mut client = connect(&core, &any_endpoint());
    let mut peer = Peer::any();
    run(&mut client, &mut peer).unwrap();
    core.advance(130_000);
    assert_eq!(client.reason(), None);
    peer.open(&client.take(usize::MAX)).unwrap();
    assert!(peer.has_seen_close_notify());
    assert_eq!(client.reason(), Some(CloseReason::KeepAliveTimeout));
}

#[test]
fn a_stop_ends_handshakes_and_idle_connections() {
    let core = Core::new(|_| (), ok);
    let mut idle = connect(&core, &any_endpoint());
    let mut handshaking = connect(&core, &any_endpoint());
    let mut peer = Peer::any();
    run(&mut idle, &mut peer).unwrap();
    handshaking.send(&Peer::any().records()[..100]);
    core.begin_shutdown();
    peer.open(&idle.take(usize::MAX)).unwrap();
    assert!(peer.has_seen_close_notify());
    for client in [&idle, &handshaking] {
        assert_eq!(client.reason(), Some(CloseReason::ServerStopped));
    }
}

/// A large body lies there once, as what the program gave, and never a second time as records.
#[test]
fn records_are_made_as_they_are_sent() {
    const LENGTH: usize = 2_000_000;
    let body: String = ('a'..='z').cycle().take(LENGTH).collect();
    let core = Core::new(
        |_| (),
        move |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send(body.clone()),
    );
    let mut client = connect(&core, &any_endpoint());
    let mut peer = Peer::any();
    run(&mut client, &mut peer).unwrap();
    client.send(peer.seal("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    let mut plain = Vec::new();
    while client.is_open() {
        assert!(client.memory() < LENGTH + (100 << 10), "{} bytes", client.memory());
        // No more than a record and a half at once, so that nothing fits.
        let came = client.take(25_000);
        if came.is_empty() {
            break;
        }
        plain.extend(peer.open(&came).unwrap());
    }
    let plain = String::from_utf8(plain).unwrap();
    let (_, body) = plain.split_once("\r\n\r\n").unwrap();
    assert!(
        body.len() == LENGTH
            && body
                .bytes()
                .zip(('a'..='z').cycle())
                .all(|(is, be)| char::from(is) == be)
    );
    // Behind the last of them, and not before.
    assert!(peer.has_seen_close_notify());
}

/// What lies in no record when the session breaks never will; the alert still goes out.
#[test]
fn a_session_that_breaks_in_the_middle_of_a_body_says_so_and_ends() {
    let core = Core::new(
        |_| (),
        |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("x".repeat(1_000_000)),
    );
    let mut client = connect(&core, &any_endpoint());
    let mut peer = Peer::any();
    run(&mut client, &mut peer).unwrap();
    client.send(peer.seal(GET));
    peer.open(&client.take(100_000)).unwrap();
    let mut broken = peer.seal("no request");
    *broken.last_mut().unwrap() ^= 1;
    client.send(&broken);
    let mut records = Vec::new();
    loop {
        let came = client.take(usize::MAX);
        if came.is_empty() {
            break;
        }
        records.extend(came);
    }
    assert!(records.len() < 200_000, "{} bytes more came", records.len());
    let error = peer.open(&records).unwrap_err();
    assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
    assert!(client.is_write_shut());
}
