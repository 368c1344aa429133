//! What there is and how far it is trusted, as JSON for programs.

use super::trust::TrustLevel;
use crate::certificate::x509::{X509Certificate, date};
use std::fmt::Write;
use std::net::IpAddr;

/// A certificate of the store.
pub(super) struct Entry<'a> {
    pub(super) certificate: &'a X509Certificate,
    /// `None`: a server could not use it.
    pub(super) trust: Option<TrustLevel>,
}

pub(super) fn json(entries: &[Entry<'_>]) -> String {
    if entries.is_empty() {
        return "[]".to_owned();
    }
    let entries: Vec<String> = entries.iter().map(entry).collect();
    format!("[\n{}\n]", entries.join(",\n"))
}

fn entry(entry: &Entry<'_>) -> String {
    let certificate = entry.certificate;
    let names = certificate.alternative_names().unwrap_or_default().iter();
    let names: Vec<String> = names
        .filter(|name| name.parse::<IpAddr>().is_err())
        .map(|name| format!("      {}", quoted(name)))
        .collect();
    let names = match names.is_empty() {
        true => "[]".to_owned(),
        false => format!("[\n{}\n    ]", names.join(",\n")),
    };
    let moment = |moment| quoted(&date(moment).replace('Z', "+00:00"));
    let trust = match entry.trust {
        Some(TrustLevel::Full) => "Full",
        Some(TrustLevel::Partial) => "Partial",
        Some(TrustLevel::None) => "None",
        None => "Invalid",
    };
    let version = certificate.development_version();
    let members = [
        ("Thumbprint", quoted(certificate.thumbprint())),
        ("Subject", quoted(&certificate.subject().to_string())),
        ("X509SubjectAlternativeNameExtension", names),
        ("Version", version.unwrap_or_default().to_string()),
        ("ValidityNotBefore", moment(certificate.not_before())),
        ("ValidityNotAfter", moment(certificate.not_after())),
        ("IsHttpsDevelopmentCertificate", version.is_some().to_string()),
        ("IsExportable", entry.trust.is_some().to_string()),
        ("TrustLevel", quoted(trust)),
    ];
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("    \"{name}\": {value}"))
        .collect();
    format!("  {{\n{}\n  }}", members.join(",\n"))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                // Control characters have four digits at most.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `dotnet dev-certs https --check-trust-machine-readable` printed for the same certificate.
    #[test]
    fn the_same_as_dotnet() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/dev-certs");
        let certificate = X509Certificate::read_all(format!("{folder}/exports/certificate.cer"))
            .unwrap()
            .remove(0);
        let theirs = r#"[
  {
    "Thumbprint": "B4ECA681A9DFB8F7BD4F909705E42FB905F57090",
    "Subject": "CN=localhost",
    "X509SubjectAlternativeNameExtension": [
      "localhost",
      "*.dev.localhost",
      "*.dev.internal",
      "host.docker.internal",
      "host.containers.internal"
    ],
    "Version": 6,
    "ValidityNotBefore": "2026-11-23T01:13:20+00:00",
    "ValidityNotAfter": "2027-11-23T01:13:20+00:00",
    "IsHttpsDevelopmentCertificate": true,
    "IsExportable": true,
    "TrustLevel": "Full"
  }
]"#;
        let entry = |trust| Entry {
            certificate: &certificate,
            trust,
        };
        assert_eq!(json(&[entry(Some(TrustLevel::Full))]), theirs);
        assert_eq!(json(&[]), "[]");
        let two = json(&[entry(None), entry(Some(TrustLevel::Partial))]);
        assert!(two.contains("\"TrustLevel\": \"Invalid\"\n  },\n  {\n") && two.contains("\"IsExportable\": false"));
    }

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted("a\"b\\c\n\u{7f}ü"), r#""a\"b\\c\u000a\u007fü""#);
    }
}
