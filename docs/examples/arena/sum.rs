//! Sums of what stands in the query and in the body.

use stannel::{Exchange, Outcome, Request, StatusCode};

/// More than any integer is long.
const LONGEST_BODY: usize = 256;

/// Answers with the sum, which is made anew for each request.
pub(crate) fn answer(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let sum = of_query(request.query());
    exchange.collect(LONGEST_BODY, move |body, exchange| {
        match sum.and_then(|sum| sum.checked_add(integer(&body)?)) {
            Some(sum) => super::text(exchange, itoa::Buffer::new().format(sum)),
            None => exchange.respond(StatusCode::BAD_REQUEST).send(""),
        }
    })
}

/// `None` where a value is no integer, or the sum is none.
fn of_query(query: &str) -> Option<i64> {
    let pairs = query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').and_then(|(_, value)| value.parse::<i64>().ok()))
        .try_fold(0, |sum: i64, value| sum.checked_add(value?))
}

/// The integer that a body is; 0 if there is none.
fn integer(body: &[u8]) -> Option<i64> {
    match body.trim_ascii() {
        [] => Some(0),
        digits => std::str::from_utf8(digits).ok()?.parse().ok(),
    }
}
