//! What the documentation of Kestrel shows its readers: each of it loads, and what is plain HTTP serves.

#![cfg(feature = "config")]

#[path = "support/client.rs"]
mod client;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/reload.rs"]
mod support;

use client::Client;
use ports::free_ports;
use stannel::{
    CertificateSource, Configuration, ConfigurationError, EndpointPlan, Server, ServerOptions, SslProtocols,
    StoreLocation,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use support::hello;

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

#[test]
fn nothing_configured() {
    let plan = ServerOptions::default().plan().unwrap();
    assert_eq!(urls(&plan), ["http://localhost:5000"]);
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

/// The file with five endpoints; its certificates are named, and reading them is another matter.
#[test]
fn the_file_with_five_endpoints() {
    let text = r#"{
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
    let configuration = Configuration::builder()
        .add_json_text("appsettings.json", text)
        .build()
        .unwrap();
    let plan = configuration.server_options().unwrap().plan().unwrap();
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
    let certificates: Vec<Option<CertificateSource>> = plan
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.https().and_then(|https| https.server_certificate.clone()))
        .collect();
    let stored = CertificateSource::Store {
        subject: "stored.test".to_owned(),
        store: "My".to_owned(),
        location: StoreLocation::CurrentUser,
        allow_invalid: true,
    };
    assert_eq!(
        certificates,
        [
            None,
            Some(CertificateSource::pfx("wildcard.pfx", "wildcard-password")),
            Some(CertificateSource::pfx("default.pfx", "default-password")),
            Some(CertificateSource::pfx("inline.pfx", "inline-password")),
            Some(stored),
        ]
    );
    let warnings = plan
        .notes()
        .iter()
        .filter(|note| note.level() <= log::Level::Warn)
        .count();
    assert_eq!(warnings, 0, "{:?}", plan.notes());

    // Without the default certificate the start fails where it is missed.
    let without = text.replace("\"Default\"", "\"Other\"");
    let configuration = Configuration::builder()
        .add_json_text("appsettings.json", without)
        .build()
        .unwrap();
    let error = configuration.server_options().unwrap().plan().unwrap_err().to_string();
    assert!(
        error.contains("https://localhost:5003") && error.contains("HttpsDefaultCert"),
        "{error}"
    );
}

fn plan_of(text: &str) -> Result<EndpointPlan, ConfigurationError> {
    let builder = Configuration::builder().add_json_text("appsettings.json", text);
    builder.build()?.server_options()?.plan()
}

#[test]
fn the_default_certificate_may_come_from_a_store() {
    let text = r#"{ "Kestrel": {
      "Endpoints": { "Https": { "Url": "https://localhost:5003" } },
      "Certificates": { "Default": { "Subject": "stored.test", "Store": "My", "Location": "CurrentUser" } }
    } }"#;
    let plan = plan_of(text).unwrap();
    let https = plan.endpoints()[0].https().unwrap();
    assert_eq!(
        https.server_certificate,
        Some(CertificateSource::Store {
            subject: "stored.test".to_owned(),
            store: "My".to_owned(),
            location: StoreLocation::CurrentUser,
            allow_invalid: false,
        })
    );
    // A path and a store exclude each other.
    let both = text.replace("\"Subject\"", "\"Path\": \"default.pfx\", \"Subject\"");
    let error = plan_of(&both).unwrap_err().to_string();
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
    let configuration = Configuration::builder().add_json_text("a.json", text).build().unwrap();
    let mut options = configuration.server_options().unwrap();
    options.loader_mut().unwrap().endpoint("HTTPS", |endpoint| {
        assert!(endpoint.is_https());
        let https = endpoint.https_options().unwrap();
        assert_eq!(
            https.server_certificate,
            Some(CertificateSource::pfx("wildcard.pfx", "wildcard-password"))
        );
        https.ssl_protocols = SslProtocols::TLS12;
    });
    let plan = options.plan().unwrap();
    assert_eq!(plan.endpoints()[0].https().unwrap().ssl_protocols, SslProtocols::TLS12);
}

/// They have no certificate of their own, so a start without a default one fails, and says what is missing.
#[test]
fn https_through_urls_needs_a_default_certificate() {
    let in_file = r#"{ "Urls": "http://localhost:5000;https://localhost:5001" }"#;
    let error = plan_of(in_file).unwrap_err().to_string();
    assert!(
        error.contains("https://localhost:5001") && error.contains("Kestrel:Certificates:Default"),
        "{error}"
    );
    let with_default = r#"{ "Urls": "https://localhost:5001",
      "Kestrel": { "Certificates": { "Default": { "Path": "default.pfx", "Password": "default-password" } } } }"#;
    let plan = plan_of(with_default).unwrap();
    assert_eq!(
        plan.endpoints()[0].https().unwrap().server_certificate,
        Some(CertificateSource::pfx("default.pfx", "default-password"))
    );
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
    let mut options = ServerOptions::default();
    options.configure_endpoint_defaults(|endpoint| endpoint.no_delay = false);
    options.configure_endpoint_defaults(|endpoint| endpoint.no_delay = true);
    options.configure_https_defaults(|https| https.ssl_protocols = SslProtocols::TLS12);
    let endpoint = options.listen(Ipv4Addr::LOCALHOST, 5001);
    assert!(endpoint.no_delay);
    endpoint.use_https_with(|https| {
        https.server_certificate = Some(CertificateSource::pfx("testCert.pfx", "testPassword"));
    });
    let plan = options.plan().unwrap();
    assert_eq!(urls(&plan), ["https://127.0.0.1:5001"]);
    assert_eq!(plan.endpoints()[0].https().unwrap().ssl_protocols, SslProtocols::TLS12);
}

#[test]
fn a_unix_socket_with_a_certificate() {
    let mut options = ServerOptions::default();
    options
        .listen_unix_socket("/tmp/kestrel-test.sock")
        .use_https_with(|https| {
            https.server_certificate = Some(CertificateSource::pfx("testCert.pfx", "testPassword"));
        });
    assert_eq!(urls(&options.plan().unwrap()), ["https://unix:/tmp/kestrel-test.sock"]);
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
