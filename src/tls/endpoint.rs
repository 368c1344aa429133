//! What an endpoint answers a ClientHello with.

use super::certificates::TlsCertificates;
use super::client_certificates::{self, ClientSettings};
use super::error::TlsError;
use super::hooks::{OnAuthenticate, OnClientHello, ServerCertificateSelector};
use super::server_config::{Shown, alpn, server_config};
use super::sni::{self, HostPatterns};
use super::tickets::Tickets;
use crate::certificate::Certificate;
use crate::endpoint::{
    ClientCertificateMode, ClientCertificateRoots, HttpProtocols, HttpsOptions, ListenOptions, SslProtocols,
};
use crate::handler::ConnectionInfo;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ServerConfig};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// What an endpoint answers a ClientHello with; shared by all loops.
#[derive(Debug)]
pub struct TlsEndpoint {
    /// For messages.
    name: String,
    handshake_timeout: Option<Duration>,
    /// Made anew when certificates change; a handshake has those that it began with.
    answers: RwLock<Arc<Answers>>,
    selector: Option<ServerCertificateSelector>,
    on_authenticate: Option<OnAuthenticate>,
}

#[derive(Debug)]
enum Answers {
    /// The same for every name.
    One(Answer),
    /// By the pattern of the name, in the order of the options.
    ByName(HostPatterns, Vec<Answer>),
    /// Whatever the program says; the protocols are offered if it names none.
    Program(OnClientHello, HttpProtocols),
}

#[derive(Debug)]
struct Answer {
    config: Arc<ServerConfig>,
    /// Whether its pattern has a certificate of its own, which no selector replaces.
    has_own: bool,
}

/// Why a client is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) alert: AlertDescription,
    /// One line for the log; names the endpoint.
    pub(crate) reason: String,
}

