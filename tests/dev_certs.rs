//! `stannel dev-certs` as a program: what it leaves in a home directory, what it says, how it ends.
#![forbid(unsafe_code)]

#[path = "support/home.rs"]
mod home;

use home::{Ended, FIXTURES, Home, STORES, TRUST, files, mode, openssl};
use serde_json::Value;
use stannel::certificate::{CertificateStores, X509Certificate};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

#[test]
fn one_is_made_and_kept() {
    let home = Home::new();
    assert_eq!(home.run(&["https", "--check"]).code, Some(6));
    let out = home.done(&["https"]);
    let thumbprint = home.thumbprint();
    assert!(
        out.starts_with(&format!(
            "Made a development certificate: CN=localhost, {thumbprint}, until "
        )),
        "{out}"
    );
    let file = home.at(STORES).join(format!("my/{thumbprint}.pfx"));
    assert_eq!((mode(&file), mode(&home.at(STORES).join("my"))), (0o600, 0o755));
    let before = fs::read(&file).unwrap();

    let out = home.done(&["HTTPS"]);
    assert!(out.starts_with("A valid development certificate is there: "), "{out}");
    home.done(&["https", "--check"]);
    assert_eq!(home.done(&["https", "-q"]), "");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(files(&home.at(STORES).join("my")), [format!("{thumbprint}.pfx")]);

    let stores = CertificateStores::in_home(home.at(""));
    let certificate = stores.development_certificate(SystemTime::now()).unwrap();
    assert_eq!(certificate.leaf().thumbprint(), thumbprint);
}

/// Which certificates are taken, which spare a new one: as .NET's tool, but for what is meant to differ.
#[test]
fn certificates_that_are_there() {
    let table: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(format!("{FIXTURES}/select.json")).unwrap()).unwrap();
    assert_eq!(table.len(), 15);
    for row in table {
        let name = row["home"].as_str().unwrap();
        let home = Home::new();
        for certificate in row["certificates"].as_object().unwrap().values() {
            let file = certificate["file"].as_str().unwrap();
            home.install(&format!("{name}/{STORES}/my/{file}"), "my");
        }
        let (check, ensure) = match name.strip_prefix("select/").unwrap() {
            // Old ones serve as well.
            "v0-only" | "v3-only" | "empty-marker" => (0, "created"),
            // One without its key does not.
            "public-only-v6-and-v4" => (0, "created"),
            _ => (row["check_exit"].as_i64().unwrap(), row["ensure"].as_str().unwrap()),
        };
        let before = home.stored("my");
        let checked = home.run(&["https", "--check"]);
        assert_eq!(checked.code.map(i64::from), Some(check), "{name}: {checked:?}");
        assert_eq!(home.stored("my"), before, "{name}");
        home.done(&["https"]);
        let found = if home.stored("my") == before { "kept" } else { "created" };
        assert_eq!(found, ensure, "{name}");
        assert!(home.stored("my").is_superset(&before), "{name}: the others stay");
    }
}

/// A home as .NET's tool leaves it.
#[test]
fn what_dotnet_left_is_found_and_cleaned() {
    let thumbprint = "B4ECA681A9DFB8F7BD4F909705E42FB905F57090";
    let home = Home::new();
    for store in ["my", "root"] {
        home.install(&format!("home/{STORES}/{store}/{thumbprint}.pfx"), store);
    }
    let trust = home.at(TRUST);
    let name = format!("aspnetcore-localhost-{thumbprint}.pem");
    fs::create_dir_all(&trust).unwrap();
    fs::copy(format!("{FIXTURES}/home/{TRUST}/{name}"), trust.join(&name)).unwrap();
    std::os::unix::fs::symlink(&name, trust.join("ce275665.0")).unwrap();
    let others = "E432BA6F5DD53A99CB82DCBD576CA70EB51E96BF";
    home.install(&format!("select/other-subject/{STORES}/my/{others}.pfx"), "my");

    let out = home.done(&["https", "--clean"]);
    assert!(
        out.contains(thumbprint) && out.contains("OpenSSL   done") && out.contains(".NET      done"),
        "{out}"
    );
    assert_eq!(
        home.stored("my").into_iter().collect::<Vec<_>>(),
        [others],
        "of another subject"
    );
    assert!(home.stored("root").is_empty() && files(&trust).is_empty());
}

