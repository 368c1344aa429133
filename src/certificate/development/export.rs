//! A development certificate as files to take along.

use super::files::Draft;
use super::{Identity, archive, pem, random};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::pbes2;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use x509_cert::der::Encode;
use x509_cert::der::asn1::OctetStringRef;

/// What is to be exported, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Export {
    pub(super) path: PathBuf,
    pub(super) form: Form,
    pub(super) key: KeyForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Pfx,
    Pem,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyForm {
    /// The certificate alone.
    LeftOut,
    /// Behind a password, which may be empty.
    Closed(String),
    Open,
}

impl Form {
    /// As .NET reads an enumeration of two: a name in any case or its number, or several with commas, which add up.
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Ok(number) = text.trim().parse::<u8>() {
            return match number {
                0 => Some(Self::Pfx),
                1 => Some(Self::Pem),
                _ => None,
            };
        }
        let mut sum = Self::Pfx;
        for name in text.split(',').map(str::trim) {
            if name.eq_ignore_ascii_case("pem") {
                sum = Self::Pem;
            } else if !name.eq_ignore_ascii_case("pfx") {
                return None;
            }
        }
        Some(sum)
    }
}

impl Export {
    /// Refuses what can be seen to go wrong before anything is made.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.form == Form::Pem && key_path(&self.path) == self.path {
            return Err(format!(
                "cannot export to {}: the file of the key would have that name; name the certificate's, such as {}",
                self.path.display(),
                self.path.with_extension("pem").display()
            ));
        }
        Ok(())
    }

    /// Writes the files; which ones.
    pub(super) fn write(&self, identity: &Identity) -> Result<Vec<PathBuf>, String> {
        self.check()?;
        let certificate = identity.certificate.der();
        let main = match (self.form, &self.key) {
            (Form::Pem, _) => pem("CERTIFICATE", certificate)?.into_bytes(),
            (Form::Pfx, KeyForm::Closed(password)) => archive::with_password(identity, password)?,
            (Form::Pfx, KeyForm::LeftOut | KeyForm::Open) => certificate.to_vec(),
        };
        let key = match (self.form, &self.key) {
            (Form::Pfx, _) | (Form::Pem, KeyForm::LeftOut) => None,
            (Form::Pem, KeyForm::Open) => Some(pem("PRIVATE KEY", &identity.key)?),
            (Form::Pem, KeyForm::Closed(password)) => {
                Some(pem("ENCRYPTED PRIVATE KEY", &encrypted(&identity.key, password)?)?)
            }
        };
        let mut files = vec![(self.path.clone(), main)];
        files.extend(key.map(|key| (key_path(&self.path), key.into_bytes())));
        // Both are written before one of them can be seen.
        let drafts: Result<Vec<_>, _> = files.iter().map(|(path, bytes)| Draft::write(path, bytes)).collect();
        for draft in drafts? {
            draft.publish()?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }
}

/// The same with the extension `.key`, also where the name is an extension and nothing else.
fn key_path(path: &Path) -> PathBuf {
    match path.file_name().map(OsStr::as_encoded_bytes) {
        Some([b'.', rest @ ..]) if !rest.contains(&b'.') => path.with_file_name(".key"),
        _ => path.with_extension("key"),
    }
}

fn encrypted(key: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let salt: [u8; 16] = random()?;
    let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, random()?);
    let parameters = parameters.map_err(|error| error.to_string())?;
    let closed = parameters.encrypt(password, key).map_err(|error| error.to_string())?;
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: parameters.into(),
        encrypted_data: <&OctetStringRef>::try_from(&*closed).map_err(|error| error.to_string())?,
    };
    info.to_der().map_err(|error| error.to_string())
}

/// Of .NET's exported keys.
const ROUNDS: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::super::profile;
    use super::*;
    use crate::certificate::Certificate;
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    #[test]
    fn formats() {
        let table = [
            ("Pfx", Some(Form::Pfx)),
            ("pEM", Some(Form::Pem)),
            ("0", Some(Form::Pfx)),
            (" 1 ", Some(Form::Pem)),
            ("Pfx,Pem", Some(Form::Pem)),
            ("pem , pfx", Some(Form::Pem)),
            ("pfx,pfx", Some(Form::Pfx)),
            ("2", None),
            ("", None),
            ("pem,", None),
            ("der", None),
        ];
        for (text, expected) in table {
            assert_eq!(Form::read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn where_the_key_goes() {
        let table = [
            ("a/dc.pem", "a/dc.key"),
            ("dc", "dc.key"),
            ("a.b.crt", "a.b.key"),
            ("dc.KEY", "dc.key"),
            ("dc.key", "dc.key"),
            ("a/.pem", "a/.key"),
            ("a/.key", "a/.key"),
        ];
        for (path, expected) in table {
            assert_eq!(key_path(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn what_is_exported_can_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let identity = profile::make(SystemTime::UNIX_EPOCH).unwrap();
        let write = |name: &str, form, key| {
            let path = folder.path().join(name);
            let files = Export { path, form, key }.write(&identity);
            for file in files.iter().flatten() {
                assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            }
            files
        };
        let closed = |password: &str| KeyForm::Closed(password.to_owned());
        let leaf = |certificate: Result<Certificate, _>| certificate.unwrap().leaf().clone();

        for password in ["geheim-1", "", "pässwörd🔑"] {
            let files = write("a.pfx", Form::Pfx, closed(password)).unwrap();
            assert_eq!(
                leaf(Certificate::from_pfx_file(&files[0], Some(password))),
                identity.certificate
            );
            let files = write("b.pem", Form::Pem, closed(password)).unwrap();
            let read = Certificate::from_pem_files(&files[0], &files[1], Some(password));
            assert_eq!(leaf(read), identity.certificate, "{password}");
            assert!(Certificate::from_pem_files(&files[0], &files[1], Some("wrong")).is_err());
        }
        let files = write("c.crt", Form::Pem, KeyForm::Open).unwrap();
        assert_eq!(files[1], folder.path().join("c.key"));
        assert_eq!(
            leaf(Certificate::from_pem_files(&files[0], &files[1], None)),
            identity.certificate
        );
        let text = std::fs::read_to_string(&files[0]).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n") && text.ends_with("-----END CERTIFICATE-----"));
        assert!(text.lines().all(|line| line.len() <= 64));

        let files = write("d.cer", Form::Pfx, KeyForm::LeftOut).unwrap();
        assert_eq!(std::fs::read(&files[0]).unwrap(), identity.certificate.der());
        assert_eq!(write("e.pem", Form::Pem, KeyForm::LeftOut).unwrap().len(), 1);
    }

    #[test]
    fn what_goes_wrong_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let identity = profile::make(SystemTime::UNIX_EPOCH).unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            let (form, key) = (Form::Pem, KeyForm::Open);
            Export { path, form, key }.write(&identity).unwrap_err()
        };
        let error = write("dc.key");
        assert!(error.contains("the file of the key would have that name"), "{error}");
        let error = write("absent/dc.pem");
        assert!(error.contains("there is no such folder"), "{error}");
        std::fs::create_dir(folder.path().join("dc.key")).unwrap();
        let error = write("dc.pem");
        assert!(error.contains("dc.key: it is there and no file"), "{error}");
        assert!(!folder.path().join("dc.pem").exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
