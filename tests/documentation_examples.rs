//! What the documentation of Kestrel shows its readers: each of it serves what it says, or fails as it says.

#![cfg(all(feature = "config", feature = "pfx"))]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/client.rs"]
mod client;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/reload.rs"]
mod support;
#[path = "support/tls.rs"]
mod tls;

use certificates::{Home, make};
use client::Client;
use ports::free_ports;
use stannel::tls::ServerCertificateSelector;
use stannel::{
    BoundAddress, Certificate, CertificateSource, Configuration, ConfigurationError, EndpointPlan, Server,
    ServerOptions, SslProtocols, StoreLocation,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use support::hello;
use tempfile::TempDir;
use tls::{Peer, Trusting};

/// Serves what the options say while `visit` looks at it; the lines that a program would print.
fn serve_while(options: ServerOptions, visit: impl FnOnce(&[BoundAddress])) -> Vec<String> {
    let server = Server::new(options, hello).bind().unwrap();
    let addresses = server.addresses().to_vec();
    let handle = server.handle();
    let running = std::thread::spawn(move || server.run().unwrap());
    visit(&addresses);
    handle.shutdown();
    running.join().unwrap();
    addresses.iter().flat_map(BoundAddress::lines).collect()
}

/// Gets every TCP address of a server with these options; what was presented there is `NAME.test` or nothing for HTTP.
fn presented(options: ServerOptions) -> (Vec<String>, Vec<Vec<String>>) {
    let mut presented = Vec::new();
    let lines = serve_while(options, |addresses| {
        for address in addresses {
            let targets = address.socket_addrs().iter();
            presented.push(match address.to_string().starts_with("https:") {
                true => targets.map(|target| ask_tls(reachable(*target), "any.test")).collect(),
                false => {
                    targets.for_each(|target| assert_eq!(Client::connect(*target).get("/").text(), "hello"));
                    Vec::new()
                }
            });
        }
    });
    (lines, presented)
}

/// Serves what the options say and gets every TCP address; the lines that a program would print.
fn serve(options: ServerOptions) -> Vec<String> {
    presented(options).0
}

/// Every address is reached by that of the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        false => address,
    }
}

/// Says hello to a host name; the common name of the certificate that is presented.
fn ask_tls(address: SocketAddr, name: &'static str) -> String {
    let trusting = Trusting::new();
    let config = Arc::new(trusting.config(rustls::ALL_VERSIONS));
    let stream = tls::connect(address, &config, name).unwrap();
    assert!(tls::ask(stream, "/").ends_with("hello"));
    let shown = p12_keystore::Certificate::from_der(&trusting.shown()[0]).unwrap();
    shown.subject().strip_prefix("CN=").unwrap().to_owned()
}

fn urls(plan: &EndpointPlan) -> Vec<String> {
    plan.endpoints().iter().map(ToString::to_string).collect()
}

/// A content root with PFX files, and a home directory.
struct Site {
    root: TempDir,
    home: Home,
}

impl Site {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            home: Home::new(),
        }
    }

    /// `NAME.pfx` with that password, for `NAME.test`.
    fn file(&self, name: &str, password: &str) -> CertificateSource {
        let path = self.root.path().join(format!("{name}.pfx"));
        let certificate = make(&format!("{name}.test"));
        fs::write(&path, certificate.pfx(Some(password))).unwrap();
        CertificateSource::pfx(path, password)
    }

    /// A certificate in the store `My`; the machine trusts it if asked to.
    fn store(&self, name: &str, is_trusted: bool) {
        let certificate = make(name);
        self.home.store(name, &certificate);
        if is_trusted {
            self.home.trust(&[&certificate]);
        }
    }

    fn options(&self) -> ServerOptions {
        let mut options = ServerOptions::default();
        options.certificate_stores = Some(self.home.stores());
        options
    }

    /// Those that a configuration asks for.
    fn configured(&self, text: &str) -> Result<ServerOptions, ConfigurationError> {
        let builder = Configuration::builder().set_base_path(self.root.path());
        let mut options = builder
            .add_json_text("appsettings.json", text)
            .build()?
            .server_options()?;
        options.certificate_stores = Some(self.home.stores());
        Ok(options)
    }

    fn plan(&self, text: &str) -> Result<EndpointPlan, ConfigurationError> {
        self.configured(text)?.plan()
    }

    /// What is wrong with it.
    fn refusal(&self, text: &str) -> String {
        self.plan(text).unwrap_err().to_string()
    }
}

