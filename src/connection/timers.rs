//! Deadlines: one for the phase, one for the output.

use super::active::Active;
use super::{Connection, Ending, Fate, NEVER, Phase, Turn};
use crate::endpoint::MinDataRate;
use crate::event::CloseReason;
use crate::http1::Rejection;
use crate::timer::Time;
use std::time::Duration;

/// How long a lingering connection waits for its peer's end.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);

impl Turn<'_> {
    /// When [`on_timer`](Self::on_timer) has to be called at the latest, if nothing happens before; `None` if nobody waits
    /// for the peer. It changes with all that happens: ask at the end of each turn.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let mut deadline = self.connection.timer;
        if self.has_output() {
            deadline = deadline.min(self.output_deadline());
        }
        (deadline != NEVER).then_some(deadline)
    }

    /// Time has passed: ends what has waited too long. Called early it changes nothing.
    pub fn on_timer(&mut self) {
        let now = self.engine.now();
        if self.has_output() && now >= self.output_deadline() && self.fate() == Fate::Open {
            log::debug!(
                target: "stannel::connections",
                "28 connection {} response too slow",
                crate::handler::ConnectionId(self.connection.info.id)
            );
            self.end_now(CloseReason::ResponseTooSlow, Ending::Abort);
            return;
        }
        if now < self.connection.timer {
            return;
        }
        match self.connection.phase {
            Phase::Head if self.connection.head_started => {
                // RFC 9110 §15.5.9.
                self.reject_head(Rejection::RequestHeadersTimeout);
            }
            // A response that is still being read is no idleness.
            Phase::Head if self.has_output() => self.connection.timer = self.engine.keep_alive_deadline(),
            Phase::Head => self.end_now(CloseReason::KeepAliveTimeout, Ending::Plain),
            Phase::Handshake => self.handshake_timed_out(),
            // The loop's own stalls may have moved the deadline since the timer was set.
            Phase::Exchange(ref active) => match self.exchange_deadline(active) {
                deadline if deadline > now => self.connection.timer = deadline,
                _ => self.body_timed_out(),
            },
            Phase::Lingering { .. } => self.connection.phase = Phase::Over,
            Phase::Tunnel(_) | Phase::Closing(_) | Phase::Over => self.connection.timer = NEVER,
        }
        self.settle_output();
    }

    /// When the waiting output has to be given up, in real time.
    fn output_deadline(&self) -> Time {
        let connection = &*self.connection;
        let stall = self.engine.state.limits.response_stall_timeout;
        let stall = stall.map_or(NEVER, |stall| self.engine.last_taken + stall);
        let rate = if matches!(connection.phase, Phase::Tunnel(_)) || self.response_rate().is_none() {
            NEVER
        } else {
            connection.rate_deadline
        };
        let served = stall.min(rate);
        if served == NEVER {
            NEVER
        } else {
            self.engine.real(served)
        }
    }

    fn response_rate(&self) -> Option<MinDataRate> {
        let limits = &self.engine.state.limits;
        match &self.connection.phase {
            Phase::Exchange(active) => Active::response_rate(active, limits),
            // It has a deadline of its own.
            Phase::Handshake => None,
            _ => self
                .connection
                .response_rate
                .as_deref()
                .map_or(limits.min_response_data_rate, |rate| *rate),
        }
    }

    /// Puts the bytes that were written since the last call into records, where TLS is spoken, and gives them their time.
    /// Kestrel's rule: each flush may take the grace from now, or as long as its bytes need behind those before it.
    #[inline]
    pub(super) fn settle_output(&mut self) {
        if self.connection.session.is_some() {
            self.seal_output();
        }
        let after = self.engine.state.output.len();
        let before = std::mem::replace(&mut self.engine.state.counted, after);
        if after <= before {
            return;
        }
        if before == 0 {
            self.engine.last_taken = self.engine.served();
        }
        if let Some(rate) = self.response_rate() {
            allow(self.connection, self.engine.served(), rate, (after - before) as u64);
        }
    }

    /// The connection ends: what is left of the output is held to the same rule as one more byte.
    pub(super) fn ending_output(&mut self) {
        self.settle_output();
        if self.has_output()
            && let Some(rate) = self.response_rate()
        {
            allow(self.connection, self.engine.served(), rate, 1);
        }
    }
}

/// The grace counts once from now and never adds up; the credit of earlier, faster writes is kept.
#[inline]
fn allow(connection: &mut Connection, now: Time, rate: MinDataRate, bytes: u64) {
    let need = rate.millis_for(bytes);
    let from_now = now.plus_millis(rate.grace_millis().max(need));
    connection.rate_deadline = from_now.max(connection.rate_deadline.plus_millis(need));
}

impl super::Engine {
    /// The real time at which the served time will be that.
    pub(super) fn real(&self, served: Time) -> Time {
        served.plus_millis(self.stalled)
    }
}
