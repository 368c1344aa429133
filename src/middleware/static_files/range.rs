//! Which part of a file is asked for: RFC 9110 §14.

/// What a Range field selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// Everything: there is no range that could be served as one part.
    Whole,
    /// From `first` to `last`, both included.
    Part { first: u64, last: u64 },
    /// Nothing of the file: 416.
    Unsatisfiable,
}

/// Reads the value of a Range field for a file of `length` bytes.
///
/// RFC 9110 §14.2 lets a server ignore any Range. Ignored are other units, what is malformed, and several ranges at
/// once: an answer in parts costs more than it saves, and many small overlapping ones are an old attack (§17.15).
pub(super) fn select(value: &[u8], length: u64) -> Selection {
    let Some((unit, set)) = std::str::from_utf8(value).ok().and_then(|value| value.split_once('=')) else {
        return Selection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    // RFC 9110 §5.6.1: empty members of a list are read over.
    let mut specs = set
        .split(',')
        .map(|spec| spec.trim_matches([' ', '\t']))
        .filter(|spec| !spec.is_empty());
    let (Some(spec), None) = (specs.next(), specs.next()) else {
        return Selection::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Selection::Whole;
    };
    if first.is_empty() {
        return suffix(last, length);
    }
    let Some(first) = position(first) else {
        return Selection::Whole;
    };
    let last = if last.is_empty() {
        Some(u64::MAX)
    } else {
        position(last)
    };
    match last {
        None => Selection::Whole,
        // RFC 9110 §14.1.1: a range that ends before it begins is invalid.
        Some(last) if last < first => Selection::Whole,
        Some(_) if first >= length => Selection::Unsatisfiable,
        Some(last) => Selection::Part {
            first,
            last: last.min(length - 1),
        },
    }
}

/// The last bytes of the file, all of them if it has no more.
fn suffix(count: &str, length: u64) -> Selection {
    match position(count) {
        None => Selection::Whole,
        Some(0) => Selection::Unsatisfiable,
        // All of nothing; Content-Range has no words for that.
        Some(_) if length == 0 => Selection::Whole,
        Some(count) => Selection::Part {
            first: length.saturating_sub(count),
            last: length - 1,
        },
    }
}

/// Decimal digits. A number beyond all files is as good as the largest one.
fn position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Selection::{self, Unsatisfiable, Whole};
    use super::select;

    const fn part(first: u64, last: u64) -> Selection {
        Selection::Part { first, last }
    }

    #[test]
    fn ranges_of_a_file_of_1000_bytes() {
        let cases = [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-499", part(0, 499)),
            ("bytes=500-", part(500, 999)),
            ("bytes=999-", part(999, 999)),
            ("bytes=0-9999", part(0, 999)),
            ("bytes=0-99999999999999999999999", part(0, 999)),
            ("bytes=-1", part(999, 999)),
            ("bytes=-1000", part(0, 999)),
            ("bytes=-99999999999999999999999", part(0, 999)),
            ("Bytes=1-2", part(1, 2)),
            ("bytes= 1-2 ", part(1, 2)),
            ("bytes=,1-2,", part(1, 2)),
            ("bytes=1000-", Unsatisfiable),
            ("bytes=1000-2000", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=0-1,3-4", Whole),
            ("bytes=0-1, 2000-", Whole),
            ("bytes=5-4", Whole),
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes=-", Whole),
            ("bytes=--1", Whole),
            ("bytes=1", Whole),
            ("bytes=a-b", Whole),
            ("bytes=1-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1 -2", Whole),
            ("bytes 1-2", Whole),
            ("lines=1-2", Whole),
            ("", Whole),
        ];
        for (value, expected) in cases {
            assert_eq!(select(value.as_bytes(), 1000), expected, "{value}");
        }
        assert_eq!(select(b"bytes=\xff-", 1000), Whole);
    }

    #[test]
    fn an_empty_file_has_no_first_byte() {
        for (value, expected) in [
            ("bytes=0-", Unsatisfiable),
            ("bytes=-1", Whole),
            ("bytes=-0", Unsatisfiable),
        ] {
            assert_eq!(select(value.as_bytes(), 0), expected, "{value}");
        }
    }
}