/// Where the certificates of a plan come from.
fn sources(plan: &EndpointPlan) -> Vec<Option<CertificateSource>> {
    let https = plan.endpoints().iter().map(|endpoint| endpoint.https());
    https
        .map(|https| https.and_then(|https| https.server_certificate.clone()))
        .collect()
}

fn in_store(allow_invalid: bool) -> CertificateSource {
    CertificateSource::Store {
        subject: "stored.test".to_owned(),
        store: "My".to_owned(),
        location: StoreLocation::CurrentUser,
        allow_invalid,
    }
}

#[test]
fn nothing_configured() {
    let site = Site::new();
    assert_eq!(urls(&site.options().plan().unwrap()), ["http://localhost:5000"]);
    site.home.store_development();
    let plan = site.options().plan().unwrap();
    assert_eq!(urls(&plan), ["http://localhost:5000", "https://localhost:5001"]);
    assert_eq!(sources(&plan), [None, Some(CertificateSource::DevelopmentStore)]);
    // A default certificate goes before one for development.
    let default = site.file("default", "default-password");
    let text = r#"{ "Kestrel": { "Certificates": {
      "Default": { "Path": "default.pfx", "Password": "default-password" }
    } } }"#;
    assert_eq!(sources(&site.plan(text).unwrap()), [None, Some(default)]);
}

