//! TLS: which host pattern, which options, and what becomes of a handshake. A handshake is one in memory.

use crate::code::NO_SUCH_CALL;
use crate::kestrel::check_error;
use crate::making::{Made, make, make_with};
use crate::shaking::{Authority, Shaken, Shown, Site, certificate};
use crate::{Case, Outcome, same, texts};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};
use stannel::certificate::CertificateStores;
use stannel::tls::{ClientCertificateValidation, HostPatterns, OnAuthenticate, ServerCertificateSelector};
use stannel::{
    Certificate, CertificateSource, ClientCertificateMode, ClientCertificateRoots, Configuration, EndpointPlan,
    HttpProtocols, HttpsOptions, ServerOptions, SniOptions, SslProtocols,
};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The host that is asked for unless a case says otherwise.
const HOST: &str = "site.test";

// ---- kind sni

pub(crate) fn sni(case: &Case) -> Outcome {
    let patterns = texts(&case.input["patterns"]);
    // Written by hand: a JSON object of serde_json's has each key once.
    let entries: Vec<String> = patterns
        .iter()
        .map(|pattern| format!("{}:{{\"Protocols\":\"Http1\"}}", json!(pattern)))
        .collect();
    let entries = entries.join(",");
    let text = format!(r#"{{"Kestrel":{{"Endpoints":{{"E":{{"Url":"https://localhost:1","Sni":{{{entries}}}}}}}}}}}"#);
    let configuration = Configuration::builder().add_json_text("a.json", text).build();
    let loaded = configuration.and_then(|configuration| {
        let mut options = configuration.server_options()?;
        options.load()
    });
    if let Err(error) = loaded {
        return check_error(&error, &case.expect).into();
    }
    let chosen = HostPatterns::new(patterns.iter().map(String::as_str)).choose(case.input["server_name"].as_str());
    let found = match chosen {
        Some(number) => json!({ "chosen": patterns[number] }),
        None => json!({ "error": "sni-no-match" }),
    };
    same("choice", &found, &case.expect).into()
}

// ---- kind sni-options

pub(crate) fn sni_options(case: &Case) -> Outcome {
    options_of(case).into()
}

fn options_of(case: &Case) -> Result<(), String> {
    let mut named = Named::default();
    let mut sni = SniOptions::new(HOST);
    for (key, value) in case.input["pattern"].as_object().into_iter().flatten() {
        match key.as_str() {
            "Certificate" => sni.certificate = Some(named.source(value)),
            "Protocols" => sni.protocols = Some(protocols(value)?),
            "SslProtocols" => sni.ssl_protocols = Some(ssl_protocols(value)?),
            "ClientCertificateMode" => sni.client_certificate_mode = Some(mode(value)?),
            other => return Err(format!("unknown key {other} of a pattern")),
        }
    }
    let mut https = HttpsOptions::default();
    let mut http = HttpProtocols::HTTP1_AND_HTTP2;
    for (key, value) in case.input["endpoint"].as_object().into_iter().flatten() {
        match key.as_str() {
            "Certificate" => https.server_certificate = Some(named.source(value)),
            "Selector" => {
                let selected = named.certificate(value);
                https.server_certificate_selector =
                    Some(ServerCertificateSelector::new(move |_, _| Some(selected.clone())));
            }
            "Protocols" => http = protocols(value)?,
            "SslProtocols" => https.ssl_protocols = ssl_protocols(value)?,
            "ClientCertificateMode" => https.client_certificate_mode = mode(value)?,
            "OnAuthenticate" => {
                https.on_authenticate = Some(OnAuthenticate::new(|_, config| {
                    assert!(!config.alpn_protocols.is_empty(), "everything else is set before");
                    config.alpn_protocols = vec![LAST.to_vec()];
                }));
            }
            other => return Err(format!("unknown key {other} of an endpoint")),
        }
    }
    https.sni = vec![sni.clone()];
    let plan = match plan(|options| {
        let endpoint = options.listen_localhost(1);
        endpoint.protocols = http;
        endpoint.use_https_with(|options| *options = https.clone());
    }) {
        Ok(plan) => plan,
        Err(error) => return check_error(&error, &case.expect),
    };
    let site = Site::of(&plan);
    for (key, expected) in case.expect.as_object().into_iter().flatten() {
        let shake = || site.shake(HOST, rustls::ALL_VERSIONS, Shown::default());
        let found = match key.as_str() {
            "certificate" => json!(named.letter(&shake().served())),
            "ssl_protocols" => json!(versions(&site)),
            "alpn" => json!(alpn(&site)),
            "protocols" => json!(sni.protocols.unwrap_or(http).to_string()),
            "client_certificate_mode" => {
                let mode = sni.client_certificate_mode.unwrap_or(https.client_certificate_mode);
                json!(mode.to_string())
            }
            "asked_in_handshake" => json!(shake().asked),
            "missing_accepted" => json!(shake().is_ok()),
            "on_authenticate_runs_last" => {
                let shown = Shown {
                    alpn: vec![LAST.to_vec()],
                    ..Shown::default()
                };
                json!(site.shake(HOST, rustls::ALL_VERSIONS, shown).is_ok())
            }
            other => return Err(format!("unknown key {other}")),
        };
        same(key, &found, expected)?;
    }
    Ok(())
}

/// A protocol that only a hook offers.
const LAST: &[u8] = b"last";

/// Certificates that cases name by letters.
#[derive(Default)]
struct Named(Vec<(String, Certificate)>);

impl Named {
    fn certificate(&mut self, name: &Value) -> Certificate {
        let name = name.as_str().unwrap_or_default();
        if let Some((_, known)) = self.0.iter().find(|(other, _)| other == name) {
            return known.clone();
        }
        let made = certificate(&make(HOST));
        self.0.push((name.to_owned(), made.clone()));
        made
    }

    fn source(&mut self, name: &Value) -> CertificateSource {
        CertificateSource::Loaded(self.certificate(name))
    }

    fn letter(&self, served: &[u8]) -> Option<&str> {
        let mut known = self.0.iter();
        known
            .find(|(_, it)| it.leaf().der() == served)
            .map(|(name, _)| name.as_str())
    }
}

fn protocols(value: &Value) -> Result<HttpProtocols, String> {
    let protocols = value.as_str().and_then(HttpProtocols::from_text);
    protocols.ok_or_else(|| format!("the protocols {value}"))
}

fn ssl_protocols(value: &Value) -> Result<SslProtocols, String> {
    texts(value).iter().try_fold(SslProtocols::NONE, |all, name| {
        Ok(all | SslProtocols::from_text(name).ok_or_else(|| format!("the version {name}"))?)
    })
}

fn mode(value: &Value) -> Result<ClientCertificateMode, String> {
    let mode = value.as_str().and_then(ClientCertificateMode::from_text);
    mode.ok_or_else(|| format!("the mode {value}"))
}

/// Plans on a machine without any certificates.
fn plan(change: impl FnOnce(&mut ServerOptions)) -> Result<EndpointPlan, stannel::ConfigurationError> {
    let mut options = ServerOptions::default();
    options.certificate_stores = Some(CertificateStores::in_home("/absent"));
    change(&mut options);
    options.plan()
}

/// The versions with which a client is served.
fn versions(site: &Site) -> Vec<&'static str> {
    let known = [("Tls12", &rustls::version::TLS12), ("Tls13", &rustls::version::TLS13)];
    let served = known.into_iter().filter(|(_, version)| {
        let shaken = site.shake(HOST, &[version], Shown::default());
        shaken.is_ok()
    });
    served.map(|(name, _)| name).collect()
}

