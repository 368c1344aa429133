//! From one hop to the one before it, as long as the word of each counts.

use super::entries::{Entries, address};
use super::options::{ForwardedHeadersOptions, XForwarded};
use super::trust::Trust;
use crate::event::Escaped;
use crate::handler::Peer;
use crate::http1::RawField;
use crate::http1::host::{self, Host};
use crate::http1::target;
use crate::middleware::hosts::HostList;
use std::net::SocketAddr;

/// More hops than any request makes; bounds the work that a client can cause with a field full of known addresses.
const MOST_HOPS: usize = 256;

/// One field for each of what a proxy can tell, in the order in which they stand in the arrays here.
pub(super) const FOR: usize = 0;
pub(super) const PROTO: usize = 1;
pub(super) const HOST: usize = 2;
pub(super) const PREFIX: usize = 3;

/// A field that is read, and the one that keeps what it replaces.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) original: String,
}

/// The options, ready for work.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) watched: [Option<Watched>; 4],
    /// A bit for the length of each name: most fields of a request are told apart by it.
    lengths: u64,
    limit: usize,
    trust: Trust,
    allowed_hosts: HostList,
    is_strict: bool,
}

/// What the proxies told, as far as it is believed.
pub(super) struct Told<'f, 'a> {
    pub(super) client: Option<SocketAddr>,
    pub(super) scheme: Option<&'a str>,
    pub(super) host: Option<Host<'a>>,
    pub(super) prefix: Option<&'a str>,
    /// What was not read.
    pub(super) left: [Option<Entries<'f, 'a>>; 4],
}

impl Told<'_, '_> {
    /// Which of the four it holds.
    pub(super) fn kinds(&self) -> [bool; 4] {
        [
            self.client.is_some(),
            self.scheme.is_some(),
            self.host.is_some(),
            self.prefix.is_some(),
        ]
    }
}

/// A list is not what it has to be; nothing of the request counts.
struct Asymmetric;

impl Rules {
    pub(super) fn new(options: &ForwardedHeadersOptions) -> Self {
        let watched = |field, name: &String, original: &String| {
            options.forwarded_headers.contains(field).then(|| Watched {
                name: name.clone(),
                original: original.clone(),
            })
        };
        let watched = [
            watched(
                XForwarded::FOR,
                &options.forwarded_for_header_name,
                &options.original_for_header_name,
            ),
            watched(
                XForwarded::PROTO,
                &options.forwarded_proto_header_name,
                &options.original_proto_header_name,
            ),
            watched(
                XForwarded::HOST,
                &options.forwarded_host_header_name,
                &options.original_host_header_name,
            ),
            watched(
                XForwarded::PREFIX,
                &options.forwarded_prefix_header_name,
                &options.original_prefix_header_name,
            ),
        ];
        let lengths = watched.iter().flatten().map(|field| length_bit(&field.name));
        Self {
            lengths: lengths.fold(0, |lengths, bit| lengths | bit),
            watched,
            limit: options.forward_limit.unwrap_or(MOST_HOPS).min(MOST_HOPS),
            trust: Trust::new(&options.known_proxies, &options.known_networks),
            allowed_hosts: HostList::new(&options.allowed_hosts),
            is_strict: options.require_header_symmetry,
        }
    }

    /// Whether no field is read.
    pub(super) fn is_idle(&self) -> bool {
        self.lengths == 0
    }

