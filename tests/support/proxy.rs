//! A real proxy as a process, where its program is installed.

// Each test file uses a part of it.
#![allow(dead_code)]

use super::client::wait_until;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How a proxy is started in the foreground.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// What stands before the file with its configuration.
    pub(crate) arguments: &'static [&'static str],
}

/// It runs until it is dropped.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    output: PathBuf,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// Starts one in the folder, on an address of its own that `configure` is told. `None`, and a printed line, where the
    /// program is not installed.
    pub(crate) fn start(
        program: &Program,
        folder: &Path,
        configure: impl FnOnce(SocketAddr) -> String,
    ) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = folder.join(format!("{}.conf", program.name));
        fs::write(&file, configure(address)).unwrap();
        let output = folder.join("output");
        // Debian keeps servers where the search path of ordinary users does not lead.
        let child = ["", "/usr/sbin/"].iter().find_map(|place| {
            let writer = || Stdio::from(fs::File::options().create(true).append(true).open(&output).unwrap());
            let mut command = Command::new(format!("{place}{}", program.name));
            command.args(program.arguments).arg(&file).stdin(Stdio::null());
            command.stdout(writer()).stderr(writer()).spawn().ok()
        });
        let Some(child) = child else {
            // Past the test harness, which shows what is printed only if a test fails.
            let _ = writeln!(std::io::stdout().lock(), "skipped: there is no {} here", program.name);
            return None;
        };
        let mut proxy = Self { child, address, output };
        wait_until("the proxy to listen", || {
            if let Some(status) = proxy.child.try_wait().unwrap() {
                panic!("{}: {status}: {}", program.name, proxy.output());
            }
            TcpStream::connect(address).is_ok()
        });
        Some(proxy)
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }
}
