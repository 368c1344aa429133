//! Holds one response against what was expected of it.

use super::cases::{ExpectResponse, FieldRule, Interim};
use super::echo;
use super::response::{Response, show};
use std::ops::RangeInclusive;
use std::time::SystemTime;

type Result<T> = std::result::Result<T, String>;

/// Everything but what a tunnel carried. `number` counts the responses of the connection from 1 on; a Date of the
/// server's own must lie in `dates`.
pub(crate) fn check(
    response: &Response,
    expect: &ExpectResponse,
    number: usize,
    dates: &RangeInclusive<SystemTime>,
) -> Result<()> {
    let all = [
        status(response, expect),
        interim(response, expect),
        content(response, expect, number),
        fields(response, expect),
        date(response, expect, dates),
    ];
    let first = all.into_iter().find_map(Result::err);
    first.map_or(Ok(()), |reason| Err(format!("response {number}: {reason}")))
}

/// What came behind a 101.
pub(crate) fn check_tunnel(response: &Response, expect: &ExpectResponse) -> Result<()> {
    match &expect.upgraded {
        Some(bytes) if *bytes != response.body => {
            Err(format!("tunnel carried {}, not {}", show(&response.body), show(bytes)))
        }
        _ => Ok(()),
    }
}

fn status(response: &Response, expect: &ExpectResponse) -> Result<()> {
    if expect.statuses.contains(&response.status) {
        return Ok(());
    }
    let expected: Vec<_> = expect.statuses.iter().map(u16::to_string).collect();
    Err(format!("status {}, not {}", response.status, expected.join(" or ")))
}

fn interim(response: &Response, expect: &ExpectResponse) -> Result<()> {
    let is_right = match &expect.interim {
        Interim::Exactly(statuses) => response.interim == *statuses,
        Interim::MaybeContinue => matches!(response.interim[..], [] | [100]),
    };
    if is_right {
        return Ok(());
    }
    Err(format!(
        "interim responses {:?}, not {:?}",
        response.interim, expect.interim
    ))
}

fn content(response: &Response, expect: &ExpectResponse, number: usize) -> Result<()> {
    // Where several statuses are right, only a success shows the echo.
    let echo_status = match expect.statuses[..] {
        [status] => status,
        _ => 200,
    };
    match &expect.echo {
        Some(expected) if response.status == echo_status => echo::check(&response.body, expected, number)?,
        _ if response.status >= 400 && response.status != 501 && response.body.starts_with(b"method=") => {
            return Err("the handler was called for a refused request".into());
        }
        _ => {}
    }
    if let Some(body) = expect.body.as_ref().filter(|&body| *body != response.body) {
        return Err(format!("body is {}, not {}", show(&response.body), show(body)));
    }
    match &expect.framing {
        Some(framing) if framing != response.framing.name() => {
            Err(format!("body framed by {}, not {framing}", response.framing.name()))
        }
        _ => Ok(()),
    }
}

fn fields(response: &Response, expect: &ExpectResponse) -> Result<()> {
    for (name, rule) in &expect.fields {
        let values: Vec<&[u8]> = response.values(name).collect();
        let is_right = match rule {
            FieldRule::Absent => values.is_empty(),
            FieldRule::Values(expected) => values == *expected,
            FieldRule::Matches(pattern) => matches!(values[..], [value] if pattern.is_match(value)),
        };
        if !is_right {
            let values: Vec<_> = values.into_iter().map(show).collect();
            let expected = match rule {
                FieldRule::Absent => "none".to_owned(),
                FieldRule::Values(expected) => expected.iter().map(|value| show(value)).collect::<Vec<_>>().join(", "),
                FieldRule::Matches(pattern) => pattern.as_str().to_owned(),
            };
            return Err(format!("field {name} is [{}], not [{expected}]", values.join(", ")));
        }
    }
    Ok(())
}

/// RFC 9110 §6.6.1: one Date, in the one form that may be sent, and right.
fn date(response: &Response, expect: &ExpectResponse, dates: &RangeInclusive<SystemTime>) -> Result<()> {
    if response.status < 200 || expect.fields.iter().any(|(name, _)| name == "date") {
        return Ok(());
    }
    let value = response.values("date").next().ok_or("no Date")?;
    let text = std::str::from_utf8(value).unwrap_or_default();
    let time = httpdate::parse_http_date(text).map_err(|_| format!("Date is {}", show(value)))?;
    if httpdate::fmt_http_date(time) != text {
        return Err(format!("Date is {}", show(value)));
    }
    if !dates.contains(&time) {
        return Err(format!("Date is off: {text}"));
    }
    Ok(())
}
