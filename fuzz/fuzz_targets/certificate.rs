//! Certificates, keys and PFX files of any bytes: nothing panics, and what opens is a certificate with its own key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::Certificate;

const KEY: &[u8] = include_bytes!("../../tests/fixtures/dotnet/pem/p256.pkcs8.key");
const CERTIFICATE: &[u8] = include_bytes!("../../tests/fixtures/dotnet/pem/p256.crt");

/// The first byte chooses what the rest is.
const PFX: u8 = 0;
const CHAIN: u8 = 1;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, file)) = data.split_first() else {
        return;
    };
    let result = match choice % 3 {
        PFX => Certificate::from_pfx(file, Some("geheim-1")),
        CHAIN => Certificate::from_pem(file, KEY, None),
        _ => Certificate::from_pem(CERTIFICATE, file, Some("geheim-1")),
    };
    match result {
        Ok(certificate) => {
            let leaf = certificate.leaf();
            let _ = (
                leaf.subject().search_text(),
                leaf.alternative_names(),
                leaf.development_version(),
            );
            let _ = (format!("{certificate:?}"), certificate.ensure_for_servers());
            Certificate::from_certified_key(certificate.certified_key()).expect("the key belongs to the certificate");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
