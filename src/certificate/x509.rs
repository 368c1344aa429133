//! What one certificate says about itself.

use super::subject::Subject;
use sha1::{Digest, Sha1};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{DateTime, Decode, Encode, Reader, SliceReader};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// A certificate without its private key. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct X509Certificate(Arc<Facts>);

#[derive(PartialEq, Eq)]
struct Facts {
    der: Vec<u8>,
    thumbprint: String,
    subject: Subject,
    /// As they are encoded: that is how an issuer is found.
    subject_name: Vec<u8>,
    issuer_name: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
    public_key: PublicKey,
    is_authority: bool,
    usages: Option<Vec<String>>,
    alternative_names: Option<Vec<String>>,
    development_version: Option<u8>,
    subject_key: Option<Vec<u8>>,
    authority_key: Option<Vec<u8>>,
}

/// A public key: what it is, and its bits.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub(super) algorithm: ObjectIdentifier,
    bits: Vec<u8>,
    /// As messages name it: `RSA 2048`, `ECDSA P-256`.
    pub(super) name: String,
}

impl PublicKey {
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        SubjectPublicKeyInfoOwned::from_der(der)
            .ok()
            .map(|info| Self::read(&info))
    }

    fn read(info: &SubjectPublicKeyInfoOwned) -> Self {
        let bits = info.subject_public_key.raw_bytes().to_vec();
        Self {
            algorithm: info.algorithm.oid,
            name: key_name(info, &bits),
            bits,
        }
    }

    /// Whether it is the same key. Parameters that may be left out do not count.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.bits == other.bits
    }
}

impl X509Certificate {
    /// Reads the DER encoding.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, String> {
        let damaged = |error: x509_cert::der::Error| format!("the certificate is damaged ({error})");
        let certificate = x509_cert::Certificate::from_der(der).map_err(damaged)?;
        let tbs = certificate.tbs_certificate();
        let validity = tbs.validity();
        let usages = tbs.get_extension::<ExtendedKeyUsage>().map_err(damaged)?;
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(damaged)?;
        let subject_key = tbs.get_extension::<SubjectKeyIdentifier>().ok().flatten();
        let authority_key = tbs.get_extension::<AuthorityKeyIdentifier>().ok().flatten();
        let mut extensions = tbs.extensions().into_iter().flatten();
        Ok(Self(Arc::new(Facts {
            thumbprint: upper_hex(&Sha1::digest(der)),
            subject: Subject::read(tbs.subject()),
            subject_name: tbs.subject().to_der().map_err(damaged)?,
            issuer_name: tbs.issuer().to_der().map_err(damaged)?,
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
            public_key: PublicKey::read(tbs.subject_public_key_info()),
            is_authority: constraints.is_some_and(|(_, it)| it.ca),
            usages: usages.map(|(_, it)| it.0.iter().map(ToString::to_string).collect()),
            alternative_names: alternative_names(tbs),
            development_version: extensions
                .find(|it| it.extn_id == DEVELOPMENT)
                .map(|it| development_version(it.extn_value.as_bytes())),
            subject_key: subject_key.map(|(_, it)| it.0.into_bytes().into()),
            authority_key: authority_key.and_then(|(_, it)| Some(it.key_identifier?.into_bytes().into())),
            der: der.to_vec(),
        })))
    }

    /// The DER encoding.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Whose certificate it is.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.0.subject
    }

    /// SHA-1 of the encoding as upper case hexadecimal digits, the name under which .NET's stores keep it.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    /// From when on it is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.0.not_before
    }

    /// Until when it is valid, this second included.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.0.not_after
    }

    /// Whether its dates include a moment.
    #[must_use]
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.0.not_before <= now && now <= self.0.not_after
    }

    /// What it may be used for, as object identifiers (Extended Key Usage); `None`: for everything.
    #[must_use]
    pub fn extended_key_usage(&self) -> Option<&[String]> {
        self.0.usages.as_deref()
    }

    /// Whether a server may use it: it has no Extended Key Usage, or one with server authentication.
    #[must_use]
    pub fn is_for_servers(&self) -> bool {
        let usages = self.extended_key_usage();
        usages.is_none_or(|usages| usages.iter().any(|usage| usage == SERVER_AUTHENTICATION))
    }

    /// The DNS names and IP addresses of its Subject Alternative Name; `None`: it has none, and browsers refuse it.
    #[must_use]
    pub fn alternative_names(&self) -> Option<&[String]> {
        self.0.alternative_names.as_deref()
    }

    /// The version of an ASP.NET Core development certificate; `None`: it is none.
    #[must_use]
    pub fn development_version(&self) -> Option<u8> {
        self.0.development_version
    }

    /// Whether it is a certificate authority's.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.0.is_authority
    }

    /// Whether it names itself as its issuer, as roots do.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.0.subject_name == self.0.issuer_name
    }

    /// Whether `issuer` may have issued this one, by its names and the identifiers of its keys. Says nothing about the
    /// signature.
    pub(super) fn names_as_issuer(&self, issuer: &Self) -> bool {
        let keys = self.0.authority_key.as_ref().zip(issuer.0.subject_key.as_ref());
        self.0.issuer_name == issuer.0.subject_name && keys.is_none_or(|(wanted, found)| wanted == found)
    }

    /// The encoding of its subject.
    #[cfg(feature = "dev-cert")]
    pub(super) fn subject_name(&self) -> &[u8] {
        &self.0.subject_name
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }
}

