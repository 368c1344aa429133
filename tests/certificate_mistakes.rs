//! Mistakes with certificates: each start is real, and fails with one cause, one place and one remedy.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/client.rs"]
mod client;
#[path = "support/ending.rs"]
mod ending;
#[path = "support/start.rs"]
mod start;

use certificates::{make, make_development, make_with};
use rcgen::ExtendedKeyUsagePurpose;
use start::{Start, endpoint};
use std::fs;
use std::path::Path;

/// A start with `site.pem`, `site.key`, `site.pfx` (password `secret`) and `encrypted.key` (the same).
fn site(certificate: &str) -> Start {
    let start = Start::new();
    let made = make("site.test");
    made.write_pem(start.path(), "site");
    fs::write(start.path().join("site.pfx"), made.pfx(Some("secret"))).unwrap();
    fs::write(start.path().join("encrypted.key"), made.encrypted_key("secret")).unwrap();
    start.kestrel(&https(certificate))
}

/// The endpoint `Web`; its certificate stands in the fourth line.
fn https(certificate: &str) -> String {
    endpoint(&format!(
        "\"Url\": \"https://127.0.0.1:0\",\n\"Certificate\": {{ {certificate} }}"
    ))
}

fn store(start: &Start, name: &str, pfx: &[u8]) {
    let folder = start.path().join(".dotnet/corefx/cryptography/x509stores/my");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.pfx")), pfx).unwrap();
}

fn fixture(path: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join(path).display().to_string()
}

const WEB: &str = "https://127.0.0.1:0 (endpoint Web in appsettings.json:3:8)";

/// Expects a start to fail with the endpoint, this key of its certificate with its place, this cause and this remedy.
fn fails(certificate: &str, key: &str, cause: &str, remedy: &str) {
    let column = "\"Certificate\": { ".len() + certificate.find(&format!("\"{key}\"")).unwrap() + key.len() + 5;
    let place = format!("Kestrel:Endpoints:Web:Certificate:{key} in appsettings.json:4:{column}");
    site(certificate).fails(&[WEB, &place, cause], remedy);
}

#[test]
fn files() {
    fails(
        r#""Path": "absent.pfx""#,
        "Path",
        "absent.pfx: there is no such file",
        "relative paths begin at the content root",
    );
    fails(
        r#""Path": "site.pfx", "Password": "wrong""#,
        "Password",
        "the password does not open",
        "openssl pkcs12",
    );
    fails(
        r#""Path": "site.pfx""#,
        "Path",
        "site.pfx needs a password and none is given",
        "openssl pkcs12",
    );
    fails(
        r#""Path": "appsettings.json""#,
        "Path",
        "cannot be used as a certificate",
        "neither PEM nor DER nor PFX",
    );
    fails(
        r#""Path": "site.pem""#,
        "Path",
        "site.pem has no private key",
        "KeyPath",
    );
}

