//! The flat map: keys without case, each with its value and where that came from.

use std::fmt;

/// Where a setting comes from, as messages tell it. So far there is one source; further ones will be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// An argument of the program.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("on the command line"),
        }
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it was written.
    pub(super) key: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// All settings in the order in which they were given, each key once.
///
/// A list, not a tree or a hash map: there are tens of keys, read once, and the order decides where one key undoes
/// another (`…DataRate=none`, then `…DataRate:BytesPerSecond=100`).
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    entries: Vec<Entry>,
}

impl Values {
    /// Sets a key; what it was before is forgotten.
    pub(super) fn set(&mut self, key: &str, value: &str, origin: Origin) {
        self.entries.retain(|entry| !entry.key.eq_ignore_ascii_case(key));
        self.entries.push(Entry {
            key: key.to_owned(),
            value: value.to_owned(),
            origin,
        });
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}

/// Whether a key is that section or something in it.
pub(super) fn is_at_or_below(key: &str, section: &str) -> bool {
    let Some((start, rest)) = key.split_at_checked(section.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(section) && (rest.is_empty() || rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::{Origin, Values, is_at_or_below};

    #[test]
    fn the_later_value_counts_and_stands_last() {
        let mut values = Values::default();
        for (key, value) in [("A:b", "1"), ("c", "2"), ("a:B", "3")] {
            values.set(key, value, Origin::CommandLine);
        }
        assert_eq!(values.get("A:B").map(|entry| entry.value.as_str()), Some("3"));
        assert_eq!(values.get("a"), None);
        let keys: Vec<&str> = values.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["c", "a:B"]);
    }

    #[test]
    fn a_section_ends_at_a_colon() {
        let cases = [
            ("Kestrel:Limits", "kestrel", true),
            ("KESTREL", "kestrel", true),
            ("Kestrels", "kestrel", false),
            ("Kes", "kestrel", false),
            ("é", "k", false),
        ];
        for (key, section, expected) in cases {
            assert_eq!(is_at_or_below(key, section), expected, "{key}");
        }
    }
}
