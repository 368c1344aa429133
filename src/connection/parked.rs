//! What a connection keeps between its turns: a request that is split, an answer that is stuck.
//!
//! The buffers are the loop's. An idle connection has none, and not even a place for them.

use super::Engine;
use crate::buffer::{Input, Output};
use crate::http1::head::Scan;
use crate::timer::Time;
use std::mem::{swap, take};

/// The buffers of one connection. During a turn each holds the loop's own in the connection's stead, or nothing if the
/// loop's own was good enough.
#[derive(Default)]
pub(super) struct Parked {
    /// What came and is not consumed.
    input: Input,
    /// How far the head was checked that it begins with.
    scan: Scan,
    /// What is answered and not sent.
    output: Output,
    /// When the kernel last took a byte of it, or it began to wait, in served time.
    last_taken: Time,
}

impl Parked {
    /// A turn begins: the loop works on what is here.
    pub(super) fn take_up(&mut self, engine: &mut Engine) {
        if !self.input.is_empty() {
            swap(&mut self.input, &mut engine.input);
            engine.scan = self.scan;
        }
        if !self.output.is_empty() {
            swap(&mut self.output, &mut engine.state.output);
            engine.last_taken = self.last_taken;
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    /// A turn ends: the loop gets its own back.
    fn put_aside(&mut self, engine: &mut Engine) {
        self.scan = take(&mut engine.scan);
        self.last_taken = engine.last_taken;
        let input = &mut engine.input;
        let swapped = self.input.capacity() > 0;
        if input.is_empty() {
            if swapped {
                *input = take(&mut self.input);
            }
        } else if swapped {
            swap(&mut self.input, input);
        } else {
            self.input = input.split_off();
        }
        let output = &mut engine.state.output;
        let swapped = self.output.capacity() > 0;
        if output.is_empty() {
            if swapped {
                *output = take(&mut self.output);
            }
            output.trim();
        } else if swapped {
            swap(&mut self.output, output);
        } else {
            self.output = take(output);
            self.output.shrink();
        }
    }
}

/// A turn ends with something left over, or began so.
pub(super) fn put_aside(parked: &mut Option<Box<Parked>>, engine: &mut Engine) {
    let mut kept = parked.take().unwrap_or_else(|| engine.spare_parked());
    kept.put_aside(engine);
    if kept.memory() == 0 {
        engine.keep_parked(kept);
    } else {
        *parked = Some(kept);
    }
}
