//! `stannel dev-certs` as a program: what it leaves in a home directory, what it says, how it ends.
#![forbid(unsafe_code)]

#[path = "support/home.rs"]
mod home;
#[path = "support/logs.rs"]
mod logs;

use home::{Ended, FIXTURES, Home, STORES, TRUST, files, mode};
use serde_json::Value;
use stannel::certificate::{CertificateStores, X509Certificate};
use stannel::{Certificate, CertificateSource};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

/// What OpenSSL says of a file; `None` without OpenSSL.
fn openssl(home: &Home, arguments: &[&str]) -> Option<String> {
    let mut command = home.command("openssl");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let Ok(output) = command.args(arguments).output() else {
        println!("skipped: there is no openssl");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    Some(text)
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

#[test]
fn trusted_places_without_browsers() {
    let mut home = Home::with_certificate();
    let thumbprint = home.thumbprint();
    let untrusted = home.run(&["https", "--check", "--trust"]);
    assert_eq!((untrusted.code, &*untrusted.err), (Some(7), ""));
    assert_eq!(
        home.run(&["https", "--check", "--trust", "-q"]).out,
        "",
        "a failed check is silent"
    );

    let out = home.done(&["https", "--trust"]);
    let lines: Vec<&str> = out.lines().map(str::trim_start).collect();
    assert!(lines[0].starts_with("Trust was asked for"), "{out}");
    let folder = home.at(TRUST);
    for line in [
        format!(".NET      done       {}/root", home.at(STORES).display()),
        format!("OpenSSL   done       {}", folder.display()),
        "Chromium  not there".to_owned(),
        "Firefox   not there".to_owned(),
    ] {
        assert!(lines.contains(&&*line), "{line} is missing in {out}");
    }
    let advice = lines
        .last()
        .unwrap()
        .strip_prefix("export SSL_CERT_DIR=")
        .unwrap()
        .to_owned();
    assert_eq!(advice.split(':').next(), folder.to_str(), "ours is the first");
    assert_eq!(home.stored("root"), home.stored("my"));
    let name = format!("aspnetcore-localhost-{thumbprint}.pem");
    assert_eq!(files(&folder), [name.clone(), "ce275665.0".to_owned()]);
    assert_eq!((mode(&folder), mode(&folder.join(&name))), (0o700, 0o600));
    assert_eq!(fs::read_link(folder.join("ce275665.0")).unwrap(), Path::new(&name));

    let partly = home.run(&["https", "--check", "--trust"]);
    assert_eq!(partly.code, Some(7), "{partly:?}");
    home.set("SSL_CERT_DIR", &advice);
    home.done(&["https", "--check", "--trust"]);
    assert!(!home.done(&["https", "--trust"]).contains("export SSL_CERT_DIR"));
    if let Some(verified) = openssl(&home, &["verify", folder.join(&name).to_str().unwrap()]) {
        assert!(verified.contains(": OK"), "{verified}");
    }

    home.done(&["https", "--clean"]);
    assert!(home.stored("my").is_empty() && home.stored("root").is_empty());
    assert!(files(&folder).is_empty());
}

/// A system may have a certificate for localhost of its own; OpenSSL goes no further than the first folder with that name.
#[test]
fn the_order_of_the_folders() {
    let (mut home, system) = (Home::with_certificate(), Home::with_certificate());
    home.done(&["https", "--trust"]);
    system.done(&["https", "--trust"]);
    let (ours, theirs) = (home.at(TRUST), system.at(TRUST));
    let certificate = files(&ours).remove(0);
    for (folders, code) in [([&ours, &theirs], 0), ([&theirs, &ours], 7)] {
        home.set("SSL_CERT_DIR", std::env::join_paths(folders).unwrap());
        let checked = home.run(&["https", "--check", "--trust"]);
        assert_eq!(checked.code, Some(code), "{folders:?}: {checked:?}");
        let mut verify = home.command("openssl");
        verify.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        match verify.arg("verify").arg(ours.join(&certificate)).output() {
            Ok(output) => assert_eq!(
                output.status.success(),
                code == 0,
                "OpenSSL sees it otherwise: {output:?}"
            ),
            Err(_) => println!("skipped: there is no openssl"),
        }
    }
    let advice = home.done(&["https", "--trust"]);
    let expected = format!("export SSL_CERT_DIR={}:{}", ours.display(), theirs.display());
    assert!(advice.contains(&expected), "{advice}");
}

#[test]
fn a_place_that_fails() {
    let home = Home::with_certificate();
    let profile = home.at(".mozilla/firefox/abc.default-release");
    fs::create_dir_all(&profile).unwrap();
    for quiet in [&[][..], &["-q"]] {
        let ended = home.run(&[&["https", "--trust"], quiet].concat());
        assert_eq!((ended.code, &*ended.err), (Some(4), ""));
        let failed = format!(
            "  Firefox   failed     {}: the program certutil is missing; install",
            profile.display()
        );
        assert!(ended.out.contains(&failed), "{}", ended.out);
        assert_eq!(ended.out.contains("OpenSSL   done"), quiet.is_empty(), "{}", ended.out);
        assert!(
            ended.out.ends_with("One place does not trust the certificate.\n"),
            "{}",
            ended.out
        );
    }
    // What may still be trusted stays known.
    let ended = home.run(&["https", "--clean"]);
    assert_eq!(ended.code, Some(8), "{ended:?}");
    assert!(
        ended
            .err
            .contains("1 of 1 development certificates could not be removed"),
        "{}",
        ended.err
    );
    home.thumbprint();
    assert_eq!(home.stored("root").len(), 1);
}

#[test]
fn browsers_get_it_and_lose_it() {
    let mut home = Home::with_certificate();
    if !home.has_program("certutil") {
        return;
    }
    let nickname = format!("aspnetcore-localhost-{}", home.thumbprint());
    let list = |home: &Home, folder: &str| {
        let mut command = home.command(home.at("programs/certutil"));
        let output = command
            .args(["-L", "-d"])
            .arg(format!("sql:{folder}"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines().filter(|line| line.contains(&nickname));
        lines
            .next()
            .map(|line| line.rsplit(' ').find(|it| !it.is_empty()).unwrap().to_owned())
    };

    // One that was installed and never started.
    home.add_idle_program("chromium");
    home.done(&["https", "--trust"]);
    assert_eq!(list(&home, ".pki/nssdb").as_deref(), Some("P,,"));
    assert_eq!(
        (mode(&home.at(".pki/nssdb")), mode(&home.at(".pki/nssdb/cert9.db"))),
        (0o700, 0o600)
    );

    let all = [
        ".pki/nssdb",
        ".local/share/pki/nssdb",
        "snap/chromium/current/.pki/nssdb",
        ".mozilla/firefox/abc.default",
        ".mozilla/firefox/abc.default-release",
        ".mozilla/firefox/abc.dev-edition-default",
        "snap/firefox/common/.mozilla/firefox/abc.default",
    ];
    for folder in all {
        fs::create_dir_all(home.at(folder)).unwrap();
    }
    home.set("SSL_CERT_DIR", home.at(TRUST));
    let missing = home.run(&["https", "--check", "--trust"]);
    assert_eq!(missing.code, Some(7), "{missing:?}");
    assert!(
        missing.out.contains(".mozilla/firefox/abc.dev-edition-default"),
        "{}",
        missing.out
    );
    // Twice is no different from once.
    for _ in 0..2 {
        let out = home.done(&["https", "--trust"]);
        assert_eq!(out.matches("Chromium  done").count(), 3, "{out}");
        assert_eq!(out.matches("Firefox   done").count(), 4, "{out}");
    }
    for folder in all {
        assert_eq!(list(&home, folder).as_deref(), Some("P,,"), "{folder}");
    }
    home.done(&["https", "--check", "--trust"]);

    home.done(&["https", "--clean"]);
    for folder in all {
        assert_eq!(list(&home, folder), None, "{folder}");
    }

    // Only where it was told to look.
    home.set("DOTNET_DEV_CERTS_NSSDB_PATHS", home.at(all[3]));
    home.done(&["https"]);
    let nickname = format!("aspnetcore-localhost-{}", home.thumbprint());
    let out = home.done(&["https", "--trust"]);
    assert_eq!(out.matches("Firefox   done").count(), 1, "{out}");
    assert!(out.contains("Chromium  not there"), "{out}");
    let mut command = home.command(home.at("programs/certutil"));
    let listed = command.args(["-L", "-d", &format!("sql:{}", all[3])]).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains(&nickname));
}

/// A database of .NET's tool has its Firefox trust the certificate as an authority, which no browser accepts of it.
#[test]
fn another_kind_of_trust_is_mended() {
    let mut home = Home::with_certificate();
    if !home.has_program("certutil") {
        return;
    }
    let folder = home.at(".mozilla/firefox/abc.default");
    fs::create_dir_all(&folder).unwrap();
    home.set("SSL_CERT_DIR", home.at(TRUST));
    home.done(&["https", "--trust"]);
    let nickname = format!("aspnetcore-localhost-{}", home.thumbprint());
    let mut command = home.command(home.at("programs/certutil"));
    let arguments = ["-M", "-t", "C,,", "-n", &nickname, "-d"];
    let changed = command
        .args(arguments)
        .arg(format!("sql:{}", folder.display()))
        .status()
        .unwrap();
    assert!(changed.success());
    assert_eq!(home.run(&["https", "--check", "--trust"]).code, Some(7));
    home.done(&["https", "--trust"]);
    home.done(&["https", "--check", "--trust"]);
}

#[test]
fn a_report_for_programs() {
    let mut home = Home::new();
    assert_eq!(home.done(&["https", "--check-trust-machine-readable"]), "[]\n");
    home.done(&["https", "--trust"]);
    let read = |home: &Home| -> Value {
        serde_json::from_str(&home.done(&["https", "--check-trust-machine-readable"])).unwrap()
    };
    assert_eq!(read(&home)[0]["TrustLevel"], "Partial");
    home.set("SSL_CERT_DIR", home.at(TRUST));
    // One without its key: no server could use it.
    let keyless = "8A83D1E1554A2F8543EA9C2A7E6060F54B1585AC";
    home.install(&format!("select/public-only-v6-and-v4/{STORES}/my/{keyless}.pfx"), "my");
    let report = read(&home);
    let entries = report.as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        let (trust, exportable) = match entry["Thumbprint"] == keyless {
            true => ("Invalid", false),
            false => ("Full", true),
        };
        assert_eq!(
            (&entry["TrustLevel"], &entry["IsExportable"]),
            (&trust.into(), &exportable.into())
        );
    }
    assert_eq!(home.done(&["https", "--check-trust-machine-readable", "-q"]), "");
    let verbose = home.done(&["https", "--check-trust-machine-readable", "--verbose"]);
    assert!(
        verbose.starts_with("Valid development certificates: 2\n[\n"),
        "{verbose}"
    );
}

/// A server for `https://localhost`, which ends with the test.
struct OpensslServer(Child);

impl OpensslServer {
    fn start(home: &Home) -> (Self, String) {
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
            .arg(home.at("site.pem"))
            .arg("-key")
            .arg(home.at("site.key"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut server = Self(command.spawn().unwrap());
        let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let line = lines.map_while(Result::ok).find(|line| line.starts_with("ACCEPT "));
        let port = line
            .as_deref()
            .and_then(|line| line.rsplit_once(':'))
            .map(|(_, port)| port.to_owned());
        (server, format!("https://localhost:{}/", port.expect("it listens")))
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The page as Chromium has it, in this home; nothing if it refuses.
fn chromium(home: &Home, url: &str) -> String {
    let mut command = home.command(home.at("programs/chromium"));
    // It starts programs of its own, and as root it does without its sandbox or not at all.
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.arg(format!("--user-data-dir={}", home.at("profile").display()));
    let output = command.args(["--dump-dom", url]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The proof: a real browser shows the page without a warning after `--trust`, and neither before nor after `--clean`.
#[test]
fn chromium_trusts_it() {
    let home = Home::with_certificate();
    if !["chromium", "certutil", "openssl"]
        .iter()
        .all(|name| home.has_program(name))
    {
        return;
    }
    home.done(&["https", "-ep", "site.pem", "--format", "Pem", "-np"]);
    let (_server, url) = OpensslServer::start(&home);
    // Never started, so that there is no database yet.
    home.done(&["https", "--trust"]);
    let page = chromium(&home, &url);
    assert!(page.contains("Ciphers supported in s_server"), "{page}");
    home.done(&["https", "--clean"]);
    let page = chromium(&home, &url);
    assert!(!page.contains("Ciphers supported"), "{page}");

    // Started before, which leaves it another place for its database.
    let home = Home::with_certificate();
    assert!(
        ["chromium", "certutil", "openssl"]
            .iter()
            .all(|name| home.has_program(name))
    );
    home.done(&["https", "-ep", "site.pem", "--format", "Pem", "-np"]);
    let (_server, url) = OpensslServer::start(&home);
    let page = chromium(&home, &url);
    assert!(!page.contains("Ciphers supported"), "{page}");
    home.done(&["https", "--trust"]);
    let page = chromium(&home, &url);
    assert!(page.contains("Ciphers supported in s_server"), "{page}");
}

/// Who starts a server is told before the browser says it.
#[test]
fn a_server_says_how_far_its_certificate_is_trusted() {
    logs::install();
    let home = Home::with_certificate();
    let thumbprint = home.thumbprint();
    let warning = || {
        let stores = CertificateStores::in_home(home.at(""));
        let source = CertificateSource::DevelopmentStore;
        Certificate::load(&source, &stores, SystemTime::now()).unwrap();
        let mut lines = logs::take();
        lines.retain(|(level, _)| *level == log::Level::Warn);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0).1
    };
    let name = format!("the development certificate CN=localhost ({thumbprint})");
    let none = warning();
    assert!(none.starts_with(&format!("8 {name} is not trusted")), "{none}");
    home.done(&["https", "--trust"]);
    let some = warning();
    let expected =
        format!("9 {name} is trusted by some clients and not by others: OpenSSL (SSL_CERT_DIR does not lead to");
    assert!(some.starts_with(&expected), "{some}");
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
