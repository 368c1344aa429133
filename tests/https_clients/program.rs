//! A program that is run to its end.

use std::fmt;
use std::io::Write;
use std::process::{Command, Stdio};

/// What came of it.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
}

impl Ended {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies of megabytes help nobody.
        let text: String = self.text().chars().take(20_000).collect();
        write!(f, "code {:?}\n{text}\n{}", self.code, self.errors)
    }
}

/// Whether there is such a program; prints that the test is skipped if there is none.
pub(crate) fn is_there(program: &str, version: &str) -> bool {
    let is_there = Command::new(program)
        .arg(version)
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_there {
        // Past the test harness, which shows what is printed only if a test fails.
        let _ = writeln!(std::io::stdout().lock(), "skipped: there is no {program} here");
    }
    is_there
}

/// Runs it with this on its input. Whoever hangs is ended with code 124.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> Ended {
    let mut child = Command::new("timeout")
        .args(["60", program])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may end without having read everything, which shows in what it answers.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    Ended {
        code: output.status.code(),
        output: output.stdout,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
