//! What the documentation of Kestrel shows its readers: each of it loads, and what is plain HTTP serves.

#![cfg(all(feature = "config", feature = "pfx"))]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/client.rs"]
mod client;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/reload.rs"]
mod support;

use certificates::{Home, make};
use client::Client;
use ports::free_ports;
use stannel::{
    CertificateSource, Configuration, ConfigurationError, EndpointPlan, Server, ServerOptions, SslProtocols,
    StoreLocation,
};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use support::hello;
use tempfile::TempDir;

/// Serves what the options say and gets every TCP address; the lines that a program would print.
fn serve(options: ServerOptions) -> Vec<String> {
    let server = Server::new(options, hello).bind().unwrap();
    let lines = server.addresses().iter().flat_map(|address| address.lines()).collect();
    let targets: Vec<SocketAddr> = server
        .addresses()
        .iter()
        .flat_map(|address| address.socket_addrs().to_vec())
        .collect();
    let handle = server.handle();
    let running = std::thread::spawn(move || server.run().unwrap());
    for target in targets {
        assert_eq!(Client::connect(target).get("/").text(), "hello", "{target}");
    }
    handle.shutdown();
    running.join().unwrap();
    lines
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

#[test]
fn a_unix_socket_with_a_certificate() {
    let site = Site::new();
    site.file("testCert", "testPassword");
    // A path in code begins at the content root, as one of the configuration does.
    let mut options = site.configured("{}").unwrap();
    options
        .listen_unix_socket("/tmp/kestrel-test.sock")
        .use_https_with(|https| {
            https.server_certificate = Some(CertificateSource::pfx("testCert.pfx", "testPassword"));
        });
    let plan = options.plan().unwrap();
    assert_eq!(urls(&plan), ["https://unix:/tmp/kestrel-test.sock"]);
    assert_eq!(
        plan.endpoints()[0].https_files(),
        [site.root.path().join("testCert.pfx")]
    );
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
