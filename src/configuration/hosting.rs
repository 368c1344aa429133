//! The settings of the host: the list of URLs to listen on.

use super::Configuration;
use super::error::ConfigurationError;
use super::tree::Origin;
use crate::endpoint::UrlError;

/// The addresses that a configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Each with where it comes from.
    pub(crate) urls: Vec<(String, String)>,
    /// What is to be told: of ports that URLs override.
    pub(crate) warnings: Vec<String>,
}

/// The list of a `urls` setting: pieces between `;` that are not empty, as they are.
pub(crate) fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(';').filter(|url| !url.is_empty())
}

/// The addresses of `urls`, or else of `HTTP_PORTS` and `HTTPS_PORTS`.
pub(crate) fn addresses(configuration: &Configuration) -> Result<Addresses, ConfigurationError> {
    let mut addresses = Addresses::default();
    let of_key = |key: &str| {
        configuration
            .tree()
            .get(key)
            .filter(|leaf| leaf.value.as_deref().is_some_and(|v| !v.is_empty()))
    };
    let ports = [("HTTP_PORTS", "http"), ("HTTPS_PORTS", "https")];
    if let Some(leaf) = of_key("urls") {
        let list = leaf.value.as_deref().unwrap_or_default();
        let origin = leaf.told();
        addresses.urls = split(list).map(|url| (url.to_owned(), origin.clone())).collect();
        for (key, _) in ports {
            if let Some(ports) = of_key(key) {
                addresses.warnings.push(format!(
                    "{key} {} is overridden by urls {}; binding to {list} instead",
                    ports.origin, leaf.origin
                ));
            }
        }
        return Ok(addresses);
    }
    for (key, scheme) in ports {
        let Some(leaf) = of_key(key) else { continue };
        let list = leaf.value.as_deref().unwrap_or_default();
        for port in list.split(';').map(str::trim).filter(|port| !port.is_empty()) {
            if port.parse::<u16>().is_err() {
                return Err(no_port(key, port, &leaf.origin));
            }
            addresses.urls.push((format!("{scheme}://*:{port}"), leaf.told()));
        }
    }
    Ok(addresses)
}

fn no_port(key: &str, port: &str, origin: &Origin) -> ConfigurationError {
    let why = "it is no port number; write 0 to 65535, with \";\" between several";
    ConfigurationError::InvalidUrl {
        key: key.to_owned(),
        error: UrlError::Invalid(port.to_owned(), why),
        origin: origin.clone(),
    }
}

/// Whether addresses win over endpoints.
pub(crate) fn prefers_hosting_urls(configuration: &Configuration) -> bool {
    configuration
        .get("preferHostingUrls")
        .is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1")
}
