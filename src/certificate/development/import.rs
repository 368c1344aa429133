//! Taking over a development certificate from a file.

use super::Identity;
use super::arguments::Import;
use crate::certificate::file::{self, Form};
use crate::certificate::pfx::Archive;
use crate::certificate::x509::date;
use crate::certificate::{CertificateError, certificates};
use std::time::SystemTime;

/// Why a file is not imported.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Missing(String),
    Unreadable(String),
    /// It can be read, and is nothing that a server could use for development.
    Other(String),
}

/// Reads a file and makes sure that a server could use what it holds.
pub(super) fn read(import: &Import, now: SystemTime) -> Result<Identity, Unfit> {
    let name = file::name(&import.file);
    if !import.file.exists() {
        return Err(Unfit::Missing(format!("there is no file {name} to import")));
    }
    let unreadable = |error: CertificateError| Unfit::Unreadable(error.to_string());
    let bytes = file::read(&import.file).map_err(unreadable)?;
    let without_key = || {
        Unfit::Other(format!(
            "{name} has no private key; export it with one: stannel dev-certs https -ep FILE.pfx -p PASSWORD"
        ))
    };
    if matches!(Form::of(&bytes), Form::Pem | Form::Der) {
        certificates(&bytes, &name).map_err(unreadable)?;
        return Err(without_key());
    }
    let archive = Archive::read(&bytes, &name, Some(&import.password)).map_err(unreadable)?;
    let (certificate, key) = archive.into_identity().map_err(|error| match error {
        CertificateError::NoPrivateKey { .. } => without_key(),
        other => unreadable(other),
    })?;
    let leaf = certificate.leaf();
    if leaf.development_version().is_none() {
        return Err(Unfit::Other(format!(
            "{name} holds {}, which was not made for development: the extension that says so is missing",
            leaf.subject()
        )));
    }
    if !leaf.is_valid_at(now) {
        return Err(Unfit::Other(format!(
            "the certificate in {name} is valid from {} to {}, and not now; export a new one",
            date(leaf.not_before()),
            date(leaf.not_after())
        )));
    }
    Ok(Identity {
        certificate: leaf.clone(),
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{archive, profile};
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_can_be_imported() {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet");
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let identity = profile::make(start).unwrap();
        let good = folder.path().join("good.pfx");
        std::fs::write(&good, archive::with_password(&identity, "x").unwrap()).unwrap();
        let public = folder.path().join("public.pfx");
        std::fs::write(&public, archive::for_store_without_key(&identity.certificate).unwrap()).unwrap();
        let good = good.to_str().unwrap();
        let read = |file: &str, password: &str, now: SystemTime| {
            let import = Import {
                file: file.into(),
                password: password.to_owned(),
            };
            read(&import, now).map(|it| (it.certificate, it.key))
        };
        assert_eq!(read(good, "x", start), Ok((identity.certificate, identity.key)));

        let day = Duration::from_secs(24 * 60 * 60);
        let fixture = |name: &str| format!("{fixtures}/{name}");
        let missing = |it: &Unfit| matches!(it, Unfit::Missing(_));
        let unreadable = |it: &Unfit| matches!(it, Unfit::Unreadable(_));
        let other = |it: &Unfit| matches!(it, Unfit::Other(_));
        type Row<'a> = (String, &'a str, SystemTime, fn(&Unfit) -> bool, &'a str);
        let table: [Row<'_>; 9] = [
            (fixture("absent.pfx"), "x", start, missing, "there is no file"),
            (
                good.to_owned(),
                "wrong",
                start,
                unreadable,
                "the password does not open",
            ),
            (
                fixture("bad/truncated.pfx"),
                "geheim-1",
                start,
                unreadable,
                "cannot be used as a certificate",
            ),
            (fixtures.to_owned(), "x", start, unreadable, "it is not a file"),
            (
                fixture("pfx/export-password.pfx"),
                "geheim-1",
                start,
                other,
                "not made for development",
            ),
            (
                fixture("dev-certs/exports/certificate.cer"),
                "x",
                start,
                other,
                "has no private key",
            ),
            (
                fixture("dev-certs/exports/plain.pem"),
                "x",
                start,
                other,
                "has no private key",
            ),
            (good.to_owned(), "x", start + 366 * day, other, "and not now"),
            (good.to_owned(), "x", start - day, other, "and not now"),
        ];
        for (file, password, now, kind, text) in table {
            let unfit = read(&file, password, now).unwrap_err();
            assert!(kind(&unfit) && format!("{unfit:?}").contains(text), "{file}: {unfit:?}");
        }
        let unfit = read(public.to_str().unwrap(), "", start).unwrap_err();
        assert!(other(&unfit), "{unfit:?}");
    }
}