#[test]
fn several_urls_in_each_place() {
    let [first, second] = free_ports();
    let list = format!("http://localhost:{first};http://localhost:{second}");
    let expected = [
        format!("Now listening on: http://localhost:{first}"),
        format!("Now listening on: http://localhost:{second}"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let sources = |environment: &[(&str, &str)], arguments: &[&str]| {
        Configuration::builder()
            .set_base_path(folder.path())
            .set_environment(environment.iter().copied())
            .add_default_sources(arguments)
            .unwrap()
            .build()
            .unwrap()
            .server_options()
            .unwrap()
    };
    assert_eq!(serve(sources(&[("ASPNETCORE_URLS", &list)], &[])), expected);
    assert_eq!(serve(sources(&[], &["--urls", &list])), expected);
    std::fs::write(
        folder.path().join("appsettings.json"),
        format!("{{ \"Urls\": \"{list}\" }}"),
    )
    .unwrap();
    assert_eq!(serve(sources(&[], &[])), expected);
    let mut options = ServerOptions::default();
    options.use_urls([
        format!("http://localhost:{first}"),
        format!("http://localhost:{second}"),
    ]);
    assert_eq!(serve(options), expected);
}

const FIVE: &str = r#"{
  "Kestrel": {
    "EndPoints": {
      "Http": { "Url": "http://localhost:5000" },
      "HttpsInlineCertFile": {
        "Url": "https://localhost:5001",
        "Certificate": { "Path": "inline.pfx", "Password": "inline-password" }
      },
      "HttpsInlineCertStore": {
        "Url": "https://localhost:5002",
        "Certificate": {
          "Subject": "stored.test", "Store": "My", "Location": "CurrentUser", "AllowInvalid": "true"
        }
      },
      "HttpsDefaultCert": { "Url": "https://localhost:5003" },
      "Https": {
        "Url": "https://*:5004",
        "Certificate": { "Path": "wildcard.pfx", "Password": "wildcard-password" }
      }
    },
    "Certificates": { "Default": { "Path": "default.pfx", "Password": "default-password" } }
  }
}"#;

#[test]
fn the_file_with_five_endpoints() {
    let site = Site::new();
    let [inline, wildcard, default] =
        ["inline", "wildcard", "default"].map(|name| site.file(name, &format!("{name}-password")));
    site.store("stored.test", false);
    let plan = site.plan(FIVE).unwrap();
    assert_eq!(
        urls(&plan),
        [
            "http://localhost:5000",
            "https://[::]:5004",
            "https://localhost:5003",
            "https://localhost:5001",
            "https://localhost:5002",
        ]
    );
    assert_eq!(
        sources(&plan),
        [None, Some(wildcard), Some(default), Some(inline), Some(in_store(true))]
    );
    let warnings = plan
        .notes()
        .iter()
        .filter(|note| note.level() <= log::Level::Warn)
        .count();
    assert_eq!(warnings, 0, "{:?}", plan.notes());

    // The same on ports that are free.
    let ports = free_ports::<5>();
    let text = (0..5).fold(FIVE.to_owned(), |text, index| {
        text.replace(&format!(":500{index}\""), &format!(":{}\"", ports[index]))
    });
    let (lines, presented) = presented(site.configured(&text).unwrap());
    let url = |start: &str, index: usize| format!("Now listening on: {start}:{}", ports[index]);
    assert_eq!(
        lines,
        [
            url("http://localhost", 0),
            url("https://[::]", 4),
            url("https://localhost", 3),
            url("https://localhost", 1),
            url("https://localhost", 2),
        ]
    );
    // On 127.0.0.1 and ::1, where both are there.
    let names = ["", "wildcard.test", "default.test", "inline.test", "stored.test"];
    for (presented, name) in presented.iter().zip(names) {
        assert!(presented.iter().all(|presented| presented == name), "{presented:?}");
        assert_eq!(presented.is_empty(), name.is_empty());
    }
}

/// Bytes that are no TLS get none back.
#[test]
fn a_plain_request_where_https_is_served() {
    let site = Site::new();
    let mut options = site.options();
    options
        .listen_any_ip(0)
        .use_https(site.file("wildcard", "wildcard-password"));
    serve_while(options, |addresses| {
        let mut stream = TcpStream::connect(reachable(addresses[0].socket_addrs()[0])).unwrap();
        stream.set_read_timeout(Some(client::PATIENCE)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // The rest of the request may be met by a reset.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    });
}

/// `ServerCertificateSelector`: a dictionary that ignores case, and one certificate for names that are not in it.
#[test]
fn host_names_by_a_selector() {
    let site = Site::new();
    let names = ["localhost", "example.com", "sub.example.com"];
    let certificates: BTreeMap<String, Certificate> = names
        .iter()
        .map(|name| {
            site.store(name, false);
            let source = CertificateSource::Store {
                subject: (*name).to_owned(),
                store: "My".to_owned(),
                location: StoreLocation::CurrentUser,
                allow_invalid: true,
            };
            let certificate = Certificate::load(&source, &site.home.stores(), SystemTime::now()).unwrap();
            ((*name).to_owned(), certificate)
        })
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let mut options = site.options();
    options.listen_any_ip(0).use_https_with(|https| {
        let asked = Arc::clone(&asked);
        https.server_certificate_selector = Some(ServerCertificateSelector::new(move |_, name| {
            asked.fetch_add(1, Ordering::Relaxed);
            let name = name.unwrap_or_default().to_lowercase();
            certificates.get(&name).or(certificates.get("example.com")).cloned()
        }));
    });
    let lines = serve_while(options, |addresses| {
        let address = reachable(addresses[0].socket_addrs()[0]);
        for (name, presented) in [
            ("localhost", "localhost"),
            ("Sub.Example.COM", "sub.example.com"),
            ("example.com", "example.com"),
            ("unknown.test", "example.com"),
            // An address is no host name, so none is sent.
            ("127.0.0.1", "example.com"),
        ] {
            assert_eq!(ask_tls(address, name), presented, "{name}");
        }
    });
    assert!(lines[0].starts_with("Now listening on: https://[::]:"), "{lines:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 5);
}

/// Each says which endpoint, the key with its place, and the file or store.
#[test]
fn the_failing_starts_of_the_five_endpoints() {
    let site = Site::new();
    for name in ["inline", "wildcard", "default"] {
        site.file(name, &format!("{name}-password"));
    }
    site.store("stored.test", false);
    let cases: [(&str, &str, &[&str]); 3] = [
        (
            "\"AllowInvalid\": \"true\"",
            "\"AllowInvalid\": \"false\"",
            &[
                "https://localhost:5002",
                "HttpsInlineCertStore",
                "Certificate:Subject in appsettings.json:12:22",
                "\"stored.test\" in the store CurrentUser/My",
                "it is not trusted",
            ],
        ),
        (
            "\"Default\"",
            "\"Other\"",
            &["https://localhost:5003", "HttpsDefaultCert", "stannel dev-certs https"],
        ),
        (
            "inline.pfx",
            "<path to .pfx file>",
            &[
                "https://localhost:5001",
                "HttpsInlineCertFile:Certificate:Path in appsettings.json:7:34",
                "<path to .pfx file>: there is no such file",
            ],
        ),
    ];
    for (part, other, told) in cases {
        let error = site.refusal(&FIVE.replacen(part, other, 1));
        for told in told {
            assert!(error.contains(told), "no {told} in {error}");
        }
    }
    // A development certificate is as good as a default one.
    site.home.store_development();
    let plan = site.plan(&FIVE.replace("\"Default\"", "\"Other\"")).unwrap();
    assert_eq!(sources(&plan)[2], Some(CertificateSource::DevelopmentStore));
}

#[test]
fn the_default_certificate_may_come_from_a_store() {
    let site = Site::new();
    site.store("stored.test", true);
    let text = r#"{ "Kestrel": {
      "Endpoints": { "Https": { "Url": "https://localhost:5003" } },
      "Certificates": { "Default": { "Subject": "stored.test", "Store": "My", "Location": "CurrentUser" } }
    } }"#;
    assert_eq!(sources(&site.plan(text).unwrap()), [Some(in_store(false))]);
    // A path and a store exclude each other.
    let both = text.replace("\"Subject\"", "\"Path\": \"default.pfx\", \"Subject\"");
    let error = site.refusal(&both);
    assert!(error.contains("Certificates:Default"), "{error}");
}

/// `Endpoint("HTTPS", …)` in code supplements the endpoint of the file, in whatever case its name is.
#[test]
fn a_callback_by_name_sees_the_certificate_and_has_the_last_word() {
    let text = r#"{ "Kestrel": { "Endpoints": { "Https": {
      "Url": "https://*:5004",
      "SslProtocols": ["Tls12", "Tls13"],
      "Certificate": { "Path": "wildcard.pfx", "Password": "wildcard-password" }
    } } } }"#;
    let site = Site::new();
    let wildcard = site.file("wildcard", "wildcard-password");
    let mut options = site.configured(text).unwrap();
    options.loader_mut().unwrap().endpoint("HTTPS", move |endpoint| {
        assert!(endpoint.is_https());
        let https = endpoint.https_options().unwrap();
        assert_eq!(https.server_certificate, Some(wildcard.clone()));
        https.ssl_protocols = SslProtocols::TLS12;
    });
    let plan = options.plan().unwrap();
    assert_eq!(plan.endpoints()[0].https().unwrap().ssl_protocols, SslProtocols::TLS12);
}

