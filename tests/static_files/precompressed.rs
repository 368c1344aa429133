//! Compressed files beside the file that is asked for.

use crate::site::{Answer, Site, WRITTEN, WRITTEN_DATE, plain, set_time};
use stannel::middleware::StaticFiles;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

/// A site with a stylesheet in three forms; what is in them tells which one came.
fn compressed(configure: impl FnOnce(StaticFiles) -> StaticFiles) -> Site {
    let site = Site::new(configure);
    site.write("root/site.css", b"plain form");
    site.write("root/site.css.br", b"brotli form");
    site.write("root/site.css.gz", b"the gzip form");
    site
}

fn accepting(site: &mut Site, target: &str, accepted: &str) -> Answer {
    site.ask("GET", target, &[("Accept-Encoding", accepted)])
}

const VARY: Option<&str> = Some("Accept-Encoding");

#[test]
fn a_compressed_file_is_sent_to_whoever_accepts_it() {
    let mut site = compressed(|files| files);
    let (plain, brotli, gzip) = (
        (200, "plain form", None),
        (200, "brotli form", Some("br")),
        (200, "the gzip form", Some("gzip")),
    );
    let cases = [
        (None, plain),
        (Some(""), plain),
        (Some("deflate, zstd"), plain),
        (Some("gzip, deflate, br, zstd"), brotli),
        (Some("br;q=1, gzip;q=0.8"), brotli),
        (Some("br;q=0.8, gzip"), gzip),
        (Some("br;q=0, *"), gzip),
        (Some("gzip;q=0.5, identity"), plain),
        (Some("X-GZIP"), gzip),
        (Some("*"), brotli),
        (Some("br, identity;q=0"), brotli),
        (Some("identity;q=0"), (406, "406 Not Acceptable\n", None)),
        (Some("*;q=0"), (406, "406 Not Acceptable\n", None)),
        (Some("identity, *;q=0"), plain),
    ];
    for (accepted, (status, body, coding)) in cases {
        let fields: Vec<(&str, &str)> = accepted.map(|value| ("Accept-Encoding", value)).into_iter().collect();
        let answer = site.ask("GET", "/site.css", &fields);
        assert_eq!((answer.status, answer.text()), (status, body), "{accepted:?}");
        assert_eq!(answer.field("content-encoding"), coding, "{accepted:?}");
        assert_eq!(answer.field("vary"), VARY, "{accepted:?}");
        if status == 200 {
            assert_eq!(answer.field("content-type"), Some("text/css; charset=utf-8"));
        }
        let head = site.ask("HEAD", "/site.css", &fields);
        assert_eq!(
            (head.status, &head.fields),
            (answer.status, &answer.fields),
            "{accepted:?}"
        );
        assert!(head.body.is_empty());
    }
    let twice = site.ask(
        "GET",
        "/site.css",
        &[("Accept-Encoding", "identity;q=0"), ("Accept-Encoding", "gzip")],
    );
    assert_eq!(twice.text(), "the gzip form");
}

#[test]
fn one_compressed_file_is_enough() {
    let mut site = plain();
    site.write("root/site.css", b"plain form");
    site.write("root/site.css.gz", b"the gzip form");
    let cases = [
        ("br, gzip;q=0.1", 200, "the gzip form"),
        ("br", 200, "plain form"),
        ("br, identity;q=0", 406, "406 Not Acceptable\n"),
    ];
    for (accepted, status, body) in cases {
        let answer = accepting(&mut site, "/site.css", accepted);
        assert_eq!((answer.status, answer.text()), (status, body), "{accepted}");
        assert_eq!(answer.field("vary"), VARY, "{accepted}");
    }
    // Without its file a compressed one is itself alone.
    site.write("root/alone.css.gz", b"the gzip form");
    assert_eq!(accepting(&mut site, "/alone.css", "gzip").status, 404);
}

