//! The peers of the simulation with sockets of their own, all on the thread of the test.

use super::dice::Dice;
use super::ledger::Ledger;
use super::peer::Peer;
use super::service::{Hold, Service, address, release};
use super::tls;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// Longer than anything takes on a machine that is busy with other things.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What the simulation takes for a millisecond, and the most of them that anybody waits here.
const MILLISECOND: Duration = Duration::from_micros(100);
const MILLISECONDS: u64 = 20;

/// Whoever reads less at once would take minutes for a long answer.
const LEAST_READ: usize = 500;

/// Whoever drips a long body does so for so many pieces; then so many of them go at once.
const DRIPS: usize = 100;

/// Within that time everybody has come who comes.
const ARRIVALS: usize = 100_000;

/// So many in a hundred speak TLS.
const TLS: usize = 30;

/// Sizes of a socket's buffers, with sizes of segments. Those that hardly fit have the kernel wait for its own timers.
const SIZES: [(usize, u32); 4] = [(4000, 100), (10_000, 536), (60_000, 1460), (200_000, 30_000)];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Come(usize),
    Act(usize),
    Reset(usize),
    Release(usize),
}

pub(super) struct Crowd {
    seed: u64,
    /// Where the server listens, without TLS and with it.
    servers: [SocketAddr; 2],
    dice: Dice,
    poll: Poll,
    began: Instant,
    agenda: BinaryHeap<Reverse<(Duration, usize, Event)>>,
    numbers: usize,
    seats: Vec<Option<Seat>>,
    service: Service,
    holds: Vec<Option<Hold>>,
    is_cut: bool,
}

/// One peer with its socket, until it has left.
struct Seat {
    peer: Peer,
    stream: Option<TcpStream>,
    /// When it acts next.
    acts: Option<Duration>,
    /// How often it did.
    acted: usize,
    is_shut: bool,
    was_cut: bool,
}

impl Crowd {
    pub(super) fn new(seed: u64, peers: usize, servers: [SocketAddr; 2], service: Service) -> Self {
        let mut crowd = Self {
            seed,
            servers,
            dice: Dice::new(seed),
            poll: Poll::new().unwrap(),
            began: Instant::now(),
            agenda: BinaryHeap::new(),
            numbers: 0,
            seats: (0..peers).map(|_| None).collect(),
            service,
            holds: Vec::new(),
            is_cut: false,
        };
        for number in 0..peers {
            let after = crowd.dice.below(ARRIVALS) as u64;
            crowd.after(Duration::from_micros(after), Event::Come(number));
        }
        crowd
    }

    /// Lets everything happen while that is so.
    pub(super) fn live_while(&mut self, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = self.now() + PATIENCE;
        let mut events = Events::with_capacity(256);
        while is_so(self) {
            assert!(
                self.now() < deadline,
                "after {PATIENCE:?} {} peers are still there",
                self.present()
            );
            // Whoever is held or has a stop to wait for is not told by the poll.
            self.poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap();
            for event in &events {
                let Token(number) = event.token();
                let after = self.seats[number].as_mut().map(|seat| seat.peer.reading());
                self.act_after(number, after.unwrap_or_default());
            }
            self.note_holds();
            while let Some(Reverse((at, ..))) = self.agenda.peek()
                && *at <= self.now()
            {
                let Reverse((at, _, event)) = self.agenda.pop().expect("it was there");
                self.happen(at, event);
            }
        }
    }

    /// Whether everybody has come, and only those are left who wait for the server to end.
    pub(super) fn is_at_rest(&self) -> bool {
        let mut seats = self.seats.iter();
        seats.all(|seat| {
            seat.as_ref()
                .is_some_and(|seat| seat.stream.is_none() || !seat.peer.leaves_by_itself())
        })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How many have their socket open.
    pub(super) fn present(&self) -> usize {
        let seats = self.seats.iter().flatten();
        seats.filter(|seat| seat.stream.is_some()).count()
    }

    /// The server is going to stop: nobody comes any more, and whoever is there may not get all that it asked for.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
        for seat in self.seats.iter_mut().flatten() {
            seat.was_cut |= seat.stream.is_some();
        }
    }

