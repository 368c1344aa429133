//! One loop with all its connections and their peers, in a time of its own. After every step everything is checked that
//! must hold at any moment.

use super::dice::Dice;
use super::ledger::Ledger;
use super::peer::Peer;
use super::service::{Hold, Service, address, limit, release};
use super::tls;
use stannel::connection::{Connection, Engine, Fate, Turn};
use stannel::timer::Time;
use stannel::tls::TlsEndpoint;
use stannel::{CloseReason, ConnectionInfo, Limits, ServerOptions};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) peers: usize,
    /// So many in a hundred speak TLS.
    pub(crate) tls: usize,
    /// Whether all times that can be `None` are.
    pub(crate) is_patient: bool,
    /// When the server begins to stop.
    pub(crate) stops_at: Option<u64>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) steps: usize,
    pub(crate) answers: usize,
    /// The most bytes of one connection, and of all.
    pub(crate) largest: usize,
    pub(crate) most: usize,
    pub(crate) ended_at: u64,
}

/// The most bytes that one connection may hold between its turns. Plain: a full input buffer and one small read, doubled;
/// and twice the largest answer behind a full output buffer, because sent bytes are kept until they are half of it. Inside
/// TLS one record more each way.
const MEMORY: [usize; 2] = [132 << 10, 192 << 10];

/// Within that time everybody has come who comes.
const ARRIVALS: usize = 30_000;

/// How long the loop is busy elsewhere.
const STALL: Duration = Duration::from_secs(3);

/// No deadline is further away: a response of 100 KB at 240 bytes a second.
const FURTHEST: u64 = 500_000;

static ENDPOINT: LazyLock<Arc<TlsEndpoint>> = LazyLock::new(tls::any_endpoint);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    /// The peer does what it does next.
    Act(usize),
    /// It reads what its kernel has.
    Read(usize),
    Reset(usize),
    /// The connection reads and writes.
    Serve(usize),
    Timer(usize),
    Release(usize),
    Deliver,
    /// The loop is busy elsewhere; peers go on meanwhile.
    Stall,
    StallEnd,
    Stop,
    StopTimeout,
}

struct World {
    plan: Plan,
    dice: Dice,
    now: u64,
    busy_until: u64,
    engine: Engine,
    service: Service,
    ledger: Arc<Ledger>,
    limits: Limits,
    bell: Arc<AtomicBool>,
    events: BinaryHeap<Reverse<(u64, usize, Event)>>,
    numbers: usize,
    sides: Vec<Option<Side>>,
    /// Which peer has that key; keys are used again.
    keys: Vec<Option<usize>>,
    holds: Vec<Option<Hold>>,
    /// Peers whose hold is over as soon as the letter is delivered.
    released: Vec<usize>,
    is_stopping: bool,
    memory: usize,
    seen: Seen,
}

/// Both ends of one connection.
struct Side {
    peer: Peer,
    connection: Option<Connection>,
    key: usize,
    /// How many waits of the service it is in.
    held: usize,
    is_tunnel: bool,
    is_queued: bool,
    armed: Option<u64>,
    was_cut: bool,
    memory: usize,
}

