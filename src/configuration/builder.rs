//! Sources in layers: the later one wins, key by key.

use super::environment::{self, Variables};
use super::error::ConfigurationError;
use super::tree::{Origin, Tree};
use super::{Configuration, command_line};
use std::ffi::OsString;
#[cfg(feature = "config")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that is larger is no configuration.
#[cfg(feature = "config")]
const LARGEST: u64 = 4 << 20;

/// Puts sources on top of each other; .NET's `ConfigurationBuilder`. A later source wins, key by key.
///
/// ```
/// use stannel::Configuration;
///
/// let configuration = Configuration::builder()
///     .set("Kestrel:Workers", "2")
///     .add_command_line(["--kestrel:workers=4"])
///     .build()?;
/// assert_eq!(configuration.get("Kestrel:Workers"), Some("4"));
/// # Ok::<(), stannel::ConfigurationError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConfigurationBuilder {
    pub(super) sources: Vec<Source>,
    pub(super) base_path: Option<PathBuf>,
    pub(super) variables: Option<Arc<Variables>>,
    pub(super) environment_name: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    #[cfg(feature = "config")]
    JsonFile {
        path: PathBuf,
        is_optional: bool,
    },
    #[cfg(feature = "config")]
    JsonText {
        name: PathBuf,
        text: Arc<str>,
    },
    Environment {
        prefix: String,
    },
    CommandLine(Arc<Vec<String>>),
    Pair {
        key: String,
        value: String,
    },
}

