//! Certificates and keys as OpenSSL writes them, old forms too: what is read, and what the message says where something
//! is not.

use stannel::{Certificate, CertificateError};
use std::path::PathBuf;

#[path = "support/logs.rs"]
mod logs;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openssl")).join(name)
}

fn load(file: &str, key: Option<&str>, password: Option<&str>) -> Result<Certificate, CertificateError> {
    Certificate::from_file(path(file), key.map(path).as_deref(), password)
}

const PASSWORD: Option<&str> = Some("geheim-1");

#[test]
fn what_is_read() {
    let pfx = ["default", "rc2-40", "rc2-128", "2des", "sha224", "nothing-encrypted"];
    let keys = ["scrypt", "rc2-40", "pbes2-des3"];
    let name = "openssl.stannel.test";
    let pfx = pfx.map(|it| (format!("{it}.pfx"), None, PASSWORD, name));
    let keys = keys.map(|it| ("certificate.pem".to_owned(), Some(format!("{it}.key")), PASSWORD, name));
    let others = [
        (
            "certificate.pem".to_owned(),
            Some("with-parameters.key".to_owned()),
            None,
            name,
        ),
        (
            "ed25519.pem".to_owned(),
            Some("ed25519.key".to_owned()),
            None,
            "ed25519.stannel.test",
        ),
    ];
    for (file, key, password, name) in pfx.into_iter().chain(keys).chain(others) {
        match load(&file, key.as_deref(), password) {
            Ok(certificate) => assert_eq!(certificate.leaf().subject().common_name(), Some(name), "{file} {key:?}"),
            Err(error) => panic!("{file} {key:?}: {error}"),
        }
    }
}

#[test]
fn what_is_not_read_says_why_and_what_to_do() {
    let own_key = Some("with-parameters.key");
    let table = [
        (
            "rc4.pfx",
            None,
            PASSWORD,
            &["1.2.840.113549.1.12.1.1", "openssl pkcs12 -legacy"][..],
        ),
        (
            "many-rounds.pfx",
            None,
            PASSWORD,
            &["wants 6000000 rounds", "more than 5000000", "-iter 100000"],
        ),
        (
            "no-key.pfx",
            None,
            PASSWORD,
            &["no private key", "CN=openssl.stannel.test", "openssl pkcs12 -export"],
        ),
        (
            "default.pfx",
            None,
            Some("wrong"),
            &["the password does not open", "default.pfx -noout -info"],
        ),
        ("default.pfx", None, None, &["needs a password and none is given"]),
        (
            "default.pfx",
            own_key,
            PASSWORD,
            &["default.pfx is a PFX, which has its key inside"],
        ),
        (
            "bundle.p7b",
            own_key,
            None,
            &["PKCS#7", "openssl pkcs7 -inform DER", "-print_certs"],
        ),
        ("certificate.pem", None, None, &["no private key", "KeyPath"]),
        (
            "certificate.pem",
            Some("dek-info.key"),
            PASSWORD,
            &["DEK-Info", "openssl pkcs8 -topk8 -in"],
        ),
        (
            "certificate.pem",
            Some("md5-des.key"),
            PASSWORD,
            &["1.2.840.113549.1.5.3", "openssl pkcs8 -topk8 -v2"],
        ),
        (
            "certificate.pem",
            Some("scrypt-254-mib.key"),
            PASSWORD,
            &["scrypt with 254 MiB of memory"],
        ),
        (
            "certificate.pem",
            Some("scrypt.key"),
            None,
            &["needs a password and none is given", "openssl pkey -in"],
        ),
        (
            "certificate.pem",
            Some("der.key"),
            None,
            &["no PEM text", "openssl pkey -inform DER"],
        ),
        (
            "certificate.pem",
            Some("certificate.pem"),
            None,
            &["holds a certificate and no key"],
        ),
        (
            "certificate.pem",
            Some("ed25519.key"),
            None,
            &["of another kind (algorithm 1.3.101.112)", "ECDSA P-256"],
        ),
        (
            "certificate.pem",
            Some("absent.key"),
            None,
            &["cannot read", "absent.key: there is no such file"],
        ),
        (
            "with-parameters.key",
            own_key,
            None,
            &["holds a private key and no certificate"],
        ),
        (
            "rsa1024.pem",
            Some("rsa1024.key"),
            None,
            &["cannot sign with RSA 1024 keys", "openssl genpkey"],
        ),
        (
            "secp256k1.pem",
            Some("secp256k1.key"),
            None,
            &["ECDSA on the curve 1.3.132.0.10 keys"],
        ),
    ];
    for (file, key, password, texts) in table {
        let error = load(file, key, password).expect_err(file).to_string();
        for text in texts {
            assert!(error.contains(text), "{file} {key:?}: {error}");
        }
        assert!(!error.contains("geheim"), "{error}");
        assert!(!error.ends_with('.') && !error.contains('\n'), "{error}");
    }
}

