//! The response of an exchange: what was decided, how it is written, and how it fails.

use super::active::{Active, Consumer, PipeEnd, Response};
use super::exchange::Step;
use super::{Ending, Turn};
use crate::event::CloseReason;
use crate::handler::{BodyEnd, BodyWriter, Files, OutputFraming, Progress, Reply, Trailers, WriteState};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Turn<'_> {
    /// Carries out a decision.
    pub(super) fn apply(&mut self, active: &mut Active, reply: Reply) -> Step {
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
    pub(super) fn fill(&mut self, active: &mut Active) -> Step {
        let room = self.room();
        let lines = active.body.trailers();
        let before = self.engine.state.output.len();
        let output = &mut self.engine.state.output;
        let (progress, write) = match &mut active.response {
            Response::Stream { source, write, .. } => {
                let writer = &mut BodyWriter::new(output, write, room, self.connection.files);
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
                let writer = &mut BodyWriter::new(output, write, room, Files::Read);
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

    pub(super) fn work_panicked(&mut self, active: &mut Active) -> Step {
        self.response_failed(active, CloseReason::ErrorAfterStartingResponse)
    }

    /// The response cannot be completed: 500 if nothing of it was sent, else it is cut off.
    pub(super) fn response_failed(&mut self, active: &mut Active, reason: CloseReason) -> Step {
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
    pub(super) fn cut_off(&mut self, active: &Active) {
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
}
