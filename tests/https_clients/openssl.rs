//! `openssl s_client`.

use super::program::{Ended, is_there, run};
use super::{ASKS, STRICT, TWIN, WEB, World};

impl World {
    /// A session with one request in it, up to the end of the connection.
    fn s_client(&self, endpoint: usize, arguments: &[&str]) -> Ended {
        self.s_client_with(endpoint, &[&["-ign_eof"], arguments].concat(), REQUEST)
    }

    fn s_client_with(&self, endpoint: usize, arguments: &[&str], input: &[u8]) -> Ended {
        let (address, roots) = (self.address(endpoint).to_string(), self.file("servers.pem"));
        let usual = ["s_client", "-connect", &address, "-CAfile", &roots];
        run("openssl", &[&usual, arguments].concat(), input)
    }

    /// The same, which is answered; whether the session was taken up again.
    fn is_reused(&self, endpoint: usize, arguments: &[&str]) -> bool {
        let ended = self.s_client(endpoint, arguments);
        let text = ended.text();
        assert!(text.contains("HTTP/1.1 200 OK"), "{arguments:?}: {ended:?}");
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        let (is_reused, is_new) = (text.contains("\nReused, TLSv1."), text.contains("\nNew, TLSv1."));
        assert!(is_reused != is_new, "{text}");
        is_reused
    }
}

const REQUEST: &[u8] = b"GET /tls HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

const VERSIONS: [&str; 2] = ["-tls1_3", "-tls1_2"];

#[test]
fn openssl_comes_back() {
    if !is_there("openssl", "version") {
        return;
    }
    let world = World::start(2);
    for version in VERSIONS {
        let session = world.file(&format!("session{version}"));
        let first = [version, "-servername", "site.test", "-sess_out", &session];
        let again = [version, "-servername", "site.test", "-sess_in", &session];
        assert!(!world.is_reused(WEB, &first));
        // Whichever worker it meets.
        for _ in 0..10 {
            assert!(world.is_reused(WEB, &again), "{version}");
        }
        // The keys belong to the server, not to the endpoint.
        assert!(world.is_reused(TWIN, &again), "{version}");
    }
    // A new configuration, which the endpoint keeps, and one that replaces it.
    for (number, web) in ["\"NoDelay\": true,", "\"HandshakeTimeout\": \"00:00:07\","]
        .iter()
        .enumerate()
    {
        world.reload(web);
        for version in VERSIONS {
            let session = world.file(&format!("session{version}"));
            let again = [version, "-servername", "site.test", "-sess_in", &session];
            assert!(world.is_reused(WEB, &again), "{version}, reload {number}");
        }
    }
}

/// Nobody would look at the certificate of whoever comes back.
#[test]
fn openssl_cannot_come_back_to_other_client_certificate_settings() {
    if !is_there("openssl", "version") {
        return;
    }
    let world = World::start(1);
    let (certificate, key) = (world.file("client.pem"), world.file("client.key"));
    let mine = ["-cert", &certificate, "-key", &key];
    for version in VERSIONS {
        for (endpoint, name, other_endpoint, other_name) in [
            (WEB, "site.test", WEB, "asks.test"),
            (WEB, "site.test", WEB, "may.test"),
            (WEB, "may.test", WEB, "asks.test"),
            (WEB, "site.test", ASKS, "site.test"),
            (ASKS, "site.test", WEB, "site.test"),
        ] {
            let what = format!("{version}: {endpoint} {name}, then {other_endpoint} {other_name}");
            let session = world.file("session");
            let out = ["-servername", name, "-sess_out", &session, version];
            assert!(!world.is_reused(endpoint, &[&out[..], &mine].concat()), "{what}");
            let same = ["-servername", name, "-sess_in", &session, version];
            assert!(world.is_reused(endpoint, &[&same[..], &mine].concat()), "{what}");
            let other = ["-servername", other_name, "-sess_in", &session, version];
            assert!(
                !world.is_reused(other_endpoint, &[&other[..], &mine].concat()),
                "{what}"
            );
            if other_name == "asks.test" || other_endpoint == ASKS {
                // Nor does the ticket stand in for the certificate.
                let refused = world.s_client(other_endpoint, &other);
                assert!(!refused.text().contains("HTTP/1.1"), "{what}: {refused:?}");
                assert!(refused.errors.contains("alert number 116"), "{what}: {refused:?}");
            }
        }
    }
}

#[test]
fn openssl_asks_for_names() {
    if !is_there("openssl", "version") {
        return;
    }
    let world = World::start(1);
    for (endpoint, name, subject) in [(WEB, "site.test", "CN = site"), (STRICT, "b.wild.test", "CN = wild")] {
        let ended = world.s_client(
            endpoint,
            &["-servername", name, "-verify_return_error", "-verify_hostname", name],
        );
        assert!(ended.text().contains(&format!("subject={subject}\n")), "{ended:?}");
        assert!(ended.text().contains("Verify return code: 0 (ok)"), "{ended:?}");
        assert!(ended.text().contains(&format!(" none {name} nobody")), "{ended:?}");
    }
    assert!(!world.is_reused(WEB, &["-noservername"]));
    for name in [&["-servername", "wild.test"][..], &["-noservername"]] {
        let refused = world.s_client(STRICT, name);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        // unrecognized_name
        assert!(refused.errors.contains("alert number 112"), "{refused:?}");
    }
}

