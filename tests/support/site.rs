//! What the servers of these tests answer.

// Each test file uses a part of it.
#![allow(dead_code)]

use stannel::{
    BodyEnd, BodyLength, BodySink, BodySource, BodyWriter, Exchange, Flow, Handler, Method, Outcome, Progress, Request,
    Responder, StatusCode, Tunnel, TunnelIo,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// | request | answer |
/// |---|---|
/// | `/hold` | `held`, once somebody asks for `/release` |
/// | `/release` | answers all that are held, then says how many |
/// | `/held` | how many are held |
/// | `/never` | none |
/// | `/n/…` | its own path, then 1 KiB |
/// | `/bytes/N` | N bytes, copied as they are sent |
/// | `/worker` | which worker it is |
/// | `/panic` | the handler panics |
/// | `/tunnel` | an upgrade to `echo`, which says `bye` when the server stops |
/// | POST `/echo` | the body |
/// | POST `/count` | how long the body was |
#[derive(Clone, Default)]
pub(crate) struct Site {
    shared: Arc<SiteState>,
    worker: usize,
}

#[derive(Default)]
struct SiteState {
    held: Mutex<Vec<Responder>>,
    forgotten: Mutex<Vec<Responder>>,
    handlers: AtomicUsize,
}

impl Site {
    /// One handler more of the same site.
    pub(crate) fn another(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            worker: self.shared.handlers.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Handler for Site {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        let shared = &self.shared;
        let path = request.path();
        if request.method() == Method::POST {
            return match path {
                "/echo" => exchange.collect(64 << 20, |body, exchange| {
                    exchange.respond(StatusCode::OK).send(body.bytes().to_vec())
                }),
                _ => exchange.receive(Count(0)),
            };
        }
        match path {
            "/hold" => exchange.defer(|responder| shared.held.lock().unwrap().push(responder)),
            "/never" => exchange.defer(|responder| shared.forgotten.lock().unwrap().push(responder)),
            "/held" => {
                let count = shared.held.lock().unwrap().len();
                exchange.respond(StatusCode::OK).send(count.to_string())
            }
            "/release" => {
                let held = std::mem::take(&mut *shared.held.lock().unwrap());
                let count = held.len();
                for responder in held {
                    // Who left does not want it.
                    let _ = responder.respond(StatusCode::OK).send("held");
                }
                exchange.respond(StatusCode::OK).send(count.to_string())
            }
            "/worker" => exchange.respond(StatusCode::OK).send(self.worker.to_string()),
            "/panic" => panic!("as the test asked for"),
            "/tunnel" => exchange.upgrade("echo").switch_to(Echo),
            _ => {
                if path.starts_with("/n/") {
                    exchange
                        .respond(StatusCode::OK)
                        .send(format!("{path}\n{}", "x".repeat(1024)))
                } else if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
                    exchange
                        .respond(StatusCode::OK)
                        .stream(BodyLength::Exact(count), Bytes { left: count })
                } else {
                    exchange.respond(StatusCode::OK).send("hello")
                }
            }
        }
    }
}

struct Count(u64);

impl BodySink for Count {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.0 += data.len() as u64;
        Flow::Continue
    }

    fn finish(self: Box<Self>, _end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        exchange.respond(StatusCode::OK).send(self.0.to_string())
    }
}

struct Bytes {
    left: u64,
}

impl BodySource for Bytes {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        let block = [b'x'; 16 << 10];
        let count = usize::try_from(self.left).map_or(block.len(), |left| left.min(block.len()));
        writer.put(&block[..count]);
        self.left -= count as u64;
        if self.left == 0 { Progress::Done } else { Progress::More }
    }
}

struct Echo;

impl Tunnel for Echo {
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        io.put(data);
        Flow::Continue
    }

    fn on_shutdown(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        io.put(b"bye");
        Flow::Stop
    }
}
