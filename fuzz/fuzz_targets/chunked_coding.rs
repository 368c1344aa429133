//! There and back: whatever is chunked comes out of a connection as it was, and what the connection chunks itself is read
//! by a plain reader as what the handler wrote.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::connection::{Connection, Engine};
use stannel::{
    BodyEnd, BodyLength, BodyPipe, BodyWriter, ConnectionInfo, Exchange, Flow, Outcome, Peer, Progress, Request,
    ServerOptions, StatusCode,
};
use stannel_fuzz::Plan;

#[path = "../../tests/support/reference/mod.rs"]
mod reference;

use reference::body;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let Some(plan) = Plan::new(data) else { return };
    let fields: Vec<_> = (0..plan.choices % 4)
        .map(|index| (format!("x-{index}"), format!("{}", plan.input.len()).into_bytes()))
        .collect();
    let coded = body::encode(plan.input, plan.sizes(), &fields);
    let room = (usize::MAX, usize::MAX);
    let whole = (plan.input.to_vec(), fields.clone(), coded.len());
    assert_eq!(
        body::chunked(&coded, u64::MAX, room),
        Ok(whole),
        "the encoder and the reader belong together"
    );

    let mut engine = Engine::new(&ServerOptions::default(), || echo, || ());
    let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
    let mut answer = Vec::new();
    for piece in [HEAD, &coded].concat().chunks(plan.sizes().next().unwrap_or(1)) {
        let mut turn = connection.turn(&mut engine, 0);
        turn.on_bytes(piece);
        loop {
            let before = answer.len();
            turn.copy_output(&mut answer);
            turn.on_written(answer.len() - before);
            if !turn.has_more() {
                break;
            }
            turn.on_room();
        }
    }
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let (content, trailers, len) = body::chunked(&answer[head..], u64::MAX, room).expect("a whole body");
    assert_eq!(
        (content, trailers, head + len),
        (plan.input.to_vec(), fields, answer.len())
    );
});

/// Sends the body back as it comes, and its trailers behind it.
struct Back;

impl BodyPipe for Back {
    fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow {
        writer.put(data);
        Flow::Continue
    }

    fn end(&mut self, end: BodyEnd<'_>, writer: &mut BodyWriter<'_>) -> Progress {
        for (name, value) in end.trailers().iter() {
            writer.trailer(name, value).expect("it came as a trailer");
        }
        Progress::Done
    }
}

fn echo(_: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    exchange.respond(StatusCode::OK).pipe(BodyLength::Unknown, Back)
}
