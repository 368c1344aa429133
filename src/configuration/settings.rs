//! What the keys mean: one table from keys to setters.

use super::error::ConfigurationError;
use super::tree::{Leaf, Tree};
use super::value::{boolean, is_none, number, time};
use crate::endpoint::{MinDataRate, ServerOptions};
use std::num::NonZeroUsize;
use std::time::Duration;

/// One key.
struct Setting {
    key: &'static str,
    /// What a value looks like, for the message about one that does not.
    expected: &'static str,
    set: Setter,
}

/// How a value gets into the options; the text has no white space around it. `None`: it is not what the table says is expected.
type Setter = fn(&mut ServerOptions, &str) -> Option<()>;

/// Sets the options that the keys ask for.
pub(super) fn apply(tree: &Tree, options: &mut ServerOptions) -> Result<(), ConfigurationError> {
    let mut leaves: Vec<(&Leaf, &Setting)> = tree.iter().filter_map(|leaf| Some((leaf, find(&leaf.key)?))).collect();
    leaves.sort_by_key(|(leaf, _)| leaf.turn);
    for (leaf, setting) in leaves {
        let value = leaf.value.as_deref();
        let set = (setting.set)(options, value.unwrap_or_default().trim());
        // A key without value (JSON's null) takes away what can be taken away; everything else keeps its default.
        if set.is_none() && value.is_some() {
            return Err(ConfigurationError::InvalidValue {
                key: leaf.key.clone(),
                value: value.unwrap_or_default().to_owned(),
                expected: setting.expected,
                origin: leaf.origin.clone(),
            });
        }
    }
    options.limits.validate().map_err(ConfigurationError::InvalidLimits)
}

/// The keys that have a meaning here.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key)
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key.eq_ignore_ascii_case(key))
}

const BOOLEAN: &str = "true or false";
const SECONDS: &str = "a number of seconds, 0 for none";
const WORKERS: &str = "a number of threads above 0";
const BYTES: &str = "a number of bytes";
const BYTES_OR_NONE: &str = "a number of bytes, or none";
const COUNT: &str = "a whole number";
const COUNT_OR_NONE: &str = "a whole number, or none";
const TIME: &str = "a time such as 00:00:05 or 5 (seconds)";
const TIME_OR_NONE: &str = "a time such as 00:02:10 or 130 (seconds), or none";
const RATE: &str = "none, or one of its parts: BytesPerSecond, GracePeriod";
const BYTES_PER_SECOND: &str = "a number of bytes above 0";
const GRACE_PERIOD: &str = "a time above 1 second such as 00:00:05 or 5 (seconds)";

/// A limit: where it is kept, what reads it.
macro_rules! limit {
    ($name:literal, $field:ident, $expected:ident, $read:expr) => {
        Setting {
            key: concat!("Kestrel:Limits:", $name),
            expected: $expected,
            set: |options, text| {
                options.limits.$field = $read(text)?;
                Some(())
            },
        }
    };
}

/// A part of a data rate, or the whole.
macro_rules! rate {
    ($name:literal, $field:ident, $expected:ident, $set:expr) => {
        Setting {
            key: concat!("Kestrel:Limits:", $name),
            expected: $expected,
            set: |options, text| $set(&mut options.limits.$field, text),
        }
    };
}

