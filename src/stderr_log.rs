//! Log lines on standard error, for whoever looks over the command's shoulder.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fmt::Arguments;
use std::io::Write;

struct StderrLog;

/// Logs what `STANNEL_LOG` asks for; without it, what somebody should look at.
pub(crate) fn install() {
    let level = match std::env::var("STANNEL_LOG") {
        Ok(text) => text.trim().parse().unwrap_or_else(|_| {
            let text = text.escape_debug();
            line(format_args!(
                "stannel: warning: STANNEL_LOG={text}: expected off, error, warn, info, debug or trace"
            ));
            LevelFilter::Warn
        }),
        Err(_) => LevelFilter::Warn,
    };
    if log::set_logger(&StderrLog).is_ok() {
        log::set_max_level(level);
    }
}

/// One line; a standard error that nobody reads any more is no reason to stop.
pub(crate) fn line(text: Arguments<'_>) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

impl Log for StderrLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        match record.target() {
            "stannel" => line(format_args!("stannel: {level}: {}", record.args())),
            target => line(format_args!("{target}: {level}: {}", record.args())),
        }
    }

    fn flush(&self) {}
}
