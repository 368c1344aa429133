//! URL prefixes and lists of them.

use crate::{Case, same, texts};
use stannel::{ServerOptions, UrlError, UrlPrefix};

/// The cases' names of what can be wrong with a URL.
pub(crate) fn name(error: &UrlError) -> &'static str {
    match error {
        UrlError::Invalid(..) => "invalid-url",
        UrlError::UnsupportedScheme(_) => "unsupported-scheme",
        UrlError::PathBase(_) => "path-base",
        UrlError::PortOutOfRange(_) => "port-out-of-range",
        _ => "another error",
    }
}

pub(crate) fn url(case: &Case) -> Result<(), String> {
    let expect = &case.expect;
    let prefix = match UrlPrefix::parse(case.input.as_str().unwrap_or_default()) {
        Ok(prefix) => prefix,
        Err(error) => return same("error", &name(&error), &expect["error"].as_str().unwrap_or("none")),
    };
    same("error", &None, &expect["error"].as_str())?;
    for (key, found) in [
        ("scheme", prefix.scheme().to_owned()),
        ("host", prefix.host().to_owned()),
        ("port", prefix.port().to_string()),
        ("path_base", prefix.path_base().to_owned()),
        ("canonical", prefix.to_string()),
    ] {
        let expected = match &expect[key] {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        same(key, &found, &expected)?;
    }
    Ok(())
}

/// The pieces are told when endpoints override them, as they are.
pub(crate) fn list(case: &Case) -> Result<(), String> {
    let urls = case.input["urls"].as_str().unwrap_or_default();
    let mut options = ServerOptions::default();
    options.use_urls([urls]);
    options.listen_localhost(1);
    let plan = options.plan().map_err(|error| error.to_string())?;
    let expected = texts(&case.expect["addresses"]);
    let told = plan.notes().iter().find_map(|note| {
        let rest = note.text().strip_prefix("overriding the addresses ")?;
        rest.split_once("; binding to")
            .map(|(addresses, _)| addresses.to_owned())
    });
    same("addresses", &told.unwrap_or_default(), &expected.join(", "))
}
