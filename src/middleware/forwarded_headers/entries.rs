//! The entries of a list that proxies append to, from the last one on.

use crate::http1::RawField;
use crate::http1::field::trim_ows;
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is not read yet of the entries under one name, over all its field lines.
///
/// Read from the right, because what stands on the left may be anybody's: nothing there, no quote either, can change where
/// an entry of a trusted proxy begins. All calls together look at each byte once.
#[derive(Clone, Copy)]
pub(super) struct Entries<'f, 'a> {
    fields: &'f [RawField<'a>],
    name: &'f str,
    /// The line that is being read; those behind it are done.
    line: usize,
    /// How many of its bytes are left.
    end: usize,
}

impl<'f, 'a> Entries<'f, 'a> {
    pub(super) fn new(fields: &'f [RawField<'a>], name: &'f str) -> Self {
        Self {
            fields,
            name,
            line: fields.len(),
            end: 0,
        }
    }

    /// What is left of a field with this name; `None` if nothing is.
    pub(super) fn rest_of(&self, index: usize) -> Option<&'a [u8]> {
        let value = self.fields.get(index)?.value;
        match index.cmp(&self.line) {
            Ordering::Less => Some(value),
            Ordering::Equal => value
                .get(..self.end)
                .map(without_separators)
                .filter(|rest| !rest.is_empty()),
            Ordering::Greater => None,
        }
    }

    /// The rest of the last line that holds an entry.
    fn seek(&mut self) -> Option<&'a [u8]> {
        loop {
            if let Some(rest) = self.rest_of(self.line) {
                return Some(rest);
            }
            let before = self.fields.get(..self.line)?;
            let line = before
                .iter()
                .rposition(|field| field.name.eq_ignore_ascii_case(self.name));
            (self.line, self.end) = line.map_or((0, 0), |line| (line, before[line].value.len()));
            line?;
        }
    }
}

/// Entries without the white space and the quotes around them; empty ones are none.
impl<'a> Iterator for Entries<'_, 'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.seek()?;
        self.end = memchr::memrchr(b',', rest).map_or(0, |comma| comma + 1);
        let entry = trim_ows(&rest[self.end..]);
        Some(match entry {
            [b'"', inside @ .., b'"'] => inside,
            _ => entry,
        })
    }
}

/// Without the commas and the white space at the end.
fn without_separators(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b',' | b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// An IPv4 or IPv6 address, with a port if there is one: `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`. A missing
/// port is 0.
pub(super) fn address(entry: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, 0));
    }
    if let Some(text) = text.strip_prefix('[') {
        let (address, rest) = text.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(text) => port(text)?,
            None if rest.is_empty() => 0,
            None => return None,
        };
        return Some(SocketAddr::new(address.parse::<Ipv6Addr>().ok()?.into(), port));
    }
    let (address, text) = text.split_once(':')?;
    Some(SocketAddr::new(address.parse::<Ipv4Addr>().ok()?.into(), port(text)?))
}

fn port(text: &str) -> Option<u16> {
    // `parse` alone would take a sign.
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::{Entries, address};
    use crate::http1::RawField;

    fn fields(lines: &[(&'static str, &'static str)]) -> Vec<RawField<'static>> {
        let field = |&(name, value): &(&'static str, &'static str)| RawField {
            name,
            value: value.as_bytes(),
        };
        lines.iter().map(field).collect()
    }

    /// The entries from the right, and what is left after each.
    fn read(lines: &[(&'static str, &'static str)]) -> Vec<(String, Vec<String>)> {
        let fields = fields(lines);
        let mut entries = Entries::new(&fields, "x-list");
        let mut read = Vec::new();
        while let Some(entry) = entries.next() {
            let left = (0..fields.len()).filter(|&index| fields[index].name.eq_ignore_ascii_case("x-list"));
            let left = left.filter_map(|index| entries.rest_of(index));
            read.push((text(entry), left.map(text).collect()));
        }
        read
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn expect(lines: &[(&'static str, &'static str)], expected: &[(&str, &[&str])]) {
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(entry, left)| ((*entry).to_owned(), left.iter().map(|&left| left.to_owned()).collect()))
            .collect();
        assert_eq!(read(lines), expected, "{lines:?}");
    }

    #[test]
    fn entries_come_from_the_right_and_leave_the_rest_as_it_is() {
        expect(&[], &[]);
        expect(&[("Host", "a,b")], &[]);
        expect(&[("X-List", "")], &[]);
        expect(&[("X-List", " , ,")], &[]);
        expect(&[("x-list", "a")], &[("a", &[])]);
        expect(&[("X-LIST", "a,b ,\tc")], &[("c", &["a,b"]), ("b", &["a"]), ("a", &[])]);
        expect(&[("X-List", "a,,b, ,")], &[("b", &["a"]), ("a", &[])]);
    }

    #[test]
    fn several_lines_are_one_list() {
        expect(
            &[
                ("X-List", "a, b"),
                ("Other", "x"),
                ("x-list", "c"),
                ("X-List", ","),
                ("Z", "z,z"),
            ],
            &[("c", &["a, b"]), ("b", &["a"]), ("a", &[])],
        );
    }

    #[test]
    fn quotes_around_an_entry_are_taken_off_and_hide_no_comma() {
        expect(&[("X-List", "\"a\"")], &[("a", &[])]);
        expect(&[("X-List", "\"a, b")], &[("b", &["\"a"]), ("\"a", &[])]);
        expect(&[("X-List", "\"a, b\"")], &[("b\"", &["\"a"]), ("\"a", &[])]);
        expect(&[("X-List", "\"\", \"")], &[("\"", &["\"\""]), ("", &[])]);
    }

    #[test]
    fn addresses() {
        for (entry, found) in [
            ("1.2.3.4", Some("1.2.3.4:0")),
            ("1.2.3.4:80", Some("1.2.3.4:80")),
            ("1.2.3.4:00080", Some("1.2.3.4:80")),
            ("1.2.3.4:65535", Some("1.2.3.4:65535")),
            ("::1", Some("[::1]:0")),
            ("::1:80", Some("[::1:80]:0")),
            ("[::1]", Some("[::1]:0")),
            ("[2001:DB8::1]:443", Some("[2001:db8::1]:443")),
            ("::ffff:1.2.3.4", Some("[::ffff:1.2.3.4]:0")),
            ("", None),
            ("unknown", None),
            ("_hidden", None),
            ("1.2.3.4:", None),
            ("1.2.3.4:65536", None),
            ("1.2.3.4:000080", None),
            ("1.2.3.4:+80", None),
            ("1.2.3.4: 80", None),
            ("1.2.3.4:80:80", None),
            ("127.1", None),
            ("01.2.3.4", None),
            ("5000", None),
            ("[1.2.3.4]", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[::1]:", None),
            ("[fe80::1%eth0]", None),
            ("for=1.2.3.4", None),
            ("example.com", None),
            ("1.2.3.4\u{e9}", None),
        ] {
            let expected = found.map(|found| found.parse().unwrap());
            assert_eq!(address(entry.as_bytes()), expected, "{entry}");
        }
    }
}
