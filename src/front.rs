//! What the `stannel` command puts before its files.

use stannel::middleware::{
    ForwardedHeaders, ForwardedHeadersOptions, HostFilter, HostFiltering, Hsts, HstsOptions, HttpsPort,
    HttpsRedirection, HttpsRedirectionOptions, HttpsRedirector,
};
use stannel::{BoundServer, Configuration, ConfigurationError, EndpointSource, Handler, ListenOptions};
use std::error::Error;
use std::sync::{Arc, OnceLock};

#[derive(Clone)]
pub(crate) struct Front {
    hosts: HostFilter,
    fixed: Fixed,
    is_development: bool,
    https: Arc<OnceLock<Https>>,
}

/// The settings that take a restart.
#[derive(Clone, PartialEq)]
struct Fixed {
    forwarded: ForwardedHeadersOptions,
    hsts: HstsOptions,
    redirection: HttpsRedirectionOptions,
}

/// What hangs on the endpoints.
struct Https {
    hsts: HstsOptions,
    redirector: HttpsRedirector,
}

impl Fixed {
    fn read(configuration: &Configuration) -> Result<Self, ConfigurationError> {
        Ok(Self {
            forwarded: configuration.forwarded_headers()?,
            hsts: configuration.hsts()?,
            redirection: configuration.https_redirection()?,
        })
    }

    fn https(&self, is_insisted_on: bool) -> Https {
        let (mut hsts, mut redirection) = (self.hsts.clone(), self.redirection);
        if !is_insisted_on {
            hsts.max_age = None;
            redirection.https_port = HttpsPort::Never;
        }
        Https {
            hsts,
            redirector: HttpsRedirector::new(&redirection),
        }
    }
}

impl Front {
    pub(crate) fn new(configuration: &Configuration) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            hosts: HostFilter::new(&configuration.host_filtering())?,
            fixed: Fixed::read(configuration)?,
            is_development: configuration.environment_name().eq_ignore_ascii_case("Development"),
            https: Arc::default(),
        })
    }

    /// Clients are to come by HTTPS where somebody asked for an https endpoint. The default one with a development
    /// certificate is no reason, and neither is anything in the environment Development.
    pub(crate) fn on_bound(&self, server: &BoundServer) {
        let is_asked_for =
            |endpoint: &ListenOptions| endpoint.https().is_some() && endpoint.source() != &EndpointSource::Default;
        let is_insisted_on = !self.is_development && server.endpoints().any(is_asked_for);
        let https = self.https.get_or_init(|| self.fixed.https(is_insisted_on));
        https.redirector.set_addresses(server.addresses());
    }

    pub(crate) fn on_reload(&self, configuration: &Configuration) {
        for warning in configuration.middleware_warnings() {
            log::warn!(target: "stannel", "{warning}");
        }
        if let Err(error) = self.hosts.set(&configuration.host_filtering()) {
            log::error!(target: "stannel", "AllowedHosts stays as it was: {error}");
        }
        match Fixed::read(configuration) {
            Ok(new) => {
                let old = &self.fixed;
                for (name, is_changed) in [
                    ("ForwardedHeaders", new.forwarded != old.forwarded),
                    ("Hsts", new.hsts != old.hsts),
                    ("HttpsRedirection or https_port", new.redirection != old.redirection),
                ] {
                    if is_changed {
                        log::warn!(target: "stannel", "{name} has changed; that takes a restart");
                    }
                }
            }
            Err(error) => log::error!(target: "stannel", "{error}\nit stays as it was"),
        }
    }

    /// A handler behind all of it. The hosts come first, as in ASP.NET Core: they are those of the Host field, whatever a
    /// proxy says of others.
    pub(crate) fn before<H: Handler>(&self, handler: H) -> impl Handler + use<H> {
        // Handlers are made once the server runs, so it is bound.
        let https = self.https.get_or_init(|| self.fixed.https(false));
        let redirection = HttpsRedirection::new(&https.redirector, handler);
        let forwarded = ForwardedHeaders::new(&self.fixed.forwarded, Hsts::new(&https.hsts, redirection));
        HostFiltering::new(&self.hosts, forwarded)
    }
}
