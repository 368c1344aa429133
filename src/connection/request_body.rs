//! The request body of an exchange: from the input to whoever takes it.

use super::active::{Active, Consumer, PipeEnd, Response};
use super::exchange::{Step, UNBOUNDED_TURN, quietly};
use super::{Ending, NEVER, Phase, Turn};
use crate::event::CloseReason;
use crate::handler::{Body, BodyEnd, BodyWriter, Exchange, ExchangeState, Files, Flow, Outcome, Reply, Trailers};
use crate::http1::Rejection;
use crate::http1::chunked::Piece;
use crate::timer::Time;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Turn<'_> {
    /// Somebody wants the body: gives what is there.
    pub(super) fn take_body(&mut self, active: &mut Active) -> Step {
        if active.body.is_done() {
            return self.consumer_ends(active, PipeEnd::Complete);
        }
        let input = self.engine.input.pending();
        let (count, piece) = match active.body.read(input) {
            Ok(read) => read,
            Err(rejection) => return self.body_failed(active, rejection),
        };
        let now = self.engine.served();
        if count > 0 {
            active.pace.stop(now);
            self.engine.state.current.body_begun = true;
        }
        match piece {
            Piece::End => {
                self.engine.input.consume(count);
                Step::Next
            }
            Piece::NeedInput => {
                self.engine.input.consume(count);
                if self.connection.ended {
                    let rejection = active.body.end_of_input();
                    return self.body_failed(active, rejection);
                }
                active.pace.wait(now);
                if let Consumer::Drain { deadline } = &mut active.consumer {
                    let timeout = self.engine.state.limits.request_body_drain_timeout;
                    let until = self.engine.now() + timeout;
                    deadline.get_or_insert(until);
                }
                Step::Blocked
            }
            Piece::Data(data) => {
                active.pace.count(data.len());
                let known_rest = active.body.known_rest();
                let flow = give(
                    &mut active.consumer,
                    &mut active.response,
                    &mut self.engine.state,
                    data,
                    known_rest,
                );
                self.engine.input.consume(count);
                self.after_data(active, flow)
            }
        }
    }

    fn after_data(&mut self, active: &mut Active, flow: Given) -> Step {
        match flow {
            Given::Flow(Flow::Continue) => Step::Next,
            Given::Flow(Flow::Pause) => {
                match &mut active.consumer {
                    Consumer::Sink { is_paused, .. } | Consumer::Pipe { is_paused } => *is_paused = true,
                    Consumer::None | Consumer::Collect { .. } | Consumer::Drain { .. } => {}
                }
                Step::Next
            }
            Given::Flow(Flow::Stop) => self.consumer_ends(active, PipeEnd::Stopped),
            Given::TooLarge => self.body_failed(active, Rejection::RequestBodyTooLarge),
            Given::Exceeded => self.response_failed(active, CloseReason::ContentLengthMismatch),
            Given::Panicked => self.work_panicked(active),
        }
    }

    /// The body is complete, or its consumer wants no more of it: on to the response.
    pub(super) fn consumer_ends(&mut self, active: &mut Active, end: PipeEnd) -> Step {
        let is_complete = end == PipeEnd::Complete;
        log::debug!(
            target: "stannel::connections",
            "26 connection {} request {} body reading done",
            crate::handler::ConnectionId(self.connection.info.id),
            self.connection.number
        );
        let lines = if is_complete { active.body.trailers() } else { &[] };
        let trailers = Trailers { lines };
        match std::mem::replace(&mut active.consumer, Consumer::None) {
            Consumer::None | Consumer::Drain { .. } => Step::Next,
            Consumer::Pipe { .. } => {
                if let Response::Pipe { end: pipe_end, .. } = &mut active.response {
                    *pipe_end = Some(end);
                }
                Step::Next
            }
            Consumer::Collect { bytes, then, .. } => {
                let Some(then) = then else { return Step::Next };
                let body = Body {
                    bytes: &bytes,
                    trailers,
                };
                let reply = decide(&mut self.engine.state, |exchange| then(body, exchange));
                self.apply(active, reply)
            }
            Consumer::Sink { sink, .. } => {
                let Some(sink) = sink else { return Step::Next };
                let end = BodyEnd { is_complete, trailers };
                let reply = decide(&mut self.engine.state, |exchange| sink.finish(end, exchange));
                self.apply(active, reply)
            }
        }
    }

    /// The body will never be complete.
    pub(super) fn body_failed(&mut self, active: &mut Active, rejection: Rejection) -> Step {
        match std::mem::replace(&mut active.consumer, Consumer::None) {
            Consumer::Sink { sink: Some(sink), .. } => quietly(|| sink.failed(Some(rejection))),
            Consumer::Drain { .. } => {
                // The response is out; there will be no other.
                self.connection.end_for(CloseReason::Rejected(rejection));
                self.end_response();
                self.close_after_output(Ending::Linger);
                return Step::Ended;
            }
            Consumer::None | Consumer::Collect { .. } | Consumer::Pipe { .. } | Consumer::Sink { sink: None, .. } => {}
        }
        match active.response {
            Response::Awaited => self.reject(rejection),
            Response::Stream { .. } | Response::Pipe { .. } | Response::Complete => {
                self.connection.end_for(CloseReason::Rejected(rejection));
                self.cut_off(active);
            }
        }
        Step::Ended
    }

    /// No body byte came for too long, or too few.
    pub(super) fn body_timed_out(&mut self) {
        let Phase::Exchange(mut active) = std::mem::replace(&mut self.connection.phase, Phase::Head) else {
            return;
        };
        std::mem::swap(&mut active.current, &mut self.engine.state.current);
        if matches!(active.consumer, Consumer::Drain { .. }) {
            log::info!(
                target: "stannel::connections",
                "33 connection {} drain timed out",
                crate::handler::ConnectionId(self.connection.info.id)
            );
            self.connection.end_for(CloseReason::DrainTimeout);
            self.end_response();
            // An output that is stuck after all this time will not be read any more.
            let ending = if self.has_output() {
                Ending::Abort
            } else {
                Ending::Linger
            };
            self.close_after_output(ending);
        } else {
            log::debug!(
                target: "stannel::connections",
                "27 connection {} request body too slow",
                crate::handler::ConnectionId(self.connection.info.id)
            );
            self.body_failed(&mut active, Rejection::RequestBodyTimeout);
        }
        self.forget(active);
    }

    /// The connection's own deadline while an exchange lasts.
    pub(super) fn exchange_deadline(&self, active: &Active) -> Time {
        if let Consumer::Drain { deadline } = &active.consumer {
            return deadline.unwrap_or(NEVER);
        }
        let limits = &self.engine.state.limits;
        let deadline = active
            .pace
            .deadline(active.request_rate(limits), active.body_stall(limits));
        deadline.map_or(NEVER, |served| self.engine.real(served))
    }
}

