//! Pieces of files in the output, which whoever drives the connection has the system send.

use super::{Connection, Ending, Phase, Turn};
use crate::buffer::FilePart;
use crate::event::CloseReason;
use crate::handler::{ConnectionId, Files};

impl Connection {
    /// Whoever drives it asks for [`Turn::output_file`], so that pieces of files may lie in the output.
    pub(crate) fn send_files(&mut self) {
        self.files = Files::Sent;
    }
}

impl Turn<'_> {
    /// What is next in the output, if that is a piece of a file.
    pub(crate) fn output_file(&self) -> Option<&FilePart> {
        self.engine.state.output.file()
    }

    /// Whether a piece of a file waits, behind whatever else there is.
    pub(crate) fn has_file(&self) -> bool {
        self.engine.state.output.has_file()
    }

    /// The system cannot send that piece: it is read, and so are all others.
    pub(crate) fn on_file_refused(&mut self) {
        self.connection.files = Files::Read;
        if let Err(error) = self.engine.state.output.read_file() {
            self.file_failed(&error);
        }
    }

    /// The file ends before that piece does.
    pub(crate) fn on_file_end(&mut self) {
        self.file_failed(&"it is shorter than it was");
    }

    /// Its length was promised: the client must be able to tell that it is not whole.
    #[cold]
    fn file_failed(&mut self, why: &dyn std::fmt::Display) {
        log::error!(
            target: "stannel",
            "13 connection {} request {}: sending a file failed: {why}; the response is cut off",
            ConnectionId(self.connection.info.id),
            self.connection.number
        );
        self.engine.state.output.clear();
        if let Phase::Exchange(mut active) = std::mem::replace(&mut self.connection.phase, Phase::Head) {
            std::mem::swap(&mut active.current, &mut self.engine.state.current);
            self.end_response();
            std::mem::swap(&mut active.current, &mut self.engine.state.current);
            self.connection.phase = Phase::Exchange(active);
        }
        self.end_now(CloseReason::ContentLengthMismatch, Ending::Linger);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Connection, Engine, Fate, Turn};
    use crate::endpoint::ServerOptions;
    use crate::handler::{
        BodyLength, BodySource, BodyWriter, ConnectionInfo, Exchange, Outcome, Peer, Progress, Request,
    };
    use http::StatusCode;
    use std::fs::File;
    use std::io::Write;
    use std::sync::Arc;

    const LENGTH: u64 = 600_000;

    /// Sends a file, or `x` where that cannot be done without reading it.
    struct Film {
        file: Arc<File>,
        sent: u64,
    }

    impl BodySource for Film {
        fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
            let mut count = writer.put_file(&self.file, self.sent, LENGTH - self.sent);
            if count == 0 {
                count = (LENGTH - self.sent).min(writer.room() as u64);
                writer.put(&vec![b'x'; count as usize]);
            }
            self.sent += count;
            if self.sent == LENGTH {
                Progress::Done
            } else {
                Progress::More
            }
        }
    }

    fn engine() -> Engine {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'f'; LENGTH as usize]).unwrap();
        let file = Arc::new(file);
        let film = move |_: &Request<'_>, exchange: Exchange<'_>| -> Outcome {
            let source = Film {
                file: Arc::clone(&file),
                sent: 0,
            };
            exchange
                .respond(StatusCode::OK)
                .stream(BodyLength::Exact(LENGTH), source)
        };
        Engine::new(&ServerOptions::default(), move || film.clone(), || ())
    }

    /// A connection that was asked for the film, and whose head is sent.
    fn asked(engine: &mut Engine) -> Connection {
        let mut connection = Connection::new(engine, ConnectionInfo::new(1, Peer::Unix), 0);
        connection.send_files();
        let mut turn = connection.turn(engine, 0);
        turn.on_bytes(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(turn.output_file().is_none(), "the head goes first");
        assert!(turn.has_file(), "and need not go alone");
        assert!(take(&mut turn).ends_with(b"\r\n\r\n"));
        assert!(turn.output_file().is_some());
        drop(turn);
        connection
    }

    /// Takes what lies in memory.
    fn take(turn: &mut Turn<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        turn.copy_output(&mut bytes);
        turn.on_written(bytes.len());
        if turn.has_more() {
            turn.on_room();
        }
        bytes
    }

    #[test]
    fn pieces_follow_each_other_and_take_no_memory() {
        let mut engine = engine();
        let mut connection = asked(&mut engine);
        let mut sent = 0;
        while sent < LENGTH {
            assert!(connection.memory() < 4096, "{} bytes", connection.memory());
            let mut turn = connection.turn(&mut engine, 0);
            let part = turn.output_file().expect("not all is sent").clone();
            assert_eq!(part.offset, sent);
            // The system takes as much as it likes.
            let count = part.left.min(100_000);
            turn.on_written(count);
            sent += count as u64;
            if turn.has_more() {
                turn.on_room();
            }
        }
        let turn = connection.turn(&mut engine, 0);
        assert!(!turn.has_output() && turn.fate() == Fate::Open);
        assert!(!turn.has_file() && !turn.more_follows() && !turn.has_more());
        drop(turn);
        assert_eq!(connection.memory(), 0);
    }

    #[test]
    fn what_the_system_refuses_is_read_and_the_rest_is_not_given_to_it() {
        let mut engine = engine();
        let mut connection = asked(&mut engine);
        let mut turn = connection.turn(&mut engine, 0);
        let piece = turn.output_file().unwrap().left;
        turn.on_written(1000);
        turn.on_file_refused();
        assert!(turn.output_file().is_none());
        let mut body = Vec::new();
        while turn.has_output() {
            let more_follows = turn.more_follows();
            body.extend(take(&mut turn));
            assert_eq!(more_follows, turn.has_output(), "behind {} bytes", body.len());
        }
        let read = piece - 1000;
        assert_eq!(body.len() as u64, LENGTH - 1000);
        assert!(body[..read].iter().all(|byte| *byte == b'f') && body[read..].iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn a_file_that_ends_early_ends_its_connection() {
        let mut engine = engine();
        let mut connection = asked(&mut engine);
        let mut turn = connection.turn(&mut engine, 0);
        turn.on_written(1000);
        turn.on_file_end();
        assert!(!turn.has_output());
        assert_eq!(turn.fate(), Fate::ShutWrite);
    }
}
