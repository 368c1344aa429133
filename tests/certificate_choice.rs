//! Which certificate an endpoint gets, and what is told of it.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/logs.rs"]
mod logs;

use certificates::{Home, Made, make, make_development, make_with};
use log::Level;
use stannel::{CertificateSource, Configuration, ConfigurationError, EndpointPlan, ServerOptions, SniOptions};
use std::fs;
use std::path::PathBuf;
use std::sync::Once;
use tempfile::TempDir;

/// A content root, in which `NAME.pem` and `NAME.key` are, and a home directory.
struct Site {
    root: TempDir,
    home: Home,
}

impl Site {
    fn new(names: &[&str]) -> Self {
        static LOGS: Once = Once::new();
        LOGS.call_once(logs::install);
        let root = tempfile::tempdir().unwrap();
        for name in names {
            make(&format!("{name}.test")).write_pem(root.path(), name);
        }
        Self {
            root,
            home: Home::new(),
        }
    }

    fn source(&self, name: &str) -> CertificateSource {
        let file = |end| self.root.path().join(format!("{name}.{end}"));
        CertificateSource::pem(file("pem"), file("key"))
    }

    /// The file in which a container finds the development certificate.
    fn development_file(&self) -> PathBuf {
        self.home.development_file("Shop")
    }

    fn write_development_file(&self, made: &Made, password: &str) {
        fs::write(self.development_file(), made.pfx(Some(password))).unwrap();
    }

    /// The options that this text of `Kestrel` asks for.
    fn options(&self, kestrel: &str) -> ServerOptions {
        let builder = Configuration::builder()
            .set_base_path(self.root.path())
            .set("applicationName", "Shop");
        let text = format!("{{ \"Kestrel\": {{ {kestrel} }} }}");
        let configuration = builder.add_json_text("a.json", text).build().unwrap();
        let mut options = configuration.server_options().unwrap();
        options.certificate_stores = Some(self.home.stores());
        options
    }

    /// The certificate of the one endpoint that there is, and what is logged meanwhile.
    fn choose(&self, options: &ServerOptions) -> (Result<String, ConfigurationError>, Vec<(Level, String)>) {
        logs::take();
        let plan = options.plan();
        let lines = logs::take();
        (plan.map(|plan| self.shown(&plan)), lines)
    }

    fn shown(&self, plan: &EndpointPlan) -> String {
        let [endpoint] = plan.endpoints() else {
            panic!("{:?}", plan.endpoints());
        };
        let source = endpoint.https().unwrap().server_certificate.as_ref().unwrap();
        let text = source.to_string();
        let root = self.root.path().display().to_string();
        text.replace(&root, "ROOT")
            .replace(&self.home.path().display().to_string(), "HOME")
    }
}

const ENDPOINT: &str = r#""Endpoints": { "E": { "Url": "https://*:5001" } }"#;
const OWN: &str =
    r#""Endpoints": { "E": { "Url": "https://*:5001", "Certificate": { "Path": "own.pem", "KeyPath": "own.key" } } }"#;
const DEFAULT: &str = r#""Default": { "Path": "default.pem", "KeyPath": "default.key" }"#;
const DEVELOPMENT: &str = r#""Development": { "Password": "1234" }"#;
const STORE: &str = "development certificate in the store CurrentUser/My";
const FILE: &str = "development certificate in HOME/.aspnet/https/Shop.pfx";

