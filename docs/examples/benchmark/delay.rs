//! Answers that wait, all on one thread.

use stannel::header::CONTENT_TYPE;
use stannel::{Responder, StatusCode};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Hands answers to the thread that waits.
#[derive(Clone)]
pub(crate) struct Delays {
    thread: Sender<Delay>,
}

struct Delay {
    due: Instant,
    responder: Responder,
}

/// Nobody waits longer than that.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Delays {
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, receiver) = channel();
        thread::Builder::new()
            .name("delays".to_owned())
            .spawn(move || run(&receiver))?;
        Ok(Self { thread: sender })
    }

    pub(crate) fn answer_after(&self, delay: Duration, responder: Responder) {
        let due = Instant::now() + delay.min(LONGEST);
        // Were the thread gone, the responder would be dropped here and answer 500.
        let _ = self.thread.send(Delay { due, responder });
    }
}

fn run(receiver: &Receiver<Delay>) {
    let mut heap: BinaryHeap<Delay> = BinaryHeap::new();
    loop {
        let now = Instant::now();
        while heap.peek().is_some_and(|first| first.due <= now) {
            let Some(Delay { responder, .. }) = heap.pop() else {
                break;
            };
            let _ = responder
                .respond(StatusCode::OK)
                .header(CONTENT_TYPE, "text/plain")
                .send("done\n");
        }
        let received = match heap.peek() {
            Some(first) => receiver.recv_timeout(first.due - now),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(delay) => heap.push(delay),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The earliest is the greatest, because a heap gives the greatest first.
impl Ord for Delay {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

impl PartialOrd for Delay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Delay {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Delay {}