#[test]
fn keys() {
    fails(
        r#""Path": "site.pem", "KeyPath": "absent.key""#,
        "KeyPath",
        "absent.key: there is no such file",
        "relative paths begin at the content root",
    );
    fails(
        r#""Path": "site.pem", "KeyPath": "encrypted.key", "Password": "wrong""#,
        "Password",
        "the password does not open",
        "openssl pkey",
    );
    fails(
        r#""Path": "site.pem", "KeyPath": "encrypted.key""#,
        "KeyPath",
        "encrypted.key needs a password and none is given",
        "openssl pkey",
    );
    fails(
        r#""Path": "site.pfx", "KeyPath": "site.key""#,
        "KeyPath",
        "site.pfx is a PFX",
        "give no file for the key",
    );
    fails(
        r#""Path": "site.pem", "KeyPath": "site.pem""#,
        "Path",
        "site.pem cannot be used as a private key",
        "name the file of the key",
    );
    for (key, cause, remedy) in [
        ("dotnet/pem/p256.pkcs8.key", "does not belong to", "site.test"),
        (
            "dotnet/pem/rsa2048.public.key",
            "public key",
            "name the file of the private one",
        ),
        ("openssl/dek-info.key", "DEK-Info", "openssl pkcs8 -topk8"),
    ] {
        let key = fixture(key);
        let certificate = format!(r#""Path": "site.pem", "KeyPath": "{key}""#);
        fails(&certificate, "KeyPath", cause, remedy);
    }
}

#[test]
fn a_certificate_for_something_else() {
    let start = site(r#""Path": "client.pem", "KeyPath": "client.key""#);
    let client = make_with("client.test", |parameters| {
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    client.write_pem(start.path(), "client");
    start.fails(
        &[
            WEB,
            "Certificate:Path in appsettings.json:4:",
            "CN=client.test",
            "not for servers",
        ],
        "extendedKeyUsage=serverAuth",
    );
}

#[test]
fn stores() {
    fails(
        r#""Subject": "absent.test""#,
        "Subject",
        "\"absent.test\" in the store CurrentUser/My",
        "it is empty",
    );
    fails(
        r#""Subject": "absent.test", "Location": "LocalMachine""#,
        "Subject",
        "cannot open the store LocalMachine/My",
        "put the certificate into a store of CurrentUser",
    );
    let start = site(r#""Subject": "stored.test""#);
    store(&start, "stored", &make("stored.test").pfx(None));
    start.fails(&[WEB, "CN=stored.test (stored.pfx)"], "it is not trusted");
}

#[test]
fn no_certificate() {
    let https = || Start::with(&["--urls=https://127.0.0.1:0"]);
    https().fails(
        &["https://127.0.0.1:0 (from urls on the command line)", "no certificate"],
        "stannel dev-certs https",
    );
    // What would not do is told, too.
    let start = https();
    let old = make_with("localhost", |parameters| {
        let mark = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 311, 84, 1, 1], vec![6]);
        parameters.custom_extensions.push(mark);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    store(&start, "old", &old.pfx(None));
    start.fails(
        &["no certificate", "CN=localhost (old.pfx): it expired on 2021-01-01"],
        "stannel dev-certs https",
    );
    // A host name that has none.
    let sni = "\"Url\": \"https://127.0.0.1:0\", \"Sni\": { \"a.test\": { \"Protocols\": \"Http1\" } }";
    Start::new()
        .kestrel(&endpoint(sni))
        .fails(&["endpoint Web:Sni:a.test in", "no certificate"], "Path and KeyPath");
}

#[test]
fn a_mistake_of_one_host_name_names_it() {
    let sni = r#""Url": "https://127.0.0.1:0", "Sni": { "*.a.test": { "Certificate": { "Path": "absent.pem" } } }"#;
    Start::new().kestrel(&endpoint(sni)).fails(
        &[
            "endpoint Web:Sni:*.a.test in",
            "Kestrel:Endpoints:Web:Sni:*.a.test:Certificate:Path in appsettings.json:3:",
            "absent.pem: there is no such file",
        ],
        "relative paths begin at the content root",
    );
}

/// Whether or not anybody uses it.
#[test]
fn the_default_certificate() {
    let default = "\"Certificates\": { \"Default\": { \"Path\": \"absent.pem\" } }";
    let start = Start::with(&["--urls=http://127.0.0.1:0"]).kestrel(default);
    start.fails(
        &[
            "default certificate",
            "Kestrel:Certificates:Default:Path in appsettings.json:2:40",
            "absent.pem",
        ],
        "there is no such file",
    );
}

#[test]
fn what_only_warns() {
    site(r#""Path": "site.pem", "KeyPath": "site.key", "Password": "needless""#).checks(&[
        "a password is given for",
        "site.key",
        "not encrypted",
        "remove the password",
    ]);
    site(r#""Path": "site.pem", "KeyPath": "site.key", "Password": """#).checks(&[]);
    // A development certificate in the file of a container.
    let start = Start::with(&["--applicationName=Shop"]).kestrel(&format!(
        "\"Certificates\": {{ \"Development\": {{ \"Password\": \"1\" }} }},\n{}",
        endpoint("\"Url\": \"https://127.0.0.1:0\"")
    ));
    let folder = start.path().join(".aspnet/https");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Shop.pfx"), make_development("localhost", 6).pfx(Some("1"))).unwrap();
    start.checks(&[]);
    let old = make_with("localhost", |parameters| {
        let mark = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 311, 84, 1, 1], vec![6]);
        parameters.custom_extensions.push(mark);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    fs::write(folder.join("Shop.pfx"), old.pfx(Some("1"))).unwrap();
    start.checks(&["Shop.pfx expired on 2021-01-01", "dev-certs https"]);
}
