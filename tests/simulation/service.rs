//! The handler of the simulation, and what it keeps its peers waiting for.

#![allow(dead_code, reason = "each user takes some of it")]

use super::script::{REPEATS, line, padded, sum_of_body, sum_of_head};
use stannel::{
    BodyEnd, BodyLength, BodyPipe, BodySink, BodySource, BodyWriter, ConnectionInfo, Exchange, Flow, Handler, Limits,
    Outcome, Peer, Progress, Request, Responder, StatusCode, Tunnel, TunnelIo, Waker,
};
use std::collections::VecDeque;
use std::mem::take;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, Once};

/// Said by panics that are part of the plan.
const PLANNED_PANIC: &str = "as the simulation wants it";

/// What a peer waits for until the simulation lets go of it.
pub(crate) struct Hold {
    pub(crate) peer: usize,
    pub(crate) what: Held,
}

pub(crate) enum Held {
    Answer {
        responder: Responder,
        kind: String,
        line: Vec<u8>,
    },
    Wake(Waker),
}

/// What the handlers, of which there is a new one after each panic, have in common with the simulation.
#[derive(Clone, Default)]
pub(crate) struct Service {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    holds: Vec<Hold>,
    wrong: Vec<String>,
}

impl Service {
    /// Those that came since it was last asked.
    pub(crate) fn new_holds(&self) -> Vec<Hold> {
        take(&mut self.shared.lock().unwrap().holds)
    }

    /// What handlers saw that they never should have.
    pub(crate) fn wrong(&self) -> Vec<String> {
        take(&mut self.shared.lock().unwrap().wrong)
    }

    fn hold(&self, peer: usize, what: Held) {
        self.shared.lock().unwrap().holds.push(Hold { peer, what });
    }

    fn complain(&self, text: String) {
        self.shared.lock().unwrap().wrong.push(text);
    }
}

/// Where the peer with that number comes from: addresses of its own tell peers apart.
pub(crate) fn address(peer: usize) -> Ipv4Addr {
    let number = u32::try_from(peer).expect("there are not so many peers");
    Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + number)
}

/// Which peer it is.
pub(crate) fn number(connection: &ConnectionInfo) -> usize {
    let Peer::Tcp(SocketAddr::V4(address)) = connection.peer() else {
        panic!("it is none of ours: {}", connection.peer())
    };
    (address.ip().to_bits() - FIRST_ADDRESS.to_bits()) as usize
}

/// What a machine has to itself without being told.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 0);

/// Sets limits that the lies of the script break; none of the times that can be `None`, if it is patient.
pub(crate) fn limit(limits: &mut Limits, is_patient: bool) {
    limits.max_request_line_size = 1024;
    limits.max_request_headers_total_size = 4096;
    limits.max_request_body_size = Some(1 << 20);
    limits.max_request_buffer_size = Some(8192);
    limits.max_response_buffer_size = Some(8192);
    if is_patient {
        limits.keep_alive_timeout = None;
        limits.request_headers_timeout = None;
        limits.min_request_body_data_rate = None;
        limits.min_response_data_rate = None;
        limits.request_body_stall_timeout = None;
        limits.response_stall_timeout = None;
    }
}

/// Panics of the service are part of the plan and not worth a line; nor are others while `is_quiet`.
pub(crate) fn silence_planned_panics(is_quiet: impl Fn() -> bool + Send + Sync + 'static) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<String>();
            let is_planned = text.is_some_and(|text| text.contains(PLANNED_PANIC));
            if !is_planned && !is_quiet() {
                usual(panic);
            }
        }));
    });
}

/// What came of letting go.
pub(crate) struct Released {
    /// Whether somebody was known to be there for an answer.
    pub(crate) is_there: bool,
    /// Whether it was told that the answer is on its way.
    pub(crate) is_sent: bool,
}

/// Lets go of it.
pub(crate) fn release(hold: Hold) -> Released {
    match hold.what {
        Held::Wake(waker) => {
            // It does not know.
            waker.wake();
            Released {
                is_there: false,
                is_sent: false,
            }
        }
        Held::Answer { responder, kind, line } => {
            let is_there = !responder.is_disconnected();
            let result = match kind.as_str() {
                "late-abort" => {
                    responder.abort();
                    return Released {
                        is_there,
                        is_sent: is_there,
                    };
                }
                "late-stream" => responder.respond(StatusCode::OK).stream(
                    BodyLength::Unknown,
                    Lines {
                        line,
                        left: REPEATS,
                        wait: None,
                        then: Then::Done,
                    },
                ),
                _ => responder.respond(StatusCode::OK).send(line),
            };
            Released {
                is_there,
                is_sent: result.is_ok(),
            }
        }
    }
}

