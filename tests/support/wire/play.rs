//! Plays a client's part and judges what comes back.

use super::cases::{After, Case, Expect, ExpectEcho, ExpectResponse, Interim, Step};
use super::cut::Mode;
use super::dice::Dice;
use super::expect;
use super::response::{self, Framing, Received, show};
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

type Result<T> = std::result::Result<T, String>;

/// A client's end of a connection, and the time there.
pub(crate) trait Wire {
    /// Sends, as far as the server still wants to hear it; an error if it neither reads nor closes for so long.
    fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<()>;

    /// Closes the client's side.
    fn half_close(&mut self) -> Result<()>;

    /// Waits until something happens; false when it is `until` before.
    fn wait(&mut self, until: Duration) -> Result<bool>;

    /// How long the connection has lasted.
    fn now(&self) -> Duration;

    /// All that came from the server.
    fn received(&self) -> &[u8];

    /// Whether the server has ended its side.
    fn has_ended(&self) -> bool;

    /// Which Date the server's answers may bear.
    fn dates(&self) -> RangeInclusive<SystemTime>;
}

/// How long each wait may last, and the way to the end behind the last response.
const LIMIT: Duration = Duration::from_secs(5);
const CLOSE_LIMIT: Duration = Duration::from_secs(4);

const PROBE: &[u8] = b"GET /__probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";

/// Plays a case on a fresh connection. `steps` are the case's own, perhaps cut.
pub(crate) fn play(case: &Case, steps: &[Step], mode: Mode, wire: &mut impl Wire) -> Result<()> {
    let mut play = Play {
        expect: &case.expect,
        limit: case.timeout.map_or(LIMIT, |timeout| timeout.max(LIMIT)),
        close_limit: case.timeout.map_or(CLOSE_LIMIT, |timeout| timeout.max(CLOSE_LIMIT)),
        mode,
        dice: mode.dice(&case.id),
        wire,
    };
    for step in steps {
        play.step(step)?;
    }
    if case.half_close {
        play.wire.half_close()?;
    }
    play.judge()
}

struct Play<'a, W> {
    expect: &'a Expect,
    limit: Duration,
    close_limit: Duration,
    mode: Mode,
    dice: Dice,
    wire: &'a mut W,
}

