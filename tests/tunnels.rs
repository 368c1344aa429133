//! Upgraded connections.

use std::sync::{Arc, Mutex};

use stannel::{CloseReason, Exchange, Flow, Outcome, Request, StatusCode, Tunnel, TunnelIo, UpgradeError, Waker};

use support::{Client, Core, End, GET, bodies, status};

#[path = "support/core.rs"]
mod support;

/// What a tunnel was told, and by which waker it is woken.
#[derive(Clone, Default)]
struct Script {
    waker: Arc<Mutex<Option<Waker>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn hear(&self, what: impl Into<String>) {
        self.heard.lock().unwrap().push(what.into());
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    fn wake(&self) {
        self.waker.lock().unwrap().as_ref().unwrap().wake();
    }
}

impl Tunnel for Script {
    fn on_open(&mut self, _: &mut TunnelIo<'_>) -> Flow {
        self.hear("open");
        Flow::Continue
    }

    /// Does what it is told by the first byte.
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        self.hear(String::from_utf8_lossy(data));
        match data[0] {
            b'p' => Flow::Pause,
            b's' => {
                io.put(b"stopped");
                Flow::Stop
            }
            b'f' => {
                io.put(&vec![b'x'; io.room()]);
                Flow::Continue
            }
            b'F' => {
                io.put_bytes(vec![b'x'; io.room()]);
                Flow::Pause
            }
            _ => {
                io.put(data);
                Flow::Continue
            }
        }
    }

    fn on_end(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        self.hear("end");
        io.put(b"your end");
        Flow::Continue
    }

    fn on_wake(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        self.hear("wake");
        io.put(b"woken");
        Flow::Continue
    }
}