impl Handler for Service {
    fn handle(&mut self, request: &Request<'_>, mut exchange: Exchange<'_>) -> Outcome {
        let mut parts = request.path().split('/').skip(1);
        let kind = parts.next().unwrap_or_default().to_owned();
        let peer = parts.next().and_then(|peer| peer.parse().ok()).unwrap_or(usize::MAX);
        let number = parts
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(usize::MAX);
        if kind == "hidden" || number != request.number() as usize || peer != self::number(request.connection()) {
            self.complain(format!("{} shows {}", request.id(), request.target()));
        }
        let head = sum_of_head(request.method().as_str(), request.target(), request.headers().iter());
        let short = line(peer, number, head, 0);
        let lines = |then, wait| Lines {
            line: short.clone(),
            left: REPEATS,
            wait,
            then,
        };
        match kind.as_str() {
            "now" | "big" => exchange.collect(1 << 20, move |body, exchange| {
                let whole = line(peer, number, head, sum_of_body(&body, body.trailers().iter()));
                let answer = if kind == "big" { padded(whole) } else { whole };
                exchange.respond(StatusCode::OK).send(answer)
            }),
            "late" | "late-stream" | "late-abort" => exchange.defer(|responder| {
                let line = short;
                self.hold(peer, Held::Answer { responder, kind, line });
            }),
            "stream" => {
                let wait = Some(Wait::new(self, peer, exchange.waker()));
                let source = lines(Then::Done, wait);
                exchange.respond(StatusCode::OK).stream(BodyLength::Unknown, source)
            }
            "exact" => {
                let length = BodyLength::Exact((short.len() * REPEATS) as u64);
                exchange.respond(StatusCode::OK).stream(length, lines(Then::Done, None))
            }
            "short" => {
                let length = BodyLength::Exact((short.len() * REPEATS) as u64 + 1);
                exchange.respond(StatusCode::OK).stream(length, lines(Then::Done, None))
            }
            "panic-fill" => exchange
                .respond(StatusCode::OK)
                .stream(BodyLength::Unknown, lines(Then::Panic, None)),
            "sink" | "stop" | "panic-sink" => {
                let wait = Some(Wait::new(self, peer, exchange.waker()));
                exchange.receive(Sum {
                    kind,
                    peer,
                    number,
                    head,
                    body: Vec::new(),
                    wait,
                })
            }
            "pipe" => exchange.respond(StatusCode::OK).pipe(BodyLength::Unknown, Through),
            "panic" => panic!("{PLANNED_PANIC}"),
            "abort" => exchange.abort(),
            "tunnel" => {
                let wait = Wait::new(self, peer, exchange.waker());
                let heard = VecDeque::new();
                exchange.upgrade("echo").switch_to(Echo { wait, heard })
            }
            _ => exchange.respond(StatusCode::OK).send(short),
        }
    }
}

/// Says once that it has to be woken.
struct Wait {
    service: Service,
    peer: usize,
    waker: Waker,
    is_over: bool,
}

impl Wait {
    fn new(service: &Service, peer: usize, waker: Waker) -> Self {
        Self {
            service: service.clone(),
            peer,
            waker,
            is_over: false,
        }
    }

    /// Whether to wait now.
    fn begins(&mut self) -> bool {
        if !self.is_over {
            self.service.hold(self.peer, Held::Wake(self.waker.clone()));
        }
        !std::mem::replace(&mut self.is_over, true)
    }
}

/// Says its line again and again.
struct Lines {
    line: Vec<u8>,
    left: usize,
    wait: Option<Wait>,
    then: Then,
}

enum Then {
    Done,
    Panic,
}

impl BodySource for Lines {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        if self.left < REPEATS / 2 {
            assert!(matches!(self.then, Then::Done), "{PLANNED_PANIC}");
            if self.wait.as_mut().is_some_and(Wait::begins) {
                return Progress::Wait;
            }
        }
        let count = (writer.room() / self.line.len()).clamp(1, 50).min(self.left);
        for _ in 0..count {
            writer.put(&self.line);
        }
        self.left -= count;
        if self.left == 0 { Progress::Done } else { Progress::More }
    }
}

struct Sum {
    kind: String,
    peer: usize,
    number: usize,
    head: u64,
    body: Vec<u8>,
    wait: Option<Wait>,
}

impl BodySink for Sum {
    fn data(&mut self, data: &[u8]) -> Flow {
        assert_ne!(self.kind, "panic-sink", "{PLANNED_PANIC}");
        self.body.extend_from_slice(data);
        if self.kind == "stop" {
            Flow::Stop
        } else if self.wait.as_mut().is_some_and(Wait::begins) {
            Flow::Pause
        } else {
            Flow::Continue
        }
    }

    fn finish(self: Box<Self>, end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        let body = match self.kind.as_str() {
            "stop" => 0,
            _ => sum_of_body(&self.body, end.trailers().iter()),
        };
        let line = line(self.peer, self.number, self.head, body);
        exchange.respond(StatusCode::OK).send(line)
    }
}

struct Through;

impl BodyPipe for Through {
    fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow {
        writer.put(data);
        Flow::Continue
    }
}

/// Echoes; before the first byte it lets itself be asked once more.
struct Echo {
    wait: Wait,
    heard: VecDeque<u8>,
}

impl Tunnel for Echo {
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        if self.wait.begins() {
            self.heard.extend(data);
            return Flow::Pause;
        }
        io.put(data);
        Flow::Continue
    }

    fn on_wake(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        io.put(self.heard.make_contiguous());
        self.heard.clear();
        Flow::Continue
    }

    fn on_end(&mut self, _: &mut TunnelIo<'_>) -> Flow {
        Flow::Stop
    }
}
