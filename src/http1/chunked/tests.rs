use super::*;
use proptest::prelude::*;

const ROOMY: Limits = Limits {
    max_body: None,
    trailer_bytes: 32768,
    trailer_fields: 100,
};

#[test]
fn one_piece_is_a_whole_body_with_one_chunk_and_nothing_else() {
    for (input, expected) in [
        ("2\r\nab\r\n0\r\n\r\n", Some(("ab", 12))),
        ("2;x=\"y\"\r\nab\r\n0;z\r\n\r\nGET", Some(("ab", 20))),
        ("0\r\n\r\nGET", Some(("", 5))),
        ("2\r\nab\r\n0\r\n\r", None),
        ("2\r\na", None),
        ("", None),
        ("1\r\na\r\n1\r\nb\r\n0\r\n\r\n", None),
        ("2\r\nab\r\n0\r\nX: y\r\n\r\n", None),
        ("0\r\nX: y\r\n\r\n", None),
        ("2\nab\r\n0\r\n\r\n", None),
        ("2\r\nab0\r\n\r\n", None),
    ] {
        let found = in_one_piece(input.as_bytes(), None);
        assert_eq!(
            found,
            expected.map(|(data, taken)| (data.as_bytes(), taken)),
            "{input:?}"
        );
        let Some((data, taken)) = expected else { continue };
        let most = |bytes: usize| in_one_piece(input.as_bytes(), Some(bytes as u64));
        assert_eq!(most(taken), Some((data.as_bytes(), taken)), "{input:?}");
        assert_eq!(most(taken - 1), None, "{input:?}");
    }
}

/// What a body comes to: its content, its trailer lines, the bytes behind it; or why it is refused and what
/// content came before.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Complete {
        data: Vec<u8>,
        trailers: Vec<u8>,
        behind: Vec<u8>,
    },
    Incomplete {
        data: Vec<u8>,
    },
    Refused {
        data: Vec<u8>,
        rejection: Rejection,
    },
}

fn run<'i>(pieces: impl IntoIterator<Item = &'i [u8]>, limits: &Limits) -> Outcome {
    let mut decoder = ChunkedDecoder::new();
    let mut trailers = Vec::new();
    let mut data = Vec::new();
    let mut behind: Option<Vec<u8>> = None;
    for mut piece in pieces {
        if let Some(behind) = &mut behind {
            behind.extend_from_slice(piece);
            continue;
        }
        loop {
            let (taken, found) = match decoder.decode(piece, limits, &mut trailers) {
                Ok(found) => found,
                Err(rejection) => {
                    assert_eq!(decoder.decode(piece, limits, &mut trailers), Err(rejection));
                    return Outcome::Refused { data, rejection };
                }
            };
            piece = &piece[taken..];
            match found {
                Piece::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(bytes);
                }
                Piece::NeedInput => {
                    assert!(piece.is_empty() && !decoder.is_complete());
                    break;
                }
                Piece::End => {
                    assert!(decoder.is_complete());
                    assert_eq!(decoder.decode(piece, limits, &mut trailers), Ok((0, Piece::End)));
                    behind = Some(piece.to_vec());
                    break;
                }
            }
        }
    }
    match behind {
        Some(behind) => Outcome::Complete { data, trailers, behind },
        None => Outcome::Incomplete { data },
    }
}

/// Whole, byte by byte and, if it is short, with a cut at every place.
fn run_cut(body: &[u8], limits: &Limits) -> Outcome {
    let whole = run([body], limits);
    assert_eq!(
        run(body.chunks(1), limits),
        whole,
        "byte by byte: {}",
        body.escape_ascii()
    );
    if body.len() < 200 {
        for at in 0..=body.len() {
            let (left, right) = body.split_at(at);
            assert_eq!(
                run([left, right], limits),
                whole,
                "cut at {at}: {}",
                body.escape_ascii()
            );
        }
    }
    whole
}

