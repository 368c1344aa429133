//! Answers from other threads.

use super::body::{BodyLength, BodySource};
use super::fields::{FieldError, FieldName, FieldValue, FieldsSeen, write_field};
use super::response::Payload;
use crate::mailbox::{Content, Mailbox};
use bytes::Bytes;
use http::StatusCode;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells an exchange from every other one of its loop; 0 is none.
pub(crate) type ExchangeId = u64;

/// Set when the exchange ended without its deferred answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone(Arc<AtomicBool>);

impl Gone {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The client left, or the server gave it up, before the answer came. Nothing has to be done about it: work that nobody
/// waits for can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client is gone; nothing was sent")
    }
}

impl std::error::Error for Disconnected {}

/// The right to answer one exchange from any thread; see [`Exchange::defer`](crate::Exchange::defer).
///
/// Dropped without an answer, it answers 500.
///
/// ```
/// use stannel::{Disconnected, Responder, StatusCode};
///
/// fn work(responder: Responder) -> Result<(), Disconnected> {
///     responder.respond(StatusCode::OK).header("content-type", "text/plain").send("done")
/// }
/// ```
#[derive(Debug)]
pub struct Responder {
    mailbox: Arc<Mailbox>,
    key: usize,
    id: ExchangeId,
    gone: Gone,
    is_answered: bool,
}

impl Responder {
    pub(crate) fn new(mailbox: Arc<Mailbox>, key: usize, id: ExchangeId, gone: Gone) -> Self {
        Self {
            mailbox,
            key,
            id,
            gone,
            is_answered: false,
        }
    }

    /// Starts the response. Nothing reaches the loop before its body is given.
    pub fn respond(self, status: StatusCode) -> DeferredHead {
        DeferredHead {
            responder: self,
            status,
            fields: Vec::new(),
            seen: FieldsSeen::default(),
            error: None,
        }
    }

    /// Resets the connection: nothing is sent. On a Unix socket it is closed.
    pub fn abort(mut self) {
        let _ = self.post(DeferredResponse::Abort);
    }

    /// Whether the client has left already, so that the work can be spared.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.gone.is_set()
    }

    fn post(&mut self, response: DeferredResponse) -> Result<(), Disconnected> {
        self.is_answered = true;
        if self.gone.is_set() {
            return Err(Disconnected);
        }
        self.mailbox
            .post(self.key, self.id, Content::Response(Box::new(response)));
        Ok(())
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.is_answered {
            let _ = self.post(DeferredResponse::Failed(
                "the responder was dropped without an answer".into(),
            ));
        }
    }
}

/// A response that is put together on another thread; [`Responder::respond`] makes it. What it says of a
/// [`ResponseHead`](crate::ResponseHead) holds here too. Dropped without a body, it answers 500.
///
/// ```
/// use stannel::{BodyLength, Disconnected, ReaderSource, Responder, StatusCode};
///
/// fn work(responder: Responder) -> Result<(), Disconnected> {
///     let answer = vec![b'x'; 1 << 20];
///     let length = BodyLength::Exact(answer.len() as u64);
///     let source = ReaderSource::new(std::io::Cursor::new(answer));
///     responder.respond(StatusCode::OK).header("content-type", "text/plain").stream(length, source)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a response goes out only when its body is given"]
pub struct DeferredHead {
    responder: Responder,
    status: StatusCode,
    fields: Vec<u8>,
    seen: FieldsSeen,
    error: Option<FieldError>,
}

