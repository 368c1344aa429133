//! Trusting a development certificate: in every place where this user's programs look, and saying how far that got.

mod browsers;
mod certutil;
mod openssl;
mod subject_hash;

use super::{archive, store};
use crate::certificate::CertificateError;
use crate::certificate::chain;
use crate::certificate::store::CertificateStores;
use crate::certificate::x509::X509Certificate;
use browsers::{Browser, Browsers, Database};
use certutil::Certutil;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What the environment says about the places of trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::certificate) struct Variables {
    /// Instead of `~/.aspnet/dev-certs/trust`.
    openssl_folder: Option<PathBuf>,
    /// Instead of where browsers keep their databases.
    databases: Option<Vec<PathBuf>>,
    /// Where OpenSSL looks; without it nowhere that a user may write.
    certificate_folders: Vec<PathBuf>,
    /// Instead of `~/.local/share`.
    data: Option<PathBuf>,
    /// Where programs are.
    programs: Vec<PathBuf>,
}

impl Variables {
    pub(in crate::certificate) fn from_environment() -> Self {
        Self::new(|name| std::env::var_os(name))
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let value = |name| variable(name).filter(|value| !value.is_empty());
        let list = |value: OsString| -> Vec<PathBuf> {
            std::env::split_paths(&value)
                .filter(|path| !path.as_os_str().is_empty())
                .collect()
        };
        Self {
            openssl_folder: value("DOTNET_DEV_CERTS_OPENSSL_CERTIFICATE_DIRECTORY").map(PathBuf::from),
            databases: value("DOTNET_DEV_CERTS_NSSDB_PATHS").map(list),
            certificate_folders: value("SSL_CERT_DIR").map(list).unwrap_or_default(),
            data: value("XDG_DATA_HOME").map(PathBuf::from).filter(|it| it.is_absolute()),
            programs: value("PATH").map(list).unwrap_or_default(),
        }
    }
}

/// How far a certificate is trusted by this user's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustLevel {
    /// By none that was looked at.
    None,
    /// By some.
    Partial,
    /// By .NET, by programs with OpenSSL, and by every browser that was found.
    Full,
}

/// How far a development certificate is trusted, and which places lack it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DevelopmentTrust {
    /// How far.
    pub level: TrustLevel,
    /// Each place where it is not trusted, and why.
    pub lacking: Vec<String>,
}

/// What became of a certificate in a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    place: Place,
    folder: Option<PathBuf>,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    DotNet,
    OpenSsl,
    Browser(Browser),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DotNet => f.write_str(".NET"),
            Self::OpenSsl => f.write_str("OpenSSL"),
            Self::Browser(browser) => browser.fmt(f),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    NotThere,
    Failed(String),
}

impl Line {
    fn new(place: Place, folder: &Path, result: Result<Outcome, String>) -> Self {
        Self {
            place,
            folder: Some(folder.to_owned()),
            outcome: result.unwrap_or_else(Outcome::Failed),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Done => "done",
            Outcome::NotThere => "not there",
            Outcome::Failed(_) => "failed",
        };
        write!(f, "  {:<8}  {outcome:<9}", self.place.to_string())?;
        if let Some(folder) = &self.folder {
            write!(f, "  {}", folder.display())?;
        }
        match &self.outcome {
            Outcome::Failed(reason) => write!(f, ": {reason}"),
            Outcome::Done | Outcome::NotThere => Ok(()),
        }
    }
}

impl CertificateStores {
    /// How far this user's programs trust a certificate: .NET by its stores, OpenSSL by `SSL_CERT_DIR`, browsers by
    /// their databases.
    ///
    /// ```
    /// use stannel::certificate::CertificateStores;
    /// use stannel::certificate::development::TrustLevel;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let stores = CertificateStores::in_home("tests/fixtures/dotnet/dev-certs/home");
    /// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    /// let certificate = stores.development_certificate(now)?;
    /// let trust = stores.development_trust(certificate.leaf(), now);
    /// assert_eq!(trust.level, TrustLevel::Partial); // by .NET; OpenSSL does not look into this home
    /// # Ok::<(), stannel::CertificateError>(())
    /// ```
    #[must_use]
    pub fn development_trust(&self, certificate: &X509Certificate, now: SystemTime) -> DevelopmentTrust {
        let mut trusted = 0;
        let mut lacking = Vec::new();
        let mut count = |place: &dyn fmt::Display, result: Result<bool, String>| match result {
            Ok(true) => trusted += 1,
            Ok(false) => lacking.push(place.to_string()),
            Err(reason) => lacking.push(format!("{place} ({reason})")),
        };
        count(&Place::DotNet, Ok(self.is_trusted_by_chain(certificate, now)));
        let openssl = match self.openssl_folder() {
            _ if openssl::finds(&self.variables.certificate_folders, certificate) => Ok(true),
            Ok(folder) if openssl::has(&folder, certificate) => Err(self.openssl_setting(&folder)),
            _ => Ok(false),
        };
        count(&Place::OpenSsl, openssl);
        for database in self.browsers().databases {
            let result =
                Certutil::find(&self.variables.programs).and_then(|certutil| certutil.trusts(&database, certificate));
            count(
                &format_args!("{} {}", database.browser, database.folder.display()),
                result,
            );
        }
        let level = match (trusted, lacking.is_empty()) {
            (0, _) => TrustLevel::None,
            (_, false) => TrustLevel::Partial,
            (_, true) => TrustLevel::Full,
        };
        DevelopmentTrust { level, lacking }
    }

