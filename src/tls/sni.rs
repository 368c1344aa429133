//! Which entry counts for a host name; SNI.

use crate::punycode;
use rustls::pki_types::DnsName;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

/// Host patterns, as [`SniOptions::pattern`](crate::SniOptions::pattern) has them: the choice alone, without certificates.
///
/// Names are compared as texts, without case; a name beyond ASCII and its form in DNS (`xn--…`) are the same. The exact
/// name wins, then the longest `*.` pattern that it ends in, at any depth, then `*`, which is also for clients that name
/// no host.
///
/// ```
/// use stannel::tls::HostPatterns;
///
/// let patterns = HostPatterns::new(["www.example.org", "*.example.org", "*"]);
/// assert_eq!(patterns.choose(Some("WWW.example.org")), Some(0));
/// assert_eq!(patterns.choose(Some("b.a.example.org")), Some(1));
/// assert_eq!(patterns.choose(Some("example.org")), Some(2));
/// assert_eq!(patterns.choose(None), Some(2));
/// assert_eq!(HostPatterns::new(["*.example.org"]).choose(None), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPatterns {
    exact: HashMap<String, usize>,
    /// By what names end in, with the dot before it.
    below: HashMap<String, usize>,
    all: Option<usize>,
}

impl HostPatterns {
    /// Patterns that are numbered in their order. Of two that are the same the first counts.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut new = Self::default();
        for (number, pattern) in patterns.into_iter().enumerate() {
            match Form::of(pattern) {
                Form::All => {
                    new.all.get_or_insert(number);
                }
                Form::Below(suffix) => {
                    new.below.entry(normal(suffix).into_owned()).or_insert(number);
                }
                Form::Exact(name) => {
                    new.exact.entry(normal(name).into_owned()).or_insert(number);
                }
            }
        }
        new
    }

    /// The number of the pattern that counts for a client; `None`: it is refused. An empty name counts as none.
    #[must_use]
    pub fn choose(&self, server_name: Option<&str>) -> Option<usize> {
        self.by_name(server_name.unwrap_or_default()).or(self.all)
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let name = normal(name);
        if let Some(number) = self.exact.get(&*name) {
            return Some(*number);
        }
        if self.below.is_empty() {
            return None;
        }
        // What is left of the name behind its first dots grows shorter, so that the first one found is the longest.
        let mut endings = name.match_indices('.').map(|(dot, _)| &name[dot..]);
        endings.find_map(|ending| self.below.get(ending)).copied()
    }
}

enum Form<'a> {
    All,
    /// With the dot.
    Below(&'a str),
    Exact(&'a str),
}

impl<'a> Form<'a> {
    fn of(pattern: &'a str) -> Self {
        match pattern.strip_prefix('*') {
            Some("") => Self::All,
            Some(suffix) if suffix.starts_with('.') => Self::Below(suffix),
            _ => Self::Exact(pattern),
        }
    }
}

/// One form for all that count as the same: that of DNS in small letters.
fn normal(name: &str) -> Cow<'_, str> {
    if name.is_ascii() && !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(punycode::to_ascii(name).to_lowercase())
}

/// What is to be told of patterns that no client can reach.
pub(crate) fn warnings<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let patterns: Vec<&str> = patterns.into_iter().collect();
    let mut warnings = Vec::new();
    for (number, pattern) in patterns.iter().enumerate() {
        if let Some(reason) = unreachable(pattern) {
            warnings.push(format!("the host pattern {pattern:?} can match no client: {reason}"));
        }
        let normal = normal(pattern);
        if let Some(first) = patterns[..number].iter().find(|first| self::normal(first) == normal) {
            warnings.push(format!(
                "the host pattern {pattern:?} is the same as {first:?}, of which the first counts; remove one"
            ));
        }
    }
    warnings
}

