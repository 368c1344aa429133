//! BER, of which DER is the strict part: lengths may be left open, and texts of bytes may come in pieces. PKCS#12 allows
//! it, and Mozilla's NSS, so Firefox too, makes use of it. Here it becomes DER, which the readers of the structures want.

use std::borrow::Cow;

/// The first element as DER, and what lies in it down to the texts of bytes, whose content nobody looks into. What cannot
/// be read comes back as it is, for the reader to say what is wrong with it.
pub(super) fn to_der(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut rest = bytes;
    match element(&mut rest, MAX_DEPTH) {
        Some(element) => Cow::Owned(element.write()),
        None => Cow::Borrowed(bytes),
    }
}

/// An element whose content is DER.
struct Element {
    tag: u8,
    content: Vec<u8>,
}

impl Element {
    fn write(&self) -> Vec<u8> {
        let length = self.content.len();
        let digits = length.to_be_bytes();
        let digits = &digits[length.leading_zeros() as usize / 8..];
        let mut out = vec![self.tag];
        match u8::try_from(length) {
            Ok(short @ ..0x80) => out.push(short),
            // There are eight of them at most.
            _ => out.extend([&[0x80 | digits.len() as u8], digits].concat()),
        }
        out.extend_from_slice(&self.content);
        out
    }
}

/// Takes an element off the beginning; `None` if there is none.
fn element(rest: &mut &[u8], depth: usize) -> Option<Element> {
    let depth = depth.checked_sub(1)?;
    let (&tag, after) = rest.split_first()?;
    let (&length, after) = after.split_first()?;
    *rest = after;
    // No structure here has tags of several bytes.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let content = match length {
        OPEN => None,
        ..0x80 => Some(usize::from(length)),
        _ => {
            let digits = take(rest, usize::from(length & 0x7f))?;
            let value = digits.iter().try_fold(0usize, |value, digit| {
                value.checked_mul(256)?.checked_add(usize::from(*digit))
            });
            Some(value?)
        }
    };
    let content = content
        .map(|length| take(rest, length))
        .map_or(Some(None), |it| it.map(Some))?;
    if tag & CONSTRUCTED == 0 {
        let content = content?.to_vec();
        return Some(Element { tag, content });
    }
    let mut parts = Vec::new();
    match content {
        Some(mut content) => {
            while !content.is_empty() {
                parts.push(element(&mut content, depth)?);
            }
        }
        None => loop {
            if let Some(after) = rest.strip_prefix(&END) {
                *rest = after;
                break;
            }
            parts.push(element(rest, depth)?);
        },
    }
    Some(assemble(tag, parts))
}

fn assemble(tag: u8, mut parts: Vec<Element>) -> Element {
    if tag == OCTET_STRING | CONSTRUCTED && are_octets(&parts) {
        return Element {
            tag: OCTET_STRING,
            content: join(&parts),
        };
    }
    // RFC 5652 §6.1: the third part of EncryptedContentInfo is a text of bytes under another tag. In pieces it looks like
    // a tag around a text.
    if let [name, algorithm, encrypted] = parts.as_mut_slice()
        && (name.tag, algorithm.tag, encrypted.tag) == (OBJECT_IDENTIFIER, SEQUENCE, CONTEXT | CONSTRUCTED)
        && let Some(pieces) = pieces(&encrypted.content)
    {
        *encrypted = Element {
            tag: CONTEXT,
            content: pieces,
        };
    }
    let content = parts.iter().flat_map(Element::write).collect();
    Element { tag, content }
}

/// What a sequence of texts of bytes holds together.
fn pieces(mut content: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    while !content.is_empty() {
        parts.push(element(&mut content, 1)?);
    }
    are_octets(&parts).then(|| join(&parts))
}

fn are_octets(parts: &[Element]) -> bool {
    parts.iter().all(|part| part.tag == OCTET_STRING)
}

fn join(parts: &[Element]) -> Vec<u8> {
    parts.iter().flat_map(|part| &part.content).copied().collect()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// More than any structure has; each level is a copy.
const MAX_DEPTH: usize = 32;
const OPEN: u8 = 0x80;
const END: [u8; 2] = [0, 0];
const CONSTRUCTED: u8 = 0x20;
const CONTEXT: u8 = 0x80;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_lengths_and_pieces_become_der() {
        let table: &[(&[u8], &[u8])] = &[
            (b"\x02\x01\x05", b"\x02\x01\x05"),
            (b"\x30\x80\x02\x01\x05\x00\x00", b"\x30\x03\x02\x01\x05"),
            (b"\x30\x81\x03\x02\x01\x05", b"\x30\x03\x02\x01\x05"),
            (b"\x30\x80\x00\x00behind", b"\x30\x00"),
            (b"\x30\x80\x30\x80\x05\x00\x00\x00\x00\x00", b"\x30\x04\x30\x02\x05\x00"),
            (b"\x24\x80\x04\x01a\x24\x05\x04\x00\x04\x01b\x00\x00", b"\x04\x02ab"),
            (b"\x24\x00", b"\x04\x00"),
            // What a text of bytes holds is nobody's business.
            (b"\x04\x05\x30\x80\x00\x00x", b"\x04\x05\x30\x80\x00\x00x"),
            (b"\xa0\x80\x04\x01a\x00\x00", b"\xa0\x03\x04\x01a"),
            (
                b"\x30\x80\x06\x01\x2a\x30\x00\xa0\x80\x04\x01a\x04\x01b\x00\x00\x00\x00",
                b"\x30\x09\x06\x01\x2a\x30\x00\x80\x02ab",
            ),
            (
                b"\x30\x0a\x06\x01\x2a\x30\x00\xa0\x03\x02\x01\x05",
                b"\x30\x0a\x06\x01\x2a\x30\x00\xa0\x03\x02\x01\x05",
            ),
        ];
        for (ber, der) in table {
            assert_eq!(to_der(ber), *der, "{}", ber.escape_ascii());
        }
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_is() {
        let deep = [&[0x30, 0x80].repeat(40)[..], &[0, 0].repeat(40)].concat();
        let table: [&[u8]; 10] = [
            b"",
            b"\x30",
            b"\x30\x05\x02\x01\x05",
            b"\x30\x80\x02\x01\x05",
            b"\x30\x80\x02\x01\x05\x00",
            b"\x04\x80\x00\x00",
            b"\x1f\x81\x01\x00",
            b"\x30\x89\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff",
            &deep,
        ];
        for bytes in table {
            assert_eq!(to_der(bytes), bytes, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn der_stays_der() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let text = Element {
                tag: OCTET_STRING,
                content: vec![b'x'; length],
            };
            let text = text.write();
            assert_eq!(to_der(&text), text, "{length}");
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openssl");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "pfx") {
                let bytes = std::fs::read(&path).unwrap();
                assert_eq!(to_der(&bytes), bytes, "{}", path.display());
                seen += 1;
            }
        }
        assert!(seen > 3, "{seen}");
    }
}