#[test]
fn arguments_that_make_no_sense() {
    let home = Home::with_certificate();
    let before = home.thumbprint();
    for line in [
        "https --clean --trust",
        "https --check -ep a.pfx",
        "https -ep a.pem --format Pem -p x -np",
        "https -np",
        "https -i f.pfx -p x",
        "https --clean -p x",
        "https --check-trust-machine-readable --trust",
    ] {
        let ended = home.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((ended.code, &*ended.out), (Some(255), ""), "{line}");
        assert!(
            ended
                .err
                .contains("What goes together:\n  stannel dev-certs https [--trust]\n"),
            "{line}"
        );
    }
    for line in [
        "https --Check",
        "https -ct",
        "https -ep",
        "https --check --check",
        "http",
        "https a",
    ] {
        let ended = home.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((ended.code, &*ended.err), (Some(255), ""), "{line}");
        assert_eq!(ended.out.lines().count(), 1, "{line}");
        assert!(
            ended.out.ends_with("; see stannel dev-certs https --help\n"),
            "{line}: {}",
            ended.out
        );
    }
    let ended = home.run(&["https", "--format", "der"]);
    assert_eq!((ended.code, &*ended.out), (Some(10), ""));
    assert!(ended.err.contains("der is none of the formats"), "{}", ended.err);
    for help in [&["--help"][..], &["https", "--help"], &[]] {
        assert!(home.done(help).contains("Usage: stannel dev-certs https [OPTIONS]"));
    }
    assert_eq!(home.thumbprint(), before);
}

#[test]
fn a_store_that_cannot_be_written() {
    let home = Home::new();
    let my = home.at(STORES).join("my");
    fs::create_dir_all(&my).unwrap();
    fs::set_permissions(&my, fs::Permissions::from_mode(0o500)).unwrap();
    let ended = home.run(&["https"]);
    assert_eq!((ended.code, &*ended.out), (Some(2), ""));
    assert!(
        ended.err.contains("is closed to its owner: chmod u+rwx"),
        "{}",
        ended.err
    );
    assert!(files(&my).is_empty());
    fs::set_permissions(&my, fs::Permissions::from_mode(0o700)).unwrap();

    // A store that is no folder.
    let home = Home::new();
    fs::create_dir_all(home.at(STORES)).unwrap();
    fs::write(home.at(STORES).join("my"), "").unwrap();
    assert_eq!(home.run(&["https"]).code, Some(2));
}

#[test]
fn exports_that_fail_say_so_and_write_nothing() {
    let home = Home::with_certificate();
    let before = files(&home.at(""));
    for (line, text) in [
        ("https -ep absent/dc.pfx -p x -q", "there is no such folder"),
        (
            "https -ep dc.key --format Pem -np",
            "the file of the key would have that name",
        ),
        ("https -ep programs", "it is there and no file"),
    ] {
        let ended = home.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((ended.code, &*ended.err), (Some(3), ""), "{line}");
        assert!(ended.out.contains(text), "{line}: {}", ended.out);
    }
    assert_eq!(files(&home.at("")), before);

    // The name is refused before a certificate is made for it.
    let home = Home::new();
    assert_eq!(
        home.run(&["https", "-ep", "dc.key", "--format", "pem", "-np"]).code,
        Some(3)
    );
    assert!(home.stored("my").is_empty());
}

