//! The settings of the handlers that see to it that clients come by HTTPS.

use super::Configuration;
use super::error::ConfigurationError;
use super::kestrel::origin;
use super::middleware::{BOOLEAN, invalid, replace, unknown_keys, value};
use super::value::{boolean, is_none, time};
use crate::middleware::{HstsOptions, HttpsPort, HttpsRedirectionOptions};
use http::StatusCode;

/// The port, and what IIS' module calls it.
const PORTS: [&str; 2] = ["https_port", "ANCM_HTTPS_PORT"];
const REDIRECTION: &str = "HttpsRedirection";
const REDIRECTION_KEYS: [&str; 1] = ["RedirectStatusCode"];
const HSTS: &str = "Hsts";
const HSTS_KEYS: [&str; 4] = ["MaxAge", "IncludeSubDomains", "Preload", "ExcludedHosts"];

const PORT: &str = "a port from 1 to 65535, or -1 for no redirection";
const STATUS: &str = "301, 302, 303, 307 or 308";
const AGE: &str = "a time as [d.]hh:mm:ss or in seconds, or none";
const HOST: &str = "a host name without port";

impl Configuration {
    /// The options of `https_port`, as `ASPNETCORE_HTTPS_PORT` or `HTTPS_PORT` sets it (-1: nothing is redirected), and of
    /// the section `HttpsRedirection`, which `docs/configuration.md` lists.
    ///
    /// ```
    /// use stannel::Configuration;
    /// use stannel::middleware::HttpsPort;
    ///
    /// let configuration = Configuration::builder().set("https_port", "8443").build()?;
    /// assert_eq!(configuration.https_redirection()?.https_port, HttpsPort::Port(8443));
    /// # Ok::<(), stannel::ConfigurationError>(())
    /// ```
    ///
    /// # Errors
    /// A number that is no port, or a status that does not redirect. An `https_port` that is no number counts as absent, as
    /// in ASP.NET Core; [`middleware_warnings`](Self::middleware_warnings) tells it.
    pub fn https_redirection(&self) -> Result<HttpsRedirectionOptions, ConfigurationError> {
        let mut options = HttpsRedirectionOptions::default();
        for key in PORTS {
            let Some(number) = self.get(key).and_then(whole_number) else {
                continue;
            };
            options.https_port = match (number, u16::try_from(number)) {
                (-1, _) => HttpsPort::Never,
                (1.., Ok(port)) => HttpsPort::Port(port),
                _ => return Err(invalid(&self.section(key), PORT)),
            };
            break;
        }
        let section = self.section(REDIRECTION);
        if let Some(status) = value(&section, "RedirectStatusCode", redirection, STATUS)? {
            options.redirect_status_code = status;
        }
        Ok(options)
    }

    /// The options of the section `Hsts`, which `docs/configuration.md` lists. ASP.NET Core reads none of its own accord;
    /// the keys have the names of its options.
    ///
    /// ```
    /// use stannel::Configuration;
    /// use std::time::Duration;
    ///
    /// let configuration = Configuration::builder().set("Hsts:MaxAge", "365.00:00:00").build()?;
    /// assert_eq!(configuration.hsts()?.max_age, Some(Duration::from_secs(31_536_000)));
    /// # Ok::<(), stannel::ConfigurationError>(())
    /// ```
    ///
    /// # Errors
    /// A value that cannot be understood: browsers remember for long what they were told by mistake.
    pub fn hsts(&self) -> Result<HstsOptions, ConfigurationError> {
        let mut options = HstsOptions::default();
        let section = self.section(HSTS);
        if let Some(max_age) = value(&section, "MaxAge", age, AGE)? {
            options.max_age = max_age;
        }
        if let Some(include) = value(&section, "IncludeSubDomains", boolean, BOOLEAN)? {
            options.include_sub_domains = include;
        }
        if let Some(preload) = value(&section, "Preload", boolean, BOOLEAN)? {
            options.preload = preload;
        }
        let host = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        replace(&mut options.excluded_hosts, &section, "ExcludedHosts", host, HOST)?;
        Ok(options)
    }
}

/// One line for each setting that means nothing.
pub(super) fn warnings(configuration: &Configuration) -> Vec<String> {
    let mut warnings: Vec<String> = PORTS
        .into_iter()
        .filter_map(|key| {
            let section = configuration.section(key);
            let text = section.value().filter(|text| !text.is_empty())?;
            whole_number(text).is_none().then(|| {
                let (key, text, origin) = (section.path(), text.escape_debug(), origin(&section));
                format!("{key}={text} {origin} counts as absent: expected {PORT}")
            })
        })
        .collect();
    for (section, keys) in [(REDIRECTION, &REDIRECTION_KEYS[..]), (HSTS, &HSTS_KEYS)] {
        unknown_keys(&configuration.section(section), keys, &mut warnings);
    }
    warnings
}

/// .NET's reading: a sign may stand before the digits, and nothing else anywhere.
fn whole_number(text: &str) -> Option<i32> {
    text.parse().ok()
}

fn redirection(text: &str) -> Option<StatusCode> {
    let status: StatusCode = text.parse().ok()?;
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308).then_some(status)
}

