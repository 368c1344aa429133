//! A view of the settings below one key.

use super::Configuration;
use super::key::{join, last_part};
use super::tree::Origin;

/// The settings at and below one key; .NET's `IConfigurationSection`. Cheap to clone, and it keeps the settings alive as
/// they were when it was made.
///
/// ```
/// use stannel::Configuration;
///
/// let configuration = Configuration::builder()
///     .set("Shop:Name", "Corner")
///     .set("Shop:Open:Monday", "9-17")
///     .set("Shop:Open:Friday", "9-12")
///     .build()?;
/// let shop = configuration.section("shop");
/// assert_eq!(shop.get("name"), Some("Corner"));
/// let days: Vec<String> = shop.section("Open").children().map(|day| day.key().to_owned()).collect();
/// assert_eq!(days, ["Friday", "Monday"]);
/// assert_eq!(shop.section("Name").origin().unwrap().to_string(), "in code");
/// # Ok::<(), stannel::ConfigurationError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Section {
    configuration: Configuration,
    path: String,
}

impl Section {
    pub(super) fn new(configuration: Configuration, path: &str) -> Self {
        let path = configuration
            .tree()
            .get(path)
            .map_or(path, |leaf| leaf.key.as_str())
            .to_owned();
        Self { configuration, path }
    }

    /// The whole path, such as `Kestrel:Endpoints:Http`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last part of the path.
    #[must_use]
    pub fn key(&self) -> &str {
        last_part(&self.path)
    }

    /// Its own value; `None` if it has none, which sections seldom do.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.configuration.get(&self.path)
    }

    /// Where its own value comes from, or else the first value below it.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        let tree = self.configuration.tree();
        tree.get(&self.path)
            .or_else(|| tree.below(&self.path).next())
            .map(|leaf| &leaf.origin)
    }

    /// The value of a key below it; `None` if it is not set. An empty value is a value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.configuration.get(&join(&self.path, key))
    }

    /// The section at a key below it, whether or not anything is there.
    #[must_use]
    pub fn section(&self, key: &str) -> Self {
        Self::new(self.configuration.clone(), &join(&self.path, key))
    }

    /// Its children in .NET's order: whole numbers first, by value, then names without regard to case.
    pub fn children(&self) -> impl Iterator<Item = Self> {
        let names = self.configuration.tree().children(&self.path);
        names.into_iter().map(|name| self.section(&name))
    }

    /// The items of an array; a text that is not empty counts as an array of one.
    pub(super) fn items(&self) -> Vec<Self> {
        let mut items: Vec<Self> = self.children().collect();
        if items.is_empty() && self.value().is_some_and(|text| !text.is_empty()) {
            items.push(self.clone());
        }
        items
    }

    /// Whether there is a value here or below.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.value().is_some() || self.configuration.tree().below(&self.path).next().is_some()
    }

    /// Every key with a value below it, relative to it, in order.
    pub fn entries(&self) -> impl Iterator<Item = (String, &str)> {
        let depth = if self.path.is_empty() {
            0
        } else {
            self.path.split(':').count()
        };
        self.configuration.tree().below(&self.path).filter_map(move |leaf| {
            let relative: Vec<&str> = leaf.key.split(':').skip(depth).collect();
            Some((relative.join(":"), leaf.value.as_deref()?))
        })
    }

    /// The configuration that it is a part of.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }
}
