//! A header section that was read before is not read again, nor is a whole head: what comes of a request must not depend
//! on it.

use stannel::connection::{Connection, Engine};
use stannel::{ConnectionInfo, Exchange, Outcome, Peer, Request, ServerOptions, StatusCode};

/// Everything that a handler can see of a head.
fn tell(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let headers = request.headers();
    let text = format!(
        "{} {} {:?} {:?} {:?} {} {:?} {:?} {} {} {:?} {:?} {}",
        request.method(),
        request.target(),
        request.version(),
        request.host(),
        request.host_port(),
        request.has_body(),
        request.is_upgradable(),
        request.target_form(),
        request.path(),
        request.query(),
        headers,
        headers.get("ACCEPT"),
        headers.len(),
    );
    exchange.respond(StatusCode::OK).send(text)
}

fn engine(options: &ServerOptions) -> Engine {
    Engine::new(options, || tell, || ())
}

/// What a connection of its own answers to these bytes.
fn answer(engine: &mut Engine, bytes: &[u8]) -> Vec<u8> {
    let mut connection = Connection::new(engine, ConnectionInfo::new(1, Peer::Unix), 0);
    let mut turn = connection.turn(engine, 0);
    turn.on_bytes(bytes);
    let mut answer = turn.output().unwrap_or_default().to_vec();
    answer.extend(format!("{:?}", turn.fate()).bytes());
    answer
}

const HEADS: [&str; 8] = [
    "GET /a?b HTTP/1.1\r\nHost: example.com:80\r\nAccept: text/plain\r\n\r\n",
    "DELETE /%61/../b.c HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: example.com:80\r\nAccept: text/plain\r\nConnection: keep-alive\r\n\r\n",
    "GET http://example.com/a HTTP/1.1\r\nhost: example.com\r\nACCEPT:\r\n\r\n",
    "POST /b HTTP/1.0\r\nHost: h\r\nConnection: close\r\n\r\n",
    "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nCookie: secret\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
];

/// The head with one byte changed, left out or put in, at every place; and with every other head's request line.
fn variants(head: &str) -> Vec<Vec<u8>> {
    let mut variants = vec![head.as_bytes().to_vec()];
    for at in 0..head.len() {
        for byte in *b"\r\n :x\0\xff,G" {
            let mut changed = head.as_bytes().to_vec();
            changed[at] = byte;
            variants.push(changed);
            let mut longer = head.as_bytes().to_vec();
            longer.insert(at, byte);
            variants.push(longer);
        }
        let mut shorter = head.as_bytes().to_vec();
        shorter.remove(at);
        variants.push(shorter);
    }
    for line in HEADS.iter().filter_map(|head| head.split("\r\n").next()) {
        let section = head.split_once("\r\n").map_or("", |(_, section)| section);
        variants.push(format!("{line}\r\n{section}").into_bytes());
        variants.push(format!("{line}\n{section}").into_bytes());
        variants.push(format!("\r\n{line}\r\n{section}{line}\r\n{section}").into_bytes());
    }
    variants
}

fn compare(options: &ServerOptions) {
    for known in HEADS {
        let mut warm = engine(options);
        for head in HEADS {
            for bytes in variants(head) {
                // The first time its section is learned, the second time the request with it.
                answer(&mut warm, known.as_bytes());
                answer(&mut warm, known.as_bytes());
                let fresh = answer(&mut engine(options), &bytes);
                assert_eq!(
                    answer(&mut warm, &bytes).escape_ascii().to_string(),
                    fresh.escape_ascii().to_string(),
                    "{} after {known:?}",
                    bytes.escape_ascii()
                );
            }
        }
    }
}

#[test]
fn what_was_read_before_changes_no_answer() {
    compare(&ServerOptions::default());
}

#[test]
fn limits_hold_for_a_known_head_too() {
    let mut options = ServerOptions::default();
    options.limits.max_request_line_size = "GET /a HTTP/1.1\r\n".len();
    options.limits.max_request_headers_total_size = 60;
    options.limits.max_request_header_count = 2;
    compare(&options);
}

#[test]
fn requests_that_take_turns_get_their_own_fields() {
    let mut warm = engine(&ServerOptions::default());
    for round in 0..200 {
        let head = HEADS[round * round % HEADS.len()];
        let fresh = answer(&mut engine(&ServerOptions::default()), head.as_bytes());
        assert_eq!(answer(&mut warm, head.as_bytes()), fresh, "{head:?}");
    }
}
