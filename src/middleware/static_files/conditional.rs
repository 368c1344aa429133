//! Conditional requests: RFC 9110 §13.

use super::precompressed::Coding;
use crate::handler::Headers;
use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// A strong entity tag, with its quotes.
    pub(super) etag: String,
    /// Seconds since 1970; `None` where a date cannot say it.
    pub(super) modified: Option<u64>,
    /// Whether the file can no longer change within the second that `modified` names.
    is_settled: bool,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were none; whether a Range counts.
    Proceed { range: bool },
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl Validators {
    /// Modification time to the nanosecond, size and inode: a file that is replaced or written to has another tag,
    /// even within the second that Last-Modified can tell. A compressed one has its coding in it as well.
    pub(super) fn of(metadata: &Metadata, coding: Option<Coding>, now: SystemTime) -> Self {
        let etag = format!(
            "\"{:x}.{:x}-{:x}-{:x}{}{}\"",
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.size(),
            metadata.ino(),
            if coding.is_some() { "-" } else { "" },
            coding.map_or("", Coding::name)
        );
        Self::new(etag, u64::try_from(metadata.mtime()).ok(), now)
    }

    fn new(etag: String, modified: Option<u64>, now: SystemTime) -> Self {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        // RFC 9110 §8.8.2.1: a file from the future is as old as the response.
        let modified = modified.map(|modified| modified.min(now));
        Self {
            etag,
            modified,
            is_settled: modified.is_some_and(|modified| modified < now),
        }
    }

    /// The value of Last-Modified.
    pub(super) fn last_modified(&self) -> Option<String> {
        // `now` is the bound above, and Date has rendered that already.
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(self.modified?);
        Some(httpdate::fmt_http_date(modified))
    }

    /// RFC 9110 §13.2.2: the preconditions of a GET or HEAD in the order that the standard lays down.
    pub(super) fn check(&self, headers: Headers<'_>) -> Verdict {
        if headers.get(IF_MATCH).is_some() {
            // RFC 9110 §13.1.1: strong comparison.
            if !lists(headers, IF_MATCH, |tag| tag == self.etag.as_bytes()) {
                return Verdict::Failed;
            }
        } else if let (Some(modified), Some(date)) = (self.modified, date(headers, IF_UNMODIFIED_SINCE))
            && modified > date
        {
            return Verdict::Failed;
        }
        if headers.get(IF_NONE_MATCH).is_some() {
            // RFC 9110 §13.1.2: weak comparison.
            let is_same = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag) == self.etag.as_bytes();
            if lists(headers, IF_NONE_MATCH, is_same) {
                return Verdict::NotModified;
            }
        } else if let (Some(modified), Some(date)) = (self.modified, date(headers, IF_MODIFIED_SINCE))
            && modified <= date
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed {
            range: self.range_counts(headers),
        }
    }

    /// RFC 9110 §13.1.5: a Range counts only for the state of the file that the client has a part of.
    fn range_counts(&self, headers: Headers<'_>) -> bool {
        let Some(value) = headers.get(IF_RANGE) else {
            return true;
        };
        if value.ends_with(b"\"") {
            return value == self.etag.as_bytes();
        }
        // RFC 9110 §8.8.2.2: a date is strong only if the file cannot have changed once more within its second.
        self.is_settled && self.modified.is_some() && date(headers, IF_RANGE) == self.modified
    }
}

/// Whether the list of entity tags in all fields of that name is `*` or has one that fits.
fn lists(headers: Headers<'_>, name: HeaderName, fits: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = headers.get_all(name.as_str());
    if let (Some(b"*"), None) = (values.next(), values.next()) {
        return true;
    }
    headers.get_all(name.as_str()).any(|value| tags(value).any(&fits))
}

/// The entity tags of a list, with `W/` and quotes, up to the first thing that is none.
fn tags(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let opening = if rest.starts_with(b"W/\"") { 3 } else { 1 };
        let inner = rest.get(opening..).filter(|_| rest[opening - 1] == b'"')?;
        // A comma may stand inside.
        let end = opening + memchr::memchr(b'"', inner)? + 1;
        let (tag, tail) = rest.split_at(end);
        rest = tail;
        Some(tag)
    })
}

