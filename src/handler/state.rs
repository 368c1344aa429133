//! What an exchange writes on: the turn's output, the facts of the request, and what the handler decided.

use super::body::{BodyLength, BodyPipe, BodySink, BodySource, CollectThen, OutputFraming};
use super::defer::{ExchangeId, Gone, Responder, Waker};
use super::fields::{FieldsSeen, write_line};
use super::response::Payload;
use super::tunnel::Tunnel;
use crate::buffer::{Mark, Output};
use crate::endpoint::{Limits, MinDataRate};
use crate::http1::field::is_field_value;
use crate::http1::{CommonFields, Framing, Rejection, RequestFacts, chunked, encode};
use crate::mailbox::Mailbox;
use crate::places::{Place, Places};
use http::StatusCode;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// What a handler decided.
pub(crate) enum Reply {
    /// Nothing yet.
    Open,
    /// The whole response lies in the output.
    Complete,
    Stream {
        framing: OutputFraming,
        source: Box<dyn BodySource>,
    },
    Pipe {
        framing: OutputFraming,
        pipe: Box<dyn BodyPipe>,
    },
    Collect {
        limit: usize,
        then: CollectThen,
    },
    Receive(Box<dyn BodySink>),
    Deferred,
    Tunnel {
        tunnel: Box<dyn Tunnel>,
        place: Place,
    },
    Rejected(Rejection),
    Abort,
}

/// What became of the handler's wish for the request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenBody {
    /// There is none.
    None,
    Comes,
    /// It is answered with 413.
    TooLarge,
}

/// Limits that a handler changed for one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overrides {
    pub(crate) max_body: Option<u64>,
    pub(crate) request_rate: Option<MinDataRate>,
    pub(crate) body_stall: Option<Duration>,
    pub(crate) response_rate: Option<MinDataRate>,
}

impl From<&Limits> for Overrides {
    fn from(limits: &Limits) -> Self {
        Self {
            max_body: limits.max_request_body_size,
            request_rate: limits.min_request_body_data_rate,
            body_stall: limits.request_body_stall_timeout,
            response_rate: limits.min_response_data_rate,
        }
    }
}

/// One per loop, lent to one exchange at a time.
pub(crate) struct ExchangeState {
    pub(crate) limits: Arc<Limits>,
    pub(crate) common: CommonFields,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) upgraded: Places,
    /// The current connection's output, for the length of its turn.
    pub(crate) output: Output,
    /// The current connection's key in the loop.
    pub(crate) key: usize,
    /// Whether the server stops, so that every connection ends with the exchange it is at.
    pub(crate) is_stopping: bool,
    last_id: ExchangeId,
    /// How much of the output has been given its time; what is more was written since.
    pub(crate) counted: usize,
    /// What the handler decided in this call.
    pub(crate) reply: Reply,
    pub(crate) fields_seen: FieldsSeen,
    /// Body bytes that the exchange consumed by itself.
    pub(crate) body_consumed: usize,
    /// The exchange at hand.
    pub(crate) current: Current,
}

/// What belongs to one exchange for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) facts: RequestFacts,
    /// Its name for letters; 0 until one is needed.
    pub(crate) id: ExchangeId,
    /// The status of the response, once its head is complete.
    pub(crate) status: Option<StatusCode>,
    /// Where the response begins in the output; known only within the turn in which it was begun.
    pub(crate) head_start: Option<Mark>,
    /// Whether the connection ends with this exchange.
    pub(crate) close: bool,
    /// Whether the handler has asked for the body.
    pub(crate) body_taken: bool,
    /// Whether any byte of the body has come, or 100 was sent for it.
    pub(crate) body_begun: bool,
    pub(crate) overrides: Option<Box<Overrides>>,
    /// What Strict-Transport-Security is to say, unless the handler says it.
    pub(crate) transport_security: Option<Arc<str>>,
    pub(crate) gone: Option<Gone>,
}

impl Current {
    pub(crate) fn new(facts: RequestFacts, head_start: Option<Mark>, close: bool) -> Self {
        Self {
            facts,
            id: 0,
            status: None,
            head_start,
            close,
            body_taken: false,
            body_begun: false,
            overrides: None,
            transport_security: None,
            gone: None,
        }
    }
}

