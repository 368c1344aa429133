//! Which cryptography is used.

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;
use std::sync::{Arc, OnceLock};

/// The provider that the features choose: aws-lc-rs where both are on. rustls' own default is never asked, because it
/// panics then.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(chosen())))
}

#[cfg(feature = "aws-lc-rs")]
pub(crate) const NAME: &str = "aws-lc-rs";
#[cfg(not(feature = "aws-lc-rs"))]
pub(crate) const NAME: &str = "ring";

#[cfg(feature = "aws-lc-rs")]
fn chosen() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(not(feature = "aws-lc-rs"))]
fn chosen() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// New keys for tickets, which change by themselves every six hours.
#[cfg(feature = "aws-lc-rs")]
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    rustls::crypto::aws_lc_rs::Ticketer::new()
}

#[cfg(not(feature = "aws-lc-rs"))]
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    rustls::crypto::ring::Ticketer::new()
}
