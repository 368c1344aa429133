//! Private keys: every way in which they are written, and whether one belongs to its certificate.

use super::CertificateError;
use super::encryption::{Failure, Password, Rounds, decrypt};
use super::file::Form;
use super::pem::{Section, sections};
use super::provider::{self, provider};
use super::x509::{ELLIPTIC_CURVE, PublicKey, RSA, X509Certificate};
use log::warn;
use memchr::memmem;
use pkcs8::der::{Decode, SecretDocument};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use std::ops::RangeInclusive;
use std::sync::Arc;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::{Reader, SliceReader};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// The first private key of a PEM text.
pub(super) fn from_pem(
    text: &[u8],
    file: &str,
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let Some(section) = sections(text).find(is_private_key) else {
        return Err(no_key(text, file));
    };
    if memmem::find(section.text, b"Proc-Type: 4,ENCRYPTED").is_some() {
        return Err(CertificateError::Unsupported {
            file: file.to_owned(),
            algorithm: "the traditional encryption of keys (DEK-Info)".to_owned(),
            remedy: format!("write it as PKCS#8: openssl pkcs8 -topk8 -in {file} -out new.key"),
        });
    }
    if section.label == "OPENSSH PRIVATE KEY" {
        return Err(CertificateError::Unsupported {
            file: file.to_owned(),
            algorithm: "the form in which ssh keeps keys".to_owned(),
            remedy: format!("write a copy of it as PKCS#8, in place: ssh-keygen -p -m PKCS8 -N '' -f {file}"),
        });
    }
    if section.label == ENCRYPTED {
        return decrypted(section, file, password);
    }
    if password.is_some_and(|password| !password.is_empty()) {
        warn!(target: "stannel", "a password is given for {file}, but the key is not encrypted; remove the password, \
            or encrypt the key: openssl pkcs8 -topk8 -in {file} -out new.key");
    }
    section.private_key().map_err(|reason| CertificateError::InvalidKey {
        file: file.to_owned(),
        reason: format!(
            "the section {} is damaged: {reason}; try openssl pkey -in {file} -noout",
            section.label
        ),
    })
}

/// Whether a text has a private key, of whatever kind.
pub(super) fn is_in(text: &[u8]) -> bool {
    sections(text).any(|section| is_private_key(&section))
}

fn is_private_key(section: &Section<'_>) -> bool {
    section.label.ends_with("PRIVATE KEY")
}

fn no_key(text: &[u8], file: &str) -> CertificateError {
    let labels: Vec<&str> = sections(text).map(|section| section.label).collect();
    let reason = if labels.iter().any(|label| label.ends_with("PUBLIC KEY")) {
        "it holds a public key; name the file of the private one".to_owned()
    } else if labels.contains(&"CERTIFICATE") {
        "it holds a certificate and no key; name the file of the key".to_owned()
    } else if text.is_empty() {
        "it is empty".to_owned()
    } else if Form::of(text) == Form::Pfx {
        "it is a PFX, which has a certificate inside; name it as the file of the certificate, and give no file for the \
         key"
        .to_owned()
    } else if labels.is_empty() {
        format!(
            "it is no PEM text; if it is a key in DER, convert it: openssl pkey -inform DER -in {file} -out new.key"
        )
    } else {
        format!("it holds {} and no private key", labels.join(", "))
    };
    CertificateError::InvalidKey {
        file: file.to_owned(),
        reason,
    }
}

fn decrypted(
    section: Section<'_>,
    file: &str,
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let damaged = |reason: String| CertificateError::InvalidKey {
        file: file.to_owned(),
        reason: format!("the section {ENCRYPTED} is damaged: {reason}; try openssl pkey -in {file} -noout"),
    };
    let text = std::str::from_utf8(section.text).map_err(|error| damaged(error.to_string()))?;
    let (_, document) = SecretDocument::from_pem(text).map_err(|error| damaged(error.to_string()))?;
    let bad_password = || CertificateError::BadPassword {
        file: file.to_owned(),
        given: password.is_some(),
        reason: format!("the private key stays encrypted; try openssl pkey -in {file} -noout"),
    };
    let Some(given) = password else {
        return Err(bad_password());
    };
    let result = open(document.as_bytes(), &Password::new(given), &mut Rounds::new());
    result.map(PrivateKeyDer::Pkcs8).map_err(|failure| match failure {
        Failure::WrongPassword => bad_password(),
        Failure::Malformed(reason) => damaged(reason),
        Failure::Unsupported(algorithm) => CertificateError::Unsupported {
            file: file.to_owned(),
            algorithm,
            remedy: format!("encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in {file} -out new.key"),
        },
        Failure::TooManyRounds(rounds) => CertificateError::TooManyRounds {
            file: file.to_owned(),
            rounds,
            limit: Rounds::LIMIT,
        },
    })
}

