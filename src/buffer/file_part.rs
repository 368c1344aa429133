//! A piece of a file on its way out, which the system sends without anybody reading it.

use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What of a file waits to be sent.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) left: usize,
}

impl FilePart {
    /// The kernel took `count` bytes.
    pub(super) fn advance(&mut self, count: usize) {
        self.offset += count as u64;
        self.left -= count;
    }

    /// Reads it, where the system cannot send it.
    ///
    /// # Errors
    /// Those of reading; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the file is shorter by now.
    pub(super) fn read(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.left];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        Ok(bytes.into())
    }
}
