//! The page for users of Kestrel names nothing that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::words::{without_tests, words};

/// What is public by its declaration: functions, methods, fields, types and their variants.
#[derive(Default)]
struct Declared {
    names: BTreeSet<String>,
}

const KINDS: [&str; 7] = ["fn", "struct", "enum", "trait", "mod", "const", "type"];

impl Declared {
    fn of_the_crate() -> Self {
        let mut declared = Self::default();
        declared.read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        declared
    }

    fn read_folder(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.read_folder(&path);
            } else {
                self.read(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// Private types with public members are rare enough not to matter.
    fn read(&mut self, text: &str) {
        let words = without_tests(&words(text));
        let text = |at: usize| words.get(at).map_or("", |word| word.text.as_str());
        for at in 0..words.len() {
            if text(at) != "pub" || text(at + 1) == "(" {
                continue;
            }
            let kind = (at + 1..at + 4).rev().find(|&at| KINDS.contains(&text(at)));
            if let Some(kind) = kind {
                self.names.insert(text(kind + 1).to_owned());
                if matches!(text(kind), "enum" | "trait") {
                    self.read_members(words[kind + 1..].iter().map(|word| word.text.as_str()));
                }
            } else if text(at + 2) == ":" {
                self.names.insert(text(at + 1).to_owned());
            }
        }
    }

    /// The variants of an enum, the methods of a trait: names directly in its braces, or behind `fn` there.
    fn read_members<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        let (mut depth, mut before) = (0, "");
        for word in words {
            match word {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(word, "}" | ";") {
                return;
            }
            if depth == 1 && matches!(before, "{" | "," | "fn" | "}" | "]") {
                self.names.insert(word.to_owned());
            }
            before = word;
        }
    }
}

/// The texts in back quotes in a cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The paths of the crate that a quoted text names: `Type::member`, `Type`, `member`. Texts of other kinds (keys, URLs,
/// arguments, log targets) name none.
fn path(quoted: &str) -> Option<Vec<&str>> {
    let path = quoted.split('(').next().unwrap_or_default();
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_'))
    };
    let segments: Vec<&str> = path.split("::").collect();
    segments.iter().all(|name| is_name(name)).then_some(segments)
}

/// Texts that are no names of the crate: a value, crates and log targets, keys of the configuration and what they say.
const OTHERS: [&str; 11] = [
    "None",
    "default",
    "log",
    "stannel",
    "connections",
    "bad_requests",
    "Limits",
    "AddServerHeader",
    "Workers",
    "SslProtocols",
    "unix",
];

/// What is named in our column of the tables (the second one, and where it differs the last), and on lines of prose that
/// name a path.
fn names(page: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    for (number, line) in page.lines().enumerate() {
        if let Some(row) = line.strip_prefix("| ") {
            let cells: Vec<&str> = row.split(" | ").collect();
            let ours = cells.get(1..).unwrap_or_default();
            // In the table of differences the second column is Kestrel's.
            let ours = if page_part(page, number).starts_with("## Where it differs") {
                &ours[ours.len().min(1)..]
            } else {
                ours
            };
            names.extend(
                ours.iter()
                    .flat_map(|cell| quoted(cell))
                    .filter_map(path)
                    .flatten()
                    .map(|name| (number + 1, name)),
            );
        } else {
            let paths = quoted(line).filter(|text| text.contains("::")).filter_map(path);
            names.extend(paths.flatten().map(|name| (number + 1, name)));
        }
    }
    names
}

/// The heading above a line.
fn page_part(page: &str, number: usize) -> &str {
    let above = page.lines().take(number);
    above.filter(|line| line.starts_with("## ")).last().unwrap_or_default()
}

#[test]
fn everything_that_the_page_names_is_there() {
    let page = include_str!("../../docs/kestrel.md");
    let declared = Declared::of_the_crate();
    let named = names(page);
    assert!(named.len() > 100, "the tables are not found: {} names", named.len());
    let missing: Vec<String> = named
        .iter()
        .filter(|(_, name)| !OTHERS.contains(name) && !declared.names.contains(*name))
        .map(|(line, name)| format!("docs/kestrel.md:{line}: {name}"))
        .collect();
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn declarations_are_found() {
    let mut declared = Declared::default();
    declared.read(
        "pub struct A { pub b: u8, c: u8 } impl A { pub const fn d() {} pub(crate) fn e() {} fn f() {} }\n\
         pub enum G { #[default] H, I(u8), J { k: u8 } } pub trait L { fn m(&self) { let n = 1; } }\n\
         #[cfg(test)] mod tests { pub fn o() {} }",
    );
    for name in ["A", "b", "d", "G", "H", "I", "J", "L", "m"] {
        assert!(declared.names.contains(name), "{name}");
    }
    for name in ["c", "e", "f", "n", "o"] {
        assert!(!declared.names.contains(name), "{name}");
    }
}

#[test]
fn names_are_found() {
    let page =
        "| `X` | `A::b`, `c(d, e)`, `http://d`, `--e` |\ntext `F` and `G::h()`\n## Where it differs\n| i | `J` | `k` |";
    let names: Vec<&str> = names(page).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["A", "b", "c", "G", "h", "k"]);
}
