//! SIGTERM and SIGINT stop the server, SIGHUP lets it read its configuration anew.

use super::shutdown::{Asked, SIGNALS};
use mio::{Interest, Registry};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;

pub(super) struct Signals {
    source: signal_hook_mio::v1_0::Signals,
}

impl Signals {
    pub(super) fn new(registry: &Registry) -> io::Result<Self> {
        let mut source = signal_hook_mio::v1_0::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        registry.register(&mut source, SIGNALS, Interest::READABLE)?;
        Ok(Self { source })
    }

    /// What has come since it was last asked.
    pub(super) fn come(&mut self) -> Asked {
        let mut asked = Asked::default();
        for signal in self.source.pending() {
            if signal == SIGHUP {
                asked.reloads += 1;
            } else {
                asked.stops += 1;
            }
        }
        asked
    }
}
