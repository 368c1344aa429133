//! What a user asks for: limits, endpoints, server options.

mod binding;
mod https;
mod limits;
mod listen;
mod options;
mod protocols;
mod url;

pub use binding::{Binding, SocketHandle};
pub use https::{CertificateSource, ClientCertificateRoots, HttpsOptions, StoreLocation};
pub use limits::{Limits, LimitsError, MinDataRate};
pub use listen::{EndpointSource, ListenOptions};
pub use options::ServerOptions;
pub use protocols::{ClientCertificateMode, HttpProtocols, SslProtocols};
pub use url::{UrlError, UrlPrefix};
