//! Field lines, and the section that a loop knows already.
//!
//! A client's requests differ in their target and seldom in their fields, so most header sections that a loop reads are
//! the one it read before. Comparing the bytes costs a tenth of tokenising and examining them again.

use super::RawField;
use super::framing::Seen;
use std::ops::Range;

/// The field lines of a head, however they were read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldLines<'a> {
    Read(&'a [RawField<'a>]),
    Known(&'a KnownSection),
}

impl<'a> FieldLines<'a> {
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Read(fields) => fields.len(),
            Self::Known(known) => known.fields.len(),
        }
    }

    /// In the order in which they came.
    #[inline]
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = RawField<'a>> + use<'a> {
        (0..self.len()).map(move |index| match self {
            Self::Read(fields) => fields[index],
            Self::Known(known) => known.field(index),
        })
    }

    /// What the fields say of the message and the connection.
    #[inline]
    pub(crate) fn seen(self) -> Seen<'a> {
        match self {
            Self::Read(fields) => Seen::in_fields(fields),
            Self::Known(known) => Seen::host_and_flags(&known.text.as_bytes()[known.host.clone()], known.flags),
        }
    }
}

/// The last header section worth knowing: its bytes, and what reading them came to.
///
/// Whether a section is the known one can be told from outside, by how long an answer takes. So nothing is kept that
/// could be a secret: every name has to be in [`OPEN_NAMES`].
#[derive(Debug, Default)]
pub(crate) struct KnownSection {
    /// The field lines and the empty line; empty while nothing is known.
    text: String,
    fields: Vec<[Range<usize>; 2]>,
    host: Range<usize>,
    flags: u32,
    /// How many other sections may still come before this one makes room.
    patience: u32,
}

impl KnownSection {
    /// Longer sections are read each time.
    const LONGEST: usize = 2048;

    /// How many other sections in a row it takes to forget this one: learning costs as much as reading two heads, so
    /// traffic that never repeats itself pays a thirtieth of a head more.
    const PATIENCE: u32 = 32;

    /// The length of the first line of `input`, if the known section follows it.
    #[inline]
    pub(crate) fn behind_line(&self, input: &[u8]) -> Option<usize> {
        if self.text.is_empty() {
            return None;
        }
        let line_len = memchr::memchr(b'\n', input)? + 1;
        input
            .get(line_len..)?
            .starts_with(self.text.as_bytes())
            .then_some(line_len)
    }

    /// Bytes of the field lines, without the empty line.
    #[inline]
    pub(crate) fn fields_size(&self) -> usize {
        self.text.len() - 2
    }

    #[inline]
    pub(crate) fn was_met(&mut self) {
        self.patience = Self::PATIENCE;
    }

    /// Another section was read; from time to time the known one makes room for it. Returns whether it did.
    #[inline]
    pub(crate) fn met_other(&mut self, section: &[u8], fields: &[RawField<'_>]) -> bool {
        match self.patience.checked_sub(1) {
            Some(patience) => {
                self.patience = patience;
                false
            }
            None => {
                self.learn(section, fields);
                true
            }
        }
    }

    #[inline(never)]
    fn learn(&mut self, section: &[u8], fields: &[RawField<'_>]) {
        self.text.clear();
        self.patience = Self::PATIENCE;
        let is_open = |field: &RawField<'_>| OPEN_NAMES.iter().any(|name| field.name.eq_ignore_ascii_case(name));
        let seen = Seen::in_fields(fields);
        if section.len() > Self::LONGEST || !section.is_ascii() || !fields.iter().all(is_open) {
            return;
        }
        let (Some(host), Ok(text)) = (seen.only_host(), std::str::from_utf8(section)) else {
            return;
        };
        let start = section.as_ptr() as usize;
        let place = |part: &[u8]| {
            let from = (part.as_ptr() as usize).wrapping_sub(start);
            from..from.wrapping_add(part.len())
        };
        self.fields.clear();
        self.fields.extend(
            fields
                .iter()
                .map(|field| [place(field.name.as_bytes()), place(field.value)]),
        );
        self.host = place(host);
        self.flags = seen.flags();
        let all_inside = |range: &Range<usize>| text.get(range.clone()).is_some();
        if self.fields.iter().flatten().all(all_inside) {
            self.text.push_str(text);
        }
    }

    #[inline]
    fn field(&self, index: usize) -> RawField<'_> {
        let [name, value] = &self.fields[index];
        RawField {
            name: &self.text[name.clone()],
            value: &self.text.as_bytes()[value.clone()],
        }
    }
}

/// Fields that tell nothing of who asks that another client may not learn, and nothing of a body.
const OPEN_NAMES: [&str; 29] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "dnt",
    "host",
    "if-modified-since",
    "keep-alive",
    "pragma",
    "priority",
    "range",
    "sec-ch-ua",
    "sec-ch-ua-arch",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-mobile",
    "sec-ch-ua-model",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-gpc",
    "te",
    "upgrade-insecure-requests",
    "user-agent",
    "x-forwarded-proto",
    "x-requested-with",
];

#[cfg(test)]
mod tests {
    use super::{FieldLines, KnownSection};
    use crate::http1::RawField;

    fn meet(known: &mut KnownSection, section: &str) {
        let fields: Vec<RawField<'_>> = section
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| RawField {
                name,
                value: value.as_bytes(),
            })
            .collect();
        known.met_other(section.as_bytes(), &fields);
    }

    fn knows(known: &KnownSection, section: &str) -> bool {
        known.behind_line(format!("GET / HTTP/1.1\r\n{section}").as_bytes()) == Some(16)
    }

    #[test]
    fn nothing_that_could_be_a_secret_is_kept() {
        for (section, kept) in [
            ("Host: h\r\nACCEPT: */*\r\n\r\n", true),
            ("Host: h\r\nCookie: a=b\r\n\r\n", false),
            ("Host: h\r\nAuthorization: Basic x\r\n\r\n", false),
            ("Host: h\r\nReferer: http://h/?token=x\r\n\r\n", false),
            ("Host: h\r\nX-Api-Key: x\r\n\r\n", false),
            ("Host: h\r\nContent-Length: 5\r\n\r\n", false),
            ("Host: h\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("Accept: */*\r\n\r\n", false),
            ("Host: h\r\nHost: h\r\n\r\n", false),
            ("Host: h\r\nAccept: \u{e9}\r\n\r\n", false),
        ] {
            let mut known = KnownSection::default();
            meet(&mut known, section);
            assert_eq!(knows(&known, section), kept, "{section:?}");
            assert_eq!(known.text.is_empty(), !kept);
        }
    }

    #[test]
    fn it_makes_room_once_others_have_come_for_long_enough() {
        let (first, second) = ("Host: a\r\n\r\n", "Host: b\r\nAccept: x\r\n\r\n");
        let mut known = KnownSection::default();
        meet(&mut known, first);
        for _ in 0..KnownSection::PATIENCE {
            meet(&mut known, second);
            assert!(knows(&known, first));
        }
        known.was_met();
        for _ in 0..KnownSection::PATIENCE {
            meet(&mut known, second);
        }
        assert!(knows(&known, first));
        meet(&mut known, second);
        assert!(knows(&known, second) && !knows(&known, first));
        let fields: Vec<(&str, &[u8])> = FieldLines::Known(&known)
            .iter()
            .map(|field| (field.name, field.value))
            .collect();
        assert_eq!(fields, [("Host", &b"b"[..]), ("Accept", b"x")]);
    }
}
