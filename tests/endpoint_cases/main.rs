//! Kestrel's behaviour as data: every case of `tests/endpoints-cases.json`, or of the file in `ENDPOINT_CASES`.
//!
//! One line for each case that fails, and at the end how many ran, failed and were left out, and why.

mod binding;
mod certificates;
mod code;
mod config;
#[cfg(feature = "dev-cert")]
mod development;
mod files;
mod front;
mod https;
mod kestrel;
mod reload;
mod shaking;
mod sources;
mod tls;
mod urls;

#[path = "../support/client.rs"]
mod client;
#[path = "../support/core.rs"]
mod core;
#[cfg(feature = "dev-cert")]
#[path = "../support/home.rs"]
mod home;
#[path = "../support/logs.rs"]
mod logs;
#[path = "../support/certificates.rs"]
mod making;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/reload.rs"]
mod support;
#[path = "../support/tls.rs"]
mod tls_client;

use serde_json::Value;
use stannel::certificate::CertificateStores;
use stannel::{CertificateSource, ServerOptions};
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What became of a case.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// A case, as the file has it.
struct Case {
    id: String,
    kind: String,
    since: String,
    input: Value,
    expect: Value,
}

/// Options that know of no certificate on this machine.
fn options() -> ServerOptions {
    let mut options = ServerOptions::default();
    options.certificate_stores = Some(CertificateStores::in_home("/nowhere"));
    options
}

/// A certificate that can be used.
fn any_certificate() -> CertificateSource {
    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem");
    CertificateSource::pem(format!("{pem}/p256.crt"), format!("{pem}/p256.pkcs8.key"))
}

fn run(case: &Case) -> Outcome {
    if speaks_of_older_versions(&case.since) {
        return Outcome::Skipped("it speaks of versions before Kestrel 10 only");
    }
    match case.kind.as_str() {
        "url" => urls::url(case).into(),
        "urls-list" => urls::list(case).into(),
        "bind" => binding::bind(case).into(),
        "bind-result" => binding::bind_result(case).into(),
        "reporting" => binding::reporting(case),
        "json" => sources::json(case).into(),
        "environment" => sources::environment(case).into(),
        "command-line" => sources::command_line(case).into(),
        "key-order" => sources::key_order(case).into(),
        "http-ports" => sources::http_ports(case).into(),
        "urls-source" => sources::urls_source(case).into(),
        "precedence" => kestrel::precedence(case),
        "config" => config::config(case),
        "code" => code::code(case),
        "loader" => code::loader(case),
        "host-filter" => front::host_filter(case).into(),
        "forwarded" => front::forwarded(case).into(),
        "store-match" => certificates::store_match(case).into(),
        "dev-cert" => certificates::dev_cert(case).into(),
        "sni" => tls::sni(case),
        "sni-options" => tls::sni_options(case),
        "tls" => tls::tls(case),
        "https-redirect" => https::redirect(case).into(),
        "hsts" => https::hsts(case).into(),
        #[cfg(feature = "dev-cert")]
        "dev-cert-profile" => development::profile(case),
        #[cfg(feature = "dev-cert")]
        "dev-certs-tool" => development::tool(case).into(),
        #[cfg(not(feature = "dev-cert"))]
        "dev-cert-profile" | "dev-certs-tool" => {
            Outcome::Skipped("it is about development certificates, and the feature dev-cert is off")
        }
        "reload" => reload::reload(case),
        "systemd" => binding::systemd(case).into(),
        _ => Outcome::Failed(format!("unknown kind {}", case.kind)),
    }
}

/// `2.1 to 9`: the range ends before 10.
fn speaks_of_older_versions(since: &str) -> bool {
    since
        .split_once(" to ")
        .and_then(|(_, end)| end.split('.').next()?.trim().parse::<u32>().ok())
        .is_some_and(|end| end < 10)
}

fn cases(text: &str) -> Vec<Case> {
    let file: Value = serde_json::from_str(text).expect("the cases are JSON");
    let text = |case: &Value, key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let cases = file["cases"].as_array().expect("the file has cases");
    cases
        .iter()
        .map(|case| Case {
            id: text(case, "id"),
            kind: text(case, "kind"),
            since: text(case, "since"),
            input: case["input"].clone(),
            expect: case["expect"].clone(),
        })
        .collect()
}

#[test]
fn every_case() {
    logs::install();
    let text = match std::env::var_os("ENDPOINT_CASES") {
        Some(path) => std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        None => include_str!("../endpoints-cases.json").to_owned(),
    };
    let (mut passed, mut failed) = (0, 0);
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases(&text) {
        let outcome =
            catch_unwind(AssertUnwindSafe(|| run(&case))).unwrap_or_else(|_| Outcome::Failed("it panicked".to_owned()));
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed(why) => {
                failed += 1;
                say(&format!("FAILED {} ({}): {why}", case.id, case.kind));
            }
            Outcome::Skipped(why) => *skipped.entry(why).or_default() += 1,
        }
    }
    for (why, count) in &skipped {
        say(&format!("skipped {count}: {why}"));
    }
    let left_out: usize = skipped.values().sum();
    say(&format!(
        "{passed} passed, {failed} failed, {left_out} skipped (endpoint cases)"
    ));
    assert_eq!(failed, 0, "see the lines above");
}

/// Prints a line past the test harness, which would show it only if the test failed.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// `Err` with both if they differ.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?} instead of {expected:?}"))
    }
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The levels as the cases call them.
fn level(name: &str) -> log::Level {
    match name.to_ascii_lowercase().as_str() {
        "debug" => log::Level::Debug,
        "information" => log::Level::Info,
        "warning" => log::Level::Warn,
        _ => log::Level::Error,
    }
}