impl<W: Wire> Play<'_, W> {
    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Send(bytes) => self.send(bytes),
            Step::Pause(pause) => {
                let end = self.wire.now() + *pause;
                while self.wire.wait(end)? {}
                Ok(())
            }
            Step::AwaitInterim(status) => {
                let has_come = |seen: &Received| {
                    let earlier = seen.responses.iter().flat_map(|response| &response.interim);
                    seen.interim.iter().chain(earlier).any(|interim| interim == status)
                };
                self.wait_for(&format!("interim response {status}"), self.limit, has_come)
                    .map(drop)
            }
            Step::AwaitResponses(count) => self
                .wait_for(&format!("{count} responses"), self.limit, |seen| {
                    seen.responses.len() >= *count
                })
                .map(drop),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut from = 0;
        for to in self.mode.cuts(bytes.len(), &mut self.dice) {
            self.wire.send(&bytes[from..to], self.limit)?;
            from = to;
        }
        Ok(())
    }

    /// What the server has sent so far.
    fn look(&self) -> Result<Received> {
        let expected = &self.expect.responses;
        response::read(self.wire.received(), self.wire.has_ended(), |index| {
            expected.get(index).is_some_and(|response| response.answers_head)
        })
    }

    /// Waits until that is so, or the server has ended; an error if neither happens.
    fn wait_for(&mut self, what: &str, limit: Duration, is_so: impl Fn(&Received) -> bool) -> Result<Received> {
        let until = self.wire.now() + limit;
        loop {
            let seen = self.look()?;
            if is_so(&seen) || self.wire.has_ended() {
                return Ok(seen);
            }
            if !self.wire.wait(until)? {
                let rest = self.rest(&seen);
                return Err(format!(
                    "timeout waiting for {what}; got {} responses{rest}",
                    seen.responses.len()
                ));
            }
        }
    }

    fn rest(&self, seen: &Received) -> String {
        if seen.rest.is_empty() {
            return String::new();
        }
        format!(" and a part: {}", show(&self.wire.received()[seen.rest.clone()]))
    }

    fn judge(&mut self) -> Result<()> {
        let expect = self.expect;
        let count = expect.responses.len();
        let what = if count > 0 {
            format!("{count} responses")
        } else {
            "the close".to_owned()
        };
        let is_complete = |seen: &Received| count > 0 && seen.responses.len() >= count;
        let seen = self.wait_for(&what, self.limit, is_complete)?;
        let took = self.wire.now();
        let nothing_complete = seen.responses.is_empty() && self.wire.has_ended();
        if nothing_complete && (expect.or_cut || (expect.may_be_silent && seen.rest.is_empty())) {
            return Ok(());
        }
        if seen.responses.len() < count {
            let rest = self.rest(&seen);
            return Err(format!(
                "closed after {} of {count} responses{rest}",
                seen.responses.len()
            ));
        }
        let dates = self.wire.dates();
        for (index, (response, expected)) in seen.responses.iter().zip(&expect.responses).enumerate() {
            expect::check(response, expected, index + 1, &dates)?;
        }
        if let Some((from, to)) = expect.within.filter(|(from, to)| !(*from..=*to).contains(&took)) {
            return Err(format!("took {took:?}, not {from:?} to {to:?}"));
        }
        match expect.connection {
            After::Any => Ok(()),
            After::Close => self.close(&seen),
            After::Keep => self.keep(&seen),
        }
    }

    /// The server must close, and send nothing more.
    fn close(&mut self, seen: &Received) -> Result<()> {
        let expect = self.expect;
        let count = expect.responses.len();
        let last = seen.responses.get(..count).and_then(|responses| responses.last());
        if last.is_some_and(|last| !expect.no_close_header && last.status != 101 && !last.says_close()) {
            return Err("last response lacks Connection: close".into());
        }
        let received = self.wire.received().len();
        let until = self.wire.now() + self.close_limit;
        while !self.wire.has_ended() {
            if !self.wire.wait(until)? {
                return Err("the server does not close the connection".into());
            }
        }
        let end = self.look()?;
        let last = end.responses.last();
        if let (Some(last), Some(expected)) = (last, expect.responses.last())
            && last.framing == Framing::Upgraded
            && end.responses.len() == count
        {
            return expect::check_tunnel(last, expected);
        }
        let ends_its_body = last.is_some_and(|last| last.framing == Framing::Close);
        let came_later = self.wire.received().len() > received && last.is_some() && !ends_its_body;
        if end.responses.len() > count || came_later {
            let extra = show(&self.wire.received()[received..]);
            return Err(format!("more than {count} responses: {extra}"));
        }
        if !end.rest.is_empty() && !expect.cut {
            return Err(format!("more than {count} responses{}", self.rest(&end)));
        }
        Ok(())
    }

    /// The server must answer one more request, and that one only.
    fn keep(&mut self, seen: &Received) -> Result<()> {
        let count = self.expect.responses.len();
        if seen.responses.last().is_some_and(response::Response::says_close) {
            return Err("last response has Connection: close".into());
        }
        if seen.responses.len() > count || !seen.rest.is_empty() {
            return Err(format!("more than {count} responses{}", self.rest(seen)));
        }
        self.send(PROBE)?;
        let has_answer = |seen: &Received| seen.responses.len() > count;
        let seen = self.wait_for("the answer to the probe", self.limit, has_answer)?;
        let probe = match seen.responses.get(count..) {
            Some([probe]) => probe,
            Some([]) | None => return Err("the connection was closed instead of kept".into()),
            Some(several) => return Err(format!("{} answers to the probe", several.len())),
        };
        if probe.status != 200 {
            return Err(format!(
                "probe answered {}: the connection is out of step",
                probe.status
            ));
        }
        expect::check(probe, &probe_answer(), count + 1, &self.wire.dates())?;
        let until = self.wire.now() + self.close_limit;
        while !self.wire.has_ended() {
            if !self.wire.wait(until)? {
                return Err("not closed after the probe".into());
            }
        }
        let end = self.look()?;
        if end.responses.len() != count + 1 || !end.rest.is_empty() {
            return Err("bytes behind the answer to the probe".into());
        }
        Ok(())
    }
}

fn probe_answer() -> ExpectResponse {
    let lines = [
        ("method", "GET"),
        ("target", "/__probe"),
        ("path", "/__probe"),
        ("query", ""),
    ];
    let echo = ExpectEcho {
        lines: lines.map(|(key, value)| (key.to_owned(), value.into())).into(),
        headers: Some(vec![
            (b"host".into(), b"probe".into()),
            (b"connection".into(), b"close".into()),
        ]),
        body: Some(Vec::new()),
        trailers: Some(Vec::new()),
        ..ExpectEcho::default()
    };
    ExpectResponse {
        statuses: vec![200],
        interim: Interim::Exactly(Vec::new()),
        answers_head: false,
        framing: None,
        body: None,
        fields: Vec::new(),
        echo: Some(echo),
        upgraded: None,
    }
}
