//! Writing PFX (PKCS#12, RFC 7292), in the two forms that .NET has: for its stores, and for files with a password.

use super::{Identity, random};
use crate::certificate::encryption::Password;
use crate::certificate::pfx::{self, LOCAL_KEY_ID};
use crate::certificate::x509::X509Certificate;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::encrypted_data::EncryptedData;
use cms::enveloped_data::EncryptedContentInfo;
use pkcs8::pkcs5::pbes2;
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use pkcs12::pbe_params::{EncryptedPrivateKeyInfo, Pkcs12PbeParams};
use pkcs12::pfx::Version;
use pkcs12::{AuthenticatedSafe, CertBag, DigestInfo, MacData, Pfx, SafeBag};
use pkcs12::{
    PKCS_12_CERT_BAG_OID, PKCS_12_PBE_WITH_SHAAND3_KEY_TRIPLE_DES_CBC as TRIPLE_DES, PKCS_12_PKCS8_KEY_BAG_OID,
    PKCS_12_X509_CERT_OID,
};
use sha1::Sha1;
use sha2::Sha256;
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::der::asn1::{Any, ObjectIdentifier, OctetString, SetOfVec};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// How a file is closed.
#[derive(Clone, Copy)]
enum Lock<'a> {
    /// As in the files of .NET's stores: nothing secret, one round of everything.
    Store,
    /// As `dotnet dev-certs` exports: old, so that everything can read it.
    Password(&'a str),
}

/// The file of a store, with the private key.
pub(super) fn for_store(identity: &Identity) -> Result<Vec<u8>, String> {
    write(&identity.certificate, Some(&identity.key), Lock::Store)
}

/// The file of a store without private key, as in the store of trusted roots.
pub(super) fn for_store_without_key(certificate: &X509Certificate) -> Result<Vec<u8>, String> {
    write(certificate, None, Lock::Store)
}

/// A file to take along; an empty password is one as well.
pub(super) fn with_password(identity: &Identity, password: &str) -> Result<Vec<u8>, String> {
    write(&identity.certificate, Some(&identity.key), Lock::Password(password))
}

fn write(certificate: &X509Certificate, key: Option<&[u8]>, lock: Lock<'_>) -> Result<Vec<u8>, String> {
    let certificate_bag = SafeBag {
        bag_id: PKCS_12_CERT_BAG_OID,
        bag_value: encoded(&CertBag {
            cert_id: PKCS_12_X509_CERT_OID,
            cert_value: octets(certificate.der())?,
        })?,
        bag_attributes: key.map(|_| local_key_id()).transpose()?,
    };
    let (algorithm, closed) = lock.close(&encoded(&vec![certificate_bag])?)?;
    let certificates = EncryptedData {
        version: CmsVersion::V0,
        enc_content_info: EncryptedContentInfo {
            content_type: pfx::DATA,
            content_enc_alg: algorithm,
            encrypted_content: Some(octets(&closed)?),
        },
        unprotected_attrs: None,
    };
    // Without a key this safe is there, and empty.
    let mut keys = Vec::new();
    if let Some(key) = key {
        let (algorithm, closed) = lock.close(key)?;
        keys.push(SafeBag {
            bag_id: PKCS_12_PKCS8_KEY_BAG_OID,
            bag_value: encoded(&EncryptedPrivateKeyInfo {
                encryption_algorithm: algorithm,
                encrypted_data: octets(&closed)?,
            })?,
            bag_attributes: Some(local_key_id()?),
        });
    }
    let safes: AuthenticatedSafe<'_> = vec![
        content(pfx::ENCRYPTED_DATA, &certificates)?,
        content(pfx::DATA, &octets(&encoded(&keys)?)?)?,
    ];
    let safes = encoded(&safes)?;
    encoded(&Pfx {
        version: Version::V3,
        auth_safe: content(pfx::DATA, &octets(&safes)?)?,
        mac_data: Some(lock.mac(&safes)?),
    })
}

impl Lock<'_> {
    fn password(&self) -> Password<'_> {
        match self {
            Self::Store => Password::of_no_bytes(),
            Self::Password(text) => Password::new(text),
        }
    }

    fn close(&self, data: &[u8]) -> Result<(AlgorithmIdentifierOwned, Vec<u8>), String> {
        let password = self.password();
        match self {
            Self::Store => {
                let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(1, &random::<16>()?, random()?);
                let parameters = parameters.map_err(|error| error.to_string())?;
                let closed = parameters.encrypt(password.text, data);
                let algorithm = AlgorithmIdentifierOwned {
                    oid: pbes2::PBES2_OID,
                    parameters: Some(any(&parameters)?),
                };
                Ok((algorithm, closed.map_err(|error| error.to_string())?))
            }
            Self::Password(_) => {
                let salt: [u8; 16] = random()?;
                let derive = |kind, length| derive_key::<Sha1>(&password.wide, &salt, kind, ROUNDS, length);
                let key = derive(Pkcs12KeyType::EncryptionKey, 24);
                let vector = derive(Pkcs12KeyType::Iv, 8);
                let cipher = cbc::Encryptor::<des::TdesEde3>::new_from_slices(&key, &vector);
                let cipher = cipher.map_err(|error| error.to_string())?;
                let algorithm = AlgorithmIdentifierOwned {
                    oid: TRIPLE_DES,
                    parameters: Some(any(&Pkcs12PbeParams {
                        salt: octets(&salt)?,
                        iterations: ROUNDS,
                    })?),
                };
                Ok((algorithm, cipher.encrypt_padded_vec::<Pkcs7>(data)))
            }
        }
    }

    fn mac(&self, content: &[u8]) -> Result<MacData, String> {
        let password = self.password().wide;
        let (algorithm, digest, salt, iterations) = match self {
            Self::Store => {
                let salt: [u8; 32] = random()?;
                let digest = pfx::mac::<Sha256>(content, &salt, &password, 1);
                (SHA_256, digest, salt.to_vec(), 1)
            }
            Self::Password(_) => {
                let salt: [u8; 20] = random()?;
                let digest = pfx::mac::<Sha1>(content, &salt, &password, ROUNDS);
                (SHA_1, digest, salt.to_vec(), ROUNDS)
            }
        };
        Ok(MacData {
            mac: DigestInfo {
                algorithm: AlgorithmIdentifierOwned {
                    oid: algorithm,
                    parameters: None,
                },
                digest: octets(&digest)?,
            },
            mac_salt: octets(&salt)?,
            iterations,
        })
    }
}

