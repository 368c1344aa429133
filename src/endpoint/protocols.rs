//! The choices of an endpoint that have names: HTTP versions, TLS versions, what is asked of clients.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// HTTP versions; Kestrel's `HttpProtocols`.
///
/// stannel serves [`HTTP1`](Self::HTTP1). The others keep their value, so that a configuration written for Kestrel can be
/// read, and are not offered to clients; an endpoint without `HTTP1` is refused at start.
///
/// ```
/// use stannel::HttpProtocols;
///
/// assert_eq!(HttpProtocols::HTTP1 | HttpProtocols::HTTP2, HttpProtocols::HTTP1_AND_HTTP2);
/// assert_eq!(HttpProtocols::from_text("http1AndHttp2"), Some(HttpProtocols::HTTP1_AND_HTTP2));
/// assert_eq!(HttpProtocols::from_text("Http1, Http2").unwrap().to_string(), "Http1AndHttp2");
/// assert_eq!(HttpProtocols::from_text("Http9"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpProtocols(u32);

impl HttpProtocols {
    /// No version at all, which nothing can serve.
    pub const NONE: Self = Self(0);
    /// HTTP/1.0 and HTTP/1.1.
    pub const HTTP1: Self = Self(1);
    /// HTTP/2; not served.
    pub const HTTP2: Self = Self(2);
    /// Kestrel's default: HTTP/1.1 is served.
    pub const HTTP1_AND_HTTP2: Self = Self(3);
    /// HTTP/3; not served.
    pub const HTTP3: Self = Self(4);
    /// All three: HTTP/1.1 is served.
    pub const HTTP1_AND_HTTP2_AND_HTTP3: Self = Self(7);

    const NAMES: [(&'static str, u32); 6] = [
        ("None", 0),
        ("Http1", 1),
        ("Http2", 2),
        ("Http1AndHttp2", 3),
        ("Http3", 4),
        ("Http1AndHttp2AndHttp3", 7),
    ];

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reads .NET's text of it: a name in any case, a number, or several of them with commas between.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        flags_from(text, &Self::NAMES).map(Self)
    }
}

impl fmt::Display for HttpProtocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, bits)| *bits == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write_flags(f, self.0, &Self::NAMES),
        }
    }
}

/// TLS versions; .NET's `SslProtocols`. rustls has TLS 1.2 and 1.3; the older names can be read and are never served.
///
/// ```
/// use stannel::SslProtocols;
///
/// let protocols = SslProtocols::TLS12 | SslProtocols::TLS13;
/// assert_eq!(protocols.to_string(), "Tls12, Tls13");
/// assert_eq!(SslProtocols::from_text("tls12,TLS13"), Some(protocols));
/// assert!(SslProtocols::TLS11.served().is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SslProtocols(u32);

impl SslProtocols {
    /// Leaves the choice to the TLS library: TLS 1.2 and 1.3.
    pub const NONE: Self = Self(0);
    /// SSL 2.0; never served.
    pub const SSL2: Self = Self(12);
    /// SSL 3.0; never served.
    pub const SSL3: Self = Self(48);
    /// TLS 1.0; never served.
    pub const TLS: Self = Self(192);
    /// TLS 1.1; never served.
    pub const TLS11: Self = Self(768);
    /// TLS 1.2.
    pub const TLS12: Self = Self(3072);
    /// TLS 1.3.
    pub const TLS13: Self = Self(12288);

    const NAMES: [(&'static str, u32); 8] = [
        ("None", 0),
        ("Ssl2", 12),
        ("Ssl3", 48),
        ("Tls", 192),
        ("Default", 240),
        ("Tls11", 768),
        ("Tls12", 3072),
        ("Tls13", 12288),
    ];

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it leaves the choice to the TLS library.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// What of it can be served; `None` if versions are asked for and none can.
    #[must_use]
    pub fn served(self) -> Option<Self> {
        if self.is_none() {
            return Some(Self::TLS12 | Self::TLS13);
        }
        let served = self.0 & (Self::TLS12.0 | Self::TLS13.0);
        let whole = |protocol: Self| {
            if served & protocol.0 == protocol.0 {
                protocol.0
            } else {
                0
            }
        };
        let served = whole(Self::TLS12) | whole(Self::TLS13);
        (served != 0).then_some(Self(served))
    }

    /// Reads .NET's text of it: a name in any case, a number, or several of them with commas between.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        flags_from(text, &Self::NAMES).map(Self)
    }
}

impl fmt::Display for SslProtocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("None");
        }
        write_flags(f, self.0, &Self::NAMES)
    }
}