#[expect(
    clippy::option_option,
    reason = "whether it is understood, and whether browsers are told anything"
)]
fn age(text: &str) -> Option<Option<std::time::Duration>> {
    if is_none(text) {
        Some(None)
    } else {
        time(text).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::configuration::Configuration;
    use crate::middleware::{HstsOptions, HttpsPort, HttpsRedirectionOptions};
    use http::StatusCode;
    use std::time::Duration;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        let builder = pairs.iter().fold(Configuration::builder(), |builder, (key, value)| {
            builder.set(*key, *value)
        });
        builder.build().unwrap()
    }

    #[test]
    fn the_port_is_a_number_or_absent() {
        let expected = "a port from 1 to 65535, or -1 for no redirection";
        for (text, port) in [
            ("", Ok(HttpsPort::OfServer)),
            ("5000", Ok(HttpsPort::Port(5000))),
            ("+5000", Ok(HttpsPort::Port(5000))),
            ("080", Ok(HttpsPort::Port(80))),
            ("65535", Ok(HttpsPort::Port(65535))),
            ("-1", Ok(HttpsPort::Never)),
            ("abc", Ok(HttpsPort::OfServer)),
            (" 5000 ", Ok(HttpsPort::OfServer)),
            ("5000.0", Ok(HttpsPort::OfServer)),
            ("99999999999", Ok(HttpsPort::OfServer)),
            ("0", Err(format!("https_port=0 in code: expected {expected}"))),
            ("-2", Err(format!("https_port=-2 in code: expected {expected}"))),
            ("65536", Err(format!("https_port=65536 in code: expected {expected}"))),
        ] {
            let options = configuration(&[("https_port", text)]).https_redirection();
            let found = options.map(|options| options.https_port);
            assert_eq!(found.map_err(|error| error.to_string()), port, "{text}");
        }
    }

    #[test]
    fn the_names_of_the_port_are_asked_in_order() {
        for (variables, port) in [
            (&[("ASPNETCORE_HTTPS_PORT", "1")][..], HttpsPort::Port(1)),
            (&[("HTTPS_PORT", "2")], HttpsPort::Port(2)),
            (&[("ASPNETCORE_ANCM_HTTPS_PORT", "3")], HttpsPort::Port(3)),
            (&[("ANCM_HTTPS_PORT", "4")], HttpsPort::Port(4)),
            (&[("HTTPS_PORT", "5"), ("ANCM_HTTPS_PORT", "6")], HttpsPort::Port(5)),
            (&[("HTTPS_PORT", "x"), ("ANCM_HTTPS_PORT", "7")], HttpsPort::Port(7)),
            (
                &[("ASPNETCORE_HTTPS_PORT", "8"), ("HTTPS_PORT", "9")],
                HttpsPort::Port(9),
            ),
            (&[("HTTPS_PORTS", "10")], HttpsPort::OfServer),
        ] {
            let configuration = Configuration::builder()
                .set_environment(variables.iter().copied())
                .add_environment_variables("ASPNETCORE_")
                .add_environment_variables("")
                .build()
                .unwrap();
            assert_eq!(
                configuration.https_redirection().unwrap().https_port,
                port,
                "{variables:?}"
            );
        }
    }

    #[test]
    fn every_key_is_read() {
        let nothing = configuration(&[]);
        assert_eq!(nothing.https_redirection().unwrap(), HttpsRedirectionOptions::default());
        assert_eq!(nothing.hsts().unwrap(), HstsOptions::default());

        let some = configuration(&[
            ("HttpsRedirection:RedirectStatusCode", "308"),
            ("Hsts:MaxAge", "60.00:00:01.9"),
            ("Hsts:IncludeSubDomains", "true"),
            ("Hsts:Preload", "True"),
            ("Hsts:ExcludedHosts:0", "a.example"),
        ]);
        let status = some.https_redirection().unwrap().redirect_status_code;
        assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
        let hsts = some.hsts().unwrap();
        assert_eq!(hsts.max_age, Some(Duration::from_millis(60 * 86_400_000 + 1900)));
        assert!(hsts.include_sub_domains && hsts.preload);
        assert_eq!(hsts.excluded_hosts, ["a.example"]);

        let off = configuration(&[("Hsts:MaxAge", "none"), ("Hsts:ExcludedHosts", "")])
            .hsts()
            .unwrap();
        assert_eq!((off.max_age, off.excluded_hosts.len()), (None, 0));
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        for (key, value, message) in [
            (
                "HttpsRedirection:RedirectStatusCode",
                "200",
                "RedirectStatusCode=200 in code: expected 301, 302, 303, 307 or 308",
            ),
            (
                "Hsts:MaxAge",
                "long",
                "MaxAge=long in code: expected a time as [d.]hh:mm:ss or in seconds, or none",
            ),
            ("Hsts:Preload", "1", "Preload=1 in code: expected true or false"),
            (
                "Hsts:ExcludedHosts:0",
                "",
                "ExcludedHosts:0= in code: expected a host name without port",
            ),
        ] {
            let configuration = configuration(&[(key, value)]);
            let error = configuration.https_redirection().err().or(configuration.hsts().err());
            let found = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(found.ends_with(message), "{found}");
        }
    }

    #[test]
    fn what_means_nothing_is_told() {
        let warnings = configuration(&[
            ("https_port", "abc"),
            ("Hsts:MaxAges", "1"),
            ("Hsts:preload", "true"),
            ("HttpsRedirection:Port", "1"),
        ])
        .middleware_warnings();
        assert_eq!(
            warnings,
            [
                "https_port=abc in code counts as absent: expected a port from 1 to 65535, or -1 for no redirection",
                "unknown key HttpsRedirection:Port in code; the keys are listed in docs/configuration.md",
                "unknown key Hsts:MaxAges in code; did you mean Hsts:MaxAge?",
            ]
        );
    }
}