/// Lets it all happen.
pub(crate) fn run(plan: Plan) -> Seen {
    let mut world = World::new(plan);
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        world.seen.steps += 1;
        world.set_time(at);
        world.happen(event);
        let wrong = world.service.wrong();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    world.finish()
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut options = ServerOptions::default();
        limit(&mut options.limits, plan.is_patient);
        options.limits.validate().unwrap();
        let ledger = Arc::new(Ledger::default());
        options.observer = Some(Arc::clone(&ledger) as Arc<dyn stannel::Observer>);
        let service = Service::default();
        let (handler, bell) = (service.clone(), Arc::new(AtomicBool::new(false)));
        let rope = Arc::clone(&bell);
        let mut engine = Engine::new(
            &options,
            move || handler.clone(),
            move || rope.store(true, Ordering::Relaxed),
        );
        engine.set_wall_clock(SystemTime::UNIX_EPOCH);
        let mut world = Self {
            plan,
            dice: Dice::new(plan.seed),
            now: 0,
            busy_until: 0,
            engine,
            service,
            ledger,
            limits: options.limits,
            bell,
            events: BinaryHeap::new(),
            numbers: 0,
            sides: (0..plan.peers).map(|_| None).collect(),
            keys: Vec::new(),
            holds: Vec::new(),
            released: Vec::new(),
            is_stopping: false,
            memory: 0,
            seen: Seen::default(),
        };
        for number in 0..plan.peers {
            let after = Dice::of(plan.seed, number as u64).below(ARRIVALS) as u64;
            world.after(after, Event::Arrive(number));
        }
        for _ in 0..3 {
            let after = world.dice.below(2 * ARRIVALS) as u64;
            world.after(after, Event::Stall);
        }
        if let Some(at) = plan.stops_at {
            world.after(at, Event::Stop);
        }
        world
    }

    fn after(&mut self, millis: u64, event: Event) {
        self.numbers += 1;
        self.events.push(Reverse((self.now + millis, self.numbers, event)));
    }

    fn set_time(&mut self, now: u64) {
        self.now = now;
        self.engine.set_time(Time::from_millis(now));
    }

    fn happen(&mut self, event: Event) {
        let is_busy = self.now < self.busy_until;
        match event {
            // Like the shell, it looks at sockets before it looks at timers.
            Event::Arrive(_)
            | Event::Serve(_)
            | Event::Reset(_)
            | Event::Deliver
            | Event::Stop
            | Event::StopTimeout
                if is_busy =>
            {
                self.after(self.busy_until - self.now, event);
            }
            Event::Timer(_) if is_busy => self.after(self.busy_until - self.now + 2, event),
            Event::Stall if is_busy => {}
            // The listening socket is closed.
            Event::Arrive(_) if self.is_stopping => {}
            Event::Arrive(number) => self.arrive(number),
            Event::Act(number) => self.act(number),
            Event::Read(number) => self.act(number),
            Event::Reset(number) => {
                self.side(number).was_cut = true;
                if self.is_open(number) {
                    self.turn(number, |turn, _| turn.on_disconnect(CloseReason::Reset));
                }
            }
            Event::Serve(number) => {
                self.side(number).is_queued = false;
                self.serve(number);
            }
            Event::Timer(number) => self.timer(number),
            Event::Release(hold) => {
                let hold = self.holds[hold].take().expect("it is released once");
                let number = hold.peer;
                let released = release(hold);
                assert_eq!(
                    released.is_sent, released.is_there,
                    "an answer to {number} is lost without a word"
                );
                if released.is_there {
                    assert!(
                        self.is_open(number),
                        "the service believes in connection {number}, which is over"
                    );
                }
                self.released.push(number);
                // Some leave while their answer is on its way, and somebody else gets their key.
                if self.dice.chance(15) {
                    self.after(0, Event::Reset(number));
                }
                // Perhaps nobody is there to send a letter to.
                if !self.bell.load(Ordering::Relaxed) {
                    self.after(1000, Event::Deliver);
                }
            }
            Event::Deliver => self.deliver(),
            Event::Stall => {
                let millis = STALL.as_millis() as u64;
                self.busy_until = self.now + millis;
                self.after(millis, Event::StallEnd);
            }
            Event::StallEnd => self.engine.add_stall(STALL),
            Event::Stop => self.stop(),
            Event::StopTimeout => self.stop_timeout(),
        }
        if self.bell.swap(false, Ordering::Relaxed) {
            // Long enough for another connection to get the key that a letter is for.
            let after = self.dice.one_of(&[0, 5, 1000]);
            let after = self.dice.between(0, after) as u64;
            self.after(after, Event::Deliver);
        }
    }

    /// Holds are released after a while.
    fn note_holds(&mut self) {
        for hold in self.service.new_holds() {
            self.side(hold.peer).held += 1;
            let after = self.dice.one_of(&[0, 1, 100, 15_000]);
            let after = self.dice.between(0, after) as u64;
            self.holds.push(Some(hold));
            self.after(after, Event::Release(self.holds.len() - 1));
        }
    }

    fn side(&mut self, number: usize) -> &mut Side {
        self.sides[number].as_mut().expect("it has come")
    }

    fn is_open(&mut self, number: usize) -> bool {
        self.side(number).connection.is_some()
    }

    fn arrive(&mut self, number: usize) {
        let mut dice = Dice::of(self.plan.seed, number as u64);
        let is_tls = dice.chance(self.plan.tls);
        let peer = Peer::new(number, dice, is_tls.then(tls::Peer::any));
        let from = stannel::Peer::Tcp((address(number), 1).into());
        let info = ConnectionInfo::new(number as u64 + 1, from);
        let connection = if is_tls {
            Connection::secured(&self.engine, info, 0, &ENDPOINT)
        } else {
            Connection::new(&self.engine, info, 0)
        };
        let key = self.keys.iter().position(Option::is_none).unwrap_or(self.keys.len());
        if key == self.keys.len() {
            self.keys.push(None);
        }
        self.keys[key] = Some(number);
        let reset = peer.resets_after();
        self.sides[number] = Some(Side {
            peer,
            connection: Some(connection),
            key,
            held: 0,
            is_tunnel: false,
            is_queued: false,
            armed: None,
            was_cut: false,
            memory: 0,
        });
        if let Some(after) = reset {
            self.after(after, Event::Reset(number));
        }
        // What a client of TLS says first.
        let side = self.side(number);
        if let Some(tls) = &mut side.peer.tls {
            let records = tls.records();
            side.peer.flight.extend(records);
        }
        self.after(0, Event::Act(number));
        self.serve(number);
    }

    fn act(&mut self, number: usize) {
        let Some(again) = self.side(number).peer.act() else {
            return self.queue(number);
        };
        self.after(again, Event::Act(number));
        self.queue(number);
    }

    /// Its socket is ready, perhaps.
    fn queue(&mut self, number: usize) {
        let side = self.side(number);
        if side.connection.is_some() && !side.is_queued {
            side.is_queued = true;
            let after = self.dice.below(2) as u64;
            self.after(after, Event::Serve(number));
        }
    }

    /// What the shell does when it comes to a connection: a few rounds of reading and writing.
    fn serve(&mut self, number: usize) {
        for _ in 0..4 {
            if !self.is_open(number) {
                return;
            }
            let luck = self.dice.roll();
            let did_something = self.turn(number, |turn, peer| {
                if turn.has_more() {
                    turn.on_room();
                    return true;
                }
                if !turn.wants_read() || (peer.flight.is_empty() && !peer.is_ended) {
                    return false;
                }
                if peer.flight.is_empty() {
                    turn.on_read(0);
                    return true;
                }
                let buffer = turn.read_buffer();
                assert!(!buffer.is_empty(), "it wants to read into nothing");
                let most = buffer.len().min(peer.flight.len());
                // Mostly all of it, now and then only a part.
                let count = if luck.is_multiple_of(4) {
                    1 + (luck >> 8) as usize % most
                } else {
                    most
                };
                for (slot, byte) in buffer.iter_mut().zip(peer.flight.drain(..count)) {
                    *slot = byte;
                }
                turn.on_read(count);
                true
            });
            if !did_something {
                return;
            }
        }
        self.queue(number);
    }

    fn timer(&mut self, number: usize) {
        if !self.is_open(number) {
            return;
        }
        let now = self.now;
        let side = self.side(number);
        let is_due = side.armed.is_some_and(|armed| armed <= now);
        if is_due {
            side.armed = None;
            self.turn(number, |turn, _| turn.on_timer());
            let side = self.side(number);
            let is_past = side.connection.is_some() && side.armed.is_some_and(|armed| armed <= now);
            assert!(!is_past, "the deadline of connection {number} never passes");
        }
    }

    fn deliver(&mut self) {
        for delivery in self.engine.deliveries() {
            let number = self.keys[delivery.key()];
            if let Some(number) = number {
                self.turn(number, |turn, _| delivery.to(turn));
            }
        }
        for number in std::mem::take(&mut self.released) {
            self.side(number).held -= 1;
            if self.is_open(number) {
                self.turn(number, |_, _| ());
            }
        }
    }

    fn stop(&mut self) {
        self.is_stopping = true;
        self.engine.begin_draining();
        self.each_open(|turn| turn.on_shutdown());
        let timeout = self.limits.shutdown_timeout.as_millis() as u64;
        self.after(timeout, Event::StopTimeout);
    }

    fn stop_timeout(&mut self) {
        self.each_open(|turn| turn.on_shutdown_timeout());
        assert!(self.keys.iter().all(Option::is_none), "a stop does not end in time");
    }

    fn each_open(&mut self, tell: impl Fn(&mut Turn<'_>)) {
        for number in self.keys.clone().into_iter().flatten() {
            self.side(number).was_cut = true;
            self.turn(number, |turn, _| tell(turn));
        }
    }

    /// One turn of an open connection, then writing, then what has to be done with its socket, then all checks.
    fn turn<R>(&mut self, number: usize, work: impl FnOnce(&mut Turn<'_>, &mut Peer) -> R) -> R {
        let side = self.sides[number].as_mut().expect("it has come");
        let connection = side.connection.as_mut().expect("it is open");
        let mut turn = connection.turn(&mut self.engine, side.key);
        let result = work(&mut turn, &mut side.peer);
        let mut came = false;
        let room = side.peer.room();
        if turn.has_output() && room > 0 {
            let mut bytes = Vec::new();
            turn.copy_output(&mut bytes);
            bytes.truncate(room);
            turn.on_written(bytes.len());
            side.peer.take(&bytes);
            came = true;
        }
        let mut is_over = false;
        loop {
            match turn.fate() {
                Fate::Open => break,
                Fate::ShutWrite => {
                    turn.on_write_shut();
                    side.peer.has_seen_end = true;
                    came = true;
                }
                Fate::Close | Fate::Abort => {
                    turn.closed();
                    side.peer.has_seen_end = true;
                    is_over = true;
                    break;
                }
            }
        }
        let goes_on = !is_over && (turn.has_more() || !side.peer.flight.is_empty() && turn.wants_read());
        let goes_on = goes_on || !is_over && side.peer.is_ended && turn.wants_read();
        drop(turn);
        self.note_holds();
        if came {
            let after = self.side(number).peer.reading();
            self.after(after, Event::Read(number));
        }
        if is_over {
            self.over(number);
        } else {
            self.check(number);
            if goes_on {
                self.queue(number);
            }
        }
        result
    }

    fn over(&mut self, number: usize) {
        let side = self.side(number);
        side.connection = None;
        let (key, memory) = (side.key, std::mem::take(&mut side.memory));
        self.memory -= memory;
        self.keys[key] = None;
        self.seen.ended_at = self.now;
    }

    /// What must hold for an open connection at any moment.
    fn check(&mut self, number: usize) {
        let responses = self.ledger.responses(number);
        let (now, is_patient) = (self.now, self.plan.is_patient);
        let side = self.sides[number].as_mut().expect("it has come");
        let connection = side.connection.as_mut().expect("it is open");
        let memory = connection.memory();
        let turn = connection.turn(&mut self.engine, side.key);
        let (has_output, wants_read, has_more) = (turn.has_output(), turn.wants_read(), turn.has_more());
        let deadline = turn.deadline().map(Time::as_millis);
        drop(turn);

        side.is_tunnel |= responses.is_upgraded;
        let waits_for_service = side.held > 0 || side.is_tunnel;
        let waits_for_peer = has_output || (wants_read && !has_more && !waits_for_service);
        let is_quiet = side.peer.is_quiet(responses.count) && !has_output;
        let is_tls = usize::from(side.peer.tls.is_some());
        let wrong = if !(has_output || wants_read || has_more || waits_for_service) {
            Some("it waits for nobody")
        } else if waits_for_peer && deadline.is_none() && !is_patient {
            Some("it would wait for ever")
        } else if deadline.is_some_and(|deadline| deadline > now + FURTHEST) {
            Some("its deadline is too far away")
        } else if memory > MEMORY[is_tls] {
            Some("it holds too much memory")
        } else if is_quiet && memory > 0 {
            Some("it is idle and holds memory")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let (manner, entry) = (side.peer.manner, self.ledger.entry(number));
            panic!(
                "{wrong}: {connection:?} at {now} until {deadline:?}, {memory} bytes, {manner:?}, {entry:?}, {}",
                side.peer.asks()
            );
        }
        self.memory = self.memory - side.memory + memory;
        side.memory = memory;
        self.seen.largest = self.seen.largest.max(memory);
        self.seen.most = self.seen.most.max(self.memory);
        if let Some(deadline) = deadline
            && side.armed.is_none_or(|armed| deadline < armed)
        {
            side.armed = Some(deadline);
            // The wheel is never early, but it may be late.
            let late = self.dice.below(300) as u64;
            self.after((deadline.saturating_sub(now)) + late, Event::Timer(number));
        } else if deadline.is_none() {
            side.armed = None;
        }
    }

    /// Nothing happens any more. Whoever is still there was never told to go.
    fn finish(mut self) -> Seen {
        for number in self.keys.clone().into_iter().flatten() {
            let is_patient = self.plan.is_patient;
            let side = self.side(number);
            let manner = side.peer.manner;
            assert!(
                side.is_tunnel || is_patient && !side.peer.leaves_by_itself(),
                "connection {number} is left over: {manner:?}"
            );
        }
        if !self.is_stopping {
            self.stop();
            while let Some(Reverse((at, _, event))) = self.events.pop() {
                self.set_time(at);
                self.happen(event);
            }
        }
        assert_eq!(self.memory, 0, "memory is not given back");
        assert!(self.engine.deliveries().is_empty());
        let mut came = 0;
        for side in self.sides.iter().flatten() {
            came += 1;
            let number = side.peer.number;
            let entry = self.ledger.entry(number).unwrap_or_default();
            self.seen.answers += entry.responses();
            let checked = entry.check().and_then(|()| side.peer.check(side.was_cut));
            if let Err(wrong) = checked {
                panic!("peer {number}, {:?}, {:?}: {wrong}", side.peer.manner, entry.reason());
            }
        }
        assert_eq!(self.ledger.connections(), came);
        self.seen
    }
}
