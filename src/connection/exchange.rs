//! An exchange from the handler's decision to its end: body in, response out, the rest drained.

use super::active::{Active, Consumer, Pace, Response};
use super::head::HeadSize;
use super::{Ending, Phase, Turn};
use crate::event::CloseReason;
use crate::handler::{Current, DeferredBody, DeferredResponse, ExchangeState, Reply};
use crate::http1::body::BodyReader;
use crate::http1::chunked::Limits as ChunkedLimits;
use crate::http1::{Framing, RequestFacts};
use crate::mailbox::Content;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What one turn may write when `max_response_buffer_size` sets no bound.
pub(super) const UNBOUNDED_TURN: usize = 256 << 10;

/// How far an exchange came.
pub(super) enum Step {
    /// On to the next step.
    Next,
    /// It waits for input, for room, or to be woken.
    Blocked,
    /// Response sent, body read.
    Finished,
    /// The connection ends; the phase says how.
    Ended,
}

impl Turn<'_> {
    /// Carries out what the handler decided on a new request. Returns whether there may be more to do.
    #[inline]
    pub(super) fn begin_exchange(&mut self, size: HeadSize) -> bool {
        let state = &mut self.engine.state;
        if state.body_is_consumed() && state.take_complete() {
            self.finish_exchange();
            let has_input = !self.engine.input.is_empty() || self.connection.ended;
            return has_input && matches!(self.connection.phase, Phase::Head);
        }
        let reply = std::mem::replace(&mut state.reply, Reply::Open);
        self.begin_active(size, reply)
    }

    fn begin_active(&mut self, size: HeadSize, reply: Reply) -> bool {
        let state = &mut self.engine.state;
        let rest = match state.current.facts.framing {
            Framing::Length(length) => Framing::Length(length - state.body_consumed as u64),
            Framing::Chunked if state.body_is_consumed() => Framing::None,
            framing => framing,
        };
        let limits = ChunkedLimits {
            max_body: state.max_body(),
            trailer_bytes: state
                .limits
                .max_request_headers_total_size
                .saturating_sub(size.fields_size),
            trailer_fields: state.limits.max_request_header_count.saturating_sub(size.fields),
        };
        let fresh = Active {
            current: Current::new(RequestFacts::default(), None, false),
            body: BodyReader::new(rest, limits),
            consumer: Consumer::None,
            response: Response::Awaited,
            pace: Pace::default(),
        };
        let mut active = match self.engine.spare_active() {
            Some(mut active) => {
                *active = fresh;
                active
            }
            None => Box::new(fresh),
        };
        match self.apply(&mut active, reply) {
            Step::Ended => {
                // What the handler had decided on may still have to hear of it.
                self.forget(active);
                matches!(self.connection.phase, Phase::Tunnel(_))
            }
            Step::Next | Step::Blocked | Step::Finished => {
                if active.wants_body(false) {
                    log::debug!(
                        target: "stannel::connections",
                        "25 connection {} request {} body reading started",
                        crate::handler::ConnectionId(self.connection.info.id),
                        self.connection.number
                    );
                }
                std::mem::swap(&mut active.current, &mut self.engine.state.current);
                self.connection.phase = Phase::Exchange(active);
                true
            }
        }
    }

    /// Goes on with the exchange. Returns whether there may be more to do.
    pub(super) fn run_exchange(&mut self) -> bool {
        let Phase::Exchange(mut active) = std::mem::replace(&mut self.connection.phase, Phase::Head) else {
            return false;
        };
        std::mem::swap(&mut active.current, &mut self.engine.state.current);
        let end = loop {
            match self.step(&mut active) {
                Step::Next => {}
                end => break end,
            }
        };
        match end {
            Step::Finished => {
                self.forget(active);
                self.finish_exchange();
                matches!(self.connection.phase, Phase::Head)
            }
            Step::Ended => {
                self.forget(active);
                matches!(self.connection.phase, Phase::Tunnel(_))
            }
            Step::Next | Step::Blocked => {
                std::mem::swap(&mut active.current, &mut self.engine.state.current);
                self.connection.timer = self.exchange_deadline(&active);
                self.connection.phase = Phase::Exchange(active);
                false
            }
        }
    }

    /// The memory is kept, what it held is dropped.
    pub(super) fn forget(&mut self, mut active: Box<Active>) {
        // What the user's code leaves behind may panic even while it is dropped.
        quietly(|| {
            active.consumer = Consumer::None;
            active.response = Response::Complete;
        });
        self.engine.keep_active(active);
    }

    pub(super) fn is_full(&self) -> bool {
        let unsent = self.engine.state.output.len();
        self.output_is_full()
            || (self.engine.state.limits.max_response_buffer_size.is_none()
                && unsent.saturating_sub(self.engine.state.counted) >= UNBOUNDED_TURN)
    }

    pub(super) fn room(&self) -> usize {
        let most = self
            .engine
            .state
            .limits
            .max_response_buffer_size
            .unwrap_or(UNBOUNDED_TURN);
        most.saturating_sub(self.engine.state.output.len())
            .clamp(1, UNBOUNDED_TURN)
    }

    pub(super) fn step(&mut self, active: &mut Active) -> Step {
        let is_full = self.is_full();
        match &active.response {
            Response::Stream { is_waiting: false, .. }
            | Response::Pipe {
                is_waiting: false,
                end: Some(_),
                ..
            } => {
                if !is_full {
                    return self.fill(active);
                }
                self.connection.has_more = true;
            }
            Response::Awaited | Response::Stream { .. } | Response::Pipe { .. } | Response::Complete => {}
        }
        if active.wants_body(is_full) {
            return self.take_body(active);
        }
        if matches!(active.consumer, Consumer::Pipe { is_paused: false }) {
            // It is the output that holds it up.
            self.connection.has_more = true;
        }
        let now = self.engine.served();
        active.pace.stop(now);
        match (&active.response, &active.consumer) {
            (Response::Complete, Consumer::None) if active.body.is_done() => Step::Finished,
            (Response::Complete, Consumer::None) if self.engine.state.body_forbids_reuse() => {
                // The head of the response said so; what the client sends now is no request.
                self.connection.end_for(CloseReason::Finished);
                self.end_response();
                self.close_after_output(Ending::Linger);
                Step::Ended
            }
            (Response::Complete, Consumer::None) => {
                log::info!(
                    target: "stannel::connections",
                    "32 connection {} the handler ended without reading the whole body",
                    crate::handler::ConnectionId(self.connection.info.id)
                );
                active.consumer = Consumer::Drain { deadline: None };
                Step::Next
            }
            _ => Step::Blocked,
        }
    }

    // ---- from other threads

    /// A letter for the exchange at hand.
    pub(super) fn exchange_letter(&mut self, content: Content) {
        let Phase::Exchange(mut active) = std::mem::replace(&mut self.connection.phase, Phase::Head) else {
            return;
        };
        let step = match content {
            Content::Wake(_) => {
                if let Consumer::Sink { is_paused, .. } | Consumer::Pipe { is_paused } = &mut active.consumer {
                    *is_paused = false;
                }
                if let Response::Stream { is_waiting, .. } | Response::Pipe { is_waiting, .. } = &mut active.response {
                    *is_waiting = false;
                }
                Step::Next
            }
            Content::Response(response) => {
                std::mem::swap(&mut active.current, &mut self.engine.state.current);
                let reply = if matches!(active.response, Response::Awaited) {
                    self.engine.state.current.gone = None;
                    deferred_reply(&mut self.engine.state, *response)
                } else {
                    None
                };
                let step = reply.map_or(Step::Next, |reply| self.apply(&mut active, reply));
                std::mem::swap(&mut active.current, &mut self.engine.state.current);
                step
            }
        };
        match step {
            Step::Ended => self.forget(active),
            Step::Next | Step::Blocked | Step::Finished => self.connection.phase = Phase::Exchange(active),
        }
    }

    /// The connection ends before the exchange does: everybody at work hears of it.
    pub(super) fn drop_active(&mut self, mut active: Box<Active>) {
        if let Some(gone) = &active.current.gone {
            gone.set();
        }
        if let Consumer::Sink { sink: Some(sink), .. } = std::mem::replace(&mut active.consumer, Consumer::None) {
            quietly(|| sink.failed(None));
        }
        self.forget(active);
    }
}

/// Turns what another thread put together into a decision.
fn deferred_reply(state: &mut ExchangeState, response: DeferredResponse) -> Option<Reply> {
    state.reply = Reply::Open;
    match response {
        DeferredResponse::Abort => return Some(Reply::Abort),
        DeferredResponse::Failed(why) => state.fail(&why),
        DeferredResponse::Head {
            status,
            fields,
            seen,
            body,
        } => {
            let _ = state.begin_head(status, None);
            state.output.put(&fields);
            state.fields_seen = seen;
            match body {
                DeferredBody::Whole(bytes) => state.complete(status, bytes),
                DeferredBody::Stream(length, source) => {
                    if let Some(framing) = state.open_body(status, length) {
                        state.reply = Reply::Stream { framing, source };
                    }
                }
            }
        }
    }
    Some(std::mem::replace(&mut state.reply, Reply::Open))
}

/// Runs the user's clean-up; its panic changes nothing any more.
pub(super) fn quietly(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        log::error!(target: "stannel", "13 handler failed: it panicked when told of an end");
    }
}