impl ConfigurationBuilder {
    /// Where relative paths of files begin; Kestrel's content root. Default: the current directory.
    #[must_use]
    pub fn set_base_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.base_path = Some(path.into());
        self
    }

    /// Takes these for the environment instead of the variables of this process.
    #[must_use]
    pub fn set_environment<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<String>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.variables = Some(Arc::new(variables.collect()));
        self
    }

    /// What [`Configuration::from_default_sources`] reads, on top of the sources so far.
    ///
    /// # Errors
    /// An argument such as `-k=value`.
    pub fn add_default_sources<I>(mut self, arguments: I) -> Result<Self, ConfigurationError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self = self.add_host_sources().add_command_line(arguments);
        let mut host = Tree::default();
        self.read_into(&mut host)?;
        let of_host = |key| {
            host.get(key)
                .and_then(|leaf| leaf.value.clone())
                .filter(|value| !value.is_empty())
        };
        if let Some(root) = of_host("contentRoot") {
            self.base_path = Some(PathBuf::from(root));
        }
        self.environment_name = of_host("environment");
        let command_line = self.sources.pop();
        #[cfg(feature = "config")]
        {
            let name = self.environment_name.as_deref().unwrap_or(super::PRODUCTION);
            let of_environment = format!("appsettings.{name}.json");
            self = self
                .add_optional_json_file("appsettings.json")
                .add_optional_json_file(of_environment);
        }
        self = self.add_environment_variables("");
        self.sources.extend(command_line);
        Ok(self)
    }

    /// The variables of .NET's hosts, weaker than all files.
    fn add_host_sources(self) -> Self {
        self.add_environment_variables("ASPNETCORE_")
            .add_environment_variables("DOTNET_")
    }

    /// A JSON file, which has to be there. Comments and trailing commas are allowed.
    #[cfg(feature = "config")]
    #[must_use]
    pub fn add_json_file(self, path: impl Into<PathBuf>) -> Self {
        self.add(Source::JsonFile {
            path: path.into(),
            is_optional: false,
        })
    }

    /// A JSON file that may be missing.
    #[cfg(feature = "config")]
    #[must_use]
    pub fn add_optional_json_file(self, path: impl Into<PathBuf>) -> Self {
        self.add(Source::JsonFile {
            path: path.into(),
            is_optional: true,
        })
    }

    /// A JSON file, which has to be there, stronger than all files so far and weaker than environment and command line.
    #[cfg(feature = "config")]
    #[must_use]
    pub fn add_json_file_above_others(mut self, path: impl Into<PathBuf>) -> Self {
        let is_file = |source: &Source| matches!(source, Source::JsonFile { .. } | Source::JsonText { .. });
        let place = self.sources.iter().rposition(is_file).map_or(0, |last| last + 1);
        let path = path.into();
        self.sources.insert(
            place,
            Source::JsonFile {
                path,
                is_optional: false,
            },
        );
        self
    }

    /// JSON text; messages call it by the name.
    #[cfg(feature = "config")]
    #[must_use]
    pub fn add_json_text(self, name: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        self.add(Source::JsonText {
            name: name.into(),
            text: text.into(),
        })
    }

    /// The environment variables whose name begins with the prefix, in any case; the rest of the name is the key, with
    /// `__` for `:`. An empty prefix takes them all.
    #[must_use]
    pub fn add_environment_variables(self, prefix: impl Into<String>) -> Self {
        self.add(Source::Environment { prefix: prefix.into() })
    }

    /// A command line, without the program's name, by .NET's rules: `--key=value`, `--key value`, `/key=value`,
    /// `/key value` and `key=value`; other words are skipped. What is no Unicode text is skipped too.
    #[must_use]
    pub fn add_command_line<I>(self, arguments: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let arguments = arguments
            .into_iter()
            .filter_map(|argument| argument.into().into_string().ok());
        self.add(Source::CommandLine(Arc::new(arguments.collect())))
    }

    /// One setting.
    #[must_use]
    pub fn set(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.add(Source::Pair {
            key: key.into(),
            value: value.into(),
        })
    }

    fn add(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// Reads all sources.
    ///
    /// # Errors
    /// A file that is missing, cannot be read, is no JSON object, or has a key twice: the message names file, line and
    /// column. An argument such as `-k=value`.
    pub fn build(self) -> Result<Configuration, ConfigurationError> {
        Configuration::read(self)
    }

    pub(super) fn variables(&self) -> Arc<Variables> {
        self.variables
            .clone()
            .unwrap_or_else(|| Arc::new(environment::of_this_process()))
    }

    pub(super) fn read_into(&self, tree: &mut Tree) -> Result<(), ConfigurationError> {
        for source in &self.sources {
            match source {
                #[cfg(feature = "config")]
                Source::JsonFile { path, is_optional } => {
                    if let Some(text) = read_file(&self.resolve(path), path, *is_optional)? {
                        super::json::read(&Arc::from(path.as_path()), &text, tree)?;
                    }
                }
                #[cfg(feature = "config")]
                Source::JsonText { name, text } => super::json::read(&Arc::from(name.as_path()), text, tree)?,
                Source::Environment { prefix } => environment::read(&self.variables(), prefix, tree),
                Source::CommandLine(arguments) => command_line::read(arguments, tree)?,
                Source::Pair { key, value } => tree.set(key, Some(value.clone()), Origin::Code),
            }
        }
        Ok(())
    }

    /// The files that are read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let file = |source: &Source| match source {
            #[cfg(feature = "config")]
            Source::JsonFile { path, .. } => Some(self.resolve(path)),
            _ => None,
        };
        self.sources.iter().filter_map(file).collect()
    }

    #[cfg(feature = "config")]
    fn resolve(&self, path: &Path) -> PathBuf {
        self.base_path
            .as_ref()
            .map_or_else(|| path.to_owned(), |base| base.join(path))
    }
}

#[cfg(feature = "config")]
fn read_file(path: &Path, name: &Path, is_optional: bool) -> Result<Option<String>, ConfigurationError> {
    use std::io::Read;
    let unreadable = |reason: String| ConfigurationError::UnreadableFile {
        path: name.to_owned(),
        reason,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if is_optional && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(unreadable(format!("it is larger than {LARGEST} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        unreadable(format!(
            "it is no UTF-8 text from byte {} on",
            error.utf8_error().valid_up_to()
        ))
    })
}
