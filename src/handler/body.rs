//! Bodies: collected, pushed, pulled and piped.

use super::exchange::{Exchange, Outcome};
use super::fields::{FieldError, FieldName, FieldValue, FieldsSeen, write_field};
use crate::buffer::{FilePart, Output};
use crate::http1::{Rejection, trailers};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::sync::Arc;

/// How the length of a response body is made known (RFC 9112 §6); the default in doubt is [`Exact`](Self::Exact),
/// because it lets the client see progress and costs nothing on the wire.
///
/// ```
/// use stannel::{BodyLength, Exchange, Outcome, ReaderSource, Request, StatusCode};
///
/// fn handle(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     let text = &b"from anything that reads"[..];
///     exchange.respond(StatusCode::OK).stream(BodyLength::Exact(text.len() as u64), ReaderSource::new(text))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Exactly that many bytes will be written: Content-Length. Writing more or fewer cuts the connection off.
    Exact(u64),
    /// Chunked to HTTP/1.1; to HTTP/1.0 the body ends with the connection.
    Unknown,
}

/// What whoever takes a body wants next; see [`BodySink`], [`BodyPipe`] and [`Tunnel`](crate::Tunnel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More.
    Continue,
    /// Nothing until the exchange's [`Waker`](crate::Waker) wakes it. The client is slowed down meanwhile.
    Pause,
    /// Nothing any more: the rest of the body is drained and thrown away. For a tunnel: the end of the connection.
    Stop,
}

/// How far a [`BodySource`], or the end of a [`BodyPipe`], has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more: ask again when there is room.
    More,
    /// Nothing at the moment: ask again when the exchange's [`Waker`](crate::Waker) wakes it.
    Wait,
    /// That was all.
    Done,
    /// There will be no more although there should be: 500 if nothing was sent yet, else the client sees a cut-off body.
    Failed,
}

/// Takes a request body piece by piece, on the worker's event loop: no method may block.
///
/// A piece is what is there: mostly one read of at most 256 KiB, behind a pause up to `max_request_buffer_size`. How the
/// client cut its body into chunks or packets does not show. A sink that panics costs only its own exchange, which is
/// answered with 500.
///
/// ```
/// use stannel::{BodyEnd, BodySink, Exchange, Flow, Outcome, Request, StatusCode};
///
/// #[derive(Default)]
/// struct Count(u64);
///
/// impl BodySink for Count {
///     fn data(&mut self, data: &[u8]) -> Flow {
///         self.0 += data.len() as u64;
///         Flow::Continue
///     }
///     fn finish(self: Box<Self>, _end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
///         exchange.respond(StatusCode::OK).send(self.0.to_string())
///     }
/// }
///
/// fn upload(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     exchange.receive(Count::default())
/// }
/// ```
pub trait BodySink {
    /// The next bytes, never none.
    fn data(&mut self, data: &[u8]) -> Flow;

    /// The body is complete, or [`Flow::Stop`] was answered: now respond.
    fn finish(self: Box<Self>, end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome;

    /// The body will never be complete: malformed, too large or too slow (the engine answers that), or, with `None`,
    /// the client left.
    fn failed(self: Box<Self>, reason: Option<Rejection>) {
        let _ = reason;
    }
}

/// Gives a response body piece by piece, asked only when there is room for it: on the worker's event loop, so it must
/// not block.
///
/// ```
/// use stannel::{BodyLength, BodySource, BodyWriter, Exchange, Outcome, Progress, Request, StatusCode};
///
/// struct Countdown(u32);
///
/// impl BodySource for Countdown {
///     fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
///         writer.put(format!("{}\n", self.0).as_bytes());
///         self.0 = self.0.saturating_sub(1);
///         if self.0 == 0 { Progress::Done } else { Progress::More }
///     }
/// }
///
/// fn countdown(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     exchange.respond(StatusCode::OK).stream(BodyLength::Unknown, Countdown(10))
/// }
/// ```
pub trait BodySource {
    /// Writes some more. There is room for at least [`BodyWriter::room`] bytes; more are accepted, but cost memory.
    ///
    /// [`Progress::More`] without having written anything is asked again at once, and holds up the worker for as long as it
    /// says so: when there is nothing yet, say [`Progress::Wait`] and use a [`Waker`](crate::Waker).
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress;
}

/// Turns a request body into a response body while it comes: an echo, a filter, a proxy.
///
/// ```
/// use stannel::{BodyLength, BodyPipe, BodyWriter, Exchange, Flow, Outcome, Request, StatusCode};
///
/// struct Upper;
///
/// impl BodyPipe for Upper {
///     fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow {
///         writer.put(&data.to_ascii_uppercase());
///         Flow::Continue
///     }
/// }
///
/// fn upper(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     exchange.respond(StatusCode::OK).pipe(BodyLength::Unknown, Upper)
/// }
/// ```
pub trait BodyPipe {
    /// The next bytes, never none; asked only when there is room for output.
    fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow;

