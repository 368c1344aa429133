//! PFX (PKCS#12, RFC 7292): what the files of .NET, OpenSSL and Java hold.
//!
//! The structures are RustCrypto's. What is done here is what the files want done: trying the two ways to write no
//! password, the check of the whole, opening what is encrypted, finding which key belongs to which certificate.

use super::ber::to_der;
use super::encryption::{Failure, Password, Rounds, checked_rounds, decrypt};
use super::file::Form;
use super::x509::X509Certificate;
use super::{Certificate, CertificateError, key};
use cms::content_info::ContentInfo;
use cms::encrypted_data::EncryptedData;
use hmac::digest::block_api::BlockSizeUser;
use hmac::digest::{Digest, FixedOutputReset, OutputSizeUser};
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use pkcs12::{AuthenticatedSafe, CertBag, MacData, Pfx, SafeBag};
use pkcs12::{PKCS_12_CERT_BAG_OID, PKCS_12_KEY_BAG_OID, PKCS_12_PKCS8_KEY_BAG_OID, PKCS_12_X509_CERT_OID};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use std::sync::Arc;
use x509_cert::der::asn1::{Any, ContextSpecific, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode, SliceReader, Tagged};

/// What a PFX holds, opened.
pub(super) struct Archive {
    file: String,
    pub(super) certificates: Vec<X509Certificate>,
    /// The localKeyId of each certificate.
    ids: Vec<Option<Vec<u8>>>,
    keys: Vec<Key>,
}

struct Key {
    id: Option<Vec<u8>>,
    der: PrivateKeyDer<'static>,
}

/// A certificate and the key that belongs to it, by their places in the archive.
struct Pair {
    certificate: usize,
    private: usize,
    key: Arc<dyn SigningKey>,
}

impl Archive {
    /// Opens a file. No password means one of no bytes or, if that is wrong, an empty one; an empty one the same in the
    /// other order.
    pub(super) fn read(bytes: &[u8], file: &str, password: Option<&str>) -> Result<Self, CertificateError> {
        let attempts = match password {
            None => vec![Password::of_no_bytes(), Password::new("")],
            Some("") => vec![Password::new(""), Password::of_no_bytes()],
            Some(text) => vec![Password::new(text)],
        };
        let failed = |failure| explain(failure, file, password.is_some());
        match Form::of(bytes) {
            Form::Pfx => (),
            _ if bytes.is_empty() => return Err(failed(Failure::Malformed("it is empty".to_owned()))),
            _ => return Err(failed(Failure::Malformed("it is no PFX".to_owned()))),
        }
        let mut rounds = Rounds::new();
        let mut result = Err(Failure::WrongPassword);
        for password in &attempts {
            result = Self::open(bytes, file, password, &mut rounds);
            if !matches!(result, Err(Failure::WrongPassword)) {
                break;
            }
        }
        result.map_err(failed)
    }

    fn open(bytes: &[u8], file: &str, password: &Password<'_>, rounds: &mut Rounds) -> Result<Self, Failure> {
        // What stands behind the end of the structure does not disturb, as it does not disturb .NET.
        let bytes = to_der(bytes);
        let pfx = SliceReader::new(&bytes)
            .and_then(|mut reader| Pfx::decode(&mut reader))
            .map_err(damaged)?;
        if pfx.auth_safe.content_type != DATA {
            return Err(Failure::Unsupported(
                "a PFX that is signed and not protected by a password".to_owned(),
            ));
        }
        let content = pfx.auth_safe.content.decode_as::<OctetString>().map_err(damaged)?;
        if let Some(mac) = &pfx.mac_data {
            check(mac, content.as_bytes(), password, rounds)?;
        }
        let mut archive = Self {
            file: file.to_owned(),
            certificates: Vec::new(),
            ids: Vec::new(),
            keys: Vec::new(),
        };
        for safe in AuthenticatedSafe::from_der(&to_der(content.as_bytes())).map_err(damaged)? {
            for bag in bags(&safe, password, rounds)? {
                archive.take(&bag, password, rounds)?;
            }
        }
        Ok(archive)
    }

