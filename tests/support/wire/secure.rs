//! A client that speaks TLS over whatever carries its bytes.

use super::play::Wire;
use crate::tls::Peer;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

type Result<T> = std::result::Result<T, String>;

/// Longer than a handshake takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct SecureWire<W> {
    inner: W,
    peer: Peer,
    /// How much of what the inner one received is opened.
    opened: usize,
    received: Vec<u8>,
}

impl<W: Wire> SecureWire<W> {
    /// Shakes hands.
    pub(crate) fn connect(inner: W) -> Result<Self> {
        let mut wire = Self {
            inner,
            peer: Peer::any(),
            opened: 0,
            received: Vec::new(),
        };
        loop {
            let records = wire.peer.records();
            wire.inner.send(&records, PATIENCE)?;
            wire.open()?;
            if !wire.peer.tls.is_handshaking() && !wire.peer.tls.wants_write() {
                return Ok(wire);
            }
            if !wire.peer.tls.wants_write() && !wire.inner.wait(PATIENCE)? {
                return Err("the TLS handshake does not end".into());
            }
        }
    }

    /// Gives the inner one back, and everything that the server has said in records. It has to have said, too, that this
    /// was all, unless it reset the connection.
    pub(crate) fn into_inner(mut self, is_reset: bool) -> Result<(W, Vec<u8>)> {
        self.open()?;
        if self.inner.has_ended() && !is_reset && !self.peer.has_seen_close_notify() {
            return Err("the server ended without a close_notify".into());
        }
        Ok((self.inner, self.received))
    }

    fn open(&mut self) -> Result<()> {
        let records = &self.inner.received()[self.opened..];
        self.opened += records.len();
        let plain = self.peer.open(records).map_err(|error| format!("TLS: {error}"))?;
        self.received.extend(plain);
        Ok(())
    }
}

impl<W: Wire> Wire for SecureWire<W> {
    fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<()> {
        let records = self.peer.seal(bytes);
        self.inner.send(&records, limit)?;
        self.open()
    }

    fn half_close(&mut self) -> Result<()> {
        self.peer.tls.send_close_notify();
        let records = self.peer.records();
        self.inner.send(&records, PATIENCE)?;
        self.inner.half_close()?;
        self.open()
    }

    fn wait(&mut self, until: Duration) -> Result<bool> {
        let has_changed = self.inner.wait(until)?;
        self.open()?;
        Ok(has_changed)
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn received(&self) -> &[u8] {
        &self.received
    }

    fn has_ended(&self) -> bool {
        self.inner.has_ended()
    }

    fn dates(&self) -> RangeInclusive<SystemTime> {
        self.inner.dates()
    }
}
