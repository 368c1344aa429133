//! The section `Kestrel`: what endpoints are made of it, and which certificates they get.

use crate::binding::{listen, port};
use crate::files::Files;
use crate::kestrel::check_error;
use crate::{Case, Outcome, same, sources, texts};
use serde_json::Value;
use stannel::{
    ClientCertificateMode, ConfigurationError, EndpointError, EndpointPlan, EndpointSource, HttpsOptions,
    ListenOptions, ServerOptions, SslProtocols,
};
use std::sync::{Arc, Mutex};

pub(crate) fn config(case: &Case) -> Outcome {
    let (input, expect) = (&case.input, &case.expect);
    let files = match Files::of(input) {
        Ok(files) => files,
        Err(why) => return Outcome::Failed(why),
    };
    let documents = input["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut variables = sources::variables(&input["environment"]);
    if let Some(name) = input["application"].as_str() {
        variables.push(("ASPNETCORE_APPLICATIONNAME".to_owned(), name.to_owned()));
    }
    let configuration = sources::sources_in(files.root(), variables, texts(&input["args"]), documents);
    let configuration = match configuration {
        Ok(configuration) => configuration,
        Err(error) => return check_error(&error, expect).into(),
    };
    let mut options = match configuration.server_options() {
        Ok(options) => options,
        Err(error) => return check_error(&error, expect).into(),
    };
    options.certificate_stores = Some(files.stores());
    let ran: Arc<Mutex<Vec<String>>> = Arc::default();
    let saw: Arc<Mutex<Option<HttpsOptions>>> = Arc::default();
    if let Err(unknown) = make_calls(&mut options, &input["code"], &ran, &saw) {
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
    let checked = check_config(&plan, &options, expect, &ran, &files);
    checked
        .and_then(|()| check_defaults(&options, expect, &files, saw.lock().unwrap().as_ref()))
        .into()
}

/// Calls before the load.
fn make_calls(
    options: &mut ServerOptions,
    calls: &Value,
    ran: &Arc<Mutex<Vec<String>>>,
    saw: &Arc<Mutex<Option<HttpsOptions>>>,
) -> Result<(), String> {
    for call in calls.as_array().into_iter().flatten() {
        match (call[0].as_str().unwrap_or_default(), &call[1], &call[2]) {
            ("ConfigureHttpsDefaults", settings, _) => {
                let protocols = settings["SslProtocols"].as_str().and_then(SslProtocols::from_text);
                let mode = settings["ClientCertificateMode"]
                    .as_str()
                    .and_then(ClientCertificateMode::from_text);
                let saw = Arc::clone(saw);
                options.configure_https_defaults(move |https| {
                    *saw.lock().unwrap() = Some(https.clone());
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

fn check_config(
    plan: &EndpointPlan,
    options: &ServerOptions,
    expect: &Value,
    ran: &[String],
    files: &Files,
) -> Result<(), String> {
    same("error", &None, &expect["error"].as_str())?;
    if let Some(expected) = expect["endpoints"].as_array() {
        let configured = |endpoint: &&ListenOptions| matches!(endpoint.source(), EndpointSource::Configuration { .. });
        let found: Vec<&ListenOptions> = plan.endpoints().iter().filter(configured).collect();
        same("number of endpoints", &found.len(), &expected.len())?;
        for (endpoint, expected) in found.into_iter().zip(expected) {
            check_endpoint(endpoint, expected, files)?;
        }
    }
    if let Some(expected) = expect["address_endpoints"].as_array() {
        for (endpoint, expected) in plan.endpoints().iter().zip(expected) {
            check_endpoint(endpoint, expected, files)?;
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

fn check_endpoint(endpoint: &ListenOptions, expected: &Value, files: &Files) -> Result<(), String> {
    let https = endpoint.https();
    for (key, expected) in expected.as_object().into_iter().flatten() {
        let found = match key.as_str() {
            "name" => Value::from(endpoint_name(endpoint)),
            "listen" => Value::from(listen(endpoint)),
            "port" => Value::from(port(endpoint)),
            "https" => Value::from(https.is_some()),
            "protocols" => Value::from(endpoint.protocols.to_string()),
            "ssl_protocols" => ssl_protocols(https.map(|https| https.ssl_protocols), expected),
            "client_certificate_mode" => Value::from(https.map(|https| https.client_certificate_mode.to_string())),
            "certificate" => files.certificate(https.and_then(|https| https.server_certificate.as_ref()), expected),
            "sni" => {
                check_sni(https.ok_or("no https")?, expected, files)?;
                continue;
            }
            "error" => Value::Null,
            other => return Err(format!("unknown key {other}")),
        };
        same(key, &found, expected)?;
    }
    Ok(())
}

fn check_sni(https: &HttpsOptions, expected: &Value, files: &Files) -> Result<(), String> {
    let expected = expected.as_object().ok_or("patterns are expected")?;
    let patterns: Vec<&str> = https.sni.iter().map(|sni| &*sni.pattern).collect();
    same("number of patterns", &patterns.len(), &expected.len())?;
    for (pattern, expected) in expected {
        let entry = https.sni.iter().find(|sni| sni.pattern == *pattern);
        let sni = entry.ok_or_else(|| format!("no {pattern} among {patterns:?}"))?;
        for (key, expected) in expected.as_object().into_iter().flatten() {
            let found = match key.as_str() {
                "protocols" => Value::from(sni.protocols.map(|protocols| protocols.to_string())),
                "ssl_protocols" => ssl_protocols(sni.ssl_protocols, expected),
                "client_certificate_mode" => Value::from(sni.client_certificate_mode.map(|mode| mode.to_string())),
                "certificate" => {
                    let source = sni.certificate.as_ref().or(https.server_certificate.as_ref());
                    files.certificate(source, expected)
                }
                other => return Err(format!("unknown key {other} of a pattern")),
            };
            same(&format!("{pattern}: {key}"), &found, expected)?;
        }
    }
    Ok(())
}

/// The versions as an array; that the library decides may be written in two ways.
fn ssl_protocols(found: Option<SslProtocols>, expected: &Value) -> Value {
    match found {
        None => Value::Null,
        Some(SslProtocols::NONE) if expected.is_null() => Value::Null,
        Some(SslProtocols::NONE) => Value::Array(Vec::new()),
        Some(versions) => versions.to_string().split(", ").map(str::to_owned).collect(),
    }
}

/// The default certificate, as an endpoint gets it that has none; and what the callback of HTTPS defaults was shown.
fn check_defaults(
    options: &ServerOptions,
    expect: &Value,
    files: &Files,
    saw: Option<&HttpsOptions>,
) -> Result<(), String> {
    if let Some(expected) = expect.get("default_certificate") {
        let mut options = options.clone();
        options.listen_localhost(1).use_https(());
        let found = match options.plan() {
            Ok(plan) => plan.endpoints()[0]
                .https()
                .and_then(|https| https.server_certificate.clone()),
            Err(ConfigurationError::Endpoint(EndpointError::NoCertificate { .. })) => None,
            Err(error) => return Err(error.to_string()),
        };
        let path = found.and_then(|source| Some(files.shown(source.files().first()?)));
        same("default_certificate", &path.as_deref(), &expected.as_str())?;
    }
    for (key, expected) in expect["code_defaults_saw"].as_object().into_iter().flatten() {
        let saw = saw.ok_or("the callback was not called")?;
        let found = match key.replace('_', "").to_ascii_lowercase().as_str() {
            "sslprotocols" => ssl_protocols(Some(saw.ssl_protocols), expected),
            "clientcertificatemode" => Value::from(saw.client_certificate_mode.to_string()),
            "certificate" | "servercertificate" => files.certificate(saw.server_certificate.as_ref(), expected),
            other => return Err(format!("unknown key {other} of code_defaults_saw")),
        };
        let expected = match expected {
            Value::String(text) if found.is_array() => &Value::from(vec![text.clone()]),
            other => other,
        };
        same(key, &found, expected)?;
    }
    Ok(())
}
