//! Kinds `dev-cert-profile` and `dev-certs-tool`: what a development certificate looks like, and what the command does.

use super::{Case, Outcome, same};
use crate::home::{Ended, FIXTURES, Home, STORES, TRUST, files, mode};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use serde_json::{Value, json};
use stannel::certificate::{CertificateStores, X509Certificate, development};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};

pub(crate) fn profile(case: &Case) -> Outcome {
    let field = case.input["field"].as_str().unwrap_or_default();
    match case.input["version"].as_u64() {
        None | Some(6) => new_profile(case, field).into(),
        // Nothing about these has changed since.
        Some(5) if field == "key_identifiers" => new_profile(case, field).into(),
        Some(_) => Outcome::Skipped("it speaks of older development certificates, which are read and never made"),
    }
}

fn new_profile(case: &Case, field: &str) -> Result<(), String> {
    if let Some(value) = case.input["extension_value_hex"].as_str() {
        let version = marked_certificate(&bytes(value)?).development_version();
        return same("version", &json!(version), &case.expect["version"]);
    }
    let home = Home::with_certificate();
    if field == "store_file" {
        return store_file(&home, &case.expect);
    }
    let found = facts(&exported(&home), field)?;
    for (key, expected) in members(&case.expect) {
        same(key, &found[key], expected)?;
    }
    Ok(())
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

/// The file is where the case has it, opens with the password that the case has, and nobody else may read it.
fn store_file(home: &Home, expect: &Value) -> Result<(), String> {
    let thumbprint = home.thumbprint();
    let mut path = expect["path"].as_str().unwrap_or_default().to_owned();
    if let (Some(start), Some(end)) = (path.find('{'), path.rfind('}')) {
        path.replace_range(start..=end, &thumbprint);
    }
    let path = home.at(path.trim_start_matches("$HOME/").trim_start_matches("~/"));
    let certificate = stannel::Certificate::from_pfx_file(&path, expect["password"].as_str());
    let certificate = certificate.map_err(|error| error.to_string())?;
    same("thumbprint", &certificate.leaf().thumbprint(), &&*thumbprint)?;
    same(
        "mode",
        &octal(mode(&path)),
        &expect["mode"].as_str().map_or(octal(0o600), with_four_digits),
    )
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

fn with_four_digits(mode: &str) -> String {
    format!("{mode:0>4}")
}

/// What the certificate says in a field, under the names that the cases use.
fn facts(certificate: &X509Certificate, field: &str) -> Result<Value, String> {
    let parsed = x509_cert::Certificate::from_der(certificate.der()).map_err(|error| error.to_string())?;
    let tbs = parsed.tbs_certificate();
    let extensions = tbs.extensions().ok_or("it has no extensions")?;
    let content = |id: &str| {
        let found = extensions.iter().find(|it| it.extn_id.to_string() == id);
        found.map(|it| (it.critical, it.extn_value.as_bytes()))
    };
    let critical = |id: &str| content(id).map(|(critical, _)| critical);
    let read = |id: &str| content(id).map(|(_, bytes)| bytes).unwrap_or_default();
    Ok(match field {
        "subject" | "issuer" => json!({
            "value": certificate.subject().to_string(),
            "self_signed": certificate.is_self_issued(),
        }),
        "basic_constraints" => {
            let constraints = BasicConstraints::from_der(read("2.5.29.19")).map_err(|error| error.to_string())?;
            json!({
                "critical": critical("2.5.29.19"),
                "ca": constraints.ca,
                "path_length": constraints.path_len_constraint,
            })
        }
        "key_usage" => {
            let usages = KeyUsage::from_der(read("2.5.29.15")).map_err(|error| error.to_string())?;
            let names = [
                (KeyUsages::DigitalSignature, "digitalSignature"),
                (KeyUsages::NonRepudiation, "nonRepudiation"),
                (KeyUsages::KeyEncipherment, "keyEncipherment"),
                (KeyUsages::DataEncipherment, "dataEncipherment"),
                (KeyUsages::KeyAgreement, "keyAgreement"),
                (KeyUsages::KeyCertSign, "keyCertSign"),
                (KeyUsages::CRLSign, "cRLSign"),
            ];
            let names: Vec<_> = names
                .iter()
                .filter(|(bit, _)| usages.0.contains(*bit))
                .map(|(_, name)| name)
                .collect();
            json!({"critical": critical("2.5.29.15"), "values": names})
        }
        "extended_key_usage" => {
            let usages = ExtendedKeyUsage::from_der(read("2.5.29.37")).map_err(|error| error.to_string())?;
            let usages: Vec<String> = usages.0.iter().map(ToString::to_string).collect();
            json!({"critical": critical("2.5.29.37"), "values": usages})
        }
        "subject_alternative_name" => {
            let names = certificate.alternative_names().unwrap_or_default();
            let (ip, dns): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.parse::<std::net::IpAddr>().is_ok());
            json!({"critical": critical("2.5.29.17"), "dns": dns, "ip": ip})
        }
        "marker" => json!({
            "oid": MARKER,
            "critical": critical(MARKER),
            "version": certificate.development_version(),
        }),
        "validity" => {
            let lifetime = certificate.not_after().duration_since(certificate.not_before());
            json!({"days": lifetime.map_err(|error| error.to_string())?.as_secs() / 86_400})
        }
        "key_identifiers" => {
            let subject = SubjectKeyIdentifier::from_der(read("2.5.29.14")).ok();
            let authority = AuthorityKeyIdentifier::from_der(read("2.5.29.35")).ok();
            json!({
                "subject_key_identifier": subject.is_some(),
                "authority_key_identifier": authority.is_some_and(|it| it.key_identifier.is_some()),
                "length": subject.map(|it| it.0.as_bytes().len()),
            })
        }
        "serial" => {
            let serial = tbs.serial_number().to_der().map_err(|error| error.to_string())?;
            let value = &serial[2..];
            let digits = value.iter().skip_while(|byte| **byte == 0).count();
            json!({"positive": value[0] < 0x80 && digits > 0, "max_bits": if digits <= 8 { 64 } else { digits * 8 }})
        }
        "extension_order" => {
            let order: Vec<String> = extensions.iter().map(|it| it.extn_id.to_string()).collect();
            json!({"oids": order})
        }
        "key" | "public_key" => {
            let info = tbs.subject_public_key_info();
            let is_rsa = info.algorithm.oid.to_string() == "1.2.840.113549.1.1.1";
            // RSA's key is a sequence of modulus and exponent; 2048 bits make 270 bytes of that.
            let bits = if info.subject_public_key.raw_bytes().len() == 270 {
                2048
            } else {
                0
            };
            json!({"algorithm": if is_rsa { "RSA" } else { "EC" }, "bits": bits, "size": bits})
        }
        "signature" | "signature_algorithm" => {
            let algorithm = parsed.signature_algorithm().oid.to_string();
            json!({"oid": algorithm, "hash": "SHA256"})
        }
        "version" => json!({"x509": tbs.version() as u8 + 1}),
        _ => return Err(format!("unknown field {field}")),
    })
}

fn exported(home: &Home) -> X509Certificate {
    home.done(&["https", "-ep", "exported.cer"]);
    X509Certificate::read_all(home.at("exported.cer")).unwrap().remove(0)
}

/// The first certificate of the fixtures that fits: its home and its file.
fn fixture(fits: impl Fn(&Value) -> bool) -> Option<(String, String)> {
    let table = fs::read_to_string(format!("{FIXTURES}/select.json")).expect("the fixtures are there");
    let table: Vec<Value> = serde_json::from_str(&table).expect("the fixtures are JSON");
    table.iter().find_map(|row| {
        let certificates = row["certificates"].as_object()?;
        let found = certificates.values().find(|it| fits(it))?;
        Some((row["home"].as_str()?.to_owned(), found["file"].as_str()?.to_owned()))
    })
}

fn marked_certificate(value: &[u8]) -> X509Certificate {
    let id: Vec<u64> = MARKER.split('.').map(|part| part.parse().unwrap()).collect();
    let mut parameters = CertificateParams::default();
    parameters.custom_extensions = vec![CustomExtension::from_oid_content(&id, value.to_vec())];
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("marked.der");
    fs::write(&file, parameters.self_signed(&key).unwrap().der()).unwrap();
    X509Certificate::read_all(file).unwrap().remove(0)
}

fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    let digits = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    digits
        .map(|pair| u8::from_str_radix(pair, 16).map_err(|error| format!("{hex}: {error}")))
        .collect()
}

