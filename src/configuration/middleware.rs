//! The settings of the handlers that stand before others: which hosts are served, which proxies are believed. Those about
//! HTTPS are in `https_middleware`.

use super::Configuration;
use super::error::ConfigurationError;
use super::https_middleware;
use super::kestrel::{origin, text};
use super::nearest::nearest;
use super::section::Section;
use super::value::{boolean, is_none, number};
use crate::http1::host;
use crate::middleware::{ForwardedHeadersOptions, HostFilteringOptions, IpNetwork, KnownProxy, XForwarded};
use crate::punycode;
use std::num::NonZeroUsize;

const ALLOWED_HOSTS: &str = "AllowedHosts";
const SWITCH: &str = "ForwardedHeaders_Enabled";
const SECTION: &str = "ForwardedHeaders";
const KEYS: [&str; 6] = [
    "Headers",
    "ForwardLimit",
    "KnownProxies",
    "KnownNetworks",
    "AllowedHosts",
    "RequireHeaderSymmetry",
];

const HEADERS: &str = "For, Proto, Host and Prefix, with commas between";
const LIMIT: &str = "a number above 0, or none";
const PROXY: &str = "an IP address, or unix";
const NETWORK: &str = "a network such as 10.0.0.0/8, without bits behind its prefix";
const HOST: &str = "a host name, or *.name";
pub(super) const BOOLEAN: &str = "true or false";

impl Configuration {
    /// The options of `AllowedHosts`, a text with `;` between the hosts, or an array; without it every host is allowed.
    ///
    /// ```
    /// use stannel::Configuration;
    ///
    /// let configuration = Configuration::builder().set("AllowedHosts", "example.com;*.example.com").build()?;
    /// assert_eq!(configuration.host_filtering().allowed_hosts, ["example.com", "*.example.com"]);
    /// # Ok::<(), stannel::ConfigurationError>(())
    /// ```
    #[must_use]
    pub fn host_filtering(&self) -> HostFilteringOptions {
        let mut allowed_hosts: Vec<String> = allowed_hosts(self).into_iter().map(|(host, _)| host).collect();
        if allowed_hosts.is_empty() {
            allowed_hosts.push("*".to_owned());
        }
        HostFilteringOptions {
            allowed_hosts,
            ..HostFilteringOptions::default()
        }
    }

    /// The options of the section `ForwardedHeaders`, which `docs/configuration.md` lists. They begin with those of
    /// [`ForwardedHeadersOptions::trusting_everybody`] if `ForwardedHeaders_Enabled` is `true`, as
    /// `ASPNETCORE_FORWARDEDHEADERS_ENABLED` makes it; a list that is given replaces the one that was there.
    ///
    /// ```
    /// use stannel::Configuration;
    /// use stannel::middleware::XForwarded;
    ///
    /// let configuration = Configuration::builder()
    ///     .set("ForwardedHeaders:Headers", "For, Proto")
    ///     .set("ForwardedHeaders:KnownNetworks:0", "10.0.0.0/8")
    ///     .build()?;
    /// let options = configuration.forwarded_headers()?;
    /// assert_eq!(options.forwarded_headers, XForwarded::FOR | XForwarded::PROTO);
    /// assert_eq!(options.known_networks.len(), 1);
    /// # Ok::<(), stannel::ConfigurationError>(())
    /// ```
    ///
    /// # Errors
    /// A value that cannot be understood: to ignore it would change who is believed.
    pub fn forwarded_headers(&self) -> Result<ForwardedHeadersOptions, ConfigurationError> {
        let is_on = self.get(SWITCH).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let mut options = if is_on {
            ForwardedHeadersOptions::trusting_everybody()
        } else {
            ForwardedHeadersOptions::default()
        };
        let section = self.section(SECTION);
        // An empty text turns off what the switch turned on.
        if let Some(text) = section.get("Headers") {
            options.forwarded_headers =
                XForwarded::from_text(text).ok_or_else(|| invalid(&section.section("Headers"), HEADERS))?;
        }
        if let Some(limit) = value(&section, "ForwardLimit", limit, LIMIT)? {
            options.forward_limit = limit;
        }
        replace(
            &mut options.known_proxies,
            &section,
            "KnownProxies",
            KnownProxy::from_text,
            PROXY,
        )?;
        replace(
            &mut options.known_networks,
            &section,
            "KnownNetworks",
            IpNetwork::from_text,
            NETWORK,
        )?;
        let host = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        replace(&mut options.allowed_hosts, &section, "AllowedHosts", host, HOST)?;
        if let Some(required) = value(&section, "RequireHeaderSymmetry", boolean, BOOLEAN)? {
            options.require_header_symmetry = required;
        }
        Ok(options)
    }

