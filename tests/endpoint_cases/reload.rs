//! A running server and a changed configuration.

use crate::making::{Home, make};
use crate::ports::free_ports;
use crate::support::{Following, hello};
use crate::tls_client::{Stream, Trusting, connect};
use crate::{Case, Outcome, same, texts};
use serde_json::{Value, json};
use stannel::Configuration;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
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
    write_certificates(folder.path(), &input["old"]);
    write_certificates(folder.path(), &input["new"]);
    let home = Home::new();
    home.store_development();
    let reals = free_ports::<6>();
    let ports = Ports((5000..).zip(reals).collect());
    let _taken = input["port_in_use"]
        .as_u64()
        .map(|port| TcpListener::bind(("::", ports.real(port))));
    let rerun: Arc<Mutex<Vec<String>>> = Arc::default();
    fs::write(folder.path().join("appsettings.json"), ports.text(&input["old"])).expect("a file");
    let builder = Configuration::builder().set_base_path(folder.path());
    let configuration = builder
        .add_optional_json_file("appsettings.json")
        .build()
        .expect("JSON");
    let certificates = folder.path().to_owned();
    let server = Following::follow(
        folder,
        &configuration,
        |options| {
            options.certificate_stores = Some(home.stores());
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
    let kept: Vec<(u64, Client)> = numbers(&expect["kept"])
        .into_iter()
        .map(|port| (port, Client::connect(ports.real(port), is_https(&input["old"], port))))
        .collect();
    if let Some(file) = input["file_changed"].as_str() {
        write_certificate(&certificates, node_of(&input["new"], file).expect("it is named"));
    }
    if let Some(file) = input["file_deleted"].as_str() {
        fs::remove_file(certificates.join(file)).expect("it is there");
    }
    // A running server sees for itself that such a file has changed.
    let is_asked = input.get("file_changed").or(input.get("file_deleted")).is_none();
    if is_asked {
        server.write(&ports.text(&input["new"]));
    }
    if input["reload_on_change"].as_bool() == Some(false) {
        let outcome = server.nothing_within(Duration::from_secs(1));
        return check_kept(kept).and_then(|()| same("outcome", &outcome, &None)).into();
    }
    if is_asked {
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
            let expected = numbers(&expect["certificate_swapped"]);
            same("certificate_swapped", &ports.of(&outcome.renewed), &expected)?;
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

/// A connection that was there before.
enum Client {
    Plain(TcpStream),
    Tls(Box<Stream>),
}

impl Client {
    fn connect(port: u16, is_https: bool) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if is_https {
            let config = Arc::new(Trusting::new().config(rustls::ALL_VERSIONS));
            Self::Tls(Box::new(connect(address, &config, "kept.test").expect("a handshake")))
        } else {
            let stream = TcpStream::connect(address).expect("it is served");
            stream
                .set_read_timeout(Some(Duration::from_secs(60)))
                .expect("a timeout");
            Self::Plain(stream)
        }
    }

    /// The first byte of an answer.
    fn ask(&mut self) -> std::io::Result<()> {
        let stream: &mut dyn ReadWrite = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        };
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")?;
        stream.read_exact(&mut [0])
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Connections that were there before are served.
fn check_kept(kept: Vec<(u64, Client)>) -> Result<(), String> {
    for (port, mut client) in kept {
        client
            .ask()
            .map_err(|error| format!("the connection on {port} is not kept: {error}"))?;
    }
    Ok(())
}

/// Whether the endpoint on that port is served over TLS.
fn is_https(section: &Value, port: u64) -> bool {
    let end = format!(":{port}");
    let text = section.to_string();
    text.split('"')
        .any(|url| url.starts_with("https://") && url.ends_with(&end))
}

/// Writes each certificate that is named below, unless it is there; a later section may have its password wrong.
fn write_certificates(folder: &Path, node: &Value) {
    for value in node.as_object().into_iter().flat_map(|node| node.values()) {
        write_certificates(folder, value);
    }
    if let Some(path) = node["Path"].as_str()
        && !folder.join(path).exists()
    {
        write_certificate(folder, node);
    }
}

/// Writes the files of a node: a PFX, or a certificate and its key.
fn write_certificate(folder: &Path, node: &Value) {
    let (made, password) = (make("reload.test"), node["Password"].as_str());
    let path = folder.join(node["Path"].as_str().expect("a path"));
    let Some(key) = node["KeyPath"].as_str() else {
        return fs::write(path, made.pfx(password)).expect("a file");
    };
    fs::write(path, made.certificate.pem()).expect("a file");
    let key_text = match password {
        Some(password) => made.encrypted_key(password),
        None => made.key.serialize_pem(),
    };
    fs::write(folder.join(key), key_text).expect("a file");
}

/// The node that names a file.
fn node_of<'a>(node: &'a Value, file: &str) -> Option<&'a Value> {
    if node["Path"].as_str() == Some(file) {
        return Some(node);
    }
    node.as_object()?.values().find_map(|node| node_of(node, file))
}