    /// Puts a certificate into every place; one line for each.
    pub(super) fn trust(&self, certificate: &X509Certificate, now: SystemTime) -> Result<Vec<Line>, CertificateError> {
        let root = self.folder("Root")?;
        let mut lines = Vec::new();
        let dotnet = archive::for_store_without_key(certificate)
            .and_then(|file| store::add(&root, certificate, store::HasKey::No, &file))
            .and_then(|_| match self.is_trusted_by_chain(certificate, now) {
                true => Ok(Outcome::Done),
                false => Err("it is in the store, but no chain leads to it".to_owned()),
            });
        lines.push(Line::new(Place::DotNet, &root, dotnet));
        let folder = self.openssl_folder()?;
        let openssl = openssl::add(&folder, certificate).map(|()| Outcome::Done);
        lines.push(Line::new(Place::OpenSsl, &folder, openssl));
        let Browsers { databases, to_be_made } = self.browsers();
        lines.extend(databases.iter().chain(&to_be_made).map(|database| {
            let result = Certutil::find(&self.variables.programs)
                .and_then(|certutil| certutil.add(database, certificate))
                .map(|()| Outcome::Done);
            Line::new(Place::Browser(database.browser), &database.folder, result)
        }));
        for place in [Browser::Chromium, Browser::Firefox].map(Place::Browser) {
            if lines.iter().all(|line| line.place != place) {
                lines.push(Line {
                    place,
                    folder: None,
                    outcome: Outcome::NotThere,
                });
            }
        }
        Ok(lines)
    }

    /// Takes a certificate out of every place; one line for each that had it, or may have it.
    pub(super) fn distrust(&self, certificate: &X509Certificate) -> Result<Vec<Line>, CertificateError> {
        let done = |was_there: bool| if was_there { Outcome::Done } else { Outcome::NotThere };
        let root = self.folder("Root")?;
        let folder = self.openssl_folder()?;
        // Browsers come first: what the others have tells, next time, that browsers may have it as well.
        let was_trusted = openssl::has(&folder, certificate) || self.of_user("Root").any(|root| root == *certificate);
        let mut lines: Vec<Line> = Vec::new();
        for Database { browser, folder } in self.browsers().databases {
            let result = match Certutil::find(&self.variables.programs) {
                Ok(certutil) => certutil.remove(&folder, certificate),
                Err(reason) if was_trusted => Err(reason),
                Err(_) => Ok(false),
            };
            lines.push(Line::new(Place::Browser(browser), &folder, result.map(done)));
        }
        if !lines.iter().any(Line::has_failed) {
            let removed = openssl::remove(&folder, certificate);
            lines.push(Line::new(Place::OpenSsl, &folder, removed.map(done)));
            let removed = store::remove(&root, certificate);
            lines.push(Line::new(Place::DotNet, &root, removed.map(|count| done(count > 0))));
        }
        lines.retain(|line| line.outcome != Outcome::NotThere);
        Ok(lines)
    }

    /// The line for a shell's profile that makes OpenSSL look into the folder, if it does not.
    pub(super) fn openssl_advice(&self, certificate: &X509Certificate) -> Result<Option<String>, CertificateError> {
        if openssl::finds(&self.variables.certificate_folders, certificate) {
            return Ok(None);
        }
        Ok(Some(self.openssl_setting(&self.openssl_folder()?)))
    }

    /// With our folder first, because a system may have a certificate for localhost itself, and OpenSSL stops at the
    /// first.
    fn openssl_setting(&self, ours: &Path) -> String {
        let others = self.machine_folders().iter().filter(|it| *it != ours && it.is_dir());
        let others = others.map(|it| it.display().to_string());
        let folders: Vec<String> = std::iter::once(ours.display().to_string()).chain(others).collect();
        let folders = folders.join(":");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+@".contains(c);
        match folders.chars().all(is_plain) {
            true => format!("export SSL_CERT_DIR={folders}"),
            false => format!("export SSL_CERT_DIR='{}'", folders.replace('\'', "'\\''")),
        }
    }

    fn is_trusted_by_chain(&self, certificate: &X509Certificate, now: SystemTime) -> bool {
        let roots: Vec<_> = self.of_user("Root").chain(self.machine_trust()).collect();
        chain::verify(certificate, &[], &roots, now).is_ok()
    }

    fn openssl_folder(&self) -> Result<PathBuf, CertificateError> {
        match &self.variables.openssl_folder {
            Some(folder) => Ok(folder.clone()),
            None => Ok(self.home()?.join(".aspnet/dev-certs/trust")),
        }
    }

