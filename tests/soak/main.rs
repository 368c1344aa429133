//! A server that is never left alone: does it keep anything that it should not?
//!
//! ```sh
//! STANNEL_SOAK=1800 cargo test --release --test soak -- --nocapture
//! ```
//!
//! So many seconds long there are clients of all kinds, reloads and new certificates. From time to time they all stop, and
//! it is noted what the server has in use. In the last third of these samples it has to have
//!
//! - in the lowest one no more descriptors and no more threads than in the lowest one of the first,
//! - in the middle one no more memory than in the middle one of the first, a twentieth and 512 KiB aside,
//!
//! and in all of them no connection is open but that of whoever asks.
//!
//! Without `STANNEL_SOAK` it lasts a few seconds, which say nothing about memory.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/client.rs"]
mod client;
mod clients;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/process.rs"]
mod process;
mod server;
#[path = "../support/site.rs"]
mod site;
#[path = "../support/tls.rs"]
mod tls;

use client::wait_until;
use clients::{KINDS, Target};
use process::Process;
use server::{Administrator, Counters};
use std::io::{Write, stdout};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many times it is looked.
const SAMPLES: usize = 60;
const FEW_SAMPLES: usize = 6;

/// Unless somebody wants it longer.
const SHORT: Duration = Duration::from_secs(4);

/// Memory in use says nothing before the server has been at work for so long.
const WARM: Duration = Duration::from_secs(60);

/// What the server had in use.
struct Sample {
    after: Duration,
    /// In KiB.
    memory: u64,
    open_files: usize,
    threads: usize,
    processor: Duration,
    counters: Counters,
    /// While the clients were there.
    busy: Counters,
}

/// What the clients and the one who looks have in common.
struct Shared {
    target: Target,
    /// Whoever does something shares it; who looks has it alone.
    gate: RwLock<()>,
    is_over: AtomicBool,
    rounds: [AtomicUsize; KINDS.len()],
}

/// The server of the test below, if it is the one; nothing by itself.
#[test]
fn server_process() {
    server::serve_if_asked();
}

#[test]
fn what_is_in_use_stays_the_same() {
    let wanted = std::env::var("STANNEL_SOAK").ok();
    let wanted = wanted.map(|seconds| seconds.parse().expect("STANNEL_SOAK is a number of seconds"));
    let duration = wanted.map_or(SHORT, Duration::from_secs);
    let count = if duration < WARM { FEW_SAMPLES } else { SAMPLES };
    let mut administrator = Administrator::new();
    let server = administrator.start();
    let shared = Shared {
        target: administrator.target(),
        gate: RwLock::new(()),
        is_over: AtomicBool::new(false),
        rounds: Default::default(),
    };
    let mut changes = 0;
    let mut samples = Vec::new();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (kind, rounds) in KINDS.iter().zip(&shared.rounds) {
            let shared = &shared;
            threads.push(scope.spawn(move || {
                shared.go_round(kind.pause, || {
                    (kind.round)(&shared.target);
                    rounds.fetch_add(1, Ordering::Relaxed);
                });
            }));
        }
        threads.push(scope.spawn(|| {
            shared.go_round(duration / 60, || {
                administrator.change(&server);
                changes += 1;
            });
        }));
        let began = Instant::now();
        for number in 1..=count {
            let at = duration * number as u32 / count as u32;
            while began.elapsed() < at && !threads.iter().any(thread::ScopedJoinHandle::is_finished) {
                // The next look is due later.
                thread::sleep(Duration::from_millis(50));
            }
            if threads.iter().any(thread::ScopedJoinHandle::is_finished) {
                // It has said why.
                break;
            }
            let sample = shared.look(&server, began);
            say(&sample.to_string());
            samples.push(sample);
        }
        shared.is_over.store(true, Ordering::Relaxed);
    });
    let rounds = shared.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed));
    let rounds: Vec<(&str, usize)> = KINDS.iter().map(|kind| kind.name).zip(rounds).collect();
    say(&format!(
        "{changes} reloads and certificates; rounds of clients: {rounds:?}"
    ));
    assert!(changes > 0 && rounds.iter().all(|&(_, count)| count > 0));
    server.stop();
    check(&samples, duration >= WARM);
}

/// Whether the last third is as the first one was.
fn check(samples: &[Sample], is_warm: bool) {
    let (first, last) = (
        &samples[..samples.len() / 3],
        &samples[samples.len() - samples.len() / 3..],
    );
    let least = |samples: &[Sample], of: fn(&Sample) -> usize| samples.iter().map(of).min().unwrap();
    let of_middle = |samples: &[Sample]| {
        let mut memory: Vec<u64> = samples.iter().map(|sample| sample.memory).collect();
        memory.sort_unstable();
        memory[memory.len() / 2]
    };
    for (what, of) in [
        ("descriptors", (|sample| sample.open_files) as fn(&Sample) -> usize),
        ("threads", |sample| sample.threads),
    ] {
        let (before, after) = (least(first, of), least(last, of));
        assert!(after <= before, "{what}: {before} at first, {after} at last");
    }
    let (before, after) = (of_middle(first), of_middle(last));
    say(&format!(
        "memory: {before} KiB in the first third, {after} KiB in the last"
    ));
    assert!(
        !is_warm || after <= before + before / 20 + 512,
        "memory: {before} KiB at first, {after} KiB at last"
    );
}

impl Shared {
    /// Does it again and again until it is over, with a pause after each time.
    fn go_round(&self, pause: Duration, mut round: impl FnMut()) {
        while !self.is_over.load(Ordering::Relaxed) {
            let turn = self.gate.read().unwrap();
            round();
            drop(turn);
            // A moderate load leaves the processor to others.
            thread::sleep(pause);
        }
    }

    fn look(&self, server: &Process, began: Instant) -> Sample {
        let mut asker = self.target.asker();
        let busy = asker.counters();
        let _alone = self.gate.write().unwrap();
        let mut counters = busy;
        wait_until("all connections to be over", || {
            counters = asker.counters();
            counters.active == 1
        });
        assert_eq!(counters.upgraded, 0);
        Sample {
            after: began.elapsed(),
            memory: server.memory(),
            open_files: server.open_files(),
            threads: server.thread_ids().len(),
            processor: server.processor_time(),
            counters,
            busy,
        }
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counters {
            accepted,
            requests,
            errors,
            ..
        } = self.counters;
        write!(
            f,
            "{:6} s {:8} KiB {:4} descriptors {:3} threads {:8.1?} of processor time {:4} open {accepted:9} accepted \
             {requests:10} requests {errors:8} errors",
            self.after.as_secs(),
            self.memory,
            self.open_files,
            self.threads,
            self.processor,
            self.busy.active,
        )
    }
}

fn say(line: &str) {
    // Past the test harness, so that a long run shows how it goes.
    let _ = writeln!(stdout().lock(), "{line}");
}