impl TlsEndpoint {
    /// One that gives every client the same.
    #[must_use]
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        let has_own = false;
        Self {
            name: "this endpoint".to_owned(),
            handshake_timeout: HttpsOptions::default().handshake_timeout,
            answers: RwLock::new(Arc::new(Answers::One(Answer { config, has_own }))),
            selector: None,
            on_authenticate: None,
        }
    }

    /// What an endpoint of an [`EndpointPlan`](crate::EndpointPlan) answers with, for whoever drives a
    /// [`Connection`](crate::connection::Connection) without a server; `None` for plain HTTP. A server's endpoints share
    /// what resumes sessions; this one has it for itself.
    ///
    /// ```
    /// use stannel::tls::TlsEndpoint;
    /// use stannel::{CertificateSource, ServerOptions};
    ///
    /// let folder = "tests/fixtures/dotnet/pem";
    /// let site = CertificateSource::pem(format!("{folder}/p256.crt"), format!("{folder}/p256.pkcs8.key"));
    /// let mut options = ServerOptions::default();
    /// options.listen_any_ip(443).use_https(site);
    /// let plan = options.plan()?;
    /// assert!(TlsEndpoint::of(&plan.endpoints()[0])?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If rustls refuses, for instance because the machine gives no random numbers.
    pub fn of(endpoint: &ListenOptions) -> Result<Option<Self>, TlsError> {
        Self::with_tickets(endpoint, &Tickets::default())
    }

    /// The same for a server, which has one `tickets` for all its endpoints.
    pub(crate) fn with_tickets(endpoint: &ListenOptions, tickets: &Tickets) -> Result<Option<Self>, TlsError> {
        let Some(https) = endpoint.https() else {
            return Ok(None);
        };
        let certificates = endpoint.certificates().cloned().unwrap_or_default();
        let name = endpoint.name(None);
        Self::new(&name, https, endpoint.protocols, &certificates, tickets).map(Some)
    }

    /// `name`: the endpoint, for messages; `https`: what it wants; `certificates`: what the plan loaded for it.
    ///
    /// # Errors
    ///
    /// If rustls refuses.
    pub(crate) fn new(
        name: &str,
        https: &HttpsOptions,
        protocols: HttpProtocols,
        certificates: &TlsCertificates,
        tickets: &Tickets,
    ) -> Result<Self, TlsError> {
        let answers = answers(name, https, protocols, certificates, tickets)?;
        Ok(Self {
            answers: RwLock::new(Arc::new(answers)),
            name: name.to_owned(),
            handshake_timeout: https.handshake_timeout,
            selector: https.server_certificate_selector.clone(),
            on_authenticate: https.on_authenticate.clone(),
        })
    }

    /// How long a handshake may take in all; `None`: for ever.
    pub(crate) fn handshake_timeout(&self) -> Option<Duration> {
        self.handshake_timeout
    }

    /// New certificates for the handshakes to come. Sessions can still be taken up, unless the roots for client
    /// certificates are others.
    ///
    /// # Errors
    ///
    /// If rustls refuses; everything is as it was then.
    pub(crate) fn renew(
        &self,
        https: &HttpsOptions,
        protocols: HttpProtocols,
        certificates: &TlsCertificates,
        tickets: &Tickets,
    ) -> Result<(), TlsError> {
        let answers = Arc::new(answers(&self.name, https, protocols, certificates, tickets)?);
        // An assignment leaves nothing half done, whoever panicked.
        *self.answers.write().unwrap_or_else(PoisonError::into_inner) = answers;
        Ok(())
    }

    fn answers(&self) -> Arc<Answers> {
        Arc::clone(&self.answers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// rustls' configuration for this client, or why it is refused.
    pub(crate) fn choose(
        &self,
        hello: &ClientHello<'_>,
        connection: &ConnectionInfo,
    ) -> Result<Arc<ServerConfig>, Refusal> {
        let answers = self.answers();
        let answer = match &*answers {
            Answers::One(answer) => answer,
            Answers::ByName(patterns, answers) => patterns
                .choose(hello.server_name())
                .and_then(|number| answers.get(number))
                .ok_or_else(|| self.refuse(AlertDescription::UnrecognisedName, hello, "no host pattern matches it"))?,
            Answers::Program(answer, protocols) => return self.ask_program(answer, *protocols, hello, connection),
        };
        let mut config = Arc::clone(&answer.config);
        if let Some(selector) = &self.selector
            && !answer.has_own
        {
            let key = self.select(selector, hello, connection)?;
            Arc::make_mut(&mut config).cert_resolver = Arc::new(Shown(Some(key)));
        }
        if let Some(hook) = &self.on_authenticate {
            let config = Arc::make_mut(&mut config);
            catch_unwind(AssertUnwindSafe(|| hook.call(connection, config)))
                .map_err(|_| self.refuse(AlertDescription::InternalError, hello, "on_authenticate panicked"))?;
        }
        Ok(config)
    }

    fn select(
        &self,
        selector: &ServerCertificateSelector,
        hello: &ClientHello<'_>,
        connection: &ConnectionInfo,
    ) -> Result<Arc<CertifiedKey>, Refusal> {
        let selected = catch_unwind(AssertUnwindSafe(|| selector.call(connection, hello.server_name())));
        let refuse = |alert, reason: &str| self.refuse(alert, hello, &format!("server_certificate_selector {reason}"));
        let certificate = selected
            .map_err(|_| refuse(AlertDescription::InternalError, "panicked"))?
            .ok_or_else(|| refuse(AlertDescription::UnrecognisedName, "has no certificate for it"))?;
        certificate
            .ensure_for_servers()
            .map_err(|error| refuse(AlertDescription::InternalError, &format!("chose a wrong one: {error}")))?;
        Ok(certificate.certified_key())
    }

    fn ask_program(
        &self,
        answer: &OnClientHello,
        protocols: HttpProtocols,
        hello: &ClientHello<'_>,
        connection: &ConnectionInfo,
    ) -> Result<Arc<ServerConfig>, Refusal> {
        let mut config = catch_unwind(AssertUnwindSafe(|| answer.call(connection, hello)))
            .map_err(|_| self.refuse(AlertDescription::InternalError, hello, "on_client_hello panicked"))?
            .map_err(|error| {
                let reason = format!("on_client_hello said no: {error}");
                self.refuse(AlertDescription::HandshakeFailure, hello, &reason)
            })?;
        if config.alpn_protocols.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols = alpn(protocols);
        }
        Ok(config)
    }

    fn refuse(&self, alert: AlertDescription, hello: &ClientHello<'_>, reason: &str) -> Refusal {
        let server_name = hello.server_name().unwrap_or_default();
        Refusal {
            alert,
            reason: format!("{} refused a client for the host '{server_name}': {reason}", self.name),
        }
    }
}

