//! Configuration files: what JSON is, is read as serde_json reads it; and whatever it says, planning endpoints does not
//! panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::Configuration;

#[path = "../../tests/support/reference/json.rs"]
mod json;

fuzz_target!(|text: &str| {
    let built = Configuration::builder().add_json_text("a.json", text).build();
    if let Err(error) = &built {
        assert!(!error.to_string().is_empty());
    }
    json::compare(text, &built);
    // Names of files would be opened.
    let names_files = ["path", "certificate"]
        .iter()
        .any(|word| text.to_ascii_lowercase().contains(word));
    if !names_files && let Ok(options) = built.and_then(|built| built.server_options()) {
        let _ = options.plan();
    }
});
