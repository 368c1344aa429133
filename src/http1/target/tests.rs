use super::*;
use proptest::prelude::*;

fn path_of(raw: &str) -> Result<(String, String), Rejection> {
    let mut scratch = b"left over".to_vec();
    let target = parse(raw.as_bytes(), "GET", &mut scratch)?;
    assert_eq!(target.raw(), raw);
    Ok((target.path().to_owned(), target.query().to_owned()))
}

fn refusal(raw: &[u8], method: &str) -> Option<Rejection> {
    parse(raw, method, &mut Vec::new()).err()
}

fn check(cases: &[(&str, &str, &str)]) {
    for &(raw, path, query) in cases {
        assert_eq!(path_of(raw), Ok((path.to_owned(), query.to_owned())), "{raw}");
        // The absolute form has no rules of its own.
        let absolute = format!("http://h{raw}");
        assert_eq!(
            path_of(&absolute),
            Ok((path.to_owned(), query.to_owned())),
            "{absolute}"
        );
    }
}

#[test]
fn rfc9112_3_2_1_origin_form() {
    check(&[
        ("/", "/", ""),
        ("/abc/def", "/abc/def", ""),
        ("/abc/", "/abc/", ""),
        ("//a//b", "//a//b", ""),
        ("/p?a=1&b=2", "/p", "?a=1&b=2"),
        ("/p?", "/p", "?"),
        ("/p??a?b", "/p", "??a?b"),
        ("/p?%20+%00%zz/../..", "/p", "?%20+%00%zz/../.."),
        ("/%61?%C3%A5=%2F", "/a", "?%C3%A5=%2F"),
        ("/?//", "/", "?//"),
        ("/a;p=1/b,c!$&'()*+=:@~-._", "/a;p=1/b,c!$&'()*+=:@~-._", ""),
        ("/a|b{c}[d]\"<>\\^`", "/a|b{c}[d]\"<>\\^`", ""),
        ("/app.min.js?v=1.2", "/app.min.js", "?v=1.2"),
    ]);
}

#[test]
fn rfc3986_2_1_percent_decoding() {
    check(&[
        ("/a%20b", "/a b", ""),
        ("/%C3%A5", "/å", ""),
        ("/%E2%82%AC", "/€", ""),
        ("/%F0%9F%98%80", "/😀", ""),
        ("/%F4%8F%BF%BF", "/\u{10FFFF}", ""),
        ("/%c3%a5%7e", "/å~", ""),
        ("/%25", "/%", ""),
        ("/%2541", "/%41", ""),
        ("/%25%30%30", "/%00", ""),
        ("/%%2000", "/% 00", ""),
        ("/%%%41", "/%%A", ""),
        ("/a%2Fb", "/a%2Fb", ""),
        ("/a%2fb", "/a%2fb", ""),
        ("/%2F%2f%41", "/%2F%2fA", ""),
        ("/a%5Cb", "/a\\b", ""),
        ("/a+b%2B", "/a+b+", ""),
        ("/a%3Fb?c", "/a?b", "?c"),
        ("/a%23b", "/a#b", ""),
        ("/%7F%01", "/\u{7f}\u{1}", ""),
        ("/a%0d%0aX:1", "/a\r\nX:1", ""),
    ]);
}

#[test]
fn rfc3629_3_triplets_that_are_no_utf8_stay() {
    check(&[
        ("/%zz%4", "/%zz%4", ""),
        ("/%", "/%", ""),
        ("/a%", "/a%", ""),
        ("/a%4?%4", "/a%4", "?%4"),
        ("/%g0/%0g", "/%g0/%0g", ""),
        ("/%C0%AF", "/%C0%AF", ""),
        ("/%C1%BF", "/%C1%BF", ""),
        ("/%E0%9F%BF/%E0%A0%80", "/%E0%9F%BF/\u{800}", ""),
        ("/%ED%A0%80", "/%ED%A0%80", ""),
        ("/%ED%BF%BF/%ED%9F%BF", "/%ED%BF%BF/\u{D7FF}", ""),
        ("/%E2%82", "/%E2%82", ""),
        ("/%E2%82/x", "/%E2%82/x", ""),
        ("/%E2%82?%AC", "/%E2%82", "?%AC"),
        ("/%E2%82%E2%82%AC", "/%E2%82€", ""),
        ("/%E2%82%A", "/%E2%82%A", ""),
        ("/%C3%41", "/%C3A", ""),
        ("/%C3%2F%A5", "/%C3%2F%A5", ""),
        ("/%C3a%A5", "/%C3a%A5", ""),
        ("/%80%BF", "/%80%BF", ""),
        ("/%FF", "/%FF", ""),
        ("/%fe%Ff", "/%fe%Ff", ""),
        ("/%F4%90%80%80", "/%F4%90%80%80", ""),
        ("/%F0%8F%BF%BF", "/%F0%8F%BF%BF", ""),
        ("/%F5%80%80%80", "/%F5%80%80%80", ""),
        ("/%C0%AE%C0%AE/x", "/%C0%AE%C0%AE/x", ""),
    ]);
}