/// All keys, as docs/configuration.md lists them.
const SETTINGS: &[Setting] = &[
    Setting {
        key: "Kestrel:Workers",
        expected: WORKERS,
        set: |options, text| {
            options.workers = or_none(text, number::<NonZeroUsize>)?;
            Some(())
        },
    },
    Setting {
        key: "Kestrel:DeferAccept",
        expected: SECONDS,
        set: |options, text| {
            options.defer_accept = number(text)?;
            Some(())
        },
    },
    Setting {
        key: "Kestrel:AddServerHeader",
        expected: BOOLEAN,
        set: |options, text| {
            options.add_server_header = boolean(text)?;
            Some(())
        },
    },
    limit!("MaxRequestLineSize", max_request_line_size, BYTES, number),
    limit!(
        "MaxRequestHeadersTotalSize",
        max_request_headers_total_size,
        BYTES,
        number
    ),
    limit!("MaxRequestHeaderCount", max_request_header_count, COUNT, number),
    limit!(
        "MaxRequestBodySize",
        max_request_body_size,
        BYTES_OR_NONE,
        number_or_none
    ),
    limit!("KeepAliveTimeout", keep_alive_timeout, TIME_OR_NONE, time_or_none),
    limit!(
        "RequestHeadersTimeout",
        request_headers_timeout,
        TIME_OR_NONE,
        time_or_none
    ),
    rate!("MinRequestBodyDataRate", min_request_body_data_rate, RATE, no_rate),
    rate!(
        "MinRequestBodyDataRate:BytesPerSecond",
        min_request_body_data_rate,
        BYTES_PER_SECOND,
        bytes_per_second
    ),
    rate!(
        "MinRequestBodyDataRate:GracePeriod",
        min_request_body_data_rate,
        GRACE_PERIOD,
        grace_period
    ),
    rate!("MinResponseDataRate", min_response_data_rate, RATE, no_rate),
    rate!(
        "MinResponseDataRate:BytesPerSecond",
        min_response_data_rate,
        BYTES_PER_SECOND,
        bytes_per_second
    ),
    rate!(
        "MinResponseDataRate:GracePeriod",
        min_response_data_rate,
        GRACE_PERIOD,
        grace_period
    ),
    limit!(
        "RequestBodyStallTimeout",
        request_body_stall_timeout,
        TIME_OR_NONE,
        time_or_none
    ),
    limit!(
        "ResponseStallTimeout",
        response_stall_timeout,
        TIME_OR_NONE,
        time_or_none
    ),
    limit!(
        "MaxRequestBufferSize",
        max_request_buffer_size,
        BYTES_OR_NONE,
        number_or_none
    ),
    limit!(
        "MaxResponseBufferSize",
        max_response_buffer_size,
        BYTES_OR_NONE,
        number_or_none
    ),
    limit!(
        "MaxConcurrentConnections",
        max_concurrent_connections,
        COUNT_OR_NONE,
        number_or_none
    ),
    limit!(
        "MaxConcurrentUpgradedConnections",
        max_concurrent_upgraded_connections,
        COUNT_OR_NONE,
        number_or_none
    ),
    limit!("RequestBodyDrainTimeout", request_body_drain_timeout, TIME, time),
    limit!("ShutdownTimeout", shutdown_timeout, TIME, time),
    limit!("LameDuckTime", lame_duck_time, TIME, time),
];

/// `Some(None)` for none, `None` for what is not understood.
#[expect(
    clippy::option_option,
    reason = "whether it is understood, and whether there is a limit"
)]
fn or_none<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if is_none(text) {
        Some(None)
    } else {
        read(text).map(Some)
    }
}

#[expect(clippy::option_option, reason = "as in or_none")]
fn number_or_none<N: std::str::FromStr>(text: &str) -> Option<Option<N>> {
    or_none(text, number)
}

#[expect(clippy::option_option, reason = "as in or_none")]
fn time_or_none(text: &str) -> Option<Option<Duration>> {
    or_none(text, time)
}

fn no_rate(rate: &mut Option<MinDataRate>, text: &str) -> Option<()> {
    if !is_none(text) {
        return None;
    }
    *rate = None;
    Some(())
}

fn bytes_per_second(rate: &mut Option<MinDataRate>, text: &str) -> Option<()> {
    let bytes = number(text)?;
    let grace = rate.map_or(DEFAULT_GRACE, |rate| rate.grace_period());
    *rate = Some(MinDataRate::new(bytes, grace).ok()?);
    Some(())
}

fn grace_period(rate: &mut Option<MinDataRate>, text: &str) -> Option<()> {
    let grace = time(text)?;
    let bytes = rate.map_or(DEFAULT_BYTES, |rate| rate.bytes_per_second());
    *rate = Some(MinDataRate::new(bytes, grace).ok()?);
    Some(())
}

