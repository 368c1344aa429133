//! Many connections on one loop, without sockets: what a request, a look at the timers and a connection's whole life cost
//! must not depend on how many others there are.

use std::hint::black_box;
use std::time::SystemTime;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use slab::Slab;
use stannel::connection::{Connection, Engine, Fate, Turn};
use stannel::timer::{Time, TimerWheel};
use stannel::{ConnectionInfo, Exchange, Peer, Request, ServerOptions};

use loopless::plaintext;
use requests::TECHEMPOWER;

#[path = "support/loopless.rs"]
mod loopless;
#[path = "../tests/support/requests.rs"]
mod requests;

/// What a worker has, but for its sockets.
struct Crowd {
    engine: Engine,
    connections: Slab<Connection>,
    wheel: TimerWheel,
    now: Time,
    /// How many came in all.
    came: u64,
}

impl Crowd {
    /// Connections that have had one answer and wait, with deadlines that are spread over all slots of the wheel.
    fn new(count: usize) -> Self {
        let handler = |_: &Request<'_>, exchange: Exchange<'_>| plaintext(exchange);
        let mut engine = Engine::new(&ServerOptions::default(), move || handler, || ());
        engine.set_wall_clock(SystemTime::UNIX_EPOCH);
        let mut crowd = Self {
            engine,
            connections: Slab::with_capacity(count),
            wheel: TimerWheel::new(),
            now: Time::ZERO,
            came: 0,
        };
        let keep_alive = ServerOptions::default().limits.keep_alive_timeout;
        let millis = keep_alive.expect("there is one by default").as_millis() as u64;
        for number in 0..count as u64 {
            crowd.set_time(Time::from_millis(number * millis / count as u64));
            crowd.come();
        }
        crowd
    }

    fn set_time(&mut self, now: Time) {
        self.now = now;
        self.engine.set_time(now);
    }

    /// A new connection and its first request.
    fn come(&mut self) {
        self.came += 1;
        let info = ConnectionInfo::new(self.came, Peer::Unix);
        let key = self.connections.insert(Connection::new(&self.engine, info, 0));
        self.request(key);
    }

    fn request(&mut self, key: usize) {
        let mut turn = self.connections[key].turn(&mut self.engine, key);
        turn.on_bytes(black_box(TECHEMPOWER.as_bytes()));
        let sent = turn.output().expect("a small response lies in one piece").len();
        turn.on_written(sent);
        assert_eq!(turn.fate(), Fate::Open);
        settle(&turn, &mut self.wheel, key);
    }

    /// Goes on in time until a connection ends that waited too long.
    fn end_next(&mut self) {
        loop {
            let Some(key) = self.wheel.pop_expired(self.now) else {
                self.set_time(self.now.plus_millis(256));
                continue;
            };
            let mut turn = self.connections[key].turn(&mut self.engine, key);
            if turn.deadline().is_some_and(|deadline| deadline <= self.now) {
                turn.on_timer();
                assert_eq!(turn.fate(), Fate::Close);
                turn.closed();
                drop(turn);
                self.connections.remove(key);
                return;
            }
            // It had a request meanwhile.
            settle(&turn, &mut self.wheel, key);
        }
    }
}

fn settle(turn: &Turn<'_>, wheel: &mut TimerWheel, key: usize) {
    match turn.deadline() {
        Some(deadline) => wheel.arm(key, deadline),
        None => wheel.disarm(key),
    }
}

fn scale(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scale");
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let mut crowd = Crowd::new(count);
        // As many are busy however many there are, and they lie far apart.
        let mut busy = (0..count).step_by(count / BUSY).cycle();
        group.bench_function(BenchmarkId::new("request", count), |bencher| {
            bencher.iter(|| crowd.request(busy.next().expect("it goes round")));
        });
        group.bench_function(BenchmarkId::new("tick", count), |bencher| {
            bencher.iter(|| {
                let now = black_box(crowd.now);
                assert!(crowd.wheel.pop_expired(now).is_none());
                crowd.wheel.next_deadline(now)
            });
        });
        group.bench_function(BenchmarkId::new("life", count), |bencher| {
            bencher.iter(|| {
                crowd.end_next();
                crowd.come();
            });
        });
    }
    group.finish();
}

const BUSY: usize = 1_000;

criterion_group!(benches, scale);
criterion_main!(benches);
