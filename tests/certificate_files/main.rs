//! Certificate files as people have them, made here and now by the programs that make them: each serves a client, or is
//! refused in words that name the file, say what is wrong with it, and give a command that mends it. The commands are run.
//!
//! A program that is not there makes for a line that says what was skipped. `tests/certificates.rs` has the files of .NET.

mod handshake;
mod other_programs;
mod refused;
mod workshop;

use rustls::pki_types::CertificateDer;
use stannel::certificate::{CertificateStores, X509Certificate};
use stannel::{Certificate, CertificateError, CertificateSource};
use std::time::SystemTime;
use workshop::{Workshop, is_there};

const PASSWORD: Option<&str> = Some("geheim-1");
const NAME: &str = "files.stannel.test";

fn load(
    shop: &Workshop,
    file: &str,
    key: Option<&str>,
    password: Option<&str>,
) -> Result<Certificate, CertificateError> {
    let source = CertificateSource::File {
        path: shop.path(file),
        key_path: key.map(|key| shop.path(key)),
        password: password.map(str::to_owned),
    };
    // A home in which there are no stores.
    Certificate::load(
        &source,
        &CertificateStores::in_home(shop.path("home")),
        SystemTime::now(),
    )
}

/// Loads a certificate and serves a client that trusts the root, and what stands between it and the certificate where the
/// file does not have it.
fn serve(shop: &Workshop, file: &str, key: Option<&str>, password: Option<&str>) -> Result<Certificate, String> {
    let certificate = load(shop, file, key, password).map_err(|error| error.to_string())?;
    let mut roots: Vec<CertificateDer<'static>> = Vec::new();
    let anchors = if certificate.chain().is_empty() {
        &["root.pem", "outer.pem"][..]
    } else {
        &["root.pem"]
    };
    for root in anchors {
        let read = X509Certificate::read_all(shop.path(root)).map_err(|error| error.to_string())?;
        roots.extend(read.iter().map(|root| CertificateDer::from(root.der().to_vec())));
    }
    handshake::serve(&certificate.certified_key(), &roots, NAME)?;
    Ok(certificate)
}

/// File, file of the key, password, and how many certificates are sent behind the first.
type Good = (&'static str, Option<&'static str>, Option<&'static str>, usize);

const GOOD: &[Good] = &[
    // Every kind of key that serves.
    ("p256.pem", Some("p256.key"), None, 0),
    ("p384.pem", Some("p384.key"), None, 0),
    #[cfg(feature = "aws-lc-rs")]
    ("p521.pem", Some("p521.key"), None, 0),
    ("ed25519.pem", Some("ed25519.key"), None, 0),
    ("rsa2048.pem", Some("rsa2048.key"), None, 0),
    ("rsa3072.pem", Some("rsa3072.key"), None, 0),
    ("rsa4096.pem", Some("rsa4096.key"), None, 0),
    // The certificate in every form.
    ("chain.pem", Some("p256.key"), None, 2),
    ("chain-mixed.pem", Some("p256.key"), None, 2),
    ("text.pem", Some("p256.key"), None, 0),
    ("words.pem", Some("p256.key"), None, 0),
    ("crlf.pem", Some("crlf.key"), None, 2),
    ("bom.pem", Some("bom.key"), None, 0),
    ("no-line-end.pem", Some("p256.key"), None, 0),
    ("blanks.pem", Some("p256.key"), None, 0),
    ("both.pem", Some("both.pem"), None, 0),
    ("named.pfx", Some("p256.key"), None, 0),
    ("der.crt", Some("p256.key"), None, 0),
    ("certificate with blanks.pem", Some("key with blanks.key"), None, 0),
    ("link.pem", Some("link.key"), None, 0),
    // The key in every form.
    ("rsa2048.pem", Some("pkcs1.key"), None, 0),
    ("p256.pem", Some("sec1.key"), None, 0),
    ("p256.pem", Some("sec1-parameters.key"), None, 0),
    ("p256.pem", Some("text.key"), None, 0),
    ("p256.pem", Some("aes-256.key"), PASSWORD, 0),
    ("p256.pem", Some("aes-128.key"), PASSWORD, 0),
    ("p256.pem", Some("aes-192-sha512.key"), PASSWORD, 0),
    ("p256.pem", Some("des3.key"), PASSWORD, 0),
    ("p256.pem", Some("scrypt.key"), PASSWORD, 0),
    ("p256.pem", Some("one-round.key"), PASSWORD, 0),
    ("p256.pem", Some("pbe-3des.key"), PASSWORD, 0),
    ("rsa2048.pem", Some("rsa-sealed.key"), PASSWORD, 0),
    // A password that is not needed.
    ("p256.pem", Some("p256.key"), PASSWORD, 0),
    ("p256.pem", Some("p256.key"), Some(""), 0),
    // PFX, from the newest form to the oldest.
    ("default.pfx", None, PASSWORD, 0),
    ("legacy.pfx", None, PASSWORD, 0),
    ("rc2-40.pfx", None, PASSWORD, 0),
    ("3des.pfx", None, PASSWORD, 0),
    ("open.pfx", None, PASSWORD, 0),
    ("no-mac.pfx", None, PASSWORD, 0),
    ("sha384.pfx", None, PASSWORD, 0),
    ("sha512-one-round.pfx", None, PASSWORD, 0),
    ("chain.pfx", None, PASSWORD, 2),
    ("rsa.pfx", None, PASSWORD, 0),
    ("empty-password.pfx", None, None, 0),
    ("empty-password.pfx", None, Some(""), 0),
    ("umlaut.pfx", None, Some("pässword-€"), 0),
    ("behind.pfx", None, PASSWORD, 0),
    ("named.pem", None, PASSWORD, 0),
];

/// One test, because it is the files that take long.
#[test]
fn every_file_serves_or_says_why_not() {
    if !is_there("openssl", "all certificate files") {
        return;
    }
    let shop = Workshop::new();
    shop.make("sh", ["-eu", "-c", include_str!("make.sh")]);
    good_files_serve_a_client(&shop);
    refused::each_message_says_what_is_wrong_and_its_commands_work(&shop);
    refused::what_the_server_may_not_read(&shop);
    other_programs::javas_keytool(&shop);
    other_programs::mozillas_tools(&shop);
    other_programs::sshs_keys(&shop);
}

fn good_files_serve_a_client(shop: &Workshop) {
    let failures: Vec<String> = GOOD
        .iter()
        .filter_map(|&(file, key, password, chain)| {
            let why = match serve(shop, file, key, password) {
                Ok(certificate) if certificate.chain().len() == chain => return None,
                Ok(certificate) => format!("{} certificates instead of {chain}", certificate.chain().len()),
                Err(error) => error,
            };
            Some(format!("{file} with {key:?} and {password:?}: {}", shop.steady(&why)))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
