//! SIGTERM and SIGINT stop the server.

use super::shutdown::SIGNALS;
use mio::{Interest, Registry};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;

pub(super) struct Signals {
    source: signal_hook_mio::v1_0::Signals,
}

impl Signals {
    pub(super) fn new(registry: &Registry) -> io::Result<Self> {
        let mut source = signal_hook_mio::v1_0::Signals::new([SIGTERM, SIGINT])?;
        registry.register(&mut source, SIGNALS, Interest::READABLE)?;
        Ok(Self { source })
    }

    /// How many signals that ask for a stop have come.
    pub(super) fn stops(&mut self) -> usize {
        self.source.pending().count()
    }
}
