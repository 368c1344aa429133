//! What stands for TLS in a build without it: types that no value has.

use super::{Failure, TlsInfo};
use crate::buffer::{Input, Output};
use crate::endpoint::Layers;
use crate::handler::ConnectionInfo;
use std::sync::Arc;
use std::time::Duration;

/// What an endpoint answers a ClientHello with; this build has the feature `tls` off, and so no value of it.
#[derive(Debug)]
pub enum TlsEndpoint {}

impl TlsEndpoint {
    pub(crate) fn handshake_timeout(&self) -> Option<Duration> {
        match *self {}
    }
}

/// What lets clients come back without a full handshake: here nobody comes.
#[derive(Debug, Default)]
pub(crate) struct Tickets {}

#[derive(Debug)]
pub(crate) enum Session {}

impl Session {
    pub(crate) fn new(endpoint: &Arc<TlsEndpoint>, _: Option<Arc<Layers>>) -> Self {
        match **endpoint {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn layers(&self) -> Option<&Arc<Layers>> {
        match *self {}
    }

    pub(crate) fn memory(&self) -> usize {
        match *self {}
    }

    pub(crate) fn receive(
        &mut self,
        _: &mut [u8],
        _: &mut Input,
        _: &mut Output,
        _: &ConnectionInfo,
    ) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) fn info(&mut self) -> Option<TlsInfo> {
        match *self {}
    }

    pub(crate) fn has_ended(&self) -> bool {
        match *self {}
    }

    pub(crate) fn seal(&mut self, _: &mut Output, _: &ConnectionInfo) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) fn close(&mut self, _: &mut Output) {
        match *self {}
    }
}
