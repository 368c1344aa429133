//! Bodies that are counted and thrown away.

use stannel::{BodyEnd, BodySink, Exchange, Flow, Outcome};

/// How many bytes have come.
#[derive(Default)]
pub(crate) struct Count(u64);

impl BodySink for Count {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.0 += data.len() as u64;
        Flow::Continue
    }

    fn finish(self: Box<Self>, _end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        super::text(exchange, itoa::Buffer::new().format(self.0))
    }
}
