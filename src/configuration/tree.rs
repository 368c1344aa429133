//! The flat map: keys without case, each with its value and where that came from.

use super::key::Folded;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a setting comes from, as messages tell it.
///
/// ```
/// use stannel::Configuration;
///
/// let configuration = Configuration::builder().add_command_line(["--a=1"]).build().unwrap();
/// assert_eq!(configuration.section("a").origin().unwrap().to_string(), "on the command line");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// An argument of the program.
    CommandLine,
    /// An environment variable.
    Environment {
        /// Its name.
        variable: Arc<str>,
    },
    /// A place in a file.
    File {
        /// The file, as it was asked for.
        path: Arc<Path>,
        /// The line, from 1 on.
        line: usize,
        /// The column, from 1 on, in characters.
        column: usize,
    },
    /// The program itself.
    Code,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("on the command line"),
            Self::Environment { variable } => {
                write!(f, "in the environment variable {}", variable.escape_debug())
            }
            Self::File { path, line, column } => write!(f, "in {}:{line}:{column}", path.display()),
            Self::Code => f.write_str("in code"),
        }
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// As it was first written.
    pub(super) key: String,
    /// `None`: a key without value, which JSON's `null` and `{}` are.
    pub(super) value: Option<String>,
    pub(super) origin: Origin,
    /// When it was set: of a key and one below it, the later one may undo the other.
    pub(super) turn: usize,
    /// What it overrides, the last first.
    pub(super) overridden: Vec<Origin>,
}

impl Leaf {
    /// Where it comes from and what it overrides.
    pub(super) fn told(&self) -> String {
        let mut text = self.origin.to_string();
        for (index, origin) in self.overridden.iter().enumerate() {
            text += if index == 0 {
                ", overriding the one "
            } else {
                " and the one "
            };
            text += &origin.to_string();
        }
        text
    }
}

/// How many overridden values are remembered of a key.
const OVERRIDDEN: usize = 8;

/// All settings, each key once.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    leaves: BTreeMap<Folded, Leaf>,
    turns: usize,
}

impl Tree {
    /// Sets a key; what it was before is forgotten, but for its spelling.
    pub(super) fn set(&mut self, key: &str, value: Option<String>, origin: Origin) {
        self.turns += 1;
        let turn = self.turns;
        self.leaves
            .entry(Folded::new(key))
            .and_modify(|leaf| {
                leaf.value.clone_from(&value);
                leaf.overridden
                    .insert(0, std::mem::replace(&mut leaf.origin, origin.clone()));
                leaf.overridden.truncate(OVERRIDDEN);
                leaf.turn = turn;
            })
            .or_insert_with(|| Leaf {
                key: key.to_owned(),
                value,
                origin,
                turn,
                overridden: Vec::new(),
            });
    }

    pub(super) fn get(&self, key: &str) -> Option<&Leaf> {
        self.leaves.get(&Folded::new(key))
    }

    /// All leaves in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Leaf> {
        self.leaves.values()
    }

    /// All leaves below a section, without its own, in the order of their keys.
    pub(super) fn below(&self, section: &str) -> impl Iterator<Item = &Leaf> + use<'_> {
        let section = Folded::new(section);
        self.leaves
            .iter()
            .filter_map(move |(key, leaf)| key.below(&section).map(|_| leaf))
    }

    /// The names of a section's children, each once, in order.
    pub(super) fn children(&self, section: &str) -> Vec<String> {
        let depth = if section.is_empty() {
            0
        } else {
            section.split(':').count()
        };
        let mut met = HashSet::new();
        self.below(section)
            .filter_map(|leaf| leaf.key.split(':').nth(depth))
            // Parts that differ only in case are one child, called as the first of them.
            .filter(|name| met.insert(Folded::new(name)))
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Tree};

    fn tree(pairs: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (key, value) in pairs {
            tree.set(key, Some((*value).to_owned()), Origin::Code);
        }
        tree
    }

    #[test]
    fn the_later_value_counts_and_the_first_spelling_stays() {
        let tree = tree(&[("A:b", "1"), ("c", "2"), ("a:B", "3")]);
        let leaf = tree.get("A:B").unwrap();
        assert_eq!((leaf.key.as_str(), leaf.value.as_deref()), ("A:b", Some("3")));
        assert!(tree.get("a").is_none());
        assert!(leaf.turn > tree.get("C").unwrap().turn);
    }

    #[test]
    fn children_are_distinct_and_sorted() {
        let tree = tree(&[
            ("E:Zeta:Url", "1"),
            ("e:alpha:Url", "2"),
            ("E:ALPHA:Protocols", "3"),
            ("E:10:Url", "4"),
            ("E:9:Url", "5"),
            ("E", "x"),
            ("E2:a", "6"),
            ("E::Url", "7"),
        ]);
        assert_eq!(tree.children("e"), ["9", "10", "", "ALPHA", "Zeta"]);
        assert_eq!(tree.children("E:Alpha"), ["Protocols", "Url"]);
        assert_eq!(tree.children(""), ["E", "E2"]);
        assert!(tree.children("nothing").is_empty());
    }
}
