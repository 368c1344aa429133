//! `HostFiltering` over real sockets: who gets through, what the others are told, and changes while the server runs.

#[path = "support/client.rs"]
mod client;
#[path = "support/local.rs"]
mod local;
#[cfg(feature = "config")]
#[path = "support/ports.rs"]
mod ports;
#[cfg(feature = "config")]
#[path = "support/reload.rs"]
mod reload;
#[path = "support/site.rs"]
mod site;

use client::Client;
use local::{Local, options};
use site::Site;
use stannel::Server;
use stannel::middleware::{HostFilter, HostFiltering, HostFilteringOptions, NoAllowedHosts};

fn allow(hosts: &[&str]) -> HostFilteringOptions {
    let mut options = HostFilteringOptions::default();
    options.allowed_hosts = hosts.iter().map(|&host| host.to_owned()).collect();
    options
}

fn serve(filter: &HostFilter) -> Local {
    let (filter, site) = (filter.clone(), Site::default());
    Local::run(Server::new(options(2), move || {
        HostFiltering::new(&filter, site.another())
    }))
}

fn start(options: &HostFilteringOptions) -> Local {
    serve(&HostFilter::new(options).unwrap())
}

fn request(method: &str, host: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[track_caller]
fn expect(client: &mut Client, host: &str, status: u16) {
    client.send(request("GET", host));
    assert_eq!(client.response().status, status, "{host}");
}

#[test]
fn only_allowed_hosts_get_through() {
    let server = start(&allow(&["example.com", "*.example.org", "[::1]", "bücher.example"]));
    let mut client = Client::connect(server.address());
    for (host, status) in [
        ("example.com", 200),
        ("EXAMPLE.com:8080", 200),
        ("a.b.example.org", 200),
        ("[::1]:5000", 200),
        ("xn--bcher-kva.example", 200),
        ("example.org", 400),
        ("example.com.evil", 400),
        ("evil-example.com", 400),
        ("127.0.0.1", 400),
        ("[::2]", 400),
    ] {
        expect(&mut client, host, status);
    }
    drop(client);
    server.stop();
}

#[test]
fn a_refusal_says_why_and_keeps_the_connection() {
    let server = start(&allow(&["example.com"]));
    let mut client = Client::connect(server.address());
    client.send(request("GET", "nowhere"));
    let answer = client.response();
    assert_eq!(answer.status, 400);
    let head = answer.head.to_ascii_lowercase();
    assert!(head.contains("\r\ncontent-type: text/html\r\n"), "{head}");
    assert!(answer.text().starts_with("<!DOCTYPE html>") && !answer.text().contains("nowhere"));
    assert!(!answer.says_close());

    // The body of a request that is refused is not taken for the next one.
    client.send("POST / HTTP/1.1\r\nHost: nowhere\r\nContent-Length: 20\r\n\r\nGET / HTTP/1.1\r\n\r\n..");
    assert_eq!(client.response().status, 400);
    expect(&mut client, "example.com", 200);
    drop(client);
    server.stop();
}

#[test]
fn the_page_can_be_left_out() {
    let mut options = allow(&["example.com"]);
    options.include_failure_message = false;
    let server = start(&options);
    let mut client = Client::connect(server.address());
    client.send(request("GET", "nowhere"));
    let answer = client.response();
    assert_eq!((answer.status, answer.text()), (400, ""));
    assert!(!answer.head.to_ascii_lowercase().contains("content-type"));
    drop(client);
    server.stop();
}

#[test]
fn a_request_without_host_is_served_unless_that_is_switched_off() {
    for (allow_empty, status) in [(true, 200), (false, 400)] {
        let mut options = allow(&["example.com"]);
        options.allow_empty_hosts = allow_empty;
        let server = start(&options);
        let mut client = Client::connect(server.address());
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().status, status);
        drop(client);
        server.stop();
    }
}

#[test]
fn changes_count_for_the_next_request_of_open_connections() {
    let filter = HostFilter::new(&allow(&["old"])).unwrap();
    let server = serve(&filter);
    // Enough for both workers to have some.
    let mut clients: Vec<Client> = (0..16).map(|_| Client::connect(server.address())).collect();
    for client in &mut clients {
        expect(client, "old", 200);
        expect(client, "new", 400);
    }
    filter.set(&allow(&["new"])).unwrap();
    for client in &mut clients {
        expect(client, "new", 200);
        expect(client, "old", 400);
    }
    filter.set(&allow(&["*"])).unwrap();
    for client in &mut clients {
        expect(client, "old", 200);
    }
    drop(clients);
    server.stop();
}

#[cfg(feature = "config")]
#[test]
fn a_running_server_follows_its_configuration() {
    let [port] = ports::free_ports();
    let configuration = |hosts: &str| {
        format!(
            "{{ \"AllowedHosts\": \"{hosts}\", \"Kestrel\": {{ \"Endpoints\": {{ \"A\": {{ \"Url\": \"http://127.0.0.1:{port}\" }} }} }} }}"
        )
    };
    let filter = HostFilter::new(&allow(&["old"])).unwrap();
    let (followed, site) = (filter.clone(), Site::default());
    let server = reload::Following::start(
        &configuration("old"),
        |options| options.on_reload(move |newer| followed.set(&newer.host_filtering()).unwrap()),
        move || HostFiltering::new(&filter, site.another()),
    );
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    expect(&mut client, "old", 200);
    assert!(server.reload(&configuration("new;newer")).error.is_none());
    for (host, status) in [("new", 200), ("newer", 200), ("old", 400)] {
        expect(&mut client, host, status);
    }
    // What is not understood as a whole changes nothing.
    assert!(server.reload(&configuration("old\" \"")).error.is_some());
    expect(&mut client, "new", 200);
}

#[test]
fn a_list_without_hosts_is_refused_and_changes_nothing() {
    let nothing = HostFilteringOptions::default();
    assert_eq!(HostFilter::new(&nothing).unwrap_err(), NoAllowedHosts);
    let filter = HostFilter::new(&allow(&["example.com"])).unwrap();
    assert_eq!(filter.set(&nothing), Err(NoAllowedHosts));
    let server = serve(&filter);
    let mut client = Client::connect(server.address());
    expect(&mut client, "example.com", 200);
    expect(&mut client, "other", 400);
    drop(client);
    server.stop();
}
