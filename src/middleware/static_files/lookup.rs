//! From the path of a request to a file, and never out of the root.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a path leads to; both are real paths, without symbolic links, at or below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    File {
        path: PathBuf,
        /// The second in which it was last modified.
        modified: i64,
    },
    Folder(PathBuf),
}

/// Why there is nothing to serve.
#[derive(Debug)]
pub(super) enum Missing {
    /// Nothing is there, or nothing that is served.
    NotFound,
    /// The operating system does not let us look.
    Forbidden,
    /// Something else, which is no fault of the client's.
    Failed(io::Error),
}

impl From<io::Error> for Missing {
    /// As nginx does: what cannot exist is not found, what may not be read is forbidden.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            // Too long for a file name.
            | io::ErrorKind::InvalidFilename
            // A NUL in a name.
            | io::ErrorKind::InvalidInput => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            // Links in a circle; the kind for it has no stable name yet.
            _ if error.raw_os_error() == Some(ELOOP) => Self::NotFound,
            _ => Self::Failed(error),
        }
    }
}

const ELOOP: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    40
} else {
    62
};

/// The names on a path. Empty ones are read over, as the file system does: `/a//b/` is `/a/b`.
pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Names that begin with a dot are not served: `.git`, `.env`, `.htpasswd` lie in many folders and are meant for
/// nobody outside. That no name is `..` follows from it.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Finds what `path` means below `root`, which is canonical.
pub(super) fn find(root: &Path, path: &str) -> Result<Found, Missing> {
    let mut wanted = root.to_owned();
    for segment in segments(path) {
        if is_hidden(segment) {
            return Err(Missing::NotFound);
        }
        // A segment has no separator of its own: the path keeps `%2F` as it is.
        wanted.push(segment);
    }
    inspect(root, &wanted)
}

/// Follows every symbolic link, then looks where that ended.
pub(super) fn inspect(root: &Path, wanted: &Path) -> Result<Found, Missing> {
    let real = fs::canonicalize(wanted)?;
    if !real.starts_with(root) {
        return Err(Missing::NotFound);
    }
    // Before anything is opened: opening a FIFO waits for a writer, opening a device may do anything.
    let metadata = fs::metadata(&real)?;
    if metadata.is_file() {
        Ok(Found::File {
            path: real,
            modified: metadata.mtime(),
        })
    } else if metadata.is_dir() {
        Ok(Found::Folder(real))
    } else {
        Err(Missing::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::{Missing, is_hidden, segments};
    use std::io;

    #[test]
    fn empty_segments_are_read_over() {
        let cases: &[(&str, &[&str])] = &[
            ("/", &[]),
            ("", &[]),
            ("//a///b/", &["a", "b"]),
            ("/a%2Fb/c", &["a%2Fb", "c"]),
        ];
        for (path, expected) in cases {
            assert_eq!(segments(path).collect::<Vec<_>>(), *expected, "{path}");
        }
        assert!(is_hidden(".env") && is_hidden("..") && !is_hidden("a.b"));
    }

    #[test]
    fn errors_of_the_file_system_become_statuses() {
        let missing = |code| Missing::from(io::Error::from_raw_os_error(code));
        // ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP
        for code in [2, 20, if cfg!(target_os = "linux") { 36 } else { 63 }, super::ELOOP] {
            assert!(matches!(missing(code), Missing::NotFound), "{code}");
        }
        // EACCES, EMFILE
        assert!(matches!(missing(13), Missing::Forbidden));
        assert!(matches!(missing(24), Missing::Failed(_)));
    }
}