#[test]
fn openssl_is_limited_to_what_is_served() {
    if !is_there("openssl", "version") {
        return;
    }
    let world = World::start(1);
    let handshake_failure = "alert number 40";
    for (arguments, alert) in [
        // What is too old for OpenSSL's own taste has to be allowed there first.
        (&["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"][..], handshake_failure),
        (&["-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"], handshake_failure),
        (&["-tls1_3", "-servername", "old.test"], "alert number 70"),
        (&["-alpn", "h2"], "alert number 120"),
        (&["-alpn", "spdy/1,http/0.9"], "alert number 120"),
        (&["-tls1_2", "-cipher", "AES128-SHA"], handshake_failure),
        (&["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], handshake_failure),
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            handshake_failure,
        ),
        (
            &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
            handshake_failure,
        ),
        (&["-groups", "P-521"], handshake_failure),
        (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], handshake_failure),
    ] {
        let refused = world.s_client(WEB, arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}: {refused:?}");
        assert!(refused.errors.contains(alert), "{arguments:?}: {refused:?}");
    }
    for (arguments, expected) in [
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"][..],
            "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
            "TLSv1.2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
        (
            &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256",
        ),
        (&["-groups", "P-521:P-384"], "TLSv1.3 TLS_AES_256_GCM_SHA384"),
        (&["-groups", "P-256"], "TLSv1.3 TLS_AES_256_GCM_SHA384"),
        // With the padding and the small records of careful clients.
        (&["-record_padding", "500"], "TLSv1.3 TLS_AES_256_GCM_SHA384"),
        (
            &["-split_send_frag", "512", "-max_send_frag", "512"],
            "TLSv1.3 TLS_AES_256_GCM_SHA384",
        ),
        (&["-alpn", "h2,http/1.0"], "TLSv1.3 TLS_AES_256_GCM_SHA384 http/1.0"),
        (&["-no_ticket"], "TLSv1.3 TLS_AES_256_GCM_SHA384"),
    ] {
        let ended = world.s_client(WEB, arguments);
        assert!(ended.text().contains(expected), "{arguments:?}: {ended:?}");
    }
}

/// Without tickets sessions of TLS 1.2 are known by their ids.
#[test]
fn openssl_comes_back_without_tickets() {
    if !is_there("openssl", "version") {
        return;
    }
    let world = World::start(2);
    let session = world.file("session");
    let usual = ["-tls1_2", "-no_ticket", "-servername", "site.test"];
    assert!(!world.is_reused(WEB, &[&usual[..], &["-sess_out", &session]].concat()));
    for _ in 0..10 {
        assert!(world.is_reused(WEB, &[&usual[..], &["-sess_in", &session]].concat()));
    }
}

#[test]
fn openssl_sees_the_end_announced() {
    if !is_there("openssl", "version") {
        return;
    }
    let world = World::start(1);
    for version in VERSIONS {
        for quiet in [&["-quiet"][..], &["-nocommands", "-ign_eof", "-verify_quiet"]] {
            let ended = world.s_client_with(WEB, &[&[version], quiet].concat(), REQUEST);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert!(ended.text().contains("HTTP/1.1 200 OK"), "{ended:?}");
            assert!(!ended.errors.contains("unexpected eof"), "{ended:?}");
        }
    }
}

/// RFC 5746: a client that begins a second handshake is told no, and for OpenSSL that is the end.
#[test]
fn openssl_cannot_renegotiate() {
    if !is_there("openssl", "version") {
        return;
    }
    let world = World::start(1);
    let ended = world.s_client_with(WEB, &["-tls1_2"], b"R\n");
    assert!(ended.errors.contains("RENEGOTIATING"), "{ended:?}");
    assert!(ended.errors.contains("no renegotiation"), "{ended:?}");
    assert!(!world.is_reused(WEB, &[]));
    // New keys are another matter.
    let ended = world.s_client_with(WEB, &["-tls1_3"], b"K\n");
    assert!(ended.errors.contains("KEYUPDATE"), "{ended:?}");
}

#[test]
fn openssl_may_not_send_early_data() {
    if !is_there("openssl", "version") {
        return;
    }
    let world = World::start(1);
    let (session, early) = (world.file("session"), world.file("early"));
    std::fs::write(&early, REQUEST).unwrap();
    assert!(!world.is_reused(WEB, &["-tls1_3", "-sess_out", &session]));
    let ended = world.s_client(WEB, &["-tls1_3", "-sess_in", &session, "-early_data", &early]);
    let text = ended.text();
    assert!(text.contains("Early data was not sent"), "{ended:?}");
    assert!(
        text.contains("\nReused, ") && text.contains("Max Early Data: 0"),
        "{ended:?}"
    );
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 1, "{ended:?}");
}
