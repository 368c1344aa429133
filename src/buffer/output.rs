//! Response bytes that the peer's kernel has not taken yet.

use super::file_part::FilePart;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// A place in the linear part of an [`Output`], to go back to while nothing behind it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

/// One linear buffer; large bodies lie beside it as segments, so that they are never copied, and pieces of files, so that
/// they are never read.
#[derive(Debug, Default)]
pub(crate) struct Output {
    linear: Vec<u8>,
    /// How many bytes of `linear` are sent.
    sent: usize,
    /// How many linear bytes were dropped before the first of `linear`.
    dropped: u64,
    segments: VecDeque<Segment>,
    /// How many bytes wait that do not lie in `linear`.
    beside: usize,
    /// Where TLS is spoken, the records that go to the socket; all else is plaintext then, and behind them.
    sealed: Vec<u8>,
    /// How many bytes of `sealed` are sent.
    sealed_sent: usize,
}

#[derive(Debug)]
struct Segment {
    /// It goes out before `linear[at]`.
    at: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Bytes(Bytes),
    /// Never on a connection whose bytes have to be seen: that speaks TLS, or that somebody looks at.
    File(FilePart),
}

impl Body {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(part) => part.left,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes::Buf::advance(bytes, count),
            Self::File(part) => part.advance(count),
        }
    }

    /// What of it lies in memory.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::File(_) => &[],
        }
    }
}

/// From this size on a body that we own is sent from where it lies: writev costs 200 ns more than a copy of 1 KiB and
/// saves 1 µs at 64 KiB.
const SEGMENT_FROM: usize = 16 << 10;

/// While at least so many bytes of records wait, no more are made.
const SEAL_BELOW: usize = 16 << 10;

/// A spare buffer that grew beyond this is given back to the allocator.
const KEEP_CAPACITY: usize = 256 << 10;

/// A buffer that is never quite empty must not grow for ever: from here on the sent part is dropped.
const COMPACT_FROM: usize = 64 << 10;

