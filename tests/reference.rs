//! The parsers beside second ones that are plain and slow: what both are shown, both understand alike.

#[cfg(feature = "config")]
#[path = "support/reference/json.rs"]
mod json;
#[path = "support/reference/mod.rs"]
mod reference;

use proptest::prelude::*;
use reference::{Event, LIMITS, Limits, body, request, served, url};
use stannel::UrlPrefix;

/// Lines of requests, right and wrong.
fn line() -> impl Strategy<Value = String> {
    let methods = prop_oneof![
        Just("GET"),
        Just("POST"),
        Just("HEAD"),
        Just("OPTIONS"),
        Just("CONNECT"),
        Just("g@t"),
        Just("")
    ];
    let targets = prop_oneof![
        4 => "/[a./%?~]{0,8}",
        1 => "/(%[0-9A-Fa-f][0-9A-Fa-f]|[./a]){0,6}",
        1 => Just("*".to_owned()),
        1 => "(http|HTTPS|ftp)://[a@:1]{0,4}(/[a.]{0,3})?",
        1 => "[a:1\\[\\]]{1,6}",
        1 => "[ -~]{0,6}",
    ];
    let versions = prop_oneof![
        8 => Just("HTTP/1.1".to_owned()),
        3 => Just("HTTP/1.0".to_owned()),
        1 => "HTTP/[0-9].[0-9]",
        1 => "[Ht]{4}/1.1 ?",
    ];
    (methods, targets, versions).prop_map(|(method, target, version)| format!("{method} {target} {version}"))
}

fn field() -> impl Strategy<Value = String> {
    let known = prop_oneof![
        Just("Host: h".to_owned()),
        "[Hh]ost:[ \t]?(a|h:1|\\[::1\\]|a:123456|h:80|a,b|)",
        "Content-Length:[ \t]{0,2}(0|1|5|12|[+]1|1,1|)",
        "Content-Length: [0-9]{1,22}",
        "Transfer-Encoding: ?(chunked|Chunked|gzip, chunked|chunked, chunked|identity|chunked;q=1|, chunked)",
        "Connection: (close|keep-alive|Upgrade|a, close|close now)",
        "Upgrade: (x|)",
        "Expect: (100-continue|100-Continue, |x)",
        "[Xa]{0,3}: [ab\t]{0,4}",
        "[ -~]{0,8}",
        "[\\x00-\\xff]{0,6}",
    ];
    known.prop_map(|line| line)
}

/// What may come behind a head.
fn rest() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{0,12}",
        "([1-5][ ]?(;a(=b)?|;\"|)\r\n[ab]{1,5}\r\n){0,2}0\r\n(X: y\r\n|Host: h\r\n|x\r\n){0,2}\r\n",
        "[0-9a-f\r\n;= \"\\\\]{0,16}",
    ]
}

fn end() -> impl Strategy<Value = &'static str> {
    prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n"), 1 => Just("\r\n ")]
}

/// A few requests, some of them whole.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let right = (line(), prop::collection::vec(field(), 0..4), rest()).prop_map(|(line, fields, rest)| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{line}\r\nHost: h\r\n{fields}\r\n{rest}")
    });
    let wrong = (line(), prop::collection::vec((field(), end()), 0..5), end(), rest());
    let wrong = wrong.prop_map(|(line, fields, end, rest)| {
        let fields: String = fields.iter().map(|(field, end)| format!("{field}{end}")).collect();
        format!("{line}{end}{fields}{end}{rest}")
    });
    let empty = "(\r\n){0,3}".prop_map(|lines| lines);
    let many = Just("\r\n".repeat(17));
    let one = prop_oneof![4 => right, 2 => wrong, 1 => empty, 1 => many];
    prop::collection::vec(one, 1..4).prop_map(|parts| {
        let text = parts.concat();
        // One character, one byte.
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
            .collect()
    })
}