/// Which certificate and which key belong together: number one, in .NET's four bytes.
fn local_key_id() -> Result<Attributes, String> {
    let failed = |error: x509_cert::der::Error| error.to_string();
    let values = SetOfVec::try_from(vec![any(&octets(&[1, 0, 0, 0])?)?]).map_err(failed)?;
    let attribute = Attribute {
        oid: LOCAL_KEY_ID,
        values,
    };
    SetOfVec::try_from(vec![attribute]).map_err(failed)
}

fn content(content_type: ObjectIdentifier, value: &impl Encode) -> Result<ContentInfo, String> {
    Ok(ContentInfo {
        content_type,
        content: any(value)?,
    })
}

fn octets(bytes: &[u8]) -> Result<OctetString, String> {
    OctetString::new(bytes).map_err(|error| error.to_string())
}

fn any(value: &impl Encode) -> Result<Any, String> {
    Any::from_der(&encoded(value)?).map_err(|error| error.to_string())
}

fn encoded(value: &impl Encode) -> Result<Vec<u8>, String> {
    value.to_der().map_err(|error| error.to_string())
}

/// Of .NET's exports with a password.
const ROUNDS: i32 = 2000;

const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

#[cfg(test)]
mod tests {
    use super::super::profile;
    use super::*;
    use crate::certificate::pfx::Archive;
    use std::time::SystemTime;
    use x509_cert::der::{Reader, SliceReader, Tag};

    /// The tags of an encoding and what is the same in every file of a kind: object identifiers and small numbers.
    /// Primitive strings are looked into where they hold an encoding themselves.
    fn outline(bytes: &[u8], depth: usize, lines: &mut Vec<String>) {
        let mut reader = SliceReader::new(bytes).unwrap();
        while !reader.is_finished() {
            let Ok(item) = reader.tlv_bytes() else {
                panic!("{lines:?}")
            };
            let any = Any::from_der(item).unwrap();
            let tag = x509_cert::der::Tagged::tag(&any);
            let shown = match tag {
                Tag::ObjectIdentifier | Tag::Integer | Tag::Null => format!("{tag} {:02x?}", any.value()),
                // Salts, vectors and digests; the others have lengths that hang on the key.
                _ if any.value().len() <= 32 && !tag.is_constructed() => format!("{tag} of {}", any.value().len()),
                _ => tag.to_string(),
            };
            lines.push(format!("{depth} {shown}"));
            let is_encoding =
                tag == Tag::OctetString && any.value().starts_with(&[0x30]) && Any::from_der(any.value()).is_ok();
            if tag.is_constructed() || is_encoding {
                outline(any.value(), depth + 1, lines);
            }
        }
    }

    #[test]
    fn it_is_built_as_dotnet_builds_it() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/dev-certs/");
        let store = ".dotnet/corefx/cryptography/x509stores";
        let thumbprint = "B4ECA681A9DFB8F7BD4F909705E42FB905F57090";
        let identity = profile::make(SystemTime::UNIX_EPOCH).unwrap();
        let table = [
            (format!("home/{store}/my/{thumbprint}.pfx"), for_store(&identity)),
            (
                format!("home/{store}/root/{thumbprint}.pfx"),
                for_store_without_key(&identity.certificate),
            ),
            (
                "exports/with-password.pfx".to_owned(),
                with_password(&identity, "geheim-1"),
            ),
            ("exports/empty-password.pfx".to_owned(), with_password(&identity, "")),
        ];
        for (file, ours) in table {
            let theirs = std::fs::read(format!("{folder}{file}")).unwrap();
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            outline(&theirs, 0, &mut expected);
            outline(&ours.unwrap(), 0, &mut found);
            assert_eq!(found, expected, "{file}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let identity = profile::make(SystemTime::UNIX_EPOCH).unwrap();
        let table = [
            (for_store(&identity), None),
            (with_password(&identity, ""), Some("")),
            (with_password(&identity, "pässwörd🔑"), Some("pässwörd🔑")),
        ];
        for (written, password) in table {
            let archive = Archive::read(&written.unwrap(), "test", password).unwrap();
            let (certificate, key) = archive.into_identity().unwrap();
            assert_eq!(*certificate.leaf(), identity.certificate, "{password:?}");
            assert_eq!(key, identity.key, "{password:?}");
        }
        let written = for_store_without_key(&identity.certificate).unwrap();
        let archive = Archive::read(&written, "test", None).unwrap();
        assert_eq!(archive.certificates, [identity.certificate]);
        assert!(archive.into_certificate().is_err());
    }
}