    fn browsers(&self) -> Browsers {
        let Variables {
            databases,
            data,
            programs,
            ..
        } = &self.variables;
        match self.home() {
            Ok(home) => browsers::find(home, data.as_deref(), databases.as_deref(), programs),
            Err(_) => Browsers {
                databases: Vec::new(),
                to_be_made: None,
            },
        }
    }
}

/// The name that a certificate has in folders and databases.
fn nickname(certificate: &X509Certificate) -> String {
    format!("aspnetcore-localhost-{}", certificate.thumbprint())
}

#[cfg(test)]
mod tests {
    use super::super::profile;
    use super::*;

    fn certificate() -> X509Certificate {
        profile::make(NOW).unwrap().certificate
    }

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn variables() {
        let variables = Variables::new(|name| {
            let value = match name {
                "DOTNET_DEV_CERTS_NSSDB_PATHS" => "/a::/b",
                "SSL_CERT_DIR" => "/c/:/d",
                "XDG_DATA_HOME" => "relative",
                "DOTNET_DEV_CERTS_OPENSSL_CERTIFICATE_DIRECTORY" => "",
                _ => return None,
            };
            Some(value.into())
        });
        let expected = Variables {
            databases: Some(vec!["/a".into(), "/b".into()]),
            certificate_folders: vec!["/c".into(), "/d".into()],
            ..Variables::default()
        };
        assert_eq!(variables, expected);
    }

    #[test]
    fn trusting_and_the_way_back() {
        let home = tempfile::tempdir().unwrap();
        let certificate = certificate();
        let mut stores = CertificateStores::in_home(home.path());
        let level = |stores: &CertificateStores| stores.development_trust(&certificate, NOW).level;
        assert_eq!(level(&stores), TrustLevel::None);
        let lines = stores.trust(&certificate, NOW).unwrap();
        let outcomes: Vec<_> = lines.iter().map(|line| (line.place, &line.outcome)).collect();
        let done = &Outcome::Done;
        let not_there = &Outcome::NotThere;
        assert_eq!(
            outcomes,
            [
                (Place::DotNet, done),
                (Place::OpenSsl, done),
                (Place::Browser(Browser::Chromium), not_there),
                (Place::Browser(Browser::Firefox), not_there)
            ]
        );

        let trust = stores.development_trust(&certificate, NOW);
        assert_eq!(trust.level, TrustLevel::Partial);
        assert!(
            trust.lacking[0].starts_with("OpenSSL (export SSL_CERT_DIR="),
            "{trust:?}"
        );
        let folder = home.path().join(".aspnet/dev-certs/trust");
        let advice = stores.openssl_advice(&certificate).unwrap();
        assert_eq!(advice, Some(format!("export SSL_CERT_DIR={}", folder.display())));
        stores.variables.certificate_folders = vec![folder];
        assert_eq!(stores.openssl_advice(&certificate), Ok(None));
        assert_eq!(level(&stores), TrustLevel::Full);

        let lines = stores.distrust(&certificate).unwrap();
        let places: Vec<_> = lines.iter().map(|line| (line.place, &line.outcome)).collect();
        assert_eq!(places, [(Place::OpenSsl, done), (Place::DotNet, done)]);
        assert_eq!(level(&stores), TrustLevel::None);
        assert_eq!(stores.distrust(&certificate).unwrap(), []);
    }

    /// What cannot be looked into may still trust the certificate. So everything stays that tells which one it is.
    #[test]
    fn a_database_without_certutil() {
        let home = tempfile::tempdir().unwrap();
        let stores = CertificateStores::in_home(home.path());
        let certificate = certificate();
        let database = home.path().join(".mozilla/firefox/x.default");
        std::fs::create_dir_all(&database).unwrap();
        assert_eq!(stores.distrust(&certificate).unwrap(), [], "it was never trusted");
        for lines in [
            stores.trust(&certificate, NOW).unwrap(),
            stores.distrust(&certificate).unwrap(),
        ] {
            let failed: Vec<_> = lines.iter().filter(|line| line.has_failed()).collect();
            assert!(
                matches!(&failed[..], [line] if line.place == Place::Browser(Browser::Firefox)),
                "{lines:?}"
            );
            let text = failed[0].to_string();
            let start = format!(
                "  Firefox   failed     {}: the program certutil is missing",
                database.display()
            );
            assert!(text.starts_with(&start), "{text}");
        }
        let trust = stores.development_trust(&certificate, NOW);
        assert_eq!((trust.level, trust.lacking.len()), (TrustLevel::Partial, 2));
    }

    #[test]
    fn the_advice_is_for_a_shell() {
        let home = tempfile::tempdir().unwrap();
        let mut stores = CertificateStores::in_home(home.path());
        stores.variables.openssl_folder = Some("/a b/it's".into());
        let advice = stores.openssl_advice(&certificate()).unwrap().unwrap();
        assert_eq!(advice, "export SSL_CERT_DIR='/a b/it'\\''s'");
    }
}
