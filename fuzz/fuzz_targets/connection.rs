//! A whole connection: however the input is cut and however slowly the output is taken, the same bytes come out;
//! memory stays bounded, nothing waits without a deadline, and each request is answered at most once.

#![no_main]

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use stannel::connection::{Connection, Engine, Fate};
use stannel::{
    BodyEnd, BodyLength, BodySink, BodySource, BodyWriter, ConnectionInfo, Exchange, Flow, Observer, Outcome, Peer,
    Progress, Request, ServerOptions, StatusCode, Trailers, Tunnel, TunnelIo,
};
use stannel_fuzz::Plan;

fuzz_target!(|data: &[u8]| {
    let Some(plan) = Plan::new(data) else { return };
    let whole = run(&plan, Cut::Whole);
    assert_eq!(run(&plan, Cut::Pieces), whole);
    assert_eq!(run(&plan, Cut::PiecesAndSlowReader), whole);
});

#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Whole,
    Pieces,
    PiecesAndSlowReader,
}

/// What a client sees.
#[derive(Debug, PartialEq)]
struct Seen {
    output: String,
    /// Whether more output may come. How long the input stays open behind it depends on what was on its way.
    is_open: bool,
}

/// Choices of a plan.
const SMALL_LIMITS: u8 = 0;
const HALF_CLOSE: u8 = 1;

const MEMORY: usize = 16 << 10;

fn run(plan: &Plan<'_>, cut: Cut) -> Seen {
    let mut options = ServerOptions::default();
    let limits = &mut options.limits;
    if plan.chooses(SMALL_LIMITS) {
        limits.max_request_line_size = 128;
        limits.max_request_headers_total_size = 256;
        limits.max_request_header_count = 6;
        limits.max_request_body_size = Some(200);
        limits.max_request_buffer_size = Some(256);
        limits.max_response_buffer_size = Some(64);
    }
    let answered = Arc::new(Answered::default());
    options.observer = Some(Arc::clone(&answered) as Arc<dyn Observer>);
    let mut engine = Engine::new(&options, || answer, || ());
    engine.set_wall_clock(SystemTime::UNIX_EPOCH);
    let connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
    let mut client = Client {
        engine,
        connection,
        answered: Arc::clone(&answered),
        has_memory_bound: plan.chooses(SMALL_LIMITS),
        output: Vec::new(),
        is_write_shut: false,
        is_over: false,
    };
    let mut sizes = plan.sizes();
    let mut take = || match cut {
        Cut::PiecesAndSlowReader => sizes.next().unwrap_or(1),
        Cut::Whole | Cut::Pieces => usize::MAX,
    };
    match cut {
        Cut::Whole => client.send(plan.input, &mut take),
        Cut::Pieces | Cut::PiecesAndSlowReader => plan.pieces().for_each(|piece| client.send(piece, &mut take)),
    }
    if plan.chooses(HALF_CLOSE) {
        client.finish(&mut take);
    }
    while client.take(usize::MAX) {}

    let output = client.output.escape_ascii().to_string();
    answered.check();
    Seen {
        // Whether the client is asked for its body depends on whether the body is here already.
        output: output.replace("HTTP/1.1 100 Continue\\r\\n\\r\\n", ""),
        is_open: !client.is_write_shut,
    }
}

struct Client {
    engine: Engine,
    connection: Connection,
    answered: Arc<Answered>,
    has_memory_bound: bool,
    output: Vec<u8>,
    is_write_shut: bool,
    is_over: bool,
}

impl Client {
    /// Sends all of it unless the connection ends before; takes output where the connection would read no more.
    fn send(&mut self, mut bytes: &[u8], take: &mut impl FnMut() -> usize) {
        while !bytes.is_empty() && !self.is_over {
            let mut turn = self.connection.turn(&mut self.engine, 0);
            let mut count = 0;
            if turn.wants_read() {
                let buffer = turn.read_buffer();
                count = buffer.len().min(bytes.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                turn.on_read(count);
            }
            drop(turn);
            bytes = &bytes[count..];
            self.settle();
            let progress = self.take(take());
            assert!(count > 0 || progress || self.is_over, "it neither reads nor writes");
        }
    }

    fn finish(&mut self, take: &mut impl FnMut() -> usize) {
        while !self.is_over {
            let mut turn = self.connection.turn(&mut self.engine, 0);
            let wants = turn.wants_read();
            if wants {
                turn.on_read(0);
            }
            drop(turn);
            self.settle();
            if wants {
                return;
            }
            assert!(self.take(take()) || self.is_over, "it would never see the end");
        }
    }

    /// Takes at most so much of the output; says whether there was any.
    fn take(&mut self, most: usize) -> bool {
        if self.is_over {
            return false;
        }
        let mut turn = self.connection.turn(&mut self.engine, 0);
        let before = self.output.len();
        turn.copy_output(&mut self.output);
        let count = (self.output.len() - before).min(most);
        self.output.truncate(before + count);
        turn.on_written(count);
        drop(turn);
        self.settle();
        count > 0
    }

    /// What the shell does between events.
    fn settle(&mut self) {
        while !self.is_over {
            for delivery in self.engine.deliveries() {
                let mut turn = self.connection.turn(&mut self.engine, 0);
                delivery.to(&mut turn);
            }
            let mut turn = self.connection.turn(&mut self.engine, 0);
            if turn.has_more() {
                turn.on_room();
                continue;
            }
            match turn.fate() {
                Fate::Open => {
                    // A tunnel may be silent for as long as it likes.
                    let waits = turn.has_output() || turn.wants_read() && !self.answered.is_upgraded();
                    assert!(!waits || turn.deadline().is_some(), "it waits for ever: {turn:?}");
                    break;
                }
                Fate::ShutWrite => {
                    turn.on_write_shut();
                    self.is_write_shut = true;
                }
                Fate::Close | Fate::Abort => {
                    turn.closed();
                    self.is_over = true;
                    self.is_write_shut = true;
                }
            }
        }
        let memory = self.connection.memory();
        assert!(!self.has_memory_bound || memory <= MEMORY, "{memory} bytes");
    }
}

/// Which requests were seen and which were answered.
#[derive(Default)]
struct Answered {
    requests: Mutex<Vec<u32>>,
    responses: Mutex<Vec<u32>>,
    upgraded: AtomicBool,
}

impl Observer for Answered {
    fn request(&self, request: &Request<'_>) {
        self.requests.lock().unwrap().push(request.number());
    }

