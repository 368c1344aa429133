//! What leads HttpArena's first three profiles, as a peer: epoll, and of HTTP only what the arena's requests are made
//! of. It believes whatever comes. There is no check of any syntax, no limit, no timer, no error and no Date; a request
//! of another kind ends the connection. Whatever a real server costs above this is the price of being one.

use std::mem;
use std::net::TcpStream;

use compare::ServerOptions;
use compare::event_loop::{Connection, EventLoop, Fate, HANG_UP, Protocol};
use memchr::memmem::Finder;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = ServerOptions::from_args()?;
    EventLoop::new(options.listen()?, Epoll::new())?.run()?;
    Ok(())
}

struct Epoll {
    reader: Reader,
    /// Lent to each connection in turn.
    input: Vec<u8>,
    output: Vec<u8>,
}

struct EpollConnection {
    socket: TcpStream,
    /// The beginning of a request whose end has not come yet.
    begun: Vec<u8>,
    /// What the kernel did not take yet.
    unsent: Vec<u8>,
}

impl Epoll {
    fn new() -> Self {
        Self {
            reader: Reader::new(),
            input: vec![0; INPUT_LENGTH],
            output: Vec::new(),
        }
    }
}

impl Protocol for Epoll {
    type Connection = EpollConnection;

    fn open(&self, socket: TcpStream) -> Option<EpollConnection> {
        Some(EpollConnection {
            socket,
            begun: Vec::new(),
            unsent: Vec::new(),
        })
    }

    fn turn(&mut self, connection: &mut EpollConnection, flags: EventFlags) -> Fate {
        if !connection.unsent.is_empty() {
            let unsent = mem::take(&mut connection.unsent);
            if let fate @ (Fate::Stuck | Fate::Close) = connection.write(&unsent) {
                return fate;
            }
        }
        loop {
            let length = match rustix::io::read(&connection.socket, &mut self.input[..]) {
                Ok(0) => return Fate::Close,
                Ok(length) => length,
                Err(Errno::AGAIN) => return Fate::Keep,
                Err(Errno::INTR) => continue,
                Err(_) => return Fate::Close,
            };
            let read = &self.input[..length];
            self.output.clear();
            let answered = if connection.begun.is_empty() {
                let answered = self.reader.answer(read, &mut self.output);
                answered.map(|taken| connection.begun.extend_from_slice(&read[taken..]))
            } else {
                connection.begun.extend_from_slice(read);
                let answered = self.reader.answer(&connection.begun, &mut self.output);
                answered.map(|taken| drop(connection.begun.drain(..taken)))
            };
            if answered.is_none() {
                return Fate::Close;
            }
            if let fate @ (Fate::Stuck | Fate::Close) = connection.write(&self.output) {
                return fate;
            }
            // A short read emptied the socket; only a hang-up that is already known is worth another one.
            if length < self.input.len() && !flags.intersects(HANG_UP) {
                return Fate::Keep;
            }
        }
    }
}

impl EpollConnection {
    fn write(&mut self, mut bytes: &[u8]) -> Fate {
        while !bytes.is_empty() {
            match rustix::io::write(&self.socket, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::AGAIN) => {
                    self.unsent.extend_from_slice(bytes);
                    return Fate::Stuck;
                }
                Err(Errno::INTR) => {}
                Err(_) => return Fate::Close,
            }
        }
        Fate::Keep
    }
}

impl Connection for EpollConnection {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

/// Reads requests and writes answers; sees bytes only, never a socket.
struct Reader {
    end: Finder<'static>,
    length: Finder<'static>,
}

impl Reader {
    fn new() -> Self {
        Self {
            end: Finder::new(b"\r\n\r\n"),
            length: Finder::new(b"\r\nContent-Length: "),
        }
    }

    /// Answers every request that is whole; how many bytes they had, or nothing where one is not the arena's.
    fn answer(&self, input: &[u8], output: &mut Vec<u8>) -> Option<usize> {
        let mut taken = 0;
        while let Some(end) = self.end.find(&input[taken..]) {
            let (head, body) = input[taken..].split_at(end + 4);
            let body_length = if head.starts_with(b"GET /p") {
                output.extend_from_slice(PIPELINE);
                0
            } else if head.starts_with(b"GET /b") {
                put_number(output, sum_of_query(head));
                0
            } else if head.starts_with(b"POST /b") {
                let Some((number, length)) = self.body(head, body)? else {
                    break;
                };
                put_number(output, sum_of_query(head) + number);
                length
            } else {
                return None;
            };
            taken += head.len() + body_length;
        }
        Some(taken)
    }

