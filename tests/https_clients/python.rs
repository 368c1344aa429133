//! Python's `ssl`, which is OpenSSL seen from a program: half-closed sessions, ends, sessions that are taken up again.

use super::program::{is_there, run};
use super::{WEB, World};

#[test]
fn python_speaks_https() {
    // `ssl` is left out of some builds.
    if !is_there("python3", "--version") || run("python3", &["-c", "import ssl"], b"").code != Some(0) {
        return;
    }
    let world = World::start(1);
    let (folder, address) = (world.file(""), world.address(WEB));
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/https_clients/clients.py");
    let ended = run("python3", &["-B", script, &folder, &host, &port], b"");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // Each of the six parts with both versions of TLS.
    assert_eq!(ended.text().matches('"').count(), 2 * 2 * 6, "{ended:?}");
}
