//! Request targets, beside a reader that is slow and plain.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::TargetForm;
use stannel::http1::target::{bytes_are_valid, parse};

#[path = "../../tests/support/reference/mod.rs"]
mod reference;

use reference::target::plain_path;

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
