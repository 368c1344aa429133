//! What the kernel says about a process: its time on the processor and its memory.

use std::fs;
use std::io;

#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: u32,
}

impl Process {
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    pub fn this() -> Self {
        Self {
            pid: std::process::id(),
        }
    }

    /// Nanoseconds that all its threads spent on a processor, by the scheduler's own account: user and kernel time
    /// without the rounding to ticks that `/proc/PID/stat` has.
    pub fn time_on_processor(self) -> io::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let text = match fs::read_to_string(task?.path().join("schedstat")) {
                Ok(text) => text,
                // The thread ended between the listing and here.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            sum += first_number(&text, "schedstat")?;
        }
        Ok(sum)
    }

    /// Resident bytes. From `smaps_rollup`, which walks the pages: `VmRSS` is the same figure, but may lag by the
    /// pages that each processor has not yet added to the total, which is much when divided by little.
    pub fn resident_bytes(self) -> io::Result<u64> {
        let kilobytes = match fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)) {
            Ok(text) => line_value(&text, "Rss:")?,
            Err(_) => line_value(&fs::read_to_string(format!("/proc/{}/status", self.pid))?, "VmRSS:")?,
        };
        Ok(kilobytes * 1024)
    }
}

fn line_value(text: &str, name: &str) -> io::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    first_number(value.unwrap_or_default(), name)
}

fn first_number(text: &str, name: &str) -> io::Result<u64> {
    let number = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no number in {name}")))
}
