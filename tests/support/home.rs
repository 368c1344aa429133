//! A home directory of its own for `stannel dev-certs`, and what the command makes of it.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A home without anything in it, and a `PATH` without programs: what this machine has does not count.
pub(crate) struct Home {
    folder: TempDir,
    variables: Vec<(String, OsString)>,
}

/// How the command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) const STORES: &str = ".dotnet/corefx/cryptography/x509stores";
pub(crate) const TRUST: &str = ".aspnet/dev-certs/trust";
pub(crate) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/dev-certs");

impl Home {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("programs")).unwrap();
        Self {
            folder,
            variables: Vec::new(),
        }
    }

    /// With a current certificate in its store.
    pub(crate) fn with_certificate() -> Self {
        let home = Self::new();
        let ended = home.run(&["https"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        home
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Sets a variable of the environment for whatever runs from now on.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Adds a program of this machine to those that can be found; whether it is there.
    pub(crate) fn has_program(&self, name: &str) -> bool {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&folders)
            .map(|it| it.join(name))
            .find(|it| it.is_file());
        if let Some(program) = &found {
            symlink(program, self.at("programs").join(name)).unwrap();
        } else {
            println!("skipped: there is no {name}");
        }
        found.is_some()
    }

    /// Adds a program that does nothing.
    pub(crate) fn add_idle_program(&self, name: &str) {
        let path = self.at("programs").join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts a file of the fixtures into a store.
    pub(crate) fn install(&self, fixture: &str, store: &str) {
        let folder = self.at(STORES).join(store);
        fs::create_dir_all(&folder).unwrap();
        let file = Path::new(FIXTURES).join(fixture);
        fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }

    /// The thumbprints in a store, from the names of its files.
    pub(crate) fn stored(&self, store: &str) -> BTreeSet<String> {
        files(&self.at(STORES).join(store))
            .into_iter()
            .filter_map(|name| name.strip_suffix(".pfx").map(str::to_owned))
            .collect()
    }

    /// The thumbprint of the only certificate in `My`.
    pub(crate) fn thumbprint(&self) -> String {
        let stored = self.stored("my");
        assert_eq!(stored.len(), 1, "{stored:?}");
        stored.into_iter().next().unwrap()
    }

    /// A command with this home and nothing else in its environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", self.at("programs"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `stannel dev-certs` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(env!("CARGO_BIN_EXE_stannel"));
        let output = command.arg("dev-certs").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// The same, which must go well; what it printed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{arguments:?}: {}", ended.out);
        ended.out
    }
}

/// What OpenSSL says of a file; `None` without OpenSSL.
pub(crate) fn openssl(home: &Home, arguments: &[&str]) -> Option<String> {
    let mut command = home.command("openssl");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let Ok(output) = command.args(arguments).output() else {
        println!("skipped: there is no openssl");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    Some(text)
}

/// The names in a folder, in their order; none if it is not there.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}
