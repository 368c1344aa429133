//! The section `Kestrel`: what its endpoints are made of.

use super::certificate::read_certificate;
use super::error::ConfigurationError;
use super::section::Section;
use super::tree::Origin;
use super::value::{boolean, is_none, time};
use crate::endpoint::{
    CertificateSource, ClientCertificateMode, ClientCertificateRoots, HttpProtocols, HttpsOptions, ListenOptions,
    SniOptions, SslProtocols,
};
use std::path::PathBuf;
use std::time::Duration;

const PROTOCOLS: &str = "Http1, Http2, Http1AndHttp2, Http3, Http1AndHttp2AndHttp3 or None";
const SSL_PROTOCOLS: &str = "an array of Tls12, Tls13 or None";
const CLIENT_MODE: &str = "NoCertificate, AllowCertificate or RequireCertificate";
pub(super) const BOOLEAN: &str = "true or false";
const TIME: &str = "a time above 0 such as 00:00:10 or 10 (seconds), or none";
const MODE: &str = "three or four octal digits such as 0660";

/// The settings that an endpoint, the defaults of all endpoints, and an SNI entry have in common; `None`: not set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    protocols: Option<HttpProtocols>,
    ssl_protocols: Option<SslProtocols>,
    client_certificate_mode: Option<ClientCertificateMode>,
    client_certificate_roots: Option<ClientCertificateRoots>,
    no_delay: Option<bool>,
    handshake_timeout: Option<Option<Duration>>,
}

impl Shared {
    /// Reads them; each value that cannot be understood is left out and told.
    pub(crate) fn read(section: &Section, warnings: &mut Vec<String>) -> Self {
        Self {
            protocols: read(section, "Protocols", HttpProtocols::from_text, PROTOCOLS, warnings),
            ssl_protocols: read_ssl_protocols(section, warnings),
            client_certificate_mode: read(
                section,
                "ClientCertificateMode",
                ClientCertificateMode::from_text,
                CLIENT_MODE,
                warnings,
            ),
            client_certificate_roots: text(section, "ClientCertificateRoots").map(|roots| {
                if roots.eq_ignore_ascii_case("system") {
                    ClientCertificateRoots::System
                } else {
                    ClientCertificateRoots::File(file(section, roots))
                }
            }),
            no_delay: read(section, "NoDelay", boolean, BOOLEAN, warnings),
            handshake_timeout: read(section, "HandshakeTimeout", handshake_timeout, TIME, warnings),
        }
    }

    pub(crate) fn apply_to_endpoint(&self, endpoint: &mut ListenOptions) {
        set(&mut endpoint.protocols, self.protocols);
        set(&mut endpoint.no_delay, self.no_delay);
    }

    pub(crate) fn apply_to_https(&self, https: &mut HttpsOptions) {
        set(&mut https.ssl_protocols, self.ssl_protocols);
        set(&mut https.client_certificate_mode, self.client_certificate_mode);
        set(&mut https.handshake_timeout, self.handshake_timeout);
        if let Some(roots) = &self.client_certificate_roots {
            https.client_certificate_roots = Some(roots.clone());
        }
    }
}

fn set<T: Copy>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// The settings of one endpoint, but for its URL.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSettings {
    pub(crate) shared: Shared,
    certificate: Option<CertificateSource>,
    sni: Vec<SniOptions>,
    socket_mode: Option<u32>,
    replace_stale_socket: Option<bool>,
}

