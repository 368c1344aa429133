//! From a URL to sockets: what is tried, what is reported, what a failure comes to.

use crate::{Case, Outcome, any_certificate, logs, options, same, texts, urls};
use serde_json::Value;
use stannel::{BindError, BindTarget, Binding, ListenOptions, Server, ServerOptions};
use std::io;
use std::net::SocketAddr;

/// The endpoint of a URL; any certificate will do.
fn endpoint(url: &str) -> Result<ListenOptions, &'static str> {
    let mut options = options();
    options.configure_https_defaults(|https| https.server_certificate = Some(any_certificate()));
    options.listen_url(url).map_err(|error| urls::name(&error))?;
    let plan = options.plan().map_err(|_| "another error")?;
    Ok(plan.endpoints()[0].clone())
}

pub(crate) fn listen(endpoint: &ListenOptions) -> &'static str {
    match endpoint.binding() {
        Binding::Address(_) => "ip",
        Binding::AnyIp(_) => "any",
        Binding::Localhost(_) => "localhost",
        Binding::Unix(_) | Binding::UnixAbstract(_) => "unix",
        Binding::Handle(_) => "handle",
        _ => "something else",
    }
}

pub(crate) fn port(endpoint: &ListenOptions) -> Option<u16> {
    match endpoint.binding() {
        Binding::Address(address) => Some(address.port()),
        Binding::AnyIp(port) | Binding::Localhost(port) => Some(*port),
        _ => None,
    }
}

/// Opens everything that is asked for.
fn targets(endpoint: &ListenOptions) -> Vec<String> {
    let mut targets = Vec::new();
    let bound = endpoint.bind_with(|target| {
        targets.push(target.address.to_string());
        Ok((target.address, ()))
    });
    assert!(bound.is_ok());
    targets
}

pub(crate) fn bind(case: &Case) -> Result<(), String> {
    let expect = &case.expect;
    let endpoint = match endpoint(case.input.as_str().unwrap_or_default()) {
        Ok(endpoint) => endpoint,
        Err(error) => return same("error", &Some(error), &expect["error"].as_str()),
    };
    same("error", &None, &expect["error"].as_str())?;
    let address = match endpoint.binding() {
        Binding::Address(address) => Some(address.ip().to_string()),
        _ => None,
    };
    let path = match endpoint.binding() {
        Binding::Unix(path) => Some(path.display().to_string()),
        _ => None,
    };
    let reported = endpoint.to_string();
    let found = [
        ("listen", Value::from(listen(&endpoint))),
        ("address", Value::from(address)),
        ("port", Value::from(port(&endpoint))),
        ("path", Value::from(path)),
        ("https", Value::from(endpoint.https().is_some())),
        ("targets", Value::from(targets(&endpoint))),
        ("reported", Value::from(reported.clone())),
        ("reported_all", Value::from(vec![reported])),
        ("lines", Value::from(endpoint.lines())),
    ];
    for (key, value) in found {
        if let Some(expected) = expect.get(key) {
            let lines: Vec<Value>;
            let expected = if key == "lines" {
                let plain = |line: String| Value::from(line.trim_start_matches("Now listening on: "));
                lines = texts(expected).into_iter().map(plain).collect();
                &Value::from(lines)
            } else {
                expected
            };
            same(key, &value, expected)?;
        }
    }
    Ok(())
}

/// Plays an attempt as the case says it goes.
fn play(target: BindTarget, results: &Value) -> io::Result<(SocketAddr, SocketAddr)> {
    let mut address = target.address;
    let result = results[address.to_string()]
        .as_str()
        .expect("no such attempt is foreseen");
    let errno = match result {
        "ok" => return Ok((address, address)),
        "EADDRINUSE" => 98,
        "EADDRNOTAVAIL" => 99,
        "EAFNOSUPPORT" => 97,
        "EACCES" => 13,
        "EPERM" => 1,
        "EINVAL" => 22,
        "EMFILE" => 24,
        "ENODEV" => 19,
        "ENETDOWN" => 100,
        "ENOBUFS" => 105,
        other => {
            let port = other.rsplit(' ').next().and_then(|port| port.parse().ok());
            address.set_port(port.unwrap_or_else(|| panic!("unknown result {other}")));
            return Ok((address, address));
        }
    };
    Err(io::Error::from_raw_os_error(errno))
}

