//! What a user asks for: limits, endpoints, server options.

mod limits;
mod options;
mod url;

pub use limits::{Limits, LimitsError, MinDataRate};
pub use options::{Binding, ListenOptions, ServerOptions};
pub use url::{UrlError, UrlPrefix};
