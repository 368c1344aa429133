//! Which hosts are meant by a list of names.

use crate::punycode;

/// Entries of `allowed_hosts`, ready to be compared.
#[derive(Debug, Default)]
pub(super) struct HostList {
    /// Whether an entry stands for every name.
    has_wildcard: bool,
    names: Vec<String>,
    /// What stands behind the `*` of an entry, from the dot on.
    endings: Vec<String>,
}

impl HostList {
    pub(super) fn new<T: AsRef<str>>(entries: &[T]) -> Self {
        let mut list = Self::default();
        for entry in entries {
            let entry = entry.as_ref();
            if matches!(entry, "*" | "[::]" | "0.0.0.0") {
                list.has_wildcard = true;
                continue;
            }
            let name = punycode::to_ascii(entry);
            match name.strip_prefix('*').filter(|ending| ending.starts_with('.')) {
                Some(ending) => list.endings.push(ending.to_owned()),
                None => list.names.push(name),
            }
        }
        list
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_wildcard && self.names.is_empty() && self.endings.is_empty()
    }

    /// Whether a name is meant, which comes without port, an IPv6 address in its brackets. Text is compared, so
    /// `[0::1]` is not `[::1]`.
    pub(super) fn contains(&self, host: &str) -> bool {
        self.has_wildcard
            || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
            || self.endings.iter().any(|ending| is_below(host, ending))
    }
}

/// Whether the host is at least one character and then the ending.
fn is_below(host: &str, ending: &str) -> bool {
    let Some(start) = host.len().checked_sub(ending.len()).filter(|&start| start > 0) else {
        return false;
    };
    host.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::HostList;

    #[test]
    fn names_compare_without_case_and_wildcards_take_any_depth() {
        let list = HostList::new(&[
            "Example.com",
            "*.Below.org",
            "[::aBc]",
            "*.bücher.de",
            "localhost:80",
            " blank",
        ]);
        for (host, is_meant) in [
            ("example.COM", true),
            ("example.com.", false),
            ("xexample.com", false),
            ("a.below.org", true),
            ("a.b.BELOW.org", true),
            ("below.org", false),
            (".below.org", false),
            ("xbelow.org", false),
            ("a.below.org.evil", false),
            ("[::ABC]", true),
            ("[0::abc]", false),
            ("a.xn--bcher-kva.de", true),
            ("xn--bcher-kva.de", false),
            ("localhost", false),
            ("blank", false),
            ("", false),
        ] {
            assert_eq!(list.contains(host), is_meant, "{host}");
        }
    }

    #[test]
    fn some_entries_mean_every_host() {
        for wildcard in ["*", "[::]", "0.0.0.0"] {
            assert!(HostList::new(&["a", wildcard]).contains("anything"));
        }
        for other in ["*.", "**", "[::0]", "0.0.0.1"] {
            assert!(!HostList::new(&[other]).contains("anything"), "{other}");
        }
        assert!(HostList::new::<&str>(&[]).is_empty());
    }
}
