//! A server that follows its configuration, and tells what came of each change.
//!
//! Start it in a folder with an `appsettings.json`, change that file, and look at what it says. `kill -HUP` reads the
//! file at once, and so does a request for `/reload`.
//!
//! ```sh
//! cargo run --example reload
//! ```

use stannel::{Configuration, Exchange, Observer, ReloadOutcome, Request, Server, ServerHandle, StatusCode};
use std::error::Error;
use std::sync::{Arc, OnceLock};

/// Says what has changed.
struct Tell;

impl Observer for Tell {
    fn reloaded(&self, outcome: &ReloadOutcome) {
        match &outcome.error {
            Some(error) => println!("nothing was changed: {error}"),
            None => println!(
                "stopped {:?}, started {:?}, failed {:?}, new certificates {:?}",
                outcome.stopped, outcome.started, outcome.failed, outcome.renewed
            ),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let configuration = Configuration::from_default_sources(std::env::args_os().skip(1))?;
    // These options follow changes of the files; `loader_mut()` and `reload_on_change(false)` would switch that off.
    let mut options = configuration.server_options()?;
    options.handle_signals = true;
    options.observer = Some(Arc::new(Tell));

    // The server exists only after its handlers do.
    let handle: Arc<OnceLock<ServerHandle>> = Arc::default();
    let for_handlers = Arc::clone(&handle);
    let answer = move |request: &Request<'_>, exchange: Exchange<'_>| {
        if request.path() == "/reload"
            && let Some(handle) = for_handlers.get()
        {
            // Returns at once; the observer hears what came of it.
            handle.reload();
        }
        exchange.respond(StatusCode::OK).send("Hello, World!\n")
    };
    let server = Server::new(options, move || answer.clone()).bind()?;
    let _ = handle.set(server.handle());
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