#[test]
fn rfc3986_5_2_4_dot_segments() {
    check(&[
        ("/a/./b", "/a/b", ""),
        ("/a/../b", "/b", ""),
        ("/../../x", "/x", ""),
        ("/a/.", "/a/", ""),
        ("/a/./", "/a/", ""),
        ("/a/b/..", "/a/", ""),
        ("/a/b/../", "/a/", ""),
        ("/a/..", "/", ""),
        ("/.", "/", ""),
        ("/..", "/", ""),
        ("/./", "/", ""),
        ("/../", "/", ""),
        ("/..?/..", "/", "?/.."),
        ("/.a/..b/c./d../...", "/.a/..b/c./d../...", ""),
        ("/.well-known/x", "/.well-known/x", ""),
        ("/a/%2e%2E/b", "/b", ""),
        ("/a/.%2e/b", "/b", ""),
        ("/a/%2e/b", "/a/b", ""),
        ("/a/%2e%2e", "/", ""),
        ("/a/..%2fb", "/a/..%2fb", ""),
        ("/a/%2e%2e%2Fb", "/a/..%2Fb", ""),
        ("/a//../b", "/a/b", ""),
        ("/a//..", "/a/", ""),
        ("/x/..//y", "//y", ""),
        ("//..", "/", ""),
        ("/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", ""),
        ("/a/b/c/./../../g", "/a/g", ""),
        ("/%E2%82%AC/../%41?%42", "/A", "?%42"),
        ("/%C3%A5/../..%2f/..", "/", ""),
    ]);
}

#[test]
fn encoded_nul_in_the_path_is_refused() {
    for raw in [
        "/%00",
        "/a%00b",
        "/x/%00",
        "/%C3%00",
        "/%E2%82%00",
        "/%00/..",
        "/%zz%00",
        "http://h/%00",
    ] {
        assert_eq!(
            refusal(raw.as_bytes(), "GET"),
            Some(Rejection::InvalidRequestTarget),
            "{raw}"
        );
    }
    assert_eq!(path_of("/?%00"), Ok(("/".to_owned(), "?%00".to_owned())));
}

#[test]
fn rfc9112_3_2_bytes_of_a_target() {
    for byte in 0..=255u8 {
        let expected = (0x21..=0x7E).contains(&byte) && byte != b'#';
        for place in [&b"/"[..], b"/?", b"/abcdefghijkl", b"http://h/"] {
            let mut raw = place.to_vec();
            raw.push(byte);
            raw.push(b'x');
            assert_eq!(refusal(&raw, "GET").is_none(), expected, "{byte:#x}");
            assert_eq!(bytes_are_valid(&raw), expected, "{byte:#x}");
        }
    }
}

