//! Reads case files. What a file says and this reader does not know is an error: no expectation is passed over.

use super::cut::Split;
use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::time::Duration;

/// What one client does and what it must see.
pub(crate) struct Case {
    pub(crate) id: String,
    /// What it is about, for choosing.
    #[allow(dead_code, reason = "not everybody chooses")]
    pub(crate) tags: Vec<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) split: Option<Split>,
    /// Whether the client closes its side behind the last byte.
    pub(crate) half_close: bool,
    /// Whether it waits for a real timeout.
    pub(crate) is_slow: bool,
    /// How long each wait may last, if longer than usual.
    pub(crate) timeout: Option<Duration>,
    pub(crate) expect: Expect,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    AwaitInterim(u16),
    AwaitResponses(usize),
}

pub(crate) struct Expect {
    /// One for each final response, in order.
    pub(crate) responses: Vec<ExpectResponse>,
    pub(crate) connection: After,
    /// Whether closing without a byte is right, too.
    pub(crate) may_be_silent: bool,
    /// Whether an incomplete response before the close is right.
    pub(crate) cut: bool,
    /// Whether a close before the response is complete is right, too.
    pub(crate) or_cut: bool,
    /// Whether the last response need not announce the close.
    pub(crate) no_close_header: bool,
    /// Until when the responses must be complete, and from when on they may be.
    pub(crate) within: Option<(Duration, Duration)>,
}

/// What becomes of the connection behind the last response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum After {
    Keep,
    Close,
    Any,
}

pub(crate) struct ExpectResponse {
    pub(crate) statuses: Vec<u16>,
    pub(crate) interim: Interim,
    pub(crate) answers_head: bool,
    pub(crate) framing: Option<String>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) fields: Vec<(String, FieldRule)>,
    pub(crate) echo: Option<ExpectEcho>,
    /// Everything behind a 101.
    pub(crate) upgraded: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Interim {
    Exactly(Vec<u16>),
    /// At most one 100.
    MaybeContinue,
}

pub(crate) enum FieldRule {
    Absent,
    Values(Vec<Vec<u8>>),
    /// One value that matches as a whole.
    Matches(Regex),
}

#[derive(Default)]
pub(crate) struct ExpectEcho {
    /// `method`, `target`, `path`, `query` and `version`.
    pub(crate) lines: Vec<(String, Vec<u8>)>,
    /// All fields.
    pub(crate) headers: Option<Fields>,
    pub(crate) has: Fields,
    pub(crate) lacks: Vec<Vec<u8>>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) body_length: Option<u64>,
    pub(crate) trailers: Option<Fields>,
}

/// Names and values.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

type Result<T> = std::result::Result<T, String>;

/// Reads a case file: an object with `cases`, or an array of cases.
pub(crate) fn read(text: &str) -> Result<Vec<Case>> {
    let file: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let cases = file.get("cases").unwrap_or(&file);
    let mut ids = HashSet::new();
    let mut read = Vec::new();
    for (index, value) in array(cases)?.iter().enumerate() {
        let place = value
            .get("id")
            .and_then(Value::as_str)
            .map_or_else(|| format!("case {index}"), str::to_owned);
        let case = case(value).map_err(|reason| format!("{place}: {reason}"))?;
        if !ids.insert(case.id.clone()) {
            return Err(format!("{place}: id used twice"));
        }
        read.push(case);
    }
    Ok(read)
}

fn case(value: &Value) -> Result<Case> {
    let mut entries = Entries::of(value)?;
    let case = Case {
        id: entries.required("id", string)?.to_owned(),
        tags: entries
            .optional("tags", |tags| list(tags, |tag| string(tag).map(str::to_owned)))?
            .unwrap_or_default(),
        steps: entries.required("send", steps)?,
        split: entries.optional("split", split)?,
        half_close: entries.flag("half_close")?,
        is_slow: entries.flag("slow")?,
        timeout: entries.optional("timeout", seconds)?,
        expect: entries.required("expect", expect)?,
    };
    // For readers.
    entries.optional("why", string)?;
    entries.optional("rule", string)?;
    entries.nothing_else()?;
    if case.split == Some(Split::EachCut) && !matches!(case.steps[..], [Step::Send(_)]) {
        return Err("each-cut needs plain bytes".into());
    }
    Ok(case)
}

fn steps(value: &Value) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for item in array(value)? {
        let step = match item.as_object() {
            Some(entries) if entries.contains_key("pause_ms") => {
                Step::Pause(Duration::from_millis(only(item, "pause_ms", number)?))
            }
            Some(entries) if entries.contains_key("await_interim") => {
                Step::AwaitInterim(only(item, "await_interim", status)?)
            }
            Some(entries) if entries.contains_key("await_responses") => {
                Step::AwaitResponses(only(item, "await_responses", count)?)
            }
            _ => Step::Send(bytes_item(item)?),
        };
        match (steps.last_mut(), step) {
            // Neighbours go out in one write.
            (Some(Step::Send(before)), Step::Send(bytes)) => before.extend(bytes),
            (_, step) => steps.push(step),
        }
    }
    Ok(steps)
}