#[test]
fn the_first_that_exists() {
    let site = Site::new(&["callback", "own", "shared", "default"]);
    site.home.store_development();
    site.write_development_file(&make_development("localhost", 6), "1234");
    let certificates = |nodes: &[&str]| format!("\"Certificates\": {{ {} }}", nodes.join(", "));
    let all = certificates(&[DEFAULT, DEVELOPMENT]);
    let pem = |name: &str| format!("file ROOT/{name}.pem with key ROOT/{name}.key");
    let shared = |options: &mut ServerOptions| {
        let shared = site.source("shared");
        options.configure_https_defaults(move |https| https.server_certificate = Some(shared.clone()));
    };

    let mut options = site.options(&format!("{OWN}, {all}"));
    shared(&mut options);
    let callback = site.source("callback");
    options.loader_mut().unwrap().endpoint("E", move |endpoint| {
        endpoint.https_options().unwrap().server_certificate = Some(callback.clone());
    });
    assert_eq!(site.choose(&options).0.unwrap(), pem("callback"));

    let mut options = site.options(&format!("{OWN}, {all}"));
    shared(&mut options);
    assert_eq!(site.choose(&options).0.unwrap(), pem("own"));

    let mut options = site.options(&format!("{ENDPOINT}, {all}"));
    shared(&mut options);
    assert_eq!(site.choose(&options).0.unwrap(), pem("shared"));

    for (nodes, expected) in [
        (&[DEFAULT, DEVELOPMENT][..], &*pem("default")),
        (&[DEVELOPMENT], FILE),
        (&[], STORE),
        // A default one that names nothing stands in the way of the file.
        (&[r#""Default": {}"#, DEVELOPMENT], STORE),
        (&[r#""Default": { "Password": "x" }"#, DEVELOPMENT], STORE),
        (&[r#""Development": { "Password": "1234", "Path": "x.pfx" }"#], STORE),
        (
            &[r#""Other": { "Path": "default.pem", "KeyPath": "default.key" }"#],
            STORE,
        ),
    ] {
        let options = site.options(&format!("{ENDPOINT}, {}", certificates(nodes)));
        assert_eq!(site.choose(&options).0.unwrap(), expected, "{nodes:?}");
    }
}

/// Nobody is kept from starting by a file that would not do; the store is asked instead.
#[test]
fn the_file_of_a_container() {
    let site = Site::new(&[]);
    site.home.store_development();
    let with = |password: &str| {
        let node = format!("\"Certificates\": {{ \"Development\": {{ \"Password\": \"{password}\" }} }}");
        site.choose(&site.options(&format!("{ENDPOINT}, {node}")))
    };
    let told = |lines: &[(Level, String)], level, part: &str| {
        let found = lines.iter().find(|(_, line)| line.contains(part));
        assert_eq!(found.map(|(level, _)| *level), Some(level), "{part} in {lines:?}");
    };

    let (chosen, lines) = with("1234");
    assert_eq!(chosen.unwrap(), STORE);
    told(&lines, Level::Debug, "Shop.pfx: there is no such file");

    site.write_development_file(&make_development("localhost", 0), "1234");
    let (chosen, lines) = with("wrong");
    assert_eq!(chosen.unwrap(), STORE);
    told(&lines, Level::Debug, "the password does not open");
    let (chosen, lines) = with("1234");
    assert_eq!(chosen.unwrap(), FILE);
    assert!(lines.iter().all(|(level, _)| *level >= Level::Info), "{lines:?}");

    // What is for something else is passed over in silence.
    for other in [make("localhost"), make_development("other.test", 6)] {
        site.write_development_file(&other, "1234");
        let (chosen, lines) = with("1234");
        assert_eq!(chosen.unwrap(), STORE);
        assert_eq!(
            lines.iter().filter(|(_, line)| line.contains("Shop.pfx")).count(),
            0,
            "{lines:?}"
        );
    }

    let expired = make_with("localhost", |parameters| {
        parameters.custom_extensions = make_mark();
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    site.write_development_file(&expired, "");
    let (chosen, lines) = with("");
    assert_eq!(chosen.unwrap(), FILE);
    told(&lines, Level::Warn, "expired on 2021-01-01");
}

fn make_mark() -> Vec<rcgen::CustomExtension> {
    vec![rcgen::CustomExtension::from_oid_content(
        &[1, 3, 6, 1, 4, 1, 311, 84, 1, 1],
        vec![6],
    )]
}

/// The default certificate counts for code only if it was there before the call; see Kestrel 8.
#[test]
fn code_sees_what_was_configured_before() {
    let site = Site::new(&["default"]);
    site.home.store_development();
    let configured = site.options(&format!("\"Certificates\": {{ {DEFAULT} }}"));
    let section = configured.configuration().unwrap().section("Kestrel");
    let fresh = || {
        let mut options = ServerOptions::default();
        options.certificate_stores = Some(site.home.stores());
        options
    };
    let mut before = fresh();
    before.configure(section.clone());
    before.listen_any_ip(5001).use_https_with(|_| ());
    assert_eq!(
        site.choose(&before).0.unwrap(),
        "file ROOT/default.pem with key ROOT/default.key"
    );
    let mut after = fresh();
    after.listen_any_ip(5001).use_https_with(|_| ());
    after.configure(section);
    assert_eq!(site.choose(&after).0.unwrap(), STORE);
}

/// A file that is none, for whoever reads the store; a certificate whose first load is told.
#[test]
fn everything_is_read_once() {
    let site = Site::new(&[]);
    site.home.store_development();
    let garbage = site
        .home
        .path()
        .join(".dotnet/corefx/cryptography/x509stores/my/bad.pfx");
    fs::write(garbage, "garbage").unwrap();
    make_with("old.test", |parameters| parameters.subject_alt_names.clear()).write_pem(site.root.path(), "own");
    let mut options = site.options(OWN);
    for port in 5002..5005 {
        options.listen_any_ip(port).use_https_with(|_| ());
    }
    let own = site.source("own");
    options
        .listen_any_ip(5005)
        .use_https_with(|https| https.server_certificate = Some(own));
    logs::take();
    let plan = options.plan().unwrap();
    let lines = logs::take();
    let count = |part: &str| lines.iter().filter(|(_, line)| line.contains(part)).count();
    assert_eq!(plan.endpoints().len(), 5);
    assert_eq!(
        (count("bad.pfx"), count("no subject alternative name")),
        (1, 1),
        "{lines:?}"
    );
}

#[test]
fn host_names_have_their_own_or_that_of_the_endpoint() {
    let site = Site::new(&["a", "b"]);
    site.home.store_development();
    let entry = |pattern: &str, name: Option<&str>| {
        let mut entry = SniOptions::new(pattern);
        entry.certificate = name.map(|name| site.source(name));
        entry
    };
    let with = |entries: Vec<SniOptions>| {
        let mut options = site.options("");
        options.listen_any_ip(5001).use_https_with(|https| https.sni = entries);
        options.plan().unwrap().endpoints()[0]
            .https()
            .unwrap()
            .server_certificate
            .clone()
    };
    // Nobody would see the one of the endpoint.
    assert_eq!(with(vec![entry("a.test", Some("a")), entry("*", Some("b"))]), None);
    let found = with(vec![entry("a.test", Some("a")), entry("*", None)]);
    assert_eq!(found, Some(CertificateSource::DevelopmentStore));
}

#[test]
fn the_files_of_an_endpoint() {
    let site = Site::new(&["a", "default"]);
    let mut options = site.options(&format!("\"Certificates\": {{ {DEFAULT} }}"));
    options.listen_any_ip(5001).use_https_with(|https| {
        let mut a = SniOptions::new("a.test");
        // From the content root on, as the paths of the configuration.
        a.certificate = Some(CertificateSource::pem("a.pem", "a.key"));
        https.sni = vec![a, SniOptions::new("*")];
    });
    let plan = options.plan().unwrap();
    let files = ["a.key", "a.pem", "default.key", "default.pem"].map(|file| site.root.path().join(file));
    assert_eq!(plan.endpoints()[0].https_files(), files);
    let told: Vec<&str> = plan.notes().iter().map(|note| note.text()).collect();
    let place = "(Kestrel:Certificates:Default:Path in a.json:1:55)";
    assert!(told.iter().any(|text| text.ends_with(place)), "{told:?}");
}
