//! From received bytes to the handler: empty lines, the head, its checks, the call.

use super::engine::{Answering, Known, Parts};
use super::{Connection, Ending, Engine, NEVER, Turn};
use crate::event::CloseReason;
use crate::handler::{Exchange, ExchangeState, Handler, Headers, Reply, Request};
use crate::http1::framing::examine;
use crate::http1::head::{self, FIELD_SLOTS, FieldSlot, Quick, RawHead, Scan};
use crate::http1::host::Host;
use crate::http1::section::FieldLines;
use crate::http1::target::Target;
use crate::http1::{Rejection, RequestFacts};
use http::Method;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// RFC 9112 §2.2 wants a server to skip at least one.
const MAX_EMPTY_LINES: u8 = 16;

/// What the input held.
enum Head {
    /// No whole head yet; whether its first byte is there.
    Incomplete {
        started: bool,
    },
    Rejected(Rejection),
    /// The handler was called; the head had so many bytes, its field lines so many, in so many fields.
    Handled(HeadSize),
}

/// What of the budgets of the header section is used up; trailers go on counting.
#[derive(Clone, Copy)]
pub(super) struct HeadSize {
    pub(super) len: usize,
    pub(super) fields_size: usize,
    pub(super) fields: usize,
}

impl Turn<'_> {
    /// Takes the next request from the input, if it is there whole. Returns whether there may be more to do.
    pub(super) fn next_request(&mut self) -> bool {
        if self.output_is_full() {
            // While the client does not take its responses, it gets no further ones: no timer but theirs runs.
            self.connection.timer = NEVER;
            self.connection.has_more = true;
            return false;
        }
        if self.connection.timer == NEVER {
            self.arm_keep_alive();
        }
        if let Err(rejection) = self.skip_empty_lines() {
            self.reject_head(rejection);
            return false;
        }
        if self.engine.input.is_empty() {
            return self.idle();
        }
        self.connection.number = self.connection.number.wrapping_add(1);
        let head = take_head(self.connection, self.engine);
        if !matches!(head, Head::Handled(_)) {
            self.connection.number = self.connection.number.wrapping_sub(1);
        }
        match head {
            Head::Handled(size) => {
                self.engine.counters(self.connection.endpoint).requests.add(1);
                self.engine.input.consume(size.len + self.engine.state.body_consumed);
                self.begin_exchange(size)
            }
            Head::Incomplete { started } => {
                if self.connection.ended {
                    // RFC 9112 §8: an incomplete request; nobody is left to read an answer.
                    let reason = if started {
                        CloseReason::EndInsideHead
                    } else {
                        CloseReason::ClientClosed
                    };
                    self.end_now(reason, Ending::Plain);
                } else if started && !self.connection.head_started {
                    self.connection.head_started = true;
                    let timeout = self.engine.state.limits.request_headers_timeout;
                    self.connection.timer = timeout.map_or(NEVER, |timeout| self.engine.now() + timeout);
                }
                false
            }
            Head::Rejected(rejection) => {
                self.reject_head(rejection);
                false
            }
        }
    }

    fn idle(&mut self) -> bool {
        if self.connection.ended {
            self.end_now(CloseReason::ClientClosed, Ending::Plain);
        } else if self.engine.drains || (self.connection.is_retired && self.connection.number > 0) {
            self.stop_idle();
        }
        false
    }

    /// RFC 9112 §2.2: empty lines before a request line are skipped, up to a bound. They start no timer.
    #[inline]
    fn skip_empty_lines(&mut self) -> Result<(), Rejection> {
        loop {
            match self.engine.input.pending() {
                [b'\r', b'\n', ..] => {
                    if self.connection.empty_lines == MAX_EMPTY_LINES {
                        return Err(Rejection::InvalidRequestLine);
                    }
                    self.connection.empty_lines += 1;
                    self.engine.input.consume(2);
                }
                [b'\r', _, ..] | [b'\n', ..] => return Err(Rejection::InvalidRequestLine),
                // The first byte of a TLS record: no request line will ever follow.
                [0x16, ..] => return Err(Rejection::TlsOverHttpError),
                _ => return Ok(()),
            }
        }
    }
}

