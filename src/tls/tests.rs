//! Endpoints against rustls' client, in memory.

mod authority;
mod clients;
mod handshake;

use super::certificates::TlsCertificates;
use super::client_certificates::read_roots;
use super::endpoint::warnings;
use super::tickets::Tickets;
use super::{
    ClientCertificateError, ClientCertificateValidation, OnAuthenticate, ServerCertificateSelector, TlsEndpoint,
    TlsError, TlsHandshakeOptions,
};
use crate::certificate::{Certificate, CertificateStores, X509Certificate};
use crate::endpoint::{
    ClientCertificateMode, ClientCertificateRoots, HttpProtocols, HttpsOptions, ServerOptions, SniOptions, SslProtocols,
};
use authority::{Authority, Days, Facts, Issued, Usage};
use handshake::{Outcome, client, shake};
use rustls::AlertDescription as Alert;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, SignatureScheme, SupportedProtocolVersion};
use std::io::Write;
use std::sync::{Arc, Mutex};

const NAME: &str = "https://[::]:443";
const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// An authority for servers, a certificate of it for `site.test`, and the tickets of a server.
struct World {
    authority: Authority,
    certificates: TlsCertificates,
    tickets: Tickets,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new("servers");
        let certificates = TlsCertificates {
            own: Some(authority.server("site.test")),
            ..TlsCertificates::default()
        };
        Self {
            authority,
            certificates,
            tickets: Tickets::default(),
        }
    }

    fn try_endpoint(&self, https: &HttpsOptions) -> Result<TlsEndpoint, TlsError> {
        let protocols = HttpProtocols::HTTP1_AND_HTTP2;
        let certificates = self.with_roots(https)?;
        TlsEndpoint::new(NAME, https, protocols, &certificates, &self.tickets)
    }

    /// The certificates, and the roots that are wanted.
    fn with_roots(&self, https: &HttpsOptions) -> Result<TlsCertificates, TlsError> {
        let mut certificates = self.certificates.clone();
        let stores = CertificateStores::from_environment();
        certificates.read_roots(NAME, https, |roots| read_roots(roots, &stores))?;
        Ok(certificates)
    }

    fn renew(&self, endpoint: &TlsEndpoint, https: &HttpsOptions) {
        let certificates = self.with_roots(https).unwrap();
        let renewed = endpoint.renew(https, HttpProtocols::HTTP1_AND_HTTP2, &certificates, &self.tickets);
        renewed.unwrap();
    }

    fn endpoint(&self, https: &HttpsOptions) -> TlsEndpoint {
        self.try_endpoint(https).unwrap()
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        client(&self.authority.der, None, versions)
    }

    fn shake(&self, https: &HttpsOptions, name: &str) -> Outcome {
        shake(&self.endpoint(https), &Arc::new(self.client(BOTH)), name)
    }
}

fn alert(outcome: Outcome) -> Option<Alert> {
    outcome.err().map(|refused| refused.alert.expect("the client is told"))
}

fn reason(outcome: Outcome) -> String {
    outcome.err().map(|refused| refused.reason).unwrap_or_default()
}

#[test]
fn versions_of_tls() {
    use ProtocolVersion::{TLSv1_2, TLSv1_3};
    let world = World::new();
    let old = SslProtocols::TLS11;
    for (asked, offered, expected) in [
        (SslProtocols::NONE, BOTH, Ok(TLSv1_3)),
        (SslProtocols::NONE, &[&TLS12], Ok(TLSv1_2)),
        (SslProtocols::TLS12, BOTH, Ok(TLSv1_2)),
        (SslProtocols::TLS13, BOTH, Ok(TLSv1_3)),
        (old | SslProtocols::TLS12, BOTH, Ok(TLSv1_2)),
        (SslProtocols::TLS13, &[&TLS12], Err(Alert::ProtocolVersion)),
        (SslProtocols::TLS12, &[&TLS13], Err(Alert::ProtocolVersion)),
    ] {
        let mut https = HttpsOptions::default();
        https.ssl_protocols = asked;
        let done = shake(&world.endpoint(&https), &Arc::new(world.client(offered)), "site.test");
        let found = done
            .map(|done| done.version())
            .map_err(|refused| refused.alert.unwrap());
        assert_eq!(found, expected, "{asked} {offered:?}");
    }
}