pub(crate) fn bind_result(case: &Case) -> Result<(), String> {
    let expect = &case.expect;
    let endpoint = endpoint(case.input["url"].as_str().unwrap_or_default())?;
    logs::take();
    let bound = endpoint.bind_with(|target| play(target, &case.input["results"]));
    let lines = logs::take();
    let notices: Vec<_> = lines.iter().filter(|(_, line)| line.contains(" loopback: ")).collect();
    if let Some(expected) = expect["notices"].as_u64() {
        same("notices", &(notices.len() as u64), &expected)?;
    }
    if let Some(level) = expect["notice_level"].as_str() {
        let level = crate::level(level);
        same("notice_level", &notices.iter().all(|(told, _)| *told == level), &true)?;
    }
    if let Some(expected) = expect["debug_fallback"].as_bool() {
        let told = |(level, line): &(log::Level, String)| *level == log::Level::Debug && line.contains("0.0.0.0");
        same("debug_fallback", &lines.iter().any(told), &expected)?;
    }
    let bound = match bound {
        Ok(bound) => bound,
        Err(error) => {
            let name = match &error {
                BindError::AddressInUse { .. } => "address-in-use",
                BindError::LocalhostFailed { .. } => "address-bind-failed",
                _ => "another error",
            };
            same("error", &Some(name), &expect["error"].as_str())?;
            let named = expect["error_names"].as_str().unwrap_or_default();
            return same("error_names", &error.to_string().contains(named), &true);
        }
    };
    same("error", &None, &expect["error"].as_str())?;
    let opened: Vec<String> = bound.sockets.iter().map(|(address, _)| address.to_string()).collect();
    same("bound", &opened, &texts(&expect["bound"]))?;
    if expect.get("reported").is_some() {
        let reported = format!("{}://{}", endpoint.scheme(), bound.binding);
        same("reported", &vec![reported], &texts(&expect["reported"]))?;
    }
    Ok(())
}

pub(crate) fn reporting(case: &Case) -> Outcome {
    let (input, expect) = (&case.input, &case.expect);
    if input.get("bound").is_some() {
        let addresses = texts(&input["bound"]);
        let lines: Vec<String> = addresses
            .iter()
            .map(|address| stannel::listening_line(address))
            .collect();
        let missing = texts(&expect["lines_contain"])
            .into_iter()
            .find(|line| !lines.contains(line));
        return same("missing line", &missing, &None).into();
    }
    if let Some(words) = input["endpoint"].as_str() {
        let parts: Vec<&str> = words.split(", ").collect();
        let port = parts.get(1).and_then(|port| port.strip_prefix("port ")?.parse().ok());
        let address = parts[0].trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
        let mut options = ServerOptions::default();
        let endpoint = match (parts[0], port, address) {
            ("any IP", Some(port), _) => options.listen_any_ip(port),
            ("localhost", Some(port), _) => options.listen_localhost(port),
            (_, Some(port), Some(address)) => options.listen(address, port),
            (other, ..) => match other.strip_prefix("Unix socket ") {
                Some(path) => options.listen_unix_socket(path),
                None => return Outcome::Failed(format!("what is {words}?")),
            },
        };
        if parts.contains(&"TLS") {
            endpoint.use_https(());
        }
        return same(
            "address",
            &Some(endpoint.to_string().as_str()),
            &expect["address"].as_str(),
        )
        .into();
    }
    if input["before_start"].as_bool() == Some(true) {
        // Only a bound server has addresses: a `Server` has no way to ask.
        let _: fn(Server) -> Result<stannel::BoundServer, BindError> = Server::bind;
        return Outcome::Skipped("Rust's types rule it out: only what is bound has addresses");
    }
    Outcome::Failed("an unknown kind of input".to_owned())
}

pub(crate) fn systemd(case: &Case) -> Result<(), String> {
    let environment = &case.input["environment"];
    let pid = case.input["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .ok_or("pid")?;
    let lookup = |name: &str| environment[name].as_str().map(str::to_owned);
    let handles: Vec<i64> = stannel::systemd::descriptors(lookup, pid).map(i64::from).collect();
    let expected: Vec<i64> = case.expect["handles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_i64)
        .collect();
    same("handles", &handles, &expected)
}
