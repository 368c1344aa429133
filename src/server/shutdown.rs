//! A stop, stage by stage: `Running → LameDuck → Draining → Aborting`.

use super::worker::WorkerParts;
use crate::endpoint::Limits;
use mio::{Events, Poll, Token, Waker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long handlers may take to return once everything else is aborted.
const LAST_WAIT: Duration = Duration::from_secs(1);

const WAKE: Token = Token(0);
#[cfg(feature = "signals")]
pub(super) const SIGNALS: Token = Token(1);

/// How far a stop is. It only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Running,
    /// Everything is served, but each response ends its connection.
    LameDuck,
    /// Nothing is accepted; what runs may end.
    Draining,
    /// What is left is reset.
    Aborting,
}

/// The stage, as all threads see it.
#[derive(Debug, Default)]
pub(super) struct SharedStage(AtomicU8);

impl SharedStage {
    #[inline]
    pub(super) fn get(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            0 => Stage::Running,
            1 => Stage::LameDuck,
            2 => Stage::Draining,
            _ => Stage::Aborting,
        }
    }

    fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Release);
    }
}

/// Asks for a stop from any thread.
#[derive(Clone, Debug)]
pub(super) struct Stopper {
    calls: Arc<AtomicUsize>,
    waker: Arc<Waker>,
}

impl Stopper {
    pub(super) fn stop(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
        wake(&self.waker);
    }
}

/// Where the thread that called `run` waits.
pub(super) struct Control {
    poll: Poll,
    stopper: Stopper,
    stage: Arc<SharedStage>,
    workers: Vec<Arc<Waker>>,
    ended: Arc<AtomicUsize>,
}

/// Says that a worker's thread has ended, when it is dropped.
pub(super) struct WorkerGuard {
    ended: Arc<AtomicUsize>,
    waker: Arc<Waker>,
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        wake(&self.waker);
    }
}

impl Control {
    pub(super) fn new(parts: &[WorkerParts]) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Self {
            poll,
            stopper: Stopper {
                calls: Arc::default(),
                waker,
            },
            stage: Arc::default(),
            workers: parts.iter().map(WorkerParts::waker).collect(),
            ended: Arc::default(),
        })
    }

    pub(super) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    pub(super) fn stage(&self) -> Arc<SharedStage> {
        Arc::clone(&self.stage)
    }

    #[cfg(feature = "signals")]
    pub(super) fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    pub(super) fn worker_guard(&self) -> WorkerGuard {
        WorkerGuard {
            ended: Arc::clone(&self.ended),
            waker: Arc::clone(&self.stopper.waker),
        }
    }

    pub(super) fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits until all workers have ended, or a stop has taken as long as it may. `signalled` counts the signals that
    /// ask for a stop; `on_stage` hears of each new stage. Returns whether all have ended.
    pub(super) fn wait(
        &mut self,
        workers: usize,
        limits: &Limits,
        mut on_stage: impl FnMut(Stage),
        mut signalled: impl FnMut() -> usize,
    ) -> bool {
        let mut events = Events::with_capacity(16);
        let mut calls = 0;
        let mut until = None;
        loop {
            let ended = self.ended.load(Ordering::Acquire);
            if ended >= workers {
                return true;
            }
            calls += signalled() + self.stopper.calls.swap(0, Ordering::AcqRel);
            // A worker that ended by itself has panicked: the others cannot make up for it.
            let asked = calls > 0 || ended > 0;
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            let next = match self.stage.get() {
                Stage::Running if asked && !limits.lame_duck_time.is_zero() && calls < 2 => {
                    Some((Stage::LameDuck, limits.lame_duck_time))
                }
                Stage::Running if asked => Some((Stage::Draining, limits.shutdown_timeout)),
                Stage::LameDuck if is_over || calls > 1 => Some((Stage::Draining, limits.shutdown_timeout)),
                Stage::Draining if is_over => {
                    log::debug!(target: "stannel", "16 not all connections closed gracefully during the stop");
                    Some((Stage::Aborting, LAST_WAIT))
                }
                Stage::Aborting if is_over => {
                    log::debug!(target: "stannel", "21 not all connections could be aborted: a handler still blocks");
                    return false;
                }
                Stage::Running | Stage::LameDuck | Stage::Draining | Stage::Aborting => None,
            };
            if let Some((stage, lasts)) = next {
                self.stage.set(stage);
                until = Instant::now().checked_add(lasts);
                self.workers.iter().for_each(|waker| wake(waker));
                on_stage(stage);
                continue;
            }
            let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
            if let Err(error) = self.poll.poll(&mut events, timeout) {
                if error.kind() != io::ErrorKind::Interrupted {
                    log::error!(target: "stannel", "cannot wait for events: {error}; the server stops");
                    self.stopper.calls.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    }
}

/// A wake-up can only fail when the system is out of memory; the loop then wakes at its next deadline.
fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        log::error!(target: "stannel", "cannot wake an event loop: {error}");
    }
}
