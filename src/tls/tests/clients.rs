//! Certificates of clients: who may come in, and what is told to those who may not.

use super::*;

#[test]
fn client_certificates() {
    use ClientCertificateMode::{AllowCertificate as Allow, NoCertificate as No, RequireCertificate as Require};
    let world = World::new();
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let between = clients.intermediate("between");
    let issue = |usage, days| {
        let is_authority = false;
        clients.issue(
            "client",
            Facts {
                usage,
                days,
                is_authority,
            },
        )
    };
    let good = issue(Usage::Client, Days::Now);
    let unlimited = issue(Usage::Any, Days::Now);
    let for_servers = issue(Usage::Server, Days::Now);
    let expired = issue(Usage::Client, Days::Past);
    let future = issue(Usage::Client, Days::Future);
    let foreign = strangers.issue("client", Facts::default());
    let below = between.issue("client", Facts::default());
    let own = |is_authority, days| {
        let usage = Usage::Any;
        Issued::self_signed(
            "client",
            Facts {
                usage,
                days,
                is_authority,
            },
        )
    };
    let (pinned, pinned_authority, pinned_expired) =
        (own(false, Days::Now), own(true, Days::Now), own(true, Days::Past));
    let unknown = Issued::self_signed("stranger", Facts::default());
    let roots = [&clients.pem, &pinned.pem, &pinned_authority.pem, &pinned_expired.pem];
    let roots = roots_file(&roots.map(String::as_str));

    let link = [between.der.clone()];
    type Shown<'a> = Option<(&'a Issued, &'a [CertificateDer<'static>])>;
    // The alert, or the length of the chain that the server sees.
    let table: &[(&str, ClientCertificateMode, Shown<'_>, Result<usize, Alert>)] = &[
        ("not asked", No, Some((&good, &[])), Ok(0)),
        ("none, allowed", Allow, None, Ok(0)),
        ("none, required", Require, None, Err(Alert::CertificateRequired)),
        ("good, allowed", Allow, Some((&good, &[])), Ok(1)),
        ("good", Require, Some((&good, &[])), Ok(1)),
        ("no usage", Require, Some((&unlimited, &[])), Ok(1)),
        (
            "for servers",
            Require,
            Some((&for_servers, &[])),
            Err(Alert::UnsupportedCertificate),
        ),
        (
            "for servers, allowed",
            Allow,
            Some((&for_servers, &[])),
            Err(Alert::UnsupportedCertificate),
        ),
        (
            "expired",
            Require,
            Some((&expired, &[])),
            Err(Alert::CertificateExpired),
        ),
        (
            "not valid yet",
            Require,
            Some((&future, &[])),
            Err(Alert::CertificateExpired),
        ),
        ("foreign", Require, Some((&foreign, &[])), Err(Alert::UnknownCA)),
        (
            "foreign, with its root",
            Require,
            Some((&foreign, std::slice::from_ref(&strangers.der))),
            Err(Alert::UnknownCA),
        ),
        ("chain", Require, Some((&below, &link)), Ok(2)),
        (
            "missing intermediate",
            Require,
            Some((&below, &[])),
            Err(Alert::UnknownCA),
        ),
        ("a root itself", Require, Some((&pinned, &[])), Ok(1)),
        (
            "a root itself, authority",
            Require,
            Some((&pinned_authority, &[])),
            Ok(1),
        ),
        (
            "no root, signed by itself",
            Require,
            Some((&unknown, &[])),
            Err(Alert::UnknownCA),
        ),
    ];
    for version in [&TLS12, &TLS13] {
        for (what, mode, shown, expected) in table {
            let mut https = HttpsOptions::default();
            https.client_certificate_mode = *mode;
            https.client_certificate_roots = Some(ClientCertificateRoots::File(roots.path().into()));
            let client = Arc::new(client(&world.authority.der, *shown, &[version]));
            let found = shake(&world.endpoint(&https), &client, "site.test")
                .map(|done| done.client_chain().len())
                .map_err(|refused| refused.alert.unwrap());
            assert_eq!(found, *expected, "{what} {version:?}");
        }
        let mut https = HttpsOptions::default();
        https.client_certificate_mode = Require;
        https.client_certificate_roots = Some(ClientCertificateRoots::File(roots.path().into()));
        let client = Arc::new(client(&world.authority.der, Some((&pinned_expired, &[])), &[version]));
        assert!(
            shake(&world.endpoint(&https), &client, "site.test").is_err(),
            "an expired root itself"
        );
    }
}

/// Remembers which authorities a server names when it asks.
#[derive(Debug, Default)]
struct Hints(Mutex<Option<usize>>);

