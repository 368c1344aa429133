//! The number by which OpenSSL finds a certificate in a folder: that of its subject, whatever its case and blanks.

use crate::certificate::x509::X509Certificate;
use sha1::{Digest, Sha1};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::SetOfVec;
use x509_cert::der::{Any, Decode, Encode, Tag, Tagged};
use x509_cert::name::Name;

/// Eight hexadecimal digits, as `openssl x509 -subject_hash` prints them; `None` for a subject that OpenSSL could not
/// read either.
pub(super) fn subject_hash(certificate: &X509Certificate) -> Option<String> {
    let name = Name::from_der(certificate.subject_name()).ok()?;
    let mut canonical = Sha1::new();
    for place in name.iter_rdn() {
        let attributes: Option<Vec<_>> = place.iter().map(canonical_attribute).collect();
        canonical.update(SetOfVec::try_from(attributes?).ok()?.to_der().ok()?);
    }
    let [a, b, c, d, ..]: [u8; 20] = canonical.finalize().into();
    Some(format!("{:08x}", u32::from_le_bytes([a, b, c, d])))
}

fn canonical_attribute(attribute: &AttributeTypeAndValue) -> Option<AttributeTypeAndValue> {
    let text = match text(&attribute.value) {
        Ok(text) => text?,
        Err(NoText) => return Some(attribute.clone()),
    };
    let words: Vec<&str> = text.split(is_blank).filter(|word| !word.is_empty()).collect();
    let value = words.join(" ").to_ascii_lowercase();
    Some(AttributeTypeAndValue {
        oid: attribute.oid,
        value: Any::new(Tag::Utf8String, value.into_bytes()).ok()?,
    })
}

/// A value that is no text counts as it is encoded.
struct NoText;

/// As OpenSSL reads it: whatever has a byte for a letter is Latin-1.
fn text(value: &Any) -> Result<Option<String>, NoText> {
    let bytes = value.value();
    let wide = |width: usize| {
        let mut letters = bytes.chunks_exact(width);
        let text: Option<String> = letters
            .by_ref()
            .map(|letter| char::from_u32(letter.iter().fold(0, |all, byte| all << 8 | u32::from(*byte))))
            .collect();
        text.filter(|_| letters.remainder().is_empty())
    };
    match value.tag() {
        Tag::Utf8String => Ok(std::str::from_utf8(bytes).ok().map(str::to_owned)),
        Tag::PrintableString | Tag::Ia5String | Tag::VisibleString | Tag::TeletexString => Ok(wide(1)),
        Tag::BmpString => Ok(wide(2)),
        _ => Err(NoText),
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString};
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn certificate(subject: &[(DnType, DnValue)]) -> X509Certificate {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            parameters.distinguished_name.push(kind.clone(), value.clone());
        }
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        X509Certificate::from_der(parameters.self_signed(&key).unwrap().der()).unwrap()
    }

    /// The numbers are OpenSSL's.
    fn table() -> Vec<(X509Certificate, &'static str)> {
        use DnType::{CommonName, CountryName, LocalityName, OrganizationName};
        let printable = |text| DnValue::PrintableString(PrintableString::try_from(text).unwrap());
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        let subjects: [(&[(DnType, DnValue)], &str); 8] = [
            (&[(CommonName, printable("localhost"))], "ce275665"),
            (&[(CommonName, utf8("localhost"))], "ce275665"),
            (&[(CommonName, utf8("  LocalHost \t"))], "ce275665"),
            (&[], "eea339da"),
            (
                &[
                    (CountryName, printable("DE")),
                    (OrganizationName, utf8("Müller \n  & Söhne")),
                    (CommonName, printable("x")),
                ],
                "8e03a523",
            ),
            (
                &[(CommonName, DnValue::BmpString(BmpString::try_from("Ünder Ä").unwrap()))],
                "51f0970f",
            ),
            (
                &[(
                    CommonName,
                    DnValue::TeletexString(TeletexString::try_from("A  b").unwrap()),
                )],
                "49cdc5e0",
            ),
            (
                &[(LocalityName, DnValue::Ia5String(Ia5String::try_from("A@B c").unwrap()))],
                "023bef3f",
            ),
        ];
        subjects
            .into_iter()
            .map(|(subject, hash)| (certificate(subject), hash))
            .collect()
    }

    #[test]
    fn known_subjects() {
        let (certificates, expected): (Vec<_>, Vec<_>) = table().into_iter().unzip();
        let found: Vec<_> = certificates.iter().map(|it| subject_hash(it).unwrap()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_same_as_openssl() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem/chain.pem");
        let more = X509Certificate::read_all(fixtures).unwrap();
        let all = table().into_iter().map(|(certificate, _)| certificate).chain(more);
        for certificate in all {
            let child = Command::new("openssl")
                .args(["x509", "-inform", "DER", "-noout", "-subject_hash"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn();
            let Ok(mut child) = child else {
                println!("skipped: there is no openssl command");
                return;
            };
            child.stdin.take().unwrap().write_all(certificate.der()).unwrap();
            let output = child.wait_with_output().unwrap();
            let theirs = String::from_utf8(output.stdout).unwrap();
            let ours = subject_hash(&certificate).unwrap();
            assert_eq!(theirs.trim_end(), ours, "{}", certificate.subject());
        }
    }
}
