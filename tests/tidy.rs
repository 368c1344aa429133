//! Holds the borders of the source tree: which folder may name what, and what stands at the top of the repository.
//!
//! Only code is read: comments, strings and items under `#[cfg(test)]` are left out. A finding names the file, the
//! line and the rule. So do `kestrel_page` and `proof`, where documents name what is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use words::{without_tests, words};

#[path = "tidy/kestrel_page.rs"]
mod kestrel_page;
#[path = "tidy/proof.rs"]
mod proof;
#[path = "tidy/words.rs"]
mod words;

/// Names that only some places may use.
struct Rule {
    says: &'static str,
    /// Paths (`std::thread`, found inside longer paths and in `use` groups), macros (`dbg!`), methods (`.elapsed`).
    names: &'static [&'static str],
    /// Where the rule holds: beginnings of file paths.
    holds_in: &'static [&'static str],
    /// Where it does not: beginnings of file paths.
    except_in: &'static [&'static str],
    /// Names allowed all the same, with the beginning of the file paths that may use them.
    except: &'static [(&'static str, &'static str)],
    /// Whether items under `#[cfg(test)]` obey too.
    tests: Tests,
}

#[derive(Clone, Copy, PartialEq)]
enum Tests {
    Exempt,
    Included,
}

const RULES: &[Rule] = &[
    Rule {
        says: "only src/server/ names the event loop, sockets and signals",
        names: &[
            "mio",
            "socket2",
            "signal_hook",
            "signal_hook_mio",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "UnixDatagram",
        ],
        holds_in: &["src/"],
        except_in: &["src/server/", "src/main.rs"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "only src/server/ names threads",
        names: &["std::thread", "thread::spawn", "thread::sleep"],
        holds_in: &["src/"],
        except_in: &["src/server/", "src/main.rs"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "only src/server/ reads the clock; everything else is told what time it is",
        names: &["Instant::now", "SystemTime::now", ".elapsed"],
        holds_in: &["src/"],
        except_in: &["src/server/", "src/main.rs"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "only src/configuration/, src/certificate/ and src/middleware/ read files",
        names: &["std::fs", "fs::read", "File::open"],
        holds_in: &["src/"],
        // /proc tells who has the address that could not be bound.
        except_in: &[
            "src/configuration/",
            "src/certificate/",
            "src/middleware/",
            "src/server/address_owner.rs",
        ],
        // A Unix listener owns its socket's file: it looks at it, sets its mode and removes it.
        except: &[
            ("std::fs::metadata", "src/server/"),
            ("std::fs::symlink_metadata", "src/server/"),
            ("std::fs::set_permissions", "src/server/"),
            ("std::fs::Permissions", "src/server/"),
            ("std::fs::remove_file", "src/server/"),
            // A piece of a file that is sent unread is named by its file, and read where the system cannot send it.
            ("std::fs::File", "src/buffer/file_part.rs"),
            ("std::fs::File", "src/handler/body.rs"),
        ],
        tests: Tests::Exempt,
    },
    Rule {
        says: "only src/http1/ names httparse",
        names: &["httparse"],
        holds_in: &["src/"],
        except_in: &["src/http1/"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "only src/tls/ and src/certificate/ name rustls, besides its re-export",
        names: &["rustls", "rustls_pemfile"],
        holds_in: &["src/"],
        except_in: &["src/tls/", "src/certificate/", "src/lib.rs"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "only src/certificate/pem.rs names rustls-pemfile, which is archived",
        names: &["rustls_pemfile"],
        holds_in: &["src/"],
        except_in: &["src/certificate/pem.rs"],
        except: &[],
        tests: Tests::Included,
    },
    Rule {
        says: "only src/certificate/ reads the structures of certificates and keys",
        names: &["x509_cert", "pkcs8", "pkcs12", "cms"],
        holds_in: &["src/"],
        except_in: &["src/certificate/"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "only src/certificate/development/trust/certutil.rs starts programs",
        names: &["process::Command"],
        holds_in: &["src/"],
        except_in: &["src/certificate/development/trust/certutil.rs"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "only src/certificate/development/ makes certificates",
        names: &["rcgen"],
        holds_in: &["src/"],
        except_in: &["src/certificate/development/"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "nothing below src/server/ knows the server",
        names: &["crate::server", "super::server"],
        holds_in: &["src/"],
        except_in: &["src/server/", "src/lib.rs", "src/main.rs"],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "src/http1/, src/handler/ and src/buffer/ do not know the connection",
        names: &["crate::connection", "super::connection"],
        holds_in: &["src/http1/", "src/handler/", "src/buffer/"],
        except_in: &[],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "src/http1/ and src/buffer/ do not know the handler",
        names: &["crate::handler", "super::handler"],
        holds_in: &["src/http1/", "src/buffer/"],
        except_in: &[],
        except: &[],
        tests: Tests::Exempt,
    },
    Rule {
        says: "no unsafe code",
        names: &["unsafe"],
        holds_in: &["src/"],
        except_in: &[],
        except: &[],
        tests: Tests::Included,
    },
    Rule {
        says: "nothing is left unfinished",
        names: &["todo!", "unimplemented!", "dbg!"],
        holds_in: &["src/"],
        except_in: &[],
        except: &[],
        tests: Tests::Included,
    },
];

/// What may stand at the top of the repository.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "benches",
    "deny.toml",
    "docs",
    "fuzz",
    "rustfmt.toml",
    "src",
    "tests",
];

#[test]
fn every_folder_keeps_its_border() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    assert!(files.iter().any(|file| file.ends_with("lib.rs")), "no sources found");

    let mut findings = Vec::new();
    for file in files {
        findings.extend(check(&relative(&file), &fs::read_to_string(&file).unwrap()));
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// Whoever has to read a file wants to see its end. One that is longer has two subjects, or tests that can move beside it.
#[test]
fn no_file_is_longer_than_a_sitting() {
    const MOST: usize = 610;
    let mut files = Vec::new();
    for folder in [
        "src",
        "tests",
        "benches",
        "fuzz/fuzz_targets",
        "fuzz/src",
        "docs/examples",
    ] {
        rust_files(&root().join(folder), &mut files);
    }
    let long = files
        .iter()
        .filter(|file| fs::read_to_string(file).unwrap().lines().count() > MOST);
    let long: Vec<String> = long.map(|file| relative(file)).collect();
    assert!(long.is_empty(), "more than {MOST} lines: {long:?}");
}

#[test]
fn the_library_forbids_unsafe_code() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(
        text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]"),
        "src/lib.rs does not forbid unsafe code"
    );
}

#[test]
fn every_example_is_declared() {
    let folder = root().join("docs/examples");
    let Ok(entries) = fs::read_dir(&folder) else { return };
    let examples = entries
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| match path.is_dir() {
            true => Some(path.join("main.rs")).filter(|path| path.exists()),
            false => Some(path).filter(|path| path.extension().is_some_and(|extension| extension == "rs")),
        });
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let undeclared: Vec<String> = examples
        .map(|path| relative(&path))
        .filter(|path| !declares(&manifest, path))
        .collect();
    assert!(
        undeclared.is_empty(),
        "Cargo.toml declares no [[example]] for {undeclared:?}"
    );
}

/// Asks git, so that a folder somebody keeps beside the sources disturbs nobody; says nothing where git is absent.
#[test]
fn the_top_level_is_short() {
    let git = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let Some(output) = git else { return };
    let listing = String::from_utf8_lossy(&output.stdout);
    let strangers = strangers(listing.split('\0'));
    assert!(
        strangers.is_empty(),
        "not expected at the top of the repository: {strangers:?}"
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("the path begins at the root");
    path.to_str().expect("file names are text").to_owned()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Cargo marks its own folders so.
            if !path.join("CACHEDIR.TAG").exists() {
                rust_files(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

fn declares(manifest: &str, path: &str) -> bool {
    let value = format!("\"{path}\"");
    manifest.lines().any(|line| {
        line.split_once('=')
            .is_some_and(|(key, rest)| key.trim() == "path" && rest.trim().starts_with(&value))
    })
}

fn strangers<'a>(files: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    files
        .filter_map(|file| file.split('/').next())
        .filter(|entry| !entry.is_empty() && !TOP_LEVEL.contains(entry))
        .collect()
}

/// All findings in one file, whose name is relative to the root and decides which rules hold.
fn check(file: &str, text: &str) -> Vec<String> {
    let all = words(text);
    let shipped = if test_file(file) {
        Vec::new()
    } else {
        without_tests(&all)
    };
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| file.starts_with(beginning));
    let mut findings = Vec::new();
    for rule in RULES
        .iter()
        .filter(|rule| begins(rule.holds_in) && !begins(rule.except_in))
    {
        let words = if rule.tests == Tests::Included { &all } else { &shipped };
        for (at, word) in words.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", |at| words[at].text.as_str());
            let after = words.get(at + 1).map_or("", |word| word.text.as_str());
            let allowed = rule
                .except
                .iter()
                .any(|(name, place)| file.starts_with(place) && word.text == *name);
            if let Some(name) = rule
                .names
                .iter()
                .find(|name| !allowed && names(name, before, &word.text, after))
            {
                findings.push(format!("{file}:{}: `{name}`: {}", word.line, rule.says));
            }
        }
    }
    findings
}

/// Whether a word, seen between its neighbours, is what a rule calls `name`.
fn names(name: &str, before: &str, word: &str, after: &str) -> bool {
    if let Some(called) = name.strip_suffix('!') {
        return after == "!" && word.rsplit("::").next() == Some(called);
    }
    if let Some(method) = name.strip_prefix('.') {
        return before == "." && word == method;
    }
    let wanted: Vec<&str> = name.split("::").collect();
    let segments: Vec<&str> = word.split("::").collect();
    segments.windows(wanted.len()).any(|window| window == wanted)
}

/// A file that is a test module by its name.
fn test_file(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// The matcher itself, on small strings.
mod matcher {
    use super::*;

    #[track_caller]
    fn finds(file: &str, code: &str, line: usize, name: &str) {
        let findings = check(file, code);
        let start = format!("{file}:{line}: `{name}`: ");
        assert!(
            findings.len() == 1 && findings[0].starts_with(&start),
            "{code:?} gave {findings:?}"
        );
    }

    #[track_caller]
    fn passes(file: &str, code: &str) {
        assert_eq!(check(file, code), Vec::<String>::new(), "{code:?}");
    }

    #[test]
    fn sockets_threads_and_clocks_belong_to_the_server() {
        finds("src/http1/head.rs", "//! mio\n\nuse mio::Poll;", 3, "mio");
        finds(
            "src/http1/head.rs",
            "let socket = ::socket2::Socket::new();",
            1,
            "socket2",
        );
        finds(
            "src/handler/mod.rs",
            "use std::{io, net::{IpAddr, TcpStream}};",
            1,
            "TcpStream",
        );
        finds(
            "src/timer.rs",
            "use std::{\n    sync::Arc,\n    thread,\n};",
            3,
            "std::thread",
        );
        finds(
            "src/timer.rs",
            "let now = std::time::Instant::now();",
            1,
            "Instant::now",
        );
        finds(
            "src/timer.rs",
            "fn f(now: fn() -> Instant) { f(Instant::now) }",
            1,
            "Instant::now",
        );
        finds("src/timer.rs", "use mio::*;", 1, "mio");
        finds("src/timer.rs", "let date = SystemTime::now();", 1, "SystemTime::now");
        finds("src/timer.rs", "if start\n    .elapsed() > limit {}", 2, ".elapsed");
        passes(
            "src/timer.rs",
            "use std::time::Instant; let elapsed = now - start; f(elapsed); Instant::nowhere();",
        );
        passes(
            "src/handler/mod.rs",
            "use std::net::{IpAddr, SocketAddr}; thread_local! {} let miopic = 1;",
        );
        let loud = "use mio::Poll; use std::{net::TcpStream, thread}; Instant::now();";
        passes("src/server/worker.rs", loud);
        passes("src/main.rs", loud);
    }

    #[test]
    fn files_belong_to_three_folders() {
        finds("src/handler/body.rs", "use std::fs;", 1, "std::fs");
        finds("src/handler/state.rs", "use std::{fs::File, io};", 1, "std::fs");
        finds("src/handler/body.rs", "use std::fs::OpenOptions;", 1, "std::fs");
        passes("src/handler/body.rs", "use std::fs::File;");
        finds("src/lib.rs", "File::open(path)", 1, "File::open");
        finds("src/server/listener.rs", "std::fs::read(path)", 1, "std::fs");
        passes(
            "src/server/listener.rs",
            "use std::fs::{remove_file, symlink_metadata}; std::fs::remove_file(path)",
        );
        for folder in ["configuration", "certificate", "middleware"] {
            passes(&format!("src/{folder}/mod.rs"), "use std::fs; File::open(path);");
        }
    }

    #[test]
    fn arrows_point_one_way() {
        finds(
            "src/connection/mod.rs",
            "use crate::httparse_like; use httparse::Request;",
            1,
            "httparse",
        );
        passes("src/http1/head.rs", "use httparse::Request;");
        finds(
            "src/endpoint/mod.rs",
            "use crate::{buffer::Input, server::Worker};",
            1,
            "crate::server",
        );
        finds("src/timer.rs", "use super::server::Worker;", 1, "super::server");
        passes("src/lib.rs", "pub use crate::server::Server;");
        finds(
            "src/buffer/input.rs",
            "fn f(c: &crate::connection::Connection) {}",
            1,
            "crate::connection",
        );
        passes("src/server/worker.rs", "use crate::connection::Connection;");
        finds(
            "src/http1/encode.rs",
            "use crate::handler::Exchange;",
            1,
            "crate::handler",
        );
        passes("src/connection/mod.rs", "use crate::handler::Exchange;");
        finds("src/server/worker.rs", "use rustls::ServerConnection;", 1, "rustls");
    }

    #[test]
    fn unsafe_and_unfinished_code_is_found_in_tests_too() {
        finds("src/buffer/pool.rs", "unsafe { f() }", 1, "unsafe");
        finds(
            "src/buffer/pool.rs",
            "#[cfg(test)]\nmod tests {\n    fn f() { todo!() }\n}",
            3,
            "todo!",
        );
        finds("src/server/mod.rs", "std::dbg!(x)", 1, "dbg!");
        finds("src/main.rs", "unimplemented!(\"soon\")", 1, "unimplemented!");
        passes(
            "src/lib.rs",
            "#![forbid(unsafe_code)] fn todo() -> bool { todo != dbg }",
        );
    }

    #[test]
    fn tests_are_exempt_and_nothing_behind_them_is() {
        let tests =
            "#[cfg(test)]\n#[allow(unused)]\nmod tests {\n    use std::net::TcpStream;\n    fn f() { if x { y } }\n}\n";
        passes("src/http1/head.rs", tests);
        finds("src/http1/head.rs", &format!("{tests}use mio::Poll;"), 7, "mio");
        finds(
            "src/http1/head.rs",
            "#[cfg(test)]\nuse mio::Poll;\nuse mio::Token;",
            3,
            "mio",
        );
        finds(
            "src/http1/head.rs",
            "fn f() {\n#[cfg(test)]\nmio::a()\n}\nfn g() { mio::b() }",
            5,
            "mio",
        );
        finds("src/http1/head.rs", "#[cfg(feature = \"x\")]\nuse mio::Poll;", 2, "mio");
        passes("src/http1/tests.rs", "use std::net::TcpStream;");
        finds("src/http1/tests.rs", "unsafe {}", 1, "unsafe");
    }

    #[test]
    fn strangers_at_the_top_are_named() {
        assert_eq!(strangers(["src/lib.rs", "Cargo.toml", ""].into_iter()), BTreeSet::new());
        assert_eq!(
            strangers(["src/a.rs", "notes.txt", "lab/b.rs"].into_iter()),
            BTreeSet::from(["lab", "notes.txt"])
        );
    }

    #[test]
    fn an_example_is_declared_by_its_path() {
        let manifest =
            "[[example]]\nname = \"hello\"\npath = \"docs/examples/hello.rs\"\n# path2 = \"docs/examples/late.rs\"";
        assert!(declares(manifest, "docs/examples/hello.rs"));
        assert!(!declares(manifest, "docs/examples/late.rs"));
        assert!(!declares(manifest, "docs/examples/hell"));
    }
}
