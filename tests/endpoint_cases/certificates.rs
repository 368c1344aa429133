//! Kinds `store-match` and `dev-cert`: which certificate is taken from a store.

use super::{Case, same};
use serde_json::Value;
use stannel::certificate::{Candidate, Subject, Unfit, choose_by_subject, choose_development};
use std::time::{Duration, SystemTime};

pub(crate) fn store_match(case: &Case) -> Result<(), String> {
    let certificates = items(&case.input["certificates"]);
    let candidates: Vec<Candidate> = certificates.iter().map(candidate).collect();
    let trusted = |at: usize| match certificates[at]["trusted"].as_bool() {
        Some(true) => Ok(()),
        _ => Err("its root is not".to_owned()),
    };
    let text = case.input["subject"].as_str().unwrap_or_default();
    let allow_invalid = case.input["allow_invalid"].as_bool().unwrap_or_default();
    let chosen = choose_by_subject(&candidates, text, allow_invalid, date("2025-07-01"), trusted);
    let found = match &chosen {
        Ok(at) => certificates[*at]["id"].as_str(),
        Err(_) => Some("certificate-not-found"),
    };
    let expected = case.expect["chosen"].as_str().or(case.expect["error"].as_str());
    same("chosen", &found, &expected)
}

pub(crate) fn dev_cert(case: &Case) -> Result<(), String> {
    let certificates = items(&case.input["my_current_user"]);
    let candidates: Vec<Candidate> = certificates.iter().map(development_candidate).collect();
    let (chosen, _) = choose_development(&candidates, date("2025-07-01"));
    let found = chosen.and_then(|at| certificates[at]["id"].as_str());
    same("chosen", &found, &case.expect["chosen"].as_str())
}

fn candidate(certificate: &Value) -> Candidate {
    let text = |key: &str| certificate[key].as_str().unwrap_or_default();
    Candidate {
        subject: subject(text("subject")),
        not_before: date(text("not_before")),
        not_after: date(text("not_after")),
        is_for_servers: certificate["eku"]
            .as_str()
            .is_none_or(|usages| usages.contains("serverAuth")),
        development_version: None,
        private_key: private_key(&certificate["private_key"]),
    }
}

fn development_candidate(certificate: &Value) -> Candidate {
    let is_valid = certificate["valid_now"].as_bool().unwrap_or_default();
    let version = certificate["version"].as_u64().unwrap_or_default();
    let marked = certificate["marker"].as_bool().unwrap_or_default();
    Candidate {
        subject: subject(certificate["subject"].as_str().unwrap_or_default()),
        not_before: date("2020-01-01"),
        not_after: date(if is_valid { "2030-01-01" } else { "2021-01-01" }),
        is_for_servers: true,
        development_version: marked.then(|| u8::try_from(version).expect("a version is a byte")),
        private_key: private_key(&certificate["key"]),
    }
}

/// There, unless it is said not to be.
fn private_key(value: &Value) -> Result<(), Unfit> {
    match value.as_bool() {
        Some(false) => Err(Unfit::NoPrivateKey),
        _ => Ok(()),
    }
}

fn items(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// .NET's text of a subject, which has the last attribute of the encoding first.
fn subject(text: &str) -> Subject {
    let attributes = text.split(", ").filter_map(|attribute| attribute.split_once('='));
    let mut attributes: Vec<_> = attributes.collect();
    attributes.reverse();
    Subject::new(attributes)
}

fn date(text: &str) -> SystemTime {
    let parts: Vec<u64> = text.split('-').map(|part| part.parse().expect("a date")).collect();
    let [year, month, day] = parts[..] else {
        panic!("{text} is no date");
    };
    // Whole months are exact enough to compare dates that are weeks apart.
    SystemTime::UNIX_EPOCH + Duration::from_secs((((year - 1970) * 12 + month - 1) * 31 + day - 1) * 86_400)
}
