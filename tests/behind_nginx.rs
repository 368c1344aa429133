//! A real nginx in front, over a Unix socket that is kept alive: files and uploads come through whole.

#[path = "support/client.rs"]
mod client;
#[path = "support/nginx.rs"]
mod nginx;

use client::{Client, wait_until};
use nginx::Nginx;
use stannel::middleware::StaticFiles;
use stannel::{Exchange, Handler, Outcome, Request, Server, ServerOptions, StatusCode};
use std::fs;

/// Files, and `/echo`, which answers with the request's body.
#[derive(Clone)]
struct Site(StaticFiles);

impl Handler for Site {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        if request.path() != "/echo" {
            return self.0.handle(request, exchange);
        }
        let peer = request.headers().get_str("x-real-ip").unwrap_or("nobody").to_owned();
        exchange.collect(8 << 20, move |body, exchange| {
            exchange
                .respond(StatusCode::OK)
                .header("x-seen-peer", peer.as_str())
                .send(body.to_vec())
        })
    }
}

#[test]
fn files_and_uploads_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    let film: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(5_000_000).collect();
    fs::write(site.join("film"), &film).unwrap();
    fs::write(site.join("index.html"), "<p>home").unwrap();

    let mut options = ServerOptions::default();
    options.listen_unix_socket(&socket).socket_mode = Some(0o666);
    let files = StaticFiles::new(&site).unwrap();
    let server = Server::new(options, move || Site(files.clone())).bind().unwrap();
    let handle = server.handle();
    let running = std::thread::spawn(move || server.run().unwrap());

    let upstream = format!("server unix:{}; keepalive 8;", socket.display());
    let location = "proxy_pass http://app; proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;";
    let Some((nginx, address)) = Nginx::start(folder.path(), &upstream, location) else {
        handle.shutdown();
        running.join().unwrap();
        return;
    };
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").text(), "<p>home");
    assert_eq!(client.get("/film").body, film);
    let mut request = format!(
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        film.len()
    )
    .into_bytes();
    request.extend_from_slice(&film);
    client.send(&request);
    let response = client.response();
    assert_eq!((response.status, response.body.len()), (200, film.len()));
    assert_eq!(response.body, film);
    assert!(
        response.head.to_lowercase().contains("x-seen-peer: 127.0.0.1"),
        "{}",
        response.head
    );
    // Nginx makes this one a Content-Length.
    client.send(
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().text(), "hello world");
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    // Connections to the socket are used again.
    let metrics = handle.metrics();
    let total = metrics.total();
    assert!(total.requests >= 24 && total.accepted_connections <= 8, "{total:?}");
    drop(nginx);
    handle.shutdown();
    wait_until("the stop", || running.is_finished());
    running.join().unwrap();
    assert!(!socket.exists());
}