/// What became of a piece of the body.
enum Given {
    Flow(Flow),
    TooLarge,
    Exceeded,
    Panicked,
}

fn give(
    consumer: &mut Consumer,
    response: &mut Response,
    state: &mut ExchangeState,
    data: &[u8],
    known_rest: usize,
) -> Given {
    match consumer {
        Consumer::None | Consumer::Drain { .. } => Given::Flow(Flow::Continue),
        Consumer::Collect { limit, bytes, .. } => {
            if data.len() > *limit - bytes.len() {
                return Given::TooLarge;
            }
            if bytes.is_empty() {
                // What the client only promises is believed up to a bound.
                bytes.reserve_exact((data.len() + known_rest).min(*limit).min(data.len().max(64 << 10)));
            }
            bytes.extend_from_slice(data);
            Given::Flow(Flow::Continue)
        }
        Consumer::Sink { sink: Some(sink), .. } => {
            catch_unwind(AssertUnwindSafe(|| sink.data(data))).map_or(Given::Panicked, Given::Flow)
        }
        Consumer::Sink { sink: None, .. } => Given::Flow(Flow::Stop),
        Consumer::Pipe { .. } => {
            let Response::Pipe { pipe, write, .. } = response else {
                return Given::Flow(Flow::Stop);
            };
            let room = state.limits.max_response_buffer_size.unwrap_or(UNBOUNDED_TURN);
            let room = room.saturating_sub(state.output.len()).max(1);
            let writer = &mut BodyWriter::new(&mut state.output, write, room, Files::Read);
            let flow = catch_unwind(AssertUnwindSafe(|| pipe.data(data, writer)));
            if write.exceeded {
                Given::Exceeded
            } else {
                flow.map_or(Given::Panicked, Given::Flow)
            }
        }
    }
}

/// Lets the user's code decide on an exchange whose body has been taken.
fn decide(state: &mut ExchangeState, answer: impl FnOnce(Exchange<'_>) -> Outcome) -> Reply {
    state.reply = Reply::Open;
    let exchange = AssertUnwindSafe(Exchange { state, ahead: &[] });
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let AssertUnwindSafe(exchange) = exchange;
        let _outcome = answer(exchange);
    }));
    if answered.is_err() {
        state.handler_panicked();
    }
    std::mem::replace(&mut state.reply, Reply::Open)
}