fn split(value: &Value) -> Result<Split> {
    match string(value)? {
        "every-byte" => Ok(Split::EveryByte),
        "each-cut" => Ok(Split::EachCut),
        other => Err(format!("unknown split {other:?}")),
    }
}

fn expect(value: &Value) -> Result<Expect> {
    let mut entries = Entries::of(value)?;
    let connection = entries.required("connection", |value| match string(value)? {
        "keep" => Ok(After::Keep),
        "close" => Ok(After::Close),
        "any" => Ok(After::Any),
        other => Err(format!("connection {other:?} is not keep, close or any")),
    })?;
    let repeated = entries.optional("responses", count)?;
    let sequence = entries.optional("sequence", |value| list(value, expect_one))?;
    if sequence.is_some() || repeated == Some(0) {
        // Some cases name a status all the same; there is nothing that it could say.
        entries.optional("status", statuses)?;
    }
    let responses = match (sequence, repeated) {
        (Some(_), Some(_)) => return Err("both sequence and responses".into()),
        (Some(sequence), None) => sequence,
        (None, Some(0)) => Vec::new(),
        (None, times) => {
            let keys = ONE_RESPONSE.iter().filter_map(|&key| entries.take_entry(key)).collect();
            let one = Value::Object(keys);
            (0..times.unwrap_or(1))
                .map(|_| expect_one(&one))
                .collect::<Result<_>>()?
        }
    };
    let expect = Expect {
        responses,
        connection,
        may_be_silent: entries.flag("may_be_silent")?,
        cut: entries.flag("cut")?,
        or_cut: entries.flag("or_cut")?,
        no_close_header: entries.flag("no_close_header")?,
        within: entries.optional("within", |value| match array(value)? {
            [from, to] => Ok((seconds(from)?, seconds(to)?)),
            _ => Err("within is [from, to]".into()),
        })?,
    };
    entries.nothing_else()?;
    if expect.connection == After::Keep && expect.responses.is_empty() {
        return Err("a connection is kept behind a response only".into());
    }
    Ok(expect)
}

/// What is said of one response.
const ONE_RESPONSE: [&str; 8] = [
    "status", "interim", "head", "framing", "body", "headers", "echo", "upgraded",
];

fn expect_one(value: &Value) -> Result<ExpectResponse> {
    let mut entries = Entries::of(value)?;
    let expect = ExpectResponse {
        statuses: entries.required("status", statuses)?,
        interim: entries
            .optional("interim", |value| match value.as_str() {
                Some("optional") => Ok(Interim::MaybeContinue),
                Some(other) => Err(format!("unknown interim {other:?}")),
                None => list(value, status).map(Interim::Exactly),
            })?
            .unwrap_or(Interim::Exactly(Vec::new())),
        answers_head: entries.flag("head")?,
        framing: entries.optional("framing", |value| match string(value)? {
            known @ ("length" | "chunked" | "close" | "none" | "upgraded") => Ok(known.to_owned()),
            other => Err(format!("unknown framing {other:?}")),
        })?,
        body: entries.optional("body", bytes)?,
        fields: entries
            .optional("headers", |value| {
                let rules = object(value)?.iter();
                rules
                    .map(|(name, rule)| Ok((name.to_ascii_lowercase(), field_rule(rule)?)))
                    .collect::<Result<_>>()
            })?
            .unwrap_or_default(),
        echo: entries.optional("echo", expect_echo)?,
        upgraded: entries.optional("upgraded", bytes)?,
    };
    entries.nothing_else()?;
    Ok(expect)
}

fn field_rule(value: &Value) -> Result<FieldRule> {
    Ok(match value {
        Value::Null => FieldRule::Absent,
        Value::String(text) => FieldRule::Values(vec![latin1(text)?]),
        Value::Array(_) => FieldRule::Values(list(value, |value| latin1(string(value)?))?),
        _ => FieldRule::Matches(only(value, "re", |pattern| {
            RegexBuilder::new(&format!(r"\A(?:{})\z", string(pattern)?))
                .unicode(false)
                .case_insensitive(true)
                .dot_matches_new_line(true)
                .build()
                .map_err(|error| error.to_string())
        })?),
    })
}

