//! The tests that documents name as proof are there.

use std::collections::BTreeSet;
use std::fs;

use super::root;

/// Documents with tables of proof, and how many rows these have at least.
const DOCUMENTS: &[(&str, usize)] = &[("docs/reliability.md", 110), ("SECURITY.md", 13)];

/// What a name in backticks is: `FILE::TEST`, or `http1-cases::CASE`.
const VECTORS: &str = "http1-cases";

#[test]
fn whatever_is_named_as_proof_is_there() {
    let vectors = fs::read_to_string(root().join("tests/http1-cases.json")).unwrap();
    let mut findings = Vec::new();
    for &(document, rows) in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let mut seen = 0;
        for (number, line) in text.lines().enumerate() {
            let names = named(line);
            seen += usize::from(line.starts_with('|') && !names.is_empty());
            for (place, name) in names {
                let is_there = if place == VECTORS {
                    has_vector(&vectors, name)
                } else {
                    fs::read_to_string(root().join(place)).is_ok_and(|file| tests_in(&file).contains(name))
                };
                if !is_there {
                    findings.push(format!("{document}:{}: there is no {place}::{name}", number + 1));
                }
            }
        }
        assert!(seen >= rows, "{document}: {seen} rows name a test");
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// The places and names in a line.
fn named(line: &str) -> Vec<(&str, &str)> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|text| text.split_once("::"))
        .filter(|(place, _)| *place == VECTORS || place.ends_with(".rs"))
        .collect()
}

fn has_vector(vectors: &str, id: &str) -> bool {
    vectors.contains(&format!("\"id\": \"{id}\""))
}

/// The functions behind `#[test]`, perhaps with other attributes between.
fn tests_in(text: &str) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            tests.extend(rest.split('(').next());
            is_test = false;
        }
    }
    tests
}

#[test]
fn names_and_tests_are_found() {
    let line = "| a | `tests/a.rs::b`, `http1-cases::c`, `Some::path`, `d` |";
    assert_eq!(named(line), [("tests/a.rs", "b"), (VECTORS, "c")]);
    assert!(has_vector("{\"id\": \"c\"}", "c") && !has_vector("{\"id\": \"c-1\"}", "c"));
    let text = "#[test]\n#[cfg(unix)]\nfn a() {}\nfn b() {}\nproptest! {\n    #[test]\n    fn c(x in 0..1) {}\n}";
    assert_eq!(tests_in(text), BTreeSet::from(["a", "c"]));
}