/// What the server takes of all protocols, then of those that are left, and so on.
fn alpn(site: &Site) -> Vec<String> {
    let mut left: Vec<&[u8]> = vec![b"http/1.0", b"http/1.1", b"h2", b"h3", b"http/0.9"];
    let mut taken = Vec::new();
    while !left.is_empty() {
        let alpn = left.iter().map(|name| name.to_vec()).collect();
        let shown = Shown {
            alpn,
            ..Shown::default()
        };
        let Some(name) = site.shake(HOST, rustls::ALL_VERSIONS, shown).alpn() else {
            break;
        };
        left.retain(|other| *other != name);
        taken.push(String::from_utf8_lossy(&name).into_owned());
    }
    taken
}

// ---- kind tls

pub(crate) fn tls(case: &Case) -> Outcome {
    let (input, expect) = (&case.input, &case.expect);
    let has = |key: &str| input.get(key).is_some();
    if input.to_string().contains("without private key") {
        return Outcome::Skipped("Rust's types rule out a certificate without its private key");
    }
    if has("HandshakeTimeout") {
        return handshake_timeout(&input["HandshakeTimeout"], expect);
    }
    let result = if has("ClientCertificateMode") || has("SslProtocols") {
        setting(input, expect)
    } else if has("certificate_eku") {
        usages(&input["certificate_eku"], expect)
    } else if has("selector_returns") || has("selector_sees_name_for") {
        selector(input, expect)
    } else if has("ServerCertificate") {
        whole_options(input, expect)
    } else if has("protocols") {
        offered(&input["protocols"], expect)
    } else if has("mode") {
        client_certificate(input, expect)
    } else if has("client") {
        failing_client(&input["client"], expect)
    } else if has("request") {
        scheme(expect)
    } else {
        Err("unknown input".to_owned())
    };
    result.into()
}