macro_rules! flags {
    ($name:ident) => {
        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitOrAssign for $name {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

flags!(HttpProtocols);
flags!(SslProtocols);

/// The names of all that is set, and a number for what has no name.
fn write_flags(f: &mut fmt::Formatter<'_>, bits: u32, names: &[(&str, u32)]) -> fmt::Result {
    let mut left = bits;
    let mut separator = "";
    // Names that stand for several others are not needed to tell the parts.
    for (name, flag) in names
        .iter()
        .filter(|(name, flag)| *flag != 0 && !name.contains("And") && *name != "Default")
    {
        if bits & flag == *flag {
            write!(f, "{separator}{name}")?;
            separator = ", ";
            left &= !flag;
        }
    }
    if left != 0 {
        write!(f, "{separator}{left}")?;
    }
    Ok(())
}

/// .NET's reading of an enumeration of flags.
fn flags_from(text: &str, names: &[(&str, u32)]) -> Option<u32> {
    text.split(',')
        .map(|part| one_from(part.trim(), names))
        .try_fold(0, |bits, part| Some(bits | part?))
}

fn one_from(text: &str, names: &[(&str, u32)]) -> Option<u32> {
    names
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, value)| *value)
        .or_else(|| text.parse().ok())
}

/// Whether a client is asked for a certificate; Kestrel's `ClientCertificateMode`.
///
/// ```
/// use stannel::ClientCertificateMode;
///
/// let mode = ClientCertificateMode::from_text("requirecertificate");
/// assert_eq!(mode, Some(ClientCertificateMode::RequireCertificate));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientCertificateMode {
    /// It is not asked.
    #[default]
    NoCertificate,
    /// It is asked and may have none.
    AllowCertificate,
    /// It is asked and refused without one.
    RequireCertificate,
    /// It is asked later, by the application: TLS libraries for servers have no such thing any more, so an endpoint that
    /// ends up with it is refused at start.
    DelayCertificate,
}

impl ClientCertificateMode {
    const NAMES: [(&'static str, u32); 4] = [
        ("NoCertificate", 0),
        ("AllowCertificate", 1),
        ("RequireCertificate", 2),
        ("DelayCertificate", 3),
    ];

    /// Reads .NET's text of it: a name in any case, or its number.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Some(match one_from(text.trim(), &Self::NAMES)? {
            0 => Self::NoCertificate,
            1 => Self::AllowCertificate,
            2 => Self::RequireCertificate,
            3 => Self::DelayCertificate,
            _ => return None,
        })
    }
}

impl fmt::Display for ClientCertificateMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize].0)
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientCertificateMode, HttpProtocols, SslProtocols};

    #[test]
    fn http_versions() {
        for (text, shown) in [
            ("None", Some("None")),
            ("HTTP1", Some("Http1")),
            ("Http2", Some("Http2")),
            (" Http1 , Http2 ", Some("Http1AndHttp2")),
            ("Http1AndHttp2AndHttp3", Some("Http1AndHttp2AndHttp3")),
            ("3", Some("Http1AndHttp2")),
            ("5", Some("Http1, Http3")),
            ("99", Some("Http1, Http2, 96")),
            ("", None),
            ("Http1,", None),
            ("Http9", None),
            ("Http1;Http2", None),
        ] {
            let protocols = HttpProtocols::from_text(text).map(|protocols| protocols.to_string());
            assert_eq!(protocols.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn tls_versions() {
        for (text, shown) in [
            ("none", Some("None")),
            ("TLS12", Some("Tls12")),
            ("Tls12, Tls13", Some("Tls12, Tls13")),
            ("3072", Some("Tls12")),
            ("Default", Some("Ssl3, Tls")),
            ("Tls1.2", None),
        ] {
            let protocols = SslProtocols::from_text(text).map(|protocols| protocols.to_string());
            assert_eq!(protocols.as_deref(), shown, "{text}");
        }
        let both = SslProtocols::TLS12 | SslProtocols::TLS13;
        assert_eq!(SslProtocols::NONE.served(), Some(both));
        assert_eq!(
            (SslProtocols::TLS | SslProtocols::TLS12).served(),
            Some(SslProtocols::TLS12)
        );
        assert_eq!((SslProtocols::TLS | SslProtocols::TLS11).served(), None);
    }

    #[test]
    fn client_certificate_modes() {
        for (text, mode) in [
            ("NoCertificate", Some(ClientCertificateMode::NoCertificate)),
            ("allowcertificate", Some(ClientCertificateMode::AllowCertificate)),
            ("2", Some(ClientCertificateMode::RequireCertificate)),
            ("DelayCertificate", Some(ClientCertificateMode::DelayCertificate)),
            ("7", None),
            ("Sometimes", None),
            ("", None),
        ] {
            assert_eq!(ClientCertificateMode::from_text(text), mode, "{text}");
        }
        assert_eq!(
            ClientCertificateMode::RequireCertificate.to_string(),
            "RequireCertificate"
        );
    }
}