#[test]
fn line_ends_and_marks_of_other_editors() {
    let read = |name| std::fs::read_to_string(path(name)).unwrap();
    let certificate = format!("\u{feff}{}", read("certificate.pem").replace('\n', "\r\n"));
    for name in ["scrypt.key", "with-parameters.key"] {
        let key = format!("\u{feff}{}", read(name).replace('\n', "\r\n"));
        let result = Certificate::from_pem(certificate.as_bytes(), key.as_bytes(), PASSWORD);
        assert!(result.is_ok(), "{name}: {result:?}");
    }
}

#[test]
fn open_lengths_are_read() {
    let bytes = std::fs::read(path("default.pfx")).unwrap();
    assert_eq!(bytes[..2], [0x30, 0x82]);
    let open = [&[0x30, 0x80], &bytes[4..], &[0, 0]].concat();
    let certificate = Certificate::from_pfx(&open, PASSWORD).unwrap();
    assert_eq!(certificate.leaf().subject().common_name(), Some("openssl.stannel.test"));
    let error = Certificate::from_pfx(&open[..open.len() - 2], PASSWORD).unwrap_err();
    assert!(error.to_string().contains("the PFX is damaged"), "{error}");
}

#[test]
fn a_password_that_is_not_needed_gives_a_warning() {
    logs::install();
    let load = |password| {
        logs::take();
        load("certificate.pem", Some("with-parameters.key"), password).unwrap();
        logs::take()
    };
    let [(level, line)] = &load(PASSWORD)[..] else {
        panic!("one line is expected");
    };
    assert_eq!(*level, log::Level::Warn);
    assert!(
        line.contains("with-parameters.key") && line.contains("not encrypted"),
        "{line}"
    );
    assert!(!line.contains("geheim"), "{line}");
    assert_eq!(load(Some("")), []);
    assert_eq!(load(None), []);
}

#[test]
fn debug_text_keeps_the_key_to_itself() {
    let certificate = load("default.pfx", None, PASSWORD).unwrap();
    let text = format!("{certificate:?}");
    assert!(text.contains("CN=openssl.stannel.test"), "{text}");
    assert!(!text.to_lowercase().contains("key"), "{text}");
}

#[test]
fn text_is_as_good_as_files() {
    let read = |name| std::fs::read(path(name)).unwrap();
    let pfx = Certificate::from_pfx(&read("default.pfx"), PASSWORD).unwrap();
    let pem = Certificate::from_pem(&read("certificate.pem"), &read("scrypt.key"), PASSWORD).unwrap();
    assert_eq!(pfx.leaf(), pem.leaf());
    let taken = Certificate::from_certified_key(pem.certified_key()).unwrap();
    assert_eq!(taken.leaf(), pem.leaf());

    let other = load("ed25519.pem", Some("ed25519.key"), None).unwrap();
    let mut mixed = (*pem.certified_key()).clone();
    mixed.key = other.certified_key().key.clone();
    let error = Certificate::from_certified_key(mixed.into()).unwrap_err();
    assert!(matches!(error, CertificateError::InvalidKey { .. }), "{error}");
}
