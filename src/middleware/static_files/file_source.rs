//! A file, or a range of one, as a response body.

use crate::handler::{BodySource, BodyWriter, Progress};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What of a file is still to be sent.
pub(super) struct FileSource {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

/// Less than that is read: one write takes it along with the head of its response, and copying it costs less than a second
/// call.
const SEND_FROM: u64 = 32 << 10;

impl FileSource {
    pub(super) fn new(file: File, offset: u64, count: u64) -> Self {
        Self {
            file: Arc::new(file),
            offset,
            left: count,
        }
    }

    fn write(&self, writer: &mut BodyWriter<'_>) -> io::Result<u64> {
        if self.left >= SEND_FROM {
            let count = writer.put_file(&self.file, self.offset, self.left);
            if count > 0 {
                return Ok(count);
            }
        }
        writer.read_from(&mut self.take(self.left)).map(|count| count as u64)
    }
}

impl Read for &FileSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, self.offset)
    }
}

impl BodySource for FileSource {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        match self.write(writer) {
            Ok(count) => {
                self.offset += count;
                self.left -= count;
                if count == 0 || self.left == 0 {
                    Progress::Done
                } else {
                    Progress::More
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Progress::More,
            Err(error) => {
                log::error!(target: "stannel", "reading a file that is served failed: {error}; the response is cut off");
                Progress::Failed
            }
        }
    }
}
