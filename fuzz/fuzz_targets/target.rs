//! Request targets, beside a reader that is slow and plain.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::TargetForm;
use stannel::http1::target::{bytes_are_valid, parse};

/// The first byte chooses the method, the rest is the target.
const METHODS: [&str; 4] = ["GET", "OPTIONS", "CONNECT", "get"];

fuzz_target!(|data: &[u8]| {
    let Some((&choice, raw)) = data.split_first() else {
        return;
    };
    let method = METHODS[usize::from(choice) % METHODS.len()];
    let mut scratch = Vec::new();
    let result = parse(raw, method, &mut scratch).map(|target| (target.path().to_owned(), target));
    let mut used = vec![b'x'; 100];
    let again = parse(raw, method, &mut used).map(|target| (target.path().to_owned(), target.form()));
    assert_eq!(
        again,
        result.clone().map(|(path, target)| (path, target.form())),
        "what was there before is not read"
    );
    let Ok((path, target)) = result else { return };

    assert!(bytes_are_valid(raw));
    let text = std::str::from_utf8(raw).unwrap();
    assert_eq!(target.raw(), text);
    let hierarchical = match target.form() {
        TargetForm::Origin => {
            assert!(text.starts_with('/') && method != "CONNECT" && target.authority().is_none());
            Some(text)
        }
        TargetForm::Absolute => {
            assert_ne!(method, "CONNECT");
            let authority = target.authority().unwrap();
            let scheme = text.find("://").unwrap() + 3;
            assert!(text[scheme..].starts_with(authority) && !authority.is_empty());
            Some(&text[scheme + authority.len()..])
        }
        TargetForm::Authority => {
            assert_eq!((method, target.authority()), ("CONNECT", Some(text)));
            None
        }
        TargetForm::Asterisk => {
            assert_eq!((method, text), ("OPTIONS", "*"));
            None
        }
    };
    let Some(hierarchical) = hierarchical else {
        assert_eq!((path.as_str(), target.query()), ("", ""));
        return;
    };
    let (raw_path, query) = hierarchical.split_at(hierarchical.find('?').unwrap_or(hierarchical.len()));
    assert_eq!(target.query(), query);
    assert_eq!(path.as_bytes(), plain_path(raw_path.as_bytes()));
});

/// Decodes, then resolves the dot segments: RFC 3986 §5.2.4 by the book.
fn plain_path(raw: &[u8]) -> Vec<u8> {
    if raw.is_empty() {
        return b"/".to_vec();
    }
    let decoded = decode(raw);
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = decoded[1..].split(|&byte| byte == b'/').collect();
    for (index, &segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match segment {
            b"." => {}
            b".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push(b"");
        }
    }
    let mut path = Vec::new();
    for segment in kept {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    path
}

fn decode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        // The longest run of triplets that is one character; NUL and the slash stay encoded (NUL never gets here).
        let found = (1..=4).rev().find_map(|count| {
            let bytes: Vec<u8> = (0..count)
                .map(|index| triplet(raw, at + 3 * index))
                .collect::<Option<_>>()?;
            let text = std::str::from_utf8(&bytes).ok()?;
            (text.chars().count() == 1 && text != "/").then_some(bytes)
        });
        match found {
            Some(bytes) => {
                assert_ne!(bytes, [0], "%00 is refused");
                at += 3 * bytes.len();
                out.extend(bytes);
            }
            None => {
                out.push(raw[at]);
                at += 1;
            }
        }
    }
    out
}

fn triplet(raw: &[u8], at: usize) -> Option<u8> {
    match raw.get(at..at + 3)? {
        [b'%', high, low] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        }
        _ => None,
    }
}
