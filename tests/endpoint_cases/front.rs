//! What stands before a handler: the hosts that are served, the proxies that are believed.

use crate::{Case, same, texts};
use serde_json::Value;
use stannel::connection::{Connection, Engine};
use stannel::middleware::{ForwardedHeaders, ForwardedHeadersOptions, HostFilter, HostFiltering};
use stannel::{Configuration, ConnectionInfo, Exchange, Outcome, Peer, Request, Server, ServerOptions, StatusCode};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than an answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn host_filter(case: &Case) -> Result<(), String> {
    let allowed = case.input["allowed"].as_str().unwrap_or_default();
    let configuration = Configuration::builder().set("AllowedHosts", allowed).build();
    let mut options = configuration.map_err(|error| error.to_string())?.host_filtering();
    if let Some(allow_empty) = case.input["allow_empty"].as_bool() {
        options.allow_empty_hosts = allow_empty;
    }
    let filter = HostFilter::new(&options).map_err(|error| error.to_string())?;
    let request = match case.input["host"].as_str() {
        // HTTP/1.1 has to name a host, and the server refuses an empty one before any handler is asked.
        None | Some("") => "GET / HTTP/1.0\r\n\r\n".to_owned(),
        Some(host) => format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
    };
    let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
    let answer = over_a_socket(move || HostFiltering::new(&filter, hello), &request);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u64>().ok());
    same("status", &status, &case.expect["status"].as_u64())
}

/// The answer of a server that is made for this request.
fn over_a_socket<F, H>(factory: F, request: &str) -> String
where
    F: Fn() -> H + Send + Sync + 'static,
    H: stannel::Handler + 'static,
{
    let mut options = ServerOptions::default();
    options.listen(Ipv4Addr::LOCALHOST, 0);
    let server = Server::new(options, factory).bind().expect("a free port");
    let address = server.addresses()[0].socket_addrs()[0];
    let handle = server.handle();
    let thread = std::thread::spawn(move || server.run());
    let mut client = TcpStream::connect(address).expect("a connection");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.write_all(request.as_bytes()).expect("the request");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    handle.shutdown();
    thread.join().expect("no panic").expect("an orderly end");
    answer
}

/// Tells what it sees, a line each.
fn tell(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let left: Vec<&str> = request
        .headers()
        .get_all("X-Forwarded-For")
        .map(|value| std::str::from_utf8(value).unwrap_or_default())
        .collect();
    let text = format!("{}\n{}\n{}", request.client(), request.scheme(), left.join(", "));
    exchange.respond(StatusCode::OK).send(text)
}

fn options(input: &Value) -> Result<ForwardedHeadersOptions, String> {
    let mut builder = Configuration::builder();
    if let Some((name, value)) = input["switch"].as_str().and_then(|switch| switch.split_once('=')) {
        builder = builder
            .set_environment([(name, value)])
            .add_environment_variables("ASPNETCORE_");
    } else {
        builder = builder.set("ForwardedHeaders:Headers", texts(&input["enabled"]).join(","));
    }
    if let Some(limit) = input["limit"].as_u64() {
        builder = builder.set("ForwardedHeaders:ForwardLimit", limit.to_string());
    }
    if input["trust_all"].as_bool() == Some(true) {
        builder = builder
            .set("ForwardedHeaders:KnownProxies", "")
            .set("ForwardedHeaders:KnownNetworks", "");
    }
    let configuration = builder.build().map_err(|error| error.to_string())?;
    configuration.forwarded_headers().map_err(|error| error.to_string())
}

pub(crate) fn forwarded(case: &Case) -> Result<(), String> {
    let (input, expect) = (&case.input, &case.expect);
    let remote = input["remote"].as_str().ok_or("no peer")?;
    let peer = match remote.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, 4321),
        Err(_) => remote.parse().map_err(|_| format!("the peer {remote} is no address"))?,
    };
    let forwarded = options(input)?;
    let mut engine = Engine::new(
        &ServerOptions::default(),
        move || ForwardedHeaders::new(&forwarded, tell),
        || (),
    );
    let mut request = "GET / HTTP/1.1\r\nHost: h\r\n".to_owned();
    for (name, value) in input["headers"].as_object().into_iter().flatten() {
        // An array is a field with several lines.
        let lines = value
            .as_str()
            .map_or_else(|| texts(value), |line| vec![line.to_owned()]);
        for line in lines {
            request += &format!("{name}: {line}\r\n");
        }
    }
    request += "\r\n";
    let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Tcp(peer)), 0);
    let mut turn = connection.turn(&mut engine, 0);
    turn.on_bytes(request.as_bytes());
    let answer = String::from_utf8_lossy(turn.output().unwrap_or_default()).into_owned();
    let (_, seen) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let mut seen = seen.split('\n');
    let (client, scheme, left) = (seen.next(), seen.next(), seen.next());
    let client: SocketAddr = client
        .and_then(|client| client.parse().ok())
        .ok_or_else(|| format!("no client in {answer:?}"))?;

    for (key, expected) in expect.as_object().ok_or("nothing is expected")? {
        let expected_text = expected.as_str();
        match key.as_str() {
            // Some cases leave the port out.
            "remote" => match expected_text.and_then(|text| text.parse::<IpAddr>().ok()) {
                Some(address) => same("remote", &client.ip(), &address)?,
                None => same("remote", &Some(client.to_string().as_str()), &expected_text)?,
            },
            "scheme" => same("scheme", &scheme, &expected_text)?,
            "accepted" => same("accepted", &Some(client != peer), &expected.as_bool())?,
            "remaining" => same("remaining", &left, &expected_text)?,
            other => return Err(format!("nothing is known of {other}")),
        }
    }
    Ok(())
}
