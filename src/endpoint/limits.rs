//! Everything that may grow and everything that may wait, with its bound.

use std::fmt;
use std::time::Duration;

/// The slowest pace at which a peer may send or take a body.
///
/// ```
/// use stannel::MinDataRate;
/// use std::time::Duration;
///
/// let rate = MinDataRate::new(240, Duration::from_secs(5)).unwrap();
/// assert_eq!(rate.bytes_per_second(), 240);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinDataRate {
    bytes_per_second: u64,
    grace_period: Duration,
}

impl MinDataRate {
    /// A rate in bytes per second that is held against the peer only after the grace period.
    ///
    /// # Errors
    /// [`LimitsError::MinDataRate`]: the rate must be above 0 and the grace period above one second, as with Kestrel,
    /// which checks it once a second.
    pub const fn new(bytes_per_second: u64, grace_period: Duration) -> Result<Self, LimitsError> {
        if bytes_per_second == 0 || grace_period.as_millis() <= 1000 {
            return Err(LimitsError::MinDataRate);
        }
        Ok(Self {
            bytes_per_second,
            grace_period,
        })
    }

    /// Bytes per second, on average since the body began.
    #[must_use]
    pub const fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// How long a peer may be slower, counted from the beginning of the body or of a write.
    #[must_use]
    pub const fn grace_period(&self) -> Duration {
        self.grace_period
    }

    /// The grace period in milliseconds.
    pub(crate) const fn grace_millis(&self) -> u64 {
        self.grace_period
            .as_secs()
            .saturating_mul(1000)
            .saturating_add(self.grace_period.subsec_millis() as u64)
    }

    /// How long `bytes` may take at this rate, in milliseconds.
    pub(crate) const fn millis_for(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(1000) / self.bytes_per_second
    }
}

const DEFAULT_RATE: MinDataRate = MinDataRate {
    bytes_per_second: 240,
    grace_period: Duration::from_secs(5),
};

/// The limits of a server; those of Kestrel's `KestrelServerLimits`, and a few of our own.
///
/// Names, units and defaults are Kestrel's where nothing else is said, so that what is known of a service's traffic goes
/// on to hold. Nothing is unlimited by default but the number of connections, whose right value only the machine's
/// descriptors and memory can tell. [`Server::bind`](crate::Server::bind) calls [`validate`](Self::validate).
///
/// ```
/// use stannel::ServerOptions;
/// use std::time::Duration;
///
/// let mut options = ServerOptions::default();
/// options.limits.max_request_body_size = Some(10 << 20);
/// options.limits.keep_alive_timeout = Some(Duration::from_secs(60));
/// assert!(options.limits.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the request line with its CRLF; longer: 414. Default 8192; RFC 9112 §3 wants 8000 at least.
    pub max_request_line_size: usize,
    /// Bytes of all field lines with their CRLF, trailers included; more: 431. Default 32,768.
    pub max_request_headers_total_size: usize,
    /// Fields, trailers included; more: 431. Default 100.
    pub max_request_header_count: usize,
    /// Bytes of a request body as sent (chunk framing included); more: 413. `None`: no limit. Default 30,000,000.
    ///
    /// A handler changes it for one request with
    /// [`Exchange::max_request_body_size`](crate::Exchange::max_request_body_size).
    pub max_request_body_size: Option<u64>,
    /// How long a connection may wait for a request; longer: closed silently. `None`: for ever. Default 130 s.
    pub keep_alive_timeout: Option<Duration>,
    /// From the first byte of a request to the end of its header section; longer: 408. `None`: for ever. Default 30 s.
    pub request_headers_timeout: Option<Duration>,
    /// The slowest average pace of a request body while the handler waits for it; slower: 408. `None`: any pace will do.
    /// Default 240 B/s after 5 s. Time in which the handler does not ask for the body does not count.
    pub min_request_body_data_rate: Option<MinDataRate>,
    /// The slowest average pace at which a client may take a response; slower: reset. `None`: any pace will do. Default
    /// 240 B/s after 5 s.
    pub min_response_data_rate: Option<MinDataRate>,
    /// The longest silence while the handler waits for body bytes; longer: 408. `None`: any. Default 60 s. Ours: an
    /// average alone lets a client that was quick at first be silent for hours.
    pub request_body_stall_timeout: Option<Duration>,
    /// The longest time in which the client takes no byte of a waiting response; longer: reset. `None`: any. Default
    /// 60 s. Ours, for the same reason; with it the kernel holds at most about 140 KB for a client that does not read.
    pub response_stall_timeout: Option<Duration>,
    /// Received bytes that nobody consumed yet; at this many, reading pauses and the client is slowed down. `None`: no
    /// limit. Default 1 MiB (1,048,576). Not smaller than request line and header section may be.
    pub max_request_buffer_size: Option<usize>,
    /// Response bytes that are not sent yet; at this many, the writer waits. 0: it waits until all is sent.
    /// `None`: no limit. Default 64 KiB.
    pub max_response_buffer_size: Option<usize>,
    /// Open connections of all workers together (upgraded ones apart); more are closed without a byte. Default `None`:
    /// as many as the process has descriptors for.
    pub max_concurrent_connections: Option<usize>,
    /// Upgraded connections of all workers together; more: the upgrade fails. Default `None`.
    pub max_concurrent_upgraded_connections: Option<usize>,
    /// How long the rest of a request body that the handler left unread may take; longer: the connection ends. Default
    /// 5 s, as Kestrel has it fixed.
    pub request_body_drain_timeout: Duration,
    /// How long a stop waits for running exchanges before it resets them. Default 30 s, as .NET's host has it.
    pub shutdown_timeout: Duration,
    /// How long a stopping server goes on serving, each response with `Connection: close`. Default 0. Ours: give a load
    /// balancer the time that it takes to notice.
    pub lame_duck_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_line_size: 8192,
            max_request_headers_total_size: 32_768,
            max_request_header_count: 100,
            max_request_body_size: Some(30_000_000),
            keep_alive_timeout: Some(Duration::from_secs(130)),
            request_headers_timeout: Some(Duration::from_secs(30)),
            min_request_body_data_rate: Some(DEFAULT_RATE),
            min_response_data_rate: Some(DEFAULT_RATE),
            request_body_stall_timeout: Some(Duration::from_secs(60)),
            response_stall_timeout: Some(Duration::from_secs(60)),
            max_request_buffer_size: Some(1 << 20),
            max_response_buffer_size: Some(64 << 10),
            max_concurrent_connections: None,
            max_concurrent_upgraded_connections: None,
            request_body_drain_timeout: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(30),
            lame_duck_time: Duration::ZERO,
        }
    }
}

