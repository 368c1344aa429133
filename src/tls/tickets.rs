//! What lets clients come back without a full handshake: keys of tickets and remembered sessions.

use super::client_certificates::ClientSettings;
use crate::certificate::provider::ticketer;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use std::sync::{Arc, Mutex, PoisonError};

/// Ticket keys and session caches of a server, by client-certificate settings: shared by all loops and endpoints, kept
/// across reloads.
///
/// rustls asks nobody about the certificate of a client who comes back, so a session must not be taken up under other
/// settings than it was made under.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    by_settings: Mutex<Vec<(ClientSettings, Resumption)>>,
}

/// How sessions are taken up again under one set of client-certificate settings.
#[derive(Clone, Debug)]
pub(crate) struct Resumption {
    pub(crate) ticketer: Arc<dyn ProducesTickets>,
    pub(crate) sessions: Arc<dyn StoresServerSessions>,
}

impl Tickets {
    /// The keys for these settings, made when they are first asked for.
    pub(crate) fn for_settings(&self, settings: &ClientSettings) -> Result<Resumption, rustls::Error> {
        // Nothing is half done in there, whoever panicked.
        let mut known = self.by_settings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, resumption)) = known.iter().find(|(other, _)| other == settings) {
            return Ok(resumption.clone());
        }
        let resumption = Resumption {
            ticketer: ticketer()?,
            sessions: ServerSessionMemoryCache::new(MAX_SESSIONS),
        };
        if known.len() == MAX_SETTINGS {
            // Endpoints that use them go on doing so; only their next reload begins anew.
            known.remove(0);
        }
        known.push((settings.clone(), resumption.clone()));
        Ok(resumption)
    }
}

/// Each reload with other roots or another callback adds settings.
const MAX_SETTINGS: usize = 32;

/// Only TLS 1.2 clients without tickets need them remembered here: a few hundred bytes each.
const MAX_SESSIONS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::ClientCertificateMode;
    use crate::tls::hooks::ClientCertificateValidation;

    fn settings(mode: ClientCertificateMode) -> ClientSettings {
        ClientSettings::new(mode, Vec::new(), None)
    }

    #[test]
    fn equal_settings_share_their_keys_and_others_do_not() {
        let tickets = Tickets::default();
        let of = |settings: &ClientSettings| tickets.for_settings(settings).unwrap();
        let ticket = |by: &Resumption| by.ticketer.encrypt(b"session").unwrap();
        let none = of(&settings(ClientCertificateMode::NoCertificate));
        let again = of(&settings(ClientCertificateMode::NoCertificate));
        let required = of(&settings(ClientCertificateMode::RequireCertificate));
        assert_eq!(again.ticketer.decrypt(&ticket(&none)).as_deref(), Some(&b"session"[..]));
        assert_eq!(required.ticketer.decrypt(&ticket(&none)), None);
        none.sessions.put(b"id".to_vec(), b"session".to_vec());
        assert!(again.sessions.get(b"id").is_some());
        assert!(required.sessions.get(b"id").is_none());
    }

    #[test]
    fn the_oldest_settings_are_forgotten_first() {
        let tickets = Tickets::default();
        let first = settings(ClientCertificateMode::NoCertificate);
        let before = tickets.for_settings(&first).unwrap();
        for _ in 0..MAX_SETTINGS {
            let validation = ClientCertificateValidation::new(|_, _| true);
            let other = ClientSettings::new(ClientCertificateMode::AllowCertificate, Vec::new(), Some(validation));
            tickets.for_settings(&other).unwrap();
        }
        assert_eq!(tickets.by_settings.lock().unwrap().len(), MAX_SETTINGS);
        let ticket = before.ticketer.encrypt(b"session").unwrap();
        let after = tickets.for_settings(&first).unwrap();
        assert_eq!(after.ticketer.decrypt(&ticket), None);
    }
}
