//! The wire vectors about framing, sent through each proxy: both count the same requests, and whoever comes next on the
//! same connection to the server gets the answer to their own request.

use crate::Behind;
use crate::behind_each;
use crate::client::{Client, wait_until};
use crate::conformance::Conformance;
use crate::proxies::{Backend, Kind, Line};
use crate::wire::cases::{self, Step};
use stannel::{ConnectionInfo, Observer, Rejection, Request, ServerOptions, StatusCode};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What vectors about framing are tagged with.
const TAGS: [&str; 7] = ["smuggling", "te", "length", "chunk", "lf", "ext", "http10"];

/// Whoever waits for the rest of a request does so in vain for that long.
const INCOMPLETE: Duration = Duration::from_millis(200);

/// Behind each vector, so that the proxy ends the connection once it has answered.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[test]
fn nginx_and_we_count_the_same_requests() {
    both_count_the_same_requests(Kind::Nginx);
}

#[test]
fn haproxy_and_we_count_the_same_requests() {
    both_count_the_same_requests(Kind::Haproxy);
}

#[test]
fn apache_and_we_count_the_same_requests() {
    both_count_the_same_requests(Kind::Apache);
}

/// What the server saw.
#[derive(Default)]
struct Seen {
    /// The connection of each request, refused ones too.
    requests: Vec<String>,
    /// Connections whose last request is not answered.
    busy: HashSet<String>,
}

#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    fn count(&self) -> usize {
        self.0.lock().unwrap().requests.len()
    }

    fn since(&self, count: usize) -> Vec<String> {
        self.0.lock().unwrap().requests[count..].to_vec()
    }
}

impl Observer for Watch {
    fn request(&self, request: &Request<'_>) {
        let mut seen = self.0.lock().unwrap();
        let connection = request.connection().id();
        seen.busy.insert(connection.clone());
        seen.requests.push(connection);
    }

    fn rejected(&self, connection: &ConnectionInfo, _: Rejection, _: &[u8]) {
        let mut seen = self.0.lock().unwrap();
        // One that was refused because of its body is counted already.
        if !seen.busy.contains(&connection.id()) {
            seen.requests.push(connection.id());
        }
    }

    fn response(&self, connection: &ConnectionInfo, _: u32, _: StatusCode) {
        self.0.lock().unwrap().busy.remove(&connection.id());
    }
}

fn both_count_the_same_requests(kind: Kind) {
    let text = include_str!("../http1-cases.json");
    let cases = cases::read(text).unwrap();
    let vectors: Vec<(&str, &[u8])> = cases
        .iter()
        .filter(|case| case.tags.iter().any(|tag| TAGS.contains(&tag.as_str())))
        .filter_map(|case| match &case.steps[..] {
            [Step::Send(bytes)] => Some((case.id.as_str(), bytes.as_slice())),
            _ => None,
        })
        .collect();
    assert!(vectors.len() > 200, "{}", vectors.len());
    let watch = Watch::default();
    let options = || {
        *watch.0.lock().unwrap() = Seen::default();
        let mut options = ServerOptions::default();
        options.observer = Some(Arc::new(watch.clone()));
        options
    };
    behind_each(
        kind,
        |_| Conformance,
        options,
        |behind, backend| {
            send_all(kind, &vectors, &watch, behind, backend);
        },
    );
}

/// What came of one vector, and of the marker behind it.
struct Outcome<'a> {
    id: &'a str,
    seen: usize,
    lines: Vec<Line>,
}

impl Outcome<'_> {
    fn count(&self, is: fn(&Line) -> bool) -> usize {
        self.lines.iter().filter(|line| is(line)).count()
    }
}

fn send_all(kind: Kind, vectors: &[(&str, &[u8])], watch: &Watch, behind: &Behind, backend: &Backend) {
    let place = format!("{kind:?} over {backend}");
    let log_length = || kind.lines(&behind.proxy).len();
    let mut on_the_same = 0;
    let mut outcomes = Vec::new();
    for (number, &(id, bytes)) in vectors.iter().enumerate() {
        let (seen, logged) = (watch.count(), log_length());
        send(behind, bytes);
        // Whoever left early is noticed before somebody else comes.
        wait_until("the vector's line in the log", || log_length() > logged);
        let target = format!("/marker/{number}");
        let answer = Client::connect(behind.proxy.address).get(&target);
        let text = answer.text();
        assert!(
            text.contains(&format!("method=GET\ntarget={target}\n")) && text.contains("body-length=0\n"),
            "{place}: behind {id} the answer to {target} is {answer:?}"
        );
        let mut lines = Vec::new();
        wait_until("the marker's line in the log", || {
            lines = kind.lines(&behind.proxy).split_off(logged);
            lines.iter().any(|line| line.text.ends_with(&target))
        });
        let requests = watch.since(seen);
        let (marker, before) = requests.split_last().unwrap();
        on_the_same += usize::from(before.contains(marker));
        outcomes.push(Outcome {
            id,
            seen: requests.len(),
            lines,
        });
    }
    let sum = |is: fn(&Line) -> bool| outcomes.iter().map(|outcome| outcome.count(is)).sum::<usize>();
    let _ = writeln!(
        std::io::stdout().lock(),
        "{place}: {} vectors; of {} requests {} refused there, {} forwarded, {} answered by us, who saw {}; {on_the_same} \
         clients came next on the connection that the vector had",
        vectors.len(),
        sum(|_| true),
        sum(|line| !line.is_forwarded),
        sum(|line| line.is_forwarded),
        sum(|line| line.is_answered),
        watch.count(),
    );
    assert!(on_the_same > 0, "{place}: no connection was used again");
    for outcome in outcomes {
        let (forwarded, answered) = (
            outcome.count(|line| line.is_forwarded),
            outcome.count(|line| line.is_answered),
        );
        // A request that its proxy gave up may have come as far as us, or not.
        assert!(
            (answered..=forwarded).contains(&outcome.seen),
            "{place}: {}: we saw {} requests, but {:#?}",
            outcome.id,
            outcome.seen,
            outcome.lines
        );
    }
}

/// Sends a vector and waits for the end, or in vain for an answer.
fn send(behind: &Behind, bytes: &[u8]) {
    let mut stream = TcpStream::connect(behind.proxy.address).unwrap();
    // A proxy that refuses the beginning need not take the rest.
    let _ = stream.write_all(&[bytes, LAST].concat());
    stream.set_read_timeout(Some(INCOMPLETE)).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}