#[test]
fn a_file_without_compressed_ones_is_not_negotiated() {
    let mut site = plain();
    for accepted in ["gzip, br", "identity;q=0", "*;q=0"] {
        let answer = accepting(&mut site, "/digits.txt", accepted);
        assert_eq!((answer.status, answer.text()), (200, "0123456789"), "{accepted}");
        assert_eq!((answer.field("vary"), answer.field("content-encoding")), (None, None));
    }
    assert_eq!(accepting(&mut site, "/missing", "gzip").field("vary"), None);
    let mut site = compressed(|files| files.precompressed(false));
    let answer = accepting(&mut site, "/site.css", "br, identity;q=0");
    assert_eq!((answer.status, answer.text()), (200, "plain form"));
    assert_eq!((answer.field("vary"), answer.field("content-encoding")), (None, None));
}

#[test]
fn each_form_has_its_own_validators_and_ranges() {
    let mut site = compressed(|files| files);
    set_time(
        &site.path("root/site.css.br"),
        SystemTime::UNIX_EPOCH + Duration::from_secs(WRITTEN + 60),
    );
    let forms = ["identity", "br", "gzip"];
    let tags = forms.map(|form| {
        let answer = accepting(&mut site, "/site.css", form);
        answer.field("etag").unwrap().to_owned()
    });
    for (form, tag) in forms.iter().zip(&tags) {
        for (other, other_tag) in forms.iter().zip(&tags) {
            let same = form == other;
            let cases = [
                ("If-None-Match", other_tag, if same { 304 } else { 200 }),
                ("If-Match", other_tag, if same { 200 } else { 412 }),
            ];
            for (name, value, status) in cases {
                let answer = site.ask("GET", "/site.css", &[("Accept-Encoding", form), (name, value)]);
                assert_eq!(answer.status, status, "{form}: {name} of {other}");
                assert_eq!(answer.field("vary"), VARY, "{form}: {name} of {other}");
                if status != 412 {
                    assert_eq!(answer.field("etag"), Some(tag.as_str()));
                }
            }
            let part = site.ask(
                "GET",
                "/site.css",
                &[
                    ("Accept-Encoding", form),
                    ("Range", "bytes=0-2"),
                    ("If-Range", other_tag),
                ],
            );
            assert_eq!(part.status, if same { 206 } else { 200 }, "{form}: If-Range of {other}");
        }
    }
    let ranges = [
        ("identity", "bytes=-4", 206, Some("bytes 6-9/10"), "form", None),
        ("br", "bytes=-4", 206, Some("bytes 7-10/11"), "form", Some("br")),
        ("gzip", "bytes=4-7", 206, Some("bytes 4-7/13"), "gzip", Some("gzip")),
        ("br", "bytes=10-", 206, Some("bytes 10-10/11"), "m", Some("br")),
        (
            "identity",
            "bytes=10-",
            416,
            Some("bytes */10"),
            "416 Range Not Satisfiable\n",
            None,
        ),
        (
            "gzip",
            "bytes=13-",
            416,
            Some("bytes */13"),
            "416 Range Not Satisfiable\n",
            None,
        ),
    ];
    for (form, range, status, content_range, body, coding) in ranges {
        let answer = site.ask("GET", "/site.css", &[("Accept-Encoding", form), ("Range", range)]);
        assert_eq!((answer.status, answer.text()), (status, body), "{form} {range}");
        assert_eq!(answer.field("content-range"), content_range, "{form} {range}");
        assert_eq!(answer.field("content-encoding"), coding, "{form} {range}");
        assert_eq!(answer.field("vary"), VARY, "{form} {range}");
    }
    let modified = |site: &mut Site, form: &str| {
        let answer = site.ask(
            "GET",
            "/site.css",
            &[("Accept-Encoding", form), ("If-Modified-Since", WRITTEN_DATE)],
        );
        answer.status
    };
    assert_eq!((modified(&mut site, "gzip"), modified(&mut site, "br")), (304, 200));
    // Two names of one file are two forms all the same.
    fs::hard_link(site.path("root/digits.txt"), site.path("root/digits.txt.gz")).unwrap();
    let (form, itself) = (accepting(&mut site, "/digits.txt", "gzip"), site.get("/digits.txt"));
    assert_eq!(form.body, itself.body);
    assert_ne!(form.field("etag"), itself.field("etag"));
}