fn handshake_timeout(value: &Value, expect: &Value) -> Outcome {
    let text = value.as_str().unwrap_or_default();
    let number = |unit: &str| text.strip_suffix(unit)?.trim().parse::<u64>().ok();
    let timeout = match text {
        "default" => HttpsOptions::default().handshake_timeout,
        "infinite" => None,
        "0" => Some(Duration::ZERO),
        // The longest time that .NET has, in steps of 100 ns.
        "maximum" => Some(Duration::from_nanos(i64::MAX.unsigned_abs()).saturating_mul(100)),
        "minimum" => return Outcome::Skipped(NO_SUCH_CALL),
        text if text.starts_with('-') => return Outcome::Skipped(NO_SUCH_CALL),
        _ => {
            let read = number("ns").map(Duration::from_nanos);
            let read = read.or_else(|| number("ms").map(Duration::from_millis));
            match read.or_else(|| number("s").map(Duration::from_secs)) {
                Some(read) => Some(read),
                None => return Outcome::Failed(format!("the time {value}")),
            }
        }
    };
    let planned = plan(|options| {
        options.listen_localhost(1).use_https_with(|https| {
            https.server_certificate = Some(CertificateSource::Loaded(certificate(&make(HOST))));
            https.handshake_timeout = timeout;
        });
    });
    let plan = match planned {
        Ok(plan) => plan,
        Err(error) => return check_error(&error, expect).into(),
    };
    let kept = plan.endpoints()[0].https().and_then(|https| https.handshake_timeout);
    let checks = [
        ("error", Value::Null),
        ("seconds", json!(kept.map(|time| time.as_secs()))),
        ("ok", json!(true)),
        // No time at all is what the longest is in .NET.
        (
            "stored",
            if kept.is_none() || text == "maximum" {
                json!("maximum")
            } else {
                json!(text)
            },
        ),
    ];
    let expected = checks
        .iter()
        .filter_map(|(key, found)| Some((key, found, expect.get(key)?)));
    let mut results = expected.map(|(key, found, expected)| same(key, found, expected));
    results.find(Result::is_err).unwrap_or(Ok(())).into()
}

fn setting(input: &Value, expect: &Value) -> Result<(), String> {
    let mut https = HttpsOptions::default();
    for (key, value) in input
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| *value != "default")
    {
        match key.as_str() {
            "ClientCertificateMode" => https.client_certificate_mode = mode(value)?,
            "SslProtocols" => https.ssl_protocols = ssl_protocols(value)?,
            other => return Err(format!("unknown setting {other}")),
        }
    }
    let (mode, protocols) = (https.client_certificate_mode, https.ssl_protocols);
    https.server_certificate = Some(Named::default().source(&json!("A")));
    if let Err(error) = plan(|options| {
        options.listen_localhost(1).use_https(https);
    }) {
        return check_error(&error, expect);
    }
    let found = match input.get("ClientCertificateMode") {
        Some(_) => json!(mode.to_string()),
        None if protocols.is_none() => json!([]),
        None => json!(protocols.to_string().split(", ").collect::<Vec<_>>()),
    };
    same("error", &Value::Null, &expect["error"])?;
    same("value", &found, &expect["value"])
}

/// Options that are given as a whole.
fn whole_options(input: &Value, expect: &Value) -> Result<(), String> {
    let mut https = HttpsOptions::default();
    if !input["ServerCertificate"].is_null() {
        https.server_certificate = Some(Named::default().source(&input["ServerCertificate"]));
    }
    if !input["ServerCertificateSelector"].is_null() {
        https.server_certificate_selector = Some(ServerCertificateSelector::new(|_, _| None));
    }
    match plan(|options| {
        options.listen_localhost(1).use_https(https);
    }) {
        Ok(_) => same("error", &Value::Null, &expect["error"]),
        Err(error) => check_error(&error, expect),
    }
}

