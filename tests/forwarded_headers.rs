//! `ForwardedHeaders` over real sockets: chains of proxies, and clients who would like to be taken for one.

#[path = "support/client.rs"]
mod client;
#[path = "support/local.rs"]
mod local;
#[path = "support/site.rs"]
mod site;

use client::Client;
use local::{Local, options};
use stannel::middleware::{ForwardedHeaders, ForwardedHeadersOptions, IpNetwork, KnownProxy, XForwarded};
use stannel::{Exchange, Outcome, Request, Server, ServerOptions, StatusCode};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;

/// What the handler sees: the line `client scheme host path-base`, then the fields, but for Host.
fn tell(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let mut text = format!(
        "{} {} {} {:?}\n",
        request.client(),
        request.scheme(),
        request.host().unwrap_or("-"),
        request.path_base()
    );
    let host: Vec<&[u8]> = request.headers().get_all("host").collect();
    assert_eq!(host.len(), usize::from(request.host().is_some()));
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != "Host") {
        text += &format!("{name}={}\n", String::from_utf8_lossy(value));
    }
    exchange.respond(StatusCode::OK).send(text)
}

/// A server behind this, and what it tells of one request after the other.
struct Behind {
    server: Local,
    client: Client,
}

impl Behind {
    fn new(options: ForwardedHeadersOptions) -> Self {
        let server = start(local::options(1), options);
        let client = Client::connect(server.address());
        Self { server, client }
    }

    /// What the handler saw; `PEER` stands for the socket's own address.
    fn ask(&mut self, fields: &[(&str, &str)]) -> String {
        self.client.send(request(fields));
        let answer = self.client.response();
        assert_eq!(answer.status, 200);
        let peer = self.client.stream().local_addr().unwrap().to_string();
        answer.text().replace(&peer, "PEER")
    }

    #[track_caller]
    fn expect(&mut self, fields: &[(&str, &str)], lines: &[&str]) {
        let answer = self.ask(fields);
        assert_eq!(answer.lines().collect::<Vec<_>>(), lines, "{fields:?}");
    }

    fn stop(self) {
        drop(self.client);
        self.server.stop();
    }
}

fn start(server: ServerOptions, options: ForwardedHeadersOptions) -> Local {
    Local::run(Server::new(server, move || ForwardedHeaders::new(&options, tell)))
}