#[test]
fn a_compressed_file_that_is_older_is_not_sent() {
    let mut site = compressed(|files| files);
    let millis = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(WRITTEN * 1000 + millis);
    // What keeps whole seconds alone is not older for it.
    set_time(&site.path("root/site.css"), millis(999));
    assert_eq!(accepting(&mut site, "/site.css", "br").text(), "brotli form");
    set_time(&site.path("root/site.css"), millis(1000));
    let answer = accepting(&mut site, "/site.css", "br, gzip");
    assert_eq!((answer.text(), answer.field("vary")), ("plain form", None));
    set_time(&site.path("root/site.css.gz"), millis(1000));
    let answer = accepting(&mut site, "/site.css", "br, gzip");
    assert_eq!((answer.text(), answer.field("vary")), ("the gzip form", VARY));
}

#[test]
fn a_compressed_file_by_its_own_name_is_itself() {
    let mut site = compressed(|files| files);
    site.write("root/site.css.gz.gz", b"twice");
    let cases = [
        ("/site.css.br", "brotli form", "application/octet-stream"),
        ("/site.css.gz", "the gzip form", "application/gzip"),
    ];
    for (target, body, kind) in cases {
        let answer = accepting(&mut site, target, "br, gzip");
        assert_eq!((answer.text(), answer.field("content-type")), (body, Some(kind)));
        assert_eq!((answer.field("vary"), answer.field("content-encoding")), (None, None));
    }
}

#[test]
fn compressed_files_of_folders_and_behind_links() {
    let mut site = compressed(|files| files);
    site.write("root/index.html.br", b"brotli home");
    let answer = accepting(&mut site, "/", "br");
    assert_eq!(
        (answer.text(), answer.field("content-type")),
        ("brotli home", Some("text/html; charset=utf-8"))
    );
    // The compressed ones beside the file that a link leads to count, under the name that was asked for.
    symlink("site.css", site.path("root/current.txt")).unwrap();
    let answer = accepting(&mut site, "/current.txt", "gzip");
    assert_eq!(
        (answer.text(), answer.field("content-type")),
        ("the gzip form", Some("text/plain; charset=utf-8"))
    );
    site.write("root/folder/store", b"stored brotli");
    site.write("outside/store", b"secret");
    fs::create_dir(site.path("root/folder/page.html.gz")).unwrap();
    let links = [
        ("folder/store", "br", "stored brotli"),
        ("../outside/store", "br", "plain form"),
        ("/nowhere", "br", "plain form"),
        ("folder", "br", "plain form"),
        ("/dev/zero", "br", "plain form"),
    ];
    for (link, accepted, body) in links {
        fs::remove_file(site.path("root/site.css.br")).unwrap();
        symlink(link, site.path("root/site.css.br")).unwrap();
        assert_eq!(accepting(&mut site, "/site.css", accepted).text(), body, "{link}");
    }
    assert_eq!(accepting(&mut site, "/folder/page.html", "gzip").text(), "<p>page");
}

#[test]
fn a_compressed_file_that_cannot_be_read_is_passed_over() {
    let mut site = compressed(|files| files);
    let brotli = site.path("root/site.css.br");
    fs::set_permissions(&brotli, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if fs::File::open(&brotli).is_err() {
        let answer = accepting(&mut site, "/site.css", "br, gzip;q=0.5");
        assert_eq!((answer.text(), answer.field("vary")), ("the gzip form", VARY));
        assert_eq!(accepting(&mut site, "/site.css", "br, identity;q=0").status, 406);
    }
}
