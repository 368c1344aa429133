//! The command line of the load generator.

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

#[derive(Debug)]
pub struct Options {
    pub mode: Mode,
    pub address: SocketAddr,
    pub path: Option<String>,
    pub connections: usize,
    /// Requests in flight on each connection.
    pub depth: usize,
    pub length: Length,
    /// Time before anything is counted; only with `Length::Seconds`.
    pub warm_up: Duration,
    /// Requests a second over all connections, instead of as many as possible.
    pub rate: Option<f64>,
    /// Bytes of a request's or an answer's body, for the modes that have one.
    pub size: usize,
    /// Connections beside those, which have one answer and then do nothing.
    pub idle: usize,
    /// How long idle connections stay open before memory is read.
    pub hold: Duration,
    /// The server's process, for its time on the processor and its memory.
    pub pid: Option<u32>,
    pub fields: Fields,
    pub transport: Transport,
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    KeepAlive,
    Pipelined,
    Churn,
    Upload,
    UploadChunked,
    Download,
    Echo,
    Idle,
    Check,
    ArenaBaseline,
    ArenaPipelined,
    ArenaLimited,
}

#[derive(Debug, Clone, Copy)]
pub enum Length {
    Requests(u64),
    Seconds(Duration),
}

#[derive(Debug, Clone, Copy)]
pub enum Fields {
    Host,
    Benchmark,
    Browser,
}

#[derive(Debug, Clone, Copy)]
pub enum Transport {
    Tcp,
    Tls,
}

#[derive(Debug, Clone, Copy)]
pub enum Output {
    Text,
    Json,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::KeepAlive,
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            path: None,
            connections: 64,
            depth: 1,
            length: Length::Seconds(Duration::from_secs(3)),
            warm_up: Duration::ZERO,
            rate: None,
            size: 1 << 20,
            idle: 0,
            hold: Duration::from_secs(1),
            pid: None,
            fields: Fields::Benchmark,
            transport: Transport::Tcp,
            output: Output::Text,
        }
    }
}

impl Options {
    pub fn from_args() -> Result<Self, lexopt::Error> {
        let mut mode = None;
        let mut depth = None;
        let mut options = Self::default();
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(name) if mode.is_none() => mode = Some(Mode::from_name(&name.string()?)?),
                Arg::Long("addr") => options.address = parser.value()?.parse()?,
                Arg::Long("path") => options.path = Some(parser.value()?.string()?),
                Arg::Long("connections") => options.connections = at_least_one(parser.value()?.parse()?)?,
                Arg::Long("depth") => depth = Some(at_least_one(parser.value()?.parse()?)?),
                Arg::Long("requests") => options.length = Length::Requests(parser.value()?.parse()?),
                Arg::Long("seconds") => options.length = Length::Seconds(seconds(&parser.value()?.string()?)?),
                Arg::Long("warm-up") => options.warm_up = seconds(&parser.value()?.string()?)?,
                Arg::Long("rate") => options.rate = Some(parser.value()?.parse()?),
                Arg::Long("size") => options.size = parser.value()?.parse()?,
                Arg::Long("idle") => options.idle = parser.value()?.parse()?,
                Arg::Long("hold") => options.hold = seconds(&parser.value()?.string()?)?,
                Arg::Long("pid") => options.pid = Some(parser.value()?.parse()?),
                Arg::Long("fields") => options.fields = Fields::from_name(&parser.value()?.string()?)?,
                Arg::Long("browser") => options.fields = Fields::Browser,
                Arg::Long("tls") => options.transport = Transport::Tls,
                Arg::Long("json") => options.output = Output::Json,
                Arg::Short('h') | Arg::Long("help") => {
                    println!("{USAGE}");
                    std::process::exit(0);
                }
                other => return Err(other.unexpected()),
            }
        }
        options.mode = mode.ok_or(USAGE)?;
        options.depth = depth.unwrap_or(if options.mode.is_pipelined() { 16 } else { 1 });
        if !options.mode.is_pipelined() && options.depth != 1 {
            return Err("--depth belongs to the modes pipelined and arena-pipelined".into());
        }
        if options.idle > 0 && options.mode != Mode::KeepAlive {
            return Err("--idle belongs to the mode keep-alive".into());
        }
        if let Some(rate) = options.rate {
            if options.mode != Mode::KeepAlive || !matches!(options.length, Length::Seconds(_)) {
                return Err("--rate belongs to the mode keep-alive with --seconds".into());
            }
            if !rate.is_finite() || rate <= 0.0 {
                return Err("--rate must be above zero".into());
            }
        }
        Ok(options)
    }
}

