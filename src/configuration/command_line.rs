//! The command line as a source of settings, by .NET's rules.

use super::error::ConfigurationError;
use super::tree::{Origin, Tree};

/// Reads `--key=value`, `/key=value`, `key=value`, `--key value` and `/key value`.
///
/// A key takes the next argument as its value whatever that looks like, a key at the end is dropped, and words that are
/// neither are skipped: they may be the program's own.
pub(super) fn read(arguments: &[String], tree: &mut Tree) -> Result<(), ConfigurationError> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let (is_short, text) = if let Some(text) = argument.strip_prefix("--") {
            (false, Some(text))
        } else if let Some(text) = argument.strip_prefix('-') {
            (true, Some(text))
        } else {
            (false, argument.strip_prefix('/'))
        };
        let (key, value) = match (text.unwrap_or(argument).split_once('='), text) {
            (Some(_), _) if is_short => {
                return Err(ConfigurationError::NotASetting {
                    argument: argument.escape_debug().to_string(),
                });
            }
            (Some((key, value)), _) => (key, value),
            (None, Some(key)) if !is_short => match arguments.next() {
                Some(value) => (key, value.as_str()),
                None => return Ok(()),
            },
            (None, _) => continue,
        };
        tree.set(key, Some(value.to_owned()), Origin::CommandLine);
    }
    Ok(())
}