    /// One line for each allowed host that no request can name, for an `https_port` that is no number, and for each key of
    /// `ForwardedHeaders`, `HttpsRedirection` and `Hsts` that means nothing.
    ///
    /// ```
    /// use stannel::Configuration;
    ///
    /// let configuration = Configuration::builder().set("AllowedHosts", "localhost:5000").build()?;
    /// assert_eq!(
    ///     configuration.middleware_warnings(),
    ///     ["AllowedHosts in code: localhost:5000 matches no host; leave out the port"]
    /// );
    /// # Ok::<(), stannel::ConfigurationError>(())
    /// ```
    #[must_use]
    pub fn middleware_warnings(&self) -> Vec<String> {
        let mut hosts = allowed_hosts(self);
        let section = self.section(SECTION);
        hosts.extend(section.section("AllowedHosts").items().into_iter().filter_map(|item| {
            let host = item.value()?.trim().to_owned();
            Some((host, item))
        }));
        let useless = hosts.iter().filter_map(|(host, section)| {
            let advice = why_no_host_matches(host)?;
            let (key, host) = (section.path(), host.escape_debug());
            Some(format!("{key} {}: {host} matches no host; {advice}", origin(section)))
        });
        let mut warnings: Vec<String> = useless.collect();
        unknown_keys(&section, &KEYS, &mut warnings);
        warnings.extend(https_middleware::warnings(self));
        warnings
    }
}

/// Tells of each key of a section that is not among these.
pub(super) fn unknown_keys(section: &Section, keys: &[&'static str], warnings: &mut Vec<String>) {
    for child in section.children() {
        if keys.iter().any(|key| key.eq_ignore_ascii_case(child.key())) {
            continue;
        }
        let advice = match nearest(child.key(), keys.iter().copied()) {
            Some(known) => format!("did you mean {}:{known}?", section.path()),
            None => "the keys are listed in docs/configuration.md".to_owned(),
        };
        let key = child.path().escape_debug();
        warnings.push(format!("unknown key {key} {}; {advice}", origin(&child)));
    }
}

/// Each with the section that it stands in. Blanks stay, as Kestrel leaves them.
fn allowed_hosts(configuration: &Configuration) -> Vec<(String, Section)> {
    let section = configuration.section(ALLOWED_HOSTS);
    let mut hosts = Vec::new();
    for item in section.items() {
        let text = item.value().unwrap_or_default();
        for host in text.split(';').filter(|host| !host.is_empty()) {
            hosts.push((host.to_owned(), item.clone()));
        }
    }
    hosts
}

/// Replaces a list if one is given; an empty one is given too.
pub(super) fn replace<T>(
    list: &mut Vec<T>,
    section: &Section,
    key: &str,
    read: impl Fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<(), ConfigurationError> {
    let section = section.section(key);
    let items = section.items();
    if items.is_empty() && section.value().is_none() {
        return Ok(());
    }
    *list = items
        .iter()
        .map(|item| read(item.value().unwrap_or_default().trim()).ok_or_else(|| invalid(item, expected)))
        .collect::<Result<_, _>>()?;
    Ok(())
}

/// A value; an empty one counts as none.
pub(super) fn value<T>(
    section: &Section,
    key: &str,
    read: impl FnOnce(&str) -> Option<T>,
    expected: &'static str,
) -> Result<Option<T>, ConfigurationError> {
    let Some(text) = text(section, key) else {
        return Ok(None);
    };
    read(text.trim())
        .map(Some)
        .ok_or_else(|| invalid(&section.section(key), expected))
}

#[expect(
    clippy::option_option,
    reason = "whether it is understood, and whether there is a limit"
)]
fn limit(text: &str) -> Option<Option<usize>> {
    if is_none(text) {
        return Some(None);
    }
    number::<NonZeroUsize>(text).map(|limit| Some(limit.get()))
}

