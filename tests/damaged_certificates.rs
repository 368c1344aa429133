//! Certificate files that something has damaged: nothing panics, and whatever still opens is a certificate with its own
//! key.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use stannel::Certificate;
use std::path::Path;

/// Small ones of every form, so that damage hits what matters.
const FILES: [(&str, Option<&str>); 12] = [
    ("openssl/default.pfx", Some("geheim-1")),
    ("openssl/nothing-encrypted.pfx", None),
    ("openssl/rc2-128.pfx", Some("geheim-1")),
    ("openssl/sha224.pfx", Some("geheim-1")),
    ("dotnet/pfx/chain-mixed.pfx", Some("geheim-1")),
    ("dotnet/builder/key-bag-clear-no-mac.pfx", None),
    ("dotnet/builder/nested-safe.pfx", Some("geheim-1")),
    ("dotnet/builder/encrypted-no-mac.pfx", Some("geheim-1")),
    (
        "dotnet/dev-certs/select/ec-key/.dotnet/corefx/cryptography/x509stores/my/843623605CCD9604DF37BD6BAF7DF850B40024D0.pfx",
        None,
    ),
    ("dotnet/pem/chain.pem", None),
    ("dotnet/pem/rsa2048.der.crt", None),
    ("openssl/ed25519.pem", None),
];
const KEYS: [(&str, Option<&str>); 4] = [
    ("dotnet/pem/chain.key", None),
    ("openssl/rc2-40.key", Some("geheim-1")),
    ("openssl/with-parameters.key", None),
    ("dotnet/pem/p256.aes128cbc-sha1-2048.key", Some("geheim-1")),
];

#[derive(Clone, Debug)]
enum Damage {
    CutOff(Index),
    Flip(Index, u8),
    Set(Index, u8),
    Remove(Index, usize),
    Put(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<Index>;
    prop_oneof![
        1 => place().prop_map(Damage::CutOff),
        4 => (place(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        4 => (place(), prop_oneof![any::<u8>(), Just(0), Just(0x80), Just(0xff), Just(0x30)])
            .prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => (place(), 1..20usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Damage::Put(at, bytes)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match damage {
        Damage::CutOff(at) => bytes.truncate(at.index(length)),
        Damage::Flip(at, bit) => bytes[at.index(length)] ^= bit,
        Damage::Set(at, byte) => bytes[at.index(length)] = *byte,
        Damage::Remove(at, count) => {
            let start = at.index(length);
            bytes.drain(start..(start + count).min(length));
        }
        Damage::Put(at, more) => {
            let start = at.index(length);
            bytes.splice(start..start, more.iter().copied());
        }
    }
}

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What came out can be asked for everything, and its key is its own.
fn examine(certificate: &Certificate) {
    let leaf = certificate.leaf();
    let _ = (
        leaf.subject().search_text(),
        leaf.alternative_names(),
        leaf.development_version(),
    );
    let _ = (format!("{certificate:?}"), certificate.ensure_for_servers());
    Certificate::from_certified_key(certificate.certified_key()).expect("the key belongs to the certificate");
}

fn run(cases: u32, test: impl Fn(Index, Index, Vec<Damage>) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config {
        cases,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..Config::default()
    });
    let inputs = (any::<Index>(), any::<Index>(), prop::collection::vec(damage(), 1..4));
    runner
        .run(&inputs, |(file, key, damage)| test(file, key, damage))
        .unwrap();
}

#[test]
fn damaged_files() {
    let files = FILES.map(|(name, password)| (read(name), password));
    let key = read("dotnet/pem/chain.key");
    run(3000, |file, _, damage| {
        let (mut bytes, password) = files[file.index(files.len())].clone();
        damage.iter().for_each(|damage| apply(&mut bytes, damage));
        for result in [
            Certificate::from_pfx(&bytes, password),
            Certificate::from_pem(&bytes, &key, None),
        ] {
            match result {
                Ok(certificate) => examine(&certificate),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
        Ok(())
    });
}

#[test]
fn damaged_keys() {
    let keys = KEYS.map(|(name, password)| (read(name), password));
    let certificates = ["openssl/certificate.pem", "dotnet/pem/chain.pem", "dotnet/pem/p256.crt"].map(read);
    run(1500, |certificate, key, damage| {
        let (mut bytes, password) = keys[key.index(keys.len())].clone();
        damage.iter().for_each(|damage| apply(&mut bytes, damage));
        let certificate = &certificates[certificate.index(certificates.len())];
        if let Ok(certificate) = Certificate::from_pem(certificate, &bytes, password) {
            examine(&certificate);
        }
        Ok(())
    });
}