impl DeferredHead {
    /// Adds a field. One that cannot be sent is the handler's error: it is logged and the answer becomes 500.
    pub fn header(mut self, name: impl FieldName, value: impl FieldValue) -> Self {
        if let Err(error) = self.try_header(name, value) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Adds a field, or hands back why it cannot be sent.
    ///
    /// # Errors
    /// When name or value cannot be sent, or the field would frame the message.
    pub fn try_header(&mut self, name: impl FieldName, value: impl FieldValue) -> Result<(), FieldError> {
        write_field(&mut self.fields, &mut self.seen, &name, &value)
    }

    /// Sends the whole body at once.
    ///
    /// # Errors
    /// When the client is known to be gone. Success means handed over: it may still leave before it reads.
    pub fn send(self, body: impl Payload) -> Result<(), Disconnected> {
        self.hand_over(DeferredBody::Whole(body.into_owned()))
    }

    /// Sends a body that is pulled, on the connection's loop, whenever there is room.
    ///
    /// # Errors
    /// When the client is known to be gone.
    pub fn stream(self, length: BodyLength, source: impl BodySource + Send + 'static) -> Result<(), Disconnected> {
        self.hand_over(DeferredBody::Stream(length, Box::new(source)))
    }

    fn hand_over(self, body: DeferredBody) -> Result<(), Disconnected> {
        let Self {
            mut responder,
            status,
            fields,
            seen,
            error,
        } = self;
        responder.post(match error {
            None => DeferredResponse::Head {
                status,
                fields,
                seen,
                body,
            },
            Some(error) => DeferredResponse::Failed(error.to_string()),
        })
    }
}

/// What a [`Responder`] sends to its loop.
pub(crate) enum DeferredResponse {
    Head {
        status: StatusCode,
        fields: Vec<u8>,
        seen: FieldsSeen,
        body: DeferredBody,
    },
    Failed(String),
    Abort,
}

pub(crate) enum DeferredBody {
    Whole(Bytes),
    Stream(BodyLength, Box<dyn BodySource + Send>),
}

/// Wakes one exchange from any thread: its sink, source, pipe or tunnel is asked again.
///
/// Waking an exchange that is over does nothing. Waking again before the loop has heard of it costs next to nothing.
/// [`Exchange::waker`](crate::Exchange::waker) makes it. It is a [`std::task::Wake`] too, for sources that poll futures.
///
/// ```
/// use stannel::{BodyLength, BodySource, BodyWriter, Exchange, Outcome, Progress, Request, StatusCode};
/// use std::sync::mpsc::{Receiver, TryRecvError, channel};
///
/// /// Sends on what another thread finds.
/// struct Lines(Receiver<String>);
///
/// impl BodySource for Lines {
///     fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
///         match self.0.try_recv() {
///             Ok(line) => {
///                 writer.put(line.as_bytes());
///                 Progress::More
///             }
///             Err(TryRecvError::Empty) => Progress::Wait,
///             Err(TryRecvError::Disconnected) => Progress::Done,
///         }
///     }
/// }
///
/// fn search(_request: &Request<'_>, mut exchange: Exchange<'_>) -> Outcome {
///     let waker = exchange.waker();
///     let (sender, receiver) = channel();
///     std::thread::spawn(move || {
///         for line in ["first\n", "second\n"] {
///             if sender.send(line.to_owned()).is_err() {
///                 return; // The client left, and the source with it.
///             }
///             waker.wake();
///         }
///         drop(sender);
///         waker.wake();
///     });
///     exchange.respond(StatusCode::OK).stream(BodyLength::Unknown, Lines(receiver))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Waker {
    bell: Arc<Bell>,
}

/// What the clones of a [`Waker`] share.
#[derive(Debug)]
pub(crate) struct Bell {
    mailbox: Arc<Mailbox>,
    key: usize,
    id: ExchangeId,
    /// Whether a letter is on its way: one is enough, however often it is rung.
    is_rung: AtomicBool,
}

impl Bell {
    /// The loop has the letter; the next ring needs another one.
    pub(crate) fn answered(&self) {
        self.is_rung.store(false, Ordering::Release);
    }
}

impl Waker {
    pub(crate) fn new(mailbox: Arc<Mailbox>, key: usize, id: ExchangeId) -> Self {
        Self {
            bell: Arc::new(Bell {
                mailbox,
                key,
                id,
                is_rung: AtomicBool::new(false),
            }),
        }
    }

    /// Asks again: ends a [`Flow::Pause`](crate::Flow::Pause) or a [`Progress::Wait`](crate::Progress::Wait).
    pub fn wake(&self) {
        if !self.bell.is_rung.swap(true, Ordering::AcqRel) {
            self.bell
                .mailbox
                .post(self.bell.key, self.bell.id, Content::Wake(Arc::clone(&self.bell)));
        }
    }
}

impl std::task::Wake for Waker {
    fn wake(self: Arc<Self>) {
        Self::wake(&self);
    }
}
