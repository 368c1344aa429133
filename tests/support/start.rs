//! A start of the command that goes wrong, or nearly.

// Each test file uses a part of it.
#![allow(dead_code)]

use crate::client::wait_until;
use crate::ending;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A start in a folder of its own.
pub(crate) struct Start {
    folder: TempDir,
    pub(crate) arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Start {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            arguments: Vec::new(),
            variables: Vec::new(),
        }
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::new().arguments(arguments)
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// `appsettings.json`.
    pub(crate) fn file(self, text: &str) -> Self {
        fs::write(self.folder.path().join("appsettings.json"), text).unwrap();
        self
    }

    /// The same with this inside `Kestrel`.
    pub(crate) fn kestrel(self, text: &str) -> Self {
        self.file(&format!("{{ \"Kestrel\": {{\n{text}\n}} }}"))
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stannel"));
        command
            .current_dir(self.path())
            // Nobody's certificates.
            .env("HOME", self.path())
            .env_remove("APPDATA")
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null());
        command
    }

    /// Expects that it does not start.
    pub(crate) fn fails(&self, cause: &[&str], remedy: &str) {
        let output = ended(self.command());
        let text = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let told = format!("{:?}: {text}", self.arguments);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!((1..=3).contains(&lines.len()), "{told}");
        for part in cause {
            assert!(lines[0].contains(part), "no {part} in the first line of {told}");
        }
        assert!(
            lines[lines.len() - 1].contains(remedy),
            "no {remedy} in the last line of {told}"
        );
        assert!(!text.contains("panicked") && !text.contains("backtrace"), "{told}");
        assert!(output.stdout.is_empty(), "{told}");
    }

    /// Expects that `check` finds nothing wrong and warns of that, or of nothing.
    pub(crate) fn checks(&self, parts: &[&str]) {
        let mut command = self.command();
        command.arg("check");
        let output = ended(command);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert_eq!(text.lines().count(), usize::from(!parts.is_empty()), "{text}");
        for part in parts {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    /// Expects that it starts, and what it says.
    pub(crate) fn warns(&self, parts: &[&str]) {
        let mut command = self.command();
        command
            .env("STANNEL_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
        ending::signal(&child, "TERM");
        ending::exit_code(&mut child);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(line.starts_with("Now listening on: "), "{line}{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in parts {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}

/// The text of `Kestrel` with one endpoint.
pub(crate) fn endpoint(keys: &str) -> String {
    format!("\"Endpoints\": {{ \"Web\": {{\n{keys}\n}} }}")
}

/// A server that should not start must not keep a test waiting.
pub(crate) fn ended(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the server to give up", || child.try_wait().unwrap().is_some());
    child.wait_with_output().unwrap()
}