const MARKER: &str = "1.3.6.1.4.1.311.84.1.1";

/// Runs the real command in a home where everything is as the case says.
pub(crate) fn tool(case: &Case) -> Result<(), String> {
    let home = home(case)?;
    let before = home.stored("my");
    let arguments: Vec<String> = case.input["args"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| match it.as_str().unwrap_or_default() {
            // The password of the other certificate's file.
            "x" if case.input["state"].as_str().is_some_and(|it| it.contains("some other")) => "geheim-1",
            argument => argument,
        })
        // Files of a case have this test's own folder.
        .map(|it| {
            it.strip_prefix("/tmp/")
                .map_or(it.to_owned(), |name| home.at(name).display().to_string())
        })
        .collect();
    let ended = home.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let after = home.stored("my");
    for (key, expected) in members(&case.expect) {
        let found = match key {
            "exit" => json!(ended.code),
            "created" => json!(after.difference(&before).next().is_some()),
            "removed" => json!(before.difference(&after).next().is_some()),
            "stdout" => json!(ended.out.trim_end()),
            "stderr" => json!(ended.err.trim_end()),
            "mode" => {
                let expected = expected.as_str().map(with_four_digits);
                same(key, &Some(octal(mode(&written(&home)?))), &expected)?;
                continue;
            }
            "files" => {
                for file in expected.as_array().into_iter().flatten() {
                    check_file(&home, file.as_str().unwrap_or_default(), password(&arguments))?;
                }
                continue;
            }
            "fields" => fields(&ended)?,
            _ => return Err(format!("unknown expectation {key}")),
        };
        same(key, &found, expected).map_err(|why| format!("{why} ({ended:?})"))?;
    }
    Ok(())
}

