//! The trailer section, which ends a chunked body: RFC 9112 §7.1.2.

use super::Rejection;
use super::chunked::Limits;
use super::field::{self, Field};
use memchr::memchr2;

/// The fields in the trailer lines of a complete body.
///
/// ```
/// let mut fields = stannel::http1::trailers::fields(b"Checksum: 1f\r\n");
/// assert_eq!(fields.next().unwrap().value, b"1f");
/// ```
pub fn fields(lines: &[u8]) -> impl Iterator<Item = Field<'_>> {
    lines
        .split(|&byte| byte == b'\n')
        .filter_map(|line| field::parse_line(line.strip_suffix(b"\r")?).ok())
}

/// Reads trailer lines and the CRLF behind them.
#[derive(Clone, Debug)]
pub(super) struct TrailerSection {
    /// Where the line that is being read begins.
    line_start: usize,
    /// Complete lines.
    fields: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a line or the last CRLF.
    LineStart,
    Line,
    /// Behind the CR of a line.
    LineLf,
    /// Behind the very last CR.
    LastLf,
}

impl TrailerSection {
    pub(super) const fn new() -> Self {
        Self {
            line_start: 0,
            fields: 0,
            state: State::LineStart,
        }
    }

    /// Appends to `lines` what comes of them. Says how much was taken once the section is complete; before that it is
    /// all. `body_left` is what the body limit has left.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        limits: &Limits,
        body_left: u64,
        lines: &mut Vec<u8>,
    ) -> Result<Option<usize>, Rejection> {
        let mut rest = input;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = match self.state {
                State::LineStart if byte == b'\r' => {
                    self.check_body_limit(1, body_left)?;
                    self.state = State::LastLf;
                    behind
                }
                State::LastLf => {
                    if byte != b'\n' {
                        return Err(Rejection::InvalidRequestHeader);
                    }
                    self.check_body_limit(2, body_left)?;
                    return Ok(Some(input.len() - behind.len()));
                }
                State::LineLf => {
                    if byte != b'\n' {
                        return Err(Rejection::InvalidRequestHeader);
                    }
                    self.check_line(limits, lines)?;
                    append(b"\n", limits, lines)?;
                    self.line_start = lines.len();
                    self.state = State::LineStart;
                    behind
                }
                State::LineStart | State::Line => {
                    self.state = State::Line;
                    let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    let (text, end) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    append(text, limits, lines)?;
                    match end.split_first() {
                        None => break,
                        // RFC 9112 §2.2: LF alone ends no line here.
                        Some((b'\n', _)) => return Err(Rejection::InvalidRequestHeader),
                        Some((_, behind)) => {
                            append(b"\r", limits, lines)?;
                            self.state = State::LineLf;
                            behind
                        }
                    }
                }
            };
        }
        Ok(None)
    }

    /// Without trailers the last CRLF counts for the body limit, else it belongs to the section.
    const fn check_body_limit(&self, bytes: u64, body_left: u64) -> Result<(), Rejection> {
        if self.fields == 0 && bytes > body_left {
            return Err(Rejection::RequestBodyTooLarge);
        }
        Ok(())
    }

    /// Checks the line that is complete but for its LF.
    fn check_line(&mut self, limits: &Limits, lines: &[u8]) -> Result<(), Rejection> {
        let line = lines.get(self.line_start..).unwrap_or_default();
        let field = field::parse_line(line.strip_suffix(b"\r").unwrap_or(line))?;
        // RFC 9110 §6.5.1: fields that frame or route a message come too late here.
        if ["Content-Length", "Transfer-Encoding", "Host"]
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name))
        {
            return Err(Rejection::ForbiddenTrailer);
        }
        self.fields = self.fields.saturating_add(1);
        if self.fields as usize > limits.trailer_fields {
            return Err(Rejection::TooManyHeaders);
        }
        Ok(())
    }
}