fn usages(value: &Value, expect: &Value) -> Result<(), String> {
    let names = value.as_str().unwrap_or_default().split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty() && !name.starts_with("no"));
    let usages: Result<Vec<_>, String> = names.map(usage).collect();
    let made = made_for(&usages?);
    match plan(|options| {
        options.listen_localhost(1).use_https(certificate(&made));
    }) {
        Ok(_) => same("ok", &json!(true), &expect["ok"]),
        Err(error) => check_error(&error, expect),
    }
}

fn usage(name: &str) -> Result<ExtendedKeyUsagePurpose, String> {
    Ok(match name {
        "serverAuth" => ExtendedKeyUsagePurpose::ServerAuth,
        "clientAuth" => ExtendedKeyUsagePurpose::ClientAuth,
        "codeSigning" => ExtendedKeyUsagePurpose::CodeSigning,
        "emailProtection" => ExtendedKeyUsagePurpose::EmailProtection,
        "timeStamping" => ExtendedKeyUsagePurpose::TimeStamping,
        "anyExtendedKeyUsage" => ExtendedKeyUsagePurpose::Any,
        other => return Err(format!("the usage {other}")),
    })
}

fn made_for(usages: &[ExtendedKeyUsagePurpose]) -> Made {
    make_with(HOST, |parameters| parameters.extended_key_usages = usages.to_vec())
}

fn selector(input: &Value, expect: &Value) -> Result<(), String> {
    let mut named = Named::default();
    let returns = match &input["selector_returns"] {
        Value::Array(list) => list.clone(),
        _ if input.get("selector_sees_name_for").is_some() => vec![json!("certificate A")],
        one => vec![one.clone()],
    };
    let returned: Result<Vec<Option<Certificate>>, String> = returns
        .iter()
        .map(|value| match value.as_str() {
            None => Ok(None),
            Some(text) => match text
                .strip_prefix("certificate with ")
                .and_then(|it| it.strip_suffix(" EKU"))
            {
                Some(name) => Ok(Some(certificate(&made_for(&[usage(name)?])))),
                None => match text.strip_prefix("certificate ") {
                    Some(letter) => Ok(Some(named.certificate(&json!(letter)))),
                    None => Err(format!("the certificate {text}")),
                },
            },
        })
        .collect();
    let returned = returned?;
    let calls: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let seen = Arc::clone(&calls);
    let fixed = input.get("ServerCertificate").map(|letter| named.source(letter));
    let planned = plan(|options| {
        options.listen_localhost(1).use_https_with(|https| {
            https.server_certificate = fixed;
            https.server_certificate_selector = Some(ServerCertificateSelector::new(move |_, name| {
                let mut seen = seen.lock().unwrap();
                seen.push(name.map(str::to_owned));
                returned[(seen.len() - 1) % returned.len()].clone()
            }));
        });
    });
    let plan = planned.map_err(|error| error.to_string())?;
    let site = Site::of(&plan);
    let host = match input.get("selector_sees_name_for") {
        None => HOST,
        // A client that goes to an address sends no name.
        Some(Value::Null) => "127.0.0.1",
        Some(name) => name.as_str().filter(|name| !name.is_empty()).unwrap_or("127.0.0.1"),
    };
    let count = input["handshakes"].as_u64().unwrap_or(1);
    let shaken: Vec<Shaken> = (0..count)
        .map(|_| site.shake(host, rustls::ALL_VERSIONS, Shown::default()))
        .collect();
    let heard = calls.lock().unwrap().clone();
    for (key, expected) in expect.as_object().into_iter().flatten() {
        let letters = || shaken.iter().map(|shaken| json!(named.letter(&shaken.served())));
        let found = match key.as_str() {
            "served" if expected.is_array() => letters().collect(),
            "served" => letters().next().unwrap_or_default(),
            "selector_calls" => json!(heard.len()),
            "name" => json!(heard.first().cloned().flatten()),
            "handshake" => json!(result_of(&shaken[0])),
            "server" => {
                site.shake(host, rustls::ALL_VERSIONS, Shown::default());
                let asked_again = calls.lock().unwrap().len() > heard.len();
                json!(if asked_again { "keeps running" } else { "asks no more" })
            }
            other => return Err(format!("unknown key {other}")),
        };
        same(key, &found, expected)?;
    }
    Ok(())
}

fn result_of(shaken: &Shaken) -> &'static str {
    if shaken.is_ok() { "ok" } else { "fails" }
}

