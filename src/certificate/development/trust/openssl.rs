//! A folder of trusted certificates as OpenSSL wants it: PEM files, and links to them whose names say which subject they
//! have.

use super::subject_hash::subject_hash;
use crate::certificate::development::{files, pem};
use crate::certificate::machine::{certificates_of, files_in};
use crate::certificate::x509::X509Certificate;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Puts a certificate into the folder, which is made if need be. A file of its name that holds something else stays.
pub(super) fn add(folder: &Path, certificate: &X509Certificate) -> Result<(), String> {
    files::make_folder(folder, 0o700)?;
    let file = folder.join(file_name(certificate));
    if file.symlink_metadata().is_err() {
        files::write(&file, pem("CERTIFICATE", certificate.der())?.as_bytes())?;
    } else if !holds(&file, certificate) {
        return Err(format!(
            "{} is there and holds something else; remove it",
            file.display()
        ));
    }
    link(folder)?;
    match finds(&[folder.to_owned()], certificate) {
        true => Ok(()),
        false => Err("OpenSSL would not find the certificate there".to_owned()),
    }
}

/// Takes a certificate out again; whether it was there.
pub(super) fn remove(folder: &Path, certificate: &X509Certificate) -> Result<bool, String> {
    let file = folder.join(file_name(certificate));
    if !holds(&file, certificate) {
        return Ok(false);
    }
    std::fs::remove_file(&file)
        .map_err(|error| format!("cannot remove {}: {}", file.display(), files::reason(&error)))?;
    link(folder)?;
    Ok(true)
}

/// Whether OpenSSL finds the certificate in these folders: it looks by name, and no further than the first folder that
/// has one of that name.
pub(super) fn finds(folders: &[PathBuf], certificate: &X509Certificate) -> bool {
    let Some(hash) = subject_hash(certificate) else {
        return false;
    };
    for folder in folders {
        let links = (0..).map(|number| folder.join(format!("{hash}.{number}")));
        let mut links = links.take_while(|link| link.exists()).peekable();
        if links.peek().is_some() {
            return links.any(|link| holds(&link, certificate));
        }
    }
    false
}

/// Whether the folder has the certificate, with links or without.
pub(super) fn has(folder: &Path, certificate: &X509Certificate) -> bool {
    holds(&folder.join(file_name(certificate)), certificate)
}

/// Makes the links what they should be: one for each file with a certificate, and no others.
fn link(folder: &Path) -> Result<(), String> {
    let failed = |name: &Path, error: &std::io::Error| {
        format!("cannot change the link {}: {}", name.display(), files::reason(error))
    };
    let all = files_in(folder);
    let (links, others): (Vec<PathBuf>, Vec<PathBuf>) = all.into_iter().partition(|path| is_link(path));
    let mut wanted: Vec<(PathBuf, OsString)> = Vec::new();
    for file in others {
        let is_certificate = file
            .extension()
            .is_some_and(|it| ["pem", "crt", "cer"].iter().any(|other| it == *other));
        let certificate = is_certificate
            .then(|| certificates_of(&file))
            .and_then(|all| all.into_iter().next());
        let hash = certificate.as_ref().and_then(subject_hash);
        let (Some(hash), Some(name)) = (hash, file.file_name()) else {
            continue;
        };
        let mut places = (0..).map(|number: u32| folder.join(format!("{hash}.{number}")));
        let free = places.find(|place| {
            let is_other_file = !is_link(place) && place.symlink_metadata().is_ok();
            !is_other_file && wanted.iter().all(|(other, _)| other != place)
        });
        wanted.extend(free.map(|place| (place, name.to_owned())));
    }
    for link in links {
        let leads_to = std::fs::read_link(&link).ok().map(PathBuf::into_os_string);
        if !wanted
            .iter()
            .any(|(place, name)| *place == link && Some(name) == leads_to.as_ref())
        {
            std::fs::remove_file(&link).map_err(|error| failed(&link, &error))?;
        }
    }
    for (place, name) in wanted {
        if place.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(name, &place).map_err(|error| failed(&place, &error))?;
        }
    }
    Ok(())
}