    /// The request body is complete, or [`Flow::Stop`] was answered. Called again like [`BodySource::fill`] until it
    /// says [`Progress::Done`].
    fn end(&mut self, end: BodyEnd<'_>, writer: &mut BodyWriter<'_>) -> Progress {
        let _ = (end, writer);
        Progress::Done
    }
}

/// A [`BodySource`] over anything that reads without blocking, such as a file. A read that fails cuts the response off
/// and is logged; [`WouldBlock`](io::ErrorKind::WouldBlock) is a failure too.
///
/// ```no_run
/// use stannel::{BodyLength, Exchange, Outcome, ReaderSource, Request, StatusCode};
/// use std::fs::File;
///
/// fn film(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     let file = File::open("film.mp4").unwrap();
///     let length = file.metadata().unwrap().len();
///     exchange.respond(StatusCode::OK).stream(BodyLength::Exact(length), ReaderSource::new(file))
/// }
/// ```
#[derive(Debug)]
pub struct ReaderSource<R> {
    reader: R,
}

impl<R: Read> ReaderSource<R> {
    /// Sends everything that `reader` gives.
    pub const fn new(reader: R) -> Self {
        Self { reader }
    }
}

impl<R: Read> BodySource for ReaderSource<R> {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        match writer.read_from(&mut self.reader) {
            Ok(0) => Progress::Done,
            Ok(_) => Progress::More,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Progress::More,
            Err(error) => {
                log::error!(target: "stannel", "reading a response body failed: {error}");
                Progress::Failed
            }
        }
    }
}

/// A request body that arrived whole; derefs to its bytes.
///
/// ```
/// use stannel::{Exchange, Outcome, Request, StatusCode};
///
/// fn order(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     exchange.collect(1024, |body, exchange| match std::str::from_utf8(&body) {
///         Ok(text) => exchange.respond(StatusCode::OK).send(text.to_uppercase()),
///         Err(_) => exchange.respond(StatusCode::BAD_REQUEST).send(""),
///     })
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) trailers: Trailers<'a>,
}

impl<'a> Body<'a> {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The fields behind a chunked body.
    #[must_use]
    pub fn trailers(&self) -> Trailers<'a> {
        self.trailers
    }
}

impl Deref for Body<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// How a request body ended for a [`BodySink`] or a [`BodyPipe`].
#[derive(Clone, Copy, Debug)]
pub struct BodyEnd<'a> {
    pub(crate) is_complete: bool,
    pub(crate) trailers: Trailers<'a>,
}

impl<'a> BodyEnd<'a> {
    /// Whether the body was read to its end; not so after [`Flow::Stop`].
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The fields behind a chunked body; none unless it is complete.
    #[must_use]
    pub fn trailers(&self) -> Trailers<'a> {
        self.trailers
    }
}

/// The fields behind a chunked body (RFC 9110 §6.5). They are never merged into those of the head, and share the limits
/// on size and number with them; Content-Length, Transfer-Encoding and Host among them refuse the request.
///
/// ```
/// use stannel::{Exchange, Outcome, Request, StatusCode};
///
/// fn handle(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     exchange.collect(1024, |body, exchange| {
///         let checksum = body.trailers().get("checksum").unwrap_or(b"none");
///         exchange.respond(StatusCode::OK).send(checksum)
///     })
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Trailers<'a> {
    /// Checked field lines, each with its CRLF.
    pub(crate) lines: &'a [u8],
}

impl<'a> Trailers<'a> {
    /// Names as sent (compare them without case), values without the white space around them, in the order in which they
    /// came.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        trailers::fields(self.lines).map(|field| (field.name, field.value))
    }

    /// The first value with that name.
    #[must_use]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        self.iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// What becomes of a collected body.
pub(crate) type CollectThen = Box<dyn FnOnce(Body<'_>, Exchange<'_>) -> Outcome>;

/// How a response body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputFraming {
    Length { remaining: u64 },
    Chunked,
    UntilClose,
}

/// Whether whoever drives a connection can send pieces of files without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    Read,
    Sent,
}

/// One piece of a file that is sent and not read. It costs no memory, but counts as output; larger ones were no faster.
const FILE_PIECE: u64 = 256 << 10;

