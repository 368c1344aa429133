//! The entry for HttpArena, the benchmark that people compare servers with:
//!
//! ```sh
//! ARENA_DATA=data TLS_CERT=site.pem TLS_KEY=site.key cargo run --release --example arena
//! ```
//!
//! | request | answer |
//! |---|---|
//! | `GET` or `POST /baseline11?a=13&b=42` | the sum of the query's values and of the integer in the body |
//! | `GET /pipeline` | `ok` |
//! | `GET /json/COUNT?m=M` | that many items of `dataset.json`, each with its total: price × quantity × M |
//! | `POST /upload` | how many bytes came |
//! | `GET /static/FILE` | a file of the folder `static`, compressed where it lies there compressed |
//! | `GET /ws` | a WebSocket that echoes |
//!
//! It listens on port 8080, and with TLS on 8081. Each of the usual settings counts more than these, as in
//! `--urls http://127.0.0.1:9000`, `--HTTPS_PORTS=8443` or `--Kestrel:Workers=1`.

mod items;
mod sum;
mod upload;
mod websocket;

use items::{Item, Order};
use stannel::header::{ALLOW, CONTENT_TYPE};
use stannel::middleware::StaticFiles;
use stannel::{Configuration, Exchange, Handler, Method, Outcome, Request, Server, StatusCode};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Arena {
    items: Arc<[Item]>,
    /// Its folder is the one above `static`, because a path is looked up as it is.
    files: StaticFiles,
    /// What an answer is serialised into, again and again.
    json: Vec<u8>,
}

impl Handler for Arena {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        let method = request.method();
        let is_read = matches!(method, &Method::GET | &Method::HEAD);
        match request.path() {
            "/baseline11" if is_read || method == Method::POST => sum::answer(request, exchange),
            "/pipeline" if is_read => text(exchange, "ok"),
            "/upload" if method == Method::POST => exchange.receive(upload::Count::default()),
            "/ws" if method == Method::GET => websocket::answer(request, exchange),
            "/baseline11" => refuse(exchange, "GET, HEAD, POST"),
            "/pipeline" => refuse(exchange, "GET, HEAD"),
            "/upload" => refuse(exchange, "POST"),
            "/ws" => refuse(exchange, "GET"),
            path if path.starts_with("/static/") => self.files.handle(request, exchange),
            path => match path.strip_prefix("/json/") {
                Some(count) if is_read => self.order(count, request.query(), exchange),
                Some(_) => refuse(exchange, "GET, HEAD"),
                None => exchange.respond(StatusCode::NOT_FOUND).send(""),
            },
        }
    }
}

impl Arena {
    /// With the files of that folder.
    pub(crate) fn new(data: &Path) -> Result<Self, Box<dyn Error>> {
        let cannot = |error| format!("cannot serve {}: {error}", data.display());
        Ok(Self {
            items: items::read(&data.join("dataset.json"))?,
            files: StaticFiles::new(data).map_err(cannot)?,
            json: Vec::new(),
        })
    }

    fn order(&mut self, count: &str, query: &str, exchange: Exchange<'_>) -> Outcome {
        let Some(order) = Order::read(&self.items, count, query) else {
            return exchange.respond(StatusCode::BAD_REQUEST).send("");
        };
        self.json.clear();
        match serde_json::to_writer(&mut self.json, &order) {
            Ok(()) => exchange
                .respond(StatusCode::OK)
                .header(CONTENT_TYPE, "application/json")
                .send(&self.json),
            // A total that is too large for a number.
            Err(_) => exchange.respond(StatusCode::BAD_REQUEST).send(""),
        }
    }
}

fn text(exchange: Exchange<'_>, text: &str) -> Outcome {
    exchange
        .respond(StatusCode::OK)
        .header(CONTENT_TYPE, "text/plain")
        .send(text)
}

fn refuse(exchange: Exchange<'_>, methods: &str) -> Outcome {
    exchange
        .respond(StatusCode::METHOD_NOT_ALLOWED)
        .header(ALLOW, methods)
        .send("")
}

fn configuration() -> Result<Configuration, Box<dyn Error>> {
    let file = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let files = [
        file("TLS_CERT", "/certs/server.crt"),
        file("TLS_KEY", "/certs/server.key"),
    ];
    // The weakest source comes first.
    let mut defaults = Configuration::builder().set("HTTP_PORTS", "8080");
    if let Some(missing) = files.iter().find(|file| !Path::new(file).exists()) {
        eprintln!("no port for TLS: there is no {missing}; name certificate and key with TLS_CERT and TLS_KEY");
    } else {
        let [certificate, key] = files;
        defaults = defaults
            .set("HTTPS_PORTS", "8081")
            .set("Kestrel:Certificates:Default:Path", certificate)
            .set("Kestrel:Certificates:Default:KeyPath", key);
    }
    Ok(defaults.add_default_sources(std::env::args_os().skip(1))?.build()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let data = std::env::var_os("ARENA_DATA").map_or_else(|| PathBuf::from("/data"), PathBuf::from);
    let arena = Arena::new(&data)?;
    let mut options = configuration()?.server_options()?;
    options.handle_signals = true;
    let server = Server::new(options, move || arena.clone()).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
