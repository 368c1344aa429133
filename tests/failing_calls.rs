//! Every system call of the shell fails once, in turn: the server serves on, or ends with a clear error, and keeps nothing
//! that it should not.
//!
//! strace makes them fail. A run without failures tells how often the main thread and the loop make which call; then each
//! of these calls fails in a run of its own. `STANNEL_HEAVY=1` runs them all, otherwise calls that come very often fail at
//! some of their places. Where there is no strace, or it may not look into processes, a printed line says so.
#![forbid(unsafe_code)]
#![cfg(all(feature = "config", feature = "signals", target_os = "linux"))]

#[path = "support/client.rs"]
mod client;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/process.rs"]
mod process;

use client::{is_heavy, wait_until};
use ports::free_ports;
use process::Process;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What fails, and with what.
///
/// Missing are calls whose failure is the standard library's or the kernel's own business (threads' stacks, `close`), and
/// `getrandom`, without which there is no cryptography.
const CALLS: &[(&str, &[&str])] = &[
    ("socket", &["EMFILE", "ENFILE", "ENOBUFS", "EAFNOSUPPORT"]),
    ("socketpair", &["EMFILE", "ENOMEM"]),
    ("bind", &["EADDRINUSE", "EACCES", "ENOMEM"]),
    ("listen", &["EADDRINUSE", "ENOMEM"]),
    ("setsockopt", &["ENOMEM", "ENOPROTOOPT", "EPERM"]),
    ("getsockname", &["ENOBUFS"]),
    (
        "accept4",
        &[
            "EMFILE",
            "ENFILE",
            "ENOBUFS",
            "ENOMEM",
            "ECONNABORTED",
            "EINTR",
            "EPERM",
            "EPROTO",
        ],
    ),
    ("epoll_create1", &["EMFILE", "ENOMEM"]),
    ("eventfd2", &["EMFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("epoll_wait", &["EINTR"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("fcntl", &["EMFILE", "EINVAL"]),
    ("read", &["EINTR", "EIO", "ENOMEM"]),
    ("recvfrom", &["EINTR", "ECONNRESET", "EIO", "ENOMEM", "ETIMEDOUT"]),
    ("write", &["EINTR", "EPIPE", "ENOSPC"]),
    ("writev", &["EINTR", "EPIPE", "ENOBUFS", "ECONNRESET"]),
    ("sendto", &["EINTR", "EPIPE", "ENOBUFS", "ECONNRESET"]),
    ("sendmsg", &["EINTR", "EPIPE", "ENOBUFS", "ECONNRESET"]),
    ("sendfile", &["EINTR", "EINVAL", "EIO", "EPIPE", "ECONNRESET"]),
    ("pread64", &["EINTR", "EIO"]),
    ("shutdown", &["ENOTCONN"]),
    ("openat", &["EMFILE", "EACCES", "EIO", "ENOMEM"]),
    ("statx", &["EACCES", "EIO", "ENOMEM"]),
    ("newfstatat", &["EIO", "ENOMEM"]),
    ("lseek", &["EIO"]),
    ("readlink", &["EIO"]),
    ("unlink", &["EACCES"]),
];

/// Calls that come more often than this fail at some of their places only.
const EACH: usize = 6;
const EVERY: usize = 7;

const HOME: &[u8] = b"<p>home";

/// Bytes of a body that does not fit into a socket.
const FILM: usize = 600_000;

/// How many connections a failure may cost.
const COSTS: usize = 1;

/// What is waited for a server that is only slow because of strace.
const HANGS: Duration = Duration::from_secs(10);

/// Who makes a call. strace counts calls by threads.
#[derive(Clone, Copy, Debug)]
enum Thread {
    /// It starts the server, follows the configuration and stops.
    Main,
    /// It has the connections.
    Loop,
}

/// One call that fails.
#[derive(Clone, Debug)]
struct Failure {
    thread: Thread,
    call: &'static str,
    error: &'static str,
    place: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: {} {} at call {}",
            self.thread, self.call, self.error, self.place
        )
    }
}

#[test]
fn each_call_may_fail() {
    if !Command::new("strace")
        .arg("-V")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        say("skipped: there is no strace here");
        return;
    }
    let mut failures = Vec::new();
    let mut most = 0;
    for thread in [Thread::Main, Thread::Loop] {
        let Some(usual) = Run::new(thread, None).go(usize::MAX) else {
            say("skipped: strace may not look into processes here");
            return;
        };
        most = usual.open_files.max(most);
        failures.extend(failures_of(thread, &usual.trace));
    }
    let (next, ended, cost) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(failure) = failures.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Whoever panics has said why; the others are to be heard, too.
                    let Ok(came) = catch_unwind(|| Run::new(failure.thread, Some(failure)).go(most)) else {
                        wrong.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let came = came.expect("strace looks into processes");
                    ended.fetch_add(usize::from(!came.has_served), Ordering::Relaxed);
                    cost.fetch_add(came.lost, Ordering::Relaxed);
                }
            });
        }
    });
    say(&format!(
        "{} failing calls: {} servers ended with a clear error, the others served on; {} connections were lost",
        failures.len(),
        ended.into_inner(),
        cost.into_inner()
    ));
    assert_eq!(wrong.into_inner(), 0, "failing calls with the wrong consequences");
}

