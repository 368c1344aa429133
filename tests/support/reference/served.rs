//! What a connection of the engine makes of some input, in the words of the reference.

use super::{Event, Limits};
use stannel::connection::{Connection, Engine, Fate};
use stannel::{
    ConnectionInfo, Exchange, Observer, Outcome, Peer, Rejection, Request, ServerOptions, StatusCode, Trailers, Version,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Shows the input to a connection whose handler takes every body.
pub(crate) fn read<'i>(pieces: impl Iterator<Item = &'i [u8]>, limits: &Limits) -> Vec<Event> {
    let seen = Arc::new(Seen::default());
    let mut options = ServerOptions::default();
    options.observer = Some(Arc::clone(&seen) as Arc<dyn Observer>);
    options.limits.max_request_line_size = limits.line;
    options.limits.max_request_headers_total_size = limits.fields_size;
    options.limits.max_request_header_count = limits.fields;
    options.limits.max_request_body_size = Some(limits.body);
    options.limits.validate().unwrap();
    let told = Arc::clone(&seen);
    let factory = move || {
        let told = Arc::clone(&told);
        move |request: &Request<'_>, exchange: Exchange<'_>| told.handle(request, exchange)
    };
    let mut engine = Engine::new(&options, factory, || ());
    let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
    for mut piece in pieces {
        while !piece.is_empty() {
            let mut turn = connection.turn(&mut engine, 0);
            if turn.fate() != Fate::Open || !turn.wants_read() {
                break;
            }
            let buffer = turn.read_buffer();
            let count = buffer.len().min(piece.len());
            buffer[..count].copy_from_slice(&piece[..count]);
            turn.on_read(count);
            piece = &piece[count..];
            loop {
                let mut sent = Vec::new();
                turn.copy_output(&mut sent);
                turn.on_written(sent.len());
                if !turn.has_more() {
                    break;
                }
                turn.on_room();
            }
        }
    }
    std::mem::take(&mut *seen.0.lock().unwrap())
}

#[derive(Default)]
struct Seen(Mutex<Vec<Event>>);

impl Observer for Seen {
    fn rejected(&self, _: &ConnectionInfo, reason: Rejection, _: &[u8]) {
        self.push(Event::Refused(reason.status().as_u16()));
    }
}

impl Seen {
    fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    fn handle(self: &Arc<Self>, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        self.push(Event::Request(shown(request)));
        let seen = Arc::clone(self);
        exchange.collect(usize::MAX, move |body, exchange| {
            seen.push(Event::Body(body.to_vec(), owned(body.trailers())));
            exchange.respond(StatusCode::OK).send("")
        })
    }
}

fn owned(trailers: Trailers<'_>) -> Vec<(String, Vec<u8>)> {
    let owned = trailers.iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
    owned.collect()
}

fn shown(request: &Request<'_>) -> BTreeMap<&'static str, String> {
    let fields = request.headers().iter();
    let fields: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    let version = if request.version() == Version::HTTP_11 {
        "HTTP/1.1"
    } else {
        "HTTP/1.0"
    };
    BTreeMap::from([
        ("method", request.method().to_string()),
        ("target", request.target().to_owned()),
        ("path", request.path().to_owned()),
        ("query", request.query().to_owned()),
        ("version", version.to_owned()),
        ("fields", format!("{fields:?}")),
        ("host", format!("{:?}", request.host())),
        ("port", format!("{:?}", request.host_port())),
        ("length", format!("{:?}", request.content_length())),
        ("has body", request.has_body().to_string()),
        ("upgradable", request.is_upgradable().to_string()),
    ])
}
