//! Whether the files of a configuration are still what they were.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the system says of the files: enough to see that one was written, replaced, removed, or that a link now leads
/// elsewhere. Nothing is opened for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint(Vec<Option<File>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    device: u64,
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Says more: who may read the file can be what has changed, and no program can set it back.
    changed: (i64, i64),
}

impl Fingerprint {
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| look_at(path)).collect())
    }
}

/// Follows links: a link to another file is another file.
fn look_at(path: &Path) -> Option<File> {
    let metadata = fs::metadata(path).ok()?;
    Some(File {
        device: metadata.dev(),
        inode: metadata.ino(),
        len: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_kind_of_change_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let look = || Fingerprint::of(std::slice::from_ref(&path));
        let missing = look();
        fs::write(&path, "{}").unwrap();
        let written = look();
        assert_ne!(missing, written);
        assert_eq!(written, look());
        fs::write(&path, "{ }").unwrap();
        let longer = look();
        assert_ne!(written, longer);
        let other = folder.path().join("b.json");
        fs::write(&other, "{ }").unwrap();
        fs::rename(&other, &path).unwrap();
        let renamed = look();
        assert_ne!(longer, renamed);
        fs::write(&other, "{ }").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let linked = look();
        assert_ne!(renamed, linked);
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(linked, look());
    }
}