/// Reads the head and shows the request to the handler, whose decision is in `engine.state.reply` afterwards.
fn take_head(connection: &mut Connection, engine: &mut Engine) -> Head {
    let (mut parts, known) = engine.split();
    let bytes = parts.input.pending();
    if bytes == b"\r" {
        return Head::Incomplete { started: false };
    }
    if parts.scan.has_begun() {
        return take_scanned_head(connection, &mut parts, bytes);
    }
    let section = FieldLines::Known(&known.section);
    if known.request.begins(bytes, section.len(), parts.head_limits) {
        let request = &known.request;
        let size = HeadSize {
            len: request.len(),
            fields_size: request.fields_size(),
            fields: section.len(),
        };
        let meaning = Meaning {
            method: request.method(),
            target: &request.target(),
            headers: Headers::new(section),
            host: &Some(request.host()),
            facts: request.facts(),
        };
        show(connection, &mut parts.answering, &meaning, &bytes[size.len..]);
        known.request.was_met();
        return Head::Handled(size);
    }
    take_other_head(connection, &mut parts, known, bytes)
}

/// The same for a head that is not known whole.
#[inline(never)]
fn take_other_head(connection: &mut Connection, parts: &mut Parts<'_>, known: &mut Known, bytes: &[u8]) -> Head {
    if let Some(raw) = head::parse_known(bytes, &known.section, parts.head_limits) {
        let head = check_and_show(connection, parts, bytes, &raw);
        if matches!(head, Head::Handled(_)) {
            known.request.met_other(bytes, &raw);
        }
        known.section.was_met();
        return head;
    }
    take_new_head(connection, parts, known, bytes)
}

