//! What the machine trusts, and whose home this is.

use super::file::{self, Form};
use super::x509::X509Certificate;
use log::debug;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where OpenSSL's roots are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trust {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Trust {
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`, each instead of the places that distributions use.
    pub(super) fn from_environment() -> Self {
        let list = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::new(list("SSL_CERT_FILE"), list("SSL_CERT_DIR"))
    }

    pub(super) fn of_file(file: PathBuf) -> Self {
        Self {
            files: vec![file],
            folders: Vec::new(),
        }
    }

    fn new(file: Option<OsString>, folders: Option<OsString>) -> Self {
        Self {
            files: match file {
                Some(file) => vec![file.into()],
                None => FILES.iter().map(PathBuf::from).collect(),
            },
            folders: match folders {
                Some(folders) => std::env::split_paths(&folders)
                    .filter(|it| !it.as_os_str().is_empty())
                    .collect(),
                None => FOLDERS.iter().map(PathBuf::from).collect(),
            },
        }
    }

    #[cfg(feature = "dev-cert")]
    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The certificates of all these places, each once; what cannot be read is passed over.
    pub(super) fn read(&self) -> Vec<X509Certificate> {
        let mut seen = BTreeSet::new();
        let in_folders = self.folders.iter().flat_map(|folder| files_in(folder));
        let mut certificates = Vec::new();
        for path in self.files.iter().cloned().chain(in_folders) {
            for certificate in certificates_of(&path) {
                if seen.insert(certificate.thumbprint().to_owned()) {
                    certificates.push(certificate);
                }
            }
        }
        certificates
    }
}

/// The certificates of a PEM or DER file; none where they cannot be read.
pub(super) fn certificates_of(path: &Path) -> Vec<X509Certificate> {
    let Ok(bytes) = file::read(path) else {
        return Vec::new();
    };
    match Form::of(&bytes) {
        Form::Pem => super::pem::sections(&bytes)
            .filter(|section| section.label == "CERTIFICATE")
            .filter_map(|section| section.certificate().ok())
            .filter_map(|der| match X509Certificate::from_der(&der) {
                Ok(certificate) => Some(certificate),
                Err(reason) => {
                    debug!(target: "stannel", "one of the trusted certificates in {}: {reason}", path.display());
                    None
                }
            })
            .collect(),
        Form::Der => X509Certificate::from_der(&bytes).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The files of a folder in the order of their names, so that nothing depends on the file system.
pub(super) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(MAX_FILES);
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

/// `HOME`; if it is not set or empty, what the password database says of the user.
pub(super) fn home() -> Option<PathBuf> {
    let set = std::env::var_os("HOME").filter(|home| !home.is_empty());
    set.map(PathBuf::from).or_else(|| {
        let users = file::read(Path::new("/etc/passwd")).ok()?;
        home_of(effective_user()?, &String::from_utf8_lossy(&users))
    })
}

/// Files that a process makes belong to its effective user, and so does its entry in `/proc`.
pub(super) fn effective_user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|it| it.uid())
}

fn home_of(user: u32, users: &str) -> Option<PathBuf> {
    let entries = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut homes = entries.filter_map(|fields| match fields[..] {
        [_, _, id, _, _, home, ..] if id.parse() == Ok(user) && !home.is_empty() => Some(PathBuf::from(home)),
        _ => None,
    });
    homes.next()
}

/// More than any folder of roots has.
const MAX_FILES: usize = 10_000;

/// Debian, Fedora, SUSE, Alpine.
const FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33:www:/var/www:/bin/false\nnobody:x:65534:1:::/bin/sh\n";
        let table = [(0, Some("/root")), (33, Some("/var/www")), (65534, None), (1, None)];
        for (user, home) in table {
            assert_eq!(home_of(user, users), home.map(PathBuf::from), "{user}");
        }
    }

    #[test]
    fn what_the_machine_trusts() {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem"));
        let copy = |from: &str, to: &str| std::fs::copy(fixtures.join(from), folder.path().join(to)).unwrap();
        copy("chain.pem", "a bundle without a usual name");
        copy("rsa2048.der.crt", "der.crt");
        copy("rsa2048.crt", "the same again.pem");
        copy("p256.sec1.key", "no certificate.pem");
        std::fs::write(folder.path().join("garbage.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();

        let read = |file: Option<&Path>, folders: Option<&Path>| {
            let trust = Trust::new(
                Some(file.unwrap_or(Path::new("/absent")).into()),
                Some(folders.unwrap_or(Path::new("/absent")).into()),
            );
            let names: Vec<_> = trust.read().iter().map(|it| it.subject().to_string()).collect();
            names
        };
        let all = [
            "CN=chain.stannel.test",
            "CN=Test Intermediate, O=stannel.test",
            "CN=Test Root, O=stannel.test",
            "CN=pem-rsa2048.stannel.test",
        ];
        assert_eq!(read(None, Some(folder.path())), all);
        assert_eq!(read(Some(&fixtures.join("rsa2048.crt")), None), all[3..]);
        assert!(read(None, None).is_empty());
    }

    #[test]
    fn variables_take_the_place_of_the_defaults() {
        let trust = Trust::new(None, Some("/a::/b".into()));
        assert_eq!(trust.folders, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(trust.files.len(), FILES.len());
    }
}