fn refusal(body: &[u8], limits: &Limits) -> Option<Rejection> {
    match run_cut(body, limits) {
        Outcome::Refused { rejection, .. } => Some(rejection),
        _ => None,
    }
}

/// The content of a body that is complete and has nothing behind it.
fn content(body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match run_cut(body, &ROOMY) {
        Outcome::Complete { data, trailers, behind } if behind.is_empty() => (data, trailers),
        other => panic!("{}: {other:?}", body.escape_ascii()),
    }
}

#[test]
fn it_is_small() {
    assert!(size_of::<ChunkedDecoder>() <= 48);
}

#[test]
fn rfc9112_7_1_good_bodies() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"0\r\n\r\n", b""),
        (b"00000000\r\n\r\n", b""),
        (b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", b"hello, world"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"0000000a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (
            b"1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
            b"abcdefghijklmnopqrstuvwxyz",
        ),
        (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
        (b"3\r\n\0\xff\r\r\n0\r\n\r\n", b"\0\xff\r"),
    ];
    for (body, expected) in cases {
        assert_eq!(content(body), (expected.to_vec(), Vec::new()));
    }
}

#[test]
fn rfc9112_7_1_1_good_extensions() {
    #[rustfmt::skip]
    let cases: &[&[u8]] = &[
        b";a", b";a=b", b";a;b=c", b" ; a = b ;c", b"\t;\ta\t=\tb\t;\tc", b";a=\"\"", b";a=\"b; c\\\" \\\\\"",
        b";a=\"\t !#~\x80\xff\\\xff\\\t\\ \"", b";a=\"x\" ;b", b";a=\"x\";b=\"y\"",
        b";!#$%&'*+-.^_`|~=!#$%&'*+-.^_`|~", b";a=1;b=2;c=\"3\";d", b";0",
    ];
    for extension in cases {
        let body = [b"5", *extension, b"\r\nhello\r\n0", extension, b"\r\n\r\n"].concat();
        assert_eq!(content(&body), (b"hello".to_vec(), Vec::new()));
    }
}

#[test]
fn rfc9112_7_1_bad_sizes() {
    #[rustfmt::skip]
    let cases: &[&[u8]] = &[
        b"g", b"", b";a", b"-5", b"-0", b"+5", b" 5", b"\t5", b"0x5", b"5 ", b"5\t", b"5_", b"5.0", b"5,",
        b"5=a", b"5 5", b"5/", b"5:", b"5@", b"5G", b"5`", b"5\x0b", b"\x0c5", b"5\0", b"5\xa0", b"5\n",
        b"5\n\r", b"5\r", b"5\rhello", b"\n", b"000000005", b"00000000 5", b"100000005", b"80000000",
        b"ffffffff", b"10000000000000005", b"ffffffffffffffff",
    ];
    for size in cases {
        let body = [*size, b"\r\nhello\r\n0\r\n\r\n"].concat();
        assert_eq!(
            refusal(&body, &ROOMY),
            Some(Rejection::BadChunkSizeData),
            "{}",
            body.escape_ascii()
        );
        let second = [b"1\r\nx\r\n", &body[..]].concat();
        assert_eq!(refusal(&second, &ROOMY), Some(Rejection::BadChunkSizeData));
    }
}

#[test]
fn bad_sizes_are_refused_at_the_first_bad_digit() {
    for (size, refused) in [
        (&b"7fffffff"[..], false),
        (b"80000000", true),
        (b"00000000", false),
        (b"000000000", true),
        (b"7FFFFFFFF", true),
    ] {
        assert_eq!(refusal(size, &ROOMY).is_some(), refused);
        assert_eq!(refusal(&size[..size.len() - 1], &ROOMY), None);
    }
}

