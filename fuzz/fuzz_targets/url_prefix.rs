//! URL prefixes, beside a reader that goes by their grammar; and nothing that can come of one panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::{ServerOptions, UrlPrefix};

#[path = "../../tests/support/reference/mod.rs"]
mod reference;

use reference::url;

fuzz_target!(|text: &str| {
    let read = UrlPrefix::parse(text).map(|prefix| url::Prefix {
        scheme: prefix.scheme().to_owned(),
        host: prefix.host().to_owned(),
        port: prefix.port(),
        path: prefix.path_base().to_owned(),
    });
    let error = read.as_ref().err().map(ToString::to_string);
    assert_eq!(read.ok(), url::read(text));
    assert!(error.is_none_or(|text| !text.is_empty() && !text.contains('\n')));
    // A zone that is a name is asked of the system.
    if !text.contains('%') {
        let _ = ServerOptions::default().listen_url(text);
    }
});
