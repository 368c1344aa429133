//! Whether a server answers what the others answer: the same fields and the same body. Servers that send less than
//! others are not to be measured beside them.

use std::io;

use crate::answer::{Answers, Expected, Known};
use crate::options::Options;
use crate::report::Report;
use crate::request::Request;
use crate::stream::Stream;
use crate::tls;

/// Asks twice on one connection and looks at each answer whole.
pub fn run(options: &Options) -> io::Result<Report> {
    let mut request = Request::new(options);
    let mut known = Known::new(std::mem::replace(&mut request.expected, Expected::Any));
    let tls = tls::config_for(options)?;
    let mut stream = Stream::open(options, tls.as_ref(), &request)?;
    let mut troubles = wrong_with(&answer(&mut stream, &mut known)?);
    stream.ask(&request)?;
    troubles.extend(wrong_with(&answer(&mut stream, &mut known)?));
    Ok(Report::new(options, troubles.len() as u64, troubles))
}

/// The bytes of an answer with the right status, framing and body.
fn answer(stream: &mut Stream, known: &mut Known) -> io::Result<Vec<u8>> {
    let mut answers = Answers::default();
    let mut whole = Vec::new();
    let mut input = [0; 4096];
    loop {
        let length = stream.read(&mut input)?;
        if length == 0 {
            return Err(io::Error::other("closed before the answer was whole"));
        }
        whole.extend_from_slice(&input[..length]);
        let mut input = &input[..length];
        let is_over = answers.advance(&mut input, known);
        if is_over.map_err(|fault| io::Error::other(fault.to_string()))? {
            return Ok(whole);
        }
    }
}

/// What the head of an answer has too much or too little, in words.
fn wrong_with(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let fields: Vec<_> = head.lines().skip(1).filter_map(|line| line.split_once(':')).collect();
    let mut troubles = Vec::new();
    for (name, is_good) in FIELDS {
        let values: Vec<_> = fields
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect();
        match values[..] {
            [value] if is_good(value) => {}
            [value] => troubles.push(format!("{name} is {value:?}")),
            _ => troubles.push(format!("{} times {name}", values.len())),
        }
    }
    for (name, value) in fields {
        if !FIELDS.iter().any(|(wanted, _)| name.eq_ignore_ascii_case(wanted)) {
            troubles.push(format!("{name} is sent ({}), which the others do not", value.trim()));
        }
    }
    troubles
}

/// Whether a value looks like `Tue, 24 Nov 2026 00:00:00 GMT`.
fn is_date(value: &str) -> bool {
    value.len() == DATE.len()
        && value.bytes().zip(DATE.bytes()).all(|(found, wanted)| match wanted {
            b'A' => found.is_ascii_alphabetic(),
            b'0' => found.is_ascii_digit(),
            _ => found == wanted,
        })
}

type Field = (&'static str, fn(&str) -> bool);

/// The fields of every answer that is measured; its length was checked with its body.
const FIELDS: [Field; 4] = [
    ("Server", |value| !value.is_empty()),
    ("Date", is_date),
    ("Content-Type", |value| value == "text/plain"),
    ("Content-Length", |_| true),
];
const DATE: &str = "AAA, 00 AAA 0000 00:00:00 GMT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        const ALL: &str = "Server: s\r\nDate: Tue, 24 Nov 2026 00:00:00 GMT\r\ncontent-type: text/plain\r\n";
        let cases = [
            (format!("{ALL}Content-Length: 0"), &[][..]),
            (
                ALL.replace("Server: s\r\n", ""),
                &["0 times Server", "0 times Content-Length"],
            ),
            (format!("{ALL}Content-Length: 0\r\nServer: t"), &["2 times Server"]),
            (
                format!("{ALL}Content-Length: 0").replace("24 Nov", "4 Nov"),
                &["Date is \"Tue, 4 Nov 2026 00:00:00 GMT\""],
            ),
            (
                format!("{ALL}Content-Length: 0").replace("plain", "html"),
                &["Content-Type is \"text/html\""],
            ),
            (
                format!("{ALL}Content-Length: 0\r\nConnection: keep-alive"),
                &["Connection is sent (keep-alive), which the others do not"],
            ),
        ];
        for (fields, troubles) in cases {
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nbody: none");
            assert_eq!(wrong_with(answer.as_bytes()), troubles, "{answer}");
        }
    }
}