/// What a rate that was taken away has again when one of its parts is given: Kestrel's defaults.
const DEFAULT_BYTES: u64 = 240;
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::SETTINGS;
    use crate::configuration::{Configuration, ConfigurationError};
    use crate::endpoint::{Limits, MinDataRate, ServerOptions};
    use std::time::Duration;

    fn options(arguments: &[&str]) -> Result<ServerOptions, ConfigurationError> {
        Configuration::builder()
            .add_command_line(arguments)
            .build()?
            .server_options()
    }

    #[test]
    fn nothing_asked_for_is_the_default() {
        let options = options(&[]).unwrap();
        assert_eq!(options.limits, Limits::default());
        assert!(options.endpoints().is_empty() && options.workers.is_none());
    }

    #[test]
    fn every_limit_has_its_key() {
        let seconds = Duration::from_secs;
        let arguments = [
            "MaxRequestLineSize=1",
            "MaxRequestHeadersTotalSize=2",
            "MaxRequestHeaderCount=3",
            "MaxRequestBodySize=4",
            "KeepAliveTimeout=00:00:05",
            "RequestHeadersTimeout=6",
            "MinRequestBodyDataRate:BytesPerSecond=7",
            "MinRequestBodyDataRate:GracePeriod=8",
            "MinResponseDataRate:BytesPerSecond=9",
            "MinResponseDataRate:GracePeriod=10",
            "RequestBodyStallTimeout=11",
            "ResponseStallTimeout=12",
            "MaxRequestBufferSize=13",
            "MaxResponseBufferSize=14",
            "MaxConcurrentConnections=15",
            "MaxConcurrentUpgradedConnections=16",
            "RequestBodyDrainTimeout=17",
            "ShutdownTimeout=18",
            "LameDuckTime=0.019",
        ];
        let arguments = arguments.map(|argument| format!("--kestrel:LIMITS:{argument}"));
        let options = Configuration::builder()
            .add_command_line(arguments)
            .build()
            .unwrap()
            .server_options()
            .unwrap();
        let expected = Limits {
            max_request_line_size: 1,
            max_request_headers_total_size: 2,
            max_request_header_count: 3,
            max_request_body_size: Some(4),
            keep_alive_timeout: Some(seconds(5)),
            request_headers_timeout: Some(seconds(6)),
            min_request_body_data_rate: MinDataRate::new(7, seconds(8)).ok(),
            min_response_data_rate: MinDataRate::new(9, seconds(10)).ok(),
            request_body_stall_timeout: Some(seconds(11)),
            response_stall_timeout: Some(seconds(12)),
            max_request_buffer_size: Some(13),
            max_response_buffer_size: Some(14),
            max_concurrent_connections: Some(15),
            max_concurrent_upgraded_connections: Some(16),
            request_body_drain_timeout: seconds(17),
            shutdown_timeout: seconds(18),
            lame_duck_time: Duration::from_millis(19),
        };
        assert_eq!(options.limits, expected);
    }

    #[test]
    fn what_may_be_none_can_be_taken_away() {
        for none in ["none", "NONE", "null", "", " none "] {
            let keys = [
                "MaxRequestBodySize",
                "KeepAliveTimeout",
                "RequestHeadersTimeout",
                "MinRequestBodyDataRate",
                "MinResponseDataRate",
                "RequestBodyStallTimeout",
                "ResponseStallTimeout",
                "MaxRequestBufferSize",
                "MaxResponseBufferSize",
                "MaxConcurrentConnections",
                "MaxConcurrentUpgradedConnections",
            ];
            let arguments = keys.map(|key| format!("--Kestrel:Limits:{key}={none}"));
            let limits = Configuration::builder()
                .add_command_line(arguments)
                .build()
                .unwrap()
                .server_options()
                .unwrap()
                .limits;
            let expected = Limits {
                max_request_body_size: None,
                keep_alive_timeout: None,
                request_headers_timeout: None,
                min_request_body_data_rate: None,
                min_response_data_rate: None,
                request_body_stall_timeout: None,
                response_stall_timeout: None,
                max_request_buffer_size: None,
                max_response_buffer_size: None,
                max_concurrent_connections: None,
                max_concurrent_upgraded_connections: None,
                ..Limits::default()
            };
            assert_eq!(limits, expected, "{none:?}");
        }
    }

    #[test]
    fn of_a_rate_and_its_parts_the_later_one_counts() {
        const WHOLE: &str = "--Kestrel:Limits:MinResponseDataRate=none";
        const BYTES: &str = "--Kestrel:Limits:MinResponseDataRate:BytesPerSecond=100";
        let rate = |arguments: &[&str]| options(arguments).unwrap().limits.min_response_data_rate;
        assert_eq!(rate(&[BYTES, WHOLE]), None);
        assert_eq!(
            rate(&[WHOLE, BYTES]),
            MinDataRate::new(100, Duration::from_secs(5)).ok()
        );
        // Only what a key names is taken away.
        assert_eq!(
            options(&[WHOLE])
                .unwrap()
                .limits
                .min_request_body_data_rate
                .map(|rate| rate.bytes_per_second()),
            Some(240)
        );
    }

    #[test]
    fn workers_and_the_server_field() {
        let workers = |value| options(&["--Kestrel:Workers", value]).map(|options| options.workers.map(usize::from));
        assert_eq!(workers("3"), Ok(Some(3)));
        assert_eq!(workers("none"), Ok(None));
        assert_eq!(options(&["--Kestrel:DeferAccept=3"]).unwrap().defer_accept, 3);
        assert!(!options(&["--Kestrel:AddServerHeader=FALSE"]).unwrap().add_server_header);
        assert!(options(&["--Kestrel:AddServerHeader=true"]).unwrap().add_server_header);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_was_expected() {
        let cases = [
            (
                "Kestrel:Limits:KeepAliveTimeout=soon",
                "Kestrel:Limits:KeepAliveTimeout=soon on the command line: expected a time such as 00:02:10 or 130 (seconds), or none",
            ),
            (
                "kestrel:limits:shutdowntimeout=none",
                "kestrel:limits:shutdowntimeout=none on the command line: expected a time such as 00:00:05 or 5 (seconds)",
            ),
            (
                "Kestrel:Limits:MaxRequestBodySize=-1",
                "Kestrel:Limits:MaxRequestBodySize=-1 on the command line: expected a number of bytes, or none",
            ),
            (
                "Kestrel:Limits:MaxRequestLineSize=",
                "Kestrel:Limits:MaxRequestLineSize= on the command line: expected a number of bytes",
            ),
            (
                "Kestrel:Workers=0",
                "Kestrel:Workers=0 on the command line: expected a number of threads above 0",
            ),
            (
                "Kestrel:AddServerHeader=yes\n",
                "Kestrel:AddServerHeader=yes\\n on the command line: expected true or false",
            ),
            (
                "Kestrel:Limits:MinResponseDataRate=240",
                "Kestrel:Limits:MinResponseDataRate=240 on the command line: expected none, or one of its parts: BytesPerSecond, GracePeriod",
            ),
            (
                "Kestrel:Limits:MinResponseDataRate:GracePeriod=1",
                "Kestrel:Limits:MinResponseDataRate:GracePeriod=1 on the command line: expected a time above 1 second such as 00:00:05 or 5 (seconds)",
            ),
            (
                "Kestrel:Limits:MinResponseDataRate:BytesPerSecond=0",
                "Kestrel:Limits:MinResponseDataRate:BytesPerSecond=0 on the command line: expected a number of bytes above 0",
            ),
            (
                "Kestrel:Limits:MaxRequestBufferSize=100",
                "Kestrel:Limits: max_request_buffer_size must not be smaller than max_request_line_size; raise it or lower max_request_line_size",
            ),
        ];
        for (argument, message) in cases {
            assert_eq!(options(&[argument]).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn every_key_is_documented() {
        let page = include_str!("../../docs/configuration.md");
        for setting in SETTINGS {
            assert!(
                page.contains(&format!("| `{}` |", setting.key)),
                "{} is missing",
                setting.key
            );
        }
    }
}