/// Whether it is a link with a name such as `ce275665.0`.
fn is_link(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_hash = name
        .and_then(|name| name.split_once('.'))
        .is_some_and(|(hash, number)| {
            let digits =
                |text: &str, is_digit: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(is_digit);
            hash.len() == 8 && digits(hash, u8::is_ascii_hexdigit) && digits(number, u8::is_ascii_digit)
        });
    is_hash && path.is_symlink()
}

fn holds(file: &Path, certificate: &X509Certificate) -> bool {
    certificates_of(file).contains(certificate)
}

fn file_name(certificate: &X509Certificate) -> String {
    format!("{}.pem", super::nickname(certificate))
}

#[cfg(test)]
mod tests {
    use super::super::super::profile;
    use super::*;
    use std::time::SystemTime;

    fn made() -> X509Certificate {
        profile::make(SystemTime::UNIX_EPOCH).unwrap().certificate
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        files_in(folder).into_iter().map(name).collect()
    }

    #[test]
    fn certificates_come_and_go_with_their_links() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("trust");
        let (first, second) = (made(), made());
        for _ in 0..2 {
            add(&folder, &first).unwrap();
        }
        assert_eq!(names(&folder), [file_name(&first), "ce275665.0".to_owned()]);
        add(&folder, &second).unwrap();
        assert_eq!(names(&folder).len(), 4);
        let target = std::fs::read_link(folder.join("ce275665.1")).unwrap();
        assert!(target.is_relative());
        for certificate in [&first, &second] {
            assert!(finds(std::slice::from_ref(&folder), certificate) && has(&folder, certificate));
        }
        assert_eq!(remove(&folder, &first), Ok(true));
        assert_eq!(remove(&folder, &first), Ok(false));
        assert_eq!(names(&folder), [file_name(&second), "ce275665.0".to_owned()]);
        assert!(!finds(std::slice::from_ref(&folder), &first) && finds(&[folder], &second));
    }

    #[test]
    fn what_others_have_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let certificate = made();
        std::fs::write(folder.join("ce275665.0"), "a file, not a link").unwrap();
        std::fs::write(folder.join("notes.pem"), "no certificate").unwrap();
        std::fs::copy(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem/chain.pem"),
            folder.join("own.crt"),
        )
        .unwrap();
        std::os::unix::fs::symlink("absent.pem", folder.join("0123abcd.7")).unwrap();
        std::os::unix::fs::symlink("own.crt", folder.join("0123abcd.x")).unwrap();
        add(folder, &certificate).unwrap();
        let own = X509Certificate::read_all(folder.join("own.crt")).unwrap();
        let mut expected = vec![
            "0123abcd.x".to_owned(),
            format!("{}.0", subject_hash(&own[0]).unwrap()),
            file_name(&certificate),
            "ce275665.0".to_owned(),
            "ce275665.1".to_owned(),
            "notes.pem".to_owned(),
            "own.crt".to_owned(),
        ];
        expected.sort();
        assert_eq!(names(folder), expected);

        // Nor is a file of its own name touched, and it does not count as trusted.
        let other = made();
        let file = folder.join(file_name(&other));
        std::fs::write(&file, "something else").unwrap();
        let error = add(folder, &other).unwrap_err();
        assert!(
            error.ends_with("is there and holds something else; remove it"),
            "{error}"
        );
        assert_eq!(remove(folder, &other), Ok(false));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "something else");
        assert!(!has(folder, &other));
    }

    #[test]
    fn the_first_folder_with_that_name_decides() {
        let root = tempfile::tempdir().unwrap();
        let (ours, theirs, empty) = (
            root.path().join("ours"),
            root.path().join("theirs"),
            root.path().join("empty"),
        );
        let (certificate, other) = (made(), made());
        add(&ours, &certificate).unwrap();
        add(&theirs, &other).unwrap();
        let table: [(&[&PathBuf], bool); 5] = [
            (&[], false),
            (&[&ours], true),
            (&[&empty, &ours, &theirs], true),
            (&[&theirs, &ours], false),
            (&[&empty], false),
        ];
        for (folders, expected) in table {
            let folders: Vec<PathBuf> = folders.iter().map(|it| (*it).clone()).collect();
            assert_eq!(finds(&folders, &certificate), expected, "{folders:?}");
        }
    }
}
