//! `stannel dev-certs https --trust` as a program: which places get the certificate, and whether OpenSSL and browsers
//! then trust it.
#![forbid(unsafe_code)]

#[path = "support/home.rs"]
mod home;
#[path = "support/logs.rs"]
mod logs;

use home::{Home, STORES, TRUST, files, mode, openssl};
use serde_json::Value;
use stannel::certificate::CertificateStores;
use stannel::{Certificate, CertificateSource};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

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
        // Each browser looks for another letter.
        let trust = if folder.contains("firefox") { "CP,," } else { "P,," };
        assert_eq!(list(&home, folder).as_deref(), Some(trust), "{folder}");
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

/// Chromium refuses what is trusted as an authority alone, which is how .NET's tool has Firefox trust it.
#[test]
fn another_kind_of_trust_is_mended_where_it_does_not_do() {
    let mut home = Home::with_certificate();
    if !home.has_program("certutil") {
        return;
    }
    home.set("SSL_CERT_DIR", home.at(TRUST));
    for (folder, code) in [(".mozilla/firefox/abc.default", 0), (".pki/nssdb", 7)] {
        fs::create_dir_all(home.at(folder)).unwrap();
        home.done(&["https", "--trust"]);
        let nickname = format!("aspnetcore-localhost-{}", home.thumbprint());
        let mut command = home.command(home.at("programs/certutil"));
        let arguments = ["-M", "-t", "C,,", "-n", &nickname, "-d", &format!("sql:{folder}")];
        assert!(command.args(arguments).status().unwrap().success());
        assert_eq!(home.run(&["https", "--check", "--trust"]).code, Some(code), "{folder}");
        home.done(&["https", "--trust"]);
        home.done(&["https", "--check", "--trust"]);
    }
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

/// The server on `https://localhost`, with whatever development certificate it finds; it ends with the test.
struct Site(Child);

const PAGE: &str = "<title>Trusted</title><h1>This page came over HTTPS.</h1>";

impl Site {
    fn start(home: &Home) -> (Self, String) {
        let folder = home.at("site");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("index.html"), PAGE).unwrap();
        let mut command = home.command(env!("CARGO_BIN_EXE_stannel"));
        command
            .arg(folder)
            .arg("--urls=https://localhost:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut server = Self(command.spawn().unwrap());
        let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let mut urls = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("Now listening on: ").map(str::to_owned));
        let url = urls.next().expect("it listens");
        (server, url)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A browser in this home, which starts programs of its own. One that hangs is ended.
fn browser(home: &Home, name: &str) -> Command {
    let mut command = home.command("timeout");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(["120", name, "--headless"]);
    command
}

/// Chromium in this home, about to load a page.
fn chromium(home: &Home) -> Command {
    let mut command = browser(home, "chromium");
    // As root it does without its sandbox or not at all.
    command.args([
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.arg(format!("--user-data-dir={}", home.at("profile").display()));
    command
}

/// Whether Chromium shows the page, and not a warning in its place.
fn is_shown(home: &Home, url: &str) -> bool {
    let output = chromium(home).args(["--dump-dom", url]).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .contains("This page came over HTTPS.")
}

fn has_programs(home: &Home, names: &[&str]) -> bool {
    names.iter().all(|name| home.has_program(name))
}

/// The proof: a real browser shows the server's page without a warning after `--trust`, and neither before nor after
/// `--clean`. A picture of it is kept where Cargo keeps what tests leave behind.
#[test]
fn chromium_trusts_it() {
    let home = Home::with_certificate();
    if !has_programs(&home, &["chromium", "certutil"]) {
        return;
    }
    let (_server, url) = Site::start(&home);
    // Never started, so that there is no database yet.
    home.done(&["https", "--trust"]);
    assert!(is_shown(&home, &url));
    let picture = concat!(env!("CARGO_TARGET_TMPDIR"), "/chromium.png");
    let _ = fs::remove_file(picture);
    let mut command = chromium(&home);
    command.args(["--window-size=800,600", &format!("--screenshot={picture}"), &url]);
    assert!(command.status().unwrap().success() && fs::metadata(picture).unwrap().len() > 0);
    println!("a picture of the page: {picture}");
    home.done(&["https", "--clean"]);
    assert!(!is_shown(&home, &url));

    // Started before, which leaves it another place for its database.
    let home = Home::with_certificate();
    assert!(has_programs(&home, &["chromium", "certutil"]));
    let (_server, url) = Site::start(&home);
    assert!(!is_shown(&home, &url));
    home.done(&["https", "--trust"]);
    assert!(is_shown(&home, &url));
}

#[test]
fn firefox_trusts_it() {
    let home = Home::with_certificate();
    if !has_programs(&home, &["firefox", "certutil"]) {
        return;
    }
    let profile = home.at(".mozilla/firefox/abc.default");
    fs::create_dir_all(&profile).unwrap();
    home.done(&["https", "--trust"]);
    let (_server, url) = Site::start(&home);
    let picture = home.at("page.png");
    // It waits at a warning for somebody to answer, and makes no picture.
    let mut command = browser(&home, "firefox");
    command
        .arg("--profile")
        .arg(profile)
        .arg("--screenshot")
        .arg(&picture)
        .arg(url);
    let output = command.output().unwrap();
    assert!(output.status.success() && picture.is_file(), "{output:?}");
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
    let expected = format!("9 {name} is trusted by some clients and not by others: OpenSSL (export SSL_CERT_DIR=");
    assert!(some.starts_with(&expected), "{some}");
}
