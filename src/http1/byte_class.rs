//! What each byte may be part of: one small table for all parsers, so that it stays in the cache.
//!
//! The flags say what a byte is *not* (or where a closer look is due). Joined with "or" over a slice they tell in one
//! pass without a branch per byte whether everything in it is ordinary.

/// No token character: RFC 9110 §5.6.2.
pub(super) const NOT_TOKEN: u8 = 1;
/// No byte of a field value: RFC 9110 §5.5.
pub(super) const NOT_FIELD_VALUE: u8 = 1 << 1;
/// No byte of a request target.
pub(super) const NOT_TARGET: u8 = 1 << 2;
/// No byte of a host name.
pub(super) const NOT_HOST_NAME: u8 = 1 << 3;
/// `?`, which begins the query.
pub(super) const QUESTION_MARK: u8 = 1 << 4;
/// `%` or `.`: the path may differ from the way it is written.
pub(super) const PERCENT_OR_DOT: u8 = 1 << 5;

/// The flags of one byte.
pub(super) const fn class(byte: u8) -> u8 {
    // The index is a byte and the table has an entry for each.
    CLASSES[byte as usize]
}

/// The flags of all bytes of a slice, joined.
#[inline]
pub(super) fn classes(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |seen, &byte| seen | class(byte))
}

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let byte = index as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        let mut flags = 0;
        // RFC 9110 §5.6.2: the characters of a token.
        let in_token = alphanumeric
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        if !in_token {
            flags |= NOT_TOKEN;
        }
        // RFC 9110 §5.5: HTAB, SP, visible characters and the opaque upper half.
        if !matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xFF) {
            flags |= NOT_FIELD_VALUE;
        }
        // RFC 9112 §3.2: no control, no white space, nothing beyond ASCII, no fragment. What RFC 3986 leaves out
        // besides (`"`, `<`, `|` ...) clients do send, and it touches no framing.
        if !matches!(byte, b'!'..=b'~') || byte == b'#' {
            flags |= NOT_TARGET;
        }
        // RFC 3986 §3.2.2 has more (`*`, `+`, `,`, `;`, `=`, percent triplets); Kestrel takes these.
        let in_host = alphanumeric
            || matches!(
                byte,
                b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'-' | b'.' | b'_' | b'~'
            );
        if !in_host {
            flags |= NOT_HOST_NAME;
        }
        if byte == b'?' {
            flags |= QUESTION_MARK;
        }
        if matches!(byte, b'%' | b'.') {
            flags |= PERCENT_OR_DOT;
        }
        table[index] = flags;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_6_2_tokens() {
        let inside = b"!#$%&'*+-.^_`|~0189azAZ";
        for byte in 0..=255u8 {
            let expected = byte.is_ascii_alphanumeric() || inside.contains(&byte);
            assert_eq!(class(byte) & NOT_TOKEN == 0, expected, "{byte:#x}");
        }
    }

    #[test]
    fn rfc9110_5_5_field_values() {
        for byte in 0..=255u8 {
            let expected = byte == 9 || (byte >= 0x20 && byte != 0x7F);
            assert_eq!(class(byte) & NOT_FIELD_VALUE == 0, expected, "{byte:#x}");
        }
    }

    #[test]
    fn rfc9112_3_2_target_bytes() {
        for byte in 0..=255u8 {
            let expected = (0x21..=0x7E).contains(&byte) && byte != b'#';
            assert_eq!(class(byte) & NOT_TARGET == 0, expected, "{byte:#x}");
        }
    }
}