/// A limit that cannot work.
///
/// ```
/// use stannel::{Limits, LimitsError};
///
/// let mut limits = Limits::default();
/// limits.max_request_header_count = 0;
/// assert_eq!(limits.validate(), Err(LimitsError::Zero("max_request_header_count")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitsError {
    /// The named limit must be above zero.
    Zero(&'static str),
    /// `max_request_buffer_size` is smaller than the named limit, so a request within its limits could not be read.
    BufferTooSmall(&'static str),
    /// The rate must be above 0 and its grace period above one second.
    MinDataRate,
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero(name) => write!(f, "{name} must be greater than zero"),
            Self::BufferTooSmall(name) => {
                write!(
                    f,
                    "max_request_buffer_size must not be smaller than {name}; raise it or lower {name}"
                )
            }
            Self::MinDataRate => {
                f.write_str("a minimum data rate needs more than 0 bytes per second and a grace period above 1 second")
            }
        }
    }
}

impl std::error::Error for LimitsError {}

impl Limits {
    /// Checks that the limits fit together.
    ///
    /// # Errors
    /// Names the first limit that cannot work.
    pub fn validate(&self) -> Result<(), LimitsError> {
        let zero = |name, is_zero: bool| if is_zero { Err(LimitsError::Zero(name)) } else { Ok(()) };
        let no_time = |time: Option<Duration>| time.is_some_and(|time| time.is_zero());
        zero("max_request_line_size", self.max_request_line_size == 0)?;
        zero(
            "max_request_headers_total_size",
            self.max_request_headers_total_size == 0,
        )?;
        zero("max_request_header_count", self.max_request_header_count == 0)?;
        zero("keep_alive_timeout", no_time(self.keep_alive_timeout))?;
        zero("request_headers_timeout", no_time(self.request_headers_timeout))?;
        zero("request_body_stall_timeout", no_time(self.request_body_stall_timeout))?;
        zero("response_stall_timeout", no_time(self.response_stall_timeout))?;
        zero("max_request_buffer_size", self.max_request_buffer_size == Some(0))?;
        zero("max_concurrent_connections", self.max_concurrent_connections == Some(0))?;
        zero("request_body_drain_timeout", self.request_body_drain_timeout.is_zero())?;
        if let Some(buffer) = self.max_request_buffer_size {
            if buffer < self.max_request_line_size {
                return Err(LimitsError::BufferTooSmall("max_request_line_size"));
            }
            if buffer < self.max_request_headers_total_size {
                return Err(LimitsError::BufferTooSmall("max_request_headers_total_size"));
            }
        }
        Ok(())
    }

    /// Whether a connection with that many unsent bytes has to wait before it writes more.
    #[inline]
    pub(crate) fn output_is_full(&self, unsent: usize) -> bool {
        self.max_response_buffer_size
            .is_some_and(|limit| unsent > 0 && unsent >= limit)
    }

    /// Whether a connection with that many unconsumed bytes has to stop reading.
    #[inline]
    pub(crate) fn input_is_full(&self, unconsumed: usize) -> bool {
        self.max_request_buffer_size.is_some_and(|limit| unconsumed >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, LimitsError, MinDataRate};
    use std::time::Duration;

    #[test]
    fn limits_that_cannot_work_are_named() {
        assert_eq!(Limits::default().validate(), Ok(()));
        let limits = Limits {
            max_request_line_size: 0,
            ..Limits::default()
        };
        assert_eq!(limits.validate(), Err(LimitsError::Zero("max_request_line_size")));
        let limits = Limits {
            max_request_buffer_size: Some(10_000),
            ..Limits::default()
        };
        assert_eq!(
            limits.validate(),
            Err(LimitsError::BufferTooSmall("max_request_headers_total_size"))
        );
        let limits = Limits {
            keep_alive_timeout: Some(Duration::ZERO),
            ..Limits::default()
        };
        assert_eq!(
            limits.validate().unwrap_err().to_string(),
            "keep_alive_timeout must be greater than zero"
        );
    }

    #[test]
    fn a_rate_needs_bytes_and_more_than_a_second_of_grace() {
        assert!(MinDataRate::new(0, Duration::from_secs(5)).is_err());
        assert!(MinDataRate::new(1, Duration::from_secs(1)).is_err());
        assert_eq!(
            MinDataRate::new(100, Duration::from_secs(2)).map(|rate| rate.millis_for(600)),
            Ok(6000)
        );
    }
}
