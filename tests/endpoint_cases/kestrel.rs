//! The section `Kestrel`, and which of endpoints and addresses counts.

use crate::binding::{listen, port};
use crate::{Case, NEEDS_CERTIFICATES, Outcome, same, sources, texts, urls};
use serde_json::{Value, json};
use stannel::{
    CertificateSource, ClientCertificateMode, Configuration, ConfigurationError, EndpointError, EndpointPlan,
    EndpointSource, ListenOptions, ServerOptions, SslProtocols,
};
use std::sync::{Arc, Mutex};

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
        ConfigurationError::Endpoint(EndpointError::UnixPathNotAbsolute { .. }) => "unix-path-not-absolute",
        ConfigurationError::InvalidValue { .. } | ConfigurationError::EmptyEndpointName => "argument",
        ConfigurationError::DuplicateKey { .. } => "duplicate-key",
        _ => "another error",
    }
}

const ABOUT_CERTIFICATES: [&str; 7] = [
    "bad-password",
    "invalid-key",
    "no-private-key",
    "certificate-not-found",
    "eku-not-server-auth",
    "certificate-required",
    "file-not-found",
];

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
    let mut options = ServerOptions::default();
    // An endpoint that is made by itself has a certificate of its own.
    if has_certificate || input["endpoints"].to_string().contains("https") {
        options.configure_https_defaults(|https| {
            https.server_certificate = Some(CertificateSource::pem("any.pem", "any.key"));
        });
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

pub(crate) fn config(case: &Case) -> Outcome {
    let (input, expect) = (&case.input, &case.expect);
    let error = expect["error"].as_str();
    let reads_certificates = input.get("files").is_some()
        || input.get("store").is_some()
        || expect.get("default_certificate").is_some()
        || input["development_certificate"] == true && error.is_none()
        || error.is_some_and(|error| ABOUT_CERTIFICATES.contains(&error));
    if reads_certificates {
        return Outcome::Skipped(NEEDS_CERTIFICATES);
    }
    let documents = input["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let configuration = sources::default_sources(
        sources::variables(&input["environment"]),
        texts(&input["args"]),
        documents,
    );
    let configuration = match configuration {
        Ok(configuration) => configuration,
        Err(error) => return check_error(&error, expect).into(),
    };
    let mut options = match configuration.server_options() {
        Ok(options) => options,
        Err(error) => return check_error(&error, expect).into(),
    };
    let ran: Arc<Mutex<Vec<String>>> = Arc::default();
    if let Err(unknown) = make_calls(&mut options, &input["code"], &ran) {
        return Outcome::Failed(unknown);
    }
    if let Some(section) = expect["callback_section"].as_object() {
        let ran = Arc::clone(&ran);
        let keys: Vec<String> = section.keys().cloned().collect();
        let mut again = options.clone();
        let loader = again.configure(configuration.section("Kestrel"));
        for endpoint in configuration.section("Kestrel:Endpoints").children() {
            let (ran, keys) = (Arc::clone(&ran), keys.clone());
            loader.endpoint(endpoint.key(), move |endpoint| {
                let found = keys
                    .iter()
                    .map(|key| (key.clone(), Value::from(endpoint.section().get(key))));
                ran.lock().unwrap().push(Value::Object(found.collect()).to_string());
            });
        }
        if let Err(error) = again.load() {
            return Outcome::Failed(error.to_string());
        }
    }
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(error) => return check_error(&error, expect).into(),
    };
    let ran = ran.lock().unwrap().clone();
    check_config(&plan, &options, expect, &ran).into()
}

