//! Settings from outside the program: keys with values, wherever they come from.
//!
//! All sources end in one flat map of keys that know where they came from ([`tree`]); [`settings`] says what the keys of
//! the server mean, [`kestrel`] what endpoints are made of. So a further source only has to fill the map.

mod arguments;
mod builder;
mod certificate;
mod command_line;
mod environment;
mod error;
mod files;
mod hosting;
mod https_middleware;
#[cfg(feature = "config")]
mod json;
mod kestrel;
mod key;
mod known;
mod loader;
mod middleware;
mod nearest;
mod section;
mod settings;
mod tree;
mod value;

pub use arguments::Arguments;
pub use builder::ConfigurationBuilder;
pub use error::ConfigurationError;
pub use loader::{ConfigurationLoader, EndpointConfiguration};
pub use section::Section;
pub use tree::Origin;

pub(crate) use certificate::Fallback;
#[cfg(feature = "tls")]
pub(crate) use certificate::certificate_node;
pub(crate) use files::Fingerprint;
pub(crate) use hosting::{Addresses, addresses, split as split_urls};
pub(crate) use kestrel::Shared;
pub(crate) use loader::load;

use crate::endpoint::ServerOptions;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::Tree;

/// The settings of a program, in the words of .NET's configuration: text values under keys such as
/// `Kestrel:Limits:KeepAliveTimeout`, whose case does not matter, from files, environment and command line.
///
/// `docs/configuration.md` lists the keys that the server knows. A configuration does not change; what
/// [`reload`](Self::reload) gives is another one.
///
/// ```
/// use stannel::Configuration;
///
/// let configuration = Configuration::from_default_sources(["--urls", "http://localhost:8080"])?;
/// assert_eq!(configuration.get("Urls"), Some("http://localhost:8080"));
/// # Ok::<(), stannel::ConfigurationError>(())
/// ```
#[derive(Clone)]
pub struct Configuration {
    inner: Arc<Inner>,
}

struct Inner {
    tree: Tree,
    sources: ConfigurationBuilder,
    /// The files as they were before they were read: what is written meanwhile is a change.
    read: Fingerprint,
    content_root: PathBuf,
    environment_name: String,
}

impl Configuration {
    /// Puts sources together.
    #[must_use]
    pub fn builder() -> ConfigurationBuilder {
        ConfigurationBuilder::default()
    }

