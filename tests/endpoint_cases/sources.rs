//! Layered configuration: what becomes of files, environment and command line.

use crate::{Case, logs, same, texts};
use serde_json::Value;
use stannel::{Configuration, ConfigurationBuilder, ConfigurationError};
use std::collections::BTreeMap;
use std::path::Path;

/// The cases' names of what can be wrong with a source.
fn name(error: &ConfigurationError) -> &'static str {
    match error {
        ConfigurationError::InvalidJson { .. } => "json-invalid",
        ConfigurationError::JsonNotObject { .. } => "json-not-object",
        ConfigurationError::DuplicateKey { .. } => "duplicate-key",
        ConfigurationError::NotASetting { .. } => "format",
        ConfigurationError::InvalidUrl { .. } => "invalid-url",
        _ => "another error",
    }
}

/// All keys with their values; `None` for a key without one.
fn keys(configuration: &Configuration) -> BTreeMap<String, Option<String>> {
    let without_value = configuration.to_string();
    let without_value = without_value.lines().filter_map(|line| {
        let (key, _) = line.split_once(" has no value (")?;
        Some((key.to_owned(), None))
    });
    let whole = configuration.section("");
    let with_value = whole.entries().map(|(key, value)| (key, Some(value.to_owned())));
    with_value.chain(without_value).collect()
}

fn check(case: &Case, configuration: Result<Configuration, ConfigurationError>) -> Result<(), String> {
    let expected_error = case.expect["error"].as_str();
    let configuration = match configuration {
        Ok(configuration) => configuration,
        Err(error) => return same("error", &Some(name(&error)), &expected_error),
    };
    same("error", &None, &expected_error)?;
    let expected = case.expect["keys"].as_object().ok_or("no keys are expected")?;
    let expected = expected
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned)))
        .collect();
    same("keys", &keys(&configuration), &expected)
}

pub(crate) fn json(case: &Case) -> Result<(), String> {
    let text = case.input.as_str().unwrap_or_default();
    check(case, Configuration::builder().add_json_text("case.json", text).build())
}

pub(crate) fn environment(case: &Case) -> Result<(), String> {
    let builder = Configuration::builder().set_environment(variables(&case.input["variables"]));
    let prefix = case.input["prefix"].as_str().unwrap_or_default();
    check(case, builder.add_environment_variables(prefix).build())
}

pub(crate) fn command_line(case: &Case) -> Result<(), String> {
    check(
        case,
        Configuration::builder().add_command_line(texts(&case.input)).build(),
    )
}

pub(crate) fn variables(value: &Value) -> Vec<(String, String)> {
    let variables = value.as_object().into_iter().flatten();
    variables
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

pub(crate) fn key_order(case: &Case) -> Result<(), String> {
    let keys = texts(&case.input);
    let builder = keys
        .iter()
        .fold(Configuration::builder(), |builder, key| builder.set(key, "x"));
    let configuration = builder.build().map_err(|error| error.to_string())?;
    let whole = configuration.section("");
    let found: Vec<String> = whole.entries().map(|(key, _)| key).collect();
    same("order", &found, &texts(&case.expect))
}

/// The default sources over an environment, arguments and an application file.
pub(crate) fn default_sources(
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    files: &[Value],
) -> Result<Configuration, ConfigurationError> {
    // No file of this folder counts.
    let empty = tempfile::tempdir().expect("a folder");
    sources_in(empty.path(), environment, arguments, files)
}

/// The same with this content root.
pub(crate) fn sources_in(
    root: &Path,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    files: &[Value],
) -> Result<Configuration, ConfigurationError> {
    let mut builder: ConfigurationBuilder = Configuration::builder()
        .set_base_path(root)
        .set_environment(environment)
        .add_default_sources(arguments)?;
    for (index, file) in files.iter().enumerate() {
        let path = root.join(format!("{index}.json"));
        std::fs::write(&path, file.to_string()).expect("a file");
        builder = builder.add_json_file_above_others(path);
    }
    builder.build()
}

fn addresses(configuration: &Configuration, use_urls: Option<&str>, urls: &[String]) -> Result<Vec<String>, String> {
    let mut options = configuration.server_options().map_err(|error| error.to_string())?;
    options.urls = urls.to_vec();
    if let Some(list) = use_urls {
        options.use_urls([list]);
    }
    // Addresses that are overridden are told as they are.
    options.listen_localhost(1);
    options.prefer_hosting_urls = false;
    let plan = options.plan().map_err(|error| error.to_string())?;
    let told = plan.notes().iter().find_map(|note| {
        let rest = note.text().strip_prefix("overriding the addresses ")?;
        rest.split_once("; binding to")
            .map(|(addresses, _)| addresses.to_owned())
    });
    Ok(told
        .iter()
        .flat_map(|told| told.split(", "))
        .map(str::to_owned)
        .collect())
}

pub(crate) fn urls_source(case: &Case) -> Result<(), String> {
    let input = &case.input;
    let mut environment = variables(&input["environment"]);
    for (key, value) in variables(&input["host_settings"]) {
        environment.push((format!("ASPNETCORE_{key}"), value));
    }
    let files: Vec<Value> = input.get("appsettings").cloned().into_iter().collect();
    let configuration =
        default_sources(environment, texts(&input["args"]), &files).map_err(|error| error.to_string())?;
    let before_start = texts(&input["address_list_before_start"]);
    let found = addresses(&configuration, input["use_urls"].as_str(), &before_start)?;
    same("addresses", &found, &texts(&case.expect["addresses"]))?;
    let Some(preference) = case.expect["prefer_hosting_urls"].as_bool() else {
        return Ok(());
    };
    let options = configuration.server_options().map_err(|error| error.to_string())?;
    same("prefer_hosting_urls", &options.prefer_hosting_urls, &preference)
}

pub(crate) fn http_ports(case: &Case) -> Result<(), String> {
    let environment = ["HTTP_PORTS", "HTTPS_PORTS", "urls"]
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), case.input[*key].as_str()?.to_owned())));
    let configuration = default_sources(environment.collect(), Vec::new(), &[]).map_err(|error| error.to_string())?;
    let mut options = configuration.server_options().map_err(|error| error.to_string())?;
    // Whoever is overridden is told, and needs no certificate.
    options.listen_localhost(1);
    logs::take();
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(error) => return same("error", &Some(name(&error)), &case.expect["error"].as_str()),
    };
    same("error", &None, &case.expect["error"].as_str())?;
    let warned = plan.notes().iter().any(|note| note.text().contains("_PORTS"));
    same("warning", &Some(warned), &case.expect["warning"].as_bool())?;
    same(
        "addresses",
        &addresses(&configuration, None, &[])?,
        &texts(&case.expect["addresses"]),
    )
}
