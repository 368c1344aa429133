//! Configuration files that somebody or something has damaged: nothing panics, and nothing is bound that the text does
//! not name.

#![cfg(all(feature = "config", feature = "pfx"))]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use stannel::certificate::CertificateStores;
use stannel::{Binding, Configuration, ConfigurationError, EndpointPlan, EndpointSource, ListenOptions};

const WHOLE: &str = r#"{
  // What a service of some size has.
  "Logging": { "LogLevel": { "Default": "Information" } },
  "AllowedHosts": "*",
  "urls": "http://localhost:5010;http://*:5011",
  "Kestrel": {
    "Workers": 2,
    "AddServerHeader": false,
    "Limits": {
      "MaxRequestBodySize": 1000000,
      "KeepAliveTimeout": "00:01:30",
      "MinRequestBodyDataRate": { "BytesPerSecond": 100, "GracePeriod": "00:00:10" },
      "MinResponseDataRate": null,
    },
    "EndpointDefaults": { "Protocols": "Http1", "NoDelay": true },
    "Endpoints": {
      "Web": { "Url": "http://127.0.0.1:5000", "Protocols": "Http1AndHttp2" },
      "Six": { "Url": "http://[::1]:5001" },
      "All": { "Url": "http://*:5002", "Own": { "Key": [1, 2, 3] } },
      "Local": { "Url": "http://localhost:5003" },
      "Socket": { "Url": "http://unix:/run/app.sock", "SocketMode": "0660", "ReplaceStaleSocket": true },
      "Tls": {
        "Url": "https://example.org:5004",
        "SslProtocols": ["Tls12", "Tls13"],
        "Certificate": {
          "Path": "tests/fixtures/dotnet/pem/p256.crt",
          "KeyPath": "tests/fixtures/dotnet/pem/p256.pkcs8.key",
          "Password": ""
        },
        "Sni": { "*.example.org": { "ClientCertificateMode": "AllowCertificate" }, "*": {} }
      }
    },
    "Certificates": { "Default": { "Subject": "exact.test", "Location": "CurrentUser", "AllowInvalid": true } }
  }
}"#;

/// What can happen to a text.
#[derive(Clone, Debug)]
enum Damage {
    CutOff(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Double(prop::sample::Index, usize),
    Put(prop::sample::Index, String),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>();
    let bits = prop_oneof![
        "[ -~]{1,4}",
        Just("\"".to_owned()),
        Just("}".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("null".to_owned()),
        Just("\u{0}\u{ffff}é".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("[".repeat(200)),
    ];
    prop_oneof![
        1 => place.prop_map(Damage::CutOff),
        4 => (any::<prop::sample::Index>(), 1..12_usize).prop_map(|(place, count)| Damage::Remove(place, count)),
        3 => (any::<prop::sample::Index>(), 1..40_usize).prop_map(|(place, count)| Damage::Double(place, count)),
        4 => (any::<prop::sample::Index>(), bits).prop_map(|(place, text)| Damage::Put(place, text)),
    ]
}

fn apply(text: &mut Vec<char>, damage: &Damage) {
    let end = |from: usize, count: usize, text: &Vec<char>| (from + count).min(text.len());
    match damage {
        Damage::CutOff(place) => text.truncate(place.index(text.len() + 1)),
        Damage::Remove(place, count) => {
            let from = place.index(text.len() + 1);
            text.drain(from..end(from, *count, text));
        }
        Damage::Double(place, count) => {
            let from = place.index(text.len() + 1);
            let part: Vec<char> = text[from..end(from, *count, text)].to_vec();
            text.splice(from..from, part);
        }
        Damage::Put(place, bits) => {
            let at = place.index(text.len() + 1);
            text.splice(at..at, bits.chars());
        }
    }
}

/// Whether the text names what the endpoint binds.
fn is_named(endpoint: &ListenOptions, text: &str) -> bool {
    match endpoint.binding() {
        Binding::Address(address) => {
            let port = address.port();
            let has_port = text.contains(&format!(":{port}")) || [80, 443].contains(&port) || port == 0;
            has_port && text.contains("://")
        }
        Binding::Localhost(port) | Binding::AnyIp(port) => {
            let is_default = *endpoint.source() == EndpointSource::Default && [5000, 5001].contains(port);
            is_default || [80, 443].contains(port) || text.contains(&format!(":{port}")) || text.contains(":0")
        }
        Binding::Unix(path) => text.contains(&path.display().to_string()),
        Binding::UnixAbstract(name) => text.contains(name),
        _ => false,
    }
}

fn plan(configuration: &Configuration) -> Result<EndpointPlan, ConfigurationError> {
    let mut options = configuration.server_options()?;
    options.certificate_stores = Some(CertificateStores::in_home("tests/fixtures/dotnet/stores/home"));
    options.plan()
}

#[test]
fn a_damaged_file_never_panics_and_binds_nothing_unnamed() {
    let config = Config {
        cases: 400,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        ..Config::default()
    };
    let damages = prop::collection::vec(damage(), 1..4);
    TestRunner::new(config)
        .run(&damages, |damages| {
            let mut text: Vec<char> = WHOLE.chars().collect();
            damages.iter().for_each(|damage| apply(&mut text, damage));
            let text: String = text.into_iter().collect();
            let configuration = Configuration::builder().add_json_text("a.json", text.as_str()).build();
            match configuration.and_then(|configuration| plan(&configuration)) {
                Ok(plan) => {
                    for endpoint in plan.endpoints() {
                        prop_assert!(is_named(endpoint, &text), "{endpoint} in {text}");
                    }
                }
                // Whoever is told has to be told something of use.
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
            Ok(())
        })
        .unwrap();
    let whole = Configuration::builder().add_json_text("a.json", WHOLE).build().unwrap();
    let plan = plan(&whole).unwrap();
    assert_eq!(plan.endpoints().len(), 6);
}
