//! `HttpsRedirection` and `Hsts` over real sockets, behind a proxy that says which requests came to it by HTTPS.

#[path = "support/client.rs"]
mod client;
#[path = "support/local.rs"]
mod local;
#[path = "support/site.rs"]
mod site;

use client::{Client, Response};
use local::{Local, options};
use site::Site;
use stannel::middleware::{
    ForwardedHeaders, ForwardedHeadersOptions, Hsts, HstsOptions, HttpsPort, HttpsRedirection, HttpsRedirectionOptions,
    HttpsRedirector, XForwarded,
};
use stannel::{Exchange, Outcome, Request, Server, StatusCode};

fn proxies() -> ForwardedHeadersOptions {
    let mut options = ForwardedHeadersOptions::default();
    options.forwarded_headers = XForwarded::PROTO | XForwarded::HOST | XForwarded::PREFIX;
    options
}

fn to_port(https_port: HttpsPort) -> HttpsRedirector {
    let mut options = HttpsRedirectionOptions::default();
    options.https_port = https_port;
    HttpsRedirector::new(&options)
}

/// A site behind both handlers, in the order of the `stannel` command.
fn start(redirector: &HttpsRedirector, hsts: HstsOptions) -> Local {
    let (redirector, site) = (redirector.clone(), Site::default());
    Local::run(Server::new(options(2), move || {
        let inner = HttpsRedirection::new(&redirector, site.another());
        ForwardedHeaders::new(&proxies(), Hsts::new(&hsts, inner))
    }))
}

fn field<'a>(response: &'a Response, name: &str) -> Vec<&'a str> {
    let fields = response.head.lines().filter_map(|line| line.split_once(": "));
    let named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value).collect()
}

fn location(response: &Response) -> &str {
    match field(response, "Location").as_slice() {
        [location] => location,
        other => panic!("{other:?} in {}", response.head),
    }
}

const STS: &str = "Strict-Transport-Security";

#[test]
fn a_request_in_the_clear_is_sent_to_the_same_address_with_https() {
    let server = start(&to_port(HttpsPort::Port(5001)), HstsOptions::default());
    let mut client = Client::connect(server.address());
    for (target, host, expected) in [
        ("/", "localhost", "https://localhost:5001/"),
        ("/", "LocalHost:80", "https://LocalHost:5001/"),
        ("/a/b?c=%20d&e", "[::1]:8080", "https://[::1]:5001/a/b?c=%20d&e"),
        ("/?", "h", "https://h:5001/?"),
        (
            "/a%20b/%C3%A9%2F%2f%25c%7e",
            "h",
            "https://h:5001/a%20b/%C3%A9%2F%2f%25c~",
        ),
        (
            "/a/../b/./c|;=:@!$&*+,|{}",
            "h",
            "https://h:5001/b/c%7C;=:@!$&*+,%7C%7B%7D",
        ),
        ("/%FFx%41", "h", "https://h:5001/%FFxA"),
        // .NET answers /A%41, which is another path.
        ("/A%2541", "h", "https://h:5001/A%2541"),
        ("//evil.example/x", "h", "https://h:5001//evil.example/x"),
        ("/%5C%5Cevil", "h", "https://h:5001/%5C%5Cevil"),
        ("/%0d%0aSet-Cookie:%20a", "h", "https://h:5001/%0D%0ASet-Cookie:%20a"),
        ("http://h/x%252F?y", "h", "https://h:5001/x%252F?y"),
        ("http://h", "h", "https://h:5001/"),
    ] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, location(&response)), (307, expected), "{target}");
        assert_eq!(response.body, b"");
        assert!(field(&response, STS).is_empty(), "browsers do not heed it without TLS");
    }
    client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(location(&client.response()), "https://h:5001/");
    // The body of what is redirected is no request.
    client.send("POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert_eq!(location(&client.response()), "https://h:5001/count");
    client.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(client.response().status, 200);
    drop(client);
    server.stop();
}

#[test]
fn it_is_the_address_that_the_proxy_tells() {
    let server = start(&to_port(HttpsPort::Port(443)), HstsOptions::default());
    let mut client = Client::connect(server.address());
    for (prefix, target, expected) in [
        ("/app", "/x", "https://shop.example/app/x"),
        ("/app/", "/x", "https://shop.example/app/x"),
        ("/a%20b", "/", "https://shop.example/a%20b/"),
    ] {
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: h:8080\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop.example:80\r\n\
             X-Forwarded-Prefix: {prefix}\r\n\r\n"
        ));
        assert_eq!(location(&client.response()), expected);
    }
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: HTTPS\r\n\r\n");
    assert_eq!(client.response().status, 200, "schemes have no case");
    drop(client);
    server.stop();
}

#[test]
fn the_port_is_that_of_the_server() {
    for (addresses, status) in [
        (&[][..], 200),
        (&["http://127.0.0.1:80"], 200),
        (&["http://127.0.0.1:80", "https://[::]:8443"], 307),
        (&["https://127.0.0.1:8443", "https://127.0.0.1:8444"], 500),
    ] {
        let redirector = HttpsRedirector::new(&HttpsRedirectionOptions::default());
        let server = start(&redirector, HstsOptions::default());
        redirector.set_addresses(addresses);
        // Several connections may meet several workers.
        for _ in 0..4 {
            let response = Client::connect(server.address()).get("/n/1");
            assert_eq!(response.status, status, "{addresses:?}");
            if status == 307 {
                assert_eq!(location(&response), "https://h:8443/n/1");
            }
        }
        server.stop();
    }
}