    fn response(&self, _: &ConnectionInfo, number: u32, status: StatusCode) {
        self.responses.lock().unwrap().push(number);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.upgraded.store(true, Ordering::Relaxed);
        }
    }
}

impl Answered {
    fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }

    fn check(&self) {
        let requests = self.requests.lock().unwrap();
        let responses = self.responses.lock().unwrap();
        assert!(requests.iter().copied().eq(1..=requests.len() as u32), "{requests:?}");
        // None is answered twice or before its turn. At most one refusal, which is the last, is no answer to any of them.
        assert!(
            responses.iter().copied().eq(1..=responses.len() as u32),
            "{responses:?}"
        );
        assert!(responses.len() <= requests.len() + 1, "{responses:?} for {requests:?}");
    }
}

/// Answers with what it saw; how depends on the path.
fn answer(request: &Request<'_>, mut exchange: Exchange<'_>) -> Outcome {
    let mut seen = DefaultHasher::new();
    (
        request.method().as_str(),
        request.target(),
        request.path(),
        request.query(),
    )
        .hash(&mut seen);
    (request.host(), request.host_port(), request.content_length()).hash(&mut seen);
    for (name, value) in request.headers().iter() {
        (name, value).hash(&mut seen);
    }
    let seen = seen.finish();
    let path = request.path();
    match path.get(..3).unwrap_or(path) {
        "/ok" => exchange.respond(StatusCode::OK).send("ok"),
        "/no" => exchange.respond(StatusCode::NO_CONTENT).send(""),
        "/st" => exchange
            .respond(StatusCode::OK)
            .stream(BodyLength::Unknown, Letters(b'a')),
        "/le" => exchange
            .respond(StatusCode::OK)
            .stream(BodyLength::Exact(26), Letters(b'a')),
        "/lo" => exchange
            .respond(StatusCode::OK)
            .stream(BodyLength::Exact(30), Letters(b'a')),
        "/cl" => exchange
            .respond(StatusCode::OK)
            .header("connection", "close")
            .send("closing"),
        "/se" => exchange.receive(Sum {
            seen,
            count: 0,
            stop: usize::MAX,
        }),
        "/so" => exchange.receive(Sum {
            seen,
            count: 0,
            stop: 1,
        }),
        "/de" => exchange.defer(|responder| {
            let _ = responder.respond(StatusCode::OK).send(format!("{seen:016x}"));
        }),
        "/dr" => exchange.defer(drop),
        "/up" => exchange.upgrade("echo").switch_to(Echo),
        "/ra" => {
            let _ = exchange.max_request_body_size(Some(1000));
            exchange.collect(1000, move |body, exchange| {
                exchange
                    .respond(StatusCode::OK)
                    .send(summary(seen, &body, body.trailers()))
            })
        }
        _ => exchange.collect(500, move |body, exchange| {
            exchange
                .respond(StatusCode::OK)
                .send(summary(seen, &body, body.trailers()))
        }),
    }
}

fn summary(seen: u64, body: &[u8], trailers: Trailers<'_>) -> String {
    let mut hash = DefaultHasher::new();
    body.hash(&mut hash);
    trailers.iter().for_each(|field| field.hash(&mut hash));
    let mut text = String::new();
    let _ = write!(text, "{seen:016x} {} {:016x}", body.len(), hash.finish());
    text
}

struct Sum {
    seen: u64,
    count: usize,
    stop: usize,
}

impl BodySink for Sum {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.count += data.len();
        if self.count >= self.stop {
            Flow::Stop
        } else {
            Flow::Continue
        }
    }

    fn finish(self: Box<Self>, end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        // Where a sink that stops is stopped depends on how the body came.
        let count = if self.stop == usize::MAX { self.count } else { 0 };
        exchange
            .respond(StatusCode::OK)
            .send(summary(self.seen + count as u64, b"", end.trailers()))
    }
}

struct Letters(u8);

impl BodySource for Letters {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        writer.put(&[self.0]);
        self.0 += 1;
        if self.0 <= b'z' { Progress::More } else { Progress::Done }
    }
}

struct Echo;

impl Tunnel for Echo {
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        io.put(data);
        Flow::Continue
    }
}
