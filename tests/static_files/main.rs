//! `StaticFiles` over a folder, driven through a connection without a socket.

mod precompressed;
mod site;

use site::{Answer, Site, Talk, WRITTEN, WRITTEN_DATE, plain, set_time};
use stannel::connection::Fate;
use stannel::middleware::StaticFiles;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

#[test]
fn a_file_comes_with_its_fields() {
    let mut site = plain();
    let answer = site.get("/digits.txt?query");
    assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.field("last-modified"), Some(WRITTEN_DATE));
    assert_eq!(answer.field("accept-ranges"), Some("bytes"));
    let etag = answer.field("etag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2);
}

#[test]
fn head_has_the_same_fields_and_no_body() {
    let mut site = plain();
    site.write("root/empty.css", b"");
    for target in ["/digits.txt", "/empty.css", "/", "/missing", "/folder"] {
        let get = site.get(target);
        let head = site.ask("HEAD", target, &[]);
        assert_eq!((head.status, &head.fields), (get.status, &get.fields), "{target}");
        assert!(head.body.is_empty(), "{target}");
    }
    // RFC 9110 §14.2: a range is for GET alone.
    let head = site.ask("HEAD", "/digits.txt", &[("Range", "bytes=0-1")]);
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
}

#[test]
fn other_methods_are_refused() {
    let mut site = plain();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", "FOO"] {
        let answer = site.ask(method, "/digits.txt", &[]);
        assert_eq!(
            (answer.status, answer.field("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    assert_eq!(site.ask("OPTIONS", "*", &[]).status, 405);
}

#[test]
fn errors_have_a_short_text() {
    let answer = plain().get("/missing");
    assert_eq!((answer.status, answer.text()), (404, "404 Not Found\n"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn a_folder_is_its_default_document() {
    let mut site = plain();
    let answer = site.get("/");
    assert_eq!((answer.status, answer.text()), (200, "<p>home"));
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    // Without one there is nothing, unless listings are wanted.
    assert_eq!(site.status("/folder/"), 404);
    // One that is no file is none.
    fs::create_dir(site.path("root/folder/index.html")).unwrap();
    assert_eq!(site.status("/folder/"), 404);
    // A file is no folder.
    assert_eq!(site.status("/digits.txt/"), 404);
    assert_eq!(site.status("/digits.txt/x"), 404);

    let mut site = Site::new(|files| files.default_document("digits.txt"));
    let answer = site.get("/");
    assert_eq!(
        (answer.text(), answer.field("content-type")),
        ("0123456789", Some("text/plain; charset=utf-8"))
    );
}

#[test]
fn a_folder_without_its_slash_is_redirected() {
    let mut site = plain();
    fs::create_dir(site.path("root/a b")).unwrap();
    fs::create_dir(site.path("root/é?")).unwrap();
    fs::create_dir(site.path("root/\\example.com")).unwrap();
    let cases = [
        ("/folder", "/folder/"),
        ("/folder?a=b&c=%20", "/folder/?a=b&c=%20"),
        ("/folder/below", "/folder/below/"),
        ("/x/../folder", "/folder/"),
        ("/a%20b", "/a%20b/"),
        ("/%C3%A9%3F?x", "/%C3%A9%3F/?x"),
        // None of these may lead to another host.
        ("//folder", "/folder/"),
        ("///folder//below", "/folder/below/"),
        ("/%5Cexample.com", "/%5Cexample.com/"),
        ("/./%5Cexample.com", "/%5Cexample.com/"),
        ("http://h/folder", "/folder/"),
    ];
    for (target, location) in cases {
        let answer = site.get(target);
        assert_eq!(
            (answer.status, answer.field("location")),
            (301, Some(location)),
            "{target}"
        );
    }
    // A folder that is not there is not redirected to.
    assert_eq!(site.status("//example.com"), 404);
    assert_eq!(site.status("//example.com/"), 404);
}

#[test]
fn no_path_leaves_the_root() {
    let mut site = plain();
    let targets = [
        "/../outside/secret.txt",
        "/..%2foutside/secret.txt",
        "/..%2Foutside%2Fsecret.txt",
        "/%2e%2e/outside/secret.txt",
        "/%2e%2e%2foutside/secret.txt",
        "/folder/../../outside/secret.txt",
        "/folder/..%2f..%2f../outside/secret.txt",
        "/..%5coutside%5csecret.txt",
        "/..\\outside\\secret.txt",
        "/%252e%252e/outside/secret.txt",
        "/.%2e/outside/secret.txt",
        "//outside/secret.txt",
        "/%2Fetc/passwd",
        "//etc/passwd",
        "/%c0%ae%c0%ae/outside/secret.txt",
    ];
    for target in targets {
        let answer = site.get(target);
        assert!(matches!(answer.status, 404 | 400), "{target}: {answer:?}");
    }
    // Dot segments that stay inside are an ordinary path; those above the root end at the root.
    assert_eq!(site.get("/folder/../digits.txt").text(), "0123456789");
    assert_eq!(site.get("/../digits.txt").text(), "0123456789");
}

#[test]
fn an_encoded_slash_is_part_of_a_name() {
    let mut site = plain();
    assert_eq!(site.status("/folder%2Fpage.html"), 404);
    site.write("root/folder%2Fpage.html", b"odd");
    assert_eq!(site.get("/folder%2Fpage.html").text(), "odd");
}

#[test]
fn links_lead_about_inside_the_root_only() {
    let mut site = plain();
    let link = |target: &Path, name: &str| symlink(target, site.path(name)).unwrap();
    link(&site.path("root/digits.txt"), "root/inside.json");
    link(Path::new("folder"), "root/shortcut");
    link(&site.path("outside/secret.txt"), "root/secret.txt");
    link(&site.path("outside"), "root/out");
    link(Path::new("../outside"), "root/relative");
    link(Path::new("/nowhere/at/all"), "root/dangling");
    link(Path::new("loop"), "root/loop");
    link(&site.path("outside/secret.txt"), "root/folder/index.html");

    let answer = site.get("/inside.json");
    assert_eq!(
        (answer.text(), answer.field("content-type")),
        ("0123456789", Some("application/json"))
    );
    assert_eq!(site.get("/shortcut/page.html").text(), "<p>page");
    let outside = [
        "/secret.txt",
        "/out",
        "/out/",
        "/out/secret.txt",
        "/relative/secret.txt",
        "/dangling",
        "/loop",
        "/folder/",
    ];
    for target in outside {
        assert_eq!(site.status(target), 404, "{target}");
    }
    // A folder beside the root whose name begins like the root's is outside too.
    fs::create_dir(site.path("root-beside")).unwrap();
    site.write("root-beside/file.txt", b"beside");
    symlink(site.path("root-beside"), site.path("root/beside")).unwrap();
    assert_eq!(site.status("/beside/file.txt"), 404);
}

#[test]
fn hidden_names_are_not_served() {
    let mut site = Site::new(|files| files.directory_listing(true));
    fs::create_dir(site.path("root/.git")).unwrap();
    site.write("root/.git/config", b"hidden");
    site.write("root/.env", b"hidden");
    site.write("root/folder/.htpasswd", b"hidden");
    for target in [
        "/.git",
        "/.git/",
        "/.git/config",
        "/.env",
        "/%2eenv",
        "/folder/.htpasswd",
    ] {
        assert_eq!(site.status(target), 404, "{target}");
    }
    assert!(!site.get("/folder/").text().contains("htpasswd"));
}

#[test]
fn only_regular_files_are_served() {
    let mut site = Site::new(|files| files.directory_listing(true));
    let fifo = site.path("root/folder/fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(site.path("root/folder/socket")).unwrap();
    symlink("/dev/zero", site.path("root/folder/zero")).unwrap();
    // Opening the FIFO would wait for a writer for ever.
    for target in ["/folder/fifo", "/folder/socket", "/folder/zero"] {
        assert_eq!(site.status(target), 404, "{target}");
    }
    assert!(!site.get("/folder/").text().contains("fifo"));
}

#[test]
fn what_may_not_be_read_is_forbidden() {
    let mut site = plain();
    site.write("root/private.txt", b"private");
    fs::set_permissions(site.path("root/private.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if fs::File::open(site.path("root/private.txt")).is_err() {
        assert_eq!(site.status("/private.txt"), 403);
    }
}

#[test]
fn names_that_cannot_exist_are_not_found() {
    let mut site = plain();
    let long = format!("/{}", "x".repeat(300));
    assert_eq!(site.status(&long), 404);
    assert_eq!(site.status(&format!("/{}", "x/".repeat(3000))), 404);
    assert_eq!(site.status("/%00"), 400);
    assert_eq!(site.status("/%FF"), 404);
    assert_eq!(site.status("/%0d%0aX:%20y"), 404);
}

#[test]
fn single_ranges() {
    let mut site = plain();
    let cases = [
        ("bytes=0-0", 206, Some("bytes 0-0/10"), "0"),
        ("bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
        ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=0-99", 206, Some("bytes 0-9/10"), "0123456789"),
        ("bytes=10-", 416, Some("bytes */10"), "416 Range Not Satisfiable\n"),
        ("bytes=-0", 416, Some("bytes */10"), "416 Range Not Satisfiable\n"),
        ("bytes=0-1,3-4", 200, None, "0123456789"),
        ("bytes=4-2", 200, None, "0123456789"),
        ("nonsense", 200, None, "0123456789"),
    ];
    let whole = site.get("/digits.txt");
    for (range, status, content_range, body) in cases {
        let answer = site.ask("GET", "/digits.txt", &[("Range", range)]);
        if status == 206 {
            // RFC 9110 §15.3.7: what the whole would say of itself, the part says too.
            for name in ["date", "etag", "last-modified", "content-type", "accept-ranges"] {
                assert!(answer.field(name).is_some(), "{range}: {name}");
                assert_eq!(answer.field(name), whole.field(name), "{range}: {name}");
            }
        }
        assert_eq!((answer.status, answer.text()), (status, body), "{range}");
        assert_eq!(answer.field("content-range"), content_range, "{range}");
        assert_eq!(answer.field("etag").is_some(), status < 300, "{range}");
    }
    let twice = site.ask("GET", "/digits.txt", &[("Range", "bytes=0-1"), ("Range", "bytes=0-1")]);
    assert_eq!(twice.status, 200);
    // RFC 9110 §14.4: in a GET it means nothing.
    let partial = site.ask("GET", "/digits.txt", &[("Content-Range", "bytes 0-1/10")]);
    assert_eq!((partial.status, partial.text()), (200, "0123456789"));
}

#[test]
fn conditional_requests() {
    let mut site = plain();
    let etag = site.get("/digits.txt").field("etag").unwrap().to_owned();
    let weak = format!("W/{etag}");
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("If-None-Match", &etag)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"other\"")], 200),
        (
            &[("If-None-Match", "\"other\""), ("If-Modified-Since", WRITTEN_DATE)],
            200,
        ),
        (&[("If-Modified-Since", WRITTEN_DATE)], 304),
        (&[("If-Modified-Since", "Sun, 09 Sep 2001 01:46:39 GMT")], 200),
        (&[("If-Match", &etag)], 200),
        (&[("If-Match", &weak)], 412),
        (&[("If-Match", "\"other\"")], 412),
        (&[("If-Unmodified-Since", WRITTEN_DATE)], 200),
        (&[("If-Unmodified-Since", "Sun, 09 Sep 2001 01:46:39 GMT")], 412),
        (&[("Range", "bytes=0-1"), ("If-Range", &etag)], 206),
        (&[("Range", "bytes=0-1"), ("If-Range", WRITTEN_DATE)], 206),
        (&[("Range", "bytes=0-1"), ("If-Range", &weak)], 200),
        (&[("Range", "bytes=0-1"), ("If-Range", "\"other\"")], 200),
        (&[("Range", "bytes=10-"), ("If-Range", "\"other\"")], 200),
        (&[("Range", "bytes=0-1"), ("If-None-Match", &etag)], 304),
        (&[("Range", "bytes=0-1"), ("If-Match", "\"other\"")], 412),
    ];
    for (fields, status) in cases {
        for method in ["GET", "HEAD"] {
            let answer = site.ask(method, "/digits.txt", fields);
            let expected = if method == "HEAD" && *status == 206 {
                200
            } else {
                *status
            };
            assert_eq!(answer.status, expected, "{method} {fields:?}");
            if answer.status == 304 {
                assert_eq!(answer.field("etag"), Some(etag.as_str()));
                assert_eq!(answer.field("content-length"), None);
                assert!(answer.body.is_empty());
            }
        }
    }
    // RFC 9110 §13.2.1: conditions are for what would be 2xx without them.
    for (method, target, status) in [
        ("GET", "/missing", 404),
        ("GET", "/folder", 301),
        ("POST", "/digits.txt", 405),
        ("OPTIONS", "*", 405),
    ] {
        for condition in [("If-Match", "\"other\""), ("If-Match", "*"), ("If-None-Match", "*")] {
            let answer = site.ask(method, target, &[condition]);
            assert_eq!(answer.status, status, "{method} {target} {condition:?}");
        }
    }
}

#[test]
fn a_changed_file_has_another_tag() {
    let mut site = plain();
    let mut tags = vec![site.get("/digits.txt").field("etag").unwrap().to_owned()];
    // Written to within the second that Last-Modified tells.
    set_time(
        &site.path("root/digits.txt"),
        SystemTime::UNIX_EPOCH + Duration::from_millis(WRITTEN * 1000 + 1),
    );
    tags.push(site.get("/digits.txt").field("etag").unwrap().to_owned());
    site.write("root/digits.txt", b"012345678");
    tags.push(site.get("/digits.txt").field("etag").unwrap().to_owned());
    // Replaced by one of the same size and time.
    site.write("root/new.txt", b"abcdefghi");
    fs::rename(site.path("root/new.txt"), site.path("root/digits.txt")).unwrap();
    tags.push(site.get("/digits.txt").field("etag").unwrap().to_owned());
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4);
}

#[test]
fn times_that_dates_cannot_tell() {
    let mut site = plain();
    let file = site.path("root/digits.txt");
    set_time(&file, SystemTime::UNIX_EPOCH - Duration::from_secs(1));
    let answer = site.get("/digits.txt");
    assert_eq!((answer.status, answer.field("last-modified")), (200, None));
    // RFC 9110 §8.8.2.1: never later than Date. Not every file system knows such a time.
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000);
    if fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .set_modified(far)
        .is_ok()
    {
        let answer = site.get("/digits.txt");
        assert_eq!(
            (answer.status, answer.field("last-modified")),
            (200, answer.field("date"))
        );
    }
}

#[test]
fn a_large_file_is_read_while_it_is_sent() {
    let mut site = plain();
    let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    site.write("root/large.bin", &content);
    let mut talk = Talk::begin(&site.engine);
    talk.send(&mut site.engine, b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    while talk.take(&mut site.engine) {}
    assert!(talk.most <= 256 << 10, "{} bytes waited at once", talk.most);
    let answer = Answer::parse(&talk.received, "GET", talk.fate);
    assert_eq!(answer.field("content-type"), Some("application/octet-stream"));
    assert!(answer.body == content);
    let part = site.ask("GET", "/large.bin", &[("Range", "bytes=1000000-3999999")]);
    assert!(part.status == 206 && part.body == content[1_000_000..4_000_000]);
}

/// The answer to a request for a file of 1,000,000 bytes that has another length before it is sent to its end.
fn while_it_becomes(length: u64) -> Answer {
    let mut site = plain();
    site.write("root/large.bin", &vec![b'x'; 1_000_000]);
    let mut talk = Talk::begin(&site.engine);
    talk.send(&mut site.engine, b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(talk.take(&mut site.engine));
    fs::File::options()
        .write(true)
        .open(site.path("root/large.bin"))
        .unwrap()
        .set_len(length)
        .unwrap();
    talk.finish(&mut site.engine, "GET")
}

#[test]
fn a_file_that_shrinks_cuts_the_connection_off() {
    let answer = while_it_becomes(200_000);
    assert_ne!(answer.fate, Fate::Open);
    assert_eq!(answer.field("content-length"), Some("1000000"));
    assert!(answer.body.len() < 1_000_000);
}

#[test]
fn a_file_that_grows_is_sent_as_long_as_promised() {
    let answer = while_it_becomes(2_000_000);
    assert_eq!((answer.fate, answer.body.len()), (Fate::Open, 1_000_000));
}

#[test]
fn listings_are_sorted_and_escaped() {
    let mut site = Site::new(|files| files.directory_listing(true));
    for name in [
        "root/folder/b.txt",
        "root/folder/a&<b>.txt",
        "root/folder/javascript:x",
        "root/folder/z \"q\"#?",
    ] {
        site.write(name, b"");
    }
    symlink("page.html", site.path("root/folder/link")).unwrap();
    symlink("below", site.path("root/folder/linked")).unwrap();
    symlink(site.path("outside"), site.path("root/folder/out")).unwrap();
    let answer = site.get("/folder/");
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let items: Vec<&str> = answer.text().lines().filter(|line| line.starts_with("<li>")).collect();
    assert_eq!(
        items,
        [
            r#"<li><a href="../">../</a></li>"#,
            r#"<li><a href="a%26%3Cb%3E.txt">a&amp;&lt;b&gt;.txt</a></li>"#,
            r#"<li><a href="b.txt">b.txt</a></li>"#,
            r#"<li><a href="below/">below/</a></li>"#,
            r#"<li><a href="javascript%3Ax">javascript:x</a></li>"#,
            r#"<li><a href="link">link</a></li>"#,
            r#"<li><a href="linked/">linked/</a></li>"#,
            r#"<li><a href="page.html">page.html</a></li>"#,
            r#"<li><a href="z%20%22q%22%23%3F">z &quot;q&quot;#?</a></li>"#,
        ]
    );
    // Every link leads somewhere.
    for name in ["a%26%3Cb%3E.txt", "javascript%3Ax", "z%20%22q%22%23%3F"] {
        assert_eq!(site.status(&format!("/folder/{name}")), 200, "{name}");
    }
    // The path is the client's, and goes into the page.
    fs::create_dir(site.path("root/<script>")).unwrap();
    let page = site.get("/%3Cscript%3E/");
    assert!(!page.text().contains("<script>") && page.text().contains("/&lt;script&gt;/"));
    // A default document goes before; the root has no folder above.
    assert_eq!(site.get("/").text(), "<p>home");
    fs::remove_file(site.path("root/index.html")).unwrap();
    assert!(!site.get("/").text().contains("../"));
}

#[test]
fn the_root_must_be_a_folder() {
    let site = plain();
    assert!(StaticFiles::new(site.path("nowhere")).is_err());
    let error = StaticFiles::new(site.path("root/digits.txt")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotADirectory);
    symlink(site.path("root"), site.path("link")).unwrap();
    let files = StaticFiles::new(site.path("link")).unwrap();
    assert_eq!(files.root(), fs::canonicalize(site.path("root")).unwrap());
}

#[test]
fn a_root_that_vanishes_is_not_found() {
    let mut site = plain();
    fs::remove_dir_all(site.path("root")).unwrap();
    assert_eq!(site.status("/"), 404);
    assert_eq!(site.status("/digits.txt"), 404);
}
