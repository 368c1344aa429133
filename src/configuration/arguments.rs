//! The arguments of a program that takes other things than settings too.

use super::error::ConfigurationError;
use super::shown;
use std::ffi::OsString;

/// A command line, sorted into settings and the rest, for programs such as `stannel FOLDER --urls=…`.
///
/// | argument | meaning |
/// |---|---|
/// | `--key=value`, `--key value` | a setting; a value that begins with `--` needs the first form |
/// | `key=value` | a setting, if `key` has only letters, digits, `:`, `.`, `_` and `-` and begins with a letter |
/// | a flag that the program names | that flag |
/// | `--` | everything behind it is positional |
/// | anything else | positional, such as a folder |
///
/// It is stricter than [`ConfigurationBuilder::add_command_line`](super::ConfigurationBuilder::add_command_line), which
/// follows .NET: a forgotten value does not swallow the next setting, and `/key=value` is left out, because a folder
/// begins with `/` too. A positional argument that looks like a setting is written with its folder: `./a=b`.
///
/// ```
/// use stannel::{Arguments, Configuration};
///
/// let arguments = Arguments::split(["--help", "./site", "--urls", "http://*:80"], &["--help"])?;
/// assert!(arguments.has_flag("--help"));
/// assert_eq!(arguments.positional(), ["./site"]);
/// let configuration = Configuration::from_default_sources(arguments.settings())?;
/// assert_eq!(configuration.get("urls"), Some("http://*:80"));
/// # Ok::<(), stannel::ConfigurationError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    settings: Vec<String>,
    flags: Vec<&'static str>,
    positional: Vec<OsString>,
}

impl Arguments {
    /// Sorts the arguments behind the program's name. `flags` are those that have no value.
    ///
    /// # Errors
    /// When an argument looks like a setting and is none: `--key` without a value, an empty key, a single dash with
    /// letters, or a setting that is no Unicode text.
    pub fn split<I>(arguments: I, flags: &[&'static str]) -> Result<Self, ConfigurationError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let mut sorted = Self::default();
        let mut arguments = arguments.into_iter().map(Into::into).peekable();
        while let Some(argument) = arguments.next() {
            let bytes = argument.as_encoded_bytes();
            if let Some(flag) = flags.iter().find(|flag| flag.as_bytes() == bytes) {
                sorted.flags.push(flag);
                continue;
            }
            if bytes == b"--" {
                sorted.positional.extend(arguments);
                break;
            }
            let is_long = bytes.starts_with(b"--");
            if !is_long && (bytes == b"-" || !(bytes.starts_with(b"-") || begins_like_setting(bytes))) {
                sorted.positional.push(argument);
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
            sorted.settings.push(format!("--{key}={value}"));
        }
        Ok(sorted)
    }

    /// The settings, each as `--key=value`.
    #[must_use]
    pub fn settings(&self) -> &[String] {
        &self.settings
    }

    /// Whether a flag was given.
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// The arguments that are neither, in order.
    #[must_use]
    pub fn positional(&self) -> &[OsString] {
        &self.positional
    }
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
    use super::Arguments;
    use crate::configuration::ConfigurationError;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn every_way_to_write_a_setting() {
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (&[], &[], &[]),
            (&["--a=b"], &["--a=b"], &[]),
            (&["--a", "b"], &["--a=b"], &[]),
            (&["a=b"], &["--a=b"], &[]),
            (&["a:b:c=d=e"], &["--a:b:c=d=e"], &[]),
            (&["--a="], &["--a="], &[]),
            (&["--a", ""], &["--a="], &[]),
            (&["--a", "-1"], &["--a=-1"], &[]),
            (&["--a=--b"], &["--a=--b"], &[]),
            (&["site", "--a=b", "more"], &["--a=b"], &["site", "more"]),
            // .NET would take these for settings; here they are folders.
            (
                &["/a=b", "./a=b", ".a=b", "a/b=c"],
                &[],
                &["/a=b", "./a=b", ".a=b", "a/b=c"],
            ),
            (&["=b", "a b=c", "-", ""], &[], &["=b", "a b=c", "-", ""]),
            (&["--", "--a=b", "-c", "d=e"], &[], &["--a=b", "-c", "d=e"]),
            (&["-h", "--a", "-h"], &["--a=-h"], &[]),
        ];
        for (arguments, settings, positional) in cases {
            let sorted = Arguments::split(arguments.iter(), &["-h"]).unwrap();
            assert_eq!(sorted.settings(), *settings, "{arguments:?}");
            assert_eq!(sorted.positional(), *positional, "{arguments:?}");
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
            let error = Arguments::split(arguments.iter(), &[]).unwrap_err();
            assert_eq!(error.to_string(), *message, "{arguments:?}");
        }
    }

    #[test]
    fn only_positional_arguments_may_be_any_bytes() {
        let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let sorted = Arguments::split([bytes(b"\xff")], &[]).unwrap();
        assert_eq!(sorted.positional(), [bytes(b"\xff")]);
        for arguments in [
            vec![bytes(b"--a=\xff")],
            vec![bytes(b"--a"), bytes(b"\xff")],
            vec![bytes(b"a=\xff")],
        ] {
            let error = Arguments::split(arguments.clone(), &[]).unwrap_err();
            assert!(matches!(error, ConfigurationError::NotUnicode { .. }), "{arguments:?}");
        }
    }
}
