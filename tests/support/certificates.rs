//! Certificates that are made for a test, in the forms of files and stores, and a home directory for them.

// Each test file uses a part of it.
#![allow(dead_code)]

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use stannel::certificate::CertificateStores;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A certificate with its key.
pub(crate) struct Made {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

/// What a certificate says of development: the object identifier of the mark.
const DEVELOPMENT: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 84, 1, 1];

/// A self-signed certificate for a common name, which is its host name too, until the year 2100.
pub(crate) fn make(name: &str) -> Made {
    make_with(name, |_| ())
}

/// The same as a development certificate of that version.
pub(crate) fn make_development(name: &str, version: u8) -> Made {
    make_with(name, |parameters| {
        let mark = CustomExtension::from_oid_content(&DEVELOPMENT, vec![version]);
        parameters.custom_extensions.push(mark);
    })
}

/// The same with whatever else is wanted.
pub(crate) fn make_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2100, 1, 1);
    change(&mut parameters);
    let certificate = parameters.self_signed(&key).unwrap();
    Made { certificate, key }
}

impl Made {
    /// As a PFX; the password of stores is none.
    pub(crate) fn pfx(&self, password: Option<&str>) -> Vec<u8> {
        let key = PrivateKey::from_der(self.key.serialized_der()).unwrap();
        let certificate = Certificate::from_der(self.certificate.der()).unwrap();
        let chain = PrivateKeyChain::new([1u8, 0, 0, 0].as_slice(), key, [certificate]);
        let mut store = KeyStore::new();
        store.add_entry("1", KeyStoreEntry::PrivateKeyChain(chain));
        let writer = store.writer(password.unwrap_or_default());
        writer.encryption_iterations(1).mac_iterations(1).write().unwrap()
    }

    /// As `NAME.pem` and `NAME.key` in a folder.
    pub(crate) fn write_pem(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&certificate, self.certificate.pem()).unwrap();
        fs::write(&key, self.key.serialize_pem()).unwrap();
        (certificate, key)
    }

    /// The key in PEM, closed with a password.
    pub(crate) fn encrypted_key(&self, password: &str) -> String {
        encrypted(self.key.serialized_der(), password)
    }
}

/// A PKCS#8 key in PEM, closed with a password.
pub(crate) fn encrypted(der: &[u8], password: &str) -> String {
    let parameters = pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(1, b"saltsalt", [7; 16]);
    let key = pkcs8::PrivateKeyInfoRef::try_from(der).unwrap();
    let key = key.encrypt_with_params(parameters.unwrap(), password).unwrap();
    key.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF)
        .unwrap()
        .to_string()
}

/// A home directory, and a machine that trusts what is in `trusted.pem`.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    /// Without any certificate.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(MY)).unwrap();
        fs::create_dir_all(folder.path().join(HTTPS)).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a certificate into the store `My`.
    pub(crate) fn store(&self, name: &str, made: &Made) {
        let file = self.path().join(MY).join(format!("{name}.pfx"));
        fs::write(file, made.pfx(None)).unwrap();
    }

    /// A development certificate in the store `My`.
    pub(crate) fn store_development(&self) {
        self.store("development", &make_development("localhost", 6));
    }

    /// A file of an application's in which a container finds the development certificate.
    pub(crate) fn development_file(&self, application: &str) -> PathBuf {
        self.path().join(HTTPS).join(format!("{application}.pfx"))
    }

    /// Has the machine trust these.
    pub(crate) fn trust(&self, trusted: &[&Made]) {
        let text: String = trusted.iter().map(|made| made.certificate.pem()).collect();
        fs::write(self.trusted(), text).unwrap();
    }

    fn trusted(&self) -> PathBuf {
        self.path().join("trusted.pem")
    }

    pub(crate) fn stores(&self) -> CertificateStores {
        CertificateStores::in_home(self.path()).trusting(self.trusted())
    }
}

const MY: &str = ".dotnet/corefx/cryptography/x509stores/my";
const HTTPS: &str = ".aspnet/https";
