//! Files and uploads come through whole, over connections that are used again.

use crate::behind_each;
use crate::client::Client;
use crate::proxies::Kind;
use stannel::middleware::StaticFiles;
use stannel::{Exchange, Handler, Outcome, Request, ServerOptions, StatusCode};
use std::fs;
use std::path::Path;

/// Files, and `/echo`, which answers with the request's body.
#[derive(Clone)]
struct Site(StaticFiles);

impl Site {
    /// With files in a folder that it makes.
    fn within(folder: &Path) -> Self {
        let site = folder.join("site");
        fs::create_dir(&site).unwrap();
        fs::write(site.join("film"), film()).unwrap();
        fs::write(site.join("index.html"), "<p>home").unwrap();
        Self(StaticFiles::new(&site).unwrap())
    }
}

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

fn film() -> Vec<u8> {
    (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(5_000_000).collect()
}

#[test]
fn nginx_passes_files_and_uploads() {
    files_and_uploads_come_through(Kind::Nginx);
}

#[test]
fn haproxy_passes_files_and_uploads() {
    files_and_uploads_come_through(Kind::Haproxy);
}

#[test]
fn apache_passes_files_and_uploads() {
    files_and_uploads_come_through(Kind::Apache);
}

fn files_and_uploads_come_through(kind: Kind) {
    behind_each(kind, Site::within, ServerOptions::default, |behind, _| {
        let film = film();
        let mut client = Client::connect(behind.proxy.address);
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
        client.send(
            "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        );
        assert_eq!(client.response().text(), "hello world");
        for _ in 0..20 {
            assert_eq!(client.get("/").status, 200);
        }
        // Connections to the server are used again.
        let total = behind.handle.metrics().total();
        assert!(total.requests >= 24 && total.accepted_connections <= 8, "{total:?}");
    });
}
