//! Which keys mean something, and what is told of those that do not.

use super::key::{Folded, join};
use super::nearest::nearest;
use super::settings;
use super::tree::{Leaf, Origin, Tree};

/// Keys of the host, which stand at the top.
const HOST: [&str; 11] = [
    "urls",
    "HTTP_PORTS",
    "HTTPS_PORTS",
    "preferHostingUrls",
    "environment",
    "contentRoot",
    "applicationName",
    "https_port",
    "ANCM_HTTPS_PORT",
    "AllowedHosts",
    "ForwardedHeaders_Enabled",
];

/// Sections and the keys in them; `*` is any name or index.
const SECTIONS: [(&[&str], &[&str]); 4] = [
    (&["Kestrel:Endpoints:*"], &["Url", "SocketMode", "ReplaceStaleSocket"]),
    (
        &["Kestrel:Endpoints:*", "Kestrel:EndpointDefaults"],
        &["NoDelay", "HandshakeTimeout"],
    ),
    (
        &[
            "Kestrel:Endpoints:*",
            "Kestrel:Endpoints:*:Sni:*",
            "Kestrel:EndpointDefaults",
        ],
        &[
            "Protocols",
            "SslProtocols",
            "SslProtocols:*",
            "ClientCertificateMode",
            "ClientCertificateRoots",
        ],
    ),
    (
        &[
            "Kestrel:Endpoints:*:Certificate",
            "Kestrel:Endpoints:*:Sni:*:Certificate",
            "Kestrel:Certificates:Default",
            "Kestrel:Certificates:Development",
        ],
        &[
            "Path",
            "KeyPath",
            "Password",
            "Subject",
            "Store",
            "Location",
            "AllowInvalid",
        ],
    ),
];

/// Sections that hold anything, or whose readers tell what means nothing.
const ANYTHING: [&str; 7] = [
    "Kestrel:Certificates:*:*",
    "Logging",
    "ConnectionStrings",
    "AllowedHosts:*",
    "ForwardedHeaders",
    "HttpsRedirection",
    "Hsts",
];

fn patterns() -> Vec<String> {
    let in_sections = SECTIONS.iter().flat_map(|(places, keys)| {
        places
            .iter()
            .flat_map(|place| keys.iter().map(move |key| join(place, key)))
    });
    let others = HOST.into_iter().chain(settings::keys()).map(str::to_owned);
    others.chain(in_sections).collect()
}

/// One line for each key below `Kestrel` that means nothing to the server, with the known key that is nearest to it, and
/// for each section that is a text. The endpoints in `named` have a callback, so their sections may hold keys of the
/// program's own.
pub(super) fn warnings(tree: &Tree, named: &[&str]) -> Vec<String> {
    let patterns = patterns();
    let may_be_own = |key: &str| {
        named
            .iter()
            .any(|name| starts(key, &format!("Kestrel:Endpoints:{name}")))
    };
    tree.iter()
        .filter(|leaf| starts(&leaf.key, "Kestrel") || nearly_kestrel(&leaf.key))
        .filter(|leaf| !may_be_own(&leaf.key))
        .filter_map(|leaf| warning(leaf, &patterns))
        .collect()
}

/// The same for other keys of the command line; those at and below `own` are the program's.
pub(super) fn unknown_arguments(tree: &Tree, own: &[&str]) -> Vec<String> {
    let patterns = patterns();
    tree.iter()
        .filter(|leaf| leaf.origin == Origin::CommandLine)
        .filter(|leaf| !starts(&leaf.key, "Kestrel") && !nearly_kestrel(&leaf.key))
        .filter(|leaf| !own.iter().any(|own| starts(&leaf.key, own)))
        .filter_map(|leaf| warning(leaf, &patterns))
        .collect()
}

fn warning(leaf: &Leaf, patterns: &[String]) -> Option<String> {
    let key = leaf.key.as_str();
    if ANYTHING.iter().any(|section| starts(key, section)) || patterns.iter().any(|pattern| matches(pattern, key)) {
        return None;
    }
    let shown = key.escape_debug();
    let origin = &leaf.origin;
    if patterns
        .iter()
        .any(|pattern| pattern.contains(':') && starts_pattern(pattern, key))
    {
        // A section by itself: nothing in it is no mistake, a text is.
        let text = leaf.value.as_deref().filter(|text| !text.is_empty())?;
        return Some(format!(
            "{shown}={} {origin} is ignored: a section with keys is expected there, not a text",
            text.escape_debug()
        ));
    }
    let candidates: Vec<String> = patterns.iter().map(|pattern| filled_in(pattern, key)).collect();
    let advice = match nearest(key, candidates.iter().map(String::as_str)) {
        Some(known) => format!("did you mean {known}?"),
        None if starts(key, "Kestrel") => "the keys are listed in docs/configuration.md".to_owned(),
        None => "it is ignored".to_owned(),
    };
    Some(format!("unknown key {shown} {origin}; {advice}"))
}