/// Opens an `EncryptedPrivateKeyInfo` (RFC 5958 §3).
pub(super) fn open(
    document: &[u8],
    password: &Password<'_>,
    rounds: &mut Rounds,
) -> Result<PrivatePkcs8KeyDer<'static>, Failure> {
    let read = |document| {
        let mut reader = SliceReader::new(document)?;
        reader.sequence(|reader| {
            let algorithm = AlgorithmIdentifierOwned::decode(reader)?;
            Ok::<_, x509_cert::der::Error>((algorithm, OctetString::decode(reader)?))
        })
    };
    let (algorithm, data) = read(document).map_err(|error| Failure::Malformed(error.to_string()))?;
    let key = decrypt(&algorithm, data.as_bytes(), password, rounds)?;
    // One wrong password in 256 leaves a padding that looks right.
    match PrivateKeyInfoRef::from_der(&key) {
        Ok(_) => Ok(key.into()),
        Err(_) => Err(Failure::WrongPassword),
    }
}

/// A key that can sign, and its public half where the provider tells it.
pub(super) fn load(key: &PrivateKeyDer<'static>) -> Option<(Arc<dyn SigningKey>, Option<PublicKey>)> {
    let key = provider().key_provider.load_private_key(key.clone_key()).ok()?;
    let public = key.public_key().and_then(|key| PublicKey::from_der(&key));
    Some((key, public))
}

/// The key, if it is that of the certificate.
pub(super) fn for_certificate(
    key: &PrivateKeyDer<'static>,
    certificate: &X509Certificate,
    file: &str,
) -> Result<Arc<dyn SigningKey>, CertificateError> {
    let wanted = certificate.public_key();
    let invalid = |reason: String| CertificateError::InvalidKey {
        file: file.to_owned(),
        reason,
    };
    if let Some(algorithm) = algorithm(key).filter(|algorithm| *algorithm != wanted.algorithm) {
        return Err(invalid(format!(
            "it is of another kind ({}) than its certificate's ({}), {}",
            kind(algorithm),
            wanted.name,
            certificate.subject()
        )));
    }
    let Some((signing, public)) = load(key) else {
        return Err(unusable(certificate, file));
    };
    if public.is_some_and(|public| !public.is_same(wanted)) {
        return Err(invalid(format!(
            "it does not belong to the certificate {} ({}): their public keys differ, compare openssl pkey -in {file} \
             -pubout with openssl x509 -in CERTIFICATE -noout -pubkey",
            certificate.subject(),
            certificate.thumbprint()
        )));
    }
    Ok(signing)
}

/// The error for a key that the provider refuses: because of what it is, if the certificate tells, else it is damaged.
pub(super) fn unusable(certificate: &X509Certificate, file: &str) -> CertificateError {
    let name = &certificate.public_key().name;
    let known = ["ECDSA P-256", "ECDSA P-384", "Ed25519"].contains(&name.as_str())
        || (name == "ECDSA P-521" && cfg!(feature = "aws-lc-rs"))
        || rsa_size(name).is_some_and(|size| RSA_SIZES.contains(&size));
    if known {
        return CertificateError::InvalidKey {
            file: file.to_owned(),
            reason: format!("the {name} key is damaged; try openssl pkey -in {file} -noout -check"),
        };
    }
    CertificateError::Unsupported {
        file: file.to_owned(),
        algorithm: format!("{} cannot sign with {name} keys", provider::NAME),
        remedy: "make a key that it can use and request a certificate for it: openssl genpkey -algorithm EC -pkeyopt \
            ec_paramgen_curve:P-256 -out new.key"
            .to_owned(),
    }
}

fn algorithm(key: &PrivateKeyDer<'_>) -> Option<ObjectIdentifier> {
    match key {
        PrivateKeyDer::Pkcs1(_) => Some(RSA),
        PrivateKeyDer::Sec1(_) => Some(ELLIPTIC_CURVE),
        PrivateKeyDer::Pkcs8(key) => {
            let info = PrivateKeyInfoRef::from_der(key.secret_pkcs8_der()).ok()?;
            Some(info.algorithm.oid)
        }
        _ => None,
    }
}

fn rsa_size(name: &str) -> Option<u32> {
    name.strip_prefix("RSA ")?.parse().ok()
}

fn kind(algorithm: ObjectIdentifier) -> String {
    match algorithm {
        RSA => "RSA".to_owned(),
        ELLIPTIC_CURVE => "ECDSA".to_owned(),
        other => format!("algorithm {other}"),
    }
}

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const RSA_SIZES: RangeInclusive<u32> = 2048..=if cfg!(feature = "aws-lc-rs") { 8192 } else { 4096 };
