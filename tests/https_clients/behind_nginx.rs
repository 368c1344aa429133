//! nginx in front, which speaks TLS to the server as well, over connections that it keeps, and shows a certificate.

use super::{ASKS, WEB, World};
use crate::client::Client;
use crate::nginx::{NGINX, configuration};
use crate::proxy::Proxy;

#[test]
fn nginx_passes_on_over_tls() {
    let world = World::start(2);
    let film: Vec<u8> = (0..1_300_000_u32).flat_map(u32::to_le_bytes).take(5_000_000).collect();
    for (endpoint, name, shown) in [
        (WEB, "site.test", "nobody"),
        (WEB, "asks.test", "CN=client"),
        (ASKS, "site.test", "CN=client"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let upstream = format!("server {}; keepalive 8;", world.address(endpoint));
        let location = format!(
            "proxy_pass https://app; proxy_ssl_server_name on; proxy_ssl_name {name}; proxy_ssl_verify on; \
             proxy_ssl_trusted_certificate {}; proxy_ssl_certificate {}; proxy_ssl_certificate_key {}; \
             proxy_ssl_protocols TLSv1.2 TLSv1.3;",
            world.file("servers.pem"),
            world.file("client.pem"),
            world.file("client.key"),
        );
        let before = world.server.handle().metrics().total();
        let configure = |address| configuration(folder.path(), address, "access_log off;", &upstream, &location);
        let Some(nginx) = Proxy::start(&NGINX, folder.path(), configure) else {
            return;
        };
        let mut client = Client::connect(nginx.address);
        let facts = client.get("/tls");
        let text = facts.text();
        assert!(
            text.starts_with("TLSv1.3 ") && text.ends_with(&format!(" {name} {shown}")),
            "{text}"
        );
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            film.len()
        );
        client.send([head.as_bytes(), &film].concat());
        let response = client.response();
        assert!(response.status == 200 && response.body == film, "{}", response.head);
        assert_eq!(client.get("/bytes/3000000").body.len(), 3_000_000);
        for _ in 0..20 {
            assert_eq!(client.get("/").text(), "hello");
        }
        // Connections are used again.
        let after = world.server.handle().metrics().total();
        assert_eq!(after.requests - before.requests, 23);
        assert!(
            after.accepted_connections - before.accepted_connections <= 4,
            "{after:?}"
        );
        drop(nginx);
    }
}