fn expect_echo(value: &Value) -> Result<ExpectEcho> {
    let mut entries = Entries::of(value)?;
    let mut echo = ExpectEcho::default();
    for key in ["method", "target", "path", "query", "version"] {
        if let Some(text) = entries.optional(key, bytes)? {
            echo.lines.push((key.to_owned(), text));
        }
    }
    echo.headers = entries.optional("headers", fields)?;
    let has = entries.optional("has", |value| {
        let fields = object(value)?.iter();
        fields
            .map(|(name, value)| Ok((latin1(name)?, bytes(value)?)))
            .collect::<Result<_>>()
    })?;
    echo.has = has.unwrap_or_default();
    let lacks = entries.optional("lacks", |value| list(value, |name| latin1(string(name)?)))?;
    echo.lacks = lacks.unwrap_or_default();
    echo.body = entries.optional("body", bytes)?;
    echo.body_length = entries.optional("body_length", number)?;
    echo.trailers = entries.optional("trailers", fields)?;
    entries.nothing_else()?;
    Ok(echo)
}

fn fields(value: &Value) -> Result<Fields> {
    list(value, |pair| match array(pair)? {
        [name, value] => Ok((latin1(string(name)?)?, latin1(string(value)?)?)),
        _ => Err(format!("{pair} is no [name, value]")),
    })
}

// ---- values

/// A string, or a list of strings and repetitions.
fn bytes(value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::Array(items) => items
            .iter()
            .map(bytes_item)
            .collect::<Result<Vec<_>>>()
            .map(|items| items.concat()),
        other => bytes_item(other),
    }
}

fn bytes_item(value: &Value) -> Result<Vec<u8>> {
    if let Value::String(text) = value {
        return latin1(text);
    }
    let mut entries = Entries::of(value)?;
    let unit = entries.required("repeat", |unit| latin1(string(unit)?))?;
    let times = entries.required("times", count)?;
    entries.nothing_else()?;
    Ok(unit.repeat(times))
}

/// One character is one byte.
fn latin1(text: &str) -> Result<Vec<u8>> {
    text.chars()
        .map(|character| u8::try_from(character).map_err(|_| format!("{character:?} is no byte")))
        .collect()
}

fn statuses(value: &Value) -> Result<Vec<u16>> {
    match value {
        Value::Array(_) => list(value, status),
        one => Ok(vec![status(one)?]),
    }
}

fn status(value: &Value) -> Result<u16> {
    let status = number(value)?;
    u16::try_from(status).map_err(|_| format!("{status} is no status"))
}

fn seconds(value: &Value) -> Result<Duration> {
    let seconds = value
        .as_f64()
        .ok_or_else(|| format!("{value} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn count(value: &Value) -> Result<usize> {
    usize::try_from(number(value)?).map_err(|error| error.to_string())
}

fn number(value: &Value) -> Result<u64> {
    value.as_u64().ok_or_else(|| format!("{value} is no whole number"))
}

fn string(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| format!("{value} is no string"))
}

fn array(value: &Value) -> Result<&[Value]> {
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| format!("{value} is no list"))
}

fn object(value: &Value) -> Result<&Map<String, Value>> {
    value.as_object().ok_or_else(|| format!("{value} is no object"))
}

fn list<'a, T>(value: &'a Value, item: impl Fn(&'a Value) -> Result<T>) -> Result<Vec<T>> {
    array(value)?.iter().map(item).collect()
}

/// The value of an object with one entry.
fn only<T>(value: &Value, key: &str, read: impl Fn(&Value) -> Result<T>) -> Result<T> {
    let mut entries = Entries::of(value)?;
    let only = entries.required(key, read)?;
    entries.nothing_else()?;
    Ok(only)
}

/// The entries of an object that nobody has asked for yet.
struct Entries<'a> {
    left: Vec<(&'a String, &'a Value)>,
}

impl<'a> Entries<'a> {
    fn of(value: &'a Value) -> Result<Self> {
        Ok(Self {
            left: object(value)?.iter().collect(),
        })
    }

    fn take(&mut self, key: &str) -> Option<&'a Value> {
        let index = self.left.iter().position(|(name, _)| *name == key)?;
        Some(self.left.swap_remove(index).1)
    }

    fn take_entry(&mut self, key: &str) -> Option<(String, Value)> {
        self.take(key).map(|value| (key.to_owned(), value.clone()))
    }

    fn optional<T>(&mut self, key: &str, read: impl Fn(&'a Value) -> Result<T>) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        read(value).map(Some).map_err(|reason| format!("{key}: {reason}"))
    }

    fn required<T>(&mut self, key: &str, read: impl Fn(&'a Value) -> Result<T>) -> Result<T> {
        self.optional(key, read)?.ok_or_else(|| format!("no {key}"))
    }

    fn flag(&mut self, key: &str) -> Result<bool> {
        let read = |value: &Value| {
            value
                .as_bool()
                .ok_or_else(|| format!("{value} is neither true nor false"))
        };
        Ok(self.optional(key, read)?.unwrap_or(false))
    }

    fn nothing_else(self) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        let mut unknown: Vec<_> = self.left.iter().map(|(key, _)| key.as_str()).collect();
        unknown.sort_unstable();
        Err(format!("unknown keys: {}", unknown.join(", ")))
    }
}
