//! Configuration files beside serde_json: where both have to read the same, they do.

use serde_json::Value;
use stannel::{Configuration, ConfigurationError};
use std::collections::HashSet;

/// .NET's own bound on objects in objects.
const DEEPEST: usize = 64;

/// Panics where a text was read otherwise than JSON says.
pub(crate) fn compare(text: &str, built: &Result<Configuration, ConfigurationError>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            assert!(
                built.is_err() || may_be_read(text, &error),
                "{text:?} is no JSON: {error}"
            );
            return;
        }
    };
    let mut leaves = Vec::new();
    let depth = flatten(String::new(), &value, 0, &mut leaves);
    match built {
        Err(ConfigurationError::JsonNotObject { .. }) => assert!(!value.is_object(), "{text:?}"),
        // serde_json keeps the last of equal names.
        Err(ConfigurationError::DuplicateKey { .. }) => {}
        Err(ConfigurationError::InvalidJson { .. }) if depth > DEEPEST => {}
        Err(error) => panic!("{text:?} is JSON: {error}"),
        Ok(configuration) => {
            assert!(value.is_object() && depth <= DEEPEST, "{text:?}");
            let paths: HashSet<String> = leaves.iter().map(|(path, _)| path.to_lowercase()).collect();
            if paths.len() < leaves.len() {
                return;
            }
            for (path, leaf) in leaves.iter().filter(|(path, _)| !path.is_empty()) {
                let found = configuration.get(path);
                assert!(is_same(leaf, found), "{path:?} of {text:?} is {leaf}, not {found:?}");
            }
        }
    }
}

/// What .NET's reader allows beyond JSON, and what is too much for serde_json alone.
fn may_be_read(text: &str, error: &serde_json::Error) -> bool {
    let has_comment = text.contains('/');
    let commas = text.match_indices(',').map(|(at, _)| text[at + 1..].trim_start());
    let has_trailing_comma = commas.into_iter().any(|rest| rest.starts_with(['}', ']']));
    has_comment || has_trailing_comma || error.to_string().starts_with("number out of range")
}

/// All that is no object and no array, or an empty one, with its path; returns how deep it goes.
fn flatten(path: String, value: &Value, depth: usize, leaves: &mut Vec<(String, Value)>) -> usize {
    let below = |name: &str| {
        if depth == 0 {
            name.to_owned()
        } else {
            format!("{path}:{name}")
        }
    };
    match value {
        Value::Object(object) if !object.is_empty() => {
            let depths = object
                .iter()
                .map(|(name, value)| flatten(below(name), value, depth + 1, leaves));
            depths.max().unwrap_or(depth)
        }
        Value::Array(array) if !array.is_empty() => {
            let items = array.iter().enumerate();
            let depths = items.map(|(index, value)| flatten(below(&index.to_string()), value, depth + 1, leaves));
            depths.max().unwrap_or(depth)
        }
        leaf => {
            if depth > 0 {
                leaves.push((path, leaf.clone()));
            }
            depth
        }
    }
}

fn is_same(leaf: &Value, found: Option<&str>) -> bool {
    match (leaf, found) {
        (Value::String(text), Some(found)) => text == found,
        (Value::Bool(true), Some("True")) | (Value::Bool(false), Some("False")) => true,
        (Value::Number(number), Some(found)) => {
            let (expected, found) = (number.as_f64().unwrap_or(f64::NAN), found.parse().unwrap_or(f64::NAN));
            // serde_json rounds the last digit as it likes.
            (expected - found).abs() <= expected.abs() * 1e-12
        }
        (Value::Array(_), Some("")) | (Value::Null | Value::Object(_), None) => true,
        _ => false,
    }
}
