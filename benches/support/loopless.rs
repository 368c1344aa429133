//! One connection without a socket: input is copied in, output is looked at and thrown away.

use std::time::SystemTime;

use stannel::connection::{Connection, Engine, Fate};
use stannel::{ConnectionInfo, Exchange, Outcome, Peer, Request, ServerOptions};

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

    /// Reads `input` in as few turns as a loop would, takes all output; says how much that was.
    pub(crate) fn pass(&mut self, mut input: &[u8]) -> usize {
        let mut sent = 0;
        while !input.is_empty() {
            let mut turn = self.connection.turn(&mut self.engine, 0);
            let buffer = turn.read_buffer();
            let count = buffer.len().min(input.len());
            buffer[..count].copy_from_slice(&input[..count]);
            turn.on_read(count);
            input = &input[count..];
            loop {
                let unsent = turn.output().expect("small responses lie in one piece").len();
                turn.on_written(unsent);
                sent += unsent;
                if !turn.has_more() {
                    break;
                }
                turn.on_room();
            }
            assert_eq!(turn.fate(), Fate::Open);
        }
        sent
    }
}
