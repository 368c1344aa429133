//! What a service manager wants to hear: `sd_notify(3)`. Where there is none, nothing is sent.

use super::command::Commands;
use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// Tells systemd how the server is.
#[derive(Debug)]
pub(super) struct Service {
    watchdog: Option<Watchdog>,
}

/// Says that the server lives, as long as every worker turns: one that hangs ends the good news, and systemd the server.
#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
    /// How often each worker had turned when it was last woken.
    turns: Vec<u64>,
}

impl Service {
    pub(super) fn new(workers: &[Commands]) -> Self {
        let every = sd_notify::watchdog_enabled().map(|time| time / 2);
        // By the first look every loop has turned, an idle one because of this.
        workers.iter().for_each(Commands::wake);
        Self {
            watchdog: every.filter(|every| !every.is_zero()).map(|every| Watchdog {
                every,
                next: Instant::now() + every,
                turns: vec![0; workers.len()],
            }),
        }
    }

    pub(super) fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    pub(super) fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// Before the configuration is read anew; [`ready`](Self::ready) is the end of it.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => log::warn!(target: "stannel", "cannot read the clock for systemd: {error}"),
        }
    }

    /// Returns when to call it again.
    pub(super) fn tick(&mut self, workers: &[Commands]) -> Option<Duration> {
        let watchdog = self.watchdog.as_mut()?;
        let now = Instant::now();
        if now >= watchdog.next {
            let all_turn = workers
                .iter()
                .zip(&watchdog.turns)
                .all(|(worker, turns)| worker.turns() != *turns);
            if all_turn {
                notify(&[NotifyState::Watchdog]);
            } else {
                log::warn!(target: "stannel", "an event loop does not turn: systemd is not told that the server lives");
            }
            // An idle loop turns because it is woken.
            watchdog.turns = workers.iter().map(Commands::turns).collect();
            workers.iter().for_each(Commands::wake);
            watchdog.next = now + watchdog.every;
        }
        Some(watchdog.next.saturating_duration_since(now))
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::warn!(target: "stannel", "cannot tell systemd: {error}");
    }
}