#[test]
fn the_addresses_of_a_server_without_https_have_no_port() {
    let redirector = HttpsRedirector::new(&HttpsRedirectionOptions::default());
    let server = start(&redirector, HstsOptions::default());
    redirector.set_addresses(&server.addresses);
    assert_eq!(Client::connect(server.address()).get("/n/1").status, 200);
    server.stop();
}

#[test]
fn a_request_without_host_has_no_address() {
    let server = start(&to_port(HttpsPort::Port(5001)), HstsOptions::default());
    let mut client = Client::connect(server.address());
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 400);
    assert!(field(&response, "Location").is_empty());
    drop(client);
    server.stop();
}

#[test]
fn the_status_can_be_chosen() {
    let mut options = HttpsRedirectionOptions::default();
    options.https_port = HttpsPort::Port(443);
    options.redirect_status_code = StatusCode::PERMANENT_REDIRECT;
    let server = start(&HttpsRedirector::new(&options), HstsOptions::default());
    let response = Client::connect(server.address()).get("/n/1");
    assert_eq!((response.status, location(&response)), (308, "https://h/n/1"));
    server.stop();
}

fn expect_told(client: &mut Client, request: &str, status: u16) {
    client.send(request);
    let response = client.response();
    assert_eq!(response.status, status, "{request}");
    assert_eq!(field(&response, STS), ["max-age=2592000"], "{request}");
}

#[test]
fn every_response_to_https_tells_the_browser() {
    let server = start(&to_port(HttpsPort::Port(443)), HstsOptions::default());
    let mut client = Client::connect(server.address());
    let https = "Host: shop.example:8443\r\nX-Forwarded-Proto: https\r\n";
    expect_told(&mut client, &format!("GET /n/1 HTTP/1.1\r\n{https}\r\n"), 200);
    expect_told(&mut client, &format!("GET /bytes/100000 HTTP/1.1\r\n{https}\r\n"), 200);
    let upload = format!("POST /count HTTP/1.1\r\n{https}Content-Length: 3\r\n\r\n");
    client.send(&upload);
    expect_told(&mut client, "abc", 200);
    // What was said of one request is not said of the next.
    client.send("GET /n/1 HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert!(field(&client.response(), STS).is_empty());
    let large = format!("POST /count HTTP/1.1\r\n{https}Content-Length: 99999999999\r\n\r\n");
    expect_told(&mut client, &large, 413);

    let mut held = Client::connect(server.address());
    held.send(format!("GET /hold HTTP/1.1\r\n{https}\r\n"));
    let mut other = Client::connect(server.address());
    client::wait_until("the request to be held", || {
        other.send(format!("GET /held HTTP/1.1\r\n{https}\r\n"));
        other.response().text() == "1"
    });
    expect_told(&mut other, &format!("GET /release HTTP/1.1\r\n{https}\r\n"), 200);
    expect_told(&mut held, "", 200);

    expect_told(&mut other, &format!("GET /panic HTTP/1.1\r\n{https}\r\n"), 500);
    let mut tunnel = Client::connect(server.address());
    let upgrade = format!("GET /tunnel HTTP/1.1\r\n{https}Connection: upgrade\r\nUpgrade: echo\r\n\r\n");
    expect_told(&mut tunnel, &upgrade, 101);
    drop((tunnel, client, held, other));
    server.stop();
}

#[test]
fn excluded_hosts_are_told_nothing() {
    let mut some = HstsOptions::default();
    some.excluded_hosts = vec!["Example.com".to_owned()];
    let mut off = HstsOptions::default();
    off.max_age = None;
    for (options, host, is_told) in [
        (HstsOptions::default(), "localhost:5001", false),
        (HstsOptions::default(), "127.0.0.1", false),
        (HstsOptions::default(), "[::1]:5001", false),
        (HstsOptions::default(), "a.localhost", true),
        (some.clone(), "EXAMPLE.com:1", false),
        (some, "localhost", true),
        (off, "example.com", false),
    ] {
        let server = start(&to_port(HttpsPort::Never), options);
        let mut client = Client::connect(server.address());
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n\r\n"
        ));
        assert_eq!(!field(&client.response(), STS).is_empty(), is_told, "{host}");
        drop(client);
        server.stop();
    }
}

#[test]
fn what_the_handler_says_itself_is_said_once() {
    let own = |_: &Request<'_>, exchange: Exchange<'_>| -> Outcome {
        let head = exchange.respond(StatusCode::OK);
        head.header("strict-Transport-security", "max-age=0").send("")
    };
    let server = Local::run(Server::new(options(1), move || {
        ForwardedHeaders::new(&proxies(), Hsts::new(&HstsOptions::default(), own))
    }));
    let mut client = Client::connect(server.address());
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(field(&client.response(), STS), ["max-age=0"]);
    drop(client);
    server.stop();
}
