//! JSON as a source of settings: objects and arrays become paths, everything else becomes text.

use super::error::ConfigurationError;
use super::key::Folded;
use super::tree::{Origin, Tree};
use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What .NET's reader allows: comments and trailing commas.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// .NET's own bound on objects in objects.
const DEEPEST: usize = 64;

/// Adds all keys of a text.
pub(super) fn read(path: &Arc<Path>, text: &str, tree: &mut Tree) -> Result<(), ConfigurationError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let invalid = |at: usize, reason: String| {
        let (line, column) = position(text, at);
        ConfigurationError::InvalidJson {
            path: path.to_path_buf(),
            line,
            column,
            reason,
        }
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS)
        .map_err(|error| invalid(error.range().start, lower_first(&error.kind().to_string())))?;
    if let Some(at) = foreign_blank(text) {
        let reason = "a blank that JSON does not know; use spaces, tabs and line ends".to_owned();
        return Err(invalid(at, reason));
    }
    let object = match parsed.value {
        Some(Value::Object(object)) => object,
        Some(other) => {
            let (line, column) = position(text, other.start());
            return Err(ConfigurationError::JsonNotObject {
                path: path.to_path_buf(),
                line,
                column,
            });
        }
        None => return Err(invalid(text.len(), "it is empty; expected an object: { … }".to_owned())),
    };
    let mut walk = Walk {
        lines: Lines::new(text),
        path,
        tree,
        met: HashMap::new(),
    };
    walk.value("", &Value::Object(object), 0)
}

/// RFC 8259 §2: only SP, HTAB, LF and CR stand between the parts of a well-formed text. The parser takes whatever Unicode
/// calls white space; in texts and comments it may stand.
fn foreign_blank(text: &str) -> Option<usize> {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let length = match first {
            '"' => end_of_string(rest),
            '/' if rest.starts_with("//") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '/' => rest.find("*/").map_or(rest.len(), |end| end + 2),
            ' ' | '\t' | '\n' | '\r' => 1,
            blank if blank.is_whitespace() => return Some(at),
            other => other.len_utf8(),
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    None
}

/// How long the text in quotes is with which `rest` begins.
fn end_of_string(rest: &str) -> usize {
    let mut is_escaped = true;
    let end = rest.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(rest.len(), |end| end + 1)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

struct Walk<'a> {
    lines: Lines<'a>,
    path: &'a Arc<Path>,
    tree: &'a mut Tree,
    /// The keys of this file and their lines.
    met: HashMap<Folded, usize>,
}

impl Walk<'_> {
    fn value(&mut self, key: &str, value: &Value<'_>, depth: usize) -> Result<(), ConfigurationError> {
        if depth > DEEPEST {
            let (line, column) = self.lines.position(value.start());
            return Err(ConfigurationError::InvalidJson {
                path: self.path.to_path_buf(),
                line,
                column,
                reason: format!("more than {DEEPEST} objects and arrays in each other"),
            });
        }
        match value {
            Value::Object(object) if object.properties.is_empty() && depth > 0 => self.leaf(key, None, value),
            Value::Object(object) => object.properties.iter().try_for_each(|property| {
                let name = match &property.name {
                    ObjectPropName::String(name) => {
                        self.check_text(name.start(), name.end())?;
                        name.value.as_ref()
                    }
                    ObjectPropName::Word(name) => name.value,
                };
                let key = if depth == 0 {
                    name.to_owned()
                } else {
                    join_part(key, name)
                };
                self.value(&key, &property.value, depth + 1)
            }),
            // An array without items is a key with an empty text, an object without keys one without value.
            Value::Array(array) if array.elements.is_empty() => self.leaf(key, Some(String::new()), value),
            Value::Array(array) => array
                .elements
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.value(&join_part(key, &index.to_string()), item, depth + 1)),
            Value::StringLit(text) => {
                self.check_text(text.start(), text.end())?;
                self.leaf(key, Some(text.value.clone().into_owned()), value)
            }
            Value::NumberLit(number) => self.leaf(key, Some(number.value.to_owned()), value),
            Value::BooleanLit(boolean) => {
                let text = if boolean.value { "True" } else { "False" };
                self.leaf(key, Some(text.to_owned()), value)
            }
            Value::NullKeyword(_) => self.leaf(key, None, value),
        }
    }

    /// RFC 8259 §7: control characters are escaped; a line that goes on in the next one is a quote that was forgotten.
    fn check_text(&self, start: usize, end: usize) -> Result<(), ConfigurationError> {
        let text = self.lines.text.get(start..end).unwrap_or_default();
        let Some(at) = text.bytes().position(|byte| byte < 0x20) else {
            return Ok(());
        };
        let (line, column) = self.lines.position(start + at);
        Err(ConfigurationError::InvalidJson {
            path: self.path.to_path_buf(),
            line,
            column,
            reason: "a control character or the end of the line inside a text; write \\n, \\t or \\u0000, or close the quote"
                .to_owned(),
        })
    }

    fn leaf(&mut self, key: &str, text: Option<String>, value: &Value<'_>) -> Result<(), ConfigurationError> {
        let (line, column) = self.lines.position(value.start());
        // .NET looks for a key that is there already only where it has a value to add.
        let is_empty = matches!(value, Value::Object(_) | Value::Array(_));
        if let Some(first) = self.met.insert(Folded::new(key), line)
            && !is_empty
        {
            return Err(ConfigurationError::DuplicateKey {
                path: self.path.to_path_buf(),
                line,
                column,
                key: key.to_owned(),
                first,
            });
        }
        let origin = Origin::File {
            path: Arc::clone(self.path),
            line,
            column,
        };
        self.tree.set(key, text, origin);
        Ok(())
    }
}

