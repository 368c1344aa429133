//! Putting certificates into .NET's stores, and taking them out.

use super::files;
use crate::certificate::machine::files_in;
use crate::certificate::store::StoredCertificate;
use crate::certificate::x509::X509Certificate;
use std::path::{Path, PathBuf};

/// Adds a certificate to the store in a folder, which is made if need be. `has_key` says whether `file`, its PFX, holds
/// the private key. One that is there already stays, unless it lacks a key that this one has.
pub(super) fn add(
    folder: &Path,
    certificate: &X509Certificate,
    has_key: HasKey,
    file: &[u8],
) -> Result<PathBuf, String> {
    files::make_folder(folder, 0o777)?;
    files::ensure_own(folder)?;
    let place = match find(folder, certificate).next() {
        Some((path, key)) if key == HasKey::Yes || has_key == HasKey::No => return Ok(path),
        Some((path, _)) => path,
        None => free_name(folder, certificate.thumbprint())?,
    };
    files::write(&place, file)?;
    Ok(place)
}

/// Takes a certificate out, in whichever file it is; how many there were.
pub(super) fn remove(folder: &Path, certificate: &X509Certificate) -> Result<usize, String> {
    let mut count = 0;
    for (path, _) in find(folder, certificate).collect::<Vec<_>>() {
        std::fs::remove_file(&path)
            .map_err(|error| format!("cannot remove {}: {}", path.display(), files::reason(&error)))?;
        count += 1;
    }
    Ok(count)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HasKey {
    Yes,
    No,
}

fn find(folder: &Path, certificate: &X509Certificate) -> impl Iterator<Item = (PathBuf, HasKey)> {
    let files = files_in(folder).into_iter();
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "pfx"));
    files.filter_map(move |path| {
        let stored = StoredCertificate::read(&path).ok()?;
        let has_key = if stored.certificate().is_ok() {
            HasKey::Yes
        } else {
            HasKey::No
        };
        (stored.leaf() == certificate).then_some((path, has_key))
    })
}

/// The thumbprint's, unless another certificate has it.
fn free_name(folder: &Path, thumbprint: &str) -> Result<PathBuf, String> {
    let numbered = (1..=9).map(|number| format!("{thumbprint}.{number}.pfx"));
    let mut names = std::iter::once(format!("{thumbprint}.pfx")).chain(numbered);
    names
        .find_map(|name| {
            let path = folder.join(name);
            path.symlink_metadata().is_err().then_some(path)
        })
        .ok_or_else(|| {
            format!(
                "{} has ten files named {thumbprint} already; remove them",
                folder.display()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::super::{archive, profile};
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn adding_and_removing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("x509stores/my");
        let identity = profile::make(SystemTime::UNIX_EPOCH).unwrap();
        let certificate = &identity.certificate;
        let name = certificate.thumbprint();
        let whole = archive::for_store(&identity).unwrap();
        let public = archive::for_store_without_key(certificate).unwrap();

        // A file of that name that is something else.
        std::fs::create_dir_all(&folder).unwrap();
        let taken = folder.join(format!("{name}.pfx"));
        std::fs::write(&taken, "something else").unwrap();

        let add = |has_key, file: &[u8]| add(&folder, certificate, has_key, file).unwrap();
        let place = folder.join(format!("{name}.1.pfx"));
        assert_eq!(add(HasKey::No, &public), place);
        assert_eq!(add(HasKey::No, b"never written"), place);
        assert_eq!(std::fs::read(&place).unwrap(), public);
        assert_eq!(add(HasKey::Yes, &whole), place, "now with its key");
        assert_eq!(add(HasKey::No, b"never written"), place);
        assert_eq!(add(HasKey::Yes, b"never written"), place);
        assert_eq!(std::fs::read(&place).unwrap(), whole);

        std::fs::copy(&place, folder.join("copy.pfx")).unwrap();
        assert_eq!(remove(&folder, certificate), Ok(2));
        assert_eq!(remove(&folder, certificate), Ok(0));
        assert!(taken.exists());

        for number in 1..=9 {
            std::fs::write(folder.join(format!("{name}.{number}.pfx")), "something else").unwrap();
        }
        let error = super::add(&folder, certificate, HasKey::No, &public).unwrap_err();
        assert!(error.contains("ten files"), "{error}");
    }
}