impl EndpointSettings {
    /// Reads an endpoint's section. `is_https` tells what its URL says; if that is http, keys of HTTPS are refused before
    /// any file is thought of.
    pub(crate) fn read(
        section: &Section,
        is_https: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigurationError> {
        let certificate = read_certificate(section, section.key(), "Certificate", warnings)?;
        let shared = Shared::read(section, warnings);
        let sni = read_sni(section, warnings)?;
        if !is_https {
            let unused = [
                ("Certificate", certificate.is_some()),
                ("ClientCertificateMode", shared.client_certificate_mode.is_some()),
                ("SslProtocols", shared.ssl_protocols.is_some()),
                ("Sni", !sni.is_empty()),
                ("ClientCertificateRoots", shared.client_certificate_roots.is_some()),
                ("HandshakeTimeout", shared.handshake_timeout.is_some()),
            ];
            if let Some((key, _)) = unused.into_iter().find(|(_, is_there)| *is_there) {
                return Err(ConfigurationError::UnusedHttpsConfig {
                    endpoint: section.key().to_owned(),
                    key,
                    origin: origin(&section.section(key)),
                });
            }
        }
        Ok(Self {
            shared,
            certificate,
            sni,
            socket_mode: read(section, "SocketMode", socket_mode, MODE, warnings),
            replace_stale_socket: read(section, "ReplaceStaleSocket", boolean, BOOLEAN, warnings),
        })
    }

    pub(crate) fn apply_to_endpoint(&self, endpoint: &mut ListenOptions) {
        self.shared.apply_to_endpoint(endpoint);
        set(&mut endpoint.replace_stale_socket, self.replace_stale_socket);
        if self.socket_mode.is_some() {
            endpoint.socket_mode = self.socket_mode;
        }
    }

    pub(crate) fn apply_to_https(&self, https: &mut HttpsOptions) {
        self.shared.apply_to_https(https);
        if self.certificate.is_some() {
            https.server_certificate.clone_from(&self.certificate);
        }
        https.sni.clone_from(&self.sni);
    }
}

/// The text of a key; an empty one counts as none.
pub(crate) fn text<'a>(section: &'a Section, key: &str) -> Option<&'a str> {
    section.get(key).filter(|text| !text.is_empty())
}

/// A path, from the content root on if it is relative.
pub(crate) fn file(section: &Section, path: &str) -> PathBuf {
    section.configuration().content_root().join(path)
}

/// Where a section comes from; one without any value was never written down.
pub(crate) fn origin(section: &Section) -> Origin {
    section.origin().cloned().unwrap_or(Origin::Code)
}

/// A value, or a warning if there is one that cannot be understood.
pub(super) fn read<T>(
    section: &Section,
    key: &str,
    parse: impl FnOnce(&str) -> Option<T>,
    expected: &str,
    warnings: &mut Vec<String>,
) -> Option<T> {
    let text = text(section, key)?;
    let value = parse(text.trim());
    if value.is_none() {
        warn(&section.section(key), text, expected, warnings);
    }
    value
}

fn warn(section: &Section, text: &str, expected: &str, warnings: &mut Vec<String>) {
    warnings.push(format!(
        "{}={} {} is ignored: expected {expected}",
        section.path(),
        text.escape_debug(),
        origin(section)
    ));
}

fn handshake_timeout(text: &str) -> Option<Option<Duration>> {
    if is_none(text) {
        return Some(None);
    }
    time(text).filter(|time| !time.is_zero()).map(Some)
}

fn socket_mode(text: &str) -> Option<u32> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    if !is_octal {
        return None;
    }
    u32::from_str_radix(text, 8).ok()
}

/// An array of names; a text counts as an array of one. Nothing readable in it is "leave it to the library", which hides
/// the defaults; an empty array is not there.
fn read_ssl_protocols(section: &Section, warnings: &mut Vec<String>) -> Option<SslProtocols> {
    let items = section.section("SslProtocols").items();
    if items.is_empty() {
        return None;
    }
    let mut protocols = SslProtocols::NONE;
    for item in items {
        let text = item.value().unwrap_or_default();
        match SslProtocols::from_text(text) {
            Some(more) => protocols |= more,
            None => warn(&item, text, SSL_PROTOCOLS, warnings),
        }
    }
    Some(protocols)
}

fn read_sni(section: &Section, warnings: &mut Vec<String>) -> Result<Vec<SniOptions>, ConfigurationError> {
    let mut entries = Vec::new();
    for entry in section.section("Sni").children() {
        if entry.key().is_empty() {
            return Err(ConfigurationError::SniNameEmpty {
                endpoint: section.key().to_owned(),
                origin: origin(&entry),
            });
        }
        let owner = format!("{}:Sni:{}", section.key(), entry.key());
        let shared = Shared::read(&entry, warnings);
        let mut sni = SniOptions::new(entry.key());
        sni.protocols = shared.protocols;
        sni.ssl_protocols = shared.ssl_protocols;
        sni.client_certificate_mode = shared.client_certificate_mode;
        sni.client_certificate_roots = shared.client_certificate_roots;
        sni.certificate = read_certificate(&entry, &owner, "Certificate", warnings)?;
        entries.push(sni);
    }
    Ok(entries)
}