#[test]
fn rfc9112_7_1_1_bad_extensions() {
    #[rustfmt::skip]
    let cases: &[&[u8]] = &[
        b";", b"; ", b";;a", b";=b", b";a=", b";a= ", b";a=;b", b";a==b", b";a=b=c", b";a=\"b", b";a=\"b\\",
        b";a=\"b\"c", b";a=\"b\" c", b";a=\"b\"\"c\"", b";a=b\"c\"", b";a\"b\"", b";\"a\"", b";a b", b";a=b c",
        b";a ", b";a\t", b";a=b ", b";a=\"b\" ", b";a='b c'", b";\0", b";a\0", b";a=\x7f", b";a=\"\x7f\"",
        b";a=\"\0\"", b";a=\"\\\x01\"", b";a/b", b";a,b", b";\xe9", b";a=\xe9", b";a\nb", b";\n", b";a\n",
        b";a=\n", b";a=b\n", b";a=\"\n\"", b";a=\"\\\n\"", b";a=\"\r\"", b";a=\"\r\n\"", b";a\rb", b";a\r",
        b";a=\"b\"\r",
    ];
    for extension in cases {
        for size in [&b"5"[..], b"0"] {
            let body = [size, extension, b"\r\nhello\r\n0\r\n\r\n"].concat();
            assert_eq!(
                refusal(&body, &ROOMY),
                Some(Rejection::BadChunkExtension),
                "{}",
                body.escape_ascii()
            );
        }
    }
}

#[test]
fn rfc9112_7_1_data_ends_in_crlf() {
    for end in [
        &b"!\r\n"[..],
        b"0\r\n",
        b"\n",
        b"\r0",
        b"XX",
        b"\n\r",
        b"\r\r\n",
        b" \r\n",
    ] {
        let body = [b"5\r\nhello", end, b"0\r\n\r\n"].concat();
        assert_eq!(
            refusal(&body, &ROOMY),
            Some(Rejection::BadChunkSuffix),
            "{}",
            body.escape_ascii()
        );
    }
}

#[test]
fn what_follows_is_left_alone() {
    let outcome = run_cut(b"1\r\nx\r\n0\r\nA: b\r\n\r\n\r\nGET / HTTP/1.1\r\n", &ROOMY);
    let expected = Outcome::Complete {
        data: b"x".to_vec(),
        trailers: b"A: b\r\n".to_vec(),
        behind: b"\r\nGET / HTTP/1.1\r\n".to_vec(),
    };
    assert_eq!(outcome, expected);
}

#[test]
fn a_size_line_has_a_limit() {
    // The whole line counts, its CRLF too.
    let line = |length: usize| [b"5;", "a".repeat(length - 4).as_bytes(), b"\r\n"].concat();
    let body = |length| [&line(length)[..], b"hello\r\n0\r\n\r\n"].concat();
    assert_eq!(content(&body(4096)).0, b"hello");
    assert_eq!(refusal(&body(4097), &ROOMY), Some(Rejection::BadChunkExtension));
    // The digits belong to the line; the next line counts anew.
    let zeros = [b"0000000", &body(4089)[..]].concat();
    assert_eq!(content(&zeros).0, b"hello");
    let zeros = [b"0000000", &body(4090)[..]].concat();
    assert_eq!(refusal(&zeros, &ROOMY), Some(Rejection::BadChunkExtension));
    // A line that does not end is refused without waiting for its end.
    assert_eq!(refusal(&line(4097)[..4094], &ROOMY), None);
    assert_eq!(refusal(&line(4097)[..4095], &ROOMY), Some(Rejection::BadChunkExtension));
}

#[test]
fn the_extensions_of_a_body_have_a_limit() {
    let body = |last: usize| {
        let chunk = [b"1;", "a".repeat(4000 - 1).as_bytes(), b"\r\nx\r\n"].concat();
        let last = [b"0;", "a".repeat(last - 1).as_bytes(), b"\r\n\r\n"].concat();
        [chunk.repeat(4), last].concat()
    };
    assert_eq!(content(&body(384)).0, b"xxxx");
    assert_eq!(refusal(&body(385), &ROOMY), Some(Rejection::BadChunkExtension));
}