/// What a status and a request leave of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyRule {
    /// A body may follow.
    Free,
    /// The length is told, the body is not sent: HEAD and 304.
    LengthOnly,
    /// No framing field at all: 204 and 2xx to CONNECT.
    None,
    /// `Content-Length: 0`: 205.
    Empty,
}

impl ExchangeState {
    pub(crate) fn new(limits: Arc<Limits>, common: CommonFields, mailbox: Arc<Mailbox>, upgraded: Places) -> Self {
        let output = Output::default();
        Self {
            limits,
            common,
            mailbox,
            upgraded,
            current: Current::new(RequestFacts::default(), None, false),
            output,
            key: 0,
            is_stopping: false,
            last_id: 0,
            counted: 0,
            reply: Reply::Open,
            fields_seen: FieldsSeen::default(),
            body_consumed: 0,
        }
    }

    /// Makes ready for the next request; nothing of the one before it is left.
    #[inline]
    pub(crate) fn begin(&mut self, facts: RequestFacts) {
        self.current = Current::new(facts, Some(self.output.mark()), !facts.keeps_alive());
        debug_assert!(
            matches!(self.reply, Reply::Open),
            "each decision is taken out when it was made"
        );
        self.body_consumed = 0;
    }

    // ---- names for letters

    fn exchange_id(&mut self) -> ExchangeId {
        if self.current.id == 0 {
            self.last_id += 1;
            self.current.id = self.last_id;
        }
        self.current.id
    }

    pub(crate) fn responder(&mut self) -> Responder {
        let id = self.exchange_id();
        let gone = Gone::default();
        self.current.gone = Some(gone.clone());
        Responder::new(Arc::clone(&self.mailbox), self.key, id, gone)
    }

    pub(crate) fn waker(&mut self) -> Waker {
        let id = self.exchange_id();
        Waker::new(Arc::clone(&self.mailbox), self.key, id)
    }

    // ---- limits in force

    pub(crate) fn overrides(&mut self) -> &mut Overrides {
        let limits = &self.limits;
        self.current
            .overrides
            .get_or_insert_with(|| Box::new(Overrides::from(&**limits)))
    }

    pub(crate) fn max_body(&self) -> Option<u64> {
        self.current
            .overrides
            .as_ref()
            .map_or(self.limits.max_request_body_size, |overrides| overrides.max_body)
    }

    // ---- the request's body

    /// The handler asks for the body. `ahead` is what has come behind the head.
    pub(crate) fn take_body(&mut self, ahead: &[u8], limit: u64) -> TakenBody {
        if self.current.body_taken {
            return TakenBody::None;
        }
        self.current.body_taken = true;
        match self.current.facts.framing {
            Framing::None | Framing::Length(0) => return TakenBody::None,
            Framing::Length(length) if length > self.max_body().unwrap_or(u64::MAX).min(limit) => {
                // RFC 9110 §10.1.1: a 413 that is due is not preceded by a 100.
                self.reply = Reply::Rejected(Rejection::RequestBodyTooLarge);
                return TakenBody::TooLarge;
            }
            Framing::Length(_) | Framing::Chunked => {}
        }
        if self.current.facts.expects_continue() && ahead.is_empty() && !self.current.body_begun {
            // The head of the final response may have been begun: 100 goes before it.
            let start = self.current.head_start.unwrap_or(self.output.mark());
            self.current.head_start = Some(self.output.insert(start, encode::CONTINUE));
            self.current.body_begun = true;
        }
        TakenBody::Comes
    }

