//! What a user asks for: limits, endpoints, server options.

mod bind;
mod binding;
#[cfg_attr(not(feature = "tls"), path = "no_certificates.rs")]
mod certificates;
mod error;
mod https;
mod limits;
mod listen;
#[cfg(feature = "tls")]
mod material;
mod middleware;
mod options;
mod plan;
mod protocols;
mod url;
mod use_https;

pub(crate) use bind::EMFILE;
pub use bind::{BindError, BindTarget, BoundSockets};
pub use binding::{Binding, SocketHandle};
pub use error::EndpointError;
pub use https::{CertificateSource, ClientCertificateRoots, HttpsOptions, SniOptions, StoreLocation};
pub use limits::{Limits, LimitsError, MinDataRate};
pub use listen::{EndpointSource, ListenOptions};
pub(crate) use listen::{ListenCallback, lines};
#[cfg(feature = "tls")]
pub(crate) use material::{Content, Material};
pub(crate) use middleware::Layers;
pub use middleware::{Admission, ConnectionMiddleware};
pub use options::ServerOptions;
pub use plan::{EndpointPlan, Note};
pub use protocols::{ClientCertificateMode, HttpProtocols, SslProtocols};
pub use url::{UrlError, UrlPrefix};
pub use use_https::UseHttps;