fn unreachable(pattern: &str) -> Option<&'static str> {
    let name = match Form::of(pattern) {
        Form::All => return None,
        Form::Below(suffix) => &suffix[1..],
        Form::Exact(name) => name,
    };
    if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Some("an IP address counts as no name; use the pattern *");
    }
    if name.contains('*') {
        return Some("a star stands alone, or for the first labels as in *.example.org");
    }
    match DnsName::try_from(&*normal(name)) {
        Ok(_) => None,
        Err(_) => Some("it is no valid DNS name, and clients that send such names are refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pattern_is_chosen() {
        let both = ["www.example.org", "*.example.org", "*"];
        let table: &[(&[&str], &str, Option<usize>)] = &[
            (&both, "www.example.org", Some(0)),
            (&both, "a.www.example.org", Some(1)),
            (&both, ".example.org", Some(1)),
            (&both, "example.org", Some(2)),
            (&both, "notexample.org", Some(2)),
            (&both, "", Some(2)),
            (&both[..2], "", None),
            (&both[..2], "example.org", None),
            (
                &["*.org", "*.a.example.org", "*.example.org"],
                "b.a.example.org",
                Some(1),
            ),
            (&["*.org", "*.a.example.org", "*.example.org"], "a.example.org", Some(2)),
            (&["*.org", "*.a.example.org", "*.example.org"], "example.org", Some(0)),
            (&["a.org", "A.ORG"], "a.Org", Some(0)),
            (&["*.A.org", "*.a.org"], "B.a.Org", Some(0)),
            (&["*example.org", "foo.*"], "wwwexample.org", None),
            (&["*example.org", "foo.*"], "foo.org", None),
            (&["a..b"], "a..b", Some(0)),
            (&["*."], "a.", Some(0)),
            (&["*."], "a", None),
            (&["www.example.org."], "www.example.org", None),
            (&[], "www.example.org", None),
        ];
        for (patterns, name, expected) in table {
            let chosen = HostPatterns::new(patterns.iter().copied()).choose(Some(name));
            assert_eq!(chosen, *expected, "{patterns:?} {name}");
        }
        assert_eq!(HostPatterns::new(["a", ""]).choose(None), None);
    }

    #[test]
    fn both_forms_of_names_beyond_ascii_match() {
        for pattern in [
            "bücher.test",
            "BÜCHER.test",
            "xn--bcher-kva.test",
            "XN--BCHER-KVA.Test",
            "bücher。test",
        ] {
            for name in ["xn--bcher-kva.test", "XN--BCHER-kva.TEST", "bücher.test"] {
                assert_eq!(
                    HostPatterns::new([pattern]).choose(Some(name)),
                    Some(0),
                    "{pattern} {name}"
                );
            }
        }
        let below = HostPatterns::new(["*.bücher.test"]);
        assert_eq!(below.choose(Some("www.xn--bcher-kva.test")), Some(0));
        assert_eq!(below.choose(Some("www.xn--bcher-kvb.test")), None);
    }

    #[test]
    fn patterns_that_no_client_reaches() {
        let table: &[(&str, &str)] = &[
            ("*", ""),
            ("www.example.org", ""),
            ("*.example.org", ""),
            ("*.org", ""),
            ("localhost", ""),
            ("with_underscore.example.org", ""),
            ("bücher.test", ""),
            ("www.example.org.", ""),
            ("127.0.0.1", "IP address"),
            ("::1", "IP address"),
            ("[::1]", "IP address"),
            ("a..b", "no valid DNS name"),
            ("", "no valid DNS name"),
            ("*.", "no valid DNS name"),
            ("a b", "no valid DNS name"),
            ("foo.*", "star"),
            ("*example.org", "star"),
            ("*.*.org", "star"),
        ];
        for (pattern, expected) in table {
            let found = warnings([*pattern]);
            assert_eq!(found.is_empty(), expected.is_empty(), "{pattern}: {found:?}");
            assert!(found.iter().all(|text| text.contains(expected)), "{pattern}: {found:?}");
        }
        let same = warnings(["bücher.test", "a.test", "xn--bcher-kva.test"]);
        assert_eq!(
            same,
            [
                "the host pattern \"xn--bcher-kva.test\" is the same as \"bücher.test\", of which the first counts; remove one"
            ]
        );
    }
}
