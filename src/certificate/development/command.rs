//! The command: what is done for an order, what is said about it, and how it ends.

use super::arguments::{self, Import, Refusal, Task, Trust, Verbosity};
use super::export::Export;
use super::import::Unfit;
use super::profile::{SUBJECT, VERSION};
use super::report::{self, Entry};
use super::store::HasKey;
use super::trust::{Line, TrustLevel};
use super::{Identity, archive, import, profile, store};
use crate::certificate::choice::choose_development;
use crate::certificate::pfx::Archive;
use crate::certificate::store::{CertificateStore, CertificateStores, StoredCertificate};
use crate::certificate::x509::{X509Certificate, date};
use crate::certificate::{CertificateError, file};
use crate::endpoint::StoreLocation;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

/// Carries out `stannel dev-certs` with the arguments behind that, for the user whose stores these are; the exit code is
/// that of `dotnet dev-certs`: 0 if everything went well, 255 for arguments that make no sense, and a number for each
/// thing that can fail.
///
/// What was done goes to `out`, and what went wrong to `out` or `err`, as with `dotnet dev-certs`.
///
/// ```
/// use stannel::certificate::{CertificateStores, development};
/// use std::time::SystemTime;
///
/// # let folder = tempfile::tempdir()?;
/// # let home = folder.path();
/// let stores = CertificateStores::in_home(home);
/// let (mut out, mut err) = (Vec::new(), Vec::new());
/// let code = development::run(["https".into()], &stores, SystemTime::now(), &mut out, &mut err);
/// assert_eq!(code, 0);
/// assert!(stores.development_certificate(SystemTime::now()).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    stores: &CertificateStores,
    now: SystemTime,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let mut console = Console {
        out,
        err,
        verbosity: Verbosity::Normal,
    };
    let order = match arguments::read(arguments) {
        Ok(order) => order,
        Err(refusal) => return console.refuse(&refusal),
    };
    console.verbosity = order.verbosity;
    let mut tool = Tool { stores, now, console };
    let result = match order.task {
        Task::Help => {
            tool.console.always(HELP);
            Ok(())
        }
        Task::Check { trust } => tool.check(trust),
        Task::Report => tool.report(),
        Task::Clean { import } => tool.clean(import.as_ref()),
        Task::Ensure { trust, export } => tool.ensure(trust, export.as_ref()),
    };
    match result {
        Ok(()) => 0,
        Err(failure) => tool.console.fail(&failure),
    }
}

struct Tool<'a> {
    stores: &'a CertificateStores,
    now: SystemTime,
    console: Console<'a>,
}

/// How an order failed: the exit code, and why.
#[derive(Debug)]
struct Failure {
    exit: u8,
    reason: String,
}

const CANNOT_MAKE: u8 = 1;
const CANNOT_SAVE: u8 = 2;
const CANNOT_EXPORT: u8 = 3;
const CANNOT_TRUST: u8 = 4;
const NONE_VALID: u8 = 6;
const NONE_TRUSTED: u8 = 7;
const CANNOT_CLEAN: u8 = 8;
const UNKNOWN_FORMAT: u8 = 10;
const CANNOT_IMPORT: u8 = 11;
const IMPORT_MISSING: u8 = 12;
const IMPORT_UNREADABLE: u8 = 13;
const IMPORT_UNFIT: u8 = 14;
/// Arguments that make no sense, and whatever has no number of its own.
const UNEXPECTED: u8 = 255;

fn failure(exit: u8) -> impl Fn(String) -> Failure {
    move |reason| Failure { exit, reason }
}

impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Self {
        failure(UNEXPECTED)(error.to_string())
    }
}

