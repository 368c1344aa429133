//! A folder with the files, and the tools that make them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub(crate) struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn remove(&self, name: &str) {
        if self.path(name).exists() {
            fs::remove_file(self.path(name)).unwrap();
        }
    }

    /// A text as it is in every run: without the folder, and without thumbprints, which are 40 large hexadecimal digits.
    pub(crate) fn steady(&self, text: &str) -> String {
        let text = text.replace(&format!("{}/", self.folder.path().display()), "");
        let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
        words
            .map(|word| {
                let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
                let is_digit = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
                if bare.len() == 40 && bare.chars().all(is_digit) {
                    word.replace(bare, "THUMBPRINT")
                } else {
                    word.to_owned()
                }
            })
            .collect()
    }

    /// Runs a program in the folder. It is not asked anything on a terminal: what it wants to know it finds no answer to.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = S>) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder()).stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// The same for a program that has to succeed.
    #[track_caller]
    pub(crate) fn make<S: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = S>) {
        let output = self.run(program, arguments);
        assert!(
            output.status.success(),
            "{program}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Whether a program is there, and a line if it is not.
pub(crate) fn is_there(program: &str, skipped: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        println!("skipped: {skipped}, because there is no {program} here");
    }
    found
}