/// They have no certificate of their own, so a start without a default one fails, and says what is missing.
#[test]
fn https_through_urls_needs_a_default_certificate() {
    let site = Site::new();
    let in_file = r#"{ "Urls": "http://localhost:5000;https://localhost:5001" }"#;
    let error = site.refusal(in_file);
    assert!(
        error.contains("https://localhost:5001") && error.contains("Kestrel:Certificates:Default"),
        "{error}"
    );
    let default = site.file("default", "default-password");
    let with_default = r#"{ "Urls": "https://localhost:5001",
      "Kestrel": { "Certificates": { "Default": { "Path": "default.pfx", "Password": "default-password" } } } }"#;
    assert_eq!(sources(&site.plan(with_default).unwrap()), [Some(default)]);
}

#[test]
fn endpoints_replace_urls_and_add_to_those_of_code() {
    let [code, configured, url] = free_ports();
    let text = format!(
        "{{ \"Urls\": \"http://localhost:{url}\", \
         \"Kestrel\": {{ \"Endpoints\": {{ \"http\": {{ \"url\": \"http://localhost:{configured}\", \"Mine\": \"x\" }} }} }} }}"
    );
    let configuration = Configuration::builder()
        .add_json_text("appsettings.json", text)
        .build()
        .unwrap();
    let mut options = configuration.server_options().unwrap();
    options.listen_localhost(code);
    options.loader_mut().unwrap().endpoint("HTTP", |endpoint| {
        assert_eq!(endpoint.section().get("Mine"), Some("x"));
        assert!(!endpoint.is_https() && endpoint.https_options().is_none());
        endpoint.listen_options().no_delay = false;
    });
    assert_eq!(
        serve(options),
        [
            format!("Now listening on: http://localhost:{code}"),
            format!("Now listening on: http://localhost:{configured}"),
        ]
    );
}