impl Tool<'_> {
    fn check(&mut self, trust: Trust) -> Result<(), Failure> {
        let store = self.store()?;
        let (Some(chosen), passed_over) = choose_development(&store.candidates(), self.now) else {
            self.explain(&store);
            return Err(failure(NONE_VALID)(
                "no valid development certificate is there; make one with: stannel dev-certs https".to_owned(),
            ));
        };
        let certificate = store.certificates()[chosen].leaf();
        for dropped in store.explain(passed_over) {
            self.console.detail(format_args!("Passed over {dropped}"));
        }
        self.console.result(format_args!(
            "A valid development certificate is there: {}",
            described(certificate)
        ));
        if trust == Trust::LeftOut {
            return Ok(());
        }
        let usable = store.certificates().iter().filter(|it| self.is_usable(it));
        let mut levels = usable.map(|it| self.stores.development_trust(it.leaf(), self.now).level);
        if levels.any(|level| level == TrustLevel::Full) {
            self.console.result("It is trusted.");
            return Ok(());
        }
        let lacking = self.stores.development_trust(certificate, self.now).lacking;
        Err(failure(NONE_TRUSTED)(format!(
            "It is not trusted by {}; stannel dev-certs https --trust tells more.",
            lacking.join(", ")
        )))
    }

    fn report(&mut self) -> Result<(), Failure> {
        let store = self.store()?;
        let all = store.certificates().iter();
        let valid: Vec<_> = all
            .filter(|it| it.leaf().development_version().is_some() && it.leaf().is_valid_at(self.now))
            .collect();
        let entries = valid.iter().map(|stored| {
            let certificate = stored.leaf();
            let level = || self.stores.development_trust(certificate, self.now).level;
            let trust = stored.certificate().is_ok().then(level);
            Entry { certificate, trust }
        });
        let json = report::json(&entries.collect::<Vec<_>>());
        self.console
            .detail(format_args!("Valid development certificates: {}", valid.len()));
        self.console.result(json);
        Ok(())
    }

    fn ensure(&mut self, trust: Trust, export: Option<&Export>) -> Result<(), Failure> {
        if trust == Trust::Included {
            self.console.always(
                "Trust was asked for: the certificate goes wherever this user's programs look for trusted ones.",
            );
        }
        export.map_or(Ok(()), Export::check).map_err(failure(CANNOT_EXPORT))?;
        let store = self.store()?;
        let (certificate, identity) = match self.current(&store) {
            Some(stored) => {
                let certificate = stored.leaf().clone();
                let text = described(&certificate);
                self.console
                    .result(format_args!("A valid development certificate is there: {text}"));
                (certificate, export.map(|_| identity(stored.path())))
            }
            None => {
                self.explain(&store);
                let made = self.make()?;
                (made.certificate.clone(), Some(Ok(made)))
            }
        };
        if let Some((export, identity)) = export.zip(identity) {
            let files = identity.and_then(|identity| export.write(&identity));
            for file in files.map_err(failure(CANNOT_EXPORT))? {
                self.console.result(format_args!("Exported to {}", file.display()));
            }
        }
        match trust {
            Trust::Included => self.trust(&certificate),
            Trust::LeftOut => Ok(()),
        }
    }

    fn make(&mut self) -> Result<Identity, Failure> {
        let cannot = |reason| format!("cannot make a certificate: {reason}");
        let made = profile::make(self.now).map_err(|reason| failure(CANNOT_MAKE)(cannot(reason)))?;
        let path = self.save(&made, CANNOT_SAVE)?;
        self.console.result(format_args!(
            "Made a development certificate: {}",
            described(&made.certificate)
        ));
        self.console.detail(format_args!("It is in {path}"));
        Ok(made)
    }

    fn save(&self, identity: &Identity, exit: u8) -> Result<String, Failure> {
        let folder = self.stores.folder("My")?;
        let path = archive::for_store(identity)
            .and_then(|file| store::add(&folder, &identity.certificate, HasKey::Yes, &file))
            .map_err(|reason| failure(exit)(format!("cannot save the certificate: {reason}")))?;
        Ok(file::name(&path))
    }

    fn trust(&mut self, certificate: &X509Certificate) -> Result<(), Failure> {
        let lines = self.stores.trust(certificate, self.now)?;
        self.show(&lines);
        let failed = lines.iter().filter(|line| line.has_failed()).count();
        if let Some(advice) = self.stores.openssl_advice(certificate)? {
            self.console.result(format_args!(
                "For programs that use OpenSSL, set this and put it into your shell's profile:\n  {advice}"
            ));
        }
        match failed {
            0 => Ok(()),
            1 => Err(failure(CANNOT_TRUST)(
                "One place does not trust the certificate.".to_owned(),
            )),
            more => Err(failure(CANNOT_TRUST)(format!(
                "{more} places do not trust the certificate."
            ))),
        }
    }

    fn clean(&mut self, import: Option<&Import>) -> Result<(), Failure> {
        // First of all, so that a bad file costs nobody the certificate that he has.
        let imported = import.map(|import| import::read(import, self.now)).transpose();
        let imported = imported.map_err(|unfit| match unfit {
            Unfit::Missing(reason) => failure(IMPORT_MISSING)(reason),
            Unfit::Unreadable(reason) => failure(IMPORT_UNREADABLE)(reason),
            Unfit::Other(reason) => failure(IMPORT_UNFIT)(reason),
        })?;
        let my = self.stores.folder("My")?;
        let in_my = self.store()?;
        let in_my = in_my.certificates().iter().map(|stored| stored.leaf().clone());
        let mut all: Vec<X509Certificate> = in_my.collect();
        for root in self.stores.of_user("Root") {
            if !all.contains(&root) {
                all.push(root);
            }
        }
        all.retain(|it| it.development_version().is_some() && it.subject().to_string() == SUBJECT);
        let mut kept = 0;
        for certificate in &all {
            let lines = self.stores.distrust(certificate)?;
            let removed = match lines.iter().any(Line::has_failed) {
                true => Err(format!("{} stays: it may still be trusted", certificate.thumbprint())),
                false => store::remove(&my, certificate),
            };
            match removed {
                Ok(_) => {
                    self.console.result(format_args!("Removed {}", described(certificate)));
                    self.show(&lines);
                }
                Err(reason) => {
                    kept += 1;
                    self.show(&lines);
                    self.console.error(reason);
                }
            }
        }
        if kept > 0 {
            return Err(failure(CANNOT_CLEAN)(format!(
                "{kept} of {} development certificates could not be removed",
                all.len()
            )));
        }
        if all.is_empty() {
            self.console.result("There was no development certificate to remove.");
        }
        if let Some(identity) = imported {
            let path = self.save(&identity, CANNOT_IMPORT)?;
            self.console
                .result(format_args!("Imported {}", described(&identity.certificate)));
            self.console.detail(format_args!("It is in {path}"));
        }
        Ok(())
    }

    fn store(&self) -> Result<CertificateStore, CertificateError> {
        self.stores.read(StoreLocation::CurrentUser, "My")
    }

    /// The certificate that spares a new one: one for localhost that has all the names of the newest.
    fn current<'s>(&self, store: &'s CertificateStore) -> Option<&'s StoredCertificate> {
        let mut candidates = store.candidates();
        for candidate in &mut candidates {
            let is_for_localhost = candidate.subject.to_string() == SUBJECT;
            candidate.development_version = candidate
                .development_version
                .filter(|version| is_for_localhost && *version >= VERSION);
        }
        let (chosen, _) = choose_development(&candidates, self.now);
        chosen.map(|at| &store.certificates()[at])
    }

    fn is_usable(&self, stored: &StoredCertificate) -> bool {
        let leaf = stored.leaf();
        leaf.development_version().is_some() && leaf.is_valid_at(self.now) && stored.certificate().is_ok()
    }

    /// Why none of the certificates that are there will do.
    fn explain(&mut self, store: &CertificateStore) {
        let (_, passed_over) = choose_development(&store.candidates(), self.now);
        for dropped in store.explain(passed_over).chain(store.unreadable().iter().cloned()) {
            self.console.detail(format_args!("Passed over {dropped}"));
        }
    }

    /// What failed is shown even to those who want it quiet.
    fn show(&mut self, lines: &[Line]) {
        for line in lines {
            match line.has_failed() {
                true => self.console.always(line),
                false => self.console.result(line),
            }
        }
    }
}

