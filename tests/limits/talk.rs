//! Clients without sockets, plain and inside TLS.

use crate::core::{Client, Core};

/// One client, plain or inside TLS.
pub(crate) struct Talk {
    pub(crate) client: Client,
    #[cfg(feature = "tls")]
    peer: Option<crate::tls::Peer>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Plain,
    #[cfg(feature = "tls")]
    Secured,
}

pub(crate) const WAYS: &[Way] = &[
    Way::Plain,
    #[cfg(feature = "tls")]
    Way::Secured,
];

impl Talk {
    /// Connected, its handshake done.
    pub(crate) fn new(core: &Core, way: Way) -> Self {
        match way {
            Way::Plain => Self {
                client: core.client(),
                #[cfg(feature = "tls")]
                peer: None,
            },
            #[cfg(feature = "tls")]
            Way::Secured => {
                use stannel::connection::Connection;
                let endpoint = crate::tls::any_endpoint();
                let mut talk = Self {
                    client: core.client_of(|engine, info| Connection::secured(engine, info, 0, &endpoint)),
                    peer: Some(crate::tls::Peer::any()),
                };
                while talk.peer.as_ref().is_some_and(|peer| peer.tls.is_handshaking()) {
                    talk.send("");
                    assert_eq!(talk.read(), "");
                }
                talk.send("");
                // Tickets, which would wait for somebody to take them.
                assert_eq!(talk.read(), "");
                talk
            }
        }
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        #[cfg(feature = "tls")]
        if let Some(peer) = &mut self.peer {
            self.client.send(peer.seal(text));
            return;
        }
        self.client.send(text);
    }

    /// Takes all that has come.
    pub(crate) fn read(&mut self) -> String {
        let mut bytes = Vec::new();
        loop {
            let came = self.client.take(usize::MAX);
            if came.is_empty() {
                return String::from_utf8(bytes).unwrap();
            }
            #[cfg(feature = "tls")]
            if let Some(peer) = &mut self.peer {
                bytes.extend(peer.open(&came).unwrap());
                continue;
            }
            bytes.extend(came);
        }
    }
}
