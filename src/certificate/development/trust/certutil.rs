//! Changing the databases of browsers with NSS's own `certutil`. The only file that starts programs.

use super::browsers::{Database, program};
use super::nickname;
use crate::certificate::development::files::make_folder;
use crate::certificate::pem;
use crate::certificate::x509::X509Certificate;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) struct Certutil(PathBuf);

impl Certutil {
    /// The program, if one of these folders has it.
    ///
    /// # Errors
    ///
    /// If none has: which package to install.
    pub(super) fn find(folders: &[PathBuf]) -> Result<Self, String> {
        program("certutil", folders).map(Self).ok_or_else(|| {
            "the program certutil is missing; install libnss3-tools (Debian, Ubuntu), nss-tools (Fedora, Alpine), \
             mozilla-nss-tools (SUSE) or nss (Arch)"
                .to_owned()
        })
    }

    /// Has a browser trust a certificate. The database is made if the folder has none.
    pub(super) fn add(&self, database: &Database, certificate: &X509Certificate) -> Result<(), String> {
        let Database { browser, folder } = database;
        if !folder.join("cert9.db").exists() {
            make_folder(folder, 0o700)?;
            self.run(folder, &["-N", "--empty-password"], b"")?;
        }
        let arguments = ["-A", "-t", browser.trust(), "-n", &nickname(certificate)];
        self.run(folder, &arguments, certificate.der())?;
        match self.trusts(database, certificate)? {
            true => Ok(()),
            false => Err("certutil added the certificate, but the database does not trust it".to_owned()),
        }
    }

    pub(super) fn trusts(&self, database: &Database, certificate: &X509Certificate) -> Result<bool, String> {
        let Database { browser, folder } = database;
        let name = nickname(certificate);
        let list = self.list(folder)?;
        if !trust_of(&list, &name).is_some_and(|trust| browser.accepts(trust)) {
            return Ok(false);
        }
        // All certificates with that subject come out, whatever their names.
        let text = self.run(folder, &["-L", "-a", "-n", &name], b"")?;
        let mut all = pem::sections(&text).filter_map(|section| section.certificate().ok());
        Ok(all.any(|der| *der == *certificate.der()))
    }

    /// Takes a certificate out of a database; whether it was there.
    pub(super) fn remove(&self, folder: &Path, certificate: &X509Certificate) -> Result<bool, String> {
        let name = nickname(certificate);
        if trust_of(&self.list(folder)?, &name).is_none() {
            return Ok(false);
        }
        self.run(folder, &["-D", "-n", &name], b"")?;
        Ok(true)
    }

    /// Certificates and how they are trusted; nothing where there is no database.
    fn list(&self, folder: &Path) -> Result<String, String> {
        if !folder.join("cert9.db").exists() {
            return Ok(String::new());
        }
        let output = self.run(folder, &["-L"], b"")?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn run(&self, folder: &Path, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let program = self.0.display();
        let failed = |error: std::io::Error| format!("cannot run {program}: {error}");
        let mut database = OsString::from("sql:");
        database.push(folder);
        let mut child = Command::new(&self.0)
            .args(arguments)
            .arg("-d")
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // The pipe holds a certificate; one that ends without reading says why itself.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        let first = errors
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no reason given");
        let first = first.trim().trim_start_matches("certutil: ").trim_end_matches('.');
        Err(format!("certutil {}: {}", arguments[0], first.escape_debug()))
    }
}

/// What stands behind a name in the list: `P,,` and the like.
fn trust_of<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut trusts = list.lines().filter_map(|line| {
        let (found, trust) = line.trim_end().rsplit_once(' ')?;
        (found.trim() == name).then_some(trust)
    });
    trusts.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list() {
        let list = "\nCertificate Nickname      Trust Attributes\n          SSL,S/MIME,JAR/XPI\n\n\
            a name with blanks       P,,  \nsecond    CTu,Cu,\nthird,,\nfourth        ,,   \n";
        let table = [
            ("a name with blanks", Some("P,,")),
            ("second", Some("CTu,Cu,")),
            ("third", None),
            ("fourth", Some(",,")),
            ("blanks", None),
        ];
        for (name, expected) in table {
            assert_eq!(trust_of(list, name), expected, "{name}");
        }
    }

    #[test]
    fn the_program_is_looked_for_and_its_package_named() {
        let Err(error) = Certutil::find(&["/absent".into()]) else {
            panic!("found in a folder that is not there");
        };
        assert!(error.contains("libnss3-tools (Debian, Ubuntu)"), "{error}");
    }
}
