//! What a run prints: a line for each failing case, and one at the end.

use std::io::Write as _;

/// Counts one mode's cases.
pub(crate) struct Report {
    mode: String,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    pub(crate) fn new(mode: impl Into<String>) -> Self {
        Self {
            mode: mode.into(),
            passed: 0,
            failed: 0,
            skipped: 0,
        }
    }

    pub(crate) fn case(&mut self, id: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(reason) => {
                self.failed += 1;
                say(&format!("FAIL {id} ({}): {reason}", self.mode));
            }
        }
    }

    pub(crate) fn skip(&mut self) {
        self.skipped += 1;
    }

    /// Prints the sum; returns how many failed.
    pub(crate) fn end(self) -> usize {
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} slow ones left out"),
        };
        say(&format!(
            "{} passed, {} failed ({}{skipped})",
            self.passed, self.failed, self.mode
        ));
        self.failed
    }
}

/// Prints a line past the test harness, which would show it only if the test failed.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
}