impl fmt::Debug for X509Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "X509Certificate({}, {})", self.subject(), self.thumbprint())
    }
}

fn alternative_names(tbs: &x509_cert::TbsCertificate) -> Option<Vec<String>> {
    let name = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            bytes @ [_, _, _, _] => <[u8; 4]>::try_from(bytes).ok().map(|it| IpAddr::from(it).to_string()),
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|it| IpAddr::from(it).to_string()),
        },
        _ => None,
    };
    match tbs.get_extension::<SubjectAltName>() {
        Ok(found) => found.map(|(_, names)| names.0.iter().filter_map(name).collect()),
        // There are names, though of a kind that cannot be read.
        Err(_) => Some(Vec::new()),
    }
}

/// The first byte is the version, but the first certificates had a text there, or nothing.
fn development_version(value: &[u8]) -> u8 {
    match value {
        [] => 0,
        [b'A', ..] if value.len() == "ASP.NET Core HTTPS development certificate".len() => 0,
        [version, ..] => *version,
    }
}

fn key_name(info: &SubjectPublicKeyInfoOwned, bits: &[u8]) -> String {
    let algorithm = &info.algorithm;
    if algorithm.oid == RSA {
        return match modulus_bits(bits) {
            Some(size) => format!("RSA {size}"),
            None => "RSA".to_owned(),
        };
    }
    if algorithm.oid == ELLIPTIC_CURVE {
        let curve = algorithm
            .parameters
            .as_ref()
            .and_then(|it| it.decode_as::<ObjectIdentifier>().ok());
        return match curve.map(|curve| curve.to_string()).as_deref() {
            Some("1.2.840.10045.3.1.7") => "ECDSA P-256".to_owned(),
            Some("1.3.132.0.34") => "ECDSA P-384".to_owned(),
            Some("1.3.132.0.35") => "ECDSA P-521".to_owned(),
            Some(curve) => format!("ECDSA on the curve {curve}"),
            None => "ECDSA on a curve of its own".to_owned(),
        };
    }
    match algorithm.oid.to_string().as_str() {
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        "1.2.840.113549.1.1.10" => "RSA-PSS".to_owned(),
        other => format!("algorithm {other}"),
    }
}

fn modulus_bits(key: &[u8]) -> Option<u32> {
    let mut reader = SliceReader::new(key).ok()?;
    let modulus = reader.sequence(|reader| {
        let modulus = UintRef::decode(reader)?.as_bytes().to_vec();
        UintRef::decode(reader)?;
        Ok::<_, x509_cert::der::Error>(modulus)
    });
    let modulus = modulus.ok()?;
    let first = modulus.first()?;
    u32::try_from(modulus.len() * 8)
        .ok()
        .map(|bits| bits - first.leading_zeros())
}

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A moment as messages have it: `2021-01-01T00:00:00Z`.
pub(crate) fn date(moment: SystemTime) -> String {
    match DateTime::try_from(moment) {
        Ok(moment) => moment.to_string(),
        Err(_) => "a date that no calendar has".to_owned(),
    }
}

const SERVER_AUTHENTICATION: &str = "1.3.6.1.5.5.7.3.1";
const DEVELOPMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.84.1.1");
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(super) const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
