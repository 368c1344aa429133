//! The subject of a certificate, as .NET writes and searches it.

use std::fmt;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Any, Tag, Tagged};
use x509_cert::name::Name;

/// The subject of a certificate.
///
/// ```
/// use stannel::certificate::Subject;
///
/// let subject = Subject::new([("CN", "www.example.com"), ("O", "Acme, Inc.")]);
/// assert_eq!(subject.to_string(), "O=\"Acme, Inc.\", CN=www.example.com");
/// assert_eq!(subject.search_text(), "www.example.com, \"Acme, Inc.\"");
/// assert!(subject.contains("EXAMPLE.com") && !subject.contains("CN="));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// In the order of the encoding; several attributes can share a place.
    places: Vec<Vec<Attribute>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    kind: String,
    value: String,
}

impl Subject {
    /// A subject of these attributes, each with its short name, in the order of the encoding.
    #[must_use]
    pub fn new<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let place = |(kind, value): (&str, &str)| {
            vec![Attribute {
                kind: kind.to_owned(),
                value: value.to_owned(),
            }]
        };
        Self {
            places: attributes.into_iter().map(place).collect(),
        }
    }

    pub(super) fn read(name: &Name) -> Self {
        let places = name.iter_rdn().map(|place| {
            let attributes = place.iter().map(|attribute| Attribute {
                kind: short_name(attribute.oid),
                value: text(&attribute.value),
            });
            attributes.collect()
        });
        Self {
            places: places.collect(),
        }
    }

    /// What a store is searched in: the values alone, in the order of the encoding, quoted where they need it.
    #[must_use]
    pub fn search_text(&self) -> String {
        let places: Vec<String> = self
            .places
            .iter()
            .map(|place| join(place, |it| quoted(&it.value)))
            .collect();
        places.join(", ")
    }

    /// Whether the values contain a text, whatever the case.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        fold(&self.search_text()).contains(&fold(text))
    }

    /// The common name; of several the last one of the encoding, which .NET shows first.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        let mut names = self.places.iter().flatten().filter(|attribute| attribute.kind == "CN");
        names.next_back().map(|attribute| attribute.value.as_str())
    }

    /// Whether the common name is this text, whatever the case.
    #[must_use]
    pub fn has_common_name(&self, text: &str) -> bool {
        self.common_name().is_some_and(|name| fold(name) == fold(text))
    }
}

/// As .NET writes it: the last attribute of the encoding first.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.places.is_empty() {
            return f.write_str("without subject");
        }
        for (at, place) in self.places.iter().rev().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            let text = join(place, |it| format!("{}={}", it.kind, quoted(&it.value)));
            // The text is a stranger's and goes to logs and terminals.
            let text: String = text
                .chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect();
            write!(f, "{separator}{text}")?;
        }
        Ok(())
    }
}

fn join(place: &[Attribute], text: impl Fn(&Attribute) -> String) -> String {
    let texts: Vec<String> = place.iter().map(text).collect();
    texts.join(" + ")
}

/// In quotes, if one who splits the text would otherwise be misled.
fn quoted(value: &str) -> String {
    const BLANKS: [char; 6] = [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'];
    let blank_ends = value.starts_with(BLANKS) || value.ends_with(BLANKS);
    if value.is_empty() || blank_ends || value.contains([',', '+', '=', '"', '\n', '<', '>', '#', ';']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// Letter by letter in upper case, as .NET compares without regard to case: `ß` is not `SS`, and `ı` is not `I`.
fn fold(text: &str) -> String {
    let upper = |c: char| {
        let mut letters = c.to_uppercase();
        match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii() == c.is_ascii() => letter,
            _ => c,
        }
    };
    text.chars().map(upper).collect()
}

fn text(value: &Any) -> String {
    let bytes = value.value();
    match value.tag() {
        Tag::BmpString => {
            let units: Vec<u16> = bytes
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16_lossy(&units)
        }
        Tag::TeletexString => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            // Latin-1 in practice, whatever the standard says.
            Err(_) => bytes.iter().copied().map(char::from).collect(),
        },
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("#{digits}")
        }
    }
}

fn short_name(oid: ObjectIdentifier) -> String {
    let text = oid.to_string();
    let name = match text.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "SERIALNUMBER",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "S",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "E",
        _ => return text,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search() {
        let subject = Subject::new([
            ("CN", "www.Bücher.test"),
            ("O", "a, b"),
            ("OU", "say \"hi\""),
            ("C", "DE"),
        ]);
        assert_eq!(
            subject.search_text(),
            "www.Bücher.test, \"a, b\", \"say \"\"hi\"\"\", DE"
        );
        for text in ["", "bÜcher", "BÜCHER.TEST, \"A", "de", "a, b"] {
            assert!(subject.contains(text), "{text}");
        }
        for text in ["CN", "C=", "test, a", " www", "DE, "] {
            assert!(!subject.contains(text), "{text}");
        }
        assert!(subject.has_common_name("WWW.BÜCHER.TEST") && !subject.has_common_name("bücher.test"));
        assert_eq!(subject.common_name(), Some("www.Bücher.test"));
        assert_eq!(Subject::new([("O", "x")]).common_name(), None);
    }

    /// Asked of Kestrel 10.
    #[test]
    fn quotes() {
        for letter in ['=', ';', '#', '<', '+', ',', '\n', '>'] {
            let value = format!("a{letter}b");
            assert_eq!(quoted(&value), format!("\"{value}\""));
        }
        for letter in ['\\', '/', '\'', '\r', '*', '|', ' '] {
            let value = format!("a{letter}b");
            assert_eq!(quoted(&value), value);
        }
        for (value, text) in [
            (" a", "\" a\""),
            ("a\t", "\"a\t\""),
            ("\u{a0}a", "\u{a0}a"),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(value), text);
        }
    }

    /// Asked of Kestrel 10.
    #[test]
    fn letter_case() {
        for (one, other) in [
            ("straße", "STRAßE"),
            ("ǆ", "Ǆ"),
            ("ǅ", "ǆ"),
            ("ΣΑΣ", "σας"),
            ("𐐨", "𐐀"),
            ("İx", "İX"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        for (one, other) in [("straße", "STRASSE"), ("ı", "I"), ("İ", "i̇"), ("ſ", "S")] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn two_common_names() {
        let subject = Subject::new([("CN", "first.test"), ("CN", "second.test"), ("O", "x")]);
        assert!(subject.has_common_name("second.test") && !subject.has_common_name("first.test"));
        assert!(subject.contains("first.test"));
    }

    #[test]
    fn control_characters_stay_out_of_messages() {
        let subject = Subject::new([("CN", "a\u{1b}[31m\nb")]);
        assert_eq!(subject.to_string(), "CN=\"a\u{fffd}[31m\u{fffd}b\"");
        assert_eq!(Subject::new([]).to_string(), "without subject");
    }
}