    /// Whether everybody whom the server has seen got what was theirs; how many that were.
    pub(super) fn check(&mut self, ledger: &Ledger) -> usize {
        let wrong = self.service.wrong();
        assert!(wrong.is_empty(), "{wrong:?}");
        let mut known = 0;
        for seat in self.seats.iter_mut().flatten() {
            // What came before the server ended.
            seat.read();
            let peer = &seat.peer;
            let Some(entry) = ledger.entry(peer.number) else {
                assert!(seat.was_cut, "peer {} was never accepted", peer.number);
                continue;
            };
            known += 1;
            if let Err(wrong) = entry.check().and_then(|()| peer.check(seat.was_cut)) {
                panic!("peer {}, {:?}, {:?}: {wrong}", peer.number, peer.manner, entry.reason());
            }
        }
        known
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn after(&mut self, time: Duration, event: Event) {
        self.numbers += 1;
        self.agenda.push(Reverse((self.now() + time, self.numbers, event)));
    }

    fn act_after(&mut self, number: usize, millis: u64) {
        let at = self.now() + MILLISECOND * millis.min(MILLISECONDS) as u32;
        let Some(seat) = &mut self.seats[number] else { return };
        if seat.acts.is_none_or(|acts| at < acts) {
            seat.acts = Some(at);
            self.numbers += 1;
            self.agenda.push(Reverse((at, self.numbers, Event::Act(number))));
        }
    }

    fn note_holds(&mut self) {
        for hold in self.service.new_holds() {
            let after = self.dice.one_of(&[0, 1, 10]);
            self.holds.push(Some(hold));
            self.after(MILLISECOND * after, Event::Release(self.holds.len() - 1));
        }
    }

    fn happen(&mut self, at: Duration, event: Event) {
        match event {
            Event::Come(_) if self.is_cut => {}
            Event::Come(number) => self.come(number),
            Event::Act(number) => {
                let seat = self.seats[number].as_mut().expect("it has come");
                if seat.acts == Some(at) {
                    seat.acts = None;
                    if let Some(again) = seat.act() {
                        self.act_after(number, again);
                    }
                }
            }
            Event::Reset(number) => {
                let seat = self.seats[number].as_mut().expect("it has come");
                if let Some(stream) = seat.stream.take() {
                    seat.was_cut = true;
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
            Event::Release(hold) => {
                // Whoever waited for it may leave at any moment.
                release(self.holds[hold].take().expect("it is released once"));
            }
        }
    }

    fn come(&mut self, number: usize) {
        let mut dice = Dice::of(self.seed, number as u64);
        let is_tls = dice.chance(TLS);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let (buffer, segment) = dice.one_of(&SIZES);
        socket.set_recv_buffer_size(buffer).unwrap();
        socket.set_send_buffer_size(buffer).unwrap();
        socket.set_tcp_mss(segment).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        let stream = connect(number, self.servers[usize::from(is_tls)], socket).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(number), interest)
            .unwrap();
        let mut peer = Peer::new(number, dice, is_tls.then(tls::Peer::any));
        if let Some(tls) = &mut peer.tls {
            let records = tls.records();
            peer.flight.extend(records);
        }
        if let Some(after) = peer.resets_after() {
            self.after(Duration::from_micros(after), Event::Reset(number));
        }
        self.seats[number] = Some(Seat {
            peer,
            stream: Some(stream),
            acts: None,
            acted: 0,
            is_shut: false,
            was_cut: false,
        });
        self.act_after(number, 0);
    }
}

impl Seat {
    /// Reads, does what it does next, and writes; says when it wants to do more.
    fn act(&mut self) -> Option<u64> {
        let may_have_more = self.read();
        let mut again = self.peer.act();
        self.acted += 1;
        if self.acted > DRIPS {
            for _ in 0..DRIPS {
                again = again.and_then(|_| self.peer.act());
            }
        }
        self.write();
        if self.is_shut && self.peer.has_seen_end {
            self.stream = None;
            return None;
        }
        if may_have_more && self.peer.room() > 0 {
            let reading = self.peer.reading();
            return Some(again.map_or(reading, |again| again.min(reading)));
        }
        again
    }

    /// Whether there may be more for which there was no room.
    fn read(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut buffer = [0; 4096];
        while !self.peer.has_seen_end {
            if self.peer.room() == 0 {
                return true;
            }
            let room = self.peer.room().clamp(LEAST_READ, buffer.len());
            match stream.read(&mut buffer[..room]) {
                Ok(0) => self.peer.has_seen_end = true,
                Ok(count) => self.peer.take(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                    self.peer.has_seen_end = true;
                }
            }
        }
        false
    }

    fn write(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let flight = &mut self.peer.flight;
        while !flight.is_empty() {
            match stream.write(flight.as_slices().0) {
                Ok(count) => drop(flight.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody takes it any more.
                Err(error) => {
                    let kind = error.kind();
                    assert!(
                        matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
                        "{error}"
                    );
                    flight.clear();
                }
            }
        }
        if self.peer.is_ended && !self.is_shut {
            self.is_shut = true;
            // Who was reset has no side to shut.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

/// Connects from where the peer with that number comes from.
pub(super) fn connect(number: usize, server: SocketAddr, socket: Socket) -> io::Result<std::net::TcpStream> {
    socket.bind(&SocketAddr::from((address(number), 0)).into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}
