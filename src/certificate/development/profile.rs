//! What a development certificate looks like: field by field as ASP.NET Core makes them, because both use the same store.

use super::Identity;
use super::random;
use crate::certificate::x509::X509Certificate;
use rcgen::string::PrintableString;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, KeyPair};
use rcgen::{PublicKeyData, SerialNumber};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};
use x509_cert::der::Encode;
use x509_cert::der::asn1::{Ia5String, OctetString};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::spki::ObjectIdentifier;

/// Issuer and subject of the certificates that the tool makes, keeps and cleans.
pub(super) const SUBJECT: &str = "CN=localhost";

/// What is made; lower versions lack names that somebody needs.
pub(super) const VERSION: u8 = 6;

/// A new certificate for the coming year, and its key.
pub(super) fn make(now: SystemTime) -> Result<Identity, String> {
    let failed = |error: rcgen::Error| error.to_string();
    let key = new_key().map_err(failed)?;
    let mut parameters = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    let name = PrintableString::try_from("localhost").map_err(failed)?;
    subject.push(DnType::CommonName, DnValue::PrintableString(name));
    parameters.distinguished_name = subject;
    let mut serial: [u8; 8] = random()?;
    // A number that begins with zeros has fewer bytes.
    serial[0] = serial[0].max(1);
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + Duration::from_secs(since_epoch.as_secs());
    parameters.not_after = parameters.not_before + LIFETIME;
    // All of them this way: the order and what is critical are .NET's, not rcgen's.
    let identifier = Sha256::digest(key.subject_public_key_info()).to_vec();
    parameters.custom_extensions = extensions(identifier).map_err(|error| error.to_string())?;
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    Ok(Identity {
        certificate: X509Certificate::from_der(certificate.der())?,
        key: key.serialize_der(),
    })
}

const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(feature = "aws-lc-rs")]
fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
}

/// ring makes no RSA keys.
#[cfg(not(feature = "aws-lc-rs"))]
fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
}

fn extensions(key_identifier: Vec<u8>) -> x509_cert::der::Result<Vec<CustomExtension>> {
    let names = NAMES.iter().map(|name| Ia5String::new(name).map(GeneralName::DnsName));
    let addresses = ADDRESSES.iter().map(|address| {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        OctetString::new(bytes).map(GeneralName::IpAddress)
    });
    let names = names.chain(addresses).collect::<Result<Vec<_>, _>>()?;
    let constraints = BasicConstraints {
        ca: false,
        path_len_constraint: None,
    };
    let usages = KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment);
    let identifier = OctetString::new(key_identifier)?;
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(identifier.clone()),
        ..AuthorityKeyIdentifier::default()
    };
    Ok(vec![
        extension(&[2, 5, 29, 19], true, constraints.to_der()?),
        extension(&[2, 5, 29, 15], true, usages.to_der()?),
        extension(&[2, 5, 29, 37], true, ExtendedKeyUsage(vec![SERVERS]).to_der()?),
        extension(&[2, 5, 29, 17], true, SubjectAltName(names).to_der()?),
        // The mark of development certificates: the bare byte, without any encoding.
        extension(&[1, 3, 6, 1, 4, 1, 311, 84, 1, 1], false, vec![VERSION]),
        extension(&[2, 5, 29, 14], false, SubjectKeyIdentifier(identifier).to_der()?),
        extension(&[2, 5, 29, 35], false, authority.to_der()?),
    ])
}

fn extension(id: &[u64], critical: bool, content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(id, content);
    extension.set_criticality(critical);
    extension
}

const SERVERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

const NAMES: [&str; 5] = [
    "localhost",
    "*.dev.localhost",
    "*.dev.internal",
    "host.docker.internal",
    "host.containers.internal",
];
const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

#[cfg(test)]
mod tests {
    use super::*;
    use x509_cert::certificate::Version;
    use x509_cert::der::Decode;
    use x509_cert::time::Time;

    fn facts(der: &[u8]) -> (Vec<(String, bool, Vec<u8>)>, x509_cert::Certificate) {
        let certificate = x509_cert::Certificate::from_der(der).unwrap();
        let extensions = certificate.tbs_certificate().extensions().unwrap();
        let extensions = extensions
            .iter()
            .map(|it| (it.extn_id.to_string(), it.critical, it.extn_value.as_bytes().to_vec()));
        (extensions.collect(), certificate)
    }

    /// .NET's own certificate is the measure, but for what is different in each one.
    #[test]
    fn it_looks_like_the_one_that_dotnet_makes() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/dev-certs/exports");
        let theirs = std::fs::read(format!("{folder}/certificate.cer")).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::new(1_790_000_000, 999_999_999);
        let made = make(now).unwrap();
        let (mut our_extensions, ours) = facts(made.certificate.der());
        let (mut their_extensions, theirs) = facts(&theirs);
        let (ours, theirs) = (ours.tbs_certificate(), theirs.tbs_certificate());

        let identifier = Sha256::digest(ours.subject_public_key_info().to_der().unwrap());
        assert_eq!(
            our_extensions.pop().unwrap().2,
            [&[0x30, 0x22, 0x80, 0x20], &identifier[..]].concat()
        );
        assert_eq!(
            our_extensions.pop().unwrap().2,
            [&[0x04, 0x20], &identifier[..]].concat()
        );
        their_extensions.truncate(5);
        assert_eq!(our_extensions, their_extensions);
        assert_eq!(ours.subject().to_der(), theirs.subject().to_der());
        assert_eq!(ours.issuer().to_der(), ours.subject().to_der());
        assert_eq!((ours.version(), theirs.version()), (Version::V3, Version::V3));
        if cfg!(feature = "aws-lc-rs") {
            assert_eq!(ours.signature(), theirs.signature());
            assert_eq!(made.certificate.public_key().name, "RSA 2048");
        } else {
            assert_eq!(made.certificate.public_key().name, "ECDSA P-256");
        }

        let validity = ours.validity();
        assert!(matches!(
            (&validity.not_before, &validity.not_after),
            (Time::UtcTime(_), Time::UtcTime(_))
        ));
        assert_eq!(
            made.certificate.not_before(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
        );
        assert_eq!(made.certificate.not_after(), made.certificate.not_before() + LIFETIME);
    }

    #[test]
    fn serial_numbers_are_positive_and_differ() {
        let serial = |identity: &Identity| {
            let (_, certificate) = facts(identity.certificate.der());
            certificate.tbs_certificate().serial_number().as_bytes().to_vec()
        };
        let (first, second) = (
            make(SystemTime::UNIX_EPOCH).unwrap(),
            make(SystemTime::UNIX_EPOCH).unwrap(),
        );
        let (first, second) = (serial(&first), serial(&second));
        assert_ne!(first, second);
        for serial in [first, second] {
            // As a number that could be taken for negative it has a zero before it.
            assert!(
                (serial.len() == 8 && serial[0] & 0x80 == 0) || (serial.len() == 9 && serial[0] == 0),
                "{serial:?}"
            );
        }
    }
}