/// A date in seconds since 1970. What is no date, or more than one, is ignored (RFC 9110 §13.1.3, §13.1.4).
fn date(headers: Headers<'_>, name: HeaderName) -> Option<u64> {
    let mut values = headers.get_all(name.as_str());
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    // None is before 1970: httpdate takes such a date for none.
    let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::Verdict::{self, Failed, NotModified};
    use super::{Validators, tags};
    use crate::handler::Headers;
    use crate::http1::RawField;
    use crate::http1::section::FieldLines;
    use std::time::{Duration, SystemTime};

    const MODIFIED: u64 = 1_000_000_000;
    const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
    const SAME: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const AFTER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";
    const ALL: Verdict = Verdict::Proceed { range: false };
    const GO: Verdict = Verdict::Proceed { range: true };

    fn validators(age: u64) -> Validators {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED + age);
        Validators::new("\"a,b\"".to_owned(), Some(MODIFIED), now)
    }

    fn check(validators: &Validators, fields: &[(&str, &str)]) -> Verdict {
        let fields: Vec<RawField<'_>> = fields
            .iter()
            .map(|&(name, value)| RawField {
                name,
                value: value.as_bytes(),
            })
            .collect();
        validators.check(Headers::new(FieldLines::Read(&fields)))
    }

    #[test]
    fn each_precondition_by_itself() {
        let cases = [
            ("if-match", "\"a,b\"", GO),
            ("if-match", "\"x\", \"a,b\"", GO),
            ("if-match", "*", GO),
            ("if-match", "\"x\"", Failed),
            ("if-match", "W/\"a,b\"", Failed),
            ("if-match", "", Failed),
            ("if-match", "nonsense", Failed),
            ("if-unmodified-since", BEFORE, Failed),
            ("if-unmodified-since", SAME, GO),
            ("if-unmodified-since", AFTER, GO),
            ("if-unmodified-since", "yesterday", GO),
            ("if-unmodified-since", "Sunday, 09-Sep-01 01:46:39 GMT", Failed),
            ("if-unmodified-since", "Sun Sep  9 01:46:39 2001", Failed),
            // RFC 9110 §5.6.7: no year that is more than fifty away.
            ("if-unmodified-since", "Friday, 09-Sep-77 01:46:40 GMT", Failed),
            ("if-unmodified-since", "Friday, 09-Sep-44 01:46:40 GMT", GO),
            ("if-none-match", "\"a,b\"", NotModified),
            ("if-none-match", "W/\"a,b\"", NotModified),
            ("if-none-match", "\"x\" , W/\"a,b\"", NotModified),
            ("if-none-match", "*", NotModified),
            ("if-none-match", "\"x\"", GO),
            ("if-none-match", "\"a", GO),
            ("if-none-match", "a,b", GO),
            ("if-none-match", "\"x\", *", GO),
            ("if-modified-since", BEFORE, GO),
            ("if-modified-since", SAME, NotModified),
            ("if-modified-since", AFTER, NotModified),
            ("if-modified-since", "Sunday, 09-Sep-01 01:46:40 GMT", NotModified),
            ("if-modified-since", "Sun Sep  9 01:46:40 2001", NotModified),
            ("if-modified-since", "nonsense", GO),
            ("if-modified-since", "", GO),
            ("if-range", "\"a,b\"", GO),
            ("if-range", "W/\"a,b\"", ALL),
            ("if-range", "\"x\"", ALL),
            ("if-range", SAME, GO),
            ("if-range", AFTER, ALL),
            ("if-range", BEFORE, ALL),
            ("if-range", "nonsense", ALL),
        ];
        for (name, value, expected) in cases {
            assert_eq!(check(&validators(60), &[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn rfc_9110_13_2_2_precedence() {
        let cases: &[(&[(&str, &str)], Verdict)] = &[
            // A tag makes the date that goes with it meaningless.
            (&[("if-match", "\"a,b\""), ("if-unmodified-since", BEFORE)], GO),
            (&[("if-match", "\"x\""), ("if-unmodified-since", AFTER)], Failed),
            (&[("if-none-match", "\"x\""), ("if-modified-since", AFTER)], GO),
            (
                &[("if-none-match", "\"a,b\""), ("if-modified-since", BEFORE)],
                NotModified,
            ),
            // What failed is not looked at further.
            (&[("if-none-match", "\"a,b\""), ("if-match", "\"x\"")], Failed),
            (&[("if-modified-since", AFTER), ("if-unmodified-since", BEFORE)], Failed),
            (&[("if-match", "\"a,b\""), ("if-none-match", "\"a,b\"")], NotModified),
            (&[("if-none-match", "\"a,b\""), ("if-range", "\"x\"")], NotModified),
            (&[("if-match", "\"a,b\""), ("if-range", "\"x\"")], ALL),
            // Lists go over several fields; dates do not.
            (&[("if-none-match", "\"x\""), ("If-None-Match", "\"a,b\"")], NotModified),
            (&[("if-none-match", "*"), ("If-None-Match", "\"x\"")], GO),
            (&[("if-modified-since", AFTER), ("if-modified-since", AFTER)], GO),
            (&[], GO),
        ];
        for (fields, expected) in cases {
            assert_eq!(check(&validators(60), fields), *expected, "{fields:?}");
        }
    }

    #[test]
    fn rfc_9110_8_8_2_a_date_of_this_very_second_is_weak() {
        let young = validators(0);
        assert_eq!(check(&young, &[("if-range", SAME)]), ALL);
        assert_eq!(check(&young, &[("if-range", "\"a,b\"")]), GO);
        assert_eq!(check(&young, &[("if-modified-since", SAME)]), NotModified);
    }

    #[test]
    fn rfc_9110_8_8_2_1_no_file_is_from_the_future() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED);
        let future = Validators::new("\"e\"".to_owned(), Some(u64::MAX), now);
        assert_eq!(future.last_modified().as_deref(), Some(SAME));
        assert_eq!(check(&future, &[("if-range", SAME)]), ALL);
    }

    #[test]
    fn a_file_from_before_1970_has_a_tag_alone() {
        let old = Validators::new("\"e\"".to_owned(), None, SystemTime::UNIX_EPOCH);
        assert_eq!(old.last_modified(), None);
        for name in ["if-modified-since", "if-unmodified-since"] {
            assert_eq!(check(&old, &[(name, AFTER)]), GO);
        }
        assert_eq!(check(&old, &[("if-range", AFTER)]), ALL);
    }

    #[test]
    fn tags_end_where_the_list_does() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("\"\"", &["\"\""]),
            ("\"a\",W/\"b\" ,, \"c,d\"", &["\"a\"", "W/\"b\"", "\"c,d\""]),
            ("\"a\" \"b\"", &["\"a\"", "\"b\""]),
            ("\"a\", w/\"b\", \"c\"", &["\"a\""]),
            ("W/", &[]),
            ("W/\"", &[]),
            ("\"", &[]),
            (", ,", &[]),
        ];
        for (value, expected) in cases {
            let tags: Vec<&[u8]> = tags(value.as_bytes()).collect();
            assert_eq!(
                tags,
                expected.iter().map(|tag| tag.as_bytes()).collect::<Vec<_>>(),
                "{value}"
            );
        }
    }
}
