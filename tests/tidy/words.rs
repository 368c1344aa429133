//! Cuts Rust code into words, well enough to see which names it uses.

/// A path with all its segments, or one character of punctuation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Cuts code into words. `use a::{b, c::D}` gives the words `a::b` and `a::c::D`.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let code: Vec<char> = code_only(text).chars().collect();
    let part_of_name = |at: usize| code.get(at).is_some_and(|char| char.is_alphanumeric() || *char == '_');
    let separator = |at: usize| code.get(at) == Some(&':') && code.get(at + 1) == Some(&':');
    let mut words = Vec::new();
    let mut path: Vec<String> = Vec::new();
    // For every open brace how many segments the words inside begin with: none, but in a `use` group.
    let mut groups = vec![0];
    let mut prefix: Vec<String> = Vec::new();
    let (mut line, mut at) = (1, 0);
    while at < code.len() {
        if part_of_name(at) {
            let start = at;
            while part_of_name(at) {
                at += 1;
            }
            path.push(code[start..at].iter().collect());
            let mut next = at;
            while code.get(next).is_some_and(|char| char.is_whitespace()) {
                next += 1;
            }
            if !separator(next) {
                words.push(Word {
                    line,
                    text: joined(&prefix, &path),
                });
                path.clear();
            }
            continue;
        }
        match code[at] {
            '\n' => line += 1,
            char if char.is_whitespace() => {}
            ':' if separator(at) => at += 1,
            '{' => {
                groups.push(path.len());
                prefix.append(&mut path);
                words.push(Word {
                    line,
                    text: "{".to_owned(),
                });
            }
            '!' if code.get(at + 1) == Some(&'=') => {
                words.push(Word {
                    line,
                    text: "!=".to_owned(),
                });
                at += 1;
            }
            char => {
                // `a::*` and `a::<T>` name `a`.
                if !path.is_empty() {
                    words.push(Word {
                        line,
                        text: joined(&prefix, &path),
                    });
                    path.clear();
                }
                if char == '}' && groups.len() > 1 {
                    prefix.truncate(prefix.len() - groups.pop().unwrap_or(0));
                }
                words.push(Word {
                    line,
                    text: char.to_string(),
                });
            }
        }
        at += 1;
    }
    words
}

fn joined(prefix: &[String], path: &[String]) -> String {
    [prefix, path].concat().join("::")
}

/// Leaves out every item under `#[cfg(test)]`: up to its closing brace, or to its semicolon if that comes first.
pub(crate) fn without_tests(words: &[Word]) -> Vec<Word> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let here = words[at..].iter().map(|word| word.text.as_str());
        if !here.take(ATTRIBUTE.len()).eq(ATTRIBUTE) {
            kept.push(words[at].clone());
            at += 1;
            continue;
        }
        at += ATTRIBUTE.len();
        let mut depth = 0;
        while at < words.len() {
            match words[at].text.as_str() {
                "{" | "(" | "[" => depth += 1,
                // The end of what surrounds the item.
                "}" if depth == 0 => break,
                "}" if depth == 1 => {
                    at += 1;
                    break;
                }
                "}" | ")" | "]" => depth -= 1,
                ";" if depth == 0 => {
                    at += 1;
                    break;
                }
                _ => {}
            }
            at += 1;
        }
    }
    kept
}

/// The text with comments, strings and character literals blanked; lines stay where they are.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at),
            '\'' => char_end(&chars, at).unwrap_or(at),
            'r' if !code.ends_with(|char: char| char.is_alphanumeric() && char != 'b' && char != 'c') => {
                raw_string_end(&chars, at).unwrap_or(at)
            }
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.push(' ');
            code.extend(chars[at..end].iter().filter(|char| **char == '\n'));
            at = end;
        }
    }
    code
}

fn line_end(chars: &[char], start: usize) -> usize {
    chars[start..]
        .iter()
        .position(|char| *char == '\n')
        .map_or(chars.len(), |length| start + length)
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `'x'` or `'\n'`; none for a lifetime.
fn char_end(chars: &[char], start: usize) -> Option<usize> {
    match chars.get(start + 1)? {
        '\\' => {
            let length = chars.get(start + 3..)?.iter().position(|char| *char == '\'')?;
            Some(start + 3 + length + 1)
        }
        _ => (chars.get(start + 2) == Some(&'\'')).then_some(start + 3),
    }
}

/// The end of `r"..."` or `r#"..."#`; none for a name that begins with `r`.
fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|char| **char == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes =
        |at: &usize| chars[*at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    Some(
        (open + 1..chars.len())
            .find(closes)
            .map_or(chars.len(), |at| at + 1 + hashes),
    )
}

mod lexer {
    use super::*;

    fn texts(code: &str) -> Vec<String> {
        words(code).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn use_groups_are_spelled_out() {
        assert_eq!(
            texts("use a::{b, c::{D, e}, self};"),
            [
                "use", "{", "a::b", ",", "{", "a::c::D", ",", "a::c::e", "}", ",", "a::self", "}", ";"
            ]
        );
        assert_eq!(texts("a::{b}; c { d }"), ["{", "a::b", "}", ";", "c", "{", "d", "}"]);
        assert_eq!(texts("a ::\n b(c: d)"), ["a::b", "(", "c", ":", "d", ")"]);
        assert_eq!(
            texts("use a::b::*; C::<d>::e()"),
            ["use", "a::b", "*", ";", "C", "<", "d", ">", "e", "(", ")"]
        );
        assert_eq!(texts("a!(b) != !c"), ["a", "!", "(", "b", ")", "!=", "!", "c"]);
    }

    #[test]
    fn comments_strings_and_chars_are_no_code() {
        assert_eq!(code_only("a // mio\nb"), "a  \nb");
        assert_eq!(code_only("a /* x /* y\n */ z */ b"), "a  \n b");
        assert_eq!(code_only(r#"f("mio \" {") g"#), "f( ) g");
        assert_eq!(code_only("f(r#\"mio \" {\"#) g"), "f( ) g");
        assert_eq!(code_only("f(br\"{\\\") g"), "f(b ) g");
        assert_eq!(
            code_only(r"['{', '\'', '\u{7b}', b'\\'] &'a str"),
            "[ ,  ,  , b ] &'a str"
        );
        assert_eq!(code_only("for r in err"), "for r in err");
    }
}