fn answers(
    name: &str,
    https: &HttpsOptions,
    protocols: HttpProtocols,
    certificates: &TlsCertificates,
    tickets: &Tickets,
) -> Result<Answers, TlsError> {
    if let Some(answer) = https.on_client_hello() {
        return Ok(Answers::Program(answer.clone(), protocols));
    }
    let own = certificates.own.as_ref();
    let own = own.map(|own| match https.server_certificate_chain.as_slice() {
        [] => own.certified_key(),
        issuers => own.with_issuers(issuers).certified_key(),
    });
    let maker = Maker {
        name,
        https,
        certificates,
        tickets,
        own,
    };
    if https.sni.is_empty() {
        let clients = maker.clients(https.client_certificate_mode, https.client_certificate_roots.as_ref());
        return Ok(Answers::One(maker.answer(
            https.ssl_protocols,
            protocols,
            &clients,
            None,
        )?));
    }
    let mut answers = Vec::with_capacity(https.sni.len());
    for (number, sni) in https.sni.iter().enumerate() {
        let certificate = certificates.by_pattern.get(number).and_then(Option::as_ref);
        let clients = maker.clients(
            sni.client_certificate_mode.unwrap_or(https.client_certificate_mode),
            sni.client_certificate_roots
                .as_ref()
                .or(https.client_certificate_roots.as_ref()),
        );
        answers.push(maker.answer(
            sni.ssl_protocols.unwrap_or(https.ssl_protocols),
            sni.protocols.unwrap_or(protocols),
            &clients,
            certificate,
        )?);
    }
    let patterns = HostPatterns::new(https.sni.iter().map(|sni| sni.pattern.as_str()));
    Ok(Answers::ByName(patterns, answers))
}

/// What all answers of an endpoint have in common.
struct Maker<'a> {
    name: &'a str,
    https: &'a HttpsOptions,
    certificates: &'a TlsCertificates,
    tickets: &'a Tickets,
    /// What is shown where a pattern has no certificate of its own.
    own: Option<Arc<CertifiedKey>>,
}

impl Maker<'_> {
    fn clients(&self, mode: ClientCertificateMode, roots: Option<&ClientCertificateRoots>) -> ClientSettings {
        let roots = roots.and_then(|roots| self.certificates.roots_of(roots));
        let validation = self.https.client_certificate_validation.clone();
        ClientSettings::new(mode, roots.map(|roots| roots.to_vec()).unwrap_or_default(), validation)
    }

    fn answer(
        &self,
        ssl_protocols: SslProtocols,
        protocols: HttpProtocols,
        clients: &ClientSettings,
        certificate: Option<&Certificate>,
    ) -> Result<Answer, TlsError> {
        let shown = certificate.map(Certificate::certified_key).or_else(|| self.own.clone());
        let config = server_config(ssl_protocols, protocols, clients, self.name, self.tickets, shown);
        let config = config.map_err(|error| TlsError::Library {
            endpoint: self.name.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Answer {
            config: Arc::new(config),
            has_own: certificate.is_some(),
        })
    }
}

/// What is to be told at the start of options that are served and do not do what somebody may expect.
pub(crate) fn warnings(name: &str, https: &HttpsOptions) -> Vec<String> {
    let mut warnings = sni::warnings(https.sni.iter().map(|sni| sni.pattern.as_str()));
    let judges = https.client_certificate_validation.is_some();
    let mut nobody = |whose: String, mode, roots: Option<&ClientCertificateRoots>| {
        if client_certificates::asks(mode) && roots.is_none() && !judges {
            warnings.push(format!(
                "{whose}clients are asked for certificates and each one will be refused, because ClientCertificateRoots is \
                 not set; name a file with the certificates of the authorities, or system for the machine's roots"
            ));
        }
    };
    if https.sni.is_empty() {
        nobody(
            String::new(),
            https.client_certificate_mode,
            https.client_certificate_roots.as_ref(),
        );
    }
    for sni in &https.sni {
        nobody(
            format!("for the host {}: ", sni.pattern),
            sni.client_certificate_mode.unwrap_or(https.client_certificate_mode),
            sni.client_certificate_roots
                .as_ref()
                .or(https.client_certificate_roots.as_ref()),
        );
    }
    warnings.into_iter().map(|text| format!("{name}: {text}")).collect()
}