/// One server from its start to its end, and its clients.
struct Run<'a> {
    thread: Thread,
    failure: Option<&'a Failure>,
    folder: TempDir,
    port: u16,
}

/// strace beside a server.
struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.kill();
        }
        // Otherwise it ends with its thread.
        let _ = self.0.wait();
    }
}

/// What came of it.
struct Came {
    trace: String,
    has_served: bool,
    /// Connections on which something went wrong.
    lost: usize,
    /// Open once all clients had left.
    open_files: usize,
}

impl<'a> Run<'a> {
    fn new(thread: Thread, failure: Option<&'a Failure>) -> Self {
        let [port] = free_ports();
        let run = Self {
            thread,
            failure,
            folder: tempfile::tempdir().unwrap(),
            port,
        };
        let site = run.path("site");
        fs::create_dir_all(site.join("list")).unwrap();
        fs::write(site.join("index.html"), HOME).unwrap();
        fs::write(site.join("film"), vec![b'f'; FILM]).unwrap();
        for number in 0..80 {
            fs::write(site.join(format!("list/{number:0240}")), "").unwrap();
        }
        run.configure(&[]);
        run
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, more: &[&str]) {
        let mut endpoints = format!(r#""A": {{ "Url": "http://127.0.0.1:{}" }}"#, self.port);
        for name in [&["B"], more].concat() {
            let socket = self.path(name);
            endpoints += &format!(r#", "{name}": {{ "Url": "http://unix:{}" }}"#, socket.display());
        }
        let text = format!(r#"{{ "Kestrel": {{ "Workers": 1, "Endpoints": {{ {endpoints} }} }} }}"#);
        fs::write(self.path("appsettings.json"), text).unwrap();
    }

    fn label(&self) -> String {
        self.failure.map_or_else(|| "nothing".to_owned(), Failure::to_string)
    }

    /// With so many descriptors open when nobody is served, and no more. `None` if strace may not do its work.
    fn go(self, most: usize) -> Option<Came> {
        let label = self.label();
        let arguments = ["site", "--directory-listing"];
        let mut strace = self.strace();
        let starter = match self.thread {
            // It traces from beside, so that our child is the server.
            Thread::Main => Some(strace.arg("-D")),
            Thread::Loop => None,
        };
        let mut server = Process::stannel_that_warns(starter, self.folder.path(), &arguments);
        let socket = self.path("B");
        let mut listens = false;
        wait_until(&format!("the server with {label} to serve or to end"), || {
            // Sockets listen before everything else is there; the loop's thread comes last.
            listens = server.thread_ids().len() > 1 && UnixStream::connect(&socket).is_ok();
            listens || server.has_ended()
        });
        let mut came = Came {
            trace: String::new(),
            has_served: listens,
            lost: 0,
            open_files: 0,
        };
        let mut tracer = None;
        if let (Thread::Loop, true) = (self.thread, listens) {
            tracer = Some(self.trace_loop(&server)?);
        }
        if listens {
            self.be_clients(&server, &mut came);
            wait_until(&format!("descriptors of the server with {label} to be closed"), || {
                came.open_files = server.open_files();
                came.open_files <= most
            });
            server.terminate();
        }
        let began = Instant::now();
        let code = server.exit_code();
        let errors = server.errors();
        let lines = errors.lines().count();
        assert!(
            began.elapsed() < HANGS,
            "{label}: the stop took {:?}: {errors}",
            began.elapsed()
        );
        assert!(
            !errors.contains("panicked") && !errors.contains("backtrace"),
            "{label}: {errors}"
        );
        if listens {
            assert_eq!(code, Some(0), "{label}: {errors}");
            assert!(lines <= 6, "{label}: {errors}");
        } else {
            assert!(self.failure.is_some(), "it does not serve: {errors}");
            assert_eq!(code, Some(1), "{label}: {errors}");
            assert!((1..=3).contains(&lines), "{label}: {errors:?}");
        }
        drop(tracer);
        came.trace = fs::read_to_string(self.path("trace")).unwrap();
        Some(came)
    }

    fn strace(&self) -> Command {
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-s", "0", "-o"]).arg(self.path("trace"));
        if let Some(Failure { call, error, place, .. }) = self.failure {
            strace.args(["-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:error={error}:when={place}")]);
        }
        strace
    }

    /// Watches the loop's thread from now on. `None` if that is not allowed.
    fn trace_loop(&self, server: &Process) -> Option<Tracer> {
        let thread = server.thread_ids().into_iter().find(|&id| id != server.id()).unwrap();
        let strace = self
            .strace()
            .args(["-p", &thread.to_string()])
            .stderr(Stdio::null())
            .spawn();
        let mut tracer = Tracer(strace.unwrap());
        let mut has_ended = false;
        wait_until("strace to look on", || {
            has_ended = tracer.0.try_wait().unwrap().is_some();
            has_ended || server.is_traced(thread)
        });
        (!has_ended).then_some(tracer)
    }

    /// Has it serve everything that it has.
    fn be_clients(&self, server: &Process, came: &mut Came) {
        self.step(came, "two requests on a connection", || {
            let mut stream = Stream::over_tcp(self.port)?;
            is_so(stream.ask("/")? == HOME)?;
            is_so(stream.ask("/list/")?.len() > 80 * 240)
        });
        self.step(came, "a film for somebody slow", || {
            let mut stream = Stream::over_unix(&self.path("B"))?;
            stream.send("/film")?;
            // Somebody is served meanwhile.
            is_so(Stream::over_tcp(self.port)?.ask("/")? == HOME)?;
            is_so(stream.answer()?.len() == FILM)
        });
        self.configure(&["C"]);
        let added = self.path("C");
        let began = Instant::now();
        let mut asked = None;
        wait_until(
            &format!("the server with {} to follow its configuration", self.label()),
            || {
                // A signal that comes while something fails may have to come again.
                if asked.is_none_or(|asked: Instant| asked.elapsed() > Duration::from_millis(500)) {
                    server.hang_up();
                    asked = Some(Instant::now());
                }
                UnixStream::connect(&added).is_ok()
            },
        );
        assert!(
            began.elapsed() < HANGS,
            "{}: a changed configuration was followed late",
            self.label()
        );
        self.step(came, "a request to a new endpoint", || {
            is_so(Stream::over_unix(&added)?.ask("/")? == HOME)
        });
    }

    /// Tries until it goes well. What is interrupted goes on without anybody noticing.
    fn step(&self, came: &mut Came, what: &str, try_it: impl Fn() -> io::Result<()>) {
        while let Err(error) = try_it() {
            let label = self.label();
            came.lost += 1;
            let hung = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(!hung, "{label}: {what}: the server keeps its client waiting");
            let may_cost = self.failure.is_some_and(|failure| failure.error != "EINTR");
            assert!(may_cost && came.lost <= COSTS, "{label}: {what}: {error}");
        }
    }
}

/// A client's end, of either kind.
struct Stream(BufReader<Box<dyn Both>>);

trait Both: Read + Write {}

impl<S: Read + Write> Both for S {}

impl Stream {
    fn over_tcp(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(HANGS))?;
        Ok(Self(BufReader::new(Box::new(stream))))
    }

    fn over_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(HANGS))?;
        Ok(Self(BufReader::new(Box::new(stream))))
    }

    fn send(&mut self, target: &str) -> io::Result<()> {
        self.0.get_mut().write_all(client::get(target).as_bytes())
    }

    /// The body of an answer that is right.
    fn answer(&mut self) -> io::Result<Vec<u8>> {
        let mut length = None;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let is_right = line == "HTTP/1.1 200 OK\r\n";
        while line != "\r\n" {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim_end().parse().ok();
            }
        }
        let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
        self.0.read_exact(&mut body)?;
        is_so(is_right).map(|()| body)
    }

    fn ask(&mut self, target: &str) -> io::Result<Vec<u8>> {
        self.send(target)?;
        self.answer()
    }
}

fn is_so(is_right: bool) -> io::Result<()> {
    if is_right {
        Ok(())
    } else {
        Err(io::Error::other("the answer is another one"))
    }
}

/// The calls in this trace of a thread that can fail. Those before the program begins are the loader's.
fn failures_of(thread: Thread, trace: &str) -> Vec<Failure> {
    let mut has_begun = matches!(thread, Thread::Loop);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for line in trace.lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        has_begun |= line.contains("SIGPIPE");
        let count = counts.entry(name).or_default();
        *count += 1;
        if has_begun {
            places.entry(name).or_default().push(*count);
        }
    }
    let mut failures = Vec::new();
    for &(call, errors) in CALLS {
        for (index, &place) in places.get(call).into_iter().flatten().enumerate() {
            if is_heavy() || index < EACH || index % EVERY == 0 {
                failures.extend(errors.iter().map(|&error| Failure {
                    thread,
                    call,
                    error,
                    place,
                }));
            }
        }
    }
    failures
}

fn say(line: &str) {
    // Past the test harness, which shows what is printed only if a test fails.
    let _ = writeln!(io::stdout().lock(), "{line}");
}