    /// The sources of ASP.NET Core's default builder, the weakest first: the environment variables `ASPNETCORE_*`, then
    /// `DOTNET_*`, `appsettings.json`, `appsettings.{Environment}.json` (neither has to be there), all environment
    /// variables, the command line.
    ///
    /// The environment's name is the key `environment` of the variables with a prefix (so `DOTNET_ENVIRONMENT` or
    /// `ASPNETCORE_ENVIRONMENT`) or of the command line, else `Production`. Files lie in the content root: the key
    /// `contentRoot` of the same sources, else the current directory. User secrets are not read.
    ///
    /// # Errors
    /// What [`ConfigurationBuilder::build`] says.
    pub fn from_default_sources<I>(arguments: I) -> Result<Self, ConfigurationError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        Self::builder().add_default_sources(arguments)?.build()
    }

    fn read(sources: ConfigurationBuilder) -> Result<Self, ConfigurationError> {
        let read = Fingerprint::of(&sources.files());
        let mut tree = Tree::default();
        sources.read_into(&mut tree)?;
        Ok(Self {
            inner: Arc::new(Inner {
                tree,
                read,
                content_root: sources.base_path.clone().unwrap_or_default(),
                environment_name: sources
                    .environment_name
                    .clone()
                    .unwrap_or_else(|| PRODUCTION.to_owned()),
                sources,
            }),
        })
    }

    /// Reads the files anew; environment and command line are what they were at first.
    ///
    /// # Errors
    /// What [`ConfigurationBuilder::build`] says.
    pub fn reload(&self) -> Result<Self, ConfigurationError> {
        Self::read(self.inner.sources.clone())
    }

    /// The value of a key, whose case does not matter; `None` if it is not set. An empty value is a value.
    ///
    /// ```
    /// let configuration = stannel::Configuration::builder().set("Shop:Name", "Corner").build().unwrap();
    /// assert_eq!(configuration.get("shop:name"), Some("Corner"));
    /// assert_eq!(configuration.get("shop"), None);
    /// ```
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.tree().get(key).and_then(|leaf| leaf.value.as_deref())
    }

    /// The settings at and below a key.
    #[must_use]
    pub fn section(&self, key: &str) -> Section {
        Section::new(self.clone(), key)
    }

    /// Where relative paths in the configuration begin; empty for the current directory.
    #[must_use]
    pub fn content_root(&self) -> &Path {
        &self.inner.content_root
    }

    /// The name of the environment that the program runs in, such as `Production` or `Development`.
    #[must_use]
    pub fn environment_name(&self) -> &str {
        &self.inner.environment_name
    }

    /// The name that the program goes by: the key `applicationName`, else that of its file.
    #[cfg(feature = "tls")]
    pub(crate) fn application_name(&self) -> Option<String> {
        let set = self.get("applicationName").filter(|name| !name.is_empty());
        set.map(str::to_owned).or_else(|| {
            let program = std::env::current_exe().ok()?;
            Some(program.file_stem()?.to_string_lossy().into_owned())
        })
    }

    /// Whether both are the same reading of the same sources.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The options that the settings ask for, as the default builder of ASP.NET Core would take them; those that no key
    /// names have their defaults.
    ///
    /// ```
    /// use stannel::Configuration;
    ///
    /// let configuration = Configuration::builder().add_command_line(["--Kestrel:Workers=two"]).build()?;
    /// assert_eq!(
    ///     configuration.server_options().unwrap_err().to_string(),
    ///     "Kestrel:Workers=two on the command line: expected a number of threads above 0"
    /// );
    /// # Ok::<(), stannel::ConfigurationError>(())
    /// ```
    ///
    /// # Errors
    /// Names the first value that cannot be understood and what was expected, or says which limits do not fit
    /// together.
    pub fn server_options(&self) -> Result<ServerOptions, ConfigurationError> {
        let mut options = ServerOptions::default();
        options.use_configuration(self)?;
        Ok(options)
    }

    /// One line for each argument that means nothing to the server, with the known key that is nearest to it; `own` are the
    /// keys that the program reads itself, with everything below them. Keys below `Kestrel` are told by
    /// [`ServerOptions::plan`] instead, wherever they come from.
    ///
    /// ```
    /// use stannel::Configuration;
    ///
    /// let configuration = Configuration::builder().add_command_line(["--url=http://*:80", "--Shop:Name=x"]).build()?;
    /// assert_eq!(
    ///     configuration.unknown_arguments(&["Shop"]),
    ///     ["unknown key url on the command line; did you mean urls?"]
    /// );
    /// # Ok::<(), stannel::ConfigurationError>(())
    /// ```
    #[must_use]
    pub fn unknown_arguments(&self, own: &[&str]) -> Vec<String> {
        known::unknown_arguments(self.tree(), own)
    }

    /// What is to be told of the keys below `Kestrel`.
    pub(crate) fn key_warnings(&self, named: &[&str]) -> Vec<String> {
        known::warnings(self.tree(), named)
    }

    pub(crate) fn apply_to(&self, options: &mut ServerOptions) -> Result<(), ConfigurationError> {
        settings::apply(self.tree(), options)
    }

    /// The files as they were when they were read.
    pub(crate) fn read_fingerprint(&self) -> &Fingerprint {
        &self.inner.read
    }

    /// The files as they are on the disk now, read or not.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.inner.sources.files())
    }

    pub(crate) fn prefers_hosting_urls(&self) -> bool {
        hosting::prefers_hosting_urls(self)
    }

    fn tree(&self) -> &Tree {
        &self.inner.tree
    }
}

const PRODUCTION: &str = "Production";

/// Whether the value has no business on a screen.
fn is_secret(key: &str) -> bool {
    let name = key::last_part(key).to_ascii_lowercase();
    ["password", "secret", "token", "apikey", "connectionstring"]
        .iter()
        .any(|word| name.contains(word))
        || key.to_ascii_lowercase().starts_with("connectionstrings:")
}

/// All settings, a line each, with their origins. Values whose name says that they are secret are left out.
///
/// ```
/// let configuration = stannel::Configuration::builder().set("a:Password", "secret").build().unwrap();
/// assert_eq!(configuration.to_string(), "a:Password = *** (in code)\n");
/// ```
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree().iter().try_for_each(|leaf| {
            let key = leaf.key.escape_debug();
            match &leaf.value {
                Some(_) if is_secret(&leaf.key) => writeln!(f, "{key} = *** ({})", leaf.told()),
                Some(value) => writeln!(f, "{key} = {} ({})", value.escape_debug(), leaf.told()),
                None => writeln!(f, "{key} has no value ({})", leaf.origin),
            }
        })
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration")
            .field("environment_name", &self.inner.environment_name)
            .field("content_root", &self.inner.content_root)
            .finish_non_exhaustive()
    }
}

/// An argument as it can be shown in a message.
fn shown(argument: &OsStr) -> String {
    argument.to_string_lossy().escape_debug().to_string()
}
