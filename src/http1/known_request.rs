//! The request that a loop knows already, from its method to its empty line.
//!
//! Health checks, polls and whatever a page asks for again come with the same bytes each time. Of those nothing is read
//! a second time: one comparison stands for reading the line, checking the target, and examining the fields.

use super::RequestFacts;
use super::framing::examine;
use super::head::{HeadLimits, RawHead};
use super::host::{Host, KnownHost};
use super::target::{Target, is_plain};
use http::Method;

/// The last request worth knowing: its bytes, and what reading them came to.
///
/// As with the [section](super::section::KnownSection) below its request line, whether a request is the known one can be
/// told from outside, by how long an answer takes. So none with a query is kept: that may hold a secret.
#[derive(Debug, Default)]
pub(crate) struct KnownRequest {
    /// The whole head; empty while nothing is known.
    head: Vec<u8>,
    line_len: usize,
    method: Method,
    target: String,
    host: Vec<u8>,
    host_name_len: usize,
    host_port: Option<u16>,
    facts: RequestFacts,
    /// How many others with the same section may still come before this one makes room.
    patience: u32,
}

impl KnownRequest {
    /// Longer heads are read each time.
    const LONGEST: usize = 4096;

    /// How many others in a row it takes to forget this one.
    const PATIENCE: u32 = 32;

    /// Whether `input` begins with it, and it is within the limits.
    #[inline]
    pub(crate) fn begins(&self, input: &[u8], fields: usize, limits: &HeadLimits) -> bool {
        input.starts_with(&self.head)
            && !self.head.is_empty()
            && self.line_len <= limits.line
            && self.fields_size() <= limits.fields_size
            && fields <= limits.fields
    }

    /// Bytes of the head.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.head.len()
    }

    /// Bytes of the field lines, without the empty line.
    #[inline]
    pub(crate) fn fields_size(&self) -> usize {
        self.head.len() - self.line_len - 2
    }

    #[inline]
    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    #[inline]
    pub(crate) fn target(&self) -> Target<'_> {
        Target::plain(&self.target)
    }

    #[inline]
    pub(crate) fn host(&self) -> Host<'_> {
        Host::checked(&self.host, self.host_name_len, self.host_port)
    }

    #[inline]
    pub(crate) fn facts(&self) -> RequestFacts {
        self.facts
    }

    #[inline]
    pub(crate) fn was_met(&mut self) {
        self.patience = Self::PATIENCE;
    }

    /// Its section is not the known one any more.
    pub(crate) fn forget(&mut self) {
        self.head.clear();
        self.patience = 0;
    }

    /// Another one with the known section was read; from time to time the known request makes room for it.
    #[inline]
    pub(crate) fn met_other(&mut self, input: &[u8], raw: &RawHead<'_>) {
        match self.patience.checked_sub(1) {
            Some(patience) => self.patience = patience,
            None => self.learn(&input[..raw.len], raw),
        }
    }

    #[inline(never)]
    fn learn(&mut self, head: &[u8], raw: &RawHead<'_>) {
        self.forget();
        self.patience = Self::PATIENCE;
        if head.len() > Self::LONGEST || !is_plain(raw.target, raw.method) {
            return;
        }
        let target = Target::plain(raw.target);
        let mut facts = RequestFacts::default();
        let mut known_host = KnownHost::default();
        let host = examine(
            raw.method,
            raw.is_http11,
            &target,
            &raw.fields.seen(),
            &mut known_host,
            &mut facts,
        );
        let (Ok(Some(host)), Ok(method)) = (host, Method::from_bytes(raw.method.as_bytes())) else {
            return;
        };
        self.line_len = raw.len - raw.fields_size - 2;
        self.method = method;
        self.target.clear();
        self.target.push_str(raw.target);
        self.host.clear();
        self.host.extend_from_slice(host.value().as_bytes());
        self.host_name_len = host.name().len();
        self.host_port = host.port();
        self.facts = facts;
        self.head.extend_from_slice(head);
    }
}
