//! PEM: the sections of a text, and what stands in those that count. The only file that knows rustls-pemfile.

use memchr::memmem;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_pemfile::Item;

/// A section: from its `-----BEGIN` to behind its `-----END`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    pub(super) label: &'a str,
    pub(super) text: &'a [u8],
}

/// All sections of a text, whatever their labels, and whatever stands between them. One without an end reaches to the
/// end of the text.
pub(super) fn sections(text: &[u8]) -> impl Iterator<Item = Section<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = memmem::find(rest, BEGIN)?;
            let text = rest.get(start..)?;
            let label = text.get(BEGIN.len()..)?;
            rest = label;
            let Some(length) = memmem::find(label, b"-----") else {
                continue;
            };
            let label = std::str::from_utf8(&label[..length]);
            let Some(label) = label.ok().filter(|label| !label.contains('\n')) else {
                continue;
            };
            let end = memmem::find(text, format!("-----END {label}-----").as_bytes());
            let length = end.map_or(text.len(), |end| end + "-----END -----".len() + label.len());
            rest = &text[length..];
            return Some(Section {
                label,
                text: &text[..length],
            });
        }
    })
}

impl Section<'_> {
    /// The certificate of a section with the label `CERTIFICATE`.
    pub(super) fn certificate(self) -> Result<CertificateDer<'static>, String> {
        match self.item()? {
            Item::X509Certificate(certificate) => Ok(certificate),
            _ => Err("it is no certificate".to_owned()),
        }
    }

    /// The key of a section with the label of a private key that is not encrypted.
    pub(super) fn private_key(self) -> Result<PrivateKeyDer<'static>, String> {
        match self.item()? {
            Item::Pkcs8Key(key) => Ok(key.into()),
            Item::Pkcs1Key(key) => Ok(key.into()),
            Item::Sec1Key(key) => Ok(key.into()),
            _ => Err("it is no private key".to_owned()),
        }
    }

    fn item(self) -> Result<Item, String> {
        match rustls_pemfile::read_one_from_slice(self.text) {
            Ok(Some((item, _))) => Ok(item),
            Ok(None) => Err("nothing can be read there".to_owned()),
            Err(error) => Err(match error {
                rustls_pemfile::Error::MissingSectionEnd { .. } => "its END line is missing".to_owned(),
                rustls_pemfile::Error::IllegalSectionStart { .. } => "its BEGIN line is damaged".to_owned(),
                rustls_pemfile::Error::Base64Decode(reason) => format!("it is no base64 ({reason})"),
            }),
        }
    }
}

const BEGIN: &[u8] = b"-----BEGIN ";

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn the_sections_of_a_text() {
        let text = b"words -----BEGIN A-----\nx\n-----END A-----\n-----BEGIN B C-----\ny\n-----END B C----- words \
            -----BEGIN broken\n-----BEGIN A-----\nz";
        let found: Vec<_> = sections(text).map(|it| (it.label, it.text.len())).collect();
        assert_eq!(found, [("A", 35), ("B C", 39), ("A", 19)]);
        assert_eq!(sections(b"-----BEGIN ").count(), 0);
        assert_eq!(sections(b"-----BEGIN -----").count(), 1);
        assert_eq!(sections(b"-----BEGIN \xff----------BEGIN A-----").count(), 1);
    }

    /// rustls-pemfile is no longer maintained; what took its place must say the same.
    #[test]
    fn another_reader_says_the_same() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem");
        let mut seen = (0, 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read(&path).unwrap();
            let ours: Vec<_> = sections(&text)
                .filter(|section| section.label == "CERTIFICATE")
                .map(|section| section.certificate().unwrap())
                .collect();
            let theirs: Vec<_> = CertificateDer::pem_slice_iter(&text).map(Result::unwrap).collect();
            assert_eq!(ours, theirs, "{}", path.display());
            seen.0 += ours.len();

            let ours = sections(&text).find_map(|section| section.private_key().ok());
            let theirs = PrivateKeyDer::from_pem_slice(&text).ok();
            assert_eq!(ours, theirs, "{}", path.display());
            seen.1 += usize::from(ours.is_some());
        }
        assert!(seen.0 > 5 && seen.1 > 5, "{seen:?}");
    }
}
