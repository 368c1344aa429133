//! The server of the soak, which tells its counters, and who looks after it.

use super::certificates::{Made, make};
use super::client::{ask_over_unix, wait_until};
use super::clients::Target;
use super::ports::free_ports;
use super::process::Process;
use super::site::Site;
use stannel::{Configuration, Exchange, Handler, Outcome, Request, Server, ServerHandle, StatusCode};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

const FOLDER: &str = "STANNEL_SOAK_FOLDER";

/// What the server has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) active: u64,
    pub(crate) upgraded: u64,
    pub(crate) accepted: u64,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
}

impl Counters {
    fn of(handle: &ServerHandle) -> Self {
        let total = handle.metrics().total();
        Self {
            active: total.active_connections,
            upgraded: total.upgraded_connections,
            accepted: total.accepted_connections,
            requests: total.requests,
            errors: total.errors.iter().map(|(_, count)| count).sum(),
        }
    }

    fn write(self) -> String {
        let Self {
            active,
            upgraded,
            accepted,
            requests,
            errors,
        } = self;
        format!("{active} {upgraded} {accepted} {requests} {errors}")
    }

    pub(crate) fn read(text: &str) -> Self {
        let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        let [active, upgraded, accepted, requests, errors] = numbers[..] else {
            panic!("these are no counters: {text}")
        };
        Self {
            active,
            upgraded,
            accepted,
            requests,
            errors,
        }
    }
}

/// The site, and `/counters`.
struct Told {
    site: Site,
    handle: Arc<OnceLock<ServerHandle>>,
}

impl Handler for Told {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        match self.handle.get() {
            Some(handle) if request.path() == "/counters" => {
                exchange.respond(StatusCode::OK).send(Counters::of(handle).write())
            }
            _ => self.site.handle(request, exchange),
        }
    }
}

/// Serves what a folder says, if this process was started for that, and then ends the process.
pub(crate) fn serve_if_asked() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let configuration = Configuration::builder()
        .set_base_path(folder)
        .add_optional_json_file("appsettings.json")
        .build()
        .unwrap();
    let mut options = configuration.server_options().unwrap();
    options.handle_signals = true;
    let site = Site::default();
    let handle = Arc::new(OnceLock::new());
    let told = Arc::clone(&handle);
    let factory = move || Told {
        site: site.another(),
        handle: Arc::clone(&told),
    };
    let server = Server::new(options, factory).bind().unwrap();
    assert!(handle.set(server.handle()).is_ok());
    for address in server.addresses() {
        println!("Now listening on: {address}");
    }
    server.run().unwrap();
    std::process::exit(0);
}

/// Has a server, changes its configuration and its certificate.
pub(crate) struct Administrator {
    folder: TempDir,
    ports: [u16; 2],
    certificates: [Made; 2],
    changes: usize,
}

impl Administrator {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ports: free_ports(),
            certificates: [make("one.test"), make("two.test")],
            changes: 0,
        }
    }

    pub(crate) fn start(&self) -> Process {
        self.write_certificate();
        self.write_settings(None);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["server_process", "--exact", "--nocapture"])
            .env(FOLDER, self.folder.path())
            // The allocator gives back what is free, so that the memory of the process is what is in use.
            .envs([
                ("MALLOC_ARENA_MAX", "1"),
                ("MALLOC_MMAP_THRESHOLD_", "32768"),
                ("MALLOC_TRIM_THRESHOLD_", "0"),
            ]);
        let mut server = Process::spawn(&mut command);
        server.url();
        server
    }

    pub(crate) fn target(&self) -> Target {
        let [plain, secured] = self.ports.map(|port| (std::net::Ipv4Addr::LOCALHOST, port).into());
        Target::new(plain, secured)
    }

    /// A new endpoint comes, serves and goes; the next certificate is shown.
    pub(crate) fn change(&mut self, server: &Process) {
        let extra = self.path("extra");
        self.write_settings(Some(&extra));
        server.hang_up();
        let mut connection = None;
        wait_until("another endpoint to be served", || {
            connection = UnixStream::connect(&extra).ok();
            connection.is_some()
        });
        let answer = connection.map(ask_over_unix).unwrap_or_default();
        assert!(answer.ends_with("hello"), "{answer}");
        self.write_settings(None);
        server.hang_up();
        wait_until("the endpoint to be closed", || !extra.exists());
        self.changes += 1;
        self.write_certificate();
        let expected = self.certificate().certificate.der().to_vec();
        let target = self.target();
        wait_until("the next certificate to be shown", || target.shown() == expected);
    }

    fn certificate(&self) -> &Made {
        &self.certificates[self.changes % self.certificates.len()]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_certificate(&self) {
        let (certificate, key) = self.certificate().write_pem(self.folder.path(), "next");
        fs::rename(certificate, self.path("server.pem")).unwrap();
        fs::rename(key, self.path("server.key")).unwrap();
    }

    fn write_settings(&self, extra: Option<&Path>) {
        let [plain, secured] = self.ports;
        let extra = extra.map(|path| format!(r#", "Extra": {{ "Url": "http://unix:{}" }}"#, path.display()));
        let text = format!(
            r#"{{ "Kestrel": {{ "Workers": 2, "Endpoints": {{
                "Plain": {{ "Url": "http://127.0.0.1:{plain}" }},
                "Secured": {{
                    "Url": "https://127.0.0.1:{secured}",
                    "Certificate": {{ "Path": "server.pem", "KeyPath": "server.key" }}
                }}{} }} }} }}"#,
            extra.unwrap_or_default()
        );
        let next = self.path("next.json");
        fs::write(&next, text).unwrap();
        fs::rename(next, self.path("appsettings.json")).unwrap();
    }
}
