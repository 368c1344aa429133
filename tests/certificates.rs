//! Certificate files as .NET writes them, good and bad: `tests/fixtures/dotnet/files.json` says what each is and what
//! must come of it.

use serde_json::Value;
use stannel::certificate::X509Certificate;
use stannel::{Certificate, CertificateError};
use std::path::PathBuf;

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet"))
}

fn table() -> Vec<Value> {
    let text = std::fs::read_to_string(fixtures().join("files.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn load(file: &str, key_file: Option<&str>, password: Option<&str>) -> Result<Certificate, CertificateError> {
    let key_file = key_file.map(|key| fixtures().join(key));
    Certificate::from_file(fixtures().join(file), key_file.as_deref(), password)
}

fn kind(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Unreadable { .. } => "unreadable",
        CertificateError::Malformed { .. } => "malformed",
        CertificateError::BadPassword { .. } => "bad-password",
        CertificateError::InvalidKey { .. } => "invalid-key",
        CertificateError::NoPrivateKey { .. } => "no-private-key",
        CertificateError::SeveralKeys { .. } => "several-keys",
        CertificateError::Unsupported { .. } => "unsupported",
        _ => "another",
    }
}

fn subjects(chain: &[X509Certificate]) -> Vec<String> {
    chain.iter().map(|it| it.subject().to_string()).collect()
}

/// What is sent behind the leaf: all that belongs to the chain but its root.
fn expected_chain(case: &Value) -> Vec<String> {
    let chain = case["chain"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = chain.iter().skip(1).map(|it| it.as_str().unwrap().to_owned());
    texts.filter(|it| !it.starts_with("CN=Test Root")).collect()
}

fn check(case: &Value) -> Result<(), String> {
    let result = load(
        case["file"].as_str().unwrap(),
        case["key_file"].as_str(),
        case["password"].as_str(),
    );
    match (case["error"].as_str(), result) {
        (None, Ok(certificate)) => {
            let leaf = certificate.leaf();
            let found = (
                leaf.thumbprint(),
                leaf.subject().to_string(),
                subjects(certificate.chain()),
            );
            let wanted = (
                case["thumbprint"].as_str().unwrap(),
                case["subject"].as_str().unwrap().to_owned(),
                expected_chain(case),
            );
            if found == wanted {
                Ok(())
            } else {
                Err(format!("{found:?} instead of {wanted:?}"))
            }
        }
        (Some(wanted), Err(error)) => {
            let text = error.to_string();
            let file = case["key_file"].as_str().filter(|_| wanted == "invalid-key");
            let file = file.or(case["file"].as_str()).unwrap();
            if kind(&error) != wanted {
                Err(format!("{error:?} instead of {wanted}"))
            } else if !text.contains(file) {
                Err(format!("the message does not name {file}: {text}"))
            } else {
                Ok(())
            }
        }
        (None, Err(error)) => Err(error.to_string()),
        (Some(wanted), Ok(found)) => Err(format!("{found:?} instead of {wanted}")),
    }
}

#[test]
fn every_file() {
    let cases = table();
    assert!(cases.len() > 90, "{} cases", cases.len());
    let failures: Vec<String> = cases
        .iter()
        // ring cannot sign with this curve; see below.
        .filter(|case| cfg!(feature = "aws-lc-rs") || !case["subject"].to_string().contains("p521"))
        .filter_map(|case| {
            let why = check(case).err()?;
            Some(format!("{} {}: {why}", case["file"], case["key_file"]))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