    /// Certificates and keys. Secrets, revocation lists and nested safes are passed over, as .NET passes them over.
    fn take(&mut self, bag: &SafeBag, password: &Password<'_>, rounds: &mut Rounds) -> Result<(), Failure> {
        let id = local_key_id(bag);
        match bag.bag_id {
            PKCS_12_CERT_BAG_OID => {
                let content: CertBag = content(bag)?;
                if content.cert_id == PKCS_12_X509_CERT_OID {
                    let certificate = X509Certificate::from_der(content.cert_value.as_bytes());
                    self.certificates.push(certificate.map_err(Failure::Malformed)?);
                    self.ids.push(id);
                }
            }
            PKCS_12_KEY_BAG_OID => self.keys.push(Key {
                id,
                der: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(inner(bag)?)),
            }),
            PKCS_12_PKCS8_KEY_BAG_OID => self.keys.push(Key {
                id,
                der: PrivateKeyDer::Pkcs8(key::open(&inner(bag)?, password, rounds)?),
            }),
            _ => (),
        }
        Ok(())
    }

    /// The certificate that has a private key; of several the one that is no authority's.
    pub(super) fn into_certificate(self) -> Result<Certificate, CertificateError> {
        self.pair().map(|pair| self.certificate(pair))
    }

    /// The same with the encoding of its key (PKCS#8), for one who writes both elsewhere.
    #[cfg(feature = "dev-cert")]
    pub(super) fn into_identity(self) -> Result<(Certificate, Vec<u8>), CertificateError> {
        let pair = self.pair()?;
        let key = self.keys[pair.private].der.secret_der().to_vec();
        Ok((self.certificate(pair), key))
    }

    fn certificate(&self, pair: Pair) -> Certificate {
        let leaf = self.certificates[pair.certificate].clone();
        Certificate::new(leaf, &self.certificates, pair.key)
    }

    fn pair(&self) -> Result<Pair, CertificateError> {
        let Some(first) = self.certificates.first() else {
            let reason = if self.keys.is_empty() {
                "it holds neither certificate nor key"
            } else {
                "it holds a private key and no certificate; put both into it: openssl pkcs12 -export -in \
                 CERTIFICATE.pem -inkey KEY.pem -out BOTH.pfx"
            };
            return Err(CertificateError::Malformed {
                file: self.file.clone(),
                reason: reason.to_owned(),
            });
        };
        if self.keys.is_empty() {
            return Err(CertificateError::NoPrivateKey {
                subject: first.subject().to_string(),
                thumbprint: first.thumbprint().to_owned(),
                file: self.file.clone(),
                remedy: "export it together with its key: openssl pkcs12 -export -in CERTIFICATE.pem -inkey KEY.pem \
                    -out BOTH.pfx"
                    .to_owned(),
            });
        }
        let mut pairs = self.pairs();
        if pairs.len() > 1 {
            let servers = |pair: &Pair| !self.certificates[pair.certificate].is_authority();
            if pairs.iter().any(servers) {
                pairs.retain(servers);
            }
        }
        if pairs.len() > 1 {
            let subjects = pairs.iter().map(|pair| &self.certificates[pair.certificate]);
            return Err(CertificateError::SeveralKeys {
                subjects: subjects
                    .map(|it| format!("{}, {}", it.subject(), it.thumbprint()))
                    .collect(),
                file: self.file.clone(),
            });
        }
        pairs.pop().ok_or_else(|| self.no_pair())
    }

    /// Each key with the certificate that has its public half, whatever the localKeyIds say. They only choose between
    /// certificates for the same key; without them the one counts that lasts longest.
    fn pairs(&self) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = Vec::new();
        for (at, private) in self.keys.iter().enumerate() {
            let Some((key, Some(public))) = key::load(&private.der) else {
                continue;
            };
            let fitting =
                (0..self.certificates.len()).filter(|at| self.certificates[*at].public_key().is_same(&public));
            let best = fitting.max_by_key(|at| {
                let named = private.id.is_some() && self.ids[*at] == private.id;
                (named, self.certificates[*at].not_after())
            });
            if let Some(certificate) = best
                && pairs
                    .iter()
                    .all(|pair| self.certificates[pair.certificate] != self.certificates[certificate])
            {
                pairs.push(Pair {
                    certificate,
                    private: at,
                    key,
                });
            }
        }
        pairs
    }

    /// Why none of the keys belongs to any of the certificates.
    fn no_pair(&self) -> CertificateError {
        let first = &self.certificates[0];
        let private = &self.keys[0];
        let named = self.ids.iter().position(|id| id.is_some() && *id == private.id);
        match key::for_certificate(&private.der, &self.certificates[named.unwrap_or(0)], &self.file) {
            Err(error) => error,
            Ok(_) => key::unusable(first, &self.file),
        }
    }
}

/// RFC 7292 §4: the MAC over the content, with a key made of the password.
fn check(mac: &MacData, content: &[u8], password: &Password<'_>, rounds: &mut Rounds) -> Result<(), Failure> {
    let is_right = match mac.mac.algorithm.oid.to_string().as_str() {
        "1.3.14.3.2.26" => is_right::<sha1::Sha1>,
        "2.16.840.1.101.3.4.2.4" => is_right::<sha2::Sha224>,
        "2.16.840.1.101.3.4.2.1" => is_right::<sha2::Sha256>,
        "2.16.840.1.101.3.4.2.2" => is_right::<sha2::Sha384>,
        "2.16.840.1.101.3.4.2.3" => is_right::<sha2::Sha512>,
        "1.2.840.113549.1.5.14" => return Err(Failure::Unsupported("a MAC by PBMAC1".to_owned())),
        other => return Err(Failure::Unsupported(format!("a MAC with the algorithm {other}"))),
    };
    let count = checked_rounds(mac.iterations)?;
    rounds.spend(count.unsigned_abs().into())?;
    match is_right(mac, content, &password.wide, count) {
        true => Ok(()),
        false => Err(Failure::WrongPassword),
    }
}

