//! The development certificate: made, kept, exported and trusted as `dotnet dev-certs https` does it, in the same places.
//!
//! [`run`] is the whole of the command `stannel dev-certs`; [`CertificateStores::development_trust`] says how far a
//! certificate is trusted.

mod archive;
mod arguments;
mod command;
mod export;
mod files;
mod import;
mod profile;
mod report;
mod store;
mod trust;

pub use command::run;
pub(super) use trust::Variables;
pub use trust::{DevelopmentTrust, TrustLevel};

use super::provider::provider;
#[cfg(doc)]
use super::store::CertificateStores;
use super::x509::X509Certificate;
use pkcs8::LineEnding;

/// A certificate with the encoding of its private key (PKCS#8), to be written.
struct Identity {
    certificate: X509Certificate,
    key: Vec<u8>,
}

/// Bytes that nobody can guess.
fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], String> {
    let mut bytes = [0; LENGTH];
    match provider().secure_random.fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err("the system gives no random numbers".to_owned()),
    }
}

/// A section of a PEM file, as .NET writes it: without the end of its last line.
fn pem(label: &str, der: &[u8]) -> Result<String, String> {
    let text = pkcs8::der::pem::encode_string(label, LineEnding::LF, der).map_err(|error| error.to_string())?;
    Ok(text.trim_end().to_owned())
}