/// What is known of a response body while it is written.
#[derive(Debug)]
pub(crate) struct WriteState {
    pub(crate) framing: OutputFraming,
    /// Whether any byte of the body was accepted.
    pub(crate) wrote: bool,
    /// Whether a write went beyond the promised length and was refused.
    pub(crate) exceeded: bool,
    trailers: Vec<u8>,
}

impl WriteState {
    pub(crate) fn new(framing: OutputFraming) -> Self {
        Self {
            framing,
            wrote: false,
            exceeded: false,
            trailers: Vec::new(),
        }
    }

    /// Ends the body; false if fewer bytes were written than promised.
    pub(crate) fn finish(&mut self, output: &mut Output) -> bool {
        match self.framing {
            OutputFraming::Length { remaining } => remaining == 0,
            OutputFraming::UntilClose => true,
            OutputFraming::Chunked => {
                output.put(b"0\r\n");
                output.put(&self.trailers);
                output.put(b"\r\n");
                true
            }
        }
    }
}

/// Writes a response body; the framing happens here. [`BodySource`] and [`BodyPipe`] are given one.
///
/// ```
/// use stannel::{BodySource, BodyWriter, Progress};
///
/// struct Sum(u64);
///
/// impl BodySource for Sum {
///     fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
///         writer.put(b"1 2 3\n");
///         self.0 += 6;
///         // Sent behind the body to clients that it comes to in chunks.
///         match writer.trailer("x-sum", self.0.to_string()) {
///             Ok(()) => Progress::Done,
///             Err(_) => Progress::Failed,
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct BodyWriter<'a> {
    output: &'a mut Output,
    state: &'a mut WriteState,
    room: usize,
    files: Files,
}

impl<'a> BodyWriter<'a> {
    pub(crate) fn new(output: &'a mut Output, state: &'a mut WriteState, room: usize, files: Files) -> Self {
        Self {
            output,
            state,
            room,
            files,
        }
    }

    /// How many bytes should be written now, at least 1 at first: what `max_response_buffer_size` leaves (256 KiB where
    /// that is `None`). It shrinks with each write.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Writes these bytes. A write beyond the promised length is refused whole and ends the connection; nothing is
    /// written to a response that has no body, such as one to HEAD.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.begin(bytes.len()) {
            self.output.put(bytes);
            self.end();
        }
    }

    /// Writes bytes that are owned already; from 16 KiB on they are sent from where they lie and not copied.
    pub fn put_bytes(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        if self.begin(bytes.len()) {
            self.output.put_owned(bytes);
            self.end();
        }
    }

    /// Has the system send a piece of a file, at most `count` bytes from `offset` on, without anybody reading them
    /// (sendfile); returns how many those are. 0: the bytes of this connection have to be read, because it speaks TLS or
    /// somebody looks at them, or the body has no framing: then write them otherwise.
    ///
    /// A file that turns out to be shorter than that cuts the connection off. Where bytes lie that are not in memory yet,
    /// the worker waits for the disk, as with reading.
    ///
    /// ```
    /// use stannel::{BodySource, BodyWriter, Progress};
    /// use std::fs::File;
    /// use std::os::unix::fs::FileExt;
    /// use std::sync::Arc;
    ///
    /// struct Film {
    ///     file: Arc<File>,
    ///     offset: u64,
    ///     left: u64,
    /// }
    ///
    /// impl BodySource for Film {
    ///     fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
    ///         let mut count = writer.put_file(&self.file, self.offset, self.left);
    ///         if count == 0 {
    ///             let mut bytes = vec![0; writer.room().min(self.left as usize)];
    ///             if self.file.read_exact_at(&mut bytes, self.offset).is_err() {
    ///                 return Progress::Failed;
    ///             }
    ///             count = bytes.len() as u64;
    ///             writer.put_bytes(bytes);
    ///         }
    ///         self.offset += count;
    ///         self.left -= count;
    ///         if self.left == 0 { Progress::Done } else { Progress::More }
    ///     }
    /// }
    /// ```
    pub fn put_file(&mut self, file: &Arc<File>, offset: u64, count: u64) -> u64 {
        // Where the end of the connection is the end of the body, a file that became shorter would go unnoticed.
        if self.files == Files::Read || self.state.framing == OutputFraming::UntilClose {
            return 0;
        }
        let count = count.min(FILE_PIECE);
        let Ok(left) = usize::try_from(count) else { return 0 };
        if self.begin(left) {
            self.output.put_file(FilePart {
                file: Arc::clone(file),
                offset,
                left,
            });
            self.end();
        }
        count
    }

    /// Writes what one read gives, at most [`room`](Self::room) bytes and never beyond the promised length; returns
    /// how many, 0 at the end of the reader.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn read_from(&mut self, reader: &mut impl Read) -> io::Result<usize> {
        let mut most = self.room.max(1);
        if let OutputFraming::Length { remaining } = self.state.framing {
            most = usize::try_from(remaining).unwrap_or(usize::MAX).min(most);
        }
        let linear = self.output.linear();
        let start = linear.len();
        let is_chunked = self.state.framing == OutputFraming::Chunked;
        if is_chunked {
            // The size is not known yet: leave the room that the largest one needs.
            write_chunk_size(linear, most);
        }
        let data = linear.len();
        linear.reserve(most + 2);
        // Zeros cost less than asking four times, which is how often `read_to_end` asks for as much.
        linear.resize(data + most, 0);
        let result = reader.read(&mut linear[data..]);
        let count = result.as_ref().map_or(0, |&count| count.min(most));
        linear.truncate(data + count);
        if count == 0 {
            linear.truncate(start);
        } else {
            if is_chunked {
                if count < most {
                    let mut size = Vec::with_capacity(16);
                    write_chunk_size(&mut size, count);
                    linear.splice(start..data, size);
                }
                linear.extend_from_slice(b"\r\n");
            }
            self.account(count);
        }
        result.map(|_| count)
    }

    /// Adds a field behind a chunked body; other framings have no place for it and drop it.
    ///
    /// # Errors
    /// When name or value cannot be sent, or the field would frame the message.
    pub fn trailer(&mut self, name: impl FieldName, value: impl FieldValue) -> Result<(), FieldError> {
        let mut seen = FieldsSeen::default();
        write_field(&mut self.state.trailers, &mut seen, &name, &value)
    }

    /// Whether a write of that many bytes may happen; writes what frames it.
    fn begin(&mut self, count: usize) -> bool {
        if count == 0 || self.state.exceeded {
            return false;
        }
        match self.state.framing {
            OutputFraming::Length { remaining } if count as u64 > remaining => {
                self.state.exceeded = true;
                return false;
            }
            OutputFraming::Chunked => write_chunk_size(self.output.linear(), count),
            OutputFraming::Length { .. } | OutputFraming::UntilClose => {}
        }
        self.account(count);
        true
    }

    fn account(&mut self, count: usize) {
        self.state.wrote = true;
        self.room = self.room.saturating_sub(count);
        if let OutputFraming::Length { remaining } = &mut self.state.framing {
            *remaining = remaining.saturating_sub(count as u64);
        }
    }

    fn end(&mut self) {
        if self.state.framing == OutputFraming::Chunked {
            self.output.put(b"\r\n");
        }
    }
}

