//! Certificate files as .NET writes them, good and bad: `tests/fixtures/dotnet/files.json` says what each is and what
//! must come of it.

use serde_json::Value;
use stannel::certificate::{CertificateStores, Unfit, X509Certificate};
use stannel::{Certificate, CertificateError, CertificateSource, StoreLocation};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet"))
}

fn table(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(fixtures().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn load(file: &str, key_file: Option<&str>, password: Option<&str>) -> Result<Certificate, CertificateError> {
    let key_file = key_file.map(|key| fixtures().join(key));
    Certificate::from_file(fixtures().join(file), key_file.as_deref(), password)
}

fn kind(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Unreadable { .. } => "unreadable",
        CertificateError::Malformed { .. } => "malformed",
        CertificateError::BadPassword { .. } => "bad-password",
        CertificateError::InvalidKey { .. } => "invalid-key",
        CertificateError::NoPrivateKey { .. } => "no-private-key",
        CertificateError::SeveralKeys { .. } => "several-keys",
        CertificateError::Unsupported { .. } => "unsupported",
        _ => "another",
    }
}

fn subjects(chain: &[X509Certificate]) -> Vec<String> {
    chain.iter().map(|it| it.subject().to_string()).collect()
}

/// What is sent behind the leaf: all that belongs to the chain but its root.
fn expected_chain(case: &Value) -> Vec<String> {
    let chain = case["chain"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = chain.iter().skip(1).map(|it| it.as_str().unwrap().to_owned());
    texts.filter(|it| !it.starts_with("CN=Test Root")).collect()
}

fn check(case: &Value) -> Result<(), String> {
    let result = load(
        case["file"].as_str().unwrap(),
        case["key_file"].as_str(),
        case["password"].as_str(),
    );
    match (case["error"].as_str(), result) {
        (None, Ok(certificate)) => {
            let leaf = certificate.leaf();
            let found = (
                leaf.thumbprint(),
                leaf.subject().to_string(),
                subjects(certificate.chain()),
            );
            let wanted = (
                case["thumbprint"].as_str().unwrap(),
                case["subject"].as_str().unwrap().to_owned(),
                expected_chain(case),
            );
            if found == wanted {
                Ok(())
            } else {
                Err(format!("{found:?} instead of {wanted:?}"))
            }
        }
        (Some(wanted), Err(error)) => {
            let text = error.to_string();
            let file = case["key_file"].as_str().filter(|_| wanted == "invalid-key");
            let file = file.or(case["file"].as_str()).unwrap();
            if kind(&error) != wanted {
                Err(format!("{error:?} instead of {wanted}"))
            } else if !text.contains(file) {
                Err(format!("the message does not name {file}: {text}"))
            } else {
                Ok(())
            }
        }
        (None, Err(error)) => Err(error.to_string()),
        (Some(wanted), Ok(found)) => Err(format!("{found:?} instead of {wanted}")),
    }
}

#[test]
fn every_file() {
    let cases = table("files.json");
    assert!(cases.len() > 90, "{} cases", cases.len());
    let failures: Vec<String> = cases
        .iter()
        // ring cannot sign with this curve; see below.
        .filter(|case| cfg!(feature = "aws-lc-rs") || !case["subject"].to_string().contains("p521"))
        .filter_map(|case| {
            let why = check(case).err()?;
            Some(format!("{} {}: {why}", case["file"], case["key_file"]))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
#[cfg(not(feature = "aws-lc-rs"))]
fn ring_says_what_it_cannot_do() {
    for (file, key) in [("pfx/key-p521.pfx", None), ("pem/p521.crt", Some("pem/p521.pkcs8.key"))] {
        let error = load(file, key, key.is_none().then_some("geheim-1")).unwrap_err();
        assert_eq!(kind(&error), "unsupported", "{error}");
        assert!(
            error.to_string().contains("ring cannot sign with ECDSA P-521 keys"),
            "{error}"
        );
    }
}

/// 1 July 2027, when the real development certificates are valid, too.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_814_400_000)
}

fn stores() -> CertificateStores {
    CertificateStores::in_home(fixtures().join("stores/home"))
}

#[test]
fn every_choice_from_a_store() {
    let files = stores();
    let by_subject = |case: &Value| {
        let location = case["location"].as_str().unwrap_or("CurrentUser");
        let location = StoreLocation::from_text(location)?;
        let source = CertificateSource::Store {
            subject: case["subject"].as_str().unwrap().to_owned(),
            store: case["store"].as_str().unwrap_or("My").to_owned(),
            location,
            allow_invalid: case["allow_invalid"].as_bool().unwrap(),
        };
        Some(Certificate::load(&source, &files, now()))
    };
    let (mut found, mut refused) = (0, 0);
    for case in table("stores/choices.json") {
        // In a configuration, an empty subject and an unknown location never come this far.
        let subject = case["subject"].as_str().unwrap();
        let Some(result) = by_subject(&case).filter(|_| !subject.is_empty()) else {
            continue;
        };
        match (case["chosen"].as_str(), result) {
            // Many have this text, and end at the same time.
            (Some(_), Ok(certificate)) if subject == "test" => {
                assert!(certificate.leaf().subject().contains("test"));
                found += 1;
            }
            (Some(file), Ok(certificate)) => {
                let thumbprint = file.trim_end_matches(".pfx");
                assert_eq!(certificate.leaf().thumbprint(), thumbprint, "{case}");
                let sent: Vec<_> = case["sent"].as_array().unwrap().iter().skip(1).cloned().collect();
                assert_eq!(subjects(certificate.chain()), sent, "{case}");
                found += 1;
            }
            (None, Err(error)) => {
                let expected = match case["error"].as_str().unwrap() {
                    "CryptographicException" => matches!(error, CertificateError::StoreUnavailable { .. }),
                    _ => matches!(error, CertificateError::NotInStore { .. }),
                };
                assert!(expected, "{case}: {error}");
                refused += 1;
            }
            (_, result) => panic!("{case}: {result:?}"),
        }
    }
    assert_eq!((found, refused), (73, 35));
}

#[test]
fn a_search_in_vain_tells_why_of_each_one() {
    let files = stores();
    let find = |subject: &str, allow_invalid| {
        let result = files.find(subject, StoreLocation::CurrentUser, "My", allow_invalid, now());
        result.unwrap_err().to_string()
    };
    let table = [
        (
            "expired.test",
            false,
            "CN=expired.test (3AEEE5E11D4A00CEAF25F04C085BCB8A89227FA2.pfx): it expired on 2021-01-01",
        ),
        ("future.test", false, "it is valid from 2099-01-01"),
        (
            "lost.test",
            false,
            "it is not trusted (nothing leads from its issuer to a trusted root)",
        ),
        (
            "clientonly.test",
            true,
            "its extended key usage leaves out server authentication",
        ),
        (
            "anyeku.test",
            true,
            "its extended key usage leaves out server authentication",
        ),
        ("nokey.test", true, "it has no private key"),
        (
            "absent.test",
            true,
            "none of its 35 certificates has that text in its subject",
        ),
        ("absent.test", true, "in the store CurrentUser/My ("),
        ("absent.test", true, "x509stores/my) with AllowInvalid true"),
    ];
    for (subject, allow_invalid, text) in table {
        let error = find(subject, allow_invalid);
        assert!(error.contains(text), "{subject}: {error}");
    }
    let empty = CertificateStores::in_home("/absent").find("a", StoreLocation::CurrentUser, "My", true, now());
    assert!(empty.unwrap_err().to_string().ends_with(": it is empty"));
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_only_as_a_root() {
    let pinned = stores()
        .find("pinned.test", StoreLocation::CurrentUser, "My", false, now())
        .unwrap();
    assert_eq!(pinned.leaf().subject().to_string(), "CN=pinned.test");

    // Alone in a home whose stores have no roots.
    let lone = tempfile::tempdir().unwrap();
    let my = lone.path().join(".dotnet/corefx/cryptography/x509stores/my");
    std::fs::create_dir_all(&my).unwrap();
    let from = fixtures().join("stores/home/.dotnet/corefx/cryptography/x509stores/my");
    let name = "331697F71C34735573A69241137AA4430D073DBB.pfx";
    std::fs::copy(from.join(name), my.join(name)).unwrap();
    let stores = CertificateStores::in_home(lone.path());
    let find = |allow| stores.find("self.test", StoreLocation::CurrentUser, "My", allow, now());
    let error = find(false).unwrap_err().to_string();
    assert!(
        error.contains("it signed itself and is not among the trusted roots"),
        "{error}"
    );
    assert!(find(true).is_ok());
}

#[test]
fn dates_are_looked_at_when_asked_about() {
    let files = stores();
    let find = |now| files.find("exact.test", StoreLocation::CurrentUser, "My", false, now);
    assert!(find(now()).is_ok());
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800 + 86_400 * 400);
    let error = find(later).unwrap_err().to_string();
    assert!(error.contains("it expired on 2080-01-01"), "{error}");
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    let error = find(before).unwrap_err().to_string();
    assert!(error.contains("it is valid from 2020-01-01T00:00:00Z on"), "{error}");
}

#[test]
fn files_of_a_store() {
    let home = tempfile::tempdir().unwrap();
    let my = home.path().join(".dotnet/corefx/cryptography/x509stores/my");
    std::fs::create_dir_all(&my).unwrap();
    let put = |from: &str, to: &str| std::fs::copy(fixtures().join(from), my.join(to)).unwrap();
    put("pfx/public-only-null.pfx", "A.pfx");
    put("pfx/export-null.pfx", "any stem.1.pfx");
    put("pfx/export12-aes-null.pfx", "the same again.pfx");
    put("pfx/key-p256.pfx", "with a password.pfx");
    put("bad/truncated.pfx", "truncated.pfx");
    put("pfx/export-empty.pfx", "large letters.PFX");
    std::fs::create_dir(my.join("folder.pfx")).unwrap();

    let store = CertificateStores::in_home(home.path())
        .read(StoreLocation::CurrentUser, "MY")
        .unwrap();
    let [one] = store.certificates() else {
        panic!("{store:?}");
    };
    assert_eq!(one.path().file_name().unwrap(), "any stem.1.pfx");
    assert_eq!(one.leaf().thumbprint(), one.certificate().unwrap().leaf().thumbprint());
    let unreadable: Vec<_> = store.unreadable().iter().map(ToString::to_string).collect();
    assert_eq!(unreadable.len(), 3, "{unreadable:?}");
    for (line, text) in unreadable
        .iter()
        .zip(["it is not a file", "damaged", "needs a password"])
    {
        assert!(line.contains(text), "{line}");
    }
}

#[test]
fn what_the_machine_trusts() {
    // A home that has everything but the roots; a machine that has them.
    let home = tempfile::tempdir().unwrap();
    let folder = ".dotnet/corefx/cryptography/x509stores";
    for store in ["my", "ca"] {
        std::fs::create_dir_all(home.path().join(folder).join(store)).unwrap();
        for entry in std::fs::read_dir(fixtures().join("stores/home").join(folder).join(store)).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(
                &from,
                home.path().join(folder).join(store).join(from.file_name().unwrap()),
            )
            .unwrap();
        }
    }
    let roots = stores().read(StoreLocation::CurrentUser, "Root").unwrap();
    let root = roots
        .certificates()
        .iter()
        .find(|it| it.leaf().subject().contains("Store Root"));
    let file = home.path().join("root.der");
    std::fs::write(&file, root.unwrap().leaf().der()).unwrap();

    let without = CertificateStores::in_home(home.path());
    let with = without.clone().trusting(&file);
    let find = |stores: &CertificateStores| stores.find("deep.test", StoreLocation::CurrentUser, "My", false, now());
    assert!(matches!(find(&without), Err(CertificateError::NotInStore { .. })));
    let sent = find(&with).unwrap();
    assert_eq!(subjects(sent.chain()), ["CN=Store Intermediate shared"]);

    let machine = |store: &str| with.find("Store Root", StoreLocation::LocalMachine, store, true, now());
    let error = machine("Root").unwrap_err().to_string();
    assert!(
        error.contains("CN=Store Root shared") && error.contains("it has no private key"),
        "{error}"
    );
    assert!(machine("CA").unwrap_err().to_string().ends_with(": it is empty"));
    let error = machine("My").unwrap_err().to_string();
    assert!(error.starts_with("cannot open the store LocalMachine/My: "), "{error}");
}

#[test]
fn names_of_stores_stay_in_their_folder() {
    for name in ["", ".", "..", "../my", "a/b", "a\\b"] {
        let error = stores().read(StoreLocation::CurrentUser, name).unwrap_err();
        assert!(matches!(error, CertificateError::StoreUnavailable { .. }), "{name}");
    }
}

#[test]
fn every_choice_of_a_development_certificate() {
    // What section 17 of the decisions changes: older versions count, and those without a key are passed over.
    let ours = [
        ("v0-only", "v0"),
        ("v3-only", "v3"),
        ("empty-marker", "m"),
        ("public-only-v6-and-v4", "v4"),
    ];
    let cases = table("dev-certs/select.json");
    assert_eq!(cases.len(), 15);
    for case in cases {
        let home = case["home"].as_str().unwrap();
        let stores = CertificateStores::in_home(fixtures().join("dev-certs").join(home));
        let result = Certificate::load(&CertificateSource::DevelopmentStore, &stores, now());
        let ours = ours
            .iter()
            .find(|(name, _)| home.ends_with(name))
            .map(|(_, chosen)| *chosen);
        match (ours.or(case["kestrel"].as_str()), result) {
            (Some(name), Ok(certificate)) => {
                let chosen = &case["certificates"][name];
                let thumbprint = chosen["file"].as_str().unwrap().trim_end_matches(".pfx");
                assert_eq!(certificate.leaf().thumbprint(), thumbprint, "{home}");
                let version = chosen["version"].as_u64();
                let found = certificate.leaf().development_version().map(u64::from);
                assert!(version.is_none() || version == found, "{home}: {found:?}");
            }
            (None, Err(CertificateError::NoDevelopmentCertificate { place, .. })) => {
                assert!(place.contains(home), "{place}");
            }
            (wanted, result) => panic!("{home}: {result:?} instead of {wanted:?}"),
        }
    }
}

#[test]
fn the_development_certificate_of_the_tool() {
    let stores = CertificateStores::in_home(fixtures().join("dev-certs/home"));
    let certificate = Certificate::load(&CertificateSource::DevelopmentStore, &stores, now()).unwrap();
    let leaf = certificate.leaf();
    assert_eq!(leaf.thumbprint(), "B4ECA681A9DFB8F7BD4F909705E42FB905F57090");
    assert_eq!(leaf.development_version(), Some(6));
    let names = leaf.alternative_names().unwrap();
    assert!(
        names.contains(&"*.dev.localhost".to_owned()) && names.contains(&"::1".to_owned()),
        "{names:?}"
    );
    assert!(leaf.is_self_issued() && !leaf.is_authority() && certificate.chain().is_empty());

    let year = Duration::from_secs(366 * 86_400);
    let error = Certificate::load(&CertificateSource::DevelopmentStore, &stores, now() + year).unwrap_err();
    assert!(
        matches!(&error, CertificateError::NoDevelopmentCertificate { dropped, .. }
        if matches!(dropped[0].reason, Unfit::Expired { .. }))
    );
    assert!(error.to_string().contains("it expired on 2027-11-23"), "{error}");
}

#[test]
fn the_development_file() {
    let file = |name: &str, password: &str| {
        let source = CertificateSource::DevelopmentFile {
            path: fixtures().join(name),
            password: password.to_owned(),
        };
        Certificate::load(&source, &stores(), now() + Duration::from_secs(9 * 366 * 86_400))
    };
    // Nobody looks at the date.
    for (name, password) in [
        ("with-password", "geheim-1"),
        ("empty-password", ""),
        ("unicode-password", "pässwörd🔑"),
    ] {
        let certificate = file(&format!("dev-certs/exports/{name}.pfx"), password).unwrap();
        assert_eq!(certificate.leaf().development_version(), Some(6), "{name}");
    }
    assert_eq!(
        kind(&file("dev-certs/exports/with-password.pfx", "wrong").unwrap_err()),
        "bad-password"
    );
    assert_eq!(
        kind(&file("dev-certs/exports/absent.pfx", "").unwrap_err()),
        "unreadable"
    );
    let other = file("pfx/key-p256.pfx", "geheim-1").unwrap_err();
    assert!(
        matches!(other, CertificateError::NoDevelopmentCertificate { .. }),
        "{other}"
    );

    let path = CertificateStores::in_home("/home/a").development_file("App").unwrap();
    assert_eq!(path, Path::new("/home/a/.aspnet/https/App.pfx"));
}

#[test]
fn other_exports_of_the_development_certificate() {
    let exports = fixtures().join("dev-certs/exports");
    let pem = |name: &str, password: Option<&str>| {
        let key = exports.join(format!("{name}.key"));
        Certificate::from_pem_files(exports.join(format!("{name}.pem")), key, password)
    };
    let plain = pem("plain", None).unwrap();
    for (name, password) in [("encrypted", "geheim-1"), ("unicode", "pässwörd🔑")] {
        let thumbprint = pem(name, Some(password)).unwrap().leaf().thumbprint().to_owned();
        assert_eq!(thumbprint, plain.leaf().thumbprint());
        assert_eq!(kind(&pem(name, Some("wrong")).unwrap_err()), "bad-password");
        let error = pem(name, None).unwrap_err().to_string();
        assert!(error.contains("needs a password and none is given"), "{error}");
    }
    // A password that is not needed does no harm.
    assert!(pem("plain", Some("geheim-1")).is_ok() && pem("plain", Some("")).is_ok());
    for file in ["certificate.cer", "certificate.pem"] {
        assert_eq!(
            kind(&Certificate::from_file(exports.join(file), None, None).unwrap_err()),
            "no-private-key"
        );
    }
}

/// Kestrel looks there, too.
#[test]
fn the_key_of_a_file_without_one_may_be_in_the_store() {
    let public = CertificateSource::File {
        path: fixtures().join("dev-certs/exports/certificate.cer"),
        key_path: None,
        password: None,
    };
    let with = CertificateStores::in_home(fixtures().join("dev-certs/home"));
    let certificate = Certificate::load(&public, &with, now()).unwrap();
    assert_eq!(
        certificate.leaf().thumbprint(),
        "B4ECA681A9DFB8F7BD4F909705E42FB905F57090"
    );
    let error = Certificate::load(&public, &stores(), now()).unwrap_err();
    assert_eq!(kind(&error), "no-private-key");
}

#[test]
fn usage_is_checked_on_loading() {
    let error = stores()
        .find("clientonly.test", StoreLocation::CurrentUser, "My", true, now())
        .unwrap_err();
    assert!(matches!(error, CertificateError::NotInStore { .. }));
    let my = "stores/home/.dotnet/corefx/cryptography/x509stores/my";
    let path = fixtures().join(my).join("3558843801C39B3D212D12E6E67D055029B36162.pfx");
    let certificate = Certificate::from_pfx_file(&path, None).unwrap();
    assert_eq!(certificate.leaf().extended_key_usage().unwrap(), ["1.3.6.1.5.5.7.3.2"]);
    let source = CertificateSource::File {
        path,
        key_path: None,
        password: None,
    };
    let error = Certificate::load(&source, &stores(), now()).unwrap_err();
    assert_eq!(error, certificate.ensure_for_servers().unwrap_err());
    assert!(
        error.to_string().contains("3558843801C39B3D212D12E6E67D055029B36162"),
        "{error}"
    );
}
