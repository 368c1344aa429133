//! Received bytes that are not consumed yet, parsed where they lie.

/// A buffer whose memory is always initialised, so that reading into it clears nothing.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity],
            start: 0,
            end: 0,
        }
    }

    /// What has arrived and is not consumed.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes of memory it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Where the next bytes go. Make room first.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Counts `count` bytes of [`spare`](Self::spare) as received.
    pub(crate) fn received(&mut self, count: usize) {
        debug_assert!(count <= self.bytes.len() - self.end);
        self.end = self.bytes.len().min(self.end + count);
    }

    /// Appends bytes that lie elsewhere.
    #[cfg(feature = "tls")]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.start = self.end.min(self.start + count);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Sees to it that at least `room` more bytes fit, first by moving what is pending to the front, then by doubling:
    /// a peer that sends byte by byte makes us copy each byte a constant number of times.
    pub(crate) fn reserve(&mut self, room: usize) {
        if self.bytes.len() - self.end >= room {
            return;
        }
        let pending = self.len();
        // Moving pays for itself only when at least as much was consumed as is moved.
        if self.start >= pending && self.bytes.len() - pending >= room {
            self.bytes.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = pending;
            return;
        }
        let capacity = (pending + room).max(self.bytes.len() * 2).next_power_of_two();
        let mut larger = vec![0; capacity];
        larger[..pending].copy_from_slice(self.pending());
        *self = Self {
            bytes: larger,
            start: 0,
            end: pending,
        };
    }

    /// A buffer of its own, just large enough to go on, for what this one holds; this one is empty afterwards.
    pub(crate) fn split_off(&mut self) -> Self {
        let pending = self.len();
        let mut own = Self::with_capacity((pending + 1).next_power_of_two().max(256));
        own.bytes[..pending].copy_from_slice(self.pending());
        own.end = pending;
        self.consume(pending);
        own
    }
}

#[cfg(test)]
mod tests {
    use super::Input;

    fn fill(input: &mut Input, bytes: &[u8]) {
        input.reserve(bytes.len());
        input.spare()[..bytes.len()].copy_from_slice(bytes);
        input.received(bytes.len());
    }

    #[test]
    fn what_comes_in_goes_out_in_order() {
        let mut input = Input::with_capacity(4);
        let mut expected = Vec::new();
        for round in 0..100u8 {
            fill(&mut input, &[round, round, round]);
            expected.extend([round; 3]);
            input.consume(2);
            expected.drain(..2);
            assert_eq!(input.pending(), expected);
        }
    }

    #[test]
    fn split_off_leaves_an_empty_buffer() {
        let mut input = Input::with_capacity(64);
        fill(&mut input, b"GET / HT");
        input.consume(4);
        let own = input.split_off();
        assert_eq!(own.pending(), b"/ HT");
        assert!(input.is_empty());
        assert_eq!(input.spare().len(), 64);
    }
}