/// Lower-case hexadecimal without leading zeros, and CRLF.
fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    out.extend(
        (0..digits)
            .rev()
            .map(|place| b"0123456789abcdef"[(size >> (place * 4)) & 15]),
    );
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::{BodyWriter, Files, OutputFraming, WriteState};
    use crate::buffer::Output;

    fn written(framing: OutputFraming, write: impl FnOnce(&mut BodyWriter<'_>)) -> (String, bool) {
        let mut output = Output::default();
        let mut state = WriteState::new(framing);
        write(&mut BodyWriter::new(&mut output, &mut state, 100, Files::Read));
        let is_whole = state.finish(&mut output);
        let mut bytes = Vec::new();
        output.copy_to(&mut bytes);
        (String::from_utf8(bytes).unwrap(), is_whole)
    }

    #[test]
    fn chunks_carry_their_size_and_nothing_makes_none() {
        let (bytes, _) = written(OutputFraming::Chunked, |writer| {
            writer.put(b"");
            writer.put(b"hello");
            writer.put_bytes(vec![b'x'; 17]);
            assert_eq!(writer.read_from(&mut &b"read"[..]).unwrap(), 4);
            assert_eq!(writer.read_from(&mut &b""[..]).unwrap(), 0);
            writer.trailer("x-sum", "1").unwrap();
            assert!(writer.trailer("x-sum", "1\r\n").is_err());
        });
        assert_eq!(
            bytes,
            "5\r\nhello\r\n11\r\nxxxxxxxxxxxxxxxxx\r\n4\r\nread\r\n0\r\nx-sum: 1\r\n\r\n"
        );
    }

    #[test]
    fn a_write_beyond_the_promise_is_refused_whole() {
        let (bytes, is_whole) = written(OutputFraming::Length { remaining: 5 }, |writer| {
            writer.put(b"hello");
            writer.put(b", world");
        });
        assert_eq!((bytes.as_str(), is_whole), ("hello", true));
        let (bytes, is_whole) = written(OutputFraming::Length { remaining: 12 }, |writer| writer.put(b"hello"));
        assert_eq!((bytes.as_str(), is_whole), ("hello", false));
    }
}
