//! An exchange that did not end within the handler's call.

use crate::endpoint::{Limits, MinDataRate};
use crate::handler::{BodyPipe, BodySink, BodySource, CollectThen, Current, WriteState};
use crate::http1::body::BodyReader;
use crate::timer::Time;
use std::time::Duration;

/// A request that is still coming in or a response that is still going out.
pub(super) struct Active {
    pub(super) current: Current,
    pub(super) body: BodyReader,
    pub(super) consumer: Consumer,
    pub(super) response: Response,
    pub(super) pace: Pace,
}

/// Who takes the request body.
pub(super) enum Consumer {
    /// Nobody has asked for it, or it is complete.
    None,
    Collect {
        limit: usize,
        bytes: Vec<u8>,
        then: Option<CollectThen>,
    },
    Sink {
        sink: Option<Box<dyn BodySink>>,
        is_paused: bool,
    },
    /// The pipe of the response takes it.
    Pipe { is_paused: bool },
    /// Nobody will: it is read and thrown away until then.
    Drain { deadline: Option<Time> },
}

/// How far the response is.
pub(super) enum Response {
    /// Not begun.
    Awaited,
    Stream {
        source: Box<dyn BodySource>,
        write: WriteState,
        is_waiting: bool,
    },
    Pipe {
        pipe: Box<dyn BodyPipe>,
        write: WriteState,
        is_waiting: bool,
        end: Option<PipeEnd>,
    },
    Complete,
}

/// Why a pipe gets no more data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PipeEnd {
    Complete,
    Stopped,
}

/// How fast a request body comes (Kestrel's rule: the average over the time in which it was waited for).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// How long it was waited for in all, in milliseconds.
    waited: u64,
    /// Decoded bytes that were handed over.
    bytes: u64,
    /// Since when it is waited for, in served time.
    waiting: Option<Time>,
}

impl Pace {
    /// Nothing is there and somebody wants it.
    pub(super) fn wait(&mut self, now: Time) {
        self.waiting.get_or_insert(now);
    }

    /// Input came, or nobody wants it any more.
    pub(super) fn stop(&mut self, now: Time) {
        if let Some(since) = self.waiting.take() {
            self.waited += now.as_millis().saturating_sub(since.as_millis());
        }
    }

    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// When it will have been too slow, if nothing comes.
    pub(super) fn deadline(&self, rate: Option<MinDataRate>, stall: Option<Duration>) -> Option<Time> {
        let since = self.waiting?;
        let rate = rate.map(|rate| {
            let grace = rate.grace_millis();
            // At the very deadline the rate is still met: one millisecond later it is not.
            let allowed = grace.max(rate.millis_for(self.bytes)).saturating_add(1);
            since + Duration::from_millis(allowed.saturating_sub(self.waited))
        });
        let stall = stall.map(|stall| since + stall);
        match (rate, stall) {
            (Some(rate), Some(stall)) => Some(rate.min(stall)),
            (rate, stall) => rate.or(stall),
        }
    }
}

impl Active {
    /// Whether somebody wants body bytes now; a pipe only while there is room for its output.
    pub(super) fn wants_body(&self, output_is_full: bool) -> bool {
        match &self.consumer {
            Consumer::None => false,
            Consumer::Collect { .. } | Consumer::Drain { .. } => true,
            Consumer::Sink { is_paused, .. } => !is_paused,
            Consumer::Pipe { is_paused } => !is_paused && !output_is_full,
        }
    }

    pub(super) fn request_rate(&self, limits: &Limits) -> Option<MinDataRate> {
        self.current
            .overrides
            .as_ref()
            .map_or(limits.min_request_body_data_rate, |overrides| overrides.request_rate)
    }

    pub(super) fn body_stall(&self, limits: &Limits) -> Option<Duration> {
        self.current
            .overrides
            .as_ref()
            .map_or(limits.request_body_stall_timeout, |overrides| overrides.body_stall)
    }

    pub(super) fn response_rate(&self, limits: &Limits) -> Option<MinDataRate> {
        self.current
            .overrides
            .as_ref()
            .map_or(limits.min_response_data_rate, |overrides| overrides.response_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use crate::endpoint::MinDataRate;
    use crate::timer::Time;
    use std::time::Duration;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Kestrel's example: 100 B/s, grace 2 s, 600 bytes in the first 3 s, then none: too slow after 6 s.
    #[test]
    fn the_average_counts_from_the_start() {
        let rate = MinDataRate::new(100, Duration::from_secs(2)).ok();
        let mut pace = Pace::default();
        for second in 0..3 {
            pace.wait(at(second * 1000));
            pace.stop(at(second * 1000 + 1000));
            pace.count(200);
        }
        assert_eq!(pace.deadline(rate, None), None);
        pace.wait(at(3000));
        assert_eq!(pace.deadline(rate, None), Some(at(6001)));
        assert_eq!(pace.deadline(rate, Some(Duration::from_secs(1))), Some(at(4000)));
    }

    #[test]
    fn time_in_which_nobody_asks_does_not_count() {
        let rate = MinDataRate::new(100, Duration::from_secs(2)).ok();
        let mut pace = Pace::default();
        pace.wait(at(0));
        pace.stop(at(1000));
        pace.wait(at(50_000));
        assert_eq!(pace.deadline(rate, None), Some(at(51_001)));
    }
}