#[test]
fn rfc9112_3_2_form_and_method() {
    use Rejection::{
        ConnectMethodRequired as Connect, InvalidRequestTarget as Invalid, OptionsMethodRequired as Options,
    };
    let cases: &[(&str, &str, Option<Rejection>)] = &[
        ("*", "OPTIONS", None),
        ("*", "GET", Some(Options)),
        ("*", "CONNECT", Some(Options)),
        ("*", "options", Some(Options)),
        ("**", "OPTIONS", Some(Invalid)),
        ("*/x", "OPTIONS", Some(Invalid)),
        ("*?x", "OPTIONS", Some(Invalid)),
        ("/x", "OPTIONS", None),
        ("/x", "CONNECT", Some(Invalid)),
        ("http://h/", "CONNECT", Some(Invalid)),
        ("http://h/", "OPTIONS", None),
        ("example.com:443", "CONNECT", None),
        ("[::1]:443", "CONNECT", None),
        ("example.com", "CONNECT", Some(Invalid)),
        ("example.com:", "CONNECT", Some(Invalid)),
        (":443", "CONNECT", Some(Invalid)),
        ("[::1]", "CONNECT", Some(Invalid)),
        ("[::1:443", "CONNECT", Some(Invalid)),
        ("h:65536", "CONNECT", Some(Invalid)),
        ("u@example.com:1", "CONNECT", Some(Invalid)),
        ("a_b:1", "CONNECT", Some(Invalid)),
        ("h:1/", "CONNECT", Some(Invalid)),
        ("example.com", "GET", Some(Connect)),
        ("example.com:80", "GET", Some(Connect)),
        ("u@h", "GET", Some(Connect)),
        ("[::1]:80", "GET", Some(Connect)),
        ("http:", "GET", Some(Connect)),
        ("", "GET", Some(Invalid)),
        ("", "CONNECT", Some(Invalid)),
        ("?a=1", "GET", Some(Invalid)),
        ("%2Fa", "GET", Some(Invalid)),
        ("a/b", "GET", Some(Invalid)),
        ("../x", "GET", Some(Invalid)),
        ("\\a", "GET", Some(Invalid)),
        ("a,b", "GET", Some(Invalid)),
        ("\"/\"", "GET", Some(Invalid)),
        ("ftp://h/", "GET", Some(Invalid)),
        ("ws://h/", "GET", Some(Invalid)),
        ("://h/", "GET", Some(Invalid)),
        ("http:/h/", "GET", Some(Invalid)),
    ];
    for &(raw, method, expected) in cases {
        assert_eq!(refusal(raw.as_bytes(), method), expected, "{method} {raw}");
    }
}

#[test]
fn rfc9112_3_2_2_absolute_form() {
    let cases: &[(&str, &str, &str, &str, u16)] = &[
        ("http://h/", "/", "", "h", 80),
        ("http://h", "/", "", "h", 80),
        ("http://h?x=1", "/", "?x=1", "h", 80),
        ("http://h?/a/../b", "/", "?/a/../b", "h", 80),
        ("http://h/a/../b%20c?d", "/b c", "?d", "h", 80),
        ("http://h:8080/x", "/x", "", "h:8080", 80),
        ("https://h/s", "/s", "", "h", 443),
        ("https://h:443", "/", "", "h:443", 443),
        ("HTTP://EXAMPLE.com/", "/", "", "EXAMPLE.com", 80),
        ("hTTpS://h/", "/", "", "h", 443),
        ("http://[::1]:81/p", "/p", "", "[::1]:81", 80),
        ("http://127.0.0.1/?q", "/", "?q", "127.0.0.1", 80),
        ("http://h//x", "//x", "", "h", 80),
        ("http://h/http://g/", "/http://g/", "", "h", 80),
    ];
    for &(raw, path, query, authority, port) in cases {
        let mut scratch = Vec::new();
        let target = parse(raw.as_bytes(), "GET", &mut scratch).unwrap_or_else(|_| panic!("{raw} is refused"));
        assert_eq!(target.form(), TargetForm::Absolute);
        assert_eq!((target.raw(), target.path(), target.query()), (raw, path, query));
        assert_eq!((target.authority(), target.default_port()), (Some(authority), port));
    }
}

#[test]
fn rfc9110_4_2_bad_authorities() {
    for raw in [
        "http://",
        "http:///x",
        "http://?x",
        "http://:80/",
        "http://u@h/",
        "http://u:p@h/",
        "http://@h/",
        "http://h:/",
        "http://h:99999/",
        "http://h:8x/",
        "http://%61/",
        "http://h\\@evil/",
        "http://[::1/",
        "http://[::1]x/",
        "http://a,b/",
        "http://http://h/",
    ] {
        assert_eq!(
            refusal(raw.as_bytes(), "GET"),
            Some(Rejection::InvalidRequestTarget),
            "{raw}"
        );
    }
}