/// A home as the words of the case have it.
fn home(case: &Case) -> Result<Home, String> {
    let state = case.input["state"].as_str().unwrap_or_default();
    let has = |words: &str| state.contains(words);
    let install = |home: &Home, fits: &dyn Fn(&Value) -> bool| {
        let (name, file) = fixture(fits).ok_or_else(|| format!("no fixture for {state:?}"))?;
        home.install(&format!("{name}/{STORES}/my/{file}"), "my");
        Ok::<_, String>(())
    };
    let mut home = Home::new();
    if has("not writable") {
        let my = home.at(STORES).join("my");
        fs::create_dir_all(&my).unwrap();
        fs::set_permissions(my, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    } else if state.starts_with("valid") {
        home = Home::with_certificate();
    } else if let Some(version) = state
        .strip_prefix("version ")
        .and_then(|it| it.split(' ').next()?.parse::<u64>().ok())
    {
        install(&home, &|it| it["version"] == version)?;
    } else if has("CN=dev.test") {
        install(&home, &|it| it["subject"] == "CN=dev.test")?;
    } else if has("without marker") {
        let (name, file) = ("select/unmarked", "FDA9A6AA74DB78A699AB571BFBE7062BF6A1652E.pfx");
        home.install(&format!("{name}/{STORES}/my/{file}"), "my");
    } else if has("expired") {
        let (name, file) = (
            "select/expired-v6-and-v5",
            "2D800E8BD3520E38B76A94690FCBC17959BB2219.pfx",
        );
        home.install(&format!("{name}/{STORES}/my/{file}"), "my");
    } else if !state.starts_with("none") {
        return Err(format!("no home can be made for {state:?}"));
    }
    if has("trusted") && !has("not trusted") {
        home.done(&["https", "--trust"]);
    }
    if has("SSL_CERT_DIR names the trust folder") || (has("trusted") && !has("SSL_CERT_DIR") && !has("not trusted")) {
        let folder = home.at(TRUST);
        home.set("SSL_CERT_DIR", folder);
    }
    if has("exists already") {
        fs::write(home.at("dc.pfx"), "something else").unwrap();
    }
    if has("browser database") {
        fs::create_dir_all(home.at(".pki/nssdb")).unwrap();
    }
    if has("f.pfx") && !has("missing") && !has("absent") {
        if has("another password") {
            home.done(&["https", "-ep", "f.pfx", "-p", "another"]);
        } else if has("some other certificate") {
            let other = Path::new(FIXTURES).with_file_name("pfx/export-password.pfx");
            fs::copy(other, home.at("f.pfx")).unwrap();
        } else if has("public part") {
            let form = if has("PEM") { "Pem" } else { "Pfx" };
            home.done(&["https", "-ep", "f.pfx", "--format", form]);
        } else if has("expired") {
            // A time whose certificates are no longer valid.
            export_elsewhere(&home, SystemTime::now() - Duration::from_secs(2 * 365 * 86_400));
        } else {
            export_elsewhere(&home, SystemTime::now());
        }
    }
    Ok(home)
}

/// Makes `f.pfx` in another home at this time.
fn export_elsewhere(home: &Home, now: SystemTime) {
    let other = Home::new();
    let file = home.at("f.pfx").into_os_string();
    let arguments = ["https".into(), "-ep".into(), file, "-p".into(), "x".into()];
    let stores = CertificateStores::in_home(other.at(""));
    let code = development::run(arguments, &stores, now, &mut Vec::new(), &mut Vec::new());
    assert_eq!(code, 0);
}

fn fields(ended: &Ended) -> Result<Value, String> {
    // Their order counts, which a map would lose.
    let names = ended
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("    \"")?.split_once("\":"));
    let parsed: Vec<Value> = serde_json::from_str(&ended.out).map_err(|error| error.to_string())?;
    let names: Vec<&str> = names.map(|(name, _)| name).collect();
    match parsed.first().and_then(Value::as_object) {
        Some(first) if first.len() == names.len() => Ok(json!(names)),
        _ => Err(format!("not one report: {}", ended.out)),
    }
}

