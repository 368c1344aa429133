//! Keys: paths with `:` between the parts, without case, in .NET's order.

use std::cmp::Ordering;

/// A key as the tree compares it: in capitals, which is how .NET folds case, ordered part by part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Folded(String);

impl Folded {
    pub(super) fn new(key: &str) -> Self {
        Self(key.chars().flat_map(char::to_uppercase).collect())
    }

    /// What of it lies below a section; `None` if it does not.
    pub(super) fn below(&self, section: &Self) -> Option<&str> {
        if section.0.is_empty() {
            return Some(&self.0);
        }
        self.0.strip_prefix(section.0.as_str())?.strip_prefix(':')
    }
}

impl PartialOrd for Folded {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Folded {
    fn cmp(&self, other: &Self) -> Ordering {
        // What .NET takes for equal, such as 1 and 01, still are two keys.
        compare(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

/// Part by part: whole numbers first, by value; the rest as text. A section stands before what is in it.
fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split(':'), right.split(':'));
    loop {
        let order = match (left.next(), right.next()) {
            (Some(left), Some(right)) => compare_parts(left, right),
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn compare_parts(left: &str, right: &str) -> Ordering {
    let number = |part: &str| part.trim().parse::<i32>().ok();
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    }
}

/// The last part of a path.
pub(super) fn last_part(path: &str) -> &str {
    path.rsplit(':').next().unwrap_or(path)
}

/// A path below another one.
pub(super) fn join(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}:{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::Folded;

    #[test]
    fn keys_have_dotnets_order() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["10", "2", "1"], &["1", "2", "10"]),
            (&["a", "100", "B", "1a", "-1"], &["-1", "100", "1a", "a", "B"]),
            (&["abc:def:ghi", "abc:def", "abc"], &["abc", "abc:def", "abc:def:ghi"]),
            (&["HttpsInline", "Https", "Http"], &["Http", "Https", "HttpsInline"]),
            (&["a_", "aB", "01", "1"], &["01", "1", "aB", "a_"]),
        ];
        for (keys, sorted) in cases {
            let mut keys = keys.to_vec();
            keys.sort_by_key(|key| Folded::new(key));
            assert_eq!(keys, *sorted);
        }
    }

    #[test]
    fn a_section_ends_at_a_colon() {
        for (key, section, below) in [
            ("Kestrel:Limits", "kestrel", Some("LIMITS")),
            ("Kestrel", "kestrel", None),
            ("Kestrels:a", "kestrel", None),
            ("a", "", Some("A")),
        ] {
            assert_eq!(Folded::new(key).below(&Folded::new(section)), below, "{key}");
        }
    }
}