/// A part below a key, which may be an empty text itself.
fn join_part(key: &str, part: &str) -> String {
    format!("{key}:{part}")
}

/// Line and column of a byte, both from 1 on.
fn position(text: &str, at: usize) -> (usize, usize) {
    Lines::new(text).position(at)
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|&start| start <= at);
        let start = self.starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or("");
        (line, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use crate::configuration::{Configuration, ConfigurationError};

    /// As a running Kestrel 10 takes and refuses them.
    #[test]
    fn texts_are_taken_and_refused_as_dotnet_does() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for text in [
            r#"{"a":"\u00e9\n"}"#,
            r#"{"a":-0.0}"#,
            r#"{"a":1E+400}"#,
            "{\"a\":1}/* c */ // x",
            "{\"a\":/**/1,//x\n}",
            r#"{"":1,":":1}"#,
            r#"{"a":1,"a":{}}"#,
            r#"{"a":[],"A":{"b":1}}"#,
            "\u{feff}{\"a\":1}",
            r#"{"a":"\u0000"}"#,
            "{/* \u{c} */\"a\":\"\u{a0}\\\" \u{2003}\"} // \u{b}",
            &nested(64),
        ] {
            let read = Configuration::builder().add_json_text("a.json", text).build();
            assert!(read.is_ok(), "{text}: {read:?}");
        }
        let names = Configuration::builder().add_json_text("a.json", r#"{"":["x"],"a":[["y"]]}"#);
        let names = names.build().unwrap().section("");
        let names: Vec<(String, &str)> = names.entries().collect();
        assert_eq!(names, [(":0".to_owned(), "x"), ("a:0:0".to_owned(), "y")]);
        for text in [
            "{\"a\":\"x\ny\"}",
            "{\"a\":\"x\ty\"}",
            "{\"a\tb\":1}",
            "{\"a\":\"\0\"}",
            r#"{"a":"\x"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":+1}"#,
            r#"{"a":0x10}"#,
            r#"{"a":NaN}"#,
            r#"{'a':1}"#,
            r#"{a:1}"#,
            r#"{"a":[1,,2]}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":1}x"#,
            "{\"a\":1\u{c}}",
            "{\"a\":\u{a0}1}",
            "{\"\\\"\":1,\u{2003}\"b\":2}",
            "/* c */",
            &nested(65),
        ] {
            let read = Configuration::builder().add_json_text("a.json", text).build();
            assert!(
                matches!(read, Err(ConfigurationError::InvalidJson { .. })),
                "{text}: {read:?}"
            );
        }
        for text in [
            r#"{"a:":1,"a":{"":2}}"#,
            r#"{"a":{"b":1},"A:B":2}"#,
            r#"{"a":{},"a":1}"#,
        ] {
            let read = Configuration::builder().add_json_text("a.json", text).build();
            assert!(
                matches!(read, Err(ConfigurationError::DuplicateKey { .. })),
                "{text}: {read:?}"
            );
        }
    }
}
