//! Slow work on threads of its own: `cargo run --example deferred`, then `curl http://localhost:5000/primes/200000`.
//!
//! A handler never blocks. It hands the [`Responder`] to whoever does the work and goes on with the next request.

use stannel::{Configuration, Exchange, Handler, Outcome, Request, Responder, Server, StatusCode};
use std::error::Error;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The largest question that is worked on.
const MOST: u32 = 5_000_000;

/// How many questions may wait. More would only wait longer than anybody has patience for.
const QUEUE: usize = 100;

struct Job {
    below: u32,
    responder: Responder,
}

struct Primes {
    jobs: SyncSender<Job>,
}

impl Handler for Primes {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        let below = request
            .path()
            .strip_prefix("/primes/")
            .and_then(|number| number.parse().ok());
        let Some(below) = below.filter(|&below| below <= MOST) else {
            return exchange
                .respond(StatusCode::NOT_FOUND)
                .send(format!("ask for /primes/N, with N up to {MOST}\n"));
        };
        exchange.defer(|responder| {
            if let Err(error) = self.jobs.try_send(Job { below, responder }) {
                let (TrySendError::Full(job) | TrySendError::Disconnected(job)) = error;
                // It may be answered here just as well.
                let _ = job
                    .responder
                    .respond(StatusCode::SERVICE_UNAVAILABLE)
                    .send("too much to do, try again\n");
            }
        })
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { below, responder }) = job else { return };
        if responder.is_disconnected() {
            // Nobody waits for the answer any more.
            continue;
        }
        let count = primes_below(below);
        let answer = format!("there are {count} primes below {below}\n");
        // An error says that the client left meanwhile. There is nobody to tell.
        let _ = responder
            .respond(StatusCode::OK)
            .header("content-type", "text/plain")
            .send(answer);
    }
}

/// Slow on purpose.
fn primes_below(below: u32) -> usize {
    (2..below)
        .filter(|&number| {
            (2..)
                .take_while(|divisor| divisor * divisor <= number)
                .all(|divisor| number % divisor != 0)
        })
        .count()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Configuration::from_default_sources(std::env::args_os().skip(1))?.server_options()?;
    options.handle_signals = true;

    let (jobs, queue) = sync_channel(QUEUE);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..2 {
        let queue = Arc::clone(&queue);
        thread::spawn(move || work(&queue));
    }
    let server = Server::new(options, move || Primes { jobs: jobs.clone() }).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
