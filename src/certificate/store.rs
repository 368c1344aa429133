//! Certificate stores, as .NET has them on Linux: folders of PFX files without a password.

use super::chain;
use super::choice::{Candidate, Dropped, Unfit, choose_by_subject, choose_development};
#[cfg(feature = "dev-cert")]
use super::development::Variables;
use super::file;
use super::machine::{self, Trust, files_in};
use super::x509::X509Certificate;
use super::{Certificate, CertificateError, open_pfx};
use crate::endpoint::StoreLocation;
use log::warn;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The certificate stores of a user and of the machine.
///
/// Those of the user are shared with .NET: folders below `~/.dotnet/corefx/cryptography/x509stores`. The machine's are
/// what OpenSSL trusts, and have no private keys.
///
/// ```
/// use stannel::StoreLocation;
/// use stannel::certificate::CertificateStores;
///
/// let stores = CertificateStores::in_home("tests/fixtures/dotnet/stores/home");
/// let store = stores.read(StoreLocation::CurrentUser, "My")?;
/// # #[cfg(feature = "pfx")]
/// assert_eq!(store.certificates().len(), 35);
/// # Ok::<(), stannel::CertificateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStores {
    home: Option<PathBuf>,
    application_data: Option<PathBuf>,
    trust: Trust,
    #[cfg(feature = "dev-cert")]
    pub(super) variables: Variables,
}

/// What a store holds.
#[derive(Debug)]
pub struct CertificateStore {
    certificates: Vec<StoredCertificate>,
    dropped: Vec<Dropped>,
}

/// A certificate in a store.
#[derive(Debug)]
pub struct StoredCertificate {
    path: PathBuf,
    leaf: X509Certificate,
    certificate: Result<Certificate, Unfit>,
}

impl CertificateStores {
    /// Those of the user who runs this: `HOME` or, if it is not set or empty, the home directory of the password
    /// database; the machine's roots where `SSL_CERT_FILE` and `SSL_CERT_DIR` say or the distribution has them.
    #[must_use]
    pub fn from_environment() -> Self {
        let data = std::env::var_os("APPDATA").filter(|value| !value.is_empty());
        Self {
            home: machine::home(),
            application_data: data.map(PathBuf::from),
            trust: Trust::from_environment(),
            #[cfg(feature = "dev-cert")]
            variables: Variables::from_environment(),
        }
    }

    /// Those below a home directory, on a machine that trusts nobody.
    #[must_use]
    pub fn in_home(home: impl Into<PathBuf>) -> Self {
        Self {
            home: Some(home.into()),
            application_data: None,
            trust: Trust::default(),
            #[cfg(feature = "dev-cert")]
            variables: Variables::default(),
        }
    }

    /// The same on a machine that trusts the certificates of a PEM or DER file, and nobody else.
    #[must_use]
    pub fn trusting(mut self, file: impl Into<PathBuf>) -> Self {
        self.trust = Trust::of_file(file.into());
        self
    }

