//! The command line as a source of settings.

use super::error::ConfigurationError;
use super::shown;
use super::values::{Origin, Values};
use std::ffi::OsString;

/// Sorts arguments into settings and the rest.
pub(super) fn read(
    arguments: impl Iterator<Item = OsString>,
    values: &mut Values,
    positional: &mut Vec<OsString>,
) -> Result<(), ConfigurationError> {
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        let bytes = argument.as_encoded_bytes();
        if bytes == b"--" {
            positional.extend(arguments);
            return Ok(());
        }
        let is_long = bytes.starts_with(b"--");
        if !is_long && (bytes == b"-" || !(bytes.starts_with(b"-") || begins_like_setting(bytes))) {
            positional.push(argument);
            continue;
        }
        let Some(text) = argument.to_str() else {
            return Err(ConfigurationError::NotUnicode {
                argument: shown(&argument),
            });
        };
        if !is_long && text.starts_with('-') {
            return Err(not_a_setting(text));
        }
        let text = text.strip_prefix("--").unwrap_or(text);
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => {
                // What begins with `--` is the next setting: a forgotten value must not swallow it.
                let next = arguments.next_if(|next| !next.as_encoded_bytes().starts_with(b"--"));
                let value = next.ok_or_else(|| ConfigurationError::MissingValue { key: text.to_owned() })?;
                let value = value.into_string().map_err(|value| ConfigurationError::NotUnicode {
                    argument: format!("--{text} {}", shown(&value)),
                })?;
                (text, value)
            }
        };
        let key = key.trim();
        if key.is_empty() {
            return Err(not_a_setting(&argument.to_string_lossy()));
        }
        values.set(key, &value, Origin::CommandLine);
    }
    Ok(())
}

/// Whether there is a `=`, and before it what can only be a key: a path has a `/` or begins with a dot.
fn begins_like_setting(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|&byte| byte == b'=') else {
        return false;
    };
    let key = &bytes[..end];
    key.first().is_some_and(u8::is_ascii_alphabetic)
        && key
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.' | b'_' | b'-'))
}

fn not_a_setting(argument: &str) -> ConfigurationError {
    ConfigurationError::NotASetting {
        argument: argument.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::configuration::{Configuration, ConfigurationError};
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn every_way_to_write_a_setting() {
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (&[], &[], &[]),
            (&["--a=b"], &[("a", "b")], &[]),
            (&["--a", "b"], &[("A", "b")], &[]),
            (&["a=b"], &[("a", "b")], &[]),
            (&["a:b:c=d=e"], &[("a:b:c", "d=e")], &[]),
            (&["--a="], &[("a", "")], &[]),
            (&["--a", ""], &[("a", "")], &[]),
            (&["--a=1", "--A=2"], &[("a", "2")], &[]),
            (&["--a", "-1"], &[("a", "-1")], &[]),
            (&["--a=--b"], &[("a", "--b")], &[]),
            (&["site", "--a=b", "more"], &[("a", "b")], &["site", "more"]),
            // .NET would take these for settings; here they are folders.
            (
                &["/a=b", "./a=b", ".a=b", "a/b=c"],
                &[],
                &["/a=b", "./a=b", ".a=b", "a/b=c"],
            ),
            (&["=b", "a b=c", "-", ""], &[], &["=b", "a b=c", "-", ""]),
            (&["--", "--a=b", "-c", "d=e"], &[], &["--a=b", "-c", "d=e"]),
        ];
        for (arguments, settings, positional) in cases {
            let configuration = Configuration::from_args(arguments.iter()).unwrap();
            for (key, value) in *settings {
                assert_eq!(configuration.get(key), Some(*value), "{arguments:?}");
            }
            assert_eq!(configuration.values.iter().count(), settings.len(), "{arguments:?}");
            assert_eq!(configuration.positional(), *positional, "{arguments:?}");
        }
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        let cases: &[(&[&str], &str)] = &[
            (&["--a"], "--a has no value; write --a=VALUE"),
            (&["--a", "--b=c"], "--a has no value; write --a=VALUE"),
            (&["--a", "--"], "--a has no value; write --a=VALUE"),
            (
                &["-a"],
                "cannot understand the argument -a; write --KEY=VALUE, or -- before a name that begins with a dash",
            ),
            (
                &["--=b"],
                "cannot understand the argument --=b; write --KEY=VALUE, or -- before a name that begins with a dash",
            ),
        ];
        for (arguments, message) in cases {
            let error = Configuration::from_args(arguments.iter()).unwrap_err();
            assert_eq!(error.to_string(), *message, "{arguments:?}");
        }
    }

    #[test]
    fn only_positional_arguments_may_be_any_bytes() {
        let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let configuration = Configuration::from_args([bytes(b"\xff")]).unwrap();
        assert_eq!(configuration.positional(), [bytes(b"\xff")]);
        for arguments in [
            vec![bytes(b"--a=\xff")],
            vec![bytes(b"--a"), bytes(b"\xff")],
            vec![bytes(b"a=\xff")],
        ] {
            let error = Configuration::from_args(arguments.clone()).unwrap_err();
            assert!(matches!(error, ConfigurationError::NotUnicode { .. }), "{arguments:?}");
        }
    }
}
