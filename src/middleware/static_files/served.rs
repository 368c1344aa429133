//! A file on its way to a client, in one of its forms.

use super::conditional::{Validators, Verdict};
use super::content_type::content_type;
use super::file_source::FileSource;
use super::precompressed::Coding;
use super::range::{self, Selection};
use crate::handler::{BodyLength, Exchange, Outcome, Request, ResponseHead};
use crate::middleware::say;
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE, VARY};
use http::{Method, StatusCode};
use std::fs::{self, File};

/// A file that was opened to be sent.
pub(super) struct Served<'a> {
    file: File,
    metadata: fs::Metadata,
    /// The name it was asked for by, wherever a link leads and however it is compressed: it tells the type.
    name: &'a str,
    coding: Option<Coding>,
    varies: Varies,
}

/// Whether another request would get another form of the file.
#[derive(Clone, Copy)]
pub(super) enum Varies {
    Never,
    ByEncoding,
}

impl Varies {
    /// RFC 9110 §12.5.5: caches have to know what the choice was made by, whichever it was.
    pub(super) fn tell(self, head: ResponseHead<'_>) -> ResponseHead<'_> {
        match self {
            Self::Never => head,
            Self::ByEncoding => head.header(VARY, "Accept-Encoding"),
        }
    }
}

impl<'a> Served<'a> {
    pub(super) fn new(
        (file, metadata): (File, fs::Metadata),
        name: &'a str,
        coding: Option<Coding>,
        varies: Varies,
    ) -> Self {
        Self {
            file,
            metadata,
            name,
            coding,
            varies,
        }
    }

    /// Answers with the file, or with what the request's conditions make of it. Validators and ranges are those of the
    /// form that is sent (RFC 9110 §8.8.3.3, §14.1.2).
    pub(super) fn answer(self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        let length = self.metadata.len();
        let validators = Validators::of(&self.metadata, self.coding, exchange.time_of_day());
        let selection = match validators.check(request.headers()) {
            // RFC 9110 §15.4.5: the fields that a cache updates by, and the tag makes Last-Modified superfluous.
            Verdict::NotModified => {
                let head = self.varies.tell(exchange.respond(StatusCode::NOT_MODIFIED));
                return head.header(ETAG, &validators.etag).send("");
            }
            Verdict::Failed => {
                let status = StatusCode::PRECONDITION_FAILED;
                return say(self.varies.tell(exchange.respond(status)), status);
            }
            Verdict::Proceed { range: true } => selection(request, length),
            Verdict::Proceed { range: false } => Selection::Whole,
        };
        let (status, first, count) = match selection {
            Selection::Whole => (StatusCode::OK, 0, length),
            Selection::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
            Selection::Unsatisfiable => {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let head = self.varies.tell(exchange.respond(status));
                return say(head.header(CONTENT_RANGE, format!("bytes */{length}")), status);
            }
        };
        let mut head = exchange
            .respond(status)
            .header(CONTENT_TYPE, content_type(self.name))
            .header(ETAG, &validators.etag)
            .header(ACCEPT_RANGES, "bytes");
        head = self.varies.tell(head);
        if let Some(coding) = self.coding {
            head = head.header(CONTENT_ENCODING, coding.name());
        }
        if let Some(modified) = validators.last_modified() {
            head = head.header(LAST_MODIFIED, modified);
        }
        if let Selection::Part { first, last } = selection {
            head = head.header(CONTENT_RANGE, format!("bytes {first}-{last}/{length}"));
        }
        head.stream(BodyLength::Exact(count), FileSource::new(self.file, first, count))
    }
}

/// RFC 9110 §14.2: Range is for GET; given twice it says nothing.
fn selection(request: &Request<'_>, length: u64) -> Selection {
    let mut ranges = request.headers().get_all(RANGE.as_str());
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if request.method() == Method::GET => range::select(range, length),
        _ => Selection::Whole,
    }
}
