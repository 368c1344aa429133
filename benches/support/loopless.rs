//! One connection without a socket: input is copied in, output is taken out.

#![allow(dead_code, reason = "each bench takes its part of it")]

use std::sync::Arc;
use std::time::SystemTime;

use stannel::connection::{Connection, Engine, Fate, Turn};
use stannel::tls::TlsEndpoint;
use stannel::{
    BodyEnd, BodySink, ConnectionInfo, Exchange, Flow, Outcome, Peer, Request, ServerOptions, StatusCode, header,
};

/// Answers with how many bytes the body had.
#[derive(Default)]
pub(crate) struct Count(usize);

impl BodySink for Count {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.0 += data.len();
        Flow::Continue
    }

    fn finish(self: Box<Self>, _: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        exchange.respond(StatusCode::OK).send(self.0.to_string())
    }
}

/// The answer that is measured most.
pub(crate) fn plaintext(exchange: Exchange<'_>) -> Outcome {
    exchange
        .respond(StatusCode::OK)
        .header(header::CONTENT_TYPE, "text/plain")
        .send("Hello, World!")
}

pub(crate) struct Loopless {
    engine: Engine,
    connection: Connection,
}

impl Loopless {
    pub(crate) fn new<H>(handler: H) -> Self
    where
        H: FnMut(&Request<'_>, Exchange<'_>) -> Outcome + Clone + Send + Sync + 'static,
    {
        let mut engine = Engine::new(&ServerOptions::default(), move || handler.clone(), || ());
        engine.set_wall_clock(SystemTime::UNIX_EPOCH);
        let connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
        Self { engine, connection }
    }

    /// Goes on with another connection, one that speaks TLS.
    pub(crate) fn connect_secured(&mut self, endpoint: &Arc<TlsEndpoint>) {
        let info = ConnectionInfo::new(1, Peer::Unix);
        self.connection = Connection::secured(&self.engine, info, 0, endpoint);
    }

    /// Reads `input` in as few turns as a loop would, throws all output away; says how much that was.
    pub(crate) fn pass(&mut self, input: &[u8]) -> usize {
        let mut sent = 0;
        self.run(input, |turn| {
            let unsent = turn.output().expect("small responses lie in one piece").len();
            sent += unsent;
            unsent
        });
        sent
    }

    /// The same, with a copy of the output in `sent`, which would else be the kernel's.
    pub(crate) fn pass_to(&mut self, input: &[u8], sent: &mut Vec<u8>) {
        self.run(input, |turn| {
            let before = sent.len();
            turn.copy_output(sent);
            sent.len() - before
        });
    }

    /// `take` takes all output and says how much that was.
    fn run(&mut self, mut input: &[u8], mut take: impl FnMut(&Turn<'_>) -> usize) {
        while !input.is_empty() {
            let mut turn = self.connection.turn(&mut self.engine, 0);
            let buffer = turn.read_buffer();
            let count = buffer.len().min(input.len());
            buffer[..count].copy_from_slice(&input[..count]);
            turn.on_read(count);
            input = &input[count..];
            loop {
                let taken = take(&turn);
                turn.on_written(taken);
                if !turn.has_more() {
                    break;
                }
                turn.on_room();
            }
            assert_eq!(turn.fate(), Fate::Open);
        }
    }
}