    /// The same with this folder for the data of applications, as the variable `APPDATA` names it.
    #[must_use]
    pub fn with_application_data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.application_data = Some(folder.into());
        self
    }

    /// What the machine trusts: roots, and intermediates that lie among them.
    #[must_use]
    pub fn machine_trust(&self) -> Vec<X509Certificate> {
        self.trust.read()
    }

    /// The folder of a store of the user's.
    ///
    /// # Errors
    ///
    /// [`CertificateError::StoreUnavailable`] without a home directory, and for a name that leads out of the folder of
    /// the stores.
    pub fn folder(&self, store: &str) -> Result<PathBuf, CertificateError> {
        let unavailable = |reason: &str| CertificateError::StoreUnavailable {
            location: StoreLocation::CurrentUser,
            store: store.to_owned(),
            reason: reason.to_owned(),
        };
        let name = store.to_lowercase();
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\\', '\0']) {
            return Err(unavailable("that is no name for a store; the usual one is My"));
        }
        match &self.home {
            Some(home) => Ok(home.join(STORES).join(name)),
            None => Err(no_home(store)),
        }
    }

    /// Reads a store. One whose folder is not there is empty.
    ///
    /// # Errors
    ///
    /// [`CertificateError::StoreUnavailable`] for stores of the machine other than `Root` and `CA`, and if the user has
    /// no home directory.
    pub fn read(&self, location: StoreLocation, store: &str) -> Result<CertificateStore, CertificateError> {
        match location {
            StoreLocation::CurrentUser => Ok(CertificateStore::in_folder(&self.folder(store)?)),
            StoreLocation::LocalMachine => {
                let roots = match store.to_lowercase().as_str() {
                    "root" => true,
                    "ca" => false,
                    _ => {
                        return Err(CertificateError::StoreUnavailable {
                            location,
                            store: store.to_owned(),
                            reason: "the machine has only the stores Root and CA, and neither has private keys; put \
                                the certificate into a store of CurrentUser, or name its file"
                                .to_owned(),
                        });
                    }
                };
                let trusted = self
                    .machine_trust()
                    .into_iter()
                    .filter(|it| it.is_self_issued() == roots);
                Ok(CertificateStore::of_machine(trusted))
            }
        }
    }

    /// Finds a certificate by a text in its subject; see [`choose_by_subject`] for the rules. Its chain is completed
    /// from the stores `CA`.
    ///
    /// # Errors
    ///
    /// [`CertificateError::NotInStore`] if none fits, with the reason for each one that has the text in its subject.
    pub fn find(
        &self,
        subject: &str,
        location: StoreLocation,
        store: &str,
        allow_invalid: bool,
        now: SystemTime,
    ) -> Result<Certificate, CertificateError> {
        let read = self.read(location, store)?;
        let machine = self.machine_trust();
        let issuers = self.of_user("CA").chain(machine.iter().cloned()).collect::<Vec<_>>();
        let roots = self.of_user("Root").chain(machine.iter().cloned()).collect::<Vec<_>>();
        let trusted = |at: usize| {
            let stored = &read.certificates[at];
            let own = stored.certificate.iter().flat_map(Certificate::chain);
            let intermediates: Vec<_> = own.chain(&issuers).cloned().collect();
            chain::verify(&stored.leaf, &intermediates, &roots, now)
        };
        let dropped = match choose_by_subject(&read.candidates(), subject, allow_invalid, now, trusted) {
            Ok(at) => match &read.certificates[at].certificate {
                Ok(certificate) => return Ok(certificate.with_issuers(&issuers)),
                Err(reason) => vec![(at, reason.clone())],
            },
            Err(dropped) => dropped,
        };
        let folder = match location {
            StoreLocation::CurrentUser => file::name(&self.folder(store)?),
            StoreLocation::LocalMachine => "what OpenSSL trusts".to_owned(),
        };
        Err(CertificateError::NotInStore {
            subject: subject.to_owned(),
            location,
            store: store.to_owned(),
            folder,
            allow_invalid,
            count: read.certificates.len(),
            dropped: read.explain(dropped).chain(read.dropped.iter().cloned()).collect(),
        })
    }

    /// The development certificate of the user's store `My`; see [`choose_development`]. Each one that is passed over
    /// because it has no key or cannot be read gives a warning.
    ///
    /// # Errors
    ///
    /// [`CertificateError::NoDevelopmentCertificate`] if there is none that is valid now and has its key.
    pub fn development_certificate(&self, now: SystemTime) -> Result<Certificate, CertificateError> {
        let store = self.read(StoreLocation::CurrentUser, "My")?;
        let (chosen, passed_over) = choose_development(&store.candidates(), now);
        let dropped: Vec<Dropped> = store
            .explain(passed_over)
            .chain(store.dropped.iter().cloned())
            .collect();
        let certificate = chosen.and_then(|at| store.certificates[at].certificate.clone().ok());
        if let Some(certificate) = certificate {
            for dropped in &dropped {
                // One that expired and was followed by another is nobody's mistake.
                if !matches!(dropped.reason, Unfit::Expired { .. }) {
                    warn!(target: "stannel", "passed over a certificate for development: {dropped}");
                }
            }
            return Ok(certificate);
        }
        Err(CertificateError::NoDevelopmentCertificate {
            place: format!("the store CurrentUser/My ({})", file::name(&self.folder("My")?)),
            dropped,
        })
    }

    /// The file in which a container finds the development certificate of its host: `{application}.pfx` in
    /// `$APPDATA/ASP.NET/https` if `APPDATA` is set, else in `~/.aspnet/https`. `None` without a home directory.
    #[must_use]
    pub fn development_file(&self, application: &str) -> Option<PathBuf> {
        let folder = match (&self.application_data, &self.home) {
            (Some(data), _) => data.join("ASP.NET/https"),
            (None, home) => home.as_ref()?.join(".aspnet/https"),
        };
        Some(folder.join(format!("{application}.pfx")))
    }

    /// Where everything of the user's is.
    #[cfg(feature = "dev-cert")]
    pub(super) fn home(&self) -> Result<&Path, CertificateError> {
        self.home.as_deref().ok_or_else(|| no_home("My"))
    }

    /// The folders in which OpenSSL looks for what the machine trusts.
    #[cfg(feature = "dev-cert")]
    pub(super) fn machine_folders(&self) -> &[PathBuf] {
        self.trust.folders()
    }

    /// The certificate with its private key, if the user's store `My` has it.
    pub(super) fn with_key(&self, thumbprint: &str) -> Option<Certificate> {
        let store = self.read(StoreLocation::CurrentUser, "My").ok()?;
        let stored = store
            .certificates
            .into_iter()
            .find(|it| it.leaf.thumbprint() == thumbprint)?;
        stored.certificate.ok()
    }

    pub(super) fn of_user(&self, store: &str) -> impl Iterator<Item = X509Certificate> {
        let store = self.read(StoreLocation::CurrentUser, store).ok();
        store
            .into_iter()
            .flat_map(|store| store.certificates)
            .map(|stored| stored.leaf)
    }
}