#[test]
fn forms_without_a_path() {
    let mut scratch = Vec::new();
    let target = parse(b"*", "OPTIONS", &mut scratch).unwrap();
    assert_eq!(
        (target.form(), target.path(), target.query()),
        (TargetForm::Asterisk, "", "")
    );
    assert_eq!(target.authority(), None);
    let target = parse(b"h:1", "CONNECT", &mut scratch).unwrap();
    assert_eq!(
        (target.form(), target.path(), target.query()),
        (TargetForm::Authority, "", "")
    );
    assert_eq!((target.authority(), target.default_port()), (Some("h:1"), 0));
}

#[test]
fn rfc9112_3_2_host_and_authority() {
    let cases: &[(&str, &str, u16, bool)] = &[
        ("h", "h", 80, true),
        ("EXAMPLE.com", "example.COM", 80, true),
        ("h:80", "h", 80, true),
        ("h", "h:80", 80, true),
        ("h", "h:080", 80, true),
        ("h", "h:443", 443, true),
        ("h", "h:443", 80, false),
        ("h:8080", "h", 80, false),
        ("h:8080", "h:8081", 80, false),
        ("h.evil", "h", 80, false),
        ("a.example", "b.example", 80, false),
        ("[::1]:81", "[::1]:81", 80, true),
        ("[::A]", "[::a]:80", 80, true),
        ("[::1]", "[::2]", 80, false),
        ("h:443", "h:443", 0, true),
        ("H:443", "h:443", 0, true),
        ("h:443", "h:444", 0, false),
        ("h:443", "h", 0, false),
        ("h", "h", 0, false),
        ("h:0", "h", 0, false),
        ("", "", 80, false),
        ("u@h", "u@h", 80, false),
    ];
    for &(authority, host, port, expected) in cases {
        assert_eq!(
            authority_matches(authority, host, port),
            expected,
            "{authority} {host} {port}"
        );
    }
}

/// The rules once more, slowly and over the whole path: decode, then remove dot segments.
fn slow_path(path: &str) -> Option<String> {
    let mut rest = path.as_bytes();
    let mut out = Vec::new();
    while let Some(&first) = rest.first() {
        let triplets: Vec<u8> = rest.chunks(3).map_while(triplet).take(4).collect();
        let longest = (1..=triplets.len())
            .rev()
            .find(|&n| std::str::from_utf8(&triplets[..n]).is_ok_and(|text| text.chars().count() == 1));
        match longest {
            _ if triplets.first() == Some(&0) => return None,
            Some(n) if triplets[0] != b'/' => {
                out.extend_from_slice(&triplets[..n]);
                rest = &rest[3 * n..];
            }
            _ if !triplets.is_empty() => {
                out.extend_from_slice(&rest[..3]);
                rest = &rest[3..];
            }
            _ => {
                out.push(first);
                rest = &rest[1..];
            }
        }
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = out.split(|&byte| byte == b'/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            b"." => {}
            b".." => drop(kept.pop()),
            other => kept.push(other),
        }
        if last && matches!(*segment, b"." | b"..") {
            kept.push(b"");
        }
    }
    let joined: Vec<u8> = kept.iter().flat_map(|segment| [b"/", *segment].concat()).collect();
    Some(String::from_utf8(joined).expect("decoded paths are UTF-8"))
}

proptest! {
    #[test]
    fn fast_and_slow_agree(
        path in "(/|/|\\.|\\.|a|%|%2[eEfF]|%00|%[0-9a-fA-F]{2}|%C3%A5|%E2%82|%AC|%F0%9F%98%80){0,24}"
    ) {
        let raw = format!("/{path}");
        let result = path_of(&raw);
        match slow_path(&raw) {
            None => prop_assert_eq!(result, Err(Rejection::InvalidRequestTarget)),
            Some(expected) => prop_assert_eq!(result, Ok((expected, String::new()))),
        }
    }

    #[test]
    fn anything_may_come(raw in proptest::collection::vec(any::<u8>(), 0..40), method in "GET|CONNECT|OPTIONS") {
        let mut scratch = Vec::new();
        if let Ok(target) = parse(&raw, &method, &mut scratch) {
            prop_assert_eq!(target.raw().as_bytes(), &raw[..]);
            prop_assert!(!target.path().contains("/../") && !target.path().contains('\0'));
        }
    }
}
