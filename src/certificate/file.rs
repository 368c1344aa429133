//! Reading files, with a limit, and seeing what they are by what they hold.

use super::CertificateError;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::Path;

/// More than the largest bundle of a machine's roots; a certificate with its key has a few thousand bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// The whole of a file that has at most [`MAX_FILE`] bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |reason: String| CertificateError::Unreadable {
        file: name(path),
        reason,
    };
    let failed = |error: io::Error| {
        unreadable(match error.kind() {
            io::ErrorKind::NotFound => "there is no such file; relative paths begin at the content root".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied; let the server's user read it".to_owned(),
            _ => error.to_string(),
        })
    };
    // Asked before it is opened: to open a pipe could wait for ever.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file; name the file itself".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CertificateError::TooLarge {
            file: name(path),
            limit: MAX_FILE,
        });
    }
    Ok(bytes)
}

/// What a file holds, as far as it has to be compared.
pub(crate) fn content(path: &Path) -> Result<u64, CertificateError> {
    let mut hasher = DefaultHasher::new();
    read(path)?.hash(&mut hasher);
    Ok(hasher.finish())
}

/// A path as messages have it.
pub(super) fn name(path: &Path) -> String {
    path.display().to_string()
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Pem,
    /// One certificate.
    Der,
    Pfx,
    /// A bundle of certificates, which never has a key.
    Pkcs7,
    /// What Java wrote before it took PKCS#12.
    JavaKeystore,
    /// A private key that is not PEM.
    DerKey,
    Unknown,
}

impl Form {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if memchr::memmem::find(bytes, b"-----BEGIN ").is_some() {
            return Self::Pem;
        }
        if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) {
            return Self::JavaKeystore;
        }
        let [SEQUENCE, length, rest @ ..] = bytes else {
            return Self::Unknown;
        };
        // The length: one byte, or as many more as its low bits say; 0x80 leaves it open, as BER allows.
        let inner = match length {
            0x81..=0x84 => rest.get(usize::from(length - 0x80)..),
            _ => Some(rest),
        };
        match inner.unwrap_or_default() {
            // A PFX says that it has version 3, a key that it has 0 or 1.
            [INTEGER, 1, 0 | 1, ..] => Self::DerKey,
            [INTEGER, ..] => Self::Pfx,
            [SEQUENCE, ..] => Self::Der,
            [OBJECT_IDENTIFIER, ..] => Self::Pkcs7,
            _ => Self::Unknown,
        }
    }
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is() {
        let table: &[(&[u8], Form)] = &[
            (b"", Form::Unknown),
            (b"\x30", Form::Unknown),
            (b"\x30\x82\x01", Form::Unknown),
            (b"hello", Form::Unknown),
            (b"Bag Attributes\n-----BEGIN CERTIFICATE-----\n", Form::Pem),
            (b"\x30\x82\x01\x00\x30\x82", Form::Der),
            (b"\x30\x03\x30\x01\x00", Form::Der),
            (b"\x30\x82\x01\x00\x02\x01\x03", Form::Pfx),
            (b"\x30\x82\x01\x00\x02\x01\x00", Form::DerKey),
            (b"\x30\x80\x02\x01\x03", Form::Pfx),
            (b"\x30\x80\x06\x09", Form::Pkcs7),
            (b"\x30\x82\x01\x00\x06\x09", Form::Pkcs7),
            (b"\xfe\xed\xfe\xed\x00\x00\x00\x02", Form::JavaKeystore),
        ];
        for (bytes, form) in table {
            assert_eq!(Form::of(bytes), *form, "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let absent = read(&folder.path().join("absent.pem")).unwrap_err();
        assert!(
            absent.to_string().contains("absent.pem: there is no such file"),
            "{absent}"
        );
        let no_file = read(folder.path()).unwrap_err();
        assert!(no_file.to_string().contains("it is not a file"), "{no_file}");

        let large = folder.path().join("large.pem");
        std::fs::write(&large, vec![b'x'; MAX_FILE as usize + 1]).unwrap();
        assert!(matches!(
            read(&large),
            Err(CertificateError::TooLarge { limit: MAX_FILE, .. })
        ));
        std::fs::write(&large, vec![b'x'; MAX_FILE as usize]).unwrap();
        assert_eq!(read(&large).unwrap().len() as u64, MAX_FILE);
    }
}
