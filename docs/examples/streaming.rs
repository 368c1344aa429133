//! A response that waits: server-sent events, one every second, for as long as the client listens.
//!
//! `cargo run --example streaming`, then `curl -N http://localhost:5000/` or a browser.
//!
//! No thread waits for a client. One thread makes the ticks and wakes every response; each response is a
//! [`BodySource`] that says [`Progress::Wait`] when it has told all it knows.

use stannel::header::{CACHE_CONTROL, CONTENT_TYPE};
use stannel::{
    BodyLength, BodySource, BodyWriter, Configuration, Exchange, Outcome, Progress, Request, Server, StatusCode, Waker,
};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// What the ticking thread and the responses share.
#[derive(Default)]
struct Ticker {
    count: AtomicU64,
    /// Weak, so that a response that ends takes its entry with it.
    listeners: Mutex<Vec<Weak<Waker>>>,
}

impl Ticker {
    fn listen(&self, waker: Waker) -> Arc<Waker> {
        let waker = Arc::new(waker);
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Arc::downgrade(&waker));
        waker
    }

    fn tick(&self) {
        self.count.fetch_add(1, Ordering::Release);
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.upgrade().inspect(|waker| waker.wake()).is_some());
    }
}

/// One client's response.
struct Events {
    ticker: Arc<Ticker>,
    told: u64,
    _waker: Arc<Waker>,
}

impl BodySource for Events {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        let count = self.ticker.count.load(Ordering::Acquire);
        if self.told == count {
            return Progress::Wait;
        }
        // A slow client is not told of each tick, only of the last one: nothing piles up for it.
        self.told = count;
        writer.put(format!("data: tick {count}\n\n").as_bytes());
        Progress::More
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Configuration::from_default_sources(std::env::args_os().skip(1))?.server_options()?;
    options.handle_signals = true;
    // These responses never end by themselves, so a stop need not wait for them.
    options.limits.shutdown_timeout = Duration::from_secs(1);

    let ticker = Arc::new(Ticker::default());
    let shared = Arc::clone(&ticker);
    let factory = move || {
        let ticker = Arc::clone(&shared);
        move |_: &Request<'_>, mut exchange: Exchange<'_>| -> Outcome {
            // Made before the exchange is consumed.
            let waker = ticker.listen(exchange.waker());
            let events = Events {
                told: ticker.count.load(Ordering::Acquire),
                ticker: Arc::clone(&ticker),
                _waker: waker,
            };
            exchange
                .respond(StatusCode::OK)
                .header(CONTENT_TYPE, "text/event-stream")
                .header(CACHE_CONTROL, "no-store")
                .stream(BodyLength::Unknown, events)
        }
    };
    let server = Server::new(options, factory).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1));
            ticker.tick();
        }
    });
    server.run()?;
    Ok(())
}