    /// The content of a body that has come whole, if it lies in one piece and is within the limits, and how much of the
    /// input it takes.
    pub(crate) fn body_in_one_piece<'i>(&self, ahead: &'i [u8], limit: usize) -> Option<(&'i [u8], usize)> {
        match self.current.facts.framing {
            Framing::None => None,
            Framing::Length(length) => {
                let length = usize::try_from(length).ok()?;
                Some((ahead.get(..length)?, length))
            }
            Framing::Chunked => {
                chunked::in_one_piece(ahead, self.max_body()).filter(|(content, _)| content.len() <= limit)
            }
        }
    }

    /// Whether the exchange has consumed the body by itself, or there is none.
    #[inline]
    pub(crate) fn body_is_consumed(&self) -> bool {
        match self.current.facts.framing {
            Framing::None => true,
            Framing::Length(length) => length == self.body_consumed as u64,
            // It is consumed whole or not at all, and not even an empty one takes no bytes.
            Framing::Chunked => self.body_consumed > 0,
        }
    }

    /// Whether the body is certain to be unreadable, so that the connection cannot go on behind this response.
    pub(crate) fn body_forbids_reuse(&self) -> bool {
        if self.current.body_taken {
            return false;
        }
        match self.current.facts.framing {
            Framing::None | Framing::Length(0) => false,
            Framing::Length(length) if self.max_body().is_some_and(|most| length > most) => true,
            // RFC 9110 §10.1.1: whether the client will still send the body is unknowable.
            Framing::Length(_) | Framing::Chunked => self.current.facts.expects_continue() && !self.current.body_begun,
        }
    }

    // ---- the response

    #[inline]
    pub(crate) fn begin_head(&mut self, status: StatusCode, reason: Option<&str>) -> Result<(), super::FieldError> {
        self.fields_seen = FieldsSeen::default();
        self.current.head_start = Some(self.output.mark());
        encode::status_line(
            self.output.linear(),
            status,
            reason.filter(|reason| is_field_value(reason.as_bytes())),
        );
        match reason {
            Some(reason) if !is_field_value(reason.as_bytes()) => Err(super::FieldError::Value),
            _ => Ok(()),
        }
    }

    /// Ends the head and sends a body that is here whole.
    #[inline]
    pub(crate) fn complete(&mut self, status: StatusCode, body: impl Payload) {
        let length = body.bytes().len();
        if status.as_u16() == 200 && !self.current.facts.is_head() && !self.current.facts.is_connect() {
            self.end_head(status, HeadLength::Exact(length as u64));
            self.put_body(body);
            self.decide_complete();
            return;
        }
        let framing = match self.body_rule(status) {
            Err(error) => return self.fail(&error),
            Ok(BodyRule::Free) => HeadLength::Exact(length as u64),
            Ok(BodyRule::LengthOnly) if length == 0 => HeadLength::None,
            Ok(BodyRule::LengthOnly) if self.current.facts.is_head() => HeadLength::Exact(length as u64),
            Ok(_) if length > 0 => return self.fail(&BODY_FORBIDDEN),
            Ok(BodyRule::Empty) => HeadLength::Exact(0),
            Ok(BodyRule::None | BodyRule::LengthOnly) => HeadLength::None,
        };
        let is_sent = !self.current.facts.is_head() && length > 0;
        if self.current.facts.is_head() && length > 0 {
            log::debug!(target: "stannel", "18 {length} bytes of a body were left out of the response to a HEAD request");
        }
        self.end_head(status, framing);
        if is_sent {
            self.put_body(body);
        }
        self.reply = Reply::Complete;
    }

    /// Nearly every decision is this one, made where none was: then nothing has to be dropped, which the compiler cannot
    /// know.
    #[inline]
    fn decide_complete(&mut self) {
        if matches!(self.reply, Reply::Open) {
            std::mem::forget(std::mem::replace(&mut self.reply, Reply::Complete));
        } else {
            self.reply = Reply::Complete;
        }
    }

    /// Takes the decision out, if it is that the response is complete. Returns whether it was.
    #[inline]
    pub(crate) fn take_complete(&mut self) -> bool {
        let is_complete = matches!(self.reply, Reply::Complete);
        if is_complete {
            std::mem::forget(std::mem::replace(&mut self.reply, Reply::Open));
        }
        is_complete
    }

    #[inline]
    fn put_body(&mut self, body: impl Payload) {
        fn put<P: Payload>(output: &mut Output, body: P) {
            if P::IS_OWNED {
                output.put_owned(body.into_owned());
            } else {
                output.put(body.bytes());
            }
        }
        put(&mut self.output, body);
    }

    /// Ends the head of a response whose body will be written piece by piece; `None` if there is nothing to write,
    /// because the response is complete or failed.
    pub(crate) fn open_body(&mut self, status: StatusCode, length: BodyLength) -> Option<OutputFraming> {
        use super::body::BodyLength::{Exact, Unknown};
        let rule = match self.body_rule(status) {
            Ok(rule) => rule,
            Err(error) => {
                self.fail(&error);
                return None;
            }
        };
        let (head, framing) = match (rule, length) {
            (BodyRule::Free, Exact(length)) => (
                HeadLength::Exact(length),
                Some(OutputFraming::Length { remaining: length }),
            ),
            (BodyRule::Free, Unknown) if self.current.facts.is_http11() => {
                (HeadLength::Chunked, Some(OutputFraming::Chunked))
            }
            (BodyRule::Free, Unknown) => (HeadLength::UntilClose, Some(OutputFraming::UntilClose)),
            (BodyRule::LengthOnly, Exact(length)) => (HeadLength::Exact(length), None),
            (BodyRule::Empty, Exact(0)) => (HeadLength::Exact(0), None),
            (BodyRule::None, Exact(0)) | (BodyRule::LengthOnly, Unknown) => (HeadLength::None, None),
            (BodyRule::None | BodyRule::Empty, _) => {
                self.fail(&BODY_FORBIDDEN);
                return None;
            }
        };
        self.end_head(status, head);
        self.reply = Reply::Complete;
        framing
    }

    fn body_rule(&self, status: StatusCode) -> Result<BodyRule, &'static str> {
        Ok(match status.as_u16() {
            100..=199 => return Err("a 1xx status is no final response; answer with 2xx to 5xx"),
            204 => BodyRule::None,
            _ if status.is_success() && self.current.facts.is_connect() => BodyRule::None,
            _ if self.current.facts.is_head() => BodyRule::LengthOnly,
            205 => BodyRule::Empty,
            304 => BodyRule::LengthOnly,
            _ => BodyRule::Free,
        })
    }

    /// Strict-Transport-Security, where it is wanted and the handler has not set it: browsers heed the first alone
    /// (RFC 6797 §8.1), and two of them are forbidden (§7.1).
    #[inline]
    pub(crate) fn put_transport_security(&mut self) {
        if let Some(value) = &self.current.transport_security
            && !self.fields_seen.transport_security
        {
            write_line(self.output.linear(), b"Strict-Transport-Security", value.as_bytes());
        }
    }

    /// Strict-Transport-Security, Date, Server, Connection, the framing field and the empty line.
    #[inline]
    pub(crate) fn end_head(&mut self, status: StatusCode, length: HeadLength) {
        let seen = self.fields_seen;
        self.current.close |= self.is_stopping
            || length == HeadLength::UntilClose
            || seen.connection_close
            || (seen.connection && !self.current.facts.is_http11() && !seen.connection_keep_alive)
            || self.body_forbids_reuse();
        self.current.status = Some(status);
        self.put_transport_security();
        let out = self.output.linear();
        if self.current.close {
            if !seen.connection_close {
                out.extend_from_slice(b"Connection: close\r\n");
            }
        } else if !self.current.facts.is_http11() && !seen.connection {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        if let HeadLength::Exact(length) = length
            && !seen.server
            && !seen.date
        {
            self.common.put_with_length(out, length);
            return;
        }
        self.common.put(out, seen.server, seen.date);
        match length {
            HeadLength::Exact(length) => encode::content_length(out, length),
            HeadLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
            HeadLength::None | HeadLength::UntilClose => encode::end_of_head(out),
        }
    }

    /// The handler failed before anything of its response was sent: 500 instead.
    pub(crate) fn fail(&mut self, why: &dyn Display) {
        self.put_failure(why);
        self.reply = Reply::Complete;
    }

    /// The same where the handler's decision has been taken out already.
    pub(crate) fn put_failure(&mut self, why: &dyn Display) {
        log::error!(
            target: "stannel",
            "13 handler failed: {why}; answered 500"
        );
        self.put_error(StatusCode::INTERNAL_SERVER_ERROR);
    }

    /// Replaces what was begun of a response by an empty one with that status.
    pub(crate) fn put_error(&mut self, status: StatusCode) {
        if let Some(mark) = self.current.head_start {
            self.output.rewind(mark);
        }
        self.fields_seen = FieldsSeen::default();
        encode::status_line(self.output.linear(), status, None);
        self.end_head(status, HeadLength::Exact(0));
    }
}

const BODY_FORBIDDEN: &str = "the status allows no body; send an empty one";

/// How a head says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadLength {
    /// It does not.
    None,
    Exact(u64),
    Chunked,
    UntilClose,
}