fn handler(script: &Script) -> impl FnMut(&Request<'_>, Exchange<'_>) -> Outcome + Clone + Send + Sync + use<> {
    let script = script.clone();
    move |_: &Request<'_>, mut exchange: Exchange<'_>| {
        *script.waker.lock().unwrap() = Some(exchange.waker());
        match exchange.try_upgrade("script") {
            Ok(upgrade) => upgrade.header("x-more", "yes").switch_to(script.clone()),
            Err((UpgradeError::LimitReached, exchange)) => exchange.respond(StatusCode::CONFLICT).send("full"),
            Err((_, exchange)) => exchange.respond(StatusCode::OK).send("plain"),
        }
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: script\r\n\r\n";

fn open() -> (Core, Script, Client) {
    let script = Script::default();
    let core = Core::new(|_| {}, handler(&script));
    let mut client = core.client();
    assert_eq!(status(&client.ask(UPGRADE)), 101);
    assert_eq!(script.heard(), ["open"]);
    (core, script, client)
}

#[test]
fn the_101_says_what_it_switches_to() {
    let script = Script::default();
    let core = Core::new(|_| {}, handler(&script));
    let mut client = core.client();
    let answer = client.ask(UPGRADE);
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
    for line in [
        "Connection: Upgrade",
        "Upgrade: script",
        "x-more: yes",
        "Server: stannel",
    ] {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{answer:?}");
    }
    assert!(!answer.contains("Content-Length") && !answer.contains("Transfer-Encoding"));
    assert!(answer.ends_with("\r\n\r\n"));
}

#[test]
fn bytes_behind_the_head_are_the_first_of_the_tunnel() {
    for cut in UPGRADE.len() - 3..UPGRADE.len() + 5 {
        let script = Script::default();
        let core = Core::new(|_| {}, handler(&script));
        let mut client = core.client();
        let all = format!("{UPGRADE}GET / HTTP/1.1\r\n\r\n");
        client.send(&all[..cut]);
        client.send(&all[cut..]);
        let (_, echoed) = client
            .read()
            .split_once("\r\n\r\n")
            .map(|(_, rest)| ((), rest.to_owned()))
            .unwrap();
        assert_eq!(echoed, "GET / HTTP/1.1\r\n\r\n", "cut at {cut}");
    }
}

#[test]
fn a_paused_tunnel_gets_nothing_until_it_is_woken() {
    let (core, script, mut client) = open();
    client.send("pause");
    client.send("more");
    assert_eq!(script.heard(), ["pause"]);
    core.advance(1_000_000);
    script.wake();
    core.deliver();
    assert_eq!(script.heard(), ["wake", "more"]);
    assert_eq!(client.read(), "wokenmore");
}

#[test]
fn a_paused_tunnel_slows_its_peer_down() {
    let (core, script, mut client) = open();
    client.send("pause");
    let flood = "a".repeat(2 << 20);
    let taken = client.push(&flood);
    assert!((1 << 20..(1 << 20) + 1024).contains(&taken), "{taken} bytes taken");
    script.wake();
    core.deliver();
    assert!(!client.read().is_empty() && client.wants_read());
}

#[test]
fn a_tunnel_whose_output_is_full_is_asked_again_when_there_is_room() {
    for fill in ["f", "F"] {
        let (_, script, mut client) = open();
        client.send(fill);
        client.send("behind");
        assert_eq!(script.heard(), [fill], "nothing more while it is full");
        assert_eq!(client.unsent(), 64 << 10);
        client.take(1);
        assert_eq!(script.heard()[0], "wake", "{fill}: it has room");
        assert!(
            client.read().ends_with("behind"),
            "{fill}: the pause ended with the room"
        );
    }
}

#[test]
fn a_tunnel_that_stops_sends_what_it_has_written() {
    let (core, script, mut client) = open();
    client.send("stop");
    assert_eq!(script.heard(), ["stop"]);
    assert!(!client.is_write_shut());
    assert_eq!(client.read(), "stopped");
    assert!(client.is_write_shut());
    client.send("nobody hears this");
    assert_eq!(script.heard(), [""; 0]);
    core.advance(2000);
    assert_eq!(client.end(), Some((End::Closed, 2000)));
    assert_eq!(client.reason(), Some(CloseReason::Finished));
}

#[test]
fn the_peers_end_is_told_once_and_our_side_stays_open() {
    let (core, script, mut client) = open();
    client.send("x");
    client.finish();
    assert_eq!(script.heard(), ["x", "end"]);
    assert_eq!(client.read(), "xyour end");
    assert!(client.is_open());
    script.wake();
    core.deliver();
    assert_eq!(script.heard(), ["wake"]);
    assert_eq!(client.read(), "woken");
}

#[test]
fn a_tunnel_that_says_nothing_about_the_end_ends() {
    struct Echo;
    impl Tunnel for Echo {
        fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
            io.put(data);
            Flow::Continue
        }
    }
    let core = Core::new(
        |_| {},
        |_, exchange: Exchange<'_>| exchange.upgrade("echo").switch_to(Echo),
    );
    let mut client = core.client();
    client.send(format!("{UPGRADE}last words"));
    client.finish();
    assert!(client.read().ends_with("\r\n\r\nlast words"));
    assert_eq!(client.end(), Some((End::Closed, 0)));
}

#[test]
fn upgraded_connections_are_counted_and_their_places_come_back() {
    let script = Script::default();
    let core = Core::new(
        |limits| limits.max_concurrent_upgraded_connections = Some(1),
        handler(&script),
    );
    let (mut first, mut second) = (core.client(), core.client());
    assert_eq!(status(&first.ask(UPGRADE)), 101);
    let refused = second.ask(UPGRADE);
    assert_eq!(
        (status(&refused), bodies(&refused)),
        (409, vec!["full"]),
        "the handler decides"
    );
    first.reset();
    assert_eq!(status(&second.ask(UPGRADE)), 101);

    let mut third = core.client();
    assert_eq!(status(&third.ask(UPGRADE)), 409);
    second.send("stop");
    second.read();
    second.finish();
    assert_eq!(
        status(&third.ask(UPGRADE)),
        101,
        "a tunnel that is over has given its place back"
    );
}

#[test]
fn an_upgrade_that_is_not_handled_is_refused_for_the_handler() {
    let core = Core::new(
        |limits| limits.max_concurrent_upgraded_connections = Some(0),
        |_, exchange: Exchange<'_>| exchange.upgrade("script").switch_to(Script::default()),
    );
    let mut client = core.client();
    assert_eq!(status(&client.ask(UPGRADE)), 503);
    let plain = client.ask(GET);
    assert_eq!(status(&plain), 426);
    assert!(plain.contains("\r\nUpgrade: script\r\n") && plain.contains("\r\nConnection: Upgrade\r\n"));
    assert!(client.is_open());
}

#[test]
fn an_offer_that_does_not_count_leaves_an_ordinary_request() {
    let script = Script::default();
    let core = Core::new(|_| {}, handler(&script));
    for request in [
        "GET / HTTP/1.0\r\nHost: h\r\nConnection: upgrade, keep-alive\r\nUpgrade: script\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: script\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: script\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let mut client = core.client();
        assert_eq!(bodies(&client.ask(request)), ["plain"], "{request:?}");
        assert_eq!(status(&client.ask(UPGRADE)), 101, "{request:?}");
    }
}

/// RFC 9110 §10.1.1: a request without content expects nothing, so that no 100 comes before its 101 (§7.8).
#[test]
fn an_expectation_without_content_puts_no_100_before_the_101() {
    let script = Script::default();
    let core = Core::new(|_| {}, handler(&script));
    for framing in ["", "Content-Length: 0\r\n"] {
        let request = UPGRADE.replace("Host: h\r\n", &format!("Host: h\r\nExpect: 100-continue\r\n{framing}"));
        assert_eq!(status(&core.client().ask(&request)), 101, "{request:?}");
    }
}
