//! The known key that somebody may have meant.

/// The known key that is nearest to `key`, if it is near enough to be worth a question.
pub(super) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let key = key.to_ascii_lowercase();
    known
        .map(|candidate| (distance_to(&key, &candidate.to_ascii_lowercase()), candidate))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, _)| distance <= key.chars().count() / 2)
        .map(|(_, candidate)| candidate)
}

/// A name without its sections is nearly right already: `KeepAliveTimeout`, `Limits:KeepAliveTimeout`.
fn distance_to(key: &str, known: &str) -> usize {
    let ends = known.match_indices(':').map(|(at, _)| &known[at + 1..]);
    let shortened = ends.map(|end| edits(key, end) + 1);
    shortened.chain([edits(key, known)]).min().unwrap_or(usize::MAX)
}

/// How many characters have to be changed, put in or taken out (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (at, &b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::{edits, nearest};

    #[test]
    fn edits_are_counted() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("abc", "abc", 0),
            ("ab", "ba", 2),
        ];
        for (from, to, expected) in cases {
            assert_eq!(edits(from, to), expected, "{from} {to}");
            assert_eq!(edits(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn only_what_is_near_is_proposed() {
        let known = ["urls", "Kestrel:Workers", "Kestrel:Limits:KeepAliveTimeout"];
        let cases = [
            ("url", Some("urls")),
            ("URL", Some("urls")),
            ("Kestrel:Worker", Some("Kestrel:Workers")),
            ("workers", Some("Kestrel:Workers")),
            ("KeepAliveTimeot", Some("Kestrel:Limits:KeepAliveTimeout")),
            ("Kestrel:KeepAliveTimeout", Some("Kestrel:Limits:KeepAliveTimeout")),
            ("foo", None),
            ("verbosity", None),
        ];
        for (key, expected) in cases {
            assert_eq!(nearest(key, known.into_iter()), expected, "{key}");
        }
    }
}
