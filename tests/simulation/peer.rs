//! One peer: how it sends, how it reads, how it leaves, and whether what it got is what it had to get.

#![allow(dead_code, reason = "each user takes some of it")]

use super::dice::Dice;
use super::response;
use super::script::{self, Expect, Planned};
use super::tls;
use std::collections::VecDeque;

/// How somebody leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Leaving {
    /// Closes when everything is answered.
    Close,
    /// Shuts down its write side behind the last byte.
    HalfClose,
    /// Never.
    Never,
    /// Resets after so many milliseconds, whatever is going on.
    Reset(u64),
}

/// How somebody behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pipelines: bool,
    /// The most that is sent at once, and the longest time between two pieces.
    piece: usize,
    pause: u64,
    /// How much its kernel takes before it has read, and the longest time until it has.
    window: usize,
    reading: u64,
    /// Falls silent behind so many bytes; reads on or not.
    silent: Option<usize>,
    is_deaf: bool,
    leaving: Leaving,
    /// Damages that byte of what is sent inside TLS.
    damage: Option<usize>,
}

pub(crate) struct Peer {
    pub(crate) number: usize,
    pub(crate) manner: Manner,
    pub(crate) dice: Dice,
    pub(crate) tls: Option<tls::Peer>,
    requests: Vec<Planned>,
    /// What of which request was sent.
    request: usize,
    offset: usize,
    sent: usize,
    /// On its way to the server; then its end.
    pub(crate) flight: VecDeque<u8>,
    pub(crate) is_ended: bool,
    /// What came, as it lay in the records.
    received: Vec<u8>,
    /// How many bytes had come when the answers in them were counted, and how many there were.
    counted: (usize, usize),
    /// Bytes that its kernel has and it has not read.
    unread: usize,
    /// Whether the server has said its last word.
    pub(crate) has_seen_end: bool,
    is_broken: bool,
}

impl Manner {
    fn any(dice: &mut Dice, is_tls: bool) -> Self {
        let (piece, pause) = dice.one_of(&[(20, 1), (200, 5), (2000, 5), (100_000, 0)]);
        let mut manner = Self {
            pipelines: dice.chance(50),
            piece,
            pause,
            window: dice.one_of(&[1000, 10_000, 200_000]),
            reading: dice.one_of(&[0, 1, 10]),
            silent: None,
            is_deaf: false,
            leaving: Leaving::Close,
            damage: None,
        };
        match dice.below(14) {
            0 => manner.silent = Some(dice.below(3000)),
            1 => manner.is_deaf = true,
            2 => manner.leaving = Leaving::Reset(dice.below(20_000) as u64),
            3 => manner.leaving = Leaving::Never,
            4 => (manner.piece, manner.pause) = (dice.between(1, 100), 8000),
            5 => (manner.window, manner.reading) = (dice.between(1, 2000), 8000),
            6 if is_tls => manner.damage = Some(dice.below(3000)),
            7 | 8 => manner.leaving = Leaving::HalfClose,
            _ => {}
        }
        manner
    }

    /// Whether it does nothing that would cost it an answer.
    fn is_good(&self) -> bool {
        let is_quick = self.pause < 10 && self.reading < 100;
        let stays = !matches!(self.leaving, Leaving::Reset(_));
        is_quick && stays && self.silent.is_none() && !self.is_deaf && self.damage.is_none()
    }
}

impl Peer {
    pub(crate) fn new(number: usize, mut dice: Dice, tls: Option<tls::Peer>) -> Self {
        let manner = Manner::any(&mut dice, tls.is_some());
        let count = dice.below(7);
        let requests = script::write(number, count, &mut dice);
        Self {
            number,
            manner,
            dice,
            tls,
            requests,
            request: 0,
            offset: 0,
            sent: 0,
            flight: VecDeque::new(),
            is_ended: false,
            received: Vec::new(),
            counted: (0, 0),
            unread: 0,
            has_seen_end: false,
            is_broken: false,
        }
    }