impl Mode {
    fn from_name(name: &str) -> Result<Self, lexopt::Error> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| format!("no mode is called {name}\n{USAGE}").into())
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Pipelined => "pipelined",
            Self::Churn => "churn",
            Self::Upload => "upload",
            Self::UploadChunked => "upload-chunked",
            Self::Download => "download",
            Self::Echo => "echo",
            Self::Idle => "idle",
            Self::Check => "check",
            Self::ArenaBaseline => "arena-baseline",
            Self::ArenaPipelined => "arena-pipelined",
            Self::ArenaLimited => "arena-limited",
        }
    }

    fn is_pipelined(self) -> bool {
        matches!(self, Self::Pipelined | Self::ArenaPipelined)
    }

    /// After how many requests the client ends a connection.
    pub fn requests_per_connection(self) -> usize {
        match self {
            Self::Churn => 1,
            Self::ArenaLimited => 10,
            _ => usize::MAX,
        }
    }

    const ALL: [Self; 12] = [
        Self::KeepAlive,
        Self::Pipelined,
        Self::Churn,
        Self::Upload,
        Self::UploadChunked,
        Self::Download,
        Self::Echo,
        Self::Idle,
        Self::Check,
        Self::ArenaBaseline,
        Self::ArenaPipelined,
        Self::ArenaLimited,
    ];
}

impl Fields {
    fn from_name(name: &str) -> Result<Self, lexopt::Error> {
        match name {
            "host" => Ok(Self::Host),
            "benchmark" => Ok(Self::Benchmark),
            "browser" => Ok(Self::Browser),
            _ => Err(format!("{name} is none of host, benchmark and browser").into()),
        }
    }
}

fn at_least_one(number: usize) -> Result<usize, lexopt::Error> {
    if number == 0 {
        Err("at least one is needed".into())
    } else {
        Ok(number)
    }
}

fn seconds(text: &str) -> Result<Duration, lexopt::Error> {
    let number: f64 = text.parse().map_err(|_| format!("{text} is not a number of seconds"))?;
    Duration::try_from_secs_f64(number).map_err(|error| format!("{text} seconds: {error}").into())
}

const USAGE: &str = "\
usage: load MODE [options]
modes:
  keep-alive   one request in flight on each connection
  pipelined    --depth requests in flight on each connection (16)
  churn        a connection per request, read until its end
  download     GET /bytes/SIZE
  upload       POST /upload with SIZE bytes
  upload-chunked  the same without saying how many, in chunks of 64 KiB
  echo         POST /echo with SIZE bytes, which must come back
  idle         one request on each connection, then memory while they stay open
  check        whether GET /plaintext is answered with the fields and the body that are measured
  arena-baseline   GET /baseline11?a=13&b=42, the same as POST with a body, and with a chunked one, in turn
  arena-pipelined  GET /pipeline, --depth requests in flight on each connection (16)
  arena-limited    as arena-baseline, and the client ends each connection after ten requests
options:
  --addr ADDRESS:PORT   the server (127.0.0.1:8080)
  --path PATH           instead of the mode's own path (not in the arena's modes)
  --connections N       (64)
  --requests N          stop after so many answers
  --seconds S           or after so long (3)
  --warm-up S           before anything is counted, with --seconds (0)
  --rate R              keep-alive: R requests a second instead of as many as possible, latency
                        counted from when a request was due, whether or not it could be sent
  --size BYTES          (1048576)
  --idle N              keep-alive: so many connections besides, which have one answer each and do
                        nothing more (0)
  --hold S              idle: how long before memory is read (1)
  --pid PID             the server's process
  --fields NAME         of the request: host (that one alone), benchmark (three, as the TechEmpower
                        benchmarks send them, the default) or browser (ten, as a browser sends them)
  --browser             the same as --fields browser
  --tls                 TLS 1.3 with X25519; the server must have this package's certificate
  --json                one line of JSON";