#[test]
fn application_protocols() {
    let world = World::new();
    let endpoint = world.endpoint(&HttpsOptions::default());
    for (offered, expected) in [
        (&[][..], Ok(None)),
        (&["http/1.1"], Ok(Some("http/1.1"))),
        (&["h2", "http/1.1"], Ok(Some("http/1.1"))),
        (&["http/1.0"], Ok(Some("http/1.0"))),
        (&["http/1.0", "http/1.1"], Ok(Some("http/1.1"))),
        (&["h2"], Err(Alert::NoApplicationProtocol)),
        (&["HTTP/1.1"], Err(Alert::NoApplicationProtocol)),
    ] {
        for version in [&TLS12, &TLS13] {
            let mut client = world.client(&[version]);
            client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let found = shake(&endpoint, &Arc::new(client), "site.test")
                .map(|done| done.alpn())
                .map_err(|refused| refused.alert.unwrap());
            assert_eq!(found, expected.map(|name| name.map(str::to_owned)), "{offered:?}");
        }
    }
}

/// The own certificate is for `b.test`, the first entry's for `a.test`.
fn by_name() -> (World, HttpsOptions) {
    let mut world = World::new();
    let mut https = HttpsOptions::default();
    let entry = |pattern, change: fn(&mut SniOptions)| {
        let mut sni = SniOptions::new(pattern);
        change(&mut sni);
        sni
    };
    https.sni = vec![
        entry("A.test", |_| ()),
        entry("b.test", |sni| sni.ssl_protocols = Some(SslProtocols::TLS12)),
        entry("*.b.test", |sni| sni.protocols = Some(HttpProtocols::NONE)),
    ];
    world.certificates = TlsCertificates {
        own: Some(world.authority.server("b.test")),
        by_pattern: vec![
            Some(world.authority.server("a.test")),
            None,
            Some(world.authority.server("x.b.test")),
        ],
        roots: Vec::new(),
    };
    (world, https)
}

#[test]
fn each_name_has_its_entry() {
    let (world, mut https) = by_name();
    let served = |https: &HttpsOptions, name| {
        let done = world.shake(https, name).unwrap();
        (done.served()[0].clone(), done.version())
    };
    let expected = |certificate: &Option<Certificate>| certificate.as_ref().unwrap().certified_key().cert[0].clone();
    let (own, by_pattern) = (&world.certificates.own, &world.certificates.by_pattern);
    assert_eq!(
        served(&https, "a.test"),
        (expected(&by_pattern[0]), ProtocolVersion::TLSv1_3)
    );
    assert_eq!(served(&https, "b.test"), (expected(own), ProtocolVersion::TLSv1_2));
    assert_eq!(served(&https, "x.b.test").0, expected(&by_pattern[2]));

    let mut http2 = world.client(BOTH);
    http2.alpn_protocols = vec![b"http/1.1".to_vec()];
    let endpoint = world.endpoint(&https);
    let none = shake(&endpoint, &Arc::new(http2.clone()), "x.b.test").unwrap();
    assert_eq!(none.alpn(), None, "the protocols are those of the entry");
    assert_eq!(
        shake(&endpoint, &Arc::new(http2), "a.test").unwrap().alpn().as_deref(),
        Some("http/1.1")
    );

    let refused = world.shake(&https, "other.test").err().unwrap();
    assert_eq!(refused.alert, Some(Alert::UnrecognisedName));
    assert_eq!(
        refused.reason,
        "https://[::]:443 refused a client for the host 'other.test': no host pattern matches it"
    );
    // With an address as its name, a client sends none.
    assert!(reason(world.shake(&https, "127.0.0.1")).contains("for the host ''"));

    https.sni.push(SniOptions::new("*"));
    for name in ["127.0.0.1", "other.test"] {
        let refused = world.shake(&https, name).err().unwrap();
        // It is served, and it is the client that finds its certificate to be for another host.
        assert_eq!(refused.alert, None, "{name}: {}", refused.reason);
        assert!(refused.reason.contains("not valid for name"), "{}", refused.reason);
    }
}

#[test]
fn new_certificates_are_for_the_next_handshake() {
    let (mut world, https) = by_name();
    let endpoint = world.endpoint(&https);
    let client = world.client(BOTH);
    let served = |name| {
        let done = shake(&endpoint, &Arc::new(client.clone()), name).unwrap();
        done.served()[0].clone()
    };
    let before = [served("a.test"), served("b.test"), served("x.b.test")];
    world.certificates.own = Some(world.authority.server("b.test"));
    world.certificates.by_pattern[0] = Some(world.authority.server("a.test"));
    world.renew(&endpoint, &https);
    let after = [served("a.test"), served("b.test"), served("x.b.test")];
    assert_ne!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    assert_eq!(before[2], after[2]);
}

#[test]
fn issuers_that_are_given_are_sent() {
    let mut world = World::new();
    let between = world.authority.intermediate("between");
    world.certificates.own = Some(between.server("site.test"));
    let mut https = HttpsOptions::default();
    assert!(reason(world.shake(&https, "site.test")).contains("UnknownIssuer"));
    https.server_certificate_chain = [&world.authority.der, &between.der]
        .map(|der| X509Certificate::from_der(der).unwrap())
        .into();
    let done = world.shake(&https, "site.test").unwrap();
    assert_eq!(done.served()[1..], [between.der]);
}

