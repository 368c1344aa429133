//! Bodies that come and go piece by piece.

use bytes::Bytes;
use stannel::header::CONTENT_TYPE;
use stannel::{BodyEnd, BodyPipe, BodySink, BodySource, BodyWriter, Exchange, Flow, Outcome, Progress, StatusCode};

/// Sends back what comes.
pub(crate) struct Echo;

impl BodyPipe for Echo {
    fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow {
        writer.put(data);
        Flow::Continue
    }
}

/// Counts what comes.
#[derive(Default)]
pub(crate) struct Count(u64);

impl BodySink for Count {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.0 += data.len() as u64;
        Flow::Continue
    }

    fn finish(self: Box<Self>, _end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        exchange
            .respond(StatusCode::OK)
            .header(CONTENT_TYPE, "text/plain")
            .send(self.0.to_string())
    }
}

/// One block again and again. It is sent from where it lies, so nothing is copied.
static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];

/// So many bytes.
pub(crate) struct Block {
    left: u64,
}

impl Block {
    pub(crate) fn new(count: u64) -> Self {
        Self { left: count }
    }
}

impl BodySource for Block {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        let count = usize::try_from(self.left).map_or(BLOCK.len(), |left| left.min(BLOCK.len()));
        writer.put_bytes(Bytes::from_static(&BLOCK[..count]));
        self.left -= count as u64;
        if self.left == 0 { Progress::Done } else { Progress::More }
    }
}

/// What lies in memory whole.
#[derive(Default)]
pub(crate) struct Memory {
    bytes: Bytes,
}

/// More than that is not kept.
const MOST_MEMORY: usize = 1 << 30;

impl Memory {
    /// So many bytes, made when they are first asked for; `None` where that would be too many.
    pub(crate) fn bytes(&mut self, count: u64) -> Option<Bytes> {
        let count = usize::try_from(count).ok().filter(|&count| count <= MOST_MEMORY)?;
        if self.bytes.len() < count {
            self.bytes = vec![b'x'; count].into();
        }
        Some(self.bytes.slice(..count))
    }
}
