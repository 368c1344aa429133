//! An exchange from the handler's decision to its end: body in, response out, the rest drained.

use super::active::{Active, Consumer, Pace, PipeEnd, Response};
use super::head::HeadSize;
use super::{Ending, NEVER, Phase, Turn};
use crate::event::CloseReason;
use crate::handler::{
    Body, BodyEnd, BodyWriter, Current, DeferredBody, DeferredResponse, Exchange, ExchangeState, Flow, Outcome,
    OutputFraming, Progress, Reply, Trailers, WriteState,
};
use crate::http1::body::BodyReader;
use crate::http1::chunked::{Limits as ChunkedLimits, Piece};
use crate::http1::{Framing, Rejection, RequestFacts};
use crate::mailbox::Content;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What one turn may write when `max_response_buffer_size` sets no bound.
const UNBOUNDED_TURN: usize = 256 << 10;

/// How far an exchange came.
enum Step {
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
        let reply = std::mem::replace(&mut state.reply, Reply::Open);
        let rest = match state.current.facts.framing {
            Framing::None => 0,
            Framing::Length(length) => length - state.body_consumed as u64,
            Framing::Chunked => u64::MAX,
        };
        if rest == 0 && matches!(reply, Reply::Complete) {
            self.finish_exchange();
            let has_input = !self.engine.input.is_empty() || self.connection.ended;
            return has_input && matches!(self.connection.phase, Phase::Head);
        }
        self.begin_active(size, rest, reply)
    }

    fn begin_active(&mut self, size: HeadSize, rest: u64, reply: Reply) -> bool {
        let state = &mut self.engine.state;
        let framing = match state.current.facts.framing {
            Framing::Length(_) => Framing::Length(rest),
            other => other,
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
            body: BodyReader::new(framing, limits),
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
    fn forget(&mut self, mut active: Box<Active>) {
        // What the user's code leaves behind may panic even while it is dropped.
        quietly(|| {
            active.consumer = Consumer::None;
            active.response = Response::Complete;
        });
        self.engine.keep_active(active);
    }

    fn is_full(&self) -> bool {
        let unsent = self.engine.state.output.len();
        self.output_is_full()
            || (self.engine.state.limits.max_response_buffer_size.is_none()
                && unsent.saturating_sub(self.engine.state.counted) >= UNBOUNDED_TURN)
    }

    fn room(&self) -> usize {
        let most = self
            .engine
            .state
            .limits
            .max_response_buffer_size
            .unwrap_or(UNBOUNDED_TURN);
        most.saturating_sub(self.engine.state.output.len())
            .clamp(1, UNBOUNDED_TURN)
    }

    fn step(&mut self, active: &mut Active) -> Step {
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

    // ---- the request body

    /// Somebody wants the body: gives what is there.
    fn take_body(&mut self, active: &mut Active) -> Step {
        if active.body.is_done() {
            return self.body_complete(active);
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

    fn body_complete(&mut self, active: &mut Active) -> Step {
        self.consumer_ends(active, PipeEnd::Complete)
    }

    /// The body is complete, or its consumer wants no more of it: on to the response.
    fn consumer_ends(&mut self, active: &mut Active, end: PipeEnd) -> Step {
        let is_complete = end == PipeEnd::Complete;
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
    fn body_failed(&mut self, active: &mut Active, rejection: Rejection) -> Step {
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
            self.body_failed(&mut active, Rejection::RequestBodyTimeout);
        }
        self.forget(active);
    }

    // ---- the response

    /// Carries out a decision.
    fn apply(&mut self, active: &mut Active, reply: Reply) -> Step {
        match reply {
            Reply::Open => {
                self.engine.state.put_failure(&"it did not answer");
                active.response = Response::Complete;
                Step::Next
            }
            Reply::Complete => {
                active.response = Response::Complete;
                Step::Next
            }
            Reply::Stream { framing, source } => {
                active.response = Response::Stream {
                    source,
                    write: WriteState::new(framing),
                    is_waiting: false,
                };
                Step::Next
            }
            Reply::Pipe { framing, pipe } => {
                let end = (active.body.is_done()).then_some(PipeEnd::Complete);
                let write = WriteState::new(framing);
                active.response = Response::Pipe {
                    pipe,
                    write,
                    is_waiting: false,
                    end,
                };
                active.consumer = if end.is_some() {
                    Consumer::None
                } else {
                    Consumer::Pipe { is_paused: false }
                };
                Step::Next
            }
            Reply::Collect { limit, then } => {
                active.consumer = Consumer::Collect {
                    limit,
                    bytes: Vec::new(),
                    then: Some(then),
                };
                Step::Next
            }
            Reply::Receive(sink) => {
                active.consumer = Consumer::Sink {
                    sink: Some(sink),
                    is_paused: false,
                };
                Step::Next
            }
            Reply::Deferred => {
                active.response = Response::Awaited;
                Step::Blocked
            }
            Reply::Tunnel { tunnel, place } => {
                self.switch(tunnel, place);
                Step::Ended
            }
            Reply::Rejected(rejection) => self.body_failed(active, rejection),
            Reply::Abort => {
                log::info!(
                    target: "stannel::connections",
                    "34 connection {} aborted by the handler",
                    crate::handler::ConnectionId(self.connection.info.id)
                );
                self.end_now(CloseReason::AbortedByHandler, Ending::Abort);
                Step::Ended
            }
        }
    }

    /// Asks the source, or the pipe behind its last data, for more.
    fn fill(&mut self, active: &mut Active) -> Step {
        let room = self.room();
        let lines = active.body.trailers();
        let before = self.engine.state.output.len();
        let output = &mut self.engine.state.output;
        let (progress, write) = match &mut active.response {
            Response::Stream { source, write, .. } => {
                let writer = &mut BodyWriter::new(output, write, room);
                (catch_unwind(AssertUnwindSafe(|| source.fill(writer))), write)
            }
            Response::Pipe { pipe, write, end, .. } => {
                let is_complete = *end == Some(PipeEnd::Complete);
                let end = BodyEnd {
                    is_complete,
                    trailers: Trailers {
                        lines: if is_complete { lines } else { &[] },
                    },
                };
                let writer = &mut BodyWriter::new(output, write, room);
                (catch_unwind(AssertUnwindSafe(|| pipe.end(end, writer))), write)
            }
            Response::Awaited | Response::Complete => return Step::Blocked,
        };
        if write.exceeded {
            return self.response_failed(active, CloseReason::ContentLengthMismatch);
        }
        match progress {
            Err(_) => self.work_panicked(active),
            Ok(Progress::Failed) => self.response_failed(active, CloseReason::ErrorAfterStartingResponse),
            Ok(Progress::Done) => {
                if write.finish(output) {
                    active.response = Response::Complete;
                    Step::Next
                } else {
                    self.response_failed(active, CloseReason::ContentLengthMismatch)
                }
            }
            Ok(Progress::More) if self.engine.state.output.len() == before => {
                // It has nothing and does not want to wait: others have their turn before it is asked again.
                self.connection.has_more = true;
                Step::Blocked
            }
            Ok(Progress::More) => Step::Next,
            Ok(Progress::Wait) => {
                if let Response::Stream { is_waiting, .. } | Response::Pipe { is_waiting, .. } = &mut active.response {
                    *is_waiting = true;
                }
                Step::Next
            }
        }
    }

    fn work_panicked(&mut self, active: &mut Active) -> Step {
        self.response_failed(active, CloseReason::ErrorAfterStartingResponse)
    }

    /// The response cannot be completed: 500 if nothing of it was sent, else it is cut off.
    fn response_failed(&mut self, active: &mut Active, reason: CloseReason) -> Step {
        active.consumer = Consumer::None;
        let (wrote, exceeded) = match &active.response {
            Response::Stream { write, .. } | Response::Pipe { write, .. } => (write.wrote, write.exceeded),
            Response::Awaited | Response::Complete => (false, false),
        };
        let state = &mut self.engine.state;
        let is_unsent = state
            .current
            .head_start
            .is_some_and(|mark| state.output.can_rewind(mark));
        if !wrote && (is_unsent || matches!(active.response, Response::Awaited)) {
            state.current.close |= exceeded;
            state.put_failure(&"its response body failed before the first byte");
            active.response = Response::Complete;
            return Step::Next;
        }
        log::error!(
            target: "stannel",
            "13 connection {} request {}: handler failed behind the head of its response: {reason:?}",
            crate::handler::ConnectionId(self.connection.info.id),
            self.connection.number
        );
        self.connection.end_for(reason);
        self.cut_off(active);
        Step::Ended
    }

    /// The client must be able to tell that the response is not whole.
    fn cut_off(&mut self, active: &Active) {
        self.end_response();
        let framing = match &active.response {
            Response::Stream { write, .. } | Response::Pipe { write, .. } => Some(write.framing),
            Response::Awaited | Response::Complete => None,
        };
        // Where the end of the connection is the end of the body, only a reset says that it is not the whole body.
        let ending = if framing == Some(OutputFraming::UntilClose) {
            Ending::Abort
        } else {
            Ending::Linger
        };
        self.close_after_output(ending);
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
            let writer = &mut BodyWriter::new(&mut state.output, write, room);
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

/// The connection's own deadline while an exchange lasts.
impl Turn<'_> {
    pub(super) fn exchange_deadline(&self, active: &Active) -> crate::timer::Time {
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