#[test]
fn openssl_reads_what_is_exported() {
    let home = Home::new();
    for line in [
        "https -ep dc.pfx -p geheim-1",
        "https -ep empty.pfx -p=",
        "https -ep dc.cer",
        "https -ep dc.pem --format Pem -np",
        "https -ep closed.pem --format Pem -p geheim-1",
    ] {
        home.done(&line.split(' ').collect::<Vec<_>>());
    }
    let thumbprint = home.thumbprint();
    for file in [
        "dc.pfx",
        "empty.pfx",
        "dc.cer",
        "dc.pem",
        "dc.key",
        "closed.pem",
        "closed.key",
    ] {
        assert_eq!(mode(&home.at(file)), 0o600, "{file}");
    }
    let Some(info) = openssl(
        &home,
        &[
            "pkcs12",
            "-legacy",
            "-in",
            "dc.pfx",
            "-passin",
            "pass:geheim-1",
            "-nodes",
            "-info",
        ],
    ) else {
        return;
    };
    for part in [
        "MAC: sha1, Iteration 2000",
        "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2000",
        "BEGIN PRIVATE KEY",
    ] {
        assert!(info.contains(part), "{part} is missing in {info}");
    }
    openssl(
        &home,
        &["pkcs12", "-legacy", "-in", "empty.pfx", "-passin", "pass:", "-nodes"],
    );
    for (form, file) in [("DER", "dc.cer"), ("PEM", "dc.pem"), ("PEM", "closed.pem")] {
        let arguments = ["x509", "-inform", form, "-in", file, "-noout", "-fingerprint", "-sha1"];
        let fingerprint = openssl(&home, &arguments).unwrap().replace(':', "");
        assert!(fingerprint.contains(&thumbprint), "{file}: {fingerprint}");
    }
    let public = |key: &str, password: &str| openssl(&home, &["pkey", "-in", key, "-passin", password, "-pubout"]);
    let of_certificate = openssl(&home, &["x509", "-in", "dc.pem", "-noout", "-pubkey"]);
    assert_eq!(public("dc.key", "pass:"), of_certificate);
    assert_eq!(public("closed.key", "pass:geheim-1"), of_certificate);
}

#[test]
fn a_bad_import_costs_nothing() {
    let home = Home::with_certificate();
    let before = home.thumbprint();
    home.done(&["https", "-ep", "own.pfx", "-p", "x"]);
    home.done(&["https", "-ep", "public.pem", "--format", "pem"]);
    let other = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/dotnet/pfx/export-password.pfx"
    );
    fs::copy(other, home.at("other.pfx")).unwrap();
    for (file, password, code) in [
        ("absent.pfx", "x", 12),
        ("own.pfx", "wrong", 13),
        ("programs", "x", 13),
        ("other.pfx", "geheim-1", 14),
        ("public.pem", "x", 14),
    ] {
        let ended = home.run(&["https", "--clean", "-i", file, "-p", password]);
        assert_eq!((ended.code, &*ended.out), (Some(code), ""), "{file}");
        assert!(ended.err.starts_with("stannel: "), "{file}");
        assert_eq!(home.thumbprint(), before, "{file}");
    }

    // Into another home, instead of what was there.
    let target = Home::with_certificate();
    let file = home.at("own.pfx");
    let out = target.done(&["https", "--clean", "-i", file.to_str().unwrap(), "-p", "x"]);
    assert!(
        out.contains("Removed CN=localhost") && out.contains(&format!("Imported CN=localhost, {before}")),
        "{out}"
    );
    assert_eq!(target.thumbprint(), before);
    target.done(&["https", "--check"]);
}

/// Half of a file is never seen, however often it is looked at.
#[test]
fn two_at_once_are_no_trouble() {
    let home = Home::new();
    let both: Vec<Ended> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| home.run(&["https", "--trust"])))
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for ended in both {
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    for name in files(&home.at(STORES).join("my")) {
        assert!(name.ends_with(".pfx"), "{name} was left behind");
    }
    home.done(&["https", "--check"]);
}

#[test]
fn the_exported_certificate_is_the_stored_one() {
    let home = Home::new();
    home.done(&["https", "-ep", "dc.cer"]);
    let exported = X509Certificate::read_all(home.at("dc.cer")).unwrap();
    assert_eq!(exported[0].thumbprint(), home.thumbprint());
}