/// Not more than one thing decides: the reference has read all, so the engine has to have read the same, however it is cut.
fn compare(input: &[u8], limits: &Limits, sizes: &[usize]) {
    let expected = request::read(input, limits);
    let whole = served::read(std::iter::once(input), limits);
    let shown = input.escape_ascii();
    assert_eq!(whole, expected, "\"{shown}\"");
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = input;
    let pieces = std::iter::from_fn(|| {
        let (piece, behind) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(served::read(pieces, limits), expected, "in pieces: \"{shown}\"");
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn requests_are_read_as_the_reference_reads_them(
        input in stream(),
        is_small in any::<bool>(),
        sizes in prop::collection::vec(1..20_usize, 0..4),
    ) {
        compare(&input, &LIMITS[usize::from(!is_small)], &sizes);
    }

    #[test]
    fn url_prefixes_are_read_as_the_reference_reads_them(text in url_text()) {
        compare_url(&text);
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_is_chunked_comes_out_whole(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        sizes in prop::collection::vec(1..500_usize, 1..5),
        fields in prop::collection::vec(("[a-z-]{1,8}x", "[!-~]{0,8}"), 0..3),
    ) {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        let coded = body::encode(&content, sizes.iter().copied().cycle(), &fields);
        let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let input = [&head[..], &coded].concat();
        let events = served::read(std::iter::once(&input[..]), &LIMITS[1]);
        prop_assert_eq!(events.last(), Some(&Event::Body(content, fields)));
        compare(&input, &LIMITS[1], &sizes);
    }
}

fn url_text() -> impl Strategy<Value = String> {
    let hosts = prop_oneof![
        Just("localhost".to_owned()),
        "[0-9.]{1,12}",
        "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
        "0x[0-9a-f]{1,8}",
        "\\[[0-9a-f:.%]{0,12}\\]?",
        "[a-zA-Z*+.@?# \u{e9}-]{0,8}",
        "unix:[/@a:]{0,8}",
        "\\PC{0,6}",
    ];
    let ports = prop_oneof![Just(String::new()), ":[0-9]{0,6}", ":[+-]?[0-9]{0,12}", ":[ -~]{0,4}"];
    let schemes =
        prop_oneof![4 => Just("http://".to_owned()), 1 => Just("https://".to_owned()), 1 => "[a-zA-Z ]{0,4}:?/?/?"];
    (schemes, hosts, ports, "/?[a/:?]{0,3}")
        .prop_map(|(scheme, host, port, path)| format!("{scheme}{host}{port}{path}"))
}

fn compare_url(text: &str) {
    let read = UrlPrefix::parse(text).ok().map(|prefix| url::Prefix {
        scheme: prefix.scheme().to_owned(),
        host: prefix.host().to_owned(),
        port: prefix.port(),
        path: prefix.path_base().to_owned(),
    });
    assert_eq!(read, url::read(text), "{text:?}");
}

/// Mostly JSON, with what is nearly JSON in between.
#[cfg(feature = "config")]
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        8 => "\"[a-zA-Z:\u{e9} ]{0,4}\"",
        2 => "-?[0-9]{1,3}(\\.[0-9]{1,2})?([eE][+-]?[0-9])?",
        1 => "\"(\\\\[\"\\\\/bfnrtux]|[0-9a-f]|\t){0,6}\"",
        1 => "(true|false|null|NaN|0x1|01|1\\.|[+]1|'a'|a|)",
        1 => Just("[]".to_owned()),
        1 => Just("{}".to_owned()),
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        let names = prop_oneof!["\"[a-cA-C:]{0,2}\"", "[a]?"];
        let ends =
            prop_oneof![20 => "", 1 => ",", 1 => "/[*] c [*]/", 1 => "// c\n", 1 => "[}]", 1 => "[ \\x0b\\x0c\u{a0}]"];
        let pairs = prop::collection::vec((names, inner.clone()), 0..4);
        let object = (pairs, ends.clone()).prop_map(|(pairs, end)| {
            let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("{{ {}{end} }}", pairs.join(","))
        });
        let array =
            (prop::collection::vec(inner, 0..4), ends).prop_map(|(items, end)| format!("[{}{end}]", items.join(" , ")));
        prop_oneof![3 => object, 1 => array]
    });
    ("\u{feff}?", tree).prop_map(|(mark, tree)| format!("{mark}{tree}"))
}

#[cfg(feature = "config")]
proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn json_is_read_as_serde_json_reads_it(text in json_text()) {
        let built = stannel::Configuration::builder().add_json_text("a.json", text.as_str()).build();
        json::compare(&text, &built);
    }
}