/// The same for a head whose header section is not the known one.
#[inline(never)]
fn take_new_head(connection: &mut Connection, parts: &mut Parts<'_>, known: &mut Known, bytes: &[u8]) -> Head {
    let mut slots: [FieldSlot<'_>; FIELD_SLOTS] = [const { MaybeUninit::uninit() }; FIELD_SLOTS];
    let Quick::Complete(raw) = head::parse(bytes, &mut slots, parts.head_limits) else {
        return take_scanned_head(connection, parts, bytes);
    };
    let head = check_and_show(connection, parts, bytes, &raw);
    if let (Head::Handled(_), FieldLines::Read(fields)) = (&head, raw.fields)
        && known
            .section
            .met_other(&bytes[raw.len - raw.fields_size - 2..raw.len], fields)
    {
        known.request.forget();
    }
    head
}

/// The same for a head that came in pieces, has many fields, or is wrong: the exact reader tells.
#[inline(never)]
fn take_scanned_head(connection: &mut Connection, parts: &mut Parts<'_>, bytes: &[u8]) -> Head {
    match parts.scan.advance(bytes, parts.head_limits, parts.scratch) {
        Ok(None) => return Head::Incomplete { started: true },
        Ok(Some(_)) => {}
        Err(rejection) => return Head::Rejected(rejection),
    }
    *parts.scan = Scan::default();
    let mut few: [FieldSlot<'_>; FIELD_SLOTS] = [const { MaybeUninit::uninit() }; FIELD_SLOTS];
    let mut many = Vec::new();
    let slots = if parts.head_limits.fields > FIELD_SLOTS {
        many.resize_with(parts.head_limits.fields, MaybeUninit::uninit);
        &mut many[..]
    } else {
        &mut few[..]
    };
    match head::parse(bytes, slots, parts.head_limits) {
        Quick::Complete(raw) => check_and_show(connection, parts, bytes, &raw),
        // The readers disagree: refuse what one of them did not understand.
        Quick::Incomplete | Quick::Unclear => Head::Rejected(Rejection::InvalidRequestHeader),
    }
}

#[inline(always)]
fn check_and_show(connection: &mut Connection, parts: &mut Parts<'_>, bytes: &[u8], raw: &RawHead<'_>) -> Head {
    match try_show(connection, parts, bytes, raw) {
        Ok(()) => Head::Handled(HeadSize {
            len: raw.len,
            fields_size: raw.fields_size,
            fields: raw.fields.len(),
        }),
        Err(rejection) => Head::Rejected(rejection),
    }
}

#[inline(always)]
fn try_show(
    connection: &mut Connection,
    parts: &mut Parts<'_>,
    bytes: &[u8],
    raw: &RawHead<'_>,
) -> Result<(), Rejection> {
    let extension;
    let method = match known_method(raw.method) {
        Some(method) => method,
        None => {
            extension = Method::from_bytes(raw.method.as_bytes()).map_err(|_| Rejection::InvalidRequestLine)?;
            &extension
        }
    };
    let mut target = Target::default();
    target.read(raw.target, raw.method, parts.scratch)?;
    let mut facts = RequestFacts::default();
    let host = examine(
        raw.method,
        raw.is_http11,
        &target,
        &raw.fields.seen(),
        parts.known_host,
        &mut facts,
    )?;
    let meaning = Meaning {
        method,
        target: &target,
        headers: Headers::new(raw.fields),
        host: &host,
        facts,
    };
    show(connection, &mut parts.answering, &meaning, &bytes[raw.len..]);
    Ok(())
}

/// A head, understood.
struct Meaning<'a> {
    method: &'a Method,
    target: &'a Target<'a>,
    headers: Headers<'a>,
    host: &'a Option<Host<'a>>,
    facts: RequestFacts,
}

/// Shows the request to the handler.
#[inline(always)]
fn show(connection: &mut Connection, answering: &mut Answering<'_>, meaning: &Meaning<'_>, ahead: &[u8]) {
    connection.response_rate = None;
    let state = &mut *answering.state;
    state.begin(meaning.facts);
    let request = Request {
        method: meaning.method,
        target: meaning.target,
        headers: meaning.headers,
        host: meaning.host,
        facts: &meaning.facts,
        connection: &connection.info,
        forwarded: None,
        number: connection.number,
    };
    answering.watch.tell(|observer| observer.request(&request));
    let Some(handler) = Engine::handler(answering.handler, answering.factory) else {
        state.fail(&"it cannot be made anew after a panic");
        return;
    };
    if !call(handler.as_mut(), &request, state, ahead) {
        *answering.handler = None;
        answering.state.handler_panicked();
    }
}

/// The methods of RFC 9110 and PATCH, without moving a [`Method`] about: one is larger than a reference by far.
#[inline]
fn known_method(name: &str) -> Option<&'static Method> {
    Some(match name {
        "GET" => const { &Method::GET },
        "HEAD" => const { &Method::HEAD },
        "POST" => const { &Method::POST },
        "PUT" => const { &Method::PUT },
        "DELETE" => const { &Method::DELETE },
        "OPTIONS" => const { &Method::OPTIONS },
        "PATCH" => const { &Method::PATCH },
        "CONNECT" => const { &Method::CONNECT },
        "TRACE" => const { &Method::TRACE },
        _ => return None,
    })
}

/// Returns whether the handler came back.
#[inline]
fn call(handler: &mut dyn Handler, request: &Request<'_>, state: &mut ExchangeState, ahead: &[u8]) -> bool {
    let call = AssertUnwindSafe(|| {
        let _outcome = handler.handle(request, Exchange { state, ahead });
    });
    catch_unwind(call).is_ok()
}

impl ExchangeState {
    /// Nothing that the handler had begun counts; the answer is 500.
    pub(super) fn handler_panicked(&mut self) {
        self.body_consumed = 0;
        self.reply = Reply::Open;
        // It may have handed out a responder before.
        if let Some(gone) = self.current.gone.take() {
            gone.set();
        }
        self.fail(&"it panicked");
    }
}
