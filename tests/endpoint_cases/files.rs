//! The files that a case has: certificates in the content root, in a home directory, and in the user's store.

use crate::making::{Home, Made, encrypted, make, make_development};
use serde_json::{Value, json};
use stannel::CertificateSource;
use stannel::certificate::CertificateStores;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) struct Files {
    root: TempDir,
    home: Home,
    has_application_data: bool,
}

/// How cases begin the path of a file that is not in the content root.
const HOME: &str = "$HOME/";
const APPLICATION_DATA: &str = "$APPDATA/";

impl Files {
    /// Makes what a case's input says.
    pub(crate) fn of(input: &Value) -> Result<Self, String> {
        let mut files = Self {
            root: tempfile::tempdir().expect("a folder"),
            home: Home::new(),
            has_application_data: false,
        };
        for (path, file) in input["files"].as_object().into_iter().flatten() {
            files.has_application_data |= path.starts_with(APPLICATION_DATA);
            let path = files.real(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content(file)?).expect("a file");
        }
        let names = input["store"].as_array().into_iter().flatten();
        let stored: Vec<Made> = names.filter_map(Value::as_str).map(make).collect();
        for (index, made) in stored.iter().enumerate() {
            files.home.store(&index.to_string(), made);
        }
        files.home.trust(&stored.iter().collect::<Vec<_>>());
        if input["development_certificate"].as_bool() == Some(true) {
            files.home.store_development();
        }
        Ok(files)
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn stores(&self) -> CertificateStores {
        let stores = self.home.stores();
        match self.has_application_data {
            true => stores.with_application_data(self.application_data()),
            false => stores,
        }
    }

    fn application_data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn real(&self, path: &str) -> PathBuf {
        if let Some(rest) = path.strip_prefix(HOME) {
            self.home.path().join(rest)
        } else if let Some(rest) = path.strip_prefix(APPLICATION_DATA) {
            self.application_data().join(rest)
        } else {
            self.root().join(path)
        }
    }

    /// A path as cases have it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        let below = |folder: &Path, prefix: &str| {
            let rest = path.strip_prefix(folder).ok()?;
            Some(format!("{prefix}{}", rest.display()))
        };
        below(&self.application_data(), APPLICATION_DATA)
            .or_else(|| below(self.home.path(), HOME))
            .or_else(|| below(self.root(), ""))
            .unwrap_or_else(|| path.display().to_string())
    }

    /// What cases say of a certificate's source, as far as it is asked for.
    pub(crate) fn certificate(&self, source: Option<&CertificateSource>, asked: &Value) -> Value {
        let Some(source) = source else { return Value::Null };
        let all = match source {
            CertificateSource::File { path, .. } => json!({ "source": "file", "path": self.shown(path) }),
            CertificateSource::Store {
                subject,
                store,
                location,
                allow_invalid,
            } => json!({
                "source": "store", "subject": subject, "store": store,
                "location": location.to_string(), "allow_invalid": allow_invalid,
            }),
            CertificateSource::DevelopmentFile { path, .. } => {
                json!({ "source": "development-file", "path": self.shown(path) })
            }
            CertificateSource::DevelopmentStore => json!({ "source": "development-store" }),
            other => json!({ "source": other.to_string() }),
        };
        let is_asked = |key: &String| asked.get(key).is_some();
        let found = all.as_object().into_iter().flatten();
        found
            .filter(|(key, _)| is_asked(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// What a file holds.
fn content(file: &Value) -> Result<Vec<u8>, String> {
    let algorithm = ["certificate", "key", "public_key"]
        .into_iter()
        .find_map(|kind| Some((kind, file[kind].as_str()?)));
    let Some((kind, algorithm)) = algorithm else {
        let subject = file["subject"].as_str().unwrap_or("CN=file.test");
        let name = subject
            .strip_prefix("CN=")
            .ok_or_else(|| format!("the subject {subject}"))?;
        let made = match file["development_oid"].as_bool() {
            Some(true) => make_development(name, 6),
            _ => make(name),
        };
        return Ok(made.pfx(file["password"].as_str()));
    };
    let name = match algorithm.to_ascii_lowercase().as_str() {
        "rsa" => "rsa2048",
        "ec" | "ecdsa" => "p256",
        other => return Err(format!("the algorithm {other}")),
    };
    let fixture = |end: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem");
        fs::read_to_string(format!("{folder}/{name}.{end}")).expect("a fixture")
    };
    let key = || rcgen::KeyPair::from_pem(&fixture("pkcs8.key")).expect("a key");
    Ok(match (kind, file["password"].as_str()) {
        ("certificate", _) => fixture("crt"),
        ("public_key", _) => key().public_key_pem(),
        (_, None) => fixture("pkcs8.key"),
        (_, Some(password)) => encrypted(key().serialized_der(), password),
    }
    .into_bytes())
}