/// Appends to the lines unless they grow too long.
fn append(bytes: &[u8], limits: &Limits, lines: &mut Vec<u8>) -> Result<(), Rejection> {
    if bytes.len() > limits.trailer_bytes.saturating_sub(lines.len()) {
        return Err(Rejection::HeadersExceedMaxTotalSize);
    }
    lines.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the section whole, byte by byte and with a cut at every place: the lines and how much was taken.
    fn read(section: &[u8], limits: &Limits) -> Result<(Vec<u8>, Option<usize>), Rejection> {
        let whole = read_pieces(&[section], limits);
        let bytes: Vec<_> = section.chunks(1).collect();
        assert_eq!(read_pieces(&bytes, limits), whole, "{}", section.escape_ascii());
        for at in 0..=section.len() {
            let (left, right) = section.split_at(at);
            assert_eq!(read_pieces(&[left, right], limits), whole, "{}", section.escape_ascii());
        }
        whole
    }

    fn read_pieces(pieces: &[&[u8]], limits: &Limits) -> Result<(Vec<u8>, Option<usize>), Rejection> {
        let mut reader = TrailerSection::new();
        let mut lines = Vec::new();
        let mut before = 0;
        for piece in pieces {
            if let Some(taken) = reader.read(piece, limits, u64::MAX, &mut lines)? {
                return Ok((lines, Some(before + taken)));
            }
            before += piece.len();
        }
        Ok((lines, None))
    }

    const fn limits(trailer_bytes: usize, trailer_fields: usize) -> Limits {
        Limits {
            max_body: None,
            trailer_bytes,
            trailer_fields,
        }
    }

    const ROOMY: Limits = limits(32768, 100);

    #[test]
    fn rfc9112_7_1_2_lines_are_kept_and_read_as_fields() {
        let section = b"X-T: 1\r\nx-u:  two \r\nEmpty:\r\n\r\nGET";
        let (lines, taken) = read(section, &ROOMY).unwrap();
        assert_eq!(lines, b"X-T: 1\r\nx-u:  two \r\nEmpty:\r\n");
        assert_eq!(taken, Some(section.len() - 3));
        let pairs: Vec<_> = fields(&lines).map(|field| (field.name, field.value)).collect();
        assert_eq!(pairs, [("X-T", &b"1"[..]), ("x-u", b"two"), ("Empty", b"")]);
        assert_eq!(fields(b"").count(), 0);
    }

    #[test]
    fn a_section_may_be_empty() {
        assert_eq!(read(b"\r\n\r\n", &limits(0, 0)), Ok((Vec::new(), Some(2))));
    }

    #[test]
    fn bad_lines() {
        use Rejection::{
            ForbiddenTrailer as Forbidden, InvalidCharactersInHeaderName as Name, InvalidRequestHeader as Line,
            MalformedRequestInvalidHeaders as Value,
        };
        let cases: &[(&[u8], Rejection)] = &[
            (b"A: b\r\n c\r\n\r\n", Line),
            (b" A: b\r\n\r\n", Line),
            (b"A : b\r\n\r\n", Line),
            (b"A\r\n\r\n", Line),
            (b": b\r\n\r\n", Line),
            (b"A: b\n\r\n", Line),
            (b"A: b\rc\r\n\r\n", Line),
            (b"A: b\r\r\n\r\n", Line),
            (b"A: b\r\n\n", Line),
            (b"A: b\r\n\rx", Line),
            (b"\n", Line),
            (b"\n\n", Line),
            (b"\r\r\n", Line),
            (b"A(b): c\r\n\r\n", Name),
            (b"A: \0\r\n\r\n", Value),
            (b"Content-Length: 5\r\n\r\n", Forbidden),
            (b"content-length: 5\r\n\r\n", Forbidden),
            (b"A: b\r\nTransfer-Encoding: chunked\r\n\r\n", Forbidden),
            (b"HOST: evil\r\n\r\n", Forbidden),
        ];
        for &(section, rejection) in cases {
            assert_eq!(read(section, &ROOMY), Err(rejection), "{}", section.escape_ascii());
        }
    }

    #[test]
    fn they_use_up_the_limits_of_the_head() {
        let section = b"A: b\r\nC: d\r\n\r\n";
        assert!(read(section, &limits(12, 2)).is_ok());
        assert_eq!(read(section, &limits(12, 1)), Err(Rejection::TooManyHeaders));
        assert_eq!(read(section, &limits(12, 0)), Err(Rejection::TooManyHeaders));
        for less in 0..12 {
            assert_eq!(
                read(section, &limits(less, 2)),
                Err(Rejection::HeadersExceedMaxTotalSize),
                "{less}"
            );
        }
        // At the byte that is one too many, not at the end of its line.
        assert_eq!(read(b"A: bcd", &limits(6, 9)), Ok((b"A: bcd".to_vec(), None)));
        assert_eq!(
            read(b"A: bcde", &limits(6, 9)),
            Err(Rejection::HeadersExceedMaxTotalSize)
        );
        // The last CRLF is none of them: a full section may still wait for it.
        let full = b"A: b\r\n".to_vec();
        assert_eq!(read(b"A: b\r\n", &limits(6, 1)), Ok((full.clone(), None)));
        assert_eq!(read(b"A: b\r\n\r", &limits(6, 1)), Ok((full.clone(), None)));
        assert_eq!(read(b"A: b\r\n\r\n", &limits(6, 1)), Ok((full, Some(8))));
    }
}