    /// Whether a field with this name is read.
    pub(super) fn reads(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0
            && self
                .watched
                .iter()
                .flatten()
                .any(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Whether the word of this peer counts; tells the log if it does not.
    pub(super) fn trusts(&self, peer: &Peer) -> bool {
        let is_known = self.trust.includes(peer);
        if !is_known {
            log::debug!(target: "stannel", "what {peer} says of earlier hops is ignored: it is no known proxy");
        }
        is_known
    }

    /// What the fields tell of a request that came from a trusted `peer`; `None` if that is nothing.
    pub(super) fn walk<'f, 'a>(&'f self, peer: &Peer, fields: &'f [RawField<'a>]) -> Option<Told<'f, 'a>> {
        let left = self
            .watched
            .each_ref()
            .map(|field| field.as_ref().map(|field| Entries::new(fields, &field.name)));
        if self.is_strict && !have_same_length(&left) {
            log::debug!(target: "stannel", "forwarded fields of {peer} are ignored: they have different numbers of entries");
            return None;
        }
        let mut told = Told {
            client: None,
            scheme: None,
            host: None,
            prefix: None,
            left,
        };
        let mut hop = peer.clone();
        for count in 0..self.limit {
            if count > 0 && !self.trusts(&hop) {
                break;
            }
            let mut ahead = told.left;
            let entries = ahead
                .each_mut()
                .map(|entries| entries.as_mut().and_then(Iterator::next));
            if entries.iter().all(Option::is_none) {
                break;
            }
            if let Some(entry) = entries[FOR] {
                let Some(client) = address(entry) else {
                    log::debug!(target: "stannel", "{} is no address: hops before {hop} stay unknown", Escaped(entry));
                    break;
                };
                told.client = Some(client);
                hop = Peer::Tcp(client);
            }
            if self.read_others(entries, &mut told).is_err() {
                log::debug!(target: "stannel", "forwarded fields of {peer} are ignored: an entry is not usable");
                return None;
            }
            told.left = ahead;
        }
        told.kinds().contains(&true).then_some(told)
    }

    /// Takes what one hop says of scheme, host and prefix; what is wrong is left out.
    fn read_others<'a>(&self, entries: [Option<&'a [u8]>; 4], told: &mut Told<'_, 'a>) -> Result<(), Asymmetric> {
        self.read(entries[PROTO], scheme, &mut told.scheme)?;
        self.read(entries[HOST], |entry| self.host(entry), &mut told.host)?;
        self.read(entries[PREFIX], prefix, &mut told.prefix)
    }

    fn read<'a, T>(
        &self,
        entry: Option<&'a [u8]>,
        understand: impl FnOnce(&'a [u8]) -> Option<T>,
        told: &mut Option<T>,
    ) -> Result<(), Asymmetric> {
        let Some(entry) = entry else { return Ok(()) };
        match understand(entry) {
            Some(value) => *told = Some(value),
            None if self.is_strict => return Err(Asymmetric),
            None => {}
        }
        Ok(())
    }

    fn host<'a>(&self, entry: &'a [u8]) -> Option<Host<'a>> {
        let host = host::parse(entry).ok()?;
        (self.allowed_hosts.is_empty() || self.allowed_hosts.contains(host.name())).then_some(host)
    }
}

const fn length_bit(name: &str) -> u64 {
    1 << (name.len() % 64)
}

fn have_same_length(lists: &[Option<Entries<'_, '_>>; 4]) -> bool {
    let mut lengths = lists.iter().flatten().map(|entries| entries.count());
    let first = lengths.next();
    lengths.all(|length| Some(length) == first)
}

/// RFC 3986 §3.1.
fn scheme(entry: &[u8]) -> Option<&str> {
    let is_scheme = entry.first().is_some_and(u8::is_ascii_alphabetic)
        && entry
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    std::str::from_utf8(entry).ok().filter(|_| is_scheme)
}

/// A path. One that begins with two slashes, or the backslash that browsers take for one, would name another host in a
/// link that is made of it.
fn prefix(entry: &[u8]) -> Option<&str> {
    let is_path = matches!(entry, [b'/'] | [b'/', b'!'..=b'.' | b'0'..=b'~', ..])
        && target::bytes_are_valid(entry)
        && !entry.iter().any(|byte| matches!(byte, b'?' | b'#' | b'\\'));
    std::str::from_utf8(entry).ok().filter(|_| is_path)
}

#[cfg(test)]
mod tests {
    use super::{prefix, scheme};

    #[test]
    fn schemes() {
        for (text, is_scheme) in [
            ("http", true),
            ("HTTPS", true),
            ("a+b-.c1", true),
            ("", false),
            ("1a", false),
            ("-x", false),
            ("http:", false),
            ("h_t", false),
            ("ht tp", false),
            ("httpé", false),
        ] {
            assert_eq!(scheme(text.as_bytes()).is_some(), is_scheme, "{text}");
        }
    }

    #[test]
    fn prefixes() {
        for (text, is_prefix) in [
            ("/", true),
            ("/app", true),
            ("/app/", true),
            ("/a%20b/c", true),
            ("", false),
            ("app", false),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("/a\\b", false),
            ("/a?b", false),
            ("/a#b", false),
            ("/a b", false),
            ("/é", false),
            ("http://h/", false),
        ] {
            assert_eq!(prefix(text.as_bytes()).is_some(), is_prefix, "{text}");
        }
    }
}