impl CertificateStore {
    /// What could be read, in the order of the file names, each certificate once.
    #[must_use]
    pub fn certificates(&self) -> &[StoredCertificate] {
        &self.certificates
    }

    /// The files that could not be read, and why.
    #[must_use]
    pub fn unreadable(&self) -> &[Dropped] {
        &self.dropped
    }

    fn in_folder(folder: &Path) -> Self {
        let mut store = Self {
            certificates: Vec::new(),
            dropped: Vec::new(),
        };
        for path in files_in(folder) {
            if path.extension().is_none_or(|extension| extension != "pfx") {
                continue;
            }
            match StoredCertificate::read(&path) {
                Ok(read) => store.add(read),
                Err(error) => store.dropped.push(Dropped {
                    certificate: file::name(&path),
                    reason: Unfit::Unusable {
                        reason: error.to_string(),
                    },
                }),
            }
        }
        store
    }

    fn of_machine(certificates: impl Iterator<Item = X509Certificate>) -> Self {
        let certificates = certificates.map(|leaf| StoredCertificate {
            path: PathBuf::new(),
            leaf,
            certificate: Err(Unfit::NoPrivateKey),
        });
        Self {
            certificates: certificates.collect(),
            dropped: Vec::new(),
        }
    }

    /// Of two files with the same certificate the one with its key counts, else the first.
    fn add(&mut self, read: StoredCertificate) {
        match self.certificates.iter_mut().find(|it| it.leaf == read.leaf) {
            Some(known) if known.certificate.is_err() && read.certificate.is_ok() => *known = read,
            Some(_) => (),
            None => self.certificates.push(read),
        }
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        self.certificates.iter().map(StoredCertificate::candidate).collect()
    }

    pub(super) fn explain(&self, dropped: Vec<(usize, Unfit)>) -> impl Iterator<Item = Dropped> {
        dropped.into_iter().map(|(at, reason)| Dropped {
            certificate: self.certificates[at].to_string(),
            reason,
        })
    }
}

impl StoredCertificate {
    pub(super) fn read(path: &Path) -> Result<Self, CertificateError> {
        let opened = open_pfx(&file::read(path)?, &file::name(path), None)?;
        let (leaf, certificate) = match (opened.certificate, opened.first) {
            (Ok(certificate), _) => (certificate.leaf().clone(), Ok(certificate)),
            (Err(CertificateError::NoPrivateKey { .. }), Some(first)) => (first, Err(Unfit::NoPrivateKey)),
            (Err(error), Some(first)) => {
                let reason = error.to_string();
                (first, Err(Unfit::Unusable { reason }))
            }
            (Err(error), None) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            leaf,
            certificate,
        })
    }

    /// The file; empty in a store of the machine's.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificate without its key.
    #[must_use]
    pub fn leaf(&self) -> &X509Certificate {
        &self.leaf
    }

    /// The certificate with its key.
    ///
    /// # Errors
    ///
    /// If there is no key, or none that can be used.
    pub fn certificate(&self) -> Result<&Certificate, &Unfit> {
        self.certificate.as_ref()
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            subject: self.leaf.subject().clone(),
            not_before: self.leaf.not_before(),
            not_after: self.leaf.not_after(),
            is_for_servers: self.leaf.is_for_servers(),
            development_version: self.leaf.development_version(),
            private_key: self.certificate.as_ref().map(|_| ()).map_err(Clone::clone),
        }
    }
}

impl std::fmt::Display for StoredCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.path.file_name().unwrap_or(self.leaf.thumbprint().as_ref());
        write!(f, "{} ({})", self.leaf.subject(), name.display())
    }
}

fn no_home(store: &str) -> CertificateError {
    CertificateError::StoreUnavailable {
        location: StoreLocation::CurrentUser,
        store: store.to_owned(),
        reason: "there is no home directory; set HOME".to_owned(),
    }
}

const STORES: &str = ".dotnet/corefx/cryptography/x509stores";