/// What stands behind `-p`; nothing is the empty password.
fn password(arguments: &[String]) -> &str {
    let is_name = |it: &&String| *it == "-p" || *it == "--password";
    let behind = arguments.iter().skip_while(|it| !is_name(it)).nth(1);
    behind.map(String::as_str).unwrap_or_default()
}

/// The file that was exported.
fn written(home: &Home) -> Result<PathBuf, String> {
    let mut names = files(&home.at("")).into_iter().filter(|name| name.starts_with("dc"));
    names
        .next()
        .map(|name| home.at(&name))
        .ok_or_else(|| "nothing was exported".to_owned())
}

/// `/tmp/dc.cer (certificate only)`: the file, and what is to be in it.
fn check_file(home: &Home, expected: &str, password: &str) -> Result<(), String> {
    if let Some(what) = expected.strip_prefix("trust folder: ") {
        let names = files(&home.at(TRUST));
        let is_link = |name: &String| home.at(TRUST).join(name).is_symlink();
        let is_there = names.len() == 2 && names.iter().any(is_link) && names.iter().any(|it| it.ends_with(".pem"));
        return same(what, &is_there, &true);
    }
    let (name, what) = expected.split_once(" (").unwrap_or((expected, ""));
    let path = home.at(name.strip_prefix("/tmp/").unwrap_or(name));
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let own = home.thumbprint();
    let is_certificate = || X509Certificate::read_all(&path).is_ok_and(|all| all[0].thumbprint() == own);
    let opens = || {
        let certificate = stannel::Certificate::from_pfx_file(&path, Some(password));
        certificate.is_ok_and(|it| it.leaf().thumbprint() == own)
    };
    let is_right = match what.trim_end_matches(')') {
        what if what.is_empty() || what.starts_with("certificate only") => {
            !text.contains("PRIVATE KEY") && is_certificate()
        }
        "PKCS#8, not encrypted" => text.starts_with("-----BEGIN PRIVATE KEY-----\n"),
        what if what.starts_with("PKCS#8, encrypted") => text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        what if what.starts_with("PKCS#12") => opens(),
        what => return Err(format!("unknown content {what:?}")),
    };
    match is_right {
        true => Ok(()),
        false => Err(format!("{expected}: it holds {}", text.escape_debug())),
    }
}
