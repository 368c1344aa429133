//! Values: what the text of a setting can mean.

use std::time::Duration;

/// More days than any `TimeSpan` has; keeps the arithmetic far from its end.
const MAX_DAYS: u64 = 10_675_199;

const DAY: u64 = 24 * 60 * 60;

/// Whether the value takes a limit away.
pub(super) fn is_none(text: &str) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case("none") || text.eq_ignore_ascii_case("null")
}

/// `true` or `false`, as .NET writes and reads them: in any case.
pub(super) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A whole number in decimal digits. `parse` alone would take `+5` too.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// `[d.]hh:mm:ss[.fff]`, or seconds: `90`, `0.25`.
///
/// .NET reads a number without colons as days. Nobody means that with a timeout.
pub(super) fn time(text: &str) -> Option<Duration> {
    if !text.contains(':') {
        return seconds(text);
    }
    let mut parts = text.split(':');
    let (hours, minutes, rest) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (days, hours) = match hours.split_once('.') {
        Some((days, hours)) => (number::<u64>(days)?, hours),
        None => (0, hours),
    };
    let (whole, fraction) = rest
        .split_once('.')
        .map_or((rest, None), |(whole, part)| (whole, Some(part)));
    let nanos = fraction.map_or(Some(0), nanoseconds)?;
    let (hours, minutes, whole) = (clock(hours, 24)?, clock(minutes, 60)?, clock(whole, 60)?);
    if days > MAX_DAYS {
        return None;
    }
    Some(Duration::new(days * DAY + hours * 3600 + minutes * 60 + whole, nanos))
}

/// One or two digits of a clock that stay below `end`.
fn clock(text: &str, end: u64) -> Option<u64> {
    if text.len() > 2 {
        return None;
    }
    number(text).filter(|&value| value < end)
}

fn seconds(text: &str) -> Option<Duration> {
    let (whole, nanos) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, nanoseconds(fraction)?),
        None => (text, 0),
    };
    let whole = number::<u64>(whole).filter(|&whole| whole <= MAX_DAYS * DAY)?;
    Some(Duration::new(whole, nanos))
}

/// The digits behind a decimal point: at least one, and none finer than a nanosecond.
fn nanoseconds(digits: &str) -> Option<u32> {
    let places = u32::try_from(digits.len())
        .ok()
        .filter(|places| (1..=9).contains(places))?;
    Some(number::<u32>(digits)? * 10_u32.pow(9 - places))
}

#[cfg(test)]
mod tests {
    use super::{boolean, is_none, number, time};
    use std::time::Duration;

    #[test]
    fn times() {
        let cases = [
            ("0", Some(0)),
            ("90", Some(90_000)),
            ("0.25", Some(250)),
            ("1.5", Some(1500)),
            ("00:00:02", Some(2_000)),
            ("0:0:2", Some(2_000)),
            ("01:02:03", Some(3_723_000)),
            ("23:59:59.999", Some(86_399_999)),
            ("00:00:00.1", Some(100)),
            ("1.00:00:00", Some(86_400_000)),
            ("10.01:00:00.5", Some(867_600_500)),
            ("10675199.00:00:00", Some(922_337_193_600_000)),
            ("", None),
            ("abc", None),
            ("-1", None),
            ("+1", None),
            ("1s", None),
            ("1e3", None),
            (".5", None),
            ("5.", None),
            ("1,5", None),
            ("00:02", None),
            ("00:00:00:01", None),
            ("24:00:00", None),
            ("00:60:00", None),
            ("00:00:60", None),
            ("000:00:01", None),
            ("00::01", None),
            ("00:00:", None),
            ("00:00:01.", None),
            ("00:00:01.1234567890", None),
            ("-00:00:01", None),
            ("1.1.00:00:00", None),
            (".00:00:00", None),
            ("10675200.00:00:00", None),
            ("99999999999999999999", None),
            ("18446744073709551615", None),
        ];
        for (text, millis) in cases {
            assert_eq!(time(text), millis.map(Duration::from_millis), "{text}");
        }
        assert_eq!(time("0.000000001"), Some(Duration::from_nanos(1)));
        assert_eq!(time("00:00:00.0000001"), Some(Duration::from_nanos(100)));
    }

    #[test]
    fn numbers_booleans_and_none() {
        assert_eq!(number("0"), Some(0_usize));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "+1", "1.0", "0x10", "1_000", " 1", "18446744073709551616"] {
            assert_eq!(number::<u64>(text), None, "{text}");
        }
        for (text, value) in [
            ("true", Some(true)),
            ("False", Some(false)),
            ("1", None),
            ("yes", None),
            ("", None),
        ] {
            assert_eq!(boolean(text), value, "{text}");
        }
        for (text, value) in [("", true), ("None", true), ("null", true), ("0", false), ("no", false)] {
            assert_eq!(is_none(text), value, "{text}");
        }
    }
}
