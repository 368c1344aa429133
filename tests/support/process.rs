//! Servers as processes of their own, with an eye on their memory and processor time.

// Each test file uses a part of it.
#![allow(dead_code)]

#[path = "ending.rs"]
mod ending;

use super::client::PATIENCE;
use stannel::{Configuration, Handler, Server};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const ANY_PORT: &str = "--urls=http://127.0.0.1:0";

/// A server that runs; it is killed when the test ends before it does.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Process {
    /// The command.
    pub(crate) fn stannel(arguments: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_stannel")).args(arguments))
    }

    /// The command in this folder.
    pub(crate) fn stannel_in(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(
            Command::new(env!("CARGO_BIN_EXE_stannel"))
                .args(arguments)
                .current_dir(folder),
        )
    }

    /// The command in this folder, which logs what it warns of; another program may start it.
    pub(crate) fn stannel_that_warns(starter: Option<&mut Command>, folder: &Path, arguments: &[&str]) -> Self {
        let stannel = env!("CARGO_BIN_EXE_stannel");
        let mut own = Command::new(stannel);
        let command = match starter {
            Some(starter) => starter.arg(stannel),
            None => &mut own,
        };
        Self::spawn(command.args(arguments).current_dir(folder).env(LOG, "warn"))
    }

    /// The command with a bound on open files, which logs what it warns of.
    pub(crate) fn stannel_with_open_files(limit: u32, arguments: &[&str]) -> Self {
        let mut command = Self::after(&format!("ulimit -n {limit}"), arguments);
        Self::spawn(command.env(LOG, "warn"))
    }

    /// The command, whose files get no more than what this mask leaves.
    pub(crate) fn stannel_with_umask(mask: &str, arguments: &[&str]) -> Self {
        Self::spawn(&mut Self::after(&format!("umask {mask}"), arguments))
    }

    /// The command in a shell that does something first.
    fn after(first: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_stannel"))
            .args(arguments);
        command
    }

    /// This test program again, as the server of its `server_process`; see [`serve_if_asked`].
    pub(crate) fn own(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["server_process", "--exact", "--nocapture"])
            .env(ARGUMENTS, arguments.join("\n"));
        Self::spawn(&mut command)
    }

    /// Any server that says where it listens.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        if !command.get_envs().any(|(name, _)| name == LOG) {
            // It is not read while it runs, and must not fill the pipe.
            command.env(LOG, "off");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stderr: child.stderr.take(),
            child,
        }
    }

    /// The next address that it listens on.
    pub(crate) fn url(&mut self) -> String {
        match self.try_url() {
            Some(url) => url,
            None => panic!("it does not listen: {}", self.errors()),
        }
    }

    /// The same; `None` when it ends without another one.
    pub(crate) fn try_url(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap() > 0 {
            // The test harness may have begun the line.
            if let Some((_, url)) = line.split_once("Now listening on: ") {
                return Some(url.trim_end().to_owned());
            }
            line.clear();
        }
        None
    }

    pub(crate) fn address(&mut self) -> SocketAddr {
        self.url().strip_prefix("http://").unwrap().parse().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn terminate(&self) {
        ending::signal(&self.child, "TERM");
    }

    /// Asks it to read its configuration again.
    pub(crate) fn hang_up(&self) {
        ending::signal(&self.child, "HUP");
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The exit code, once it has ended by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        ending::exit_code(&mut self.child)
    }

    /// Asks it to stop and expects that it does so in order; what it wrote on standard error.
    pub(crate) fn stop(mut self) -> String {
        self.terminate();
        let code = self.exit_code();
        let errors = self.errors();
        assert_eq!(code, Some(0), "{errors}");
        errors
    }

    /// Everything on standard error; waits for the end.
    pub(crate) fn errors(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.stderr.take() {
            stderr.read_to_string(&mut text).unwrap();
        }
        text
    }

    /// Resident memory now, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that was ever resident, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many descriptors it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Its threads; none once it has ended.
    pub(crate) fn thread_ids(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let ids = tasks.into_iter().flatten().flatten();
        ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Whether a debugger is attached to that thread.
    pub(crate) fn is_traced(&self, thread: u32) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/task/{thread}/status", self.child.id()));
        status.is_ok_and(|status| {
            status
                .lines()
                .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        })
    }

    /// Processor time used so far, by all threads.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th field behind it.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // USER_HZ is 100 on every Linux.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end: its exit code and what it wrote on standard error.
pub(crate) fn run_stannel(arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = Process::stannel(arguments);
    let began = Instant::now();
    let code = process.exit_code();
    assert!(began.elapsed() < PATIENCE);
    (code, process.errors())
}

const LOG: &str = "STANNEL_LOG";

const ARGUMENTS: &str = "STANNEL_TEST_SERVER";

/// To be the whole of a test called `server_process`: serves with this handler if this process was started by
/// [`Process::own`], and then ends the process. Otherwise it does nothing.
pub(crate) fn serve_if_asked<F, H>(factory: F)
where
    F: Fn() -> H + Send + Sync + 'static,
    H: Handler + 'static,
{
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let mut options = Configuration::builder()
        .add_command_line(arguments.lines())
        .build()
        .and_then(|configuration| configuration.server_options())
        .unwrap();
    options.handle_signals = true;
    let server = Server::new(options, factory).bind().unwrap();
    for address in server.addresses() {
        println!("Now listening on: {address}");
    }
    let code = match server.run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    std::process::exit(code);
}
