//! The arena's entry with a data set of its own.

use crate::certificates;
use crate::client::Client;
use crate::process::Process;
use crate::program::program;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub(crate) struct Arena {
    process: Process,
    data: TempDir,
    pub(crate) plain: SocketAddr,
    pub(crate) secure: SocketAddr,
}

impl Arena {
    /// On any free ports.
    pub(crate) fn start() -> Self {
        let data = data();
        let (certificate, key) = certificates::make("localhost").write_pem(data.path(), "server");
        let mut command = command(data.path());
        command.env("TLS_CERT", certificate).env("TLS_KEY", key).args([
            "--HTTP_PORTS=0",
            "--HTTPS_PORTS=0",
            "--Kestrel:Workers=2",
        ]);
        let mut process = Process::spawn(&mut command);
        let (plain, secure) = (process.url(), process.url());
        assert!(plain.starts_with("http://") && secure.starts_with("https://"));
        Self {
            process,
            data,
            plain: local(&plain),
            secure: local(&secure),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.plain)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.data.path().join("static").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), content).unwrap();
    }

    /// It still serves, and then it stops in order.
    pub(crate) fn stop(self) {
        assert_eq!(self.client().get("/pipeline").text(), "ok");
        assert_eq!(self.process.stop(), "");
    }
}

/// The entry as a program with that data, which has to be told all the rest.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(program("arena"));
    command
        .current_dir(data)
        .env("ARENA_DATA", data)
        .env("TLS_CERT", data.join("none.crt"))
        .env("TLS_KEY", data.join("none.key"));
    command
}

/// A folder with `dataset.json` and an empty folder `static`.
pub(crate) fn data() -> TempDir {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("static")).unwrap();
    let text = serde_json::to_string_pretty(&items()).unwrap();
    fs::write(data.path().join("dataset.json"), text).unwrap();
    data
}

/// Fifty items.
pub(crate) fn items() -> Vec<Value> {
    let item = |n: i64| {
        json!({
            "id": n,
            "name": format!("Item {n} \"é\""),
            "category": if n % 3 == 0 { "tools" } else { "toys" },
            "price": n * 37 % 101 + 1,
            "quantity": n * 13 % 17,
            "active": n % 2 == 0,
            "tags": (0..n % 4).map(|tag| format!("tag {tag}")).collect::<Vec<_>>(),
            "rating": { "score": n % 5, "count": n * 3 },
        })
    };
    (1..=50).map(item).collect()
}

pub(crate) fn local(url: &str) -> SocketAddr {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    SocketAddr::from(([127, 0, 0, 1], port.expect("a port")))
}

/// Numbers that nobody guesses, the same in each run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// An integer that is small enough to be added up.
    pub(crate) fn integer(&mut self) -> i64 {
        (self.next() >> 20) as i64 - (1 << 43)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next() as u8).take(count).collect()
    }
}
