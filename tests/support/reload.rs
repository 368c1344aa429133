//! A server in this process that follows a file, and what it says of that.

// Each test file uses a part of it.
#![allow(dead_code)]

use crate::client::PATIENCE;
use stannel::{
    Configuration, Exchange, Handler, Observer, ReloadOutcome, Request, Server, ServerHandle, ServerOptions, StatusCode,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tempfile::TempDir;

pub(crate) struct Following {
    folder: TempDir,
    handle: ServerHandle,
    outcomes: Receiver<ReloadOutcome>,
    running: Option<JoinHandle<()>>,
}

struct Tell(Mutex<Sender<ReloadOutcome>>);

impl Observer for Tell {
    fn reloaded(&self, outcome: &ReloadOutcome) {
        let _ = self.0.lock().unwrap().send(outcome.clone());
    }
}

/// Says hello.
pub(crate) fn hello() -> impl Handler + Clone + 'static {
    |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello")
}

/// Has changes noticed without anybody's asking.
pub(crate) fn follow_changes(options: &mut ServerOptions) {
    options.loader_mut().unwrap().reload_on_change(true);
}

impl Following {
    /// Serves what the text of `appsettings.json` says; `change` has the options before they are bound. Changes are read
    /// when that is asked for, unless `change` has them [followed](follow_changes): a disk that is slow to say that the
    /// file is written would have it noticed first, and then there are two outcomes.
    pub(crate) fn start<H, F>(text: &str, change: impl FnOnce(&mut ServerOptions), factory: F) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: Handler + 'static,
    {
        Self::start_in(tempfile::tempdir().unwrap(), text, change, factory)
    }

    /// The same with the file in that folder.
    pub(crate) fn start_in<H, F>(
        folder: TempDir,
        text: &str,
        change: impl FnOnce(&mut ServerOptions),
        factory: F,
    ) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: Handler + 'static,
    {
        fs::write(folder.path().join("appsettings.json"), text).unwrap();
        let configuration = Configuration::builder()
            .set_base_path(folder.path())
            .add_optional_json_file("appsettings.json")
            .build()
            .unwrap();
        let asked = |options: &mut ServerOptions| {
            options.loader_mut().unwrap().reload_on_change(false);
            change(options);
        };
        Self::follow(folder, &configuration, asked, factory)
    }

    /// Serves what a configuration says whose files are in that folder.
    pub(crate) fn follow<H, F>(
        folder: TempDir,
        configuration: &Configuration,
        change: impl FnOnce(&mut ServerOptions),
        factory: F,
    ) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: Handler + 'static,
    {
        let mut options = configuration.server_options().unwrap();
        change(&mut options);
        Self::serve(folder, options, factory)
    }

    /// Serves what the options say; what they follow is in that folder.
    pub(crate) fn serve<H, F>(folder: TempDir, mut options: ServerOptions, factory: F) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: Handler + 'static,
    {
        let (sender, outcomes) = channel();
        options.observer = Some(Arc::new(Tell(Mutex::new(sender))));
        let server = Server::new(options, factory).bind().unwrap();
        let handle = server.handle();
        Self {
            folder,
            handle,
            outcomes,
            running: Some(std::thread::spawn(move || server.run().unwrap())),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("appsettings.json")
    }

    /// Writes the file anew, without telling anybody.
    pub(crate) fn write(&self, text: &str) {
        let other = self.folder.path().join("new.json");
        fs::write(&other, text).unwrap();
        fs::rename(&other, self.file()).unwrap();
    }

    /// Writes the file anew, asks for it to be read, and waits for what came of it.
    pub(crate) fn reload(&self, text: &str) -> ReloadOutcome {
        self.write(text);
        self.handle.reload();
        self.outcome()
    }

    pub(crate) fn outcome(&self) -> ReloadOutcome {
        self.outcomes.recv_timeout(PATIENCE).expect("the configuration is read")
    }

    /// Waits until the server has stopped, which somebody must have asked for; what was told until then, if anything.
    pub(crate) fn outcome_until_the_end(mut self) -> Option<ReloadOutcome> {
        self.running.take().unwrap().join().unwrap();
        self.outcomes.try_recv().ok()
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// Waits for something that is not to happen.
    pub(crate) fn nothing_within(&self, time: std::time::Duration) -> Option<ReloadOutcome> {
        self.outcomes.recv_timeout(time).ok()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.handle.shutdown();
        if let Some(running) = self.running.take() {
            let result = running.join();
            assert!(std::thread::panicking() || result.is_ok());
        }
    }
}