fn is_right<D>(mac: &MacData, content: &[u8], password: &[u8], rounds: i32) -> bool
where
    D: EagerHash + Digest + FixedOutputReset + BlockSizeUser,
    Hmac<D>: Mac + KeyInit,
{
    let hmac = keyed::<D>(mac.mac_salt.as_bytes(), password, rounds).chain_update(content);
    hmac.verify_slice(mac.mac.digest.as_bytes()).is_ok()
}

/// The MAC over the content, for one who writes it.
#[cfg(feature = "dev-cert")]
pub(super) fn mac<D>(content: &[u8], salt: &[u8], password: &[u8], rounds: i32) -> Vec<u8>
where
    D: EagerHash + Digest + FixedOutputReset + BlockSizeUser,
    Hmac<D>: Mac + KeyInit,
{
    let hmac = keyed::<D>(salt, password, rounds).chain_update(content);
    hmac.finalize().into_bytes().to_vec()
}

fn keyed<D>(salt: &[u8], password: &[u8], rounds: i32) -> Hmac<D>
where
    D: EagerHash + Digest + FixedOutputReset + BlockSizeUser,
    Hmac<D>: Mac + KeyInit,
{
    let length = <D as OutputSizeUser>::output_size();
    let key = derive_key::<D>(password, salt, Pkcs12KeyType::Mac, rounds, length);
    <Hmac<D> as KeyInit>::new_from_slice(&key).expect("a key for HMAC may have any length")
}

/// The bags of a safe, opened if it is encrypted.
fn bags(safe: &ContentInfo, password: &Password<'_>, rounds: &mut Rounds) -> Result<Vec<SafeBag>, Failure> {
    match safe.content_type {
        DATA => {
            let content = safe.content.decode_as::<OctetString>().map_err(damaged)?;
            Vec::from_der(&to_der(content.as_bytes())).map_err(damaged)
        }
        ENCRYPTED_DATA => {
            let data: EncryptedData = safe.content.decode_as().map_err(damaged)?;
            let info = data.enc_content_info;
            let Some(content) = info.encrypted_content else {
                return Ok(Vec::new());
            };
            let content = decrypt(&info.content_enc_alg, content.as_bytes(), password, rounds)?;
            // One wrong password in 256 leaves a padding that looks right.
            Vec::from_der(&to_der(&content)).map_err(|_| Failure::WrongPassword)
        }
        other => Err(Failure::Unsupported(format!("a safe of the type {other}"))),
    }
}

fn content<'a, T>(bag: &'a SafeBag) -> Result<T, Failure>
where
    T: Decode<'a, Error = x509_cert::der::Error> + Tagged,
{
    let value = ContextSpecific::<T>::from_der(&bag.bag_value).map_err(damaged)?;
    Ok(value.value)
}

/// The encoding of what a bag holds.
fn inner(bag: &SafeBag) -> Result<Vec<u8>, Failure> {
    content::<Any>(bag)?.to_der().map_err(damaged)
}

fn local_key_id(bag: &SafeBag) -> Option<Vec<u8>> {
    let attribute = bag.bag_attributes.as_ref()?.iter().find(|it| it.oid == LOCAL_KEY_ID)?;
    attribute.values.iter().next()?.to_der().ok()
}

fn damaged(error: x509_cert::der::Error) -> Failure {
    Failure::Malformed(format!("the PFX is damaged ({error})"))
}

fn explain(failure: Failure, file: &str, given: bool) -> CertificateError {
    let file = file.to_owned();
    match failure {
        Failure::WrongPassword => CertificateError::BadPassword {
            reason: format!("try openssl pkcs12 -in {file} -noout -info; older files want -legacy, too"),
            file,
            given,
        },
        Failure::Malformed(reason) => CertificateError::Malformed {
            reason: format!("{reason}; try openssl pkcs12 -in {file} -noout -info"),
            file,
        },
        Failure::Unsupported(algorithm) => CertificateError::Unsupported {
            remedy: format!(
                "write it anew: openssl pkcs12 -legacy -in {file} -nodes -out all.pem, then openssl pkcs12 -export -in \
                 all.pem -out new.pfx"
            ),
            file,
            algorithm,
        },
        Failure::TooManyRounds(rounds) => CertificateError::TooManyRounds {
            file,
            rounds,
            limit: Rounds::LIMIT,
        },
    }
}

pub(super) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
pub(super) const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
pub(super) const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");