/// A file with these certificates.
fn roots_file(pems: &[&str]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pems.concat().as_bytes()).unwrap();
    file
}

#[test]
fn clients_come_back_without_a_full_handshake() {
    let mut world = World::new();
    let endpoint = world.endpoint(&HttpsOptions::default());
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(world.client(&[version]));
        let resumes = |endpoint: &TlsEndpoint| shake(endpoint, &client, "site.test").unwrap().is_resumed();
        assert!(!resumes(&endpoint));
        assert!(resumes(&endpoint));
        world.certificates.own = Some(world.authority.server("site.test"));
        world.renew(&endpoint, &HttpsOptions::default());
        assert!(
            resumes(&endpoint),
            "a new certificate changes nothing for those who were here"
        );
        let mut https = HttpsOptions::default();
        https.handshake_timeout = None;
        assert!(
            resumes(&world.endpoint(&https)),
            "nor does a reload, or another endpoint"
        );
    }
}

#[test]
fn new_roots_judge_the_next_handshake_and_no_session_survives_them() {
    let world = World::new();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let roots = roots_file(&[&old.pem]);
    let mut https = HttpsOptions::default();
    https.client_certificate_mode = ClientCertificateMode::RequireCertificate;
    https.client_certificate_roots = Some(ClientCertificateRoots::File(roots.path().into()));
    let endpoint = world.endpoint(&https);
    for version in [&TLS12, &TLS13] {
        let of = |authority: &Authority| {
            let issued = authority.issue("client", Facts::default());
            Arc::new(client(&world.authority.der, Some((&issued, &[])), &[version]))
        };
        let (known, stranger) = (of(&old), of(&new));
        assert!(shake(&endpoint, &known, "site.test").is_ok());
        assert!(shake(&endpoint, &known, "site.test").unwrap().is_resumed());
        assert!(shake(&endpoint, &stranger, "site.test").is_err());
        std::fs::write(roots.path(), &new.pem).unwrap();
        world.renew(&endpoint, &https);
        assert!(shake(&endpoint, &known, "site.test").is_err());
        assert!(!shake(&endpoint, &stranger, "site.test").unwrap().is_resumed());
        std::fs::write(roots.path(), &old.pem).unwrap();
        world.renew(&endpoint, &https);
    }
}

#[test]
fn no_session_goes_to_other_client_certificate_settings() {
    let world = World::new();
    let clients = Authority::new("clients");
    let good = clients.issue("client", Facts::default());
    let (roots, others) = (
        roots_file(&[&clients.pem]),
        roots_file(&[&Authority::new("others").pem]),
    );
    let with = |mode, roots: &tempfile::NamedTempFile| {
        let mut https = HttpsOptions::default();
        https.client_certificate_mode = mode;
        https.client_certificate_roots = Some(ClientCertificateRoots::File(roots.path().into()));
        https
    };
    let allow = ClientCertificateMode::AllowCertificate;
    let require = ClientCertificateMode::RequireCertificate;
    let mut judged = with(allow, &roots);
    judged.allow_any_client_certificate();
    for version in [&TLS12, &TLS13] {
        let anybody = Arc::new(world.client(&[version]));
        let shaken = |https: &HttpsOptions| shake(&world.endpoint(https), &anybody, "site.test");
        assert!(shaken(&with(allow, &roots)).is_ok());
        assert!(
            shaken(&with(require, &roots)).is_err(),
            "who showed none is asked again"
        );

        let known = Arc::new(client(&world.authority.der, Some((&good, &[])), &[version]));
        let shaken = |https: &HttpsOptions| shake(&world.endpoint(https), &known, "site.test");
        assert!(!shaken(&with(require, &roots)).unwrap().is_resumed());
        let again = shaken(&with(require, &roots)).unwrap();
        assert!(again.is_resumed());
        assert_eq!(
            again.client_chain(),
            std::slice::from_ref(&good.der),
            "and is known by it"
        );
        assert!(!shaken(&judged).unwrap().is_resumed());
        assert!(shaken(&judged).unwrap().is_resumed());
        assert!(shaken(&with(require, &others)).is_err());
    }
}

