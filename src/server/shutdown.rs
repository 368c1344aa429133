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

/// How often something was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) stops: usize,
    pub(super) reloads: usize,
}

/// Asks for a stop, or for a look at the configuration, from any thread.
#[derive(Clone, Debug)]
pub(super) struct Stopper {
    calls: Arc<AtomicUsize>,
    reloads: Arc<AtomicUsize>,
    waker: Arc<Waker>,
}

impl Stopper {
    pub(super) fn stop(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
        wake(&self.waker);
    }

    pub(super) fn reload(&self) {
        self.reloads.fetch_add(1, Ordering::AcqRel);
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

/// What happens on the thread that waits.
pub(super) trait OnEvent {
    /// The stop comes to a new stage.
    fn on_stage(&mut self, stage: Stage);

    /// While the server runs: whenever the thread wakes, with whether the configuration is to be read anew. Returns when
    /// to wake it again.
    fn tick(&mut self, is_asked: bool) -> Option<Duration>;
}

impl Control {
    pub(super) fn new(parts: &[WorkerParts]) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Self {
            poll,
            stopper: Stopper {
                calls: Arc::default(),
                reloads: Arc::default(),
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
    /// ask for something. Returns whether all have ended.
    pub(super) fn wait(
        &mut self,
        workers: usize,
        limits: &Limits,
        mut signalled: impl FnMut() -> Asked,
        on_event: &mut dyn OnEvent,
    ) -> bool {
        let mut events = Events::with_capacity(16);
        let mut calls = 0;
        let mut until = None;
        loop {
            let ended = self.ended.load(Ordering::Acquire);
            if ended >= workers {
                return true;
            }
            let signals = signalled();
            calls += signals.stops + self.stopper.calls.swap(0, Ordering::AcqRel);
            let reloads = signals.reloads + self.stopper.reloads.swap(0, Ordering::AcqRel);
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
                // Before the workers know of it: the files of Unix sockets go while somebody still takes connections.
                on_event.on_stage(stage);
                self.stage.set(stage);
                until = Instant::now().checked_add(lasts);
                self.workers.iter().for_each(|waker| wake(waker));
                continue;
            }
            let timeout = match self.stage.get() {
                Stage::Running => on_event.tick(reloads > 0),
                _ => until.map(|until| until.saturating_duration_since(Instant::now())),
            };
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!(target: "stannel", "cannot wait for events: {error}; the server stops");
                self.stopper.calls.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

/// Wakes a thread that waits for events. The system refuses that only when it is out of memory, or because a signal came
/// in between; for whoever is not woken the letter waits until something else wakes them, which may be long: so it is
/// tried again a few times.
pub(super) fn wake(waker: &Waker) {
    const TRIES: usize = 3;
    let mut result = Ok(());
    for _ in 0..TRIES {
        result = waker.wake();
        if result.is_ok() {
            return;
        }
    }
    if let Err(error) = result {
        log::error!(target: "stannel", "cannot wake an event loop: {error}");
    }
}
