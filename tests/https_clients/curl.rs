//! curl.

use super::program::{Ended, is_there, run};
use super::{ASKS, STRICT, WEB, World};

impl World {
    /// curl's answer to that; the host is found here.
    fn curl(&self, endpoint: usize, host: &str, path: &str, arguments: &[&str], input: &[u8]) -> Ended {
        let port = self.port(endpoint);
        let (resolve, url) = (
            format!("{host}:{port}:127.0.0.1"),
            format!("https://{host}:{port}{path}"),
        );
        let roots = self.file("servers.pem");
        let usual = ["-sS", "--noproxy", "*", "--resolve", &resolve, "--cacert", &roots];
        run("curl", &[&usual, arguments, &[&url]].concat(), input)
    }

    /// What it says at `/tls`.
    fn curl_facts(&self, host: &str, arguments: &[&str]) -> String {
        let ended = self.curl(WEB, host, "/tls", arguments, b"");
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.text()
    }
}

/// Exit codes of curl.
const CONNECT_ERROR: Option<i32> = Some(35);
const CERTIFICATE_ERROR: Option<i32> = Some(60);

#[test]
fn curl_chooses_version_protocol_and_name() {
    if !is_there("curl", "--version") {
        return;
    }
    let world = World::start(1);
    for (host, arguments, expected) in [
        (
            "site.test",
            &[][..],
            "TLSv1.3 TLS_AES_256_GCM_SHA384 http/1.1 site.test nobody",
        ),
        (
            "site.test",
            &["--tlsv1.3"],
            "TLSv1.3 TLS_AES_256_GCM_SHA384 http/1.1 site.test nobody",
        ),
        (
            "site.test",
            &["--tls-max", "1.2"],
            "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 http/1.1 site.test nobody",
        ),
        (
            "old.test",
            &[],
            "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 http/1.1 old.test nobody",
        ),
        (
            "site.test",
            &["-0"],
            "TLSv1.3 TLS_AES_256_GCM_SHA384 http/1.0 site.test nobody",
        ),
        (
            "site.test",
            &["--http2"],
            "TLSv1.3 TLS_AES_256_GCM_SHA384 http/1.1 site.test nobody",
        ),
        (
            "site.test",
            &["--no-alpn"],
            "TLSv1.3 TLS_AES_256_GCM_SHA384 none site.test nobody",
        ),
        // An address is no name.
        ("127.0.0.1", &[], "TLSv1.3 TLS_AES_256_GCM_SHA384 http/1.1 none nobody"),
    ] {
        assert_eq!(world.curl_facts(host, arguments), expected, "{host} {arguments:?}");
    }
    let written = world.curl(
        WEB,
        "site.test",
        "/",
        &["--http2", "-o", "/dev/null", "-w", "%{http_version}"],
        b"",
    );
    assert_eq!(written.text(), "1.1");
    let refused = world.curl(WEB, "old.test", "/", &["--tlsv1.3"], b"");
    assert_eq!(refused.code, CONNECT_ERROR, "{refused:?}");
    assert!(refused.errors.contains("alert protocol version"), "{refused:?}");
}

#[test]
fn curl_believes_only_the_right_certificate() {
    if !is_there("curl", "--version") {
        return;
    }
    let world = World::start(1);
    let wrong_name = world.curl(WEB, "other.test", "/", &[], b"");
    assert_eq!(wrong_name.code, CERTIFICATE_ERROR, "{wrong_name:?}");
    let stranger = world.file("clients.pem");
    let wrong_authority = world.curl(WEB, "site.test", "/", &["--cacert", &stranger], b"");
    assert_eq!(wrong_authority.code, CERTIFICATE_ERROR, "{wrong_authority:?}");
    // By name, at any depth; who asks for another one is told so.
    assert_eq!(world.curl(STRICT, "a.wild.test", "/", &[], b"").output, b"hello");
    for host in ["wild.test", "site.test", "127.0.0.1"] {
        let refused = world.curl(STRICT, host, "/", &[], b"");
        assert_eq!(refused.code, CONNECT_ERROR, "{refused:?}");
        assert!(refused.errors.contains("unrecognized name"), "{refused:?}");
    }
}

#[test]
fn curl_shows_its_certificate() {
    if !is_there("curl", "--version") {
        return;
    }
    let world = World::start(1);
    let (good, good_key) = (world.file("client.pem"), world.file("client.key"));
    let (bad, bad_key) = (world.file("stranger.pem"), world.file("stranger.key"));
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version: Vec<&str> = version.split('=').collect();
        let with = |more: &[&'static str]| [&version[..], more].concat();
        for host in ["asks.test", "may.test"] {
            let mine = [&version[..], &["--cert", &good, "--key", &good_key]].concat();
            let facts = world.curl_facts(host, &mine);
            assert!(facts.ends_with(&format!(" {host} CN=client")), "{facts}");
            let strange = [&version[..], &["--cert", &bad, "--key", &bad_key]].concat();
            let refused = world.curl(WEB, host, "/", &strange, b"");
            assert_ne!(refused.code, Some(0), "{refused:?}");
            assert!(refused.errors.contains("alert unknown ca"), "{refused:?}");
        }
        assert!(world.curl_facts("may.test", &with(&[])).ends_with(" nobody"));
        for (endpoint, host) in [(WEB, "asks.test"), (ASKS, "site.test")] {
            let refused = world.curl(endpoint, host, "/", &with(&[]), b"");
            assert_ne!(refused.code, Some(0), "{refused:?}");
            // OpenSSL knows the alert's name in TLS 1.3 only.
            assert!(
                refused.errors.contains("alert certificate required") || refused.errors.contains("alert number 116"),
                "{refused:?}"
            );
        }
        // Nobody is asked elsewhere.
        let mine = [&version[..], &["--cert", &good, "--key", &good_key]].concat();
        assert!(world.curl_facts("site.test", &mine).ends_with(" nobody"));
    }
}

#[test]
fn curl_moves_large_bodies_and_keeps_its_connection() {
    if !is_there("curl", "--version") {
        return;
    }
    let world = World::start(2);
    let body: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    for arguments in [
        &["--data-binary", "@-"][..],
        &["--data-binary", "@-", "--tls-max", "1.2"],
        &["--data-binary", "@-", "-0"],
        &["-X", "POST", "-H", "Transfer-Encoding: chunked", "-T", "-"],
    ] {
        let echoed = world.curl(WEB, "site.test", "/echo", arguments, &body);
        assert!(
            echoed.output == body,
            "{arguments:?}: {}, {}",
            echoed.output.len(),
            echoed.errors
        );
    }
    let down = world.curl(WEB, "site.test", "/bytes/5000000", &["-0"], b"");
    assert_eq!((down.code, down.output.len()), (Some(0), 5_000_000));

    let other = format!("https://site.test:{}/n/2", world.port(WEB));
    let twice = ["-o", "/dev/null", &other, "-o", "/dev/null", "-w", "%{num_connects} "];
    assert_eq!(world.curl(WEB, "site.test", "/", &twice, b"").text(), "1 0 ");
}