    /// The number in a body and the bytes that it takes; `Some(None)` while there is more to come.
    fn body(&self, head: &[u8], body: &[u8]) -> Option<Option<(u64, usize)>> {
        if let Some(at) = self.length.find(head) {
            let length = number(&head[at + self.length.needle().len()..]) as usize;
            return Some(body.get(..length).map(|digits| (number(digits), length)));
        }
        let (mut text, mut at) = (0, 0);
        loop {
            let Some(line) = body[at..].iter().position(|&byte| byte == b'\n') else {
                return Some(None);
            };
            let size =
                usize::from_str_radix(std::str::from_utf8(body[at..at + line].trim_ascii_end()).ok()?, 16).ok()?;
            let begin = at + line + 1;
            at = begin + size + 2;
            if body.len() < at {
                return Some(None);
            }
            if size == 0 {
                return Some(Some((text, at)));
            }
            text = body[begin..begin + size]
                .iter()
                .fold(text, |number, &digit| push_digit(number, digit));
        }
    }
}

/// The numbers behind each `=` of the request line.
fn sum_of_query(head: &[u8]) -> u64 {
    let (mut sum, mut value) = (0, None);
    for &byte in &head[REQUEST_LINE_BEGIN..] {
        match (byte, value) {
            (b'=', _) => value = Some(0),
            (b'&', _) => sum += value.take().unwrap_or(0),
            (b' ', _) => break,
            (digit, Some(number)) => value = Some(push_digit(number, digit)),
            (_, None) => {}
        }
    }
    sum + value.unwrap_or(0)
}

/// The digits at the beginning.
fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, &digit| push_digit(number, digit))
}

fn push_digit(number: u64, digit: u8) -> u64 {
    number
        .wrapping_mul(10)
        .wrapping_add(u64::from(digit.wrapping_sub(b'0')))
}

fn put_number(output: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let length = digits.len() - begin;
    output.extend_from_slice(NUMBER);
    if length > 9 {
        output.push(b'0' + (length / 10) as u8);
    }
    output.extend_from_slice(&[b'0' + (length % 10) as u8, b'\r', b'\n', b'\r', b'\n']);
    output.extend_from_slice(&digits[begin..]);
}

const PIPELINE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: epoll\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
const NUMBER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: epoll\r\nContent-Type: text/plain\r\nContent-Length: ";
/// Behind the space that every method has after it.
const REQUEST_LINE_BEGIN: usize = "POST ".len();
const INPUT_LENGTH: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_cutting_gives_the_same_answers() {
        let input = b"GET /baseline11?a=13&b=42 HTTP/1.1\r\nHost: h\r\n\r\n\
            POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n20\
            POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n1\r\n0\r\n0\r\n\r\n\
            GET /pipeline HTTP/1.1\r\nHost: h\r\n\r\nGET /baseline11?a=9999999999&b=1 HTTP/1.1\r\n\r\n";
        let reader = Reader::new();
        for piece in 1..=input.len() {
            let (mut begun, mut output) = (Vec::new(), Vec::new());
            for piece in input.chunks(piece) {
                begun.extend_from_slice(piece);
                let taken = reader.answer(&begun, &mut output).unwrap();
                begun.drain(..taken);
            }
            assert!(begun.is_empty());
            let output = String::from_utf8(output).unwrap();
            let bodies: Vec<&str> = output
                .split("HTTP/1.1 200 OK\r\n")
                .skip(1)
                .map(|answer| answer.split_once("\r\n\r\n").unwrap().1)
                .collect();
            assert_eq!(bodies, ["55", "75", "75", "ok", "10000000000"], "pieces of {piece}");
            assert!(output.ends_with("Content-Length: 11\r\n\r\n10000000000"));
        }
        assert_eq!(reader.answer(b"PUT / HTTP/1.1\r\n\r\n", &mut Vec::new()), None);
    }
}
