//! Thousands of connections in a time of their own: peers that are slow, silent, half closed, that reset, pipeline or lie,
//! and a service that answers late, streams, pauses and panics. What must hold is checked after every step.
//!
//! Each run prints its seed. `SIMULATION_SEED=N` runs that one alone. A run that fails is tried again with fewer peers, each
//! of which does what it did, until the smallest number that still fails is found: `SIMULATION_PEERS=N` replays that.

#[path = "../support/client.rs"]
mod client;
#[path = "../support/dice.rs"]
mod dice;
mod ledger;
mod peer;
#[path = "../support/wire/response.rs"]
mod response;
mod script;
mod service;
#[path = "../support/tls.rs"]
mod tls;
mod world;

use dice::Dice;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Plan, Seen};

thread_local! {
    /// Whether a failure is known already and made smaller.
    static IS_SHRINKING: Cell<bool> = const { Cell::new(false) };
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Runs one seed; if it fails, finds out with how few peers it still does.
fn run(mut plan: Plan) -> Seen {
    service::silence_planned_panics(|| IS_SHRINKING.get());
    if let Some(peers) = variable("SIMULATION_PEERS") {
        plan.peers = peers as usize;
    }
    let attempt = |plan| catch_unwind(AssertUnwindSafe(|| world::run(plan)));
    match attempt(plan) {
        Ok(seen) => {
            println!("{plan:?}: {seen:?}");
            seen
        }
        Err(panic) => {
            IS_SHRINKING.set(true);
            let (mut passes, mut fails) = (0, plan.peers);
            while fails - passes > 1 {
                let peers = usize::midpoint(passes, fails);
                match attempt(Plan { peers, ..plan }) {
                    Ok(_) => passes = peers,
                    Err(_) => fails = peers,
                }
            }
            println!(
                "SIMULATION_SEED={} SIMULATION_PEERS={fails} is the smallest that fails",
                plan.seed
            );
            std::panic::resume_unwind(panic);
        }
    }
}

/// Runs as many seeds as there is time for.
fn run_all(usual: u64, heavy: u64, plan: impl Fn(u64, &mut Dice) -> Plan) {
    let plan = |seed| plan(seed, &mut Dice::of(seed, u64::MAX));
    if let Some(seed) = variable("SIMULATION_SEED") {
        run(plan(seed));
        return;
    }
    let count = if client::is_heavy() { heavy } else { usual };
    let mut answers = 0;
    for seed in 1..=count {
        answers += run(plan(seed)).answers;
    }
    // A simulation in which nobody is answered shows nothing.
    assert!(answers > 100 * count as usize, "{answers} answers");
}

#[test]
fn all_kinds_of_peers_come_and_go() {
    run_all(4, 40, |seed, _| Plan {
        seed,
        peers: if client::is_heavy() { 3000 } else { 800 },
        tls: 3,
        is_patient: false,
        stops_at: None,
    });
}

#[test]
fn a_stop_ends_in_time_whatever_is_going_on() {
    run_all(4, 100, |seed, dice| Plan {
        seed,
        peers: 400,
        tls: 5,
        is_patient: dice.chance(50),
        stops_at: Some(dice.between(0, 60_000) as u64),
    });
}

#[test]
fn without_deadlines_nobody_is_sent_away_before_the_stop() {
    run_all(2, 50, |seed, _| Plan {
        seed,
        peers: 400,
        tls: 3,
        is_patient: true,
        stops_at: None,
    });
}
