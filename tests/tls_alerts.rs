//! Alerts, and what is behind the last one.

#[path = "support/core.rs"]
mod core;
#[path = "support/forger.rs"]
mod forger;
#[path = "support/secured.rs"]
mod secured;
#[path = "support/tls.rs"]
mod tls;

use core::{Core, GET, ok};
use forger::{ALERT, DATA, FATAL, Forger, HANDSHAKE, WARNING, open_hearted, plain_record};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, SupportedProtocolVersion};
use secured::{BOTH, alerts, connect, established, shake};
use stannel::{CloseReason, Exchange, Flow, Request, Tunnel, TunnelIo};
use std::sync::{Arc, Mutex};

/// How far a client has come when its alert arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reached {
    HalfAHello,
    ServersFlight,
    Established,
    Ended,
}

/// RFC 8446 §6 and RFC 5246 §7.2: every level and description, everywhere.
#[test]
fn rfc8446_6_alerts_of_every_kind_in_every_state() {
    for version in BOTH {
        for reached in [
            Reached::HalfAHello,
            Reached::ServersFlight,
            Reached::Established,
            Reached::Ended,
        ] {
            for level in [0, WARNING, FATAL, 255] {
                for description in 0..=255 {
                    // Those that nobody has named are all the same, and at no known level all are.
                    let is_one_of_many = (128..254).contains(&description) || ![WARNING, FATAL].contains(&level);
                    if is_one_of_many && description % 90 > 0 {
                        continue;
                    }
                    alert_in(version, reached, level, description);
                }
            }
        }
    }
}

fn alert_in(version: &'static SupportedProtocolVersion, reached: Reached, level: u8, description: u8) {
    let what = format!("{reached:?} {:?}, {level} {description}", version.version);
    let core = Core::new(|_| (), ok);
    let mut client = connect(&core);
    let mut peer = open_hearted(version);
    let plain = plain_record(ALERT, &[level, description]);
    match reached {
        Reached::HalfAHello | Reached::ServersFlight => {
            let hello = peer.records();
            if reached == Reached::HalfAHello {
                // A record of its own for one half of the message.
                client.send(plain_record(HANDSHAKE, &hello[5..100]));
            } else {
                client.send(&hello);
                client.take(usize::MAX);
            }
            client.push(&plain);
            client.take(usize::MAX);
            if client.is_open() && !client.is_write_shut() {
                assert!(level == WARNING && reached == Reached::ServersFlight, "{what}");
                assert!(client.deadline().is_some(), "{what}");
            }
            if client.is_open() {
                client.finish();
            }
            assert_eq!(client.reason(), Some(CloseReason::HandshakeFailed), "{what}");
        }
        Reached::Established | Reached::Ended => {
            shake(&mut client, &mut peer);
            let mut forger = Forger::of(peer);
            if reached == Reached::Ended {
                client.send(forger.alert(WARNING, 0));
            }
            client.push(forger.alert(level, description));
            let is_end = description == 0 && (level == WARNING || level == FATAL);
            let is_ignored = level == WARNING && (version.version == TLS12.version || description == 90);
            if reached == Reached::Ended || is_end {
                assert_eq!(
                    alerts(&mut client, &mut forger),
                    [(WARNING, AlertDescription::CloseNotify)],
                    "{what}"
                );
                assert_eq!(client.reason(), Some(CloseReason::ClientClosed), "{what}");
            } else if is_ignored {
                let asked = forger.record(DATA, GET.as_bytes());
                client.send(asked);
                let answer = forger.open(&client.take(usize::MAX));
                assert!(answer[0].1.starts_with(b"HTTP/1.1 200 "), "{what}");
            } else {
                client.take(usize::MAX);
                if client.is_open() {
                    assert!(client.is_write_shut(), "{what}");
                    client.finish();
                }
                assert_eq!(client.reason(), Some(CloseReason::Reset), "{what}");
            }
        }
    }
    assert_eq!(client.memory(), 0, "{what}");
}

/// RFC 8446 §6.1: whatever stands behind the end is not looked at, be it records or nothing of the kind.
#[test]
fn rfc8446_6_1_what_comes_behind_a_close_notify() {
    for version in BOTH {
        for behind in [&b"GET / HTTP/1.1\r\n"[..], &[0xff; 70_000], &[DATA, 3, 3, 0xff, 0xff]] {
            for separately in [false, true] {
                let core = Core::new(|_| (), ok);
                let (mut client, mut forger) = established(&core, version);
                let request = [forger.record(DATA, GET.as_bytes()), forger.alert(WARNING, 0)].concat();
                if separately {
                    client.send(&request);
                    client.push(behind);
                } else {
                    client.push([&request, behind].concat());
                }
                let answer = forger.open(&client.take(usize::MAX));
                assert!(answer[0].1.starts_with(b"HTTP/1.1 200 "));
                assert_eq!(answer.last().unwrap(), &(ALERT, vec![WARNING, 0]));
                assert_eq!(client.reason(), Some(CloseReason::ClientClosed));
            }
        }
    }
}

/// Who cuts the connection must not be taken for a peer that said its last word.
#[test]
fn rfc8446_6_1_a_tunnel_knows_a_cut_from_an_end() {
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);
    struct Listening(Heard);
    impl Listening {
        fn hear(&self, what: &[u8]) {
            self.0
                .0
                .lock()
                .unwrap()
                .push(String::from_utf8_lossy(what).into_owned());
        }
    }
    impl Tunnel for Listening {
        fn on_data(&mut self, data: &[u8], _: &mut TunnelIo<'_>) -> Flow {
            self.hear(data);
            Flow::Continue
        }

        fn on_end(&mut self, io: &mut TunnelIo<'_>) -> Flow {
            self.hear(b"end");
            io.put(b"bye");
            Flow::Stop
        }
    }
    impl Drop for Listening {
        fn drop(&mut self) {
            self.hear(b"dropped");
        }
    }
    for (is_cut, expected) in [(true, &["hi", "dropped"][..]), (false, &["hi", "end", "dropped"])] {
        let heard = Heard::default();
        let told = heard.clone();
        let core = Core::new(
            |_| (),
            move |_: &Request<'_>, exchange: Exchange<'_>| {
                exchange.upgrade("listen").switch_to(Listening(told.clone()))
            },
        );
        let (mut client, mut forger) = established(&core, &TLS13);
        let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: listen\r\n\r\n";
        client.send(forger.record(DATA, ask.as_bytes()));
        client.send(forger.record(DATA, b"hi"));
        assert!(forger.open(&client.take(usize::MAX))[0].1.starts_with(b"HTTP/1.1 101 "));
        if is_cut {
            // In the middle of a record, even.
            client.send(&forger.record(DATA, b"more")[..9]);
        } else {
            client.send(forger.alert(WARNING, 0));
            let answer = forger.open(&client.take(usize::MAX));
            assert_eq!(answer, [(DATA, b"bye".to_vec()), (ALERT, vec![WARNING, 0])]);
        }
        if client.is_open() {
            client.finish();
        }
        assert_eq!(*heard.0.lock().unwrap(), expected);
        let reason = if is_cut {
            CloseReason::Reset
        } else {
            CloseReason::Finished
        };
        assert_eq!(client.reason(), Some(reason));
    }
}
