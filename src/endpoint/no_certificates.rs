//! Stands in for `certificates.rs` where the feature `tls` is off: nothing can be shown.

use super::error::EndpointError;
use super::listen::ListenOptions;
use super::options::ServerOptions;
use crate::configuration::ConfigurationError;
use std::convert::Infallible;
use std::time::SystemTime;

pub(super) struct Certificates;

impl Certificates {
    pub(super) fn new(_: &ServerOptions, _: SystemTime, _: &[&ListenOptions]) -> Result<Self, ConfigurationError> {
        Ok(Self)
    }

    pub(super) fn has_for(&mut self, _: &mut ListenOptions) -> Result<bool, ConfigurationError> {
        Ok(false)
    }

    pub(super) fn give(&mut self, endpoint: &mut ListenOptions) -> Result<(), ConfigurationError> {
        match endpoint.https() {
            None => Ok(()),
            Some(_) => {
                let endpoint = endpoint.name(None);
                Err(EndpointError::TlsUnavailable { endpoint }.into())
            }
        }
    }
}

pub(super) fn https_warnings(_: &ListenOptions) -> Vec<String> {
    Vec::new()
}

impl ListenOptions {
    pub(super) fn certificate_uses(&self) -> Vec<Infallible> {
        Vec::new()
    }
}