impl ResolvesClientCert for Hints {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock().unwrap() = Some(authorities.len());
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn nobody_learns_whom_the_server_trusts() {
    let world = World::new();
    let roots = roots_file(&[&Authority::new("clients").pem]);
    for (mode, asked) in [
        (ClientCertificateMode::NoCertificate, None),
        (ClientCertificateMode::AllowCertificate, Some(0)),
    ] {
        let mut https = HttpsOptions::default();
        https.client_certificate_mode = mode;
        https.client_certificate_roots = Some(ClientCertificateRoots::File(roots.path().into()));
        for version in [&TLS12, &TLS13] {
            let hints = Arc::new(Hints::default());
            let mut client = world.client(&[version]);
            client.client_auth_cert_resolver = Arc::clone(&hints) as Arc<dyn ResolvesClientCert>;
            assert!(shake(&world.endpoint(&https), &Arc::new(client), "site.test").is_ok());
            assert_eq!(*hints.0.lock().unwrap(), asked, "{mode} {version:?}");
        }
    }
}

#[test]
fn a_callback_has_the_last_word() {
    let world = World::new();
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let good = clients.issue("client", Facts::default());
    let foreign = strangers.issue("client", Facts::default());
    let roots = roots_file(&[&clients.pem]);
    type Verdict = Result<(), ClientCertificateError>;
    let heard: Arc<Mutex<Vec<(usize, Verdict)>>> = Arc::default();
    let callback = |answer: fn() -> bool| {
        let heard = Arc::clone(&heard);
        Some(ClientCertificateValidation::new(move |chain, verdict| {
            heard.lock().unwrap().push((chain.len(), verdict));
            answer()
        }))
    };
    let panics = || panic!("the callback's");
    let unknown = Err(ClientCertificateError::UnknownIssuer);
    type Row<'a> = (fn() -> bool, Option<&'a Issued>, Option<Alert>, Option<Verdict>);
    let table: [Row<'_>; 7] = [
        (|| true, Some(&foreign), None, Some(unknown.clone())),
        (|| true, Some(&good), None, Some(Ok(()))),
        (|| false, Some(&good), Some(Alert::AccessDenied), Some(Ok(()))),
        (|| false, Some(&foreign), Some(Alert::UnknownCA), Some(unknown)),
        (panics, Some(&good), Some(Alert::AccessDenied), Some(Ok(()))),
        (|| true, None, None, None),
        (|| false, None, None, None),
    ];
    for (answer, shown, expected, hears) in table {
        let mut https = HttpsOptions::default();
        https.client_certificate_mode = ClientCertificateMode::AllowCertificate;
        https.client_certificate_roots = Some(ClientCertificateRoots::File(roots.path().into()));
        https.client_certificate_validation = callback(answer);
        let shown = shown.map(|issued| (issued, &[][..]));
        let client = Arc::new(client(&world.authority.der, shown, BOTH));
        let found = alert(shake(&world.endpoint(&https), &client, "site.test"));
        assert_eq!(found, expected);
        let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(|error| error.into_inner()));
        assert_eq!(heard, hears.map(|verdict| vec![(1, verdict)]).unwrap_or_default());
    }

    let mut https = HttpsOptions::default();
    https.client_certificate_mode = ClientCertificateMode::RequireCertificate;
    https.allow_any_client_certificate();
    let any = Arc::new(client(&world.authority.der, Some((&foreign, &[])), BOTH));
    let done = shake(&world.endpoint(&https), &any, "site.test").unwrap();
    assert_eq!(done.client_chain(), std::slice::from_ref(&foreign.der));
    assert_eq!(
        alert(world.shake(&https, "site.test")),
        Some(Alert::CertificateRequired)
    );
}

#[test]
fn without_roots_nobody_is_accepted_and_that_is_told() {
    let world = World::new();
    let stranger = Issued::self_signed("client", Facts::default());
    let mut https = HttpsOptions::default();
    https.client_certificate_mode = ClientCertificateMode::AllowCertificate;
    let client = Arc::new(client(&world.authority.der, Some((&stranger, &[])), BOTH));
    let refused = shake(&world.endpoint(&https), &client, "site.test");
    assert_eq!(alert(refused), Some(Alert::UnknownCA));
    assert!(world.shake(&https, "site.test").is_ok());

    let told = |https: &HttpsOptions| warnings("here", https);
    assert_eq!(told(&https).len(), 1);
    assert!(told(&https)[0].starts_with("here: clients are asked for certificates and each one will be refused"));
    https.sni = vec![SniOptions::new("127.0.0.1"), SniOptions::new("b.test")];
    https.sni[1].client_certificate_roots = Some(ClientCertificateRoots::System);
    let texts = told(&https);
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("127.0.0.1\" can match no client"));
    assert!(texts[1].starts_with("here: for the host 127.0.0.1: clients are asked"));
    https.allow_any_client_certificate();
    assert_eq!(told(&https).len(), 1);
    https.sni.clear();
    assert!(told(&https).is_empty());
    assert!(told(&HttpsOptions::default()).is_empty());
}

#[test]
fn roots_are_read_if_anybody_is_asked() {
    let world = World::new();
    let mut https = HttpsOptions::default();
    https.client_certificate_mode = ClientCertificateMode::RequireCertificate;
    https.client_certificate_roots = Some(ClientCertificateRoots::File("/absent/ca.pem".into()));
    let error = world.try_endpoint(&https).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, TlsError::ClientRoots { .. }));
    let begin = "cannot serve https://[::]:443: the roots for client certificates: cannot read /absent/ca.pem";
    assert!(text.starts_with(begin), "{text}");
    https.client_certificate_mode = ClientCertificateMode::NoCertificate;
    assert!(world.try_endpoint(&https).is_ok(), "nobody asks for them");
}