#[test]
fn the_body_limit_counts_raw_bytes() {
    let too_large = Some(Rejection::RequestBodyTooLarge);
    let limits = |max_body| Limits {
        max_body: Some(max_body),
        ..ROOMY
    };
    let bodies: &[&[u8]] = &[
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;a=\"b\"\r\nhello\r\n2\r\n!!\r\n000;x\r\n\r\n",
    ];
    for body in bodies {
        let length = body.len() as u64;
        assert_eq!(refusal(body, &limits(length)), None);
        for less in 0..length {
            assert_eq!(
                refusal(body, &limits(less)),
                too_large,
                "{less}: {}",
                body.escape_ascii()
            );
        }
        // With trailers the last CRLF is one of their section and does not count.
        let with_trailers = [&body[..body.len() - 2], b"A: b\r\nC: d\r\n\r\n"].concat();
        assert_eq!(refusal(&with_trailers, &limits(length - 2)), None);
        assert_eq!(refusal(&with_trailers, &limits(length - 3)), too_large);
    }
    // What follows the body never counts.
    assert_eq!(refusal(b"0\r\n\r\nGET / HTTP/1.1", &limits(5)), None);
}

#[test]
fn an_announced_size_is_refused_at_once() {
    let limits = Limits {
        max_body: Some(10),
        ..ROOMY
    };
    assert_eq!(refusal(b"7\r\n", &limits), None);
    assert_eq!(refusal(b"8\r", &limits), None);
    assert_eq!(refusal(b"8\r\n", &limits), Some(Rejection::RequestBodyTooLarge));
    assert_eq!(
        refusal(b"1\r\nx\r\n2\r\n", &limits),
        Some(Rejection::RequestBodyTooLarge)
    );
}

/// A body that is right, in fragments: mostly whole, sometimes with one of them broken.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let extension = prop_oneof![
        6 => Just(String::new()),
        1 => Just(";a".to_owned()),
        1 => Just(" ; a\t= \"q\\\"\" ;b=c".to_owned()),
    ];
    let chunk = (proptest::collection::vec(any::<u8>(), 1..40), extension.clone()).prop_map(|(data, extension)| {
        [
            format!("{:x}{extension}\r\n", data.len()).as_bytes(),
            &data[..],
            b"\r\n",
        ]
        .concat()
    });
    let trailer = "[A-Ca-c]{1,3}: ?[ -~]{0,8}\r\n";
    (
        proptest::collection::vec(chunk, 0..6),
        extension,
        proptest::collection::vec(trailer, 0..4),
    )
        .prop_map(|(chunks, extension, trailers)| {
            [
                chunks.concat(),
                format!("0{extension}\r\n{}\r\nrest", trailers.concat()).into_bytes(),
            ]
            .concat()
        })
}

fn limits() -> impl Strategy<Value = Limits> {
    (proptest::option::of(0..300u64), 0..40usize, 0..5usize).prop_map(|(max_body, trailer_bytes, trailer_fields)| {
        Limits {
            max_body,
            trailer_bytes,
            trailer_fields,
        }
    })
}

fn in_pieces(mut bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for &length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece.to_vec());
        bytes = rest;
    }
    pieces
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        body in body(),
        change in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        limits in limits(),
        lengths in proptest::collection::vec(1..20usize, 1..10),
    ) {
        let mut body = body;
        if let Some((at, byte)) = change {
            let at = at.index(body.len());
            body[at] = byte;
        }
        for limits in [limits, ROOMY] {
            let whole = run([&body[..]], &limits);
            let pieces = in_pieces(&body, &lengths);
            prop_assert_eq!(run(pieces.iter().map(Vec::as_slice), &limits), whole);
        }
    }

    #[test]
    fn good_bodies_are_complete(body in body()) {
        match run([&body[..]], &ROOMY) {
            Outcome::Complete { behind, .. } => prop_assert_eq!(behind, b"rest"),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn anything_may_come(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), any::<u8>()], 0..60),
        limits in limits(),
    ) {
        let whole = run([&bytes[..]], &limits);
        prop_assert_eq!(run(bytes.chunks(1), &limits), whole);
    }
}