/// Calls before the load.
fn make_calls(options: &mut ServerOptions, calls: &Value, ran: &Arc<Mutex<Vec<String>>>) -> Result<(), String> {
    for call in calls.as_array().into_iter().flatten() {
        match (call[0].as_str().unwrap_or_default(), &call[1], &call[2]) {
            ("ConfigureHttpsDefaults", settings, _) => {
                let protocols = settings["SslProtocols"].as_str().and_then(SslProtocols::from_text);
                let mode = settings["ClientCertificateMode"]
                    .as_str()
                    .and_then(ClientCertificateMode::from_text);
                options.configure_https_defaults(move |https| {
                    https.ssl_protocols = protocols.unwrap_or(https.ssl_protocols);
                    https.client_certificate_mode = mode.unwrap_or(https.client_certificate_mode);
                });
            }
            ("Endpoint", Value::String(name), Value::String(callback)) => {
                let configuration = options.configuration().cloned().ok_or("no configuration")?;
                let (ran, callback) = (Arc::clone(ran), callback.clone());
                let loader = match options.loader_mut() {
                    Some(loader) => loader,
                    None => options.configure(configuration.section("Kestrel")),
                };
                loader.endpoint(name.as_str(), move |_| ran.lock().unwrap().push(callback.clone()));
            }
            (other, ..) => return Err(format!("unknown call {other}")),
        }
    }
    Ok(())
}

fn check_config(plan: &EndpointPlan, options: &ServerOptions, expect: &Value, ran: &[String]) -> Result<(), String> {
    same("error", &None, &expect["error"].as_str())?;
    if let Some(expected) = expect["endpoints"].as_array() {
        let configured = |endpoint: &&ListenOptions| matches!(endpoint.source(), EndpointSource::Configuration { .. });
        let found: Vec<&ListenOptions> = plan.endpoints().iter().filter(configured).collect();
        same("number of endpoints", &found.len(), &expected.len())?;
        for (endpoint, expected) in found.into_iter().zip(expected) {
            check_endpoint(endpoint, expected)?;
        }
    }
    if let Some(expected) = expect["address_endpoints"].as_array() {
        for (endpoint, expected) in plan.endpoints().iter().zip(expected) {
            check_endpoint(endpoint, expected)?;
        }
    }
    if expect.get("endpoint_order").is_some() {
        let names: Vec<String> = plan.endpoints().iter().map(endpoint_name).collect();
        same("endpoint_order", &names, &texts(&expect["endpoint_order"]))?;
    }
    if let Some(expected) = expect["later_code_endpoint_protocols"].as_str() {
        let mut options = options.clone();
        options.load().map_err(|error| error.to_string())?;
        let later = options.listen_localhost(1).protocols.to_string();
        same("later_code_endpoint_protocols", &later.as_str(), &expected)?;
    }
    for warned in texts(&expect["warns"]) {
        let is_told = plan.notes().iter().any(|note| note.text().contains(&warned));
        same(&format!("warning of {warned}"), &is_told, &true)?;
    }
    if expect.get("callbacks_run").is_some() {
        same("callbacks_run", &ran.to_vec(), &texts(&expect["callbacks_run"]))?;
    }
    if let Some(expected) = expect["named_callback_ran"].as_bool() {
        same("named_callback_ran", &!ran.is_empty(), &expected)?;
    }
    if let Some(section) = expect.get("callback_section") {
        same("callback_section", &ran.to_vec(), &vec![section.to_string()])?;
    }
    if let Some(expected) = expect["add_server_header"].as_bool() {
        same("add_server_header", &options.add_server_header, &expected)?;
    }
    if let Some(expected) = expect["limits_changed"].as_bool() {
        same(
            "limits_changed",
            &(options.limits != stannel::Limits::default()),
            &expected,
        )?;
    }
    Ok(())
}

fn endpoint_name(endpoint: &ListenOptions) -> String {
    match endpoint.source() {
        EndpointSource::Configuration { name, .. } => name.clone(),
        other => other.to_string(),
    }
}

fn check_endpoint(endpoint: &ListenOptions, expected: &Value) -> Result<(), String> {
    for (key, expected) in expected.as_object().into_iter().flatten() {
        let found = match key.as_str() {
            "name" => Value::from(endpoint_name(endpoint)),
            "listen" => Value::from(listen(endpoint)),
            "port" => Value::from(port(endpoint)),
            "https" => Value::from(endpoint.https().is_some()),
            "protocols" => Value::from(endpoint.protocols.to_string()),
            "error" => Value::Null,
            other => return Err(format!("unknown key {other}")),
        };
        same(key, &found, expected)?;
    }
    Ok(())
}