pub(super) fn invalid(section: &Section, expected: &'static str) -> ConfigurationError {
    ConfigurationError::InvalidValue {
        key: section.path().to_owned(),
        value: section.value().unwrap_or_default().to_owned(),
        expected,
        origin: origin(section),
    }
}

/// What to do about an entry that is no host, so that no request has it.
fn why_no_host_matches(entry: &str) -> Option<&'static str> {
    if entry == "*" {
        return None;
    }
    let name = punycode::to_ascii(entry.strip_prefix("*.").unwrap_or(entry));
    let wrong_label = |label: &str| label.len() > 4 && has_prefix(label) && punycode::label_to_unicode(label).is_none();
    match host::parse(name.as_bytes()) {
        Ok(host) if host.port().is_some() => Some("leave out the port"),
        Ok(_) if name.split('.').any(wrong_label) => Some("what follows xn-- is no punycode"),
        Ok(_) => None,
        Err(_) if entry.trim() != entry => Some("take the blanks out"),
        Err(_) => Some("write a name, *.name, or an address, which has brackets if it is IPv6"),
    }
}

fn has_prefix(label: &str) -> bool {
    label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
}

#[cfg(test)]
mod tests {
    use crate::configuration::Configuration;
    use crate::middleware::{ForwardedHeadersOptions, XForwarded};

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        let builder = pairs.iter().fold(Configuration::builder(), |builder, (key, value)| {
            builder.set(*key, *value)
        });
        builder.build().unwrap()
    }

    fn forwarded(pairs: &[(&str, &str)]) -> Result<ForwardedHeadersOptions, String> {
        let pairs: Vec<(String, &str)> = pairs
            .iter()
            .map(|(key, value)| (format!("ForwardedHeaders{key}"), *value))
            .collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        configuration(&pairs)
            .forwarded_headers()
            .map_err(|error| error.to_string())
    }

    fn shown<T: ToString>(list: &[T]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn allowed_hosts_are_a_text_or_an_array() {
        for (pairs, hosts) in [
            (&[][..], &["*"][..]),
            (&[("AllowedHosts", "")], &["*"]),
            (&[("AllowedHosts", ";;")], &["*"]),
            (&[("allowedhosts", "a;;b; c;")], &["a", "b", " c"]),
            (&[("AllowedHosts:0", "a"), ("AllowedHosts:1", "b;c")], &["a", "b", "c"]),
        ] {
            assert_eq!(configuration(pairs).host_filtering().allowed_hosts, hosts, "{pairs:?}");
        }
    }

    #[test]
    fn nothing_is_forwarded_by_default_and_the_switch_trusts_everybody() {
        assert_eq!(forwarded(&[]).unwrap(), ForwardedHeadersOptions::default());
        let everybody = ForwardedHeadersOptions::trusting_everybody();
        for (text, is_on) in [
            ("true", true),
            ("TRUE", true),
            ("1", false),
            ("false", false),
            ("", false),
        ] {
            assert_eq!(forwarded(&[("_Enabled", text)]).unwrap() == everybody, is_on, "{text}");
        }
        let variables = [("ASPNETCORE_FORWARDEDHEADERS_ENABLED", "true")];
        let configuration = Configuration::builder()
            .set_environment(variables)
            .add_environment_variables("ASPNETCORE_")
            .build()
            .unwrap();
        assert_eq!(configuration.forwarded_headers().unwrap(), everybody);
        let off = forwarded(&[("_Enabled", "true"), (":Headers", "")]).unwrap();
        assert_eq!(off.forwarded_headers, XForwarded::NONE);
    }

    #[test]
    fn every_key_is_read_and_a_list_replaces_its_default() {
        let options = forwarded(&[
            (":Headers", "for,HOST"),
            (":ForwardLimit", "3"),
            (":KnownProxies:0", "10.0.0.1"),
            (":KnownProxies:1", "unix"),
            (":KnownNetworks:0", "10.0.0.0/8"),
            (":AllowedHosts:0", "a.example"),
            (":RequireHeaderSymmetry", "True"),
        ])
        .unwrap();
        assert_eq!(options.forwarded_headers, XForwarded::FOR | XForwarded::HOST);
        assert_eq!(options.forward_limit, Some(3));
        assert_eq!(shown(&options.known_proxies), ["10.0.0.1", "unix"]);
        assert_eq!(shown(&options.known_networks), ["10.0.0.0/8"]);
        assert_eq!(options.allowed_hosts, ["a.example"]);
        assert!(options.require_header_symmetry);

        let defaults = ForwardedHeadersOptions::default();
        let one = forwarded(&[(":KnownProxies", "unix"), (":ForwardLimit", "none")]).unwrap();
        assert_eq!(shown(&one.known_proxies), ["unix"]);
        assert_eq!((one.forward_limit, one.known_networks), (None, defaults.known_networks));
        let none = forwarded(&[(":KnownProxies", ""), (":KnownNetworks", "")]).unwrap();
        assert!(none.known_proxies.is_empty() && none.known_networks.is_empty());
        let switched = forwarded(&[("_Enabled", "true"), (":KnownProxies:0", "10.0.0.1")]).unwrap();
        assert_eq!(shown(&switched.known_proxies), ["10.0.0.1"]);
        assert!(switched.known_networks.is_empty());
    }

    #[cfg(feature = "config")]
    #[test]
    fn an_empty_array_trusts_everybody_and_null_nobody_new() {
        let text = r#"{ "ForwardedHeaders": { "KnownProxies": [], "KnownNetworks": null } }"#;
        let configuration = Configuration::builder().add_json_text("a.json", text).build().unwrap();
        let options = configuration.forwarded_headers().unwrap();
        assert!(options.known_proxies.is_empty());
        assert_eq!(shown(&options.known_networks), ["127.0.0.0/8"]);
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        for (key, value, message) in [
            (
                ":Headers",
                "Form",
                "Headers=Form in code: expected For, Proto, Host and Prefix, with commas between",
            ),
            (
                ":ForwardLimit",
                "0",
                "ForwardLimit=0 in code: expected a number above 0, or none",
            ),
            (
                ":KnownProxies:0",
                "10.0.0.300",
                "KnownProxies:0=10.0.0.300 in code: expected an IP address, or unix",
            ),
            (
                ":KnownProxies:0",
                "",
                "KnownProxies:0= in code: expected an IP address, or unix",
            ),
            (
                ":KnownNetworks:0",
                "10.0.0.1/8",
                "KnownNetworks:0=10.0.0.1/8 in code: expected a network such as 10.0.0.0/8, without bits behind its prefix",
            ),
            (
                ":AllowedHosts:0",
                " ",
                "AllowedHosts:0=  in code: expected a host name, or *.name",
            ),
            (
                ":RequireHeaderSymmetry",
                "yes",
                "RequireHeaderSymmetry=yes in code: expected true or false",
            ),
        ] {
            assert_eq!(forwarded(&[(key, value)]), Err(format!("ForwardedHeaders:{message}")));
        }
    }

    #[test]
    fn what_means_nothing_is_told() {
        let configuration = configuration(&[
            (
                "AllowedHosts",
                "a; b;c:80;*.d;[::1];::1;bücher;xn--bcher-kv;*;h/;0.0.0.0",
            ),
            ("ForwardedHeaders:KnownProxys:0", "10.0.0.1"),
            ("ForwardedHeaders:X", "1"),
            ("ForwardedHeaders:headers", "For"),
            ("ForwardedHeaders:AllowedHosts:0", "e:1"),
        ]);
        let brackets = "write a name, *.name, or an address, which has brackets if it is IPv6";
        assert_eq!(
            configuration.middleware_warnings(),
            [
                "AllowedHosts in code:  b matches no host; take the blanks out".to_owned(),
                "AllowedHosts in code: c:80 matches no host; leave out the port".to_owned(),
                format!("AllowedHosts in code: ::1 matches no host; {brackets}"),
                "AllowedHosts in code: xn--bcher-kv matches no host; what follows xn-- is no punycode".to_owned(),
                format!("AllowedHosts in code: h/ matches no host; {brackets}"),
                "ForwardedHeaders:AllowedHosts:0 in code: e:1 matches no host; leave out the port".to_owned(),
                "unknown key ForwardedHeaders:KnownProxys in code; did you mean ForwardedHeaders:KnownProxies?"
                    .to_owned(),
                "unknown key ForwardedHeaders:X in code; the keys are listed in docs/configuration.md".to_owned(),
            ]
        );
    }
}