/// `Kestrl:Endpoints:…` in a file would be a server that listens elsewhere, without a word.
fn nearly_kestrel(key: &str) -> bool {
    let first = key.split(':').next().unwrap_or(key);
    key.contains(':') && nearest(first, std::iter::once("Kestrel")).is_some()
}

fn parts_match(pattern: &str, part: &str) -> bool {
    pattern == "*" || Folded::new(pattern) == Folded::new(part)
}

fn matches(pattern: &str, key: &str) -> bool {
    let (pattern, key) = (pattern.split(':'), key.split(':'));
    pattern.clone().count() == key.clone().count() && pattern.zip(key).all(|(pattern, part)| parts_match(pattern, part))
}

/// Whether a key is at or below a section.
fn starts(key: &str, section: &str) -> bool {
    let mut parts = key.split(':');
    section
        .split(':')
        .all(|pattern| parts.next().is_some_and(|part| parts_match(pattern, part)))
}

/// Whether a key is a section of a pattern.
fn starts_pattern(pattern: &str, key: &str) -> bool {
    let mut patterns = pattern.split(':');
    key.split(':')
        .all(|part| patterns.next().is_some_and(|pattern| parts_match(pattern, part)))
}

/// The pattern with the key's own names and indexes.
fn filled_in(pattern: &str, key: &str) -> String {
    let mut parts = key.split(':');
    let filled: Vec<&str> = pattern
        .split(':')
        .map(|pattern| match parts.next() {
            Some(part) if pattern == "*" => part,
            _ => pattern,
        })
        .collect();
    filled.join(":")
}

#[cfg(test)]
mod tests {
    use crate::configuration::Configuration;

    fn warnings(arguments: &[&str]) -> Vec<String> {
        let configuration = Configuration::builder().add_command_line(arguments).build().unwrap();
        let mut warnings = configuration.key_warnings(&["mine"]);
        warnings.extend(configuration.unknown_arguments(&["Shop"]));
        warnings
    }

    #[test]
    fn unknown_keys_are_told_with_the_nearest_one() {
        for (argument, warning) in [
            (
                "--Kestrel:Limits:KeepAliveTimeot=5",
                "unknown key Kestrel:Limits:KeepAliveTimeot on the command line; did you mean Kestrel:Limits:KeepAliveTimeout?",
            ),
            (
                "--url=http://*:80",
                "unknown key url on the command line; did you mean urls?",
            ),
            (
                "--Kestrel:X=5",
                "unknown key Kestrel:X on the command line; the keys are listed in docs/configuration.md",
            ),
            (
                "--verbosity=5",
                "unknown key verbosity on the command line; it is ignored",
            ),
            (
                "--Kestrel:Endpoints:Web:Urll=x",
                "unknown key Kestrel:Endpoints:Web:Urll on the command line; did you mean Kestrel:Endpoints:Web:Url?",
            ),
            (
                "--Kestrl:Endpoints:Web:Url=x",
                "unknown key Kestrl:Endpoints:Web:Url on the command line; did you mean Kestrel:Endpoints:Web:Url?",
            ),
            (
                "--Kestrel:Endpoints=x",
                "Kestrel:Endpoints=x on the command line is ignored: a section with keys is expected there, not a text",
            ),
        ] {
            assert_eq!(warnings(&[argument]), [warning]);
        }
    }

    #[test]
    fn known_keys_and_those_of_the_program_are_not_told() {
        for argument in [
            "--urls=x",
            "--http_ports=80",
            "--kestrel:workers=2",
            "--Kestrel:Endpoints:A:Url=x",
            "--Kestrel:Endpoints:A:SslProtocols:0=Tls12",
            "--Kestrel:Endpoints:A:Sni:*.a.b:Certificate:Path=x",
            "--Kestrel:Endpoints:MINE:MyOwn:Key=x",
            "--Kestrel:Endpoints=",
            "--Kestrel:Certificates:Other:Path=x",
            "--shop:name=x",
        ] {
            assert!(
                warnings(&[argument]).is_empty(),
                "{argument}: {:?}",
                warnings(&[argument])
            );
        }
    }

    #[cfg(feature = "config")]
    #[test]
    fn other_keys_of_files_are_the_programs() {
        let text = r#"{ "Shop2": { "a": 1 }, "verbosity": 5, "Kestrl": { "Endpoints": {} } }"#;
        let configuration = Configuration::builder().add_json_text("a.json", text).build().unwrap();
        assert_eq!(
            configuration.key_warnings(&[]),
            ["unknown key Kestrl:Endpoints in a.json:1:65; did you mean Kestrel:Endpoints:*:Url?"]
        );
    }
}