/// The sections `One` and `Two`, each with an endpoint.
fn two_sections(first: u16, second: u16) -> Configuration {
    let text = format!(
        "{{ \"One\": {{ \"Endpoints\": {{ \"A\": {{ \"Url\": \"http://localhost:{first}\" }} }} }}, \
         \"Two\": {{ \"Endpoints\": {{ \"B\": {{ \"Url\": \"http://localhost:{second}\" }} }} }} }}"
    );
    Configuration::builder().add_json_text("a.json", text).build().unwrap()
}

#[test]
fn of_two_sections_the_last_one_counts() {
    let [first, second, third] = free_ports();
    let configuration = two_sections(first, second);
    let mut options = ServerOptions::default();
    options.configure(configuration.section("One"));
    options
        .configure(configuration.section("Two"))
        .localhost_endpoint(third, |_| ());
    assert_eq!(
        serve(options),
        [
            format!("Now listening on: http://localhost:{third}"),
            format!("Now listening on: http://localhost:{second}"),
        ]
    );
}

#[test]
fn what_a_loader_has_loaded_outlives_it_unless_it_was_configured() {
    let [first, second, third] = free_ports();
    let configuration = two_sections(first, second);
    let mut options = ServerOptions::default();
    options
        .configure(configuration.section("One"))
        .localhost_endpoint(third, |_| ());
    options.load().unwrap();
    options.configure(configuration.section("Two"));
    // As with Kestrel 10.
    assert_eq!(
        serve(options),
        [
            format!("Now listening on: http://localhost:{third}"),
            format!("Now listening on: http://localhost:{second}"),
        ]
    );
}

#[test]
fn defaults_in_code() {
    let site = Site::new();
    let certificate = site.file("testCert", "testPassword");
    let mut options = site.options();
    options.configure_endpoint_defaults(|endpoint| endpoint.no_delay = false);
    options.configure_endpoint_defaults(|endpoint| endpoint.no_delay = true);
    options.configure_https_defaults(|https| https.ssl_protocols = SslProtocols::TLS12);
    let endpoint = options.listen(Ipv4Addr::LOCALHOST, 5001);
    assert!(endpoint.no_delay);
    endpoint.use_https_with(|https| https.server_certificate = Some(certificate));
    let plan = options.plan().unwrap();
    assert_eq!(urls(&plan), ["https://127.0.0.1:5001"]);
    assert_eq!(plan.endpoints()[0].https().unwrap().ssl_protocols, SslProtocols::TLS12);
}

/// `Listen(IPAddress.Loopback, 5001)` with `UseHttps("testCert.pfx", "testPassword")`.
#[test]
fn one_endpoint_with_a_file() {
    let site = Site::new();
    site.file("testCert", "testPassword");
    let mut options = site.configured("{}").unwrap();
    options
        .listen(Ipv4Addr::LOCALHOST, 0)
        .use_https(("testCert.pfx", "testPassword"));
    assert_eq!(presented(options).1, [["testCert.test"]]);
}

#[test]
fn a_unix_socket_with_a_certificate() {
    let site = Site::new();
    site.file("testCert", "testPassword");
    let socket = site.root.path().join("kestrel-test.sock");
    // A path in code begins at the content root, as one of the configuration does.
    let mut options = site.configured("{}").unwrap();
    options
        .listen_unix_socket(&socket)
        .use_https(("testCert.pfx", "testPassword"));
    let plan = options.plan().unwrap();
    assert_eq!(urls(&plan), [format!("https://unix:{}", socket.display())]);
    assert_eq!(
        plan.endpoints()[0].https_files(),
        [site.root.path().join("testCert.pfx")]
    );
    serve_while(options, |_| {
        let stream = UnixStream::connect(&socket).unwrap();
        let mut stream = rustls::StreamOwned::new(Peer::any().tls, stream);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
    });
}

#[test]
fn single_calls() {
    let folder = tempfile::tempdir().unwrap();
    let socket: PathBuf = folder.path().join("kestrel-test.sock");
    let mut options = ServerOptions::default();
    options.listen(Ipv4Addr::LOCALHOST, 0);
    options.listen_localhost(0);
    options.listen_unix_socket(&socket);
    let lines = serve(options);
    assert!(lines[0].starts_with("Now listening on: http://127.0.0.1:") && !lines[0].ends_with(":0"));
    assert!(lines[1].starts_with("Now listening on: http://localhost:") && !lines[1].ends_with(":0"));
    assert_eq!(lines[2], format!("Now listening on: http://unix:{}", socket.display()));
}
