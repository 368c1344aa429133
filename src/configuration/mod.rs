//! Settings from outside the program: keys with values, wherever they come from.
//!
//! All sources end in one flat map of keys that know where they came from ([`Values`]); one table
//! ([`settings`]) says what the keys mean. So a further source only has to fill the map, and a further option only has
//! to stand in the table.

mod arguments;
mod error;
mod nearest;
mod settings;
mod value;
mod values;

pub use error::ConfigurationError;
pub use values::Origin;

use crate::endpoint::ServerOptions;
use std::ffi::{OsStr, OsString};
use values::Values;

/// What the user of a program asks for on its command line, in the words of .NET's configuration.
///
/// The options that can be set are listed in `docs/configuration.md`, with their defaults.
///
/// | argument | meaning |
/// |---|---|
/// | `--key=value`, `--key value` | a setting; a value that begins with `--` needs the first form |
/// | `key=value` | a setting, if `key` has only letters, digits, `:`, `.`, `_` and `-` and begins with a letter |
/// | `--` | everything behind it is positional |
/// | anything else | positional, such as a folder |
///
/// Keys are paths with `:` between the parts; case does not matter, and of a key given twice the later value counts.
/// .NET's `/key=value` is left out, because a folder begins with `/` too. A positional argument that looks like a
/// setting is written with its folder: `./a=b`.
///
/// ```
/// use stannel::Configuration;
///
/// let arguments = ["--urls", "http://localhost:8080", "--kestrel:limits:KeepAliveTimeout=00:01:00", "./site"];
/// let configuration = Configuration::from_args(arguments)?;
/// let options = configuration.server_options()?;
/// assert_eq!(options.endpoints().len(), 1);
/// assert_eq!(configuration.positional(), ["./site"]);
/// assert!(configuration.warnings().is_empty());
/// # Ok::<(), stannel::ConfigurationError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    values: Values,
    positional: Vec<OsString>,
}

impl Configuration {
    /// Reads a command line, without the program's name: `std::env::args_os().skip(1)`.
    ///
    /// # Errors
    /// When an argument looks like a setting and is none: `--key` without a value, an empty key, a single dash, or a
    /// setting that is no Unicode text. What the values mean is not looked at yet.
    pub fn from_args<I>(arguments: I) -> Result<Self, ConfigurationError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let mut configuration = Self::default();
        arguments::read(
            arguments.into_iter().map(Into::into),
            &mut configuration.values,
            &mut configuration.positional,
        )?;
        Ok(configuration)
    }

    /// The value of a key, whose case does not matter; `None` if it is not set. An empty value is a value.
    ///
    /// ```
    /// let configuration = stannel::Configuration::from_args(["--Shop:Name=Corner"]).unwrap();
    /// assert_eq!(configuration.get("shop:name"), Some("Corner"));
    /// assert_eq!(configuration.get("shop"), None);
    /// ```
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|entry| entry.value.as_str())
    }

    /// The arguments that are no settings, in order.
    ///
    /// ```
    /// let configuration = stannel::Configuration::from_args(["a", "--urls=http://*:80", "b"]).unwrap();
    /// assert_eq!(configuration.positional(), ["a", "b"]);
    /// ```
    #[must_use]
    pub fn positional(&self) -> &[OsString] {
        &self.positional
    }

    /// The options that the keys ask for; those that no key names have their defaults. The keys are listed in
    /// `docs/configuration.md`.
    ///
    /// ```
    /// let configuration = stannel::Configuration::from_args(["--Kestrel:Workers=two"]).unwrap();
    /// assert_eq!(
    ///     configuration.server_options().unwrap_err().to_string(),
    ///     "Kestrel:Workers=two on the command line: expected a number of threads above 0"
    /// );
    /// ```
    ///
    /// # Errors
    /// Names the first value that cannot be understood and what was expected, or says which limits do not fit
    /// together.
    pub fn server_options(&self) -> Result<ServerOptions, ConfigurationError> {
        settings::apply(&self.values)
    }

    /// One line for each key that means nothing to the server, with the known key that is nearest to it.
    ///
    /// Keys outside `Kestrel` may be the program's own; which of these it reads is known to nobody else, so skip their
    /// lines with [`warnings_besides`](Self::warnings_besides).
    ///
    /// ```
    /// let configuration = stannel::Configuration::from_args(["--Kestrel:Worker=2"]).unwrap();
    /// assert_eq!(
    ///     configuration.warnings(),
    ///     ["unknown key Kestrel:Worker on the command line; did you mean Kestrel:Workers?"]
    /// );
    /// ```
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings_besides(&[])
    }

    /// The same, but the program knows the keys `own` (and everything below them) itself.
    ///
    /// ```
    /// let configuration = stannel::Configuration::from_args(["--Shop:Name=Corner"]).unwrap();
    /// assert_eq!(configuration.warnings().len(), 1);
    /// assert!(configuration.warnings_besides(&["Shop"]).is_empty());
    /// ```
    #[must_use]
    pub fn warnings_besides(&self, own: &[&str]) -> Vec<String> {
        self.values
            .iter()
            .filter(|entry| !own.iter().any(|own| values::is_at_or_below(&entry.key, own)))
            .filter_map(settings::warning)
            .collect()
    }
}

/// An argument as it can be shown in a message.
fn shown(argument: &OsStr) -> String {
    argument.to_string_lossy().escape_debug().to_string()
}
