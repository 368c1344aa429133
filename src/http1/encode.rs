//! Response heads as bytes.

use http::StatusCode;
use std::time::SystemTime;

/// The interim response that asks for the body (RFC 9110 §15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The status line. It always says HTTP/1.1, the version that this server speaks (RFC 9110 §6.2).
#[inline]
pub(crate) fn status_line(out: &mut Vec<u8>, status: StatusCode, reason: Option<&str>) {
    if reason.is_none() && status.as_u16() == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let reason = reason.or(status.canonical_reason()).unwrap_or("");
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Content-Length and the empty line.
#[inline]
pub(crate) fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(LENGTH_NAME);
    end_with_number(out, length);
}

#[inline]
fn end_with_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(number).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

/// The empty line.
#[inline]
pub(crate) fn end_of_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Server and Date (RFC 9110 §6.6.1) as they go into every response, rendered once a second.
#[derive(Clone, Debug)]
pub(crate) struct CommonFields {
    /// Both lines, Server first, and the name of the field that mostly follows: one copy puts all of it.
    lines: Vec<u8>,
    /// Where the Date line begins.
    date: usize,
    /// Where the name of Content-Length begins.
    length: usize,
    now: SystemTime,
}

const LENGTH_NAME: &[u8] = b"Content-Length: ";

impl CommonFields {
    /// The lines for that time; without Server if `server` is `None`.
    #[must_use]
    pub(crate) fn new(server: Option<&str>, now: SystemTime) -> Self {
        let mut lines = server.map_or_else(Vec::new, |server| format!("Server: {server}\r\n").into_bytes());
        let date = lines.len();
        lines.extend_from_slice(format!("Date: {}\r\n", httpdate::HttpDate::from(now)).as_bytes());
        let length = lines.len();
        lines.extend_from_slice(LENGTH_NAME);
        Self {
            lines,
            date,
            length,
            now,
        }
    }

    /// Renders the date anew; it always has the same length (IMF-fixdate).
    pub(crate) fn set_time(&mut self, now: SystemTime) {
        use std::io::Write;
        self.now = now;
        // Writing into a slice of exactly that length cannot fail.
        let _ = write!(
            &mut self.lines[self.date..self.length],
            "Date: {}\r\n",
            httpdate::HttpDate::from(now)
        );
    }

    /// The time that Date tells.
    pub(crate) fn now(&self) -> SystemTime {
        self.now
    }

    /// Appends what the handler has not set itself.
    pub(crate) fn put(&self, out: &mut Vec<u8>, has_server: bool, has_date: bool) {
        if !has_server {
            out.extend_from_slice(&self.lines[..self.date]);
        }
        if !has_date {
            out.extend_from_slice(&self.lines[self.date..self.length]);
        }
    }

    /// Appends both lines, Content-Length and the empty line: the end of most heads.
    #[inline]
    pub(crate) fn put_with_length(&self, out: &mut Vec<u8>, length: u64) {
        out.extend_from_slice(&self.lines);
        end_with_number(out, length);
    }
}

#[cfg(test)]
mod tests {
    use super::{CommonFields, content_length, status_line};
    use http::StatusCode;
    use std::time::{Duration, SystemTime};

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn status_lines_keep_the_space_before_an_empty_reason() {
        let line = |code, reason| text(|out| status_line(out, StatusCode::from_u16(code).unwrap(), reason));
        assert_eq!(line(200, None), "HTTP/1.1 200 OK\r\n");
        assert_eq!(line(413, None), "HTTP/1.1 413 Payload Too Large\r\n");
        assert_eq!(line(599, None), "HTTP/1.1 599 \r\n");
        assert_eq!(line(200, Some("Fine")), "HTTP/1.1 200 Fine\r\n");
    }

    #[test]
    fn common_fields_follow_the_clock() {
        let mut common = CommonFields::new(Some("stannel"), SystemTime::UNIX_EPOCH);
        assert_eq!(
            text(|out| common.put(out, false, false)),
            "Server: stannel\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        );
        common.set_time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        assert_eq!(
            text(|out| common.put(out, true, false)),
            "Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n"
        );
        assert_eq!(text(|out| common.put(out, false, true)), "Server: stannel\r\n");
        assert_eq!(
            common.now(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
        );
    }

    #[test]
    fn lengths_are_decimal() {
        assert_eq!(
            text(|out| content_length(out, u64::MAX)),
            "Content-Length: 18446744073709551615\r\n\r\n"
        );
    }
}
