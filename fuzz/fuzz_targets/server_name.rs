//! Which host pattern counts for a name, beside a reader that is slow and plain.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::tls::HostPatterns;

// The first line is the name, the others are patterns.
fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let name = lines.next().unwrap_or_default();
    let lines: Vec<&str> = lines.collect();
    let patterns = HostPatterns::new(lines.iter().copied());
    let chosen = patterns.choose(Some(name));

    assert_eq!(patterns.choose(None), patterns.choose(Some("")));
    assert_eq!(patterns.choose(None), lines.iter().position(|&line| line == "*"));
    // Whatever a name is, it is itself, and what lies below it lies below it.
    let found = HostPatterns::new([name]).choose(Some(name));
    assert_eq!(found, (!name.is_empty()).then_some(0));
    let below = HostPatterns::new([format!("*.{name}").as_str()]);
    assert_eq!(below.choose(Some(&format!("a.b.{name}"))), Some(0));
    // Those behind the one that counts change nothing.
    if let Some(number) = chosen {
        assert!(number < lines.len());
        assert_eq!(HostPatterns::new([lines[number]]).choose(Some(name)), Some(0));
    }
    if text.is_ascii() {
        assert_eq!(chosen, plain(&lines, name));
        let shouted: Vec<String> = lines.iter().map(|line| line.to_uppercase()).collect();
        let shouted = HostPatterns::new(shouted.iter().map(String::as_str));
        assert_eq!(shouted.choose(Some(name)), chosen);
        assert_eq!(patterns.choose(Some(&name.to_uppercase())), chosen);
    }
});

/// By the book: the exact name, else the longest that it ends in, else the one for all; the first of those alike.
fn plain(patterns: &[&str], name: &str) -> Option<usize> {
    let all = patterns.iter().position(|&pattern| pattern == "*");
    if name.is_empty() {
        return all;
    }
    let name = name.to_lowercase();
    let patterns: Vec<String> = patterns.iter().map(|pattern| pattern.to_lowercase()).collect();
    let exact = patterns.iter().position(|pattern| {
        let is_literal = pattern != "*" && !pattern.starts_with("*.");
        is_literal && *pattern == name
    });
    let mut longest: Option<(usize, usize)> = None;
    for (number, pattern) in patterns.iter().enumerate() {
        let is_below = pattern.starts_with("*.") && name.ends_with(&pattern[1..]);
        if is_below && longest.is_none_or(|(length, _)| pattern.len() > length) {
            longest = Some((pattern.len(), number));
        }
    }
    exact.or(longest.map(|(_, number)| number)).or(all)
}