/// The certificate of a store's file, with its key.
fn identity(path: &Path) -> Result<Identity, String> {
    let read = file::read(path).and_then(|bytes| Archive::read(&bytes, &file::name(path), None)?.into_identity());
    let (certificate, key) = read.map_err(|error| error.to_string())?;
    Ok(Identity {
        certificate: certificate.leaf().clone(),
        key,
    })
}

fn described(certificate: &X509Certificate) -> String {
    format!(
        "{}, {}, until {}",
        certificate.subject(),
        certificate.thumbprint(),
        date(certificate.not_after())
    )
}

struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    verbosity: Verbosity,
}

impl Console<'_> {
    /// One that nobody reads any more is no reason to stop half-way.
    fn always(&mut self, text: impl Display) {
        let _ = writeln!(self.out, "{text}");
    }

    fn result(&mut self, text: impl Display) {
        if self.verbosity != Verbosity::Quiet {
            self.always(text);
        }
    }

    fn detail(&mut self, text: impl Display) {
        if self.verbosity == Verbosity::Verbose {
            self.always(text);
        }
    }

    fn error(&mut self, text: impl Display) {
        let _ = writeln!(self.err, "stannel: {text}");
    }

    fn fail(&mut self, failure: &Failure) -> u8 {
        match failure.exit {
            NONE_VALID | NONE_TRUSTED => self.result(&failure.reason),
            CANNOT_EXPORT | CANNOT_TRUST => self.always(&failure.reason),
            _ => self.error(&failure.reason),
        }
        failure.exit
    }

    fn refuse(&mut self, refusal: &Refusal) -> u8 {
        match refusal {
            Refusal::Unknown(what) => {
                self.always(format_args!("{what}; see stannel dev-certs https --help"));
                UNEXPECTED
            }
            Refusal::Combination(why) => {
                self.error(format_args!("{why}\n{USAGE}"));
                UNEXPECTED
            }
            Refusal::Format(format) => {
                self.error(format_args!("{format} is none of the formats; there are Pfx and Pem"));
                UNKNOWN_FORMAT
            }
        }
    }
}

