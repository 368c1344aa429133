//! What is logged on this thread.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::cell::RefCell;

struct Capture;

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.with(|lines| lines.borrow_mut().push((record.level(), record.args().to_string())));
    }

    fn flush(&self) {}
}

pub(crate) fn install() {
    log::set_logger(&Capture).expect("nobody else logs here");
    log::set_max_level(LevelFilter::Trace);
}

/// The lines since it was last asked.
pub(crate) fn take() -> Vec<(Level, String)> {
    LINES.with(RefCell::take)
}
