//! Certificates, keys and roots that have changed are for the handshakes to come; sockets and connections are not touched.

use super::reload::{Follower, Served};
use super::settling::Settling;
use crate::certificate::CertificateError;
use crate::configuration::Fingerprint;
use crate::endpoint::{Content, EndpointPlan, ListenOptions, Material};
use crate::event::ReloadOutcome;
use crate::tls::{Tickets, TlsCertificates};
use std::time::{Instant, SystemTime};

/// Files that something of what is served was read from.
pub(super) struct Followed {
    material: Material,
    settling: Settling<Fingerprint>,
    /// What was in them when they could not be used, so that nobody is told twice.
    refused: Option<Content>,
}

impl Follower {
    /// Follows the files of what is served now. `read` has the files that were read just now, with how they were right
    /// before.
    pub(super) fn follow_files(&mut self, read: &[(Material, Fingerprint)]) {
        let mut before = std::mem::take(&mut self.files);
        if !self.options.follow_certificate_files {
            return;
        }
        for material in self.served.iter().flat_map(|served| served.options.materials()) {
            if self.files.iter().any(|file| file.material == material) {
                continue;
            }
            let known = before.iter().position(|file| file.material == material);
            let known = known.map(|place| before.swap_remove(place));
            let read = read.iter().find(|(other, _)| *other == material);
            let settling = match (read, known) {
                (None, Some(known)) => {
                    self.files.push(known);
                    continue;
                }
                (Some((_, fingerprint)), _) => Settling::new(fingerprint.clone()),
                (None, None) => Settling::new(material.fingerprint()),
            };
            self.files.push(Followed {
                material,
                settling,
                refused: None,
            });
        }
    }

    /// Looks whether files have changed, and takes up what is in them. Returns whether there are any.
    pub(super) fn look_at_files(&mut self, now: Instant) -> bool {
        for number in 0..self.files.len() {
            let file = &mut self.files[number];
            if file.settling.look(file.material.fingerprint(), now) {
                self.read_file(number);
            }
        }
        !self.files.is_empty()
    }

    fn read_file(&mut self, number: usize) {
        let material = self.files[number].material.clone();
        // Before it is loaded: what is written meanwhile is other content.
        let content = material.content();
        let loaded = match material.load(&self.options.stores(), SystemTime::now()) {
            Ok(loaded) => loaded,
            Err(error) => {
                let is_known = self.files[number].refused.replace(content.clone()) == Some(content);
                return self.refuse(&material, &error, is_known);
            }
        };
        self.files[number].refused = None;
        let mut renewed = Vec::new();
        for served in &mut self.served {
            if let Some(newer) = served.options.certificates_with(&material, &loaded)
                && served.renew(newer, &self.tickets)
            {
                renewed.push(served.address.to_string());
            }
        }
        if renewed.is_empty() {
            log::debug!(target: "stannel", "{material} was written, and holds what it held before");
            return;
        }
        let outcome = ReloadOutcome {
            renewed,
            ..ReloadOutcome::default()
        };
        self.watch.tell(|observer| observer.reloaded(&outcome));
    }

    fn refuse(&self, material: &Material, error: &CertificateError, is_known: bool) {
        if is_known {
            log::debug!(target: "stannel", "{material} was written, and still cannot be used: {error}");
            return;
        }
        let mut texts = self
            .served
            .iter()
            .filter_map(|served| served.options.refusal(material, error));
        let Some(mut text) = texts.next() else { return };
        match texts.count() {
            0 => {}
            more => text.push_str(&format!("; so it is with {more} more that have it")),
        }
        log::error!(target: "stannel", "{text}");
        self.watch
            .tell(|observer| observer.reloaded(&ReloadOutcome::refused(text)));
    }

    /// Gives endpoints that stay what a newer plan has loaded for them. Returns those that have new certificates or roots.
    pub(super) fn take_certificates(&mut self, plan: &EndpointPlan) -> Vec<String> {
        let mut planned: Vec<&ListenOptions> = plan.endpoints().iter().collect();
        let mut renewed = Vec::new();
        for served in &mut self.served {
            let options = &served.options;
            let is_same = |other: &&ListenOptions| match options.is_configured() {
                true => options.is_as_configured(other),
                false => !other.is_configured() && options.binding() == other.binding(),
            };
            let Some(place) = planned.iter().position(is_same) else {
                continue;
            };
            let newer = planned.remove(place);
            if !options.is_same_but_for_certificates(newer) {
                continue;
            }
            let Some(certificates) = newer.certificates() else {
                continue;
            };
            let is_renewed = served.renew((**certificates).clone(), &self.tickets);
            served.options.take_origins(newer);
            if is_renewed {
                renewed.push(served.address.to_string());
            }
        }
        self.follow_files(plan.read());
        renewed
    }
}

impl Served {
    /// Shows new clients these certificates. Returns whether they are others than before.
    fn renew(&mut self, newer: TlsCertificates, tickets: &Tickets) -> bool {
        let news = self.options.news(&newer);
        let (Some(tls), Some(https)) = (&self.tls, self.options.https()) else {
            return false;
        };
        if news.is_empty() {
            return false;
        }
        if let Err(error) = tls.renew(https, self.options.protocols, &newer, tickets) {
            log::error!(target: "stannel", "{error}\nwhat was shown before stays");
            return false;
        }
        for text in news {
            log::info!(target: "stannel", "{text}");
        }
        self.options.set_certificates(newer);
        true
    }
}
