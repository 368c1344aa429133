//! Only requests for hosts that are served here.

use super::hosts::HostList;
use crate::handler::{Exchange, Handler, Outcome, Request};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Which hosts are served; Kestrel's `HostFilteringOptions`.
///
/// ```
/// use stannel::middleware::HostFilteringOptions;
///
/// let mut options = HostFilteringOptions::default();
/// options.allowed_hosts = vec!["example.com".to_owned(), "*.example.com".to_owned()];
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostFilteringOptions {
    /// The names, without ports; an IPv6 address in brackets. Case makes no difference, `*.example.com` stands for
    /// everything below, at any depth, but not for `example.com` itself. `*`, `[::]` and `0.0.0.0` allow every name.
    /// Names in Unicode are compared in the form in which DNS has them. Default: none, which has to be changed.
    pub allowed_hosts: Vec<String>,
    /// Whether a request without Host, as HTTP/1.0 allows it, is served. Default: yes, because health checks often send
    /// none.
    pub allow_empty_hosts: bool,
    /// Whether the answer to other hosts says in a short page what is wrong. Default: yes.
    pub include_failure_message: bool,
}

impl Default for HostFilteringOptions {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allow_empty_hosts: true,
            include_failure_message: true,
        }
    }
}

/// No host is allowed at all, so nothing could ever be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAllowedHosts;

impl fmt::Display for NoAllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("allowed_hosts is empty; name the hosts to be served, or * for all")
    }
}

impl std::error::Error for NoAllowedHosts {}

/// The filter that the handlers of all workers share; [`set`](Self::set) changes it while they run. Clones are the same
/// filter.
///
/// ```
/// use stannel::middleware::{HostFilter, HostFilteringOptions};
/// use stannel::Configuration;
///
/// let configuration = Configuration::builder().set("AllowedHosts", "example.com").build()?;
/// let filter = HostFilter::new(&configuration.host_filtering())?;
/// // Later, after the file was changed:
/// filter.set(&configuration.reload()?.host_filtering())?;
/// assert!(HostFilter::new(&HostFilteringOptions::default()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HostFilter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// How often the rules have been changed.
    version: AtomicU64,
    rules: Mutex<Arc<Rules>>,
}

#[derive(Debug)]
struct Rules {
    hosts: HostList,
    allows_empty: bool,
    says_why: bool,
}

impl Rules {
    fn new(options: &HostFilteringOptions) -> Result<Arc<Self>, NoAllowedHosts> {
        let hosts = HostList::new(&options.allowed_hosts);
        if hosts.is_empty() {
            return Err(NoAllowedHosts);
        }
        Ok(Arc::new(Self {
            hosts,
            allows_empty: options.allow_empty_hosts,
            says_why: options.include_failure_message,
        }))
    }

    fn allow(&self, host: Option<&str>) -> bool {
        match host {
            Some(host) => self.hosts.contains(host),
            None => self.allows_empty,
        }
    }
}

impl HostFilter {
    /// A filter with these options.
    ///
    /// # Errors
    /// When no host is allowed.
    pub fn new(options: &HostFilteringOptions) -> Result<Self, NoAllowedHosts> {
        let shared = Shared {
            version: AtomicU64::new(0),
            rules: Mutex::new(Rules::new(options)?),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Puts other options in force, from any thread: for every request that begins after it.
    ///
    /// # Errors
    /// When no host is allowed; the old options stay then.
    pub fn set(&self, options: &HostFilteringOptions) -> Result<(), NoAllowedHosts> {
        let rules = Rules::new(options)?;
        let mut current = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
        *current = rules;
        self.shared.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// The rules and their version, which belong together.
    fn rules(&self) -> (Arc<Rules>, u64) {
        let current = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&current), self.shared.version.load(Ordering::Acquire))
    }
}

/// Answers 400 to requests for hosts that are not served here, and leaves the others to the handler inside; Kestrel's
/// host filtering.
///
/// Without it, a request with any Host gets an answer, and whoever builds links from [`Request::host`] builds those that
/// a stranger asked for.
///
/// ```
/// use stannel::middleware::{HostFilter, HostFiltering, HostFilteringOptions};
/// use stannel::{Exchange, Request, StatusCode};
///
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ask.rs"));
/// # fn main() -> Result<(), stannel::middleware::NoAllowedHosts> {
/// let mut options = HostFilteringOptions::default();
/// options.allowed_hosts = vec!["example.com".to_owned()];
/// let filter = HostFilter::new(&options)?;
///
/// let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// let shared = filter.clone();
/// let factory = move || HostFiltering::new(&shared, hello);
/// # assert!(ask(factory.clone(), "GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n").ends_with("hello"));
/// # assert!(ask(factory, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").starts_with("HTTP/1.1 400 "));
///
/// // Later, on any thread:
/// options.allowed_hosts.push("*.example.com".to_owned());
/// filter.set(&options)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HostFiltering<H> {
    filter: HostFilter,
    rules: Arc<Rules>,
    version: u64,
    inner: H,
}

impl<H: Handler> HostFiltering<H> {
    /// Puts the filter before a handler.
    #[must_use]
    pub fn new(filter: &HostFilter, inner: H) -> Self {
        let (rules, version) = filter.rules();
        Self {
            filter: filter.clone(),
            rules,
            version,
            inner,
        }
    }

    fn refuse(&self, host: Option<&str>, exchange: Exchange<'_>) -> Outcome {
        match host {
            Some(host) => log::info!(target: "stannel", "the host {host} is not among the allowed hosts"),
            None => log::info!(target: "stannel", "a request without Host, which allow_empty_hosts refuses"),
        }
        let head = exchange.respond(StatusCode::BAD_REQUEST);
        if self.rules.says_why {
            head.header(CONTENT_TYPE, "text/html").send(PAGE)
        } else {
            head.send("")
        }
    }
}

impl<H: Handler> Handler for HostFiltering<H> {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        // The lock is taken only when there is something new behind it.
        if self.filter.shared.version.load(Ordering::Acquire) != self.version {
            (self.rules, self.version) = self.filter.rules();
        }
        let host = request.host();
        if self.rules.allow(host) {
            self.inner.handle(request, exchange)
        } else {
            self.refuse(host, exchange)
        }
    }

    fn on_shutdown(&mut self) {
        self.inner.on_shutdown();
    }
}

const PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head><title>400 Bad Request</title></head>
<body><h1>Not a host of this server</h1>
<p>The host name in the address is not one that this server answers to.</p></body>
</html>
";
