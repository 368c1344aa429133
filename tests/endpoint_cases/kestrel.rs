//! The errors of a start, and which of endpoints and addresses counts.

use crate::{Case, Outcome, any_certificate, options, same, texts, urls};
use serde_json::{Value, json};
use stannel::{
    CertificateError, Configuration, ConfigurationError, EndpointError, EndpointPlan, EndpointSource, ListenOptions,
};

/// The cases' name of an error, and what its message has to name.
pub(crate) fn name(error: &ConfigurationError) -> &'static str {
    match error {
        ConfigurationError::MissingUrl { .. } => "missing-url",
        ConfigurationError::MultipleCertificateSources { .. } => "multiple-certificate-sources",
        ConfigurationError::UnusedHttpsConfig { .. } => "unused-https-config",
        ConfigurationError::SniNameEmpty { .. } => "sni-name-empty",
        ConfigurationError::InvalidUrl { error, .. }
        | ConfigurationError::Endpoint(EndpointError::Url { error, .. }) => urls::name(error),
        ConfigurationError::Endpoint(EndpointError::UnsupportedSetting { .. }) => "unsupported-setting",
        ConfigurationError::Endpoint(EndpointError::NoCertificate { .. }) => "no-certificate",
        ConfigurationError::Endpoint(EndpointError::CertificateRequired { .. }) => "certificate-required",
        ConfigurationError::Endpoint(EndpointError::Https { .. }) => "range",
        ConfigurationError::Endpoint(EndpointError::UnixPathNotAbsolute { .. }) => "unix-path-not-absolute",
        ConfigurationError::InvalidValue { .. } | ConfigurationError::EmptyEndpointName => "argument",
        ConfigurationError::DuplicateKey { .. } => "duplicate-key",
        ConfigurationError::Endpoint(
            EndpointError::Certificate { error, .. } | EndpointError::DefaultCertificate { error, .. },
        ) => of_certificate(error),
        _ => "another error",
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Unreadable { .. } => "file-not-found",
        CertificateError::BadPassword { .. } => "bad-password",
        CertificateError::InvalidKey { .. } => "invalid-key",
        CertificateError::NoPrivateKey { .. } => "no-private-key",
        CertificateError::NotForServers { .. } => "eku-not-server-auth",
        CertificateError::NotInStore { .. } => "certificate-not-found",
        CertificateError::Malformed { .. } | CertificateError::StoreUnavailable { .. } => "argument",
        _ => "another error",
    }
}

pub(crate) fn check_error(error: &ConfigurationError, expect: &Value) -> Result<(), String> {
    same("error", &Some(name(error)), &expect["error"].as_str())?;
    let message = error.to_string();
    for key in ["endpoint", "key"] {
        if let Some(named) = expect[key].as_str()
            && !message.contains(named)
        {
            return Err(format!("{message:?} does not name {named}"));
        }
    }
    Ok(())
}

pub(crate) fn precedence(case: &Case) -> Outcome {
    let (input, expect) = (&case.input, &case.expect);
    if input["addresses"]
        .as_array()
        .is_some_and(|addresses| addresses.contains(&Value::Null))
    {
        return Outcome::Skipped("Rust's types rule out a null text");
    }
    let has_certificate = input["default_certificate"].as_bool() == Some(true);
    let mut options = options();
    // An endpoint that is made by itself has a certificate of its own.
    if has_certificate || input["endpoints"].to_string().contains("https") {
        options.configure_https_defaults(|https| https.server_certificate = Some(any_certificate()));
    }
    for url in texts(&input["endpoints"]).iter().chain(&texts(&input["code"])) {
        options.listen_url(url).expect("a good URL");
    }
    let configured = texts(&input["configured"]);
    if !configured.is_empty() {
        let endpoints: serde_json::Map<String, Value> = configured
            .iter()
            .enumerate()
            .map(|(index, url)| (index.to_string(), json!({ "Url": url })))
            .collect();
        let text = json!({ "Kestrel": { "Endpoints": endpoints } }).to_string();
        let configuration = Configuration::builder()
            .add_json_text("a.json", text)
            .build()
            .expect("JSON");
        options.configure(configuration.section("Kestrel"));
    }
    options.urls = texts(&input["addresses"]);
    options.prefer_hosting_urls = input["prefer_hosting_urls"].as_bool() == Some(true);
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(error) => return check_error(&error, expect).into(),
    };
    check_precedence(&plan, expect).into()
}

fn check_precedence(plan: &EndpointPlan, expect: &Value) -> Result<(), String> {
    same("error", &None, &expect["error"].as_str())?;
    let mut bound: Vec<String> = plan.endpoints().iter().map(ToString::to_string).collect();
    if expect.get("bound").is_some() {
        same("bound", &bound, &texts(&expect["bound"]))?;
    }
    if expect.get("bound_set").is_some() {
        let mut expected = texts(&expect["bound_set"]);
        expected.sort();
        bound.sort();
        same("bound_set", &bound, &expected)?;
    }
    if let Some(from) = expect["bound_from"].as_str() {
        let is_address = |endpoint: &ListenOptions| matches!(endpoint.source(), EndpointSource::Urls { .. });
        let found = if plan.endpoints().iter().all(is_address) {
            "addresses"
        } else {
            "endpoints"
        };
        same("bound_from", &found, &from)?;
    }
    if let Some(https) = expect["https"].as_bool() {
        same(
            "https",
            &plan.endpoints().iter().all(|endpoint| endpoint.https().is_some()),
            &https,
        )?;
    }
    let told = plan
        .notes()
        .iter()
        .find(|note| note.text().starts_with("overriding ") || note.text().starts_with("no endpoints are configured"));
    if let Some(level) = expect.get("log") {
        let expected = level.as_str().map(crate::level);
        same("log", &told.map(|note| note.level()), &expected)?;
    }
    if let Some(lists) = expect["log_lists"].as_str() {
        same(
            "log_lists",
            &told.is_some_and(|note| note.text().contains(lists)),
            &true,
        )?;
    }
    Ok(())
}
