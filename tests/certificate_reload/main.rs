//! A running server takes up changed certificates, and nobody who is connected notices.

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/client.rs"]
mod client;
#[path = "../support/reload.rs"]
mod reload;
#[path = "../support/tls.rs"]
mod tls;
mod ways;

use certificates::{Made, make, make_with};
use client::wait_until;
use log::{Level, LevelFilter, Log, Metadata, Record};
use reload::{Following, follow_changes, hello};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, HandshakeKind};
use stannel::{CertificateSource, ClientCertificateMode, ClientCertificateRoots, ServerOptions, SniOptions};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use tls::{Stream, Trusting, ask, connect};

/// What all servers of this process log; each test looks for its own names.
struct Lines(Mutex<Vec<(Level, String)>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "stannel"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// Lines of that level with that text.
fn logged(level: Level, text: &str) -> Vec<String> {
    let lines = LINES.0.lock().unwrap();
    let found = lines
        .iter()
        .filter(|(other, line)| *other == level && line.contains(text));
    found.map(|(_, line)| line.clone()).collect()
}

fn folder() -> TempDir {
    static LOGS: Once = Once::new();
    LOGS.call_once(|| {
        log::set_logger(&LINES).expect("nobody else logs here");
        log::set_max_level(LevelFilter::Debug);
    });
    tempfile::tempdir().unwrap()
}

/// A server whose one endpoint has its certificate from these files, by code and without any configuration.
fn serve(folder: TempDir, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Following {
    let source = CertificateSource::pem(folder.path().join(certificate), folder.path().join(key));
    let mut options = ServerOptions::default();
    options.listen(Ipv4Addr::LOCALHOST, 0).use_https(source);
    Following::serve(folder, options, hello)
}

/// A server that is configured so.
fn configured(folder: TempDir, kestrel: &str, change: impl FnOnce(&mut ServerOptions)) -> Following {
    let text = format!("{{ \"Kestrel\": {{ {kestrel} }} }}");
    Following::start_in(folder, &text, change, hello)
}

/// Where the endpoints listen, in order.
fn addresses(server: &Following) -> Vec<SocketAddr> {
    let addresses = server.handle().addresses();
    addresses.iter().map(|address| address.socket_addrs()[0]).collect()
}

/// The certificate that a new client is shown.
fn shown(address: SocketAddr, name: &'static str) -> Vec<u8> {
    let trusting = Trusting::new();
    let config = Arc::new(trusting.config(rustls::ALL_VERSIONS));
    let answer = ask(connect(address, &config, name).unwrap(), "/");
    assert!(answer.ends_with("hello"), "{answer}");
    trusting.shown()[0].to_vec()
}

fn shows(server: &Following, made: &Made) -> bool {
    shown(addresses(server)[0], "site.test") == made.certificate.der().to_vec()
}

/// Waits for the next swap; what was refused until then.
fn wait_for_swap(server: &Following) -> (Vec<String>, Vec<String>) {
    let mut refused = Vec::new();
    loop {
        let outcome = server.outcome();
        assert!(outcome.stopped.is_empty() && outcome.started.is_empty(), "{outcome:?}");
        match outcome.error {
            Some(error) => refused.push(error),
            None => return (outcome.renewed, refused),
        }
    }
}

/// A connection that has been used once and is kept.
fn kept(address: SocketAddr) -> Stream {
    let config = Arc::new(Trusting::new().config(rustls::ALL_VERSIONS));
    let mut stream = connect(address, &config, "site.test").unwrap();
    use_again(&mut stream);
    stream
}

/// Asks on a connection that is kept.
fn use_again(stream: &mut Stream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// Replaces a file, so that nobody finds half of it, however busy the machine is.
fn put(path: &Path, content: impl AsRef<[u8]>) {
    let other = path.with_extension("new");
    fs::write(&other, content).unwrap();
    fs::rename(&other, path).unwrap();
}

#[test]
fn a_pair_is_taken_up_once_it_is_a_pair() {
    let folder = folder();
    let (first, second) = (make("first.pair.test"), make("second.pair.test"));
    let (certificate, key) = first.write_pem(folder.path(), "site");
    let server = serve(folder, "site.pem", "site.key");
    put(&certificate, second.certificate.pem());
    let error = server.outcome().error.expect("the key is another's");
    let named = key.display().to_string();
    for text in [&named, "https://127.0.0.1:0 (from code)", "CN=first.pair.test"] {
        assert!(error.contains(text), "{error}");
    }
    assert!(shows(&server, &first));
    put(&key, second.key.serialize_pem());
    assert_eq!(wait_for_swap(&server).1, [""; 0]);
    assert!(shows(&server, &second));
    // The key first, this time.
    put(&key, first.key.serialize_pem());
    assert!(server.outcome().error.is_some());
    assert!(shows(&server, &second));
    put(&certificate, first.certificate.pem());
    wait_for_swap(&server);
    assert!(shows(&server, &first));
    assert_eq!(logged(Level::Error, &named).len(), 2);
}

/// A certificate and its key in one text.
fn both(made: &Made) -> String {
    made.certificate.pem() + &made.key.serialize_pem()
}

#[test]
fn what_cannot_be_used_is_told_once_and_what_was_there_stays() {
    let folder = folder();
    let (first, second) = (make("first.unfit.test"), make("second.unfit.test"));
    let file = folder.path().join("both.pem");
    put(&file, both(&first));
    let server = serve(folder, "both.pem", "both.pem");
    let path = file.display().to_string();
    let mut connection = kept(addresses(&server)[0]);
    let for_clients = make_with("clients.unfit.test", |parameters| {
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let place = format!("file {path} with key {path}");
    let begin =
        format!("cannot take up the changed certificate of https://127.0.0.1:0 (from code) ({place}, in code): ");
    let bad = [
        ("garbage", Some("garbage".to_owned()), &*path),
        ("cut off", Some(both(&first)[..300].to_owned()), &path),
        ("empty", Some(String::new()), &path),
        ("without key", Some(first.certificate.pem()), &path),
        ("for clients", Some(both(&for_clients)), "CN=clients.unfit.test"),
        (
            "other key",
            Some(first.certificate.pem() + &second.key.serialize_pem()),
            &path,
        ),
        ("absent", None, &path),
    ];
    for (told, (name, content, said)) in bad.into_iter().enumerate() {
        match &content {
            Some(content) => put(&file, content),
            None => fs::remove_file(&file).unwrap(),
        }
        let error = server.outcome().error.expect(name);
        assert!(error.starts_with(&begin) && error.contains(said), "{name}: {error}");
        assert!(error.contains("CN=first.unfit.test"), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{name}: {error}");
        assert!(shows(&server, &first), "{name}");
        use_again(&mut connection);
        if content.is_some() {
            // A change of the time is a change, but nobody is told the same again.
            let known = format!("{place} was written, and still cannot be used");
            let looked = logged(Level::Debug, &known).len();
            let later = SystemTime::now() + Duration::from_secs(60);
            let touched = fs::File::options().append(true).open(&file).unwrap();
            touched.set_modified(later).unwrap();
            wait_until("the file to be tried again", || {
                logged(Level::Debug, &known).len() > looked
            });
        }
        assert_eq!(logged(Level::Error, &begin).len(), told + 1, "{name}");
    }
    // What is shown already is no news, wherever it was meanwhile.
    put(&file, both(&first));
    let same = format!("{place} was written, and holds what it held before");
    wait_until("the old pair to be read", || !logged(Level::Debug, &same).is_empty());
    put(&file, both(&second));
    wait_for_swap(&server);
    assert!(shows(&server, &second));
    use_again(&mut connection);
    assert!(logged(Level::Info, "CN=first.unfit.test").is_empty());
}

#[test]
fn a_pfx_and_whatever_else_endpoints_have_certificates_from() {
    let folder = folder();
    let files = folder.path().to_owned();
    let write = |name: &str, made: &Made| put(&files.join(name), made.pfx(Some("secret")));
    let names = ["own", "default", "https-defaults", "code"];
    for name in names {
        write(&format!("{name}.pfx"), &make("before.sources.test"));
    }
    let of_defaults = CertificateSource::pfx(files.join("https-defaults.pfx"), "secret");
    let server = configured(
        folder,
        r#""Endpoints": {
            "Own": { "Url": "https://127.0.0.1:0", "Certificate": { "Path": "own.pfx", "Password": "secret" } },
            "Default": { "Url": "https://127.0.0.1:0" }
        },
        "Certificates": { "Default": { "Path": "default.pfx", "Password": "secret" } }"#,
        |options| {
            options.listen(Ipv4Addr::LOCALHOST, 0).use_https(("code.pfx", "secret"));
            options.listen(Ipv4Addr::LOCALHOST, 0).use_https(());
            options.configure_https_defaults(move |https| https.server_certificate = Some(of_defaults.clone()));
            options.listen(Ipv4Addr::LOCALHOST, 0).use_https_with(|_| ());
        },
    );
    let told: Vec<String> = server.handle().addresses().iter().map(ToString::to_string).collect();
    let addresses = addresses(&server);
    // Endpoints of code come first. The defaults of code count for those of the configuration, too.
    let uses: [(&str, &[usize]); 4] = [
        ("code", &[0]),
        ("default", &[1]),
        ("https-defaults", &[2, 3]),
        ("own", &[4]),
    ];
    let mut connections: Vec<Stream> = addresses.iter().map(|address| kept(*address)).collect();
    for (name, used_by) in uses {
        let before: Vec<Vec<u8>> = addresses.iter().map(|address| shown(*address, "site.test")).collect();
        let made = make(&format!("{name}.sources.test"));
        write(&format!("{name}.pfx"), &made);
        let expected: Vec<String> = used_by.iter().map(|number| told[*number].clone()).collect();
        assert_eq!(wait_for_swap(&server).0, expected, "{name}");
        for (number, address) in addresses.iter().enumerate() {
            let now = shown(*address, "site.test");
            match used_by.contains(&number) {
                true => assert_eq!(now, made.certificate.der().to_vec(), "{name}"),
                false => assert_eq!(now, before[number], "{name}"),
            }
        }
        assert_eq!(
            logged(Level::Info, &format!("CN={name}.sources.test")).len(),
            used_by.len()
        );
    }
    put(&files.join("own.pfx"), make("wrong.sources.test").pfx(Some("other")));
    let error = server.outcome().error.expect("the password is another");
    assert!(
        error.contains("(Kestrel:Endpoints:Own:Certificate:Password in "),
        "{error}"
    );
    assert!(error.contains("appsettings.json:2:"), "{error}");
    connections.iter_mut().for_each(use_again);
}

#[test]
fn host_names_have_certificates_of_their_own() {
    let folder = folder();
    let files = folder.path().to_owned();
    for name in ["own", "a"] {
        make("before.names.test").write_pem(&files, name);
    }
    let source =
        |name: &str| CertificateSource::pem(files.join(format!("{name}.pem")), files.join(format!("{name}.key")));
    let mut options = ServerOptions::default();
    options.listen(Ipv4Addr::LOCALHOST, 0).use_https_with(|https| {
        https.server_certificate = Some(source("own"));
        https.sni = vec![
            SniOptions::new("a.test"),
            SniOptions::new("*.a.test"),
            SniOptions::new("*"),
        ];
        https.sni[0].certificate = Some(source("a"));
        https.sni[1].certificate = Some(source("a"));
    });
    let server = Following::serve(folder, options, hello);
    let address = addresses(&server)[0];
    let of_all = || ["a.test", "x.a.test", "b.test"].map(|name| shown(address, name));
    let before = of_all();
    let made = make("a.names.test");
    made.write_pem(&files, "a");
    wait_for_swap(&server);
    let der = made.certificate.der().to_vec();
    assert_eq!(of_all(), [der.clone(), der.clone(), before[2].clone()]);
    let told = logged(Level::Info, "CN=a.names.test");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("for the host a.test (from code) has a new certificate"),
        "{told:?}"
    );
    let own = make("own.names.test");
    own.write_pem(&files, "own");
    wait_for_swap(&server);
    assert_eq!(of_all(), [der.clone(), der, own.certificate.der().to_vec()]);
}

#[test]
fn sessions_outlive_their_certificate() {
    let folder = folder();
    make("first.sessions.test").write_pem(folder.path(), "site");
    let server = serve(folder, "site.pem", "site.key");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(Trusting::new().config(&[version]));
        let kind = || {
            let stream = connect(addresses(&server)[0], &config, "site.test").unwrap();
            let kind = stream.conn.handshake_kind();
            assert!(ask(stream, "/").ends_with("hello"));
            kind
        };
        assert_eq!(kind(), Some(HandshakeKind::Full));
        make("next.sessions.test").write_pem(server.folder(), "site");
        wait_for_swap(&server);
        assert_eq!(kind(), Some(HandshakeKind::Resumed));
    }
}

/// A client that shows a certificate.
fn showing(made: &Made) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![made.certificate.der().clone()];
    let key = PrivateKeyDer::try_from(made.key.serialize_der()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let builder = builder.with_custom_certificate_verifier(Trusting::new());
    Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
}

#[test]
fn roots_for_client_certificates_are_taken_up() {
    let folder = folder();
    make("site.roots.test").write_pem(folder.path(), "site");
    let (first, second) = (make("first.roots.test"), make("second.roots.test"));
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, first.certificate.pem()).unwrap();
    let mut options = ServerOptions::default();
    let source = CertificateSource::pem(folder.path().join("site.pem"), folder.path().join("site.key"));
    options.listen(Ipv4Addr::LOCALHOST, 0).use_https_with(|https| {
        https.server_certificate = Some(source);
        https.client_certificate_mode = ClientCertificateMode::RequireCertificate;
        https.client_certificate_roots = Some(ClientCertificateRoots::File(roots.clone()));
    });
    let server = Following::serve(folder, options, hello);
    let address = addresses(&server)[0];
    let clients = [showing(&first), showing(&second)];
    // A refusal shows with the first answer that does not come.
    let is_served = |config: &Arc<ClientConfig>| match connect(address, config, "site.test") {
        Ok(mut stream) => {
            let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            let mut answer = String::new();
            stream.write_all(request).is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.ends_with("hello")
        }
        Err(_) => false,
    };
    assert_eq!(clients.each_ref().map(is_served), [true, false]);
    let mut connection = connect(address, &clients[0], "site.test").unwrap();
    use_again(&mut connection);
    put(&roots, "garbage");
    let error = server.outcome().error.expect("they are garbage");
    let begin = "cannot take up the changed roots for client certificates of https://127.0.0.1:0 (from code): ";
    assert!(error.starts_with(begin) && error.contains("roots.pem"), "{error}");
    assert_eq!(clients.each_ref().map(is_served), [true, false]);
    // Nor does a reload take away what is in force.
    server.handle().reload();
    assert_eq!(server.outcome(), stannel::ReloadOutcome::default());
    assert_eq!(clients.each_ref().map(is_served), [true, false]);
    put(&roots, second.certificate.pem());
    wait_for_swap(&server);
    // No session of the first one's is taken up.
    assert_eq!(clients.each_ref().map(is_served), [false, true]);
    put(&roots, first.certificate.pem() + &second.certificate.pem());
    wait_for_swap(&server);
    assert_eq!(clients.each_ref().map(is_served), [true, true]);
    // Who is connected stays so.
    use_again(&mut connection);
    let told = format!("has new roots for client certificates: 2 from file {}", roots.display());
    assert_eq!(logged(Level::Info, &told).len(), 1);
}

#[test]
fn a_reload_reads_certificates_too_and_restarts_nothing() {
    let settings = r#""Endpoints": {
        "Own": { "Url": "https://127.0.0.1:0", "Certificate": { "Path": "site.pem", "KeyPath": "site.key" } }
    }"#;
    for is_configured in [false, true] {
        let folder = folder();
        make("first.asked.test").write_pem(folder.path(), "site");
        let server = if is_configured {
            configured(folder, settings, |options| options.follow_certificate_files = false)
        } else {
            let source = CertificateSource::pem(folder.path().join("site.pem"), folder.path().join("site.key"));
            let mut options = ServerOptions::default();
            options.follow_certificate_files = false;
            options.listen(Ipv4Addr::LOCALHOST, 0).use_https(source);
            Following::serve(folder, options, hello)
        };
        let mut connection = kept(addresses(&server)[0]);
        server.handle().reload();
        let outcome = server.outcome();
        assert_eq!(outcome, stannel::ReloadOutcome::default(), "nothing has changed");
        let second = make("second.asked.test");
        second.write_pem(server.folder(), "site");
        server.handle().reload();
        assert_eq!(wait_for_swap(&server).0.len(), 1);
        assert!(shows(&server, &second));
        // Wrong ones are told, and what is served stays.
        fs::write(server.folder().join("site.pem"), "garbage").unwrap();
        server.handle().reload();
        assert!(server.outcome().renewed.is_empty());
        assert!(shows(&server, &second));
        let path = server.folder().join("site.pem").display().to_string();
        assert_eq!(logged(Level::Error, &path).len(), 1);
        use_again(&mut connection);
    }
}

#[test]
fn another_default_certificate_is_for_endpoints_of_code_too() {
    let folder = folder();
    let (first, second) = (make("first.default.test"), make("second.default.test"));
    first.write_pem(folder.path(), "first");
    second.write_pem(folder.path(), "second");
    let with = |name: &str| {
        let node = format!("{{ \"Path\": \"{name}.pem\", \"KeyPath\": \"{name}.key\" }}");
        format!("\"Certificates\": {{ \"Default\": {node} }}")
    };
    let server = configured(folder, &with("first"), |options| {
        follow_changes(options);
        options.listen(Ipv4Addr::LOCALHOST, 0).use_https(());
    });
    let mut connection = kept(addresses(&server)[0]);
    assert!(shows(&server, &first));
    server.write(&format!("{{ \"Kestrel\": {{ {} }} }}", with("second")));
    wait_for_swap(&server);
    assert!(shows(&server, &second));
    // From now on that file is followed.
    let third = make("third.default.test");
    third.write_pem(server.folder(), "second");
    wait_for_swap(&server);
    assert!(shows(&server, &third));
    use_again(&mut connection);
}

/// Between reading the files and running the server there may be any time.
#[test]
fn a_file_that_changes_before_the_server_runs_is_noticed() {
    let folder = folder();
    make("first.early.test").write_pem(folder.path(), "site");
    let second = make("second.early.test");
    let source = CertificateSource::pem(folder.path().join("site.pem"), folder.path().join("site.key"));
    let mut options = ServerOptions::default();
    options.listen(Ipv4Addr::LOCALHOST, 0).use_https(source);
    let server = stannel::Server::new(options, hello).bind().unwrap();
    second.write_pem(folder.path(), "site");
    let handle = server.handle();
    let address = handle.addresses()[0].socket_addrs()[0];
    let running = std::thread::spawn(move || server.run().unwrap());
    wait_until("the new certificate", || {
        shown(address, "site.test") == second.certificate.der().to_vec()
    });
    handle.shutdown();
    running.join().unwrap();
}

#[test]
fn swaps_under_load_cost_no_handshake_and_no_connection() {
    const CLIENTS: usize = 64;
    let folder = folder();
    make("first.load.test").write_pem(folder.path(), "site");
    let server = serve(folder, "site.pem", "site.key");
    let address = addresses(&server)[0];
    let is_over = Arc::new(AtomicBool::new(false));
    let (requests, handshakes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut threads: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (is_over, requests) = (Arc::clone(&is_over), Arc::clone(&requests));
            let mut connection = kept(address);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    use_again(&mut connection);
                    requests.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    threads.extend((0..2).map(|_| {
        let (is_over, handshakes) = (Arc::clone(&is_over), Arc::clone(&handshakes));
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                drop(kept(address));
                handshakes.fetch_add(1, Ordering::Relaxed);
            }
        })
    }));
    for _ in 0..10 {
        let made = make("next.load.test");
        let begin = Instant::now();
        ways::rename_over(server.folder(), &made, 0);
        wait_for_swap(&server);
        eprintln!("under load: taken up after {:?}", begin.elapsed());
        assert!(shows(&server, &made));
        let before = (requests.load(Ordering::Relaxed), handshakes.load(Ordering::Relaxed));
        wait_until("the clients to go on", || {
            requests.load(Ordering::Relaxed) > before.0 + CLIENTS && handshakes.load(Ordering::Relaxed) > before.1
        });
    }
    is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("nobody noticed anything");
    }
    let metrics = server.handle().metrics().total();
    assert!(metrics.errors.is_empty(), "{:?}", metrics.errors);
}
