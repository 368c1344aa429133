//! What a connection costs that does nothing: many are opened, each gets one answer, all stay open.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;

use crate::answer::{Answers, Expected, Known};
use crate::options::Options;
use crate::process::Process;
use crate::report::{Memory, Report};
use crate::request::Request;
use crate::stream::Stream;
use crate::tls;

pub fn run(options: &Options) -> io::Result<Report> {
    let Some(server) = options.pid.map(Process::new) else {
        return Err(io::Error::other(
            "the mode idle reads the server's memory; name it with --pid",
        ));
    };
    // The first answer brings pages in that belong to no connection.
    drop(Opener::new(options)?.open()?);
    drop(Held::open(options, 1)?);
    thread::sleep(SETTLE);
    let before = server.resident_bytes()?;
    let held = Held::open(options, options.connections)?;
    thread::sleep(options.hold);
    let after = server.resident_bytes()?;
    let connections = held.streams.len() as u64;
    let (failed, troubles) = held.end()?;
    Ok(Report::new(options, failed, troubles).with_memory(Memory {
        connections,
        before,
        after,
    }))
}

struct Opener<'a> {
    options: &'a Options,
    request: Request,
    tls: Option<Arc<ClientConfig>>,
    known: Known,
}

impl<'a> Opener<'a> {
    fn new(options: &'a Options) -> io::Result<Self> {
        let mut request = Request::new(options);
        let expected = std::mem::replace(&mut request.expected, Expected::Any);
        Ok(Self {
            options,
            request,
            tls: tls::config_for(options)?,
            known: Known::new(expected),
        })
    }

    fn open(&self) -> io::Result<Stream> {
        Stream::open(self.options, self.tls.as_ref(), &self.request)
    }
}

/// Connections that had their answer and stay open.
pub struct Held {
    streams: Vec<Stream>,
    failed: u64,
    /// The first few of what went wrong, in words.
    troubles: Vec<String>,
}

impl Held {
    pub fn open(options: &Options, count: usize) -> io::Result<Self> {
        let mut opener = Opener::new(options)?;
        let mut held = Self {
            streams: Vec::with_capacity(count),
            failed: 0,
            troubles: Vec::new(),
        };
        while held.streams.len() < count {
            let first = held.streams.len();
            for _ in 0..BATCH.min(count - first) {
                held.streams.push(opener.open()?);
            }
            for stream in &mut held.streams[first..] {
                if let Err(error) = read_answer(stream, &mut opener.known) {
                    held.failed += 1;
                    if held.troubles.len() < TROUBLES_IN_WORDS {
                        held.troubles.push(error.to_string());
                    }
                }
            }
        }
        Ok(held)
    }

    /// How many failed in all, and some of the reasons. A server that closes them would look thrifty.
    pub fn end(mut self) -> io::Result<(u64, Vec<String>)> {
        for stream in &mut self.streams {
            stream.socket().set_nonblocking(true)?;
            match stream.read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => self.failed += 1,
            }
        }
        Ok((self.failed, self.troubles))
    }
}

fn read_answer(stream: &mut Stream, known: &mut Known) -> io::Result<()> {
    let mut answers = Answers::default();
    let mut input = [0; 4096];
    loop {
        let length = stream.read(&mut input)?;
        if length == 0 {
            return Err(io::Error::other("closed before the answer was whole"));
        }
        let mut input = &input[..length];
        if answers
            .advance(&mut input, known)
            .map_err(|fault| io::Error::other(fault.to_string()))?
        {
            return if input.is_empty() {
                Ok(())
            } else {
                Err(io::Error::other("bytes after the answer"))
            };
        }
    }
}

const BATCH: usize = 256;
const SETTLE: Duration = Duration::from_millis(300);
const TROUBLES_IN_WORDS: usize = 5;
