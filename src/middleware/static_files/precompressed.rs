//! Compressed files beside a file, and which of them a request gets: RFC 9110 §12.5.3.

use super::lookup::{Found, inspect};
use crate::handler::Headers;
use http::header::ACCEPT_ENCODING;
use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How a file was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// In the order in which they are taken where a client likes them equally: the one that packs tighter first.
    const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// What Content-Encoding calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What is behind the last dot of such a file's name.
    const fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gz",
        }
    }
}

/// The compressed files beside a file.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    found: [Option<PathBuf>; Coding::ALL.len()],
}

impl Siblings {
    /// Those of `file`, a real path below `root` that was last modified in the second `modified`.
    pub(super) fn of(root: &Path, file: &Path, modified: i64) -> Self {
        let extension = file.extension().and_then(OsStr::to_str);
        if Coding::ALL.iter().any(|coding| extension == Some(coding.extension())) {
            // Nobody compresses twice.
            return Self::default();
        }
        Self {
            found: Coding::ALL.map(|coding| sibling(root, file, modified, coding)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.iter().all(Option::is_none)
    }

    fn path(&self, coding: Coding) -> Option<&Path> {
        self.found[coding as usize].as_deref()
    }
}

/// One that is older than its file is not there: it holds what the file was before it was changed.
///
/// Times are compared in whole seconds, because archives and some compressors keep no finer ones.
fn sibling(root: &Path, file: &Path, modified: i64, coding: Coding) -> Option<PathBuf> {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(coding.extension());
    let path = PathBuf::from(name);
    // The folder is a real one already: only a link has to be followed.
    let metadata = fs::symlink_metadata(&path).ok()?;
    let (path, written) = if metadata.is_file() {
        (path, metadata.mtime())
    } else if metadata.is_symlink() {
        match inspect(root, &path).ok()? {
            Found::File { path, modified } => (path, modified),
            Found::Folder(_) => return None,
        }
    } else {
        return None;
    };
    (written >= modified).then_some(path)
}

/// In which form a file may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// As it is.
    Plain,
    Compressed(Coding, &'a Path),
}

/// The forms that the client accepts, the one that it likes best first; none where it rules out all.
pub(super) fn forms<'a>(siblings: &'a Siblings, headers: Headers<'_>) -> impl Iterator<Item = Form<'a>> {
    let weights = Weights::read(headers.get_all(ACCEPT_ENCODING.as_str()));
    let mut codings = [Some(Coding::Brotli), Some(Coding::Gzip), None];
    codings.sort_by_key(|&coding| Reverse(weights.of(coding)));
    codings
        .into_iter()
        .filter(move |&coding| weights.of(coding) > 0)
        .filter_map(|coding| match coding {
            None => Some(Form::Plain),
            Some(coding) => siblings.path(coding).map(|path| Form::Compressed(coding, path)),
        })
}

/// What a client thinks of each coding, in thousandths; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Weights {
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    others: Option<u16>,
}

impl Weights {
    /// Of all Accept-Encoding fields. A member of the list that is malformed says nothing.
    fn read<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut weights = Self::default();
        let members = values.filter_map(|value| std::str::from_utf8(value).ok());
        for member in members.flat_map(|value| value.split(',')) {
            let (coding, weight) = match member.split_once(';') {
                None => (member, Some(1000)),
                Some((coding, parameter)) => (coding, weight(parameter)),
            };
            let Some(weight) = weight else { continue };
            let coding = coding.trim_matches(BLANK);
            let is = |name: &str| coding.eq_ignore_ascii_case(name);
            let place = if is("br") {
                &mut weights.brotli
            } else if is("gzip") || is("x-gzip") {
                // RFC 9110 §8.4.1.3: the two are the same.
                &mut weights.gzip
            } else if is("identity") {
                &mut weights.identity
            } else if coding == "*" {
                &mut weights.others
            } else {
                continue;
            };
            *place = Some(weight);
        }
        weights
    }

    /// Of a coding, or of none. What is not named is not wanted, but without a coding everything is acceptable as long
    /// as it is not ruled out; it is then what the client likes least.
    ///
    /// RFC 9110 §12.5.3 lets a server send anything to a client without Accept-Encoding. One that does not ask may not
    /// be able to decompress, so it gets the file as it is.
    fn of(self, coding: Option<Coding>) -> u16 {
        let (own, otherwise) = match coding {
            Some(Coding::Brotli) => (self.brotli, 0),
            Some(Coding::Gzip) => (self.gzip, 0),
            None => (self.identity, 1),
        };
        own.or(self.others).unwrap_or(otherwise)
    }
}

