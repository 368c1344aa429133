//! Writing files so that nobody ever sees half of one, and the folders around them.

use super::random;
use crate::certificate::machine::effective_user;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that is written and not yet in its place.
pub(super) struct Draft {
    written: PathBuf,
    place: PathBuf,
}

impl Draft {
    /// Writes beside `place` what is to be there; only the owner may read it.
    pub(super) fn write(place: &Path, bytes: &[u8]) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot write {}: {}", place.display(), reason(&error));
        // What a link leads to is replaced, not the link.
        let place = match place.symlink_metadata() {
            Ok(_) => place.canonicalize().map_err(failed)?,
            Err(_) => place.to_owned(),
        };
        if place.metadata().is_ok_and(|it| !it.is_file()) {
            return Err(format!("cannot write {}: it is there and no file", place.display()));
        }
        let Some(name) = place.file_name() else {
            return Err(format!("cannot write {}: that is no name for a file", place.display()));
        };
        let suffix = u64::from_ne_bytes(random()?);
        let written = place.with_file_name(format!(".{}.{suffix:016x}.new", name.display()));
        // From here on the file is removed again if it comes to nothing.
        let draft = Self { written, place };
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft.written)
            .map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(draft)
    }

    /// Puts it in its place, instead of what may be there.
    pub(super) fn publish(self) -> Result<(), String> {
        std::fs::rename(&self.written, &self.place)
            .map_err(|error| format!("cannot write {}: {}", self.place.display(), reason(&error)))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is not there any more if it was published.
        let _ = std::fs::remove_file(&self.written);
    }
}

/// Both at once.
pub(super) fn write(place: &Path, bytes: &[u8]) -> Result<(), String> {
    Draft::write(place, bytes)?.publish()
}

/// Makes a folder with these rights, those above it with the usual ones.
pub(super) fn make_folder(folder: &Path, mode: u32) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot make the folder {}: {}", folder.display(), reason(&error));
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        std::fs::create_dir_all(above).map_err(failed)?;
    }
    match DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Makes sure that a folder belongs to the user who runs this, with all rights. .NET wants that of its stores, and who
/// writes into another user's leaves files that user cannot use.
pub(super) fn ensure_own(folder: &Path) -> Result<(), String> {
    let metadata = folder
        .metadata()
        .map_err(|error| format!("cannot use the folder {}: {}", folder.display(), reason(&error)))?;
    let name = folder.display();
    if effective_user().is_some_and(|user| user != metadata.uid()) {
        return Err(format!(
            "the folder {name} belongs to another user; run this as that user, or set HOME"
        ));
    }
    if metadata.mode() & 0o700 != 0o700 {
        return Err(format!("the folder {name} is closed to its owner: chmod u+rwx {name}"));
    }
    Ok(())
}

/// What went wrong, without the number of the error.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_appear_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.pfx");
        let draft = Draft::write(&place, b"one").unwrap();
        assert!(!place.exists());
        draft.publish().unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"one");
        assert_eq!(place.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        drop(Draft::write(&place, b"two").unwrap());
        assert_eq!(std::fs::read(&place).unwrap(), b"one");
        write(&place, b"three").unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"three");
        assert_eq!(names(folder.path()), ["a.pfx"]);
    }

    #[test]
    fn a_link_stays_and_what_is_no_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("real"), b"old").unwrap();
        symlink("real", at("link")).unwrap();
        write(&at("link"), b"new").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read(at("real")).unwrap(), b"new");

        std::fs::create_dir(at("folder")).unwrap();
        let error = write(&at("folder"), b"").unwrap_err();
        assert!(error.contains("it is there and no file"), "{error}");
        symlink("/dev/null", at("device")).unwrap();
        let error = write(&at("device"), b"").unwrap_err();
        assert!(error.contains("/dev/null: it is there and no file"), "{error}");
        let error = write(&at("absent/file"), b"").unwrap_err();
        assert!(error.contains("there is no such folder"), "{error}");
        assert_eq!(names(folder.path()), ["device", "folder", "link", "real"]);
    }

    #[test]
    fn folders() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b/c");
        for _ in 0..2 {
            make_folder(&folder, 0o700).unwrap();
        }
        let mode = |folder: &Path| folder.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_ne!(
            mode(folder.parent().unwrap()) & 0o055,
            0,
            "those above are for everybody"
        );
        ensure_own(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
        let error = ensure_own(&folder).unwrap_err();
        assert!(error.contains("chmod u+rwx"), "{error}");
    }
}
