//! What lies between the sockets of an endpoint and its HTTP: TLS, and whoever looks on.

use crate::connection::{Connection, Engine};
use crate::endpoint::{Admission, BindError, ConnectionMiddleware, Layers, ListenOptions};
use crate::handler::ConnectionInfo;
use crate::places::Place;
use crate::tls::{Tickets, TlsEndpoint};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What the connections of an endpoint are made with.
#[derive(Clone, Default)]
pub(super) struct Transport {
    /// What looks at the bytes of the socket.
    pub(super) outer: Option<Arc<Layers>>,
    pub(super) tls: Option<Arc<TlsEndpoint>>,
    /// What looks at what lies in TLS records.
    pub(super) inner: Option<Arc<Layers>>,
    #[cfg(all(test, feature = "tls"))]
    pub(super) lies: Option<Arc<super::tests::lies::Lies>>,
}

impl Transport {
    pub(super) fn of(endpoint: &ListenOptions, tickets: &Tickets) -> Result<Self, BindError> {
        Ok(Self {
            outer: layers(endpoint.middleware_below_tls()),
            tls: tls(endpoint, tickets)?,
            inner: layers(endpoint.middleware_above_tls()),
            #[cfg(all(test, feature = "tls"))]
            lies: None,
        })
    }

    /// Whether nobody refuses a connection; who panics does.
    pub(super) fn admits(&self, info: &ConnectionInfo) -> bool {
        let Some(layers) = &self.outer else { return true };
        let ask = AssertUnwindSafe(|| layers.iter().all(|layer| layer.connected(info) == Admission::Admit));
        catch_unwind(ask).unwrap_or(false)
    }

    pub(super) fn connection(&self, engine: &Engine, info: ConnectionInfo, endpoint: u16, place: Place) -> Connection {
        match &self.tls {
            None => {
                let mut connection = Connection::with_place(engine, info, endpoint, place);
                // Whoever looks at the bytes has to be shown them.
                if self.outer.is_none() {
                    connection.send_files();
                }
                connection
            }
            Some(tls) => Connection::secured_with_place(engine, info, endpoint, place, tls, self.inner.clone()),
        }
    }
}

/// `None` for none, so that nobody has to look.
fn layers(middleware: &[Arc<dyn ConnectionMiddleware>]) -> Option<Arc<Layers>> {
    (!middleware.is_empty()).then(|| Arc::new(middleware.to_vec()))
}

#[cfg(feature = "tls")]
fn tls(endpoint: &ListenOptions, tickets: &Tickets) -> Result<Option<Arc<TlsEndpoint>>, BindError> {
    let made = TlsEndpoint::with_tickets(endpoint, tickets).map_err(BindError::Tls)?;
    Ok(made.map(Arc::new))
}

/// The plan has refused every endpoint that wants TLS.
#[cfg(not(feature = "tls"))]
fn tls(_: &ListenOptions, _: &Tickets) -> Result<Option<Arc<TlsEndpoint>>, BindError> {
    Ok(None)
}