/// A site with a certificate and whatever else.
fn site(change: impl FnOnce(&mut HttpsOptions)) -> Result<Site, stannel::ConfigurationError> {
    let plan = plan(|options| {
        options
            .listen_localhost(1)
            .use_https(certificate(&make(HOST)))
            .use_https_with(change);
    })?;
    Ok(Site::of(&plan))
}

fn offered(value: &Value, expect: &Value) -> Result<(), String> {
    let protocols = protocols(value)?;
    match plan(|options| {
        options
            .listen_localhost(1)
            .use_https(certificate(&make(HOST)))
            .protocols = protocols;
    }) {
        Ok(plan) => {
            same("error", &Value::Null, &expect["error"])?;
            same("alpn", &json!(alpn(&Site::of(&plan))), &expect["alpn"])
        }
        Err(error) => check_error(&error, expect),
    }
}

fn client_certificate(input: &Value, expect: &Value) -> Result<(), String> {
    let authority = Authority::new();
    let mut roots = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    roots
        .write_all(authority.pem().as_bytes())
        .map_err(|error| error.to_string())?;
    let shown = match input["client_certificate"].as_str() {
        None => None,
        Some("self-signed") => Some(make("client")),
        Some("valid") => Some(authority.issue("client")),
        Some(other) => return Err(format!("the client certificate {other}")),
    };
    let mode = mode(&input["mode"])?;
    let calls = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&calls);
    let answer = input["validation"].as_bool();
    let site = match site(|https| {
        https.client_certificate_mode = mode;
        https.client_certificate_roots = Some(ClientCertificateRoots::File(roots.path().into()));
        https.client_certificate_validation = answer.map(|answer| {
            ClientCertificateValidation::new(move |_, _| {
                *seen.lock().unwrap() += 1;
                answer
            })
        });
    }) {
        Ok(site) => site,
        Err(error) => return check_error(&error, expect),
    };
    for version in rustls::ALL_VERSIONS {
        *calls.lock().unwrap() = 0;
        let certificate = shown.as_ref();
        let shaken = site.shake(
            HOST,
            &[version],
            Shown {
                certificate,
                ..Shown::default()
            },
        );
        for (key, expected) in expect.as_object().into_iter().flatten() {
            let found = match key.as_str() {
                "handshake" => json!(result_of(&shaken)),
                "client_certificate" => match shaken.seen {
                    Some(0) | None => Value::Null,
                    Some(_) => json!("present"),
                },
                "asked_in_handshake" => json!(shaken.asked),
                "validation_called" if expected.is_boolean() => json!(*calls.lock().unwrap() > 0),
                "validation_called" => json!(*calls.lock().unwrap()),
                other => return Err(format!("unknown key {other}")),
            };
            same(&format!("{key} with {:?}", version.version), &found, expected)?;
        }
    }
    Ok(())
}

fn failing_client(what: &Value, expect: &Value) -> Result<(), String> {
    let what = what.as_str().unwrap_or_default();
    let site = site(|_| ()).map_err(|error| error.to_string())?;
    let bytes: &[u8] = match what {
        _ if what.contains("ten zero bytes") => &[0; 10],
        _ if what.contains("HTTP") => b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        _ if what.contains("nothing") || what.contains("closes") => b"",
        _ => return Err(format!("the client {what}")),
    };
    let (log, closed) = site.disappoint(bytes, what.contains("closes"));
    let of_handshakes: Vec<_> = log.iter().filter(|(_, text)| text.contains("handshake")).collect();
    for (key, expected) in expect.as_object().into_iter().flatten() {
        let found = match key.as_str() {
            "log" => {
                let (level, text) = of_handshakes.first().ok_or("nothing is logged")?;
                let event = text.split(' ').next().unwrap_or_default();
                json!(format!("{}, event {event}", level.as_str().to_lowercase()))
            }
            "error_logs" => json!(log.iter().filter(|(level, _)| *level == log::Level::Error).count()),
            "closed" => json!(closed),
            other => return Err(format!("unknown key {other}")),
        };
        same(key, &found, expected)?;
    }
    Ok(())
}

fn scheme(expect: &Value) -> Result<(), String> {
    let site = site(|_| ()).map_err(|error| error.to_string())?;
    let shaken = site.shake(HOST, rustls::ALL_VERSIONS, Shown::default());
    same("scheme", &json!(shaken.scheme), &expect["scheme"])
}
