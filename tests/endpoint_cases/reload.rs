//! A running server and a changed configuration.

use crate::ports::free_ports;
use crate::support::{Following, hello};
use crate::{Case, Outcome, same, texts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Ports that stand in for those of the cases.
struct Ports(BTreeMap<u64, u16>);

impl Ports {
    fn real(&self, port: u64) -> u16 {
        self.0[&port]
    }

    /// The text with every port of the case replaced.
    fn text(&self, section: &Value) -> String {
        // A text is the file as it is, whatever is wrong with it.
        let text = match section {
            Value::String(text) => text.clone(),
            section => json!({ "Kestrel": section }).to_string(),
        };
        self.0.iter().fold(text, |text, (port, real)| {
            text.replace(&format!(":{port}\""), &format!(":{real}\""))
        })
    }

    /// The case's ports of these addresses, in order.
    fn of(&self, addresses: &[String]) -> Vec<u64> {
        let mut ports: Vec<u64> = addresses
            .iter()
            .filter_map(|address| address.rsplit(':').next()?.parse::<u16>().ok())
            .filter_map(|real| self.0.iter().find(|(_, other)| **other == real).map(|(port, _)| *port))
            .collect();
        ports.sort_unstable();
        ports
    }
}

fn numbers(value: &Value) -> Vec<u64> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect()
}

pub(crate) fn reload(case: &Case) -> Outcome {
    let (input, expect) = (&case.input, &case.expect);
    if input.to_string().contains("https") {
        return Outcome::Skipped("a server does not serve TLS yet");
    }
    let reals = free_ports::<6>();
    let ports = Ports((5000..).zip(reals).collect());
    let _taken = input["port_in_use"]
        .as_u64()
        .map(|port| TcpListener::bind(("::", ports.real(port))));
    let rerun: Arc<Mutex<Vec<String>>> = Arc::default();
    let server = Following::start(
        &ports.text(&input["old"]),
        |options| {
            let follows = input["reload_on_change"].as_bool() != Some(false);
            for made in input["code"].as_array().into_iter().flatten() {
                let port = made.as_u64().or_else(|| made[1].as_u64()).or_else(|| {
                    let url = made.as_str().or_else(|| made["Url"].as_str())?;
                    url.rsplit(':').next()?.parse().ok()
                });
                options.listen_any_ip(ports.real(port.expect("a port")));
            }
            let loader = options.loader_mut().expect("a loader");
            loader.reload_on_change(follows);
            for name in texts(&expect["callbacks_rerun"]) {
                let rerun = Arc::clone(&rerun);
                loader.endpoint(name.clone(), move |_| rerun.lock().unwrap().push(name.clone()));
            }
        },
        hello,
    );
    rerun.lock().unwrap().clear();
    let kept: Vec<(u64, TcpStream)> = numbers(&expect["kept"])
        .into_iter()
        .map(|port| {
            (
                port,
                TcpStream::connect(("127.0.0.1", ports.real(port))).expect("it is served"),
            )
        })
        .collect();
    server.write(&ports.text(&input["new"]));
    if input["reload_on_change"].as_bool() == Some(false) {
        let outcome = server.nothing_within(Duration::from_secs(1));
        return check_kept(kept).and_then(|()| same("outcome", &outcome, &None)).into();
    }
    server.handle().reload();
    let outcome = server.outcome();
    let check = || {
        for (key, found) in [("stopped", &outcome.stopped), ("started", &outcome.started)] {
            if expect.get(key).is_some() {
                let mut expected = numbers(&expect[key]);
                expected.sort_unstable();
                same(key, &ports.of(found), &expected)?;
            }
        }
        if expect["critical_logged"].as_bool() == Some(true) {
            same("told", &(!outcome.failed.is_empty() || outcome.error.is_some()), &true)?;
        }
        if expect.get("callbacks_rerun").is_some() {
            same(
                "callbacks_rerun",
                &rerun.lock().unwrap().clone(),
                &texts(&expect["callbacks_rerun"]),
            )?;
        }
        check_kept(kept)
    };
    check().into()
}

/// Connections that were there before are served.
fn check_kept(kept: Vec<(u64, TcpStream)>) -> Result<(), String> {
    for (port, mut stream) in kept {
        let mut byte = [0];
        let mut ask = || {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            stream.read_exact(&mut byte)
        };
        ask().map_err(|error| format!("the connection on {port} is not kept: {error}"))?;
    }
    Ok(())
}