impl Output {
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.linear.extend_from_slice(bytes);
    }

    /// The end of the linear part, for whoever writes in place.
    #[inline]
    pub(crate) fn linear(&mut self) -> &mut Vec<u8> {
        &mut self.linear
    }

    /// Takes a body over: copied when it is small, kept as it is when it is large.
    pub(crate) fn put_owned(&mut self, bytes: Bytes) {
        if bytes.len() < SEGMENT_FROM {
            self.put(&bytes);
        } else {
            self.put_beside(Body::Bytes(bytes));
        }
    }

    /// Takes over a piece of a file, which is not empty.
    pub(crate) fn put_file(&mut self, part: FilePart) {
        self.put_beside(Body::File(part));
    }

    fn put_beside(&mut self, body: Body) {
        self.beside += body.len();
        self.segments.push_back(Segment {
            at: self.linear.len(),
            body,
        });
    }

    /// What is next, if that is a piece of a file.
    pub(crate) fn file(&self) -> Option<&FilePart> {
        match self.segments.front() {
            Some(Segment {
                at,
                body: Body::File(part),
            }) if *at == self.sent => Some(part),
            _ => None,
        }
    }

    /// Whether any piece of a file waits.
    #[inline]
    pub(crate) fn has_file(&self) -> bool {
        self.segments
            .iter()
            .any(|segment| matches!(segment.body, Body::File(_)))
    }

    /// Reads that piece into memory, where the system cannot send it otherwise.
    ///
    /// # Errors
    /// Those of reading, also where the file has become shorter.
    pub(crate) fn read_file(&mut self) -> io::Result<()> {
        if let Some(Segment { body, .. }) = self.segments.front_mut()
            && let Body::File(part) = body
        {
            *body = Body::Bytes(part.read()?);
        }
        Ok(())
    }

    /// How many bytes wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.linear.len() - self.sent + self.beside
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.dropped + self.linear.len() as u64)
    }

    /// Whether no byte behind the mark was sent, and so all of them can still be taken back.
    pub(crate) fn can_rewind(&self, mark: Mark) -> bool {
        mark.0 >= self.dropped + self.sent as u64 && mark <= self.mark()
    }

    /// Forgets everything behind the mark.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        debug_assert!(self.can_rewind(mark));
        let at = usize::try_from(mark.0.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        while self.segments.back().is_some_and(|last| last.at > at) {
            if let Some(last) = self.segments.pop_back() {
                self.beside -= last.body.len();
            }
        }
        self.linear.truncate(at);
    }

    /// Writes before what lies behind the mark; returns where that begins now.
    pub(crate) fn insert(&mut self, mark: Mark, bytes: &[u8]) -> Mark {
        debug_assert!(self.can_rewind(mark));
        let at = usize::try_from(mark.0.saturating_sub(self.dropped))
            .unwrap_or(usize::MAX)
            .min(self.linear.len());
        self.linear.splice(at..at, bytes.iter().copied());
        for segment in self.segments.iter_mut().filter(|segment| segment.at > at) {
            segment.at += bytes.len();
        }
        Mark(mark.0 + bytes.len() as u64)
    }

    /// Everything that waits, if it lies in one piece.
    #[inline]
    pub(crate) fn single(&self) -> Option<&[u8]> {
        self.segments.is_empty().then(|| &self.linear[self.sent..])
    }

    // ---- where TLS is spoken

    /// What goes to the socket next: records. What lies elsewhere is plaintext, and must never go there.
    pub(crate) fn sealed(&self) -> &[u8] {
        &self.sealed[self.sealed_sent..]
    }

    /// Whether there is plaintext that lies in no record yet.
    pub(crate) fn has_plain(&self) -> bool {
        self.len() > self.sealed.len() - self.sealed_sent
    }

    /// The same, where records wait as well: it will follow them.
    pub(crate) fn has_plain_behind_records(&self) -> bool {
        !self.sealed().is_empty() && self.has_plain()
    }

    /// Whether plaintext is to be put into records now: when few of them wait. So a large body never lies here encrypted
    /// whole, and each piece of it is sent while the processor's caches still have it.
    pub(crate) fn wants_seal(&self) -> bool {
        self.sealed.len() - self.sealed_sent < SEAL_BELOW && self.has_plain()
    }

    /// Shows the next piece of plaintext, which may be empty, and where the records are that wait. `seal` may append to
    /// them and says how much of the piece that was.
    #[cfg(feature = "tls")]
    pub(crate) fn seal_with<E>(&mut self, seal: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<usize, E>) -> Result<(), E> {
        self.drop_sent_records();
        let before = self.sealed.len();
        let plain = match self.segments.front() {
            Some(segment) if segment.at == self.sent => segment.body.bytes(),
            Some(segment) => &self.linear[self.sent..segment.at],
            None => &self.linear[self.sent..],
        };
        let result = seal(plain, &mut self.sealed);
        self.beside += self.sealed.len() - before;
        result.map(|count| self.advance(count))
    }

    /// The kernel took `count` bytes of records.
    pub(crate) fn advance_sealed(&mut self, count: usize) {
        self.sealed_sent += count;
        self.beside -= count;
        if self.sealed_sent == self.sealed.len() {
            self.sealed.clear();
            self.sealed_sent = 0;
            if self.sealed.capacity() > KEEP_CAPACITY {
                self.sealed = Vec::new();
            }
        }
    }

    fn drop_sent_records(&mut self) {
        if self.sealed_sent > 0 {
            self.sealed.drain(..self.sealed_sent);
            self.sealed_sent = 0;
        }
    }

    /// Forgets what lies in no record yet: it can no longer be put into one.
    pub(crate) fn drop_plain(&mut self) {
        let records = self.sealed.len() - self.sealed_sent;
        self.advance(self.len() - records);
    }

    /// Forgets all that waits.
    pub(crate) fn clear(&mut self) {
        self.drop_plain();
        self.advance_sealed(self.sealed.len() - self.sealed_sent);
    }

    /// Fills `slices` from the front of what waits, as far as that lies in memory; returns how many were filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut from = self.sent;
        let mut count = 0;
        let mut push = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                return true;
            }
            if let Some(slot) = slices.get_mut(count) {
                *slot = IoSlice::new(bytes);
                count += 1;
                true
            } else {
                false
            }
        };
        let mut room = true;
        for segment in &self.segments {
            room = push(&self.linear[from..segment.at])
                && matches!(segment.body, Body::Bytes(_))
                && push(segment.body.bytes());
            from = segment.at;
            if !room {
                break;
            }
        }
        if room {
            push(&self.linear[from..]);
        }
        count
    }

    /// The kernel took `count` bytes.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        if self.segments.is_empty() {
            self.sent = self.linear.len().min(self.sent + count);
        } else {
            self.advance_segments(count);
        }
        if self.sent == self.linear.len() && self.segments.is_empty() {
            self.dropped += self.sent as u64;
            self.linear.clear();
            self.sent = 0;
        } else if self.sent >= COMPACT_FROM && self.sent * 2 >= self.linear.len() {
            self.drop_sent();
        }
    }

    /// Moves what waits to the front of the memory.
    fn drop_sent(&mut self) {
        self.linear.drain(..self.sent);
        for segment in &mut self.segments {
            segment.at -= self.sent;
        }
        self.dropped += self.sent as u64;
        self.sent = 0;
    }

    fn advance_segments(&mut self, mut count: usize) {
        while count > 0 {
            let boundary = self.segments.front().map_or(self.linear.len(), |segment| segment.at);
            let linear = count.min(boundary - self.sent);
            self.sent += linear;
            count -= linear;
            let Some(segment) = self.segments.front_mut() else {
                break;
            };
            let taken = count.min(segment.body.len());
            segment.body.advance(taken);
            self.beside -= taken;
            count -= taken;
            if segment.body.len() == 0 {
                self.segments.pop_front();
            }
        }
    }

    /// Copies everything that waits and lies in memory, for tests and for peers that are no sockets.
    pub(crate) fn copy_to(&self, target: &mut Vec<u8>) {
        self.copy_from(self.sent, target);
    }

    fn copy_from(&self, mut from: usize, target: &mut Vec<u8>) {
        for segment in &self.segments {
            target.extend_from_slice(&self.linear[from..segment.at]);
            target.extend_from_slice(segment.body.bytes());
            from = segment.at;
        }
        target.extend_from_slice(&self.linear[from..]);
    }

    /// Makes an emptied buffer fit to be the loop's spare again.
    pub(crate) fn trim(&mut self) {
        if self.linear.capacity() > KEEP_CAPACITY {
            self.linear = Vec::new();
        }
    }

    /// How many bytes of memory it holds.
    pub(crate) fn capacity(&self) -> usize {
        let beside: usize = self.segments.iter().map(|segment| segment.body.bytes().len()).sum();
        self.linear.capacity() + self.sealed.capacity() + self.segments.len() * size_of::<Segment>() + beside
    }

    /// A stuck answer keeps its connection waiting: it shall not keep more memory than it needs.
    pub(crate) fn shrink(&mut self) {
        self.drop_sent();
        self.linear.shrink_to(self.linear.len() + 64);
        self.drop_sent_records();
        self.sealed.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::Output;
    use crate::buffer::FilePart;
    use bytes::Bytes;
    use std::io::IoSlice;
    use std::sync::Arc;

    fn waiting(output: &Output) -> Vec<u8> {
        let mut copy = Vec::new();
        output.copy_to(&mut copy);
        copy
    }

    #[test]
    fn segments_keep_their_place_however_it_is_sent() {
        for step in [1, 7, 1000, 20_000, 100_000] {
            let mut output = Output::default();
            output.put(b"head");
            output.put_owned(Bytes::from(vec![b'x'; 20_000]));
            output.put(b"tail");
            output.put_owned(Bytes::from_static(b"small"));
            let mut expected = b"head".to_vec();
            expected.extend([b'x'; 20_000]);
            expected.extend(b"tailsmall");
            assert_eq!(output.len(), expected.len());
            let mut sent = Vec::new();
            while !output.is_empty() {
                let before = waiting(&output);
                let mut slices = [IoSlice::new(b""); 8];
                let count = output.slices(&mut slices);
                let joined: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                assert_eq!(joined, before);
                let part = step.min(before.len());
                sent.extend_from_slice(&before[..part]);
                output.advance(part);
            }
            assert_eq!(sent, expected);
        }
    }

    #[test]
    fn only_what_was_not_sent_can_be_taken_back() {
        let mut output = Output::default();
        output.put(b"first");
        let mark = output.mark();
        output.put(b"second");
        output.advance(5);
        assert!(output.can_rewind(mark));
        output.advance(1);
        assert!(!output.can_rewind(mark));
        let mark = output.mark();
        output.put(b"third");
        output.rewind(mark);
        assert_eq!(waiting(&output), b"econd");
        output.advance(5);
        assert!(output.can_rewind(mark), "an emptied buffer still knows its marks");
    }

    #[test]
    fn a_piece_of_a_file_keeps_its_place() {
        let mut output = Output::default();
        output.put(b"head");
        output.put_file(FilePart {
            file: Arc::new(tempfile::tempfile().unwrap()),
            offset: 7,
            left: 100,
        });
        output.put(b"tail");
        assert_eq!(output.len(), 108);
        let mut slices = [IoSlice::new(b""); 8];
        assert_eq!(output.slices(&mut slices), 1, "what lies behind the file has to wait");
        assert_eq!(&*slices[0], b"head");
        assert!(output.file().is_none() && output.single().is_none());
        output.advance(4);
        assert_eq!(output.slices(&mut [IoSlice::new(b"")]), 0);
        assert_eq!(output.file().map(|part| (part.offset, part.left)), Some((7, 100)));
        output.advance(60);
        assert_eq!(output.file().map(|part| (part.offset, part.left)), Some((67, 40)));
        output.advance(40);
        assert_eq!(output.single(), Some(&b"tail"[..]));
        output.clear();
        assert!(output.is_empty());
    }

    #[cfg(feature = "tls")]
    #[test]
    fn records_go_first_and_plaintext_waits() {
        let mut output = Output::default();
        output.put(b"head");
        output.put_owned(Bytes::from(vec![b'x'; 100_000]));
        output.put(b"tail");
        // Two bytes for each of plaintext.
        let seal = |output: &mut Output, most: usize| {
            let sealed: Result<(), ()> = output.seal_with(|plain, sealed| {
                let count = plain.len().min(most);
                sealed.extend(plain[..count].iter().flat_map(|byte| [*byte, b'.']));
                Ok(count)
            });
            sealed.unwrap();
        };
        seal(&mut output, 1000);
        assert_eq!(output.sealed(), b"h.e.a.d.");
        assert_eq!(output.len(), 8 + 100_004);
        assert!(output.wants_seal());
        seal(&mut output, 10_000);
        assert!(output.has_plain() && !output.wants_seal(), "enough of them wait");
        output.advance_sealed(10_008);
        assert_eq!(output.sealed(), b"x.".repeat(5_000));
        assert!(output.wants_seal());
        let mut all = 10_008;
        while output.has_plain() {
            seal(&mut output, 10_000);
            all += output.sealed().len();
            output.advance_sealed(output.sealed().len());
        }
        assert_eq!(all, 2 * 100_008);
        assert!(output.is_empty());

        output.put(b"plain");
        let alert: Result<(), ()> = output.seal_with(|_, sealed| {
            sealed.extend(b"alert");
            Ok(0)
        });
        alert.unwrap();
        output.drop_plain();
        assert_eq!((output.sealed(), output.len()), (&b"alert"[..], 5));
        output.clear();
        assert!(output.is_empty());
    }
}