fn request(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

fn read(fields: XForwarded) -> ForwardedHeadersOptions {
    let mut options = ForwardedHeadersOptions::default();
    options.forwarded_headers = fields;
    options
}

fn proxies(list: &[&str]) -> Vec<KnownProxy> {
    list.iter().map(|text| KnownProxy::from_text(text).unwrap()).collect()
}

const F: &str = "X-Forwarded-For";
const P: &str = "X-Forwarded-Proto";
const H: &str = "X-Forwarded-Host";
const X: &str = "X-Forwarded-Prefix";

#[test]
fn nothing_is_read_by_default() {
    let mut behind = Behind::new(ForwardedHeadersOptions::default());
    behind.expect(
        &[(F, "192.0.2.1"), (P, "https"), (H, "x"), (X, "/x")],
        &[
            "PEER http h \"\"",
            "X-Forwarded-For=192.0.2.1",
            "X-Forwarded-Proto=https",
            "X-Forwarded-Host=x",
            "X-Forwarded-Prefix=/x",
        ],
    );
    behind.stop();
}

#[test]
fn one_proxy_tells_all_it_knows() {
    let mut behind = Behind::new(read(XForwarded::ALL));
    behind.expect(
        &[
            ("Accept", "*/*"),
            (F, "192.0.2.1:99"),
            (P, "https"),
            (H, "shop.example:8443"),
            (X, "/shop"),
            ("DNT", "1"),
        ],
        &[
            "192.0.2.1:99 https shop.example \"/shop\"",
            "Accept=*/*",
            "DNT=1",
            "X-Original-For=PEER",
            "X-Original-Proto=http",
            "X-Original-Host=h",
        ],
    );
    // The next request of the connection is not the last one's.
    behind.expect(&[], &["PEER http h \"\""]);
    behind.stop();
}

#[test]
fn only_what_is_turned_on_is_read() {
    let mut behind = Behind::new(read(XForwarded::PROTO));
    behind.expect(
        &[(F, "192.0.2.1"), (P, "https"), (H, "evil")],
        &[
            "PEER https h \"\"",
            "X-Forwarded-For=192.0.2.1",
            "X-Forwarded-Host=evil",
            "X-Original-Proto=http",
        ],
    );
    behind.stop();
}

#[test]
fn a_client_in_front_of_one_proxy_cannot_choose_its_address() {
    let mut behind = Behind::new(read(XForwarded::FOR));
    for (fields, left) in [
        (&[(F, "127.0.0.1, 192.0.2.1")][..], "X-Forwarded-For=127.0.0.1"),
        (&[(F, "127.0.0.1"), (F, "192.0.2.1")], "X-Forwarded-For=127.0.0.1"),
        (
            &[("x-forwarded-for", "127.0.0.1"), (F, ",192.0.2.1 ,")],
            "x-forwarded-for=127.0.0.1",
        ),
        (&[(F, "\"127.0.0.1, 192.0.2.1")], "X-Forwarded-For=\"127.0.0.1"),
        (&[(F, "\"127.0.0.1\\\", 192.0.2.1")], "X-Forwarded-For=\"127.0.0.1\\\""),
    ] {
        behind.expect(fields, &["192.0.2.1:0 http h \"\"", left, "X-Original-For=PEER"]);
    }
    behind.stop();
}

#[test]
fn originals_that_a_client_sends_do_not_survive() {
    let mut behind = Behind::new(read(XForwarded::ALL));
    behind.expect(
        &[
            ("X-Original-For", "10.0.0.1"),
            ("x-original-proto", "https"),
            ("X-Original-Host", "forged"),
            ("X-Original-Prefix", "/forged"),
            (F, "192.0.2.1"),
            (P, "https"),
            (H, "a.example"),
            (X, "/a"),
        ],
        &[
            "192.0.2.1:0 https a.example \"/a\"",
            "X-Original-For=PEER",
            "X-Original-Proto=http",
            "X-Original-Host=h",
        ],
    );
    behind.stop();
}

#[test]
fn a_stranger_is_not_believed_in_anything() {
    let mut options = read(XForwarded::ALL);
    (options.known_proxies, options.known_networks) = (proxies(&["10.0.0.1"]), Vec::new());
    let mut behind = Behind::new(options);
    for (name, value) in [(F, "192.0.2.1"), (P, "https"), (H, "evil"), (X, "/evil")] {
        let left = format!("{name}={value}");
        behind.expect(&[(name, value)], &["PEER http h \"\"", &left]);
    }
    behind.stop();
}

#[test]
fn a_chain_is_followed_to_the_first_stranger() {
    let mut options = read(XForwarded::FOR | XForwarded::PROTO);
    options.forward_limit = None;
    options.known_networks.extend(IpNetwork::from_text("10.0.0.0/8"));
    let mut behind = Behind::new(options);
    behind.expect(
        &[
            (F, "127.0.0.1, 198.51.100.7, 10.0.0.2"),
            (F, "10.0.0.1"),
            (P, "http, https, http"),
        ],
        &[
            "198.51.100.7:0 http h \"\"",
            "X-Forwarded-For=127.0.0.1",
            "X-Original-For=PEER",
            "X-Original-Proto=http",
        ],
    );
    // A hop that has no address to tell ends the walk, and its entry stays.
    behind.expect(
        &[(F, "192.0.2.1, unknown, 10.0.0.2")],
        &[
            "10.0.0.2:0 http h \"\"",
            "X-Forwarded-For=192.0.2.1, unknown",
            "X-Original-For=PEER",
        ],
    );
    behind.expect(
        &[(F, "192.0.2.1, unknown")],
        &["PEER http h \"\"", "X-Forwarded-For=192.0.2.1, unknown"],
    );
    behind.stop();
}

#[test]
fn the_limit_ends_the_walk() {
    for (limit, client, left) in [
        (Some(1), "10.0.0.3:0", Some("10.0.0.1, 10.0.0.2")),
        (Some(2), "10.0.0.2:0", Some("10.0.0.1")),
        (Some(9), "10.0.0.1:0", None),
        (None, "10.0.0.1:0", None),
    ] {
        let mut options = ForwardedHeadersOptions::trusting_everybody();
        options.forward_limit = limit;
        let mut behind = Behind::new(options);
        let first = format!("{client} http h \"\"");
        let left = left.map(|left| format!("X-Forwarded-For={left}"));
        let mut lines = vec![first.as_str()];
        lines.extend(left.as_deref());
        lines.push("X-Original-For=PEER");
        behind.expect(&[(F, "10.0.0.1, 10.0.0.2, 10.0.0.3")], &lines);
        behind.stop();
    }
    let mut options = ForwardedHeadersOptions::trusting_everybody();
    options.forward_limit = Some(0);
    let mut behind = Behind::new(options);
    behind.expect(&[(F, "10.0.0.1")], &["PEER http h \"\"", "X-Forwarded-For=10.0.0.1"]);
    behind.stop();
}

#[test]
fn a_field_full_of_hops_has_its_end() {
    let mut options = ForwardedHeadersOptions::trusting_everybody();
    let many = vec!["10.0.0.1"; 2000].join(",");
    let left = vec!["10.0.0.1"; 2000 - 256].join(",");
    for limit in [None, Some(1000)] {
        options.forward_limit = limit;
        let mut behind = Behind::new(options.clone());
        let answer = behind.ask(&[(F, &many)]);
        assert!(answer.contains(&format!("\nX-Forwarded-For={left}\n")), "{limit:?}");
        behind.stop();
    }
    let mut behind = Behind::new(options);
    let commas = ",".repeat(30_000);
    behind.expect(
        &[(F, &commas)],
        &["PEER http h \"\"", &format!("X-Forwarded-For={commas}")],
    );
    behind.stop();
}

#[test]
fn what_is_wrong_is_left_where_it_was() {
    let mut behind = Behind::new(read(XForwarded::ALL));
    for (name, value) in [
        (F, "192.0.2.1:99999"),
        (F, ""),
        (P, "https://"),
        (H, "a b"),
        (H, "[::1"),
        (H, "evil@a"),
        (X, "//evil.example"),
        (X, "no-slash"),
    ] {
        let left = format!("{name}={value}");
        behind.expect(&[(name, value)], &["PEER http h \"\"", &left]);
    }
    // What is right beside it counts.
    behind.expect(
        &[(P, "https"), (H, "a b")],
        &["PEER https h \"\"", "X-Forwarded-Host=a b", "X-Original-Proto=http"],
    );
    behind.stop();
}

#[test]
fn only_allowed_hosts_are_believed() {
    let mut options = read(XForwarded::HOST);
    options.allowed_hosts = vec!["*.example.com".to_owned()];
    let mut behind = Behind::new(options);
    behind.expect(
        &[(H, "a.EXAMPLE.com:81")],
        &["PEER http a.EXAMPLE.com \"\"", "X-Original-Host=h"],
    );
    behind.expect(
        &[(H, "example.com")],
        &["PEER http h \"\"", "X-Forwarded-Host=example.com"],
    );
    behind.stop();
}

#[test]
fn symmetry_believes_all_or_nothing() {
    let mut options = read(XForwarded::FOR | XForwarded::PROTO | XForwarded::HOST);
    options.require_header_symmetry = true;
    options.forward_limit = Some(2);
    options.known_networks.extend(IpNetwork::from_text("10.0.0.0/8"));
    let mut behind = Behind::new(options);
    behind.expect(
        &[(F, "192.0.2.1, 10.0.0.1"), (P, "https, http"), (H, "a, b")],
        &[
            "192.0.2.1:0 https a \"\"",
            "X-Original-For=PEER",
            "X-Original-Proto=http",
            "X-Original-Host=h",
        ],
    );
    for fields in [
        &[(F, "192.0.2.1, 10.0.0.1"), (P, "https, http"), (H, "a")][..],
        &[(F, "192.0.2.1"), (P, "https")],
        &[(F, "192.0.2.1, 10.0.0.1"), (P, "ht_tps, http"), (H, "a, b")],
    ] {
        let kept: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut lines = vec!["PEER http h \"\""];
        lines.extend(kept.iter().map(String::as_str));
        behind.expect(fields, &lines);
    }
    behind.stop();
}

#[test]
fn names_can_be_others() {
    let mut options = read(XForwarded::FOR);
    options.forwarded_for_header_name = "CF-Connecting-IP".to_owned();
    options.original_for_header_name = "X-Edge".to_owned();
    let mut behind = Behind::new(options);
    behind.expect(
        &[("cf-connecting-ip", "2001:db8::1"), (F, "192.0.2.1")],
        &[
            "[2001:db8::1]:0 http h \"\"",
            "X-Forwarded-For=192.0.2.1",
            "X-Edge=PEER",
        ],
    );
    behind.stop();
}

#[test]
fn ipv4_peers_of_a_dual_stack_socket_count_as_ipv4() {
    let mut server = ServerOptions::default();
    server.listen(Ipv6Addr::UNSPECIFIED, 0);
    let server = start(server, read(XForwarded::FOR));
    let port = server.address().port();
    for loopback in ["127.0.0.1", "127.9.8.7", "::1"] {
        let loopback: IpAddr = loopback.parse().unwrap();
        let mut client = Client::connect(SocketAddr::new(loopback, port));
        client.send(request(&[(F, "[2001:db8::5]:5")]));
        let answer = client.response();
        assert!(
            answer.text().starts_with("[2001:db8::5]:5 "),
            "{loopback}: {}",
            answer.text()
        );
    }
    server.stop();
}

#[test]
fn a_unix_peer_is_believed_when_it_is_in_the_list_or_everybody_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut listed = read(XForwarded::FOR);
    listed.known_proxies.push(KnownProxy::Unix);
    for (forwarded, first) in [
        (read(XForwarded::FOR), "unix http h \"\"\nX-Forwarded-For=192.0.2.1\n"),
        (listed, "192.0.2.1:0 http h \"\"\n"),
        (
            ForwardedHeadersOptions::trusting_everybody(),
            "192.0.2.1:0 http h \"\"\n",
        ),
    ] {
        let mut server = ServerOptions::default();
        server.listen_unix_socket(&path);
        let server = start(server, forwarded);
        let mut client = UnixStream::connect(&path).unwrap();
        let text = request(&[(F, "192.0.2.1"), ("Connection", "close")]);
        client.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(seen.replace("Connection=close\n", ""), first);
        server.stop();
    }
}

#[test]
fn http10_without_host_can_be_given_one() {
    let server = start(options(1), read(XForwarded::HOST));
    let mut client = Client::connect(server.address());
    client.send("GET / HTTP/1.0\r\nX-Forwarded-Host: a.example\r\nX-Original-Host: forged\r\n\r\n");
    let answer = client.response();
    assert!(answer.text().ends_with(" http a.example \"\"\n"), "{}", answer.text());
    drop(client);
    server.stop();
}

#[test]
fn a_body_behind_changed_fields_is_the_handlers() {
    let forwarded = read(XForwarded::FOR);
    let echo = |request: &Request<'_>, exchange: Exchange<'_>| {
        let client = request.client().to_string();
        exchange.collect(1 << 20, move |body, exchange| {
            let text = format!("{client} sent {}", body.bytes().len());
            exchange.respond(StatusCode::OK).send(text)
        })
    };
    let server = Local::run(Server::new(options(1), move || ForwardedHeaders::new(&forwarded, echo)));
    let mut client = Client::connect(server.address());
    let body = "x".repeat(100_000);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.response().text(), "192.0.2.1:0 sent 100000");
    assert_eq!(client.get("/").text().split(' ').nth(1), Some("sent"));
    drop(client);
    server.stop();
}
