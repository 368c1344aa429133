//! All kinds of clients, round by round.

use super::client::{Client, get};
use super::server::Counters;
use super::tls::{self, Trusting};
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One kind, on a thread of its own.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) round: fn(&Target),
    /// Between two rounds.
    pub(crate) pause: Duration,
}

pub(crate) const KINDS: [Kind; 9] = [
    Kind::new("keep-alive", keep_alive, 100),
    Kind::new("churn", churn, 100),
    Kind::new("full handshakes", full_handshakes, 200),
    Kind::new("resumed handshakes", resumed_handshakes, 200),
    Kind::new("uploads", uploads, 200),
    Kind::new("slow reader", slow_reader, 200),
    Kind::new("resets", resets, 200),
    Kind::new("half-closes", half_closes, 200),
    Kind::new("tunnels", tunnels, 200),
];

impl Kind {
    const fn new(name: &'static str, round: fn(&Target), pause: u64) -> Self {
        Self {
            name,
            round,
            pause: Duration::from_millis(pause),
        }
    }
}

/// Where they go, and how.
pub(crate) struct Target {
    plain: SocketAddr,
    secured: SocketAddr,
    /// A client that never comes back, and one that does.
    forgetful: Arc<ClientConfig>,
    returning: Arc<ClientConfig>,
}

impl Target {
    pub(crate) fn new(plain: SocketAddr, secured: SocketAddr) -> Self {
        let mut forgetful = Trusting::new().config(rustls::ALL_VERSIONS);
        forgetful.resumption = Resumption::disabled();
        Self {
            plain,
            secured,
            forgetful: Arc::new(forgetful),
            returning: Arc::new(Trusting::new().config(rustls::ALL_VERSIONS)),
        }
    }

    pub(crate) fn asker(&self) -> Asker {
        Asker(Client::connect(self.plain))
    }

    /// The certificate that is shown now.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let trusting = Trusting::new();
        let config = Arc::new(trusting.config(rustls::ALL_VERSIONS));
        tls::ask(self.handshake(&config), "/");
        trusting.shown()[0].to_vec()
    }

    fn handshake(&self, config: &Arc<ClientConfig>) -> tls::Stream {
        tls::connect(self.secured, config, "site.test").unwrap()
    }
}

/// Whoever wants to know how it goes, on one connection.
pub(crate) struct Asker(Client);

impl Asker {
    pub(crate) fn counters(&mut self) -> Counters {
        Counters::read(self.0.get("/counters").text())
    }
}

fn keep_alive(target: &Target) {
    let mut client = Client::connect(target.plain);
    for number in 0..100 {
        let path = format!("/n/{number}");
        assert!(client.get(&path).text().starts_with(&path));
    }
}

fn churn(target: &Target) {
    for number in 0..10 {
        let mut client = Client::connect(target.plain);
        match number % 2 {
            0 => {
                client.send("GET / HTTP/1.0\r\n\r\n");
                assert_eq!(client.response().text(), "hello");
                client.expect_end();
            }
            _ => assert_eq!(client.get("/").text(), "hello"),
        }
    }
}

fn full_handshakes(target: &Target) {
    for _ in 0..3 {
        let stream = target.handshake(&target.forgetful);
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        assert!(tls::ask(stream, "/").ends_with("hello"));
    }
}

fn resumed_handshakes(target: &Target) {
    // Whoever was here in the round before comes back with a ticket.
    tls::ask(target.handshake(&target.returning), "/");
    for _ in 0..3 {
        let stream = target.handshake(&target.returning);
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
        assert!(tls::ask(stream, "/").ends_with("hello"));
    }
}

fn uploads(target: &Target) {
    let body: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let mut client = Client::connect(target.plain);
    client.send(format!(
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    assert!(client.response().body == body);
    client.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(9000) {
        client.send(format!("{:x}\r\n", chunk.len()));
        client.send(chunk);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert!(client.response().body == body);
    let mut stream = target.handshake(&target.forgetful);
    let head = format!(
        "POST /count HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&format!("\r\n\r\n{}", body.len())), "{answer}");
}

fn slow_reader(target: &Target) {
    const SIZE: u64 = 20 << 20;
    const PIECE: u64 = 512 << 10;
    let mut clients = [Client::connect(target.plain), Client::connect(target.plain)];
    for client in &mut clients {
        client.send(get(&format!("/bytes/{SIZE}")));
    }
    for _ in 0..SIZE / PIECE {
        for client in &mut clients {
            client.discard(PIECE);
        }
        // That is what is slow about it.
        std::thread::sleep(Duration::from_millis(20));
    }
    // The head is left over, and thrown away.
    clients.into_iter().for_each(Client::reset);
}

/// They leave in the middle of something, each somewhere else.
fn resets(target: &Target) {
    for send in [
        "",
        "GET / HT",
        "GET /bytes/100000000 HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET\r\n\r\n",
    ] {
        let mut client = Client::connect(target.plain);
        client.send(send);
        client.reset();
        let mut client = Client::connect(target.secured);
        client.send([22, 3, 1, 0, 200, 1]);
        client.reset();
        let mut stream = target.handshake(&target.forgetful);
        stream.write_all(send.as_bytes()).unwrap();
        socket2::SockRef::from(&stream.sock)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    // What is held for those who have left is let go.
    assert_eq!(Client::connect(target.plain).get("/release").status, 200);
}

fn half_closes(target: &Target) {
    for (send, status) in [
        ("", None),
        ("GET / HT", None),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", Some(200)),
        ("GET\r\n\r\n", Some(400)),
        ("GET /bytes/1000000 HTTP/1.1\r\nHost: h\r\n\r\n", Some(200)),
        (
            "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello",
            Some(400),
        ),
    ] {
        let mut client = Client::connect(target.plain);
        client.send(send);
        client.end_output();
        assert_eq!(client.try_response().map(|response| response.status), status, "{send}");
        let mut stream = target.handshake(&target.forgetful);
        stream.write_all(send.as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an announced end");
        let begin = status.map(|status| format!("HTTP/1.1 {status} ")).unwrap_or_default();
        assert!(answer.starts_with(begin.as_bytes()), "{send}");
    }
}

fn tunnels(target: &Target) {
    let mut client = Client::connect(target.plain);
    client.send("GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nabc");
    assert_eq!(client.response().status, 101);
    assert_eq!(client.bytes(3), b"abc");
    client.end_output();
    client.expect_end();
}
