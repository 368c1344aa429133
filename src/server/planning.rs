//! What a server will listen on, as of now.

use crate::configuration::ConfigurationError;
use crate::endpoint::{EndpointPlan, ServerOptions};
use std::time::SystemTime;

impl ServerOptions {
    /// What a server with these options will listen on, without binding anything. Certificates are loaded, and have to be
    /// good now.
    ///
    /// # Errors
    /// The first thing that is wrong with limits, URLs, endpoints or certificates.
    pub fn plan(&self) -> Result<EndpointPlan, ConfigurationError> {
        self.plan_at(SystemTime::now(), &[])
    }
}
