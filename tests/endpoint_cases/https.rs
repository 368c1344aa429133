//! What sees to it that clients come by HTTPS. The scheme of a request is the one that a proxy tells.

use crate::{Case, level, logs, same, texts};
use serde_json::Value;
use stannel::connection::{Connection, Engine};
use stannel::middleware::{
    ForwardedHeaders, ForwardedHeadersOptions, Hsts, HstsOptions, HttpsPort, HttpsRedirection, HttpsRedirector,
    XForwarded,
};
use stannel::{Configuration, ConnectionInfo, Exchange, Handler, Outcome, Peer, Request, ServerOptions, StatusCode};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

fn hello(_: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    exchange.respond(StatusCode::OK).send("hello")
}

/// Status and head of the answer to GET for a URL.
fn get<H: Handler + 'static>(
    case: &Case,
    factory: impl Fn() -> H + Send + Sync + 'static,
) -> Result<(u64, String), String> {
    let url = case.input["url"].as_str().ok_or("no url")?;
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let target = if target.is_empty() { "/" } else { target };
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Proto: {scheme}\r\n\r\n");
    let mut proxies = ForwardedHeadersOptions::default();
    proxies.forwarded_headers = XForwarded::PROTO;
    let factory = move || ForwardedHeaders::new(&proxies, factory());
    let mut engine = Engine::new(&ServerOptions::default(), factory, || ());
    let peer = Peer::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 4321)));
    let mut connection = Connection::new(&engine, ConnectionInfo::new(1, peer), 0);
    let mut turn = connection.turn(&mut engine, 0);
    turn.on_bytes(request.as_bytes());
    let answer = String::from_utf8_lossy(turn.output().unwrap_or_default()).into_owned();
    let (head, _) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or("no status")?, head.to_owned()))
}

/// The values of a field.
fn field(head: &str, name: &str) -> Vec<String> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .collect()
}

fn redirector(input: &Value) -> Result<HttpsRedirector, String> {
    let mut builder = Configuration::builder();
    if let Some(text) = input["https_port"].as_str() {
        builder = builder.set("https_port", text);
    }
    let configuration = builder.build().map_err(|error| error.to_string())?;
    let mut options = configuration.https_redirection().map_err(|error| error.to_string())?;
    if let Some(status) = input["status_option"].as_u64() {
        let status = u16::try_from(status)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok());
        options.redirect_status_code = status.ok_or("no status")?;
    }
    if let Some(port) = input["port_option"].as_i64() {
        options.https_port = match port {
            -1 => HttpsPort::Never,
            port => HttpsPort::Port(u16::try_from(port).map_err(|error| error.to_string())?),
        };
    }
    let redirector = HttpsRedirector::new(&options);
    redirector.set_addresses(texts(&input["addresses"]));
    Ok(redirector)
}

pub(crate) fn redirect(case: &Case) -> Result<(), String> {
    let redirector = redirector(&case.input)?;
    logs::take();
    let (status, head) = get(case, move || HttpsRedirection::new(&redirector, hello))?;
    let told: Vec<log::Level> = logs::take()
        .into_iter()
        .filter_map(|(level, _)| (level <= log::Level::Warn).then_some(level))
        .collect();
    let (mut expected_status, mut expected_told) = (200, Vec::new());
    let mut location = Vec::new();
    for (key, expected) in case.expect.as_object().ok_or("nothing is expected")? {
        match (key.as_str(), expected.as_str()) {
            ("status", _) => expected_status = expected.as_u64().ok_or("no status")?,
            ("location", Some(text)) => location.push(text.to_owned()),
            ("redirect", _) if expected.is_null() => {}
            ("log", Some(name)) => expected_told.push(level(name)),
            ("error", Some("several-https-ports")) => {
                expected_status = 500;
                expected_told.push(log::Level::Error);
            }
            (other, _) => return Err(format!("nothing is known of {other}")),
        }
    }
    same("status", &status, &expected_status)?;
    same("location", &field(&head, "Location"), &location)?;
    same("log", &told, &expected_told)
}

pub(crate) fn hsts(case: &Case) -> Result<(), String> {
    let input = &case.input;
    let mut options = HstsOptions::default();
    if let Some(seconds) = input["max_age_seconds"].as_f64() {
        options.max_age = Some(Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?);
    }
    if let Some(include) = input["include_sub_domains"].as_bool() {
        options.include_sub_domains = include;
    }
    if let Some(preload) = input["preload"].as_bool() {
        options.preload = preload;
    }
    if input["excluded_hosts"].is_array() {
        options.excluded_hosts = texts(&input["excluded_hosts"]);
    }
    let (status, head) = get(case, move || Hsts::new(&options, hello))?;
    same("status", &status, &200)?;
    let expected: Vec<String> = case.expect["header"].as_str().map(str::to_owned).into_iter().collect();
    same("header", &field(&head, "Strict-Transport-Security"), &expected)
}