const USAGE: &str = "\
What goes together:
  stannel dev-certs https [--trust]
  stannel dev-certs https --check [--trust]
  stannel dev-certs https --check-trust-machine-readable
  stannel dev-certs https -ep FILE.cer [--trust]
  stannel dev-certs https -ep FILE.pfx -p PASSWORD [--trust]
  stannel dev-certs https -ep FILE.pem --format Pem [-np | -p PASSWORD]
  stannel dev-certs https --clean [-i FILE.pfx -p PASSWORD]";

const HELP: &str = "\
Makes sure that there is a certificate for development, valid for localhost, in
the store that ASP.NET Core uses as well.

Usage: stannel dev-certs https [OPTIONS]

Options:
  -c, --check               Only look whether there is a valid one
  -t, --trust               Have browsers, .NET and programs with OpenSSL trust
                            it; with --check: look whether they do
      --clean               Remove all of them from the store and from wherever
                            they are trusted
  -ep, --export-path FILE   Write it to a file, without its key unless -p or -np
                            is given
  -p, --password PASSWORD   Export the key as well, behind this password; with
                            --import: the password of that file
  -np, --no-password        Export the key as well, unprotected; for Pem only
      --format FORMAT       Pfx or Pem; with Pem the key has a file of its own
                            that ends in .key [default: Pfx]
  -i, --import FILE         With --clean: put the certificate of this PFX there
      --check-trust-machine-readable
                            Print what is there, and how far it is trusted, as
                            JSON
  -v, --verbose             Say more
  -q, --quiet               Say nothing but what failed
  -h, --help                Print this help

Exit code: 0 done; 1 cannot make one, 2 save it, 3 export it, 4 have it trusted
everywhere; 6 none is there, 7 none is trusted; 8 cannot clean; 10 unknown
format; 11 cannot import: 12 no such file, 13 it cannot be read, 14 it is none
for development; 255 for arguments that make no sense.

Environment:
  DOTNET_DEV_CERTS_OPENSSL_CERTIFICATE_DIRECTORY
                            The folder for OpenSSL [default:
                            ~/.aspnet/dev-certs/trust]
  DOTNET_DEV_CERTS_NSSDB_PATHS
                            The databases of browsers, instead of the usual
                            places, with ':' between them";