    /// The request that it is at, for whoever looks for a mistake.
    pub(crate) fn asks(&self) -> String {
        let at = self
            .requests
            .get(self.request.saturating_sub(usize::from(self.offset == 0)));
        let head = at.map(|planned| {
            planned
                .bytes
                .split(|&byte| byte == b'\n')
                .take(6)
                .collect::<Vec<_>>()
                .concat()
        });
        String::from_utf8_lossy(&head.unwrap_or_default()).into_owned()
    }

    /// Whether it leaves sooner or later, if it is answered.
    pub(crate) fn leaves_by_itself(&self) -> bool {
        self.manner.silent.is_none() && !self.manner.is_deaf && self.manner.leaving != Leaving::Never
    }

    pub(crate) fn resets_after(&self) -> Option<u64> {
        match self.manner.leaving {
            Leaving::Reset(after) => Some(after),
            _ => None,
        }
    }

    /// How much the server can write now.
    pub(crate) fn room(&self) -> usize {
        self.manner.window.saturating_sub(self.unread)
    }

    /// Its kernel takes these bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.unread += bytes.len();
        let Some(tls) = &mut self.tls else {
            self.received.extend_from_slice(bytes);
            return;
        };
        match tls.open(bytes) {
            Ok(plain) => self.received.extend(plain),
            Err(_) => self.is_broken = true,
        }
        if !self.is_ended {
            let records = tls.records();
            self.flight.extend(records);
        }
    }

    /// Does what it does next; says when it wants to do more, if it is not for the server to do something first.
    pub(crate) fn act(&mut self) -> Option<u64> {
        if !self.manner.is_deaf {
            self.unread = 0;
        }
        if self.is_ended || self.manner.silent.is_some_and(|most| self.sent >= most) {
            return None;
        }
        if self.has_seen_end {
            // Whoever hears the end ends as well.
            self.end();
            return None;
        }
        let may_send = self.manner.pipelines || self.answers() >= self.request;
        let Some(planned) = self.requests.get(self.request) else {
            let is_done = self.answers() >= self.requests.len() && self.echo_is_complete();
            match self.manner.leaving {
                // What waits for the handshake is not sent yet.
                _ if self.tls.as_ref().is_some_and(|tls| tls.tls.is_handshaking()) => {}
                Leaving::HalfClose => self.end(),
                Leaving::Close if is_done => self.end(),
                _ => {}
            }
            return None;
        };
        if !may_send {
            return None;
        }
        let size = self
            .dice
            .between(1, self.manner.piece)
            .min(planned.bytes.len() - self.offset);
        let piece = &planned.bytes[self.offset..self.offset + size];
        let first = self.flight.len();
        match &mut self.tls {
            None => self.flight.extend(piece),
            Some(tls) => self.flight.extend(tls.seal(piece)),
        }
        if let Some(at) = self.manner.damage
            && (self.sent..self.sent + size).contains(&at)
            && let Some(byte) = self.flight.range_mut(first..).next_back()
        {
            *byte ^= 0x40;
        }
        self.sent += size;
        self.offset += size;
        if self.offset == planned.bytes.len() {
            self.offset = 0;
            self.request += 1;
        }
        Some(self.pause(self.manner.pause))
    }

    /// How long until it looks at what came.
    pub(crate) fn reading(&mut self) -> u64 {
        self.pause(self.manner.reading)
    }

    fn pause(&mut self, most: u64) -> u64 {
        self.dice.between(0, most as usize) as u64
    }

    fn end(&mut self) {
        if let Some(tls) = &mut self.tls
            && self.dice.chance(50)
        {
            tls.tls.send_close_notify();
            let records = tls.records();
            self.flight.extend(records);
        }
        self.is_ended = true;
    }

    fn answers(&mut self) -> usize {
        if self.counted.0 < self.received.len() {
            let count = self.read(false).map_or(0, |received| received.responses.len());
            self.counted = (self.received.len(), count);
        }
        self.counted.1
    }

    /// Whether all that it said in a tunnel has come back, if it is in one.
    fn echo_is_complete(&self) -> bool {
        match self.requests.last().map(|last| &last.expect) {
            Some(Expect::Echo(said)) => self.received.ends_with(said),
            _ => true,
        }
    }

    fn read(&self, is_ended: bool) -> Result<response::Received, String> {
        let answers_head = |index: usize| self.requests.get(index).is_some_and(|request| request.is_head);
        response::read(&self.received, is_ended, answers_head)
    }

    /// Whether all that it sent was whole requests, which the server has, and it has so many answers.
    pub(crate) fn is_quiet(&self, answers: usize) -> bool {
        let is_plain = self.requests[..self.request]
            .iter()
            .all(|request| !request.expect.is_last());
        is_plain
            && self.offset == 0
            && self.flight.is_empty()
            && answers == self.request
            && self.manner.damage.is_none()
    }

    /// Whether what it got is what it had to get; `was_cut` if the server was not free to finish.
    pub(crate) fn check(&self, was_cut: bool) -> Result<(), String> {
        let is_good = self.manner.is_good() && !was_cut;
        if is_good && self.is_broken {
            return Err("its session broke".to_owned());
        }
        let received = self.read(true)?;
        let rest = &self.received[received.rest.clone()];
        let mut answers = received.responses.iter();
        let last = self.requests.last().map(|last| &last.expect);
        // A reset takes with it what was not sent.
        let is_reset = matches!(last, Some(Expect::Nothing)) && self.manner.pipelines;
        // Inside TLS the end of the socket is no end of what goes through a tunnel.
        let is_reset = is_reset
            || self.tls.is_some() && self.manner.leaving == Leaving::HalfClose && matches!(last, Some(Expect::Echo(_)));
        let is_good = is_good && !is_reset;
        for (index, planned) in self.requests.iter().enumerate() {
            let Some(answer) = answers.next() else {
                let is_excused = match &planned.expect {
                    Expect::Cut(line) => rest.is_empty() || is_cut_off(rest, line),
                    Expect::Refused | Expect::Nothing => rest.is_empty(),
                    _ => false,
                };
                if is_good && !is_excused {
                    return Err(format!("no answer to request {} of {}", index + 1, self.requests.len()));
                }
                return Ok(());
            };
            let is_right = match &planned.expect {
                Expect::Answer(status, body) => is_answer(planned, answer, *status, body),
                Expect::Last(status, body) => is_answer(planned, answer, *status, body),
                Expect::Cut(_) => answer.status == 500 && answer.body.is_empty(),
                Expect::Refused => is_refusal(answer),
                Expect::Nothing => false,
                Expect::Echo(said) => {
                    answer.status == 101 && said.starts_with(&answer.body) && (!is_good || answer.body == *said)
                }
            };
            if !is_right {
                if is_good || !is_refusal(answer) {
                    return Err(format!(
                        "{answer:?} answers request {}: {:?}",
                        index + 1,
                        planned.expect
                    ));
                }
                break;
            }
            if planned.expect.is_last() {
                break;
            }
        }
        match answers.next() {
            // What is no request any more was refused.
            Some(last) if !is_good && is_refusal(last) && answers.len() == 0 => Ok(()),
            Some(more) => Err(format!("an answer that nobody asked for: {more:?}")),
            None => Ok(()),
        }
    }
}

fn is_answer(planned: &Planned, answer: &response::Response, status: u16, body: &[u8]) -> bool {
    let expected = if planned.is_head { &[] } else { body };
    answer.status == status && answer.body == expected
}

/// What the server says by itself before it closes.
fn is_refusal(answer: &response::Response) -> bool {
    matches!(answer.status, 400 | 408 | 413 | 414 | 431 | 501 | 505) && answer.says_close() && answer.body.is_empty()
}

/// Whether that is the beginning of a response with these lines in it.
fn is_cut_off(rest: &[u8], line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(rest);
    let line = String::from_utf8_lossy(line);
    text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains(line.trim_end())
}
