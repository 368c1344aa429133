//! A running server and a changed configuration.

use crate::client::PATIENCE;
use crate::making::make;
use crate::ports::free_ports;
use crate::support::{Following, hello};
use crate::tls_client::{Trusting, connect};
use crate::{Case, Outcome, same, texts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
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
    let folder = tempfile::tempdir().expect("a folder");
    for section in [&input["old"], &input["new"]] {
        write_certificates(section, folder.path());
    }
    let reals = free_ports::<6>();
    let ports = Ports((5000..).zip(reals).collect());
    let _taken = input["port_in_use"]
        .as_u64()
        .map(|port| TcpListener::bind(("::", ports.real(port))));
    let rerun: Arc<Mutex<Vec<String>>> = Arc::default();
    let server = Following::start_in(
        folder,
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
    let kept: Vec<(u64, Box<dyn Stream>)> = numbers(&expect["kept"])
        .into_iter()
        .map(|port| (port, connect_to(&server, ports.real(port))))
        .collect();
    let changed = input["file_changed"].as_str().or(input["file_deleted"].as_str());
    if let Some(name) = changed {
        match input["file_changed"].is_string() {
            true => write_certificates(&input["new"], server.folder()),
            false => std::fs::remove_file(server.folder().join(name)).expect("it was there"),
        }
    } else {
        server.write(&ports.text(&input["new"]));
    }
    if input["reload_on_change"].as_bool() == Some(false) {
        let outcome = server.nothing_within(Duration::from_secs(1));
        return check_kept(kept).and_then(|()| same("outcome", &outcome, &None)).into();
    }
    if changed.is_none() {
        server.handle().reload();
    }
    let outcome = server.outcome();
    let check = || {
        for (key, found) in [("stopped", &outcome.stopped), ("started", &outcome.started)] {
            if expect.get(key).is_some() {
                let mut expected = numbers(&expect[key]);
                expected.sort_unstable();
                same(key, &ports.of(found), &expected)?;
            }
        }
        if expect.get("certificate_swapped").is_some() {
            same(
                "certificate_swapped",
                &ports.of(&outcome.renewed),
                &numbers(&expect["certificate_swapped"]),
            )?;
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

/// A connection, whatever is below.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

fn connect_to(server: &Following, port: u16) -> Box<dyn Stream> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let addresses = server.handle().addresses();
    let mut urls = addresses.iter().map(ToString::to_string);
    let url = urls.find(|url| url.ends_with(&format!(":{port}")));
    if url.expect("it is served").starts_with("https") {
        let config = Arc::new(Trusting::new().config(rustls::ALL_VERSIONS));
        return Box::new(connect(address, &config, "site.test").expect("a handshake"));
    }
    let stream = TcpStream::connect(address).expect("it is served");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Box::new(stream)
}

/// New certificates in all files that certificate nodes name.
fn write_certificates(node: &Value, folder: &Path) {
    let made = || make("site.test");
    if let Some(name) = node["Path"].as_str() {
        let (path, made) = (folder.join(name), made());
        let written = match node["KeyPath"].as_str() {
            Some(key) => std::fs::write(path, made.certificate.pem())
                .and_then(|()| std::fs::write(folder.join(key), made.key.serialize_pem())),
            None => std::fs::write(path, made.pfx(node["Password"].as_str())),
        };
        written.expect("a folder to write to");
    }
    for child in node.as_object().into_iter().flatten().map(|(_, child)| child) {
        write_certificates(child, folder);
    }
}

/// Connections that were there before are served.
fn check_kept(kept: Vec<(u64, Box<dyn Stream>)>) -> Result<(), String> {
    for (port, mut stream) in kept {
        let mut byte = [0];
        let mut ask = || {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")?;
            stream.read_exact(&mut byte)
        };
        ask().map_err(|error| format!("the connection on {port} is not kept: {error}"))?;
    }
    Ok(())
}