/// RFC 9110 §12.4.2: `q=` and at most three decimals, in thousandths.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.trim_matches(BLANK).split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = decimals.bytes().chain(std::iter::repeat(b'0')).take(3);
    let thousandths = digits.fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

const BLANK: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::{Coding, Form, Siblings, Weights, forms, weight};
    use crate::handler::Headers;
    use crate::http1::RawField;
    use crate::http1::section::FieldLines;
    use std::path::PathBuf;

    /// The forms in their order, where both siblings are there.
    fn order(values: &[&str]) -> String {
        let siblings = Siblings {
            found: [Some(PathBuf::from("b")), Some(PathBuf::from("g"))],
        };
        let fields: Vec<RawField<'_>> = values
            .iter()
            .map(|value| RawField {
                name: "accept-encoding",
                value: value.as_bytes(),
            })
            .collect();
        let names: Vec<&str> = forms(&siblings, Headers::new(FieldLines::Read(&fields)))
            .map(|form| match form {
                Form::Plain => "plain",
                Form::Compressed(coding, _) => coding.name(),
            })
            .collect();
        names.join(" ")
    }

    #[test]
    fn rfc_9110_12_5_3_the_client_chooses() {
        let cases: &[(&[&str], &str)] = &[
            (&[], "plain"),
            (&[""], "plain"),
            (&[" , ,"], "plain"),
            (&["br"], "br plain"),
            (&["gzip"], "gzip plain"),
            (&["gzip, br"], "br gzip plain"),
            (&["gzip", "br"], "br gzip plain"),
            (&["GZip ;Q=0.5 , BR; q=0.4"], "gzip br plain"),
            (&["x-gzip"], "gzip plain"),
            (&["br;q=1, gzip;q=0.8"], "br gzip plain"),
            (&["br;q=0.8, gzip;q=1"], "gzip br plain"),
            (&["br;q=0.001"], "br plain"),
            (&["br;q=0, gzip"], "gzip plain"),
            (&["deflate, zstd, gzipped"], "plain"),
            (&["*"], "br gzip plain"),
            (&["*;q=0"], ""),
            (&["br, *;q=0"], "br"),
            (&["identity;q=0"], ""),
            (&["gzip, identity;q=0"], "gzip"),
            (&["identity;q=0, *"], "br gzip"),
            (&["identity, *;q=0"], "plain"),
            (&["identity;q=0.5, *;q=0"], "plain"),
            (&["identity, gzip;q=0.5"], "plain gzip"),
            (&["gzip;q=0.5, *;q=0.7"], "br plain gzip"),
            (&["*;q=0.1, br"], "br gzip plain"),
            // What is malformed says nothing.
            (&["br;q=2, gzip"], "gzip plain"),
            (&["br;level=1, gzip;q=0.5;x"], "plain"),
            (&["b r, gzip q=1"], "plain"),
            (&["identity;q=-0"], "plain"),
        ];
        for (values, expected) in cases {
            assert_eq!(order(values), *expected, "{values:?}");
        }
    }

    #[test]
    fn a_field_that_is_no_text_says_nothing() {
        let weights = Weights::read([&b"br\xff"[..], b"gzip"].into_iter());
        assert_eq!(weights.of(Some(Coding::Brotli)), 0);
        assert_eq!(weights.of(Some(Coding::Gzip)), 1000);
    }

    #[test]
    fn rfc_9110_12_4_2_weights() {
        let cases = [
            ("q=0", Some(0)),
            ("q=1", Some(1000)),
            ("q=1.", Some(1000)),
            ("q=1.000", Some(1000)),
            ("q=0.", Some(0)),
            ("q=0.5", Some(500)),
            ("q=0.05", Some(50)),
            ("q=0.123", Some(123)),
            (" \tQ=0.9 ", Some(900)),
            ("q=0.1234", None),
            ("q=1.001", None),
            ("q=2", None),
            ("q=00", None),
            ("q=.5", None),
            ("q=+1", None),
            ("q=0.+1", None),
            ("q= 1", None),
            ("q", None),
            ("", None),
            ("x=1", None),
            ("q=0.5;x", None),
        ];
        for (parameter, expected) in cases {
            assert_eq!(weight(parameter), expected, "{parameter:?}");
        }
    }
}
