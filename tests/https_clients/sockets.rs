//! Whoever is no TLS client at all.

use super::{WEB, World};
use crate::client::{Client, PATIENCE, get};
use std::time::Instant;

#[test]
fn garbage_and_half_greetings_end_quickly_and_without_a_word() {
    let world = World::start(1);
    let mut half = vec![22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    half.resize(200, 7);
    let began = Instant::now();
    for (bytes, leaves) in [
        (get("/").as_bytes(), false),
        (b"SSH-2.0-x\r\n", false),
        (&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10], false),
        (&[0; 1000], false),
        (&half, true),
        (b"", true),
    ] {
        let mut client = Client::connect(world.address(WEB));
        client.send(bytes);
        if leaves {
            client.end_output();
        }
        client.expect_end();
    }
    // None of them waited for the handshake's ten seconds.
    assert!(began.elapsed() < PATIENCE / 8, "{:?}", began.elapsed());
}