#[test]
fn a_selector_chooses_for_each_handshake() {
    let mut world = World::new();
    let both = [world.authority.server("site.test"), world.authority.server("site.test")];
    let code = Facts {
        usage: Usage::Code,
        ..Facts::default()
    };
    let for_code = world.authority.issue("site.test", code).certificate();
    let asked: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let chosen = both.clone();
    let mut https = HttpsOptions::default();
    https.server_certificate_selector = Some(ServerCertificateSelector::new(move |connection, name| {
        assert_eq!(connection.id(), "0000000000001");
        let mut asked = seen.lock().unwrap_or_else(|error| error.into_inner());
        asked.push(name.map(str::to_owned));
        match name {
            Some("site.test") => Some(chosen[(asked.len() - 1) % 2].clone()),
            Some("code.test") => Some(for_code.clone()),
            Some("panic.test") => panic!("the selector's"),
            _ => None,
        }
    }));
    let served = |world: &World, name| world.shake(&https, name).map(|done| done.served()[0].clone());
    assert_eq!(served(&world, "Site.test").unwrap(), both[0].certified_key().cert[0]);
    assert_eq!(served(&world, "site.test").unwrap(), both[1].certified_key().cert[0]);
    assert_eq!(
        *asked.lock().unwrap(),
        [Some("site.test".to_owned()), Some("site.test".to_owned())]
    );
    for (name, alert, text) in [
        (
            "other.test",
            Alert::UnrecognisedName,
            "server_certificate_selector has no certificate for it",
        ),
        ("127.0.0.1", Alert::UnrecognisedName, "for the host ''"),
        (
            "code.test",
            Alert::InternalError,
            "chose a wrong one: the certificate CN=site.test",
        ),
        (
            "panic.test",
            Alert::InternalError,
            "server_certificate_selector panicked",
        ),
    ] {
        let refused = served(&world, name).unwrap_err();
        assert_eq!(refused.alert, Some(alert), "{name}");
        assert!(refused.reason.contains(text), "{}", refused.reason);
    }
    assert!(served(&world, "site.test").is_ok(), "the others are served as before");

    // An entry's own certificate wins over it, and the endpoint's never does.
    https.sni = vec![SniOptions::new("site.test"), SniOptions::new("*")];
    let own = world.authority.server("site.test");
    world.certificates.by_pattern = vec![Some(own.clone()), None];
    let served = world.shake(&https, "site.test").unwrap().served()[0].clone();
    assert_eq!(served, own.certified_key().cert[0]);
    assert!(reason(world.shake(&https, "other.test")).contains("server_certificate_selector"));
}

#[test]
fn the_last_change_is_the_programs() {
    let world = World::new();
    let mut https = HttpsOptions::default();
    https.on_authenticate = Some(OnAuthenticate::new(|_, config| {
        config.alpn_protocols = vec![b"mine".to_vec()]
    }));
    let mut client = world.client(BOTH);
    client.alpn_protocols = vec![b"http/1.1".to_vec(), b"mine".to_vec()];
    let client = Arc::new(client);
    let done = shake(&world.endpoint(&https), &client, "site.test").unwrap();
    assert_eq!(done.alpn().as_deref(), Some("mine"));
    https.on_authenticate = Some(OnAuthenticate::new(|_, _| panic!("the hook's")));
    let refused = shake(&world.endpoint(&https), &client, "site.test").err().unwrap();
    assert_eq!(refused.alert, Some(Alert::InternalError));
    assert!(
        refused.reason.ends_with("on_authenticate panicked"),
        "{}",
        refused.reason
    );
}

#[test]
fn a_program_may_answer_with_rustls_own_configuration() {
    let world = World::new();
    let key = world.certificates.own.as_ref().unwrap().certified_key();
    let config = |protocols: &[&str]| {
        let resolver = Arc::new(super::server_config::Shown(Some(Arc::clone(&key))));
        let builder = rustls::ServerConfig::builder_with_provider(crate::certificate::provider::provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    };
    let endpoint = |how: TlsHandshakeOptions| {
        let mut options = ServerOptions::default();
        let endpoint = options.listen_any_ip(443).use_https(how);
        world.endpoint(endpoint.https().unwrap())
    };
    let mut client = world.client(BOTH);
    client.alpn_protocols = vec![b"http/1.1".to_vec(), b"mine".to_vec()];
    let client = Arc::new(client);
    let alpn = |endpoint: &TlsEndpoint| shake(endpoint, &client, "site.test").unwrap().alpn();
    assert_eq!(alpn(&endpoint(config(&[]).into())).as_deref(), Some("http/1.1"));
    assert_eq!(alpn(&endpoint(config(&["mine"]).into())).as_deref(), Some("mine"));

    let mut how = TlsHandshakeOptions::new(|_, hello| match hello.server_name() {
        Some("panic.test") => panic!("the callback's"),
        _ => Err("not today".into()),
    });
    how.handshake_timeout = None;
    let endpoint = endpoint(how);
    assert_eq!(endpoint.handshake_timeout(), None);
    let refused = shake(&endpoint, &client, "site.test").err().unwrap();
    assert_eq!(refused.alert, Some(Alert::HandshakeFailure));
    assert!(
        refused.reason.ends_with("on_client_hello said no: not today"),
        "{}",
        refused.reason
    );
    assert_eq!(
        alert(shake(&endpoint, &client, "panic.test")),
        Some(Alert::InternalError)
    );
}
