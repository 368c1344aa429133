//! Names with letters beyond ASCII, as DNS knows them: RFC 3492, after small letters; no tables of IDNA.

/// The longest label of DNS; RFC 1035 §2.3.4. It bounds the work, which grows with the square of a label's length.
const LONGEST: usize = 63;

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const INITIAL_N: u32 = 128;
const PREFIX: &str = "xn--";

/// A host name as it is sent: every label with other letters than ASCII in small letters and encoded, the others as they
/// are. A label that is too long for DNS stays as it is.
///
/// RFC 3490 §3.1: the dots of Chinese and Japanese writing separate labels too.
pub(crate) fn to_ascii(name: &str) -> String {
    if name.is_ascii() {
        return name.to_owned();
    }
    let labels: Vec<String> = name
        .split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'])
        .map(label_to_ascii)
        .collect();
    labels.join(".")
}

fn label_to_ascii(label: &str) -> String {
    let small = label.to_lowercase();
    if label.is_ascii() || small.chars().count() > LONGEST {
        return label.to_owned();
    }
    format!("{PREFIX}{}", encode(&small))
}

/// What a label that begins with `xn--`, in any case, stands for; `None` for a label that does not, or is wrong.
pub(crate) fn label_to_unicode(label: &str) -> Option<String> {
    let (prefix, rest) = label.split_at_checked(PREFIX.len())?;
    if label.len() > LONGEST || !prefix.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    decode(rest)
}

/// RFC 3492 §6.3. At most [`LONGEST`] characters, so nothing comes near the end of `u32`.
fn encode(label: &str) -> String {
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = count(&out);
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut done) = (INITIAL_N, 0, INITIAL_BIAS, basic);
    while let Some(next) = label.chars().map(u32::from).filter(|&c| c >= n).min() {
        delta += (next - n) * (done + 1);
        n = next;
        for c in label.chars().map(u32::from) {
            if c < n {
                delta += 1;
            } else if c == n {
                push_number(delta, bias, &mut out);
                bias = adapt(delta, done + 1, done == basic);
                delta = 0;
                done += 1;
            }
        }
        delta += 1;
        n += 1;
    }
    out
}

/// RFC 3492 §6.2.
fn decode(text: &str) -> Option<String> {
    let (basic, extended) = text.rsplit_once('-').unwrap_or(("", text));
    // A delimiter stands behind letters, or not at all.
    if !text.is_ascii() || extended.is_empty() || (basic.is_empty() && text.starts_with('-')) {
        return None;
    }
    let mut chars: Vec<char> = basic.chars().collect();
    let mut digits = extended.bytes();
    let (mut n, mut i, mut bias) = (INITIAL_N, 0_u32, INITIAL_BIAS);
    while digits.len() > 0 {
        let before = i;
        let (mut weight, mut k) = (1_u32, BASE);
        loop {
            let digit = digit_of(digits.next()?)?;
            i = i.checked_add(digit.checked_mul(weight)?)?;
            let threshold = threshold(k, bias);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(BASE - threshold)?;
            k += BASE;
        }
        let points = u32::try_from(chars.len()).ok()? + 1;
        bias = adapt(i - before, points, before == 0);
        n = n.checked_add(i / points)?;
        i %= points;
        chars.insert(usize::try_from(i).ok()?, char::from_u32(n)?);
        i += 1;
    }
    Some(chars.into_iter().collect())
}

/// A number in digits of varying weight, the least first.
fn push_number(mut number: u32, bias: u32, out: &mut String) {
    let mut k = BASE;
    loop {
        let threshold = threshold(k, bias);
        if number < threshold {
            out.push(digit(number));
            return;
        }
        out.push(digit(threshold + (number - threshold) % (BASE - threshold)));
        number = (number - threshold) / (BASE - threshold);
        k += BASE;
    }
}

const fn threshold(k: u32, bias: u32) -> u32 {
    if k <= bias + T_MIN {
        T_MIN
    } else if k >= bias + T_MAX {
        T_MAX
    } else {
        k - bias
    }
}

/// RFC 3492 §6.1.
const fn adapt(delta: u32, points: u32, is_first: bool) -> u32 {
    let mut delta = delta / if is_first { DAMP } else { 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

/// `a` to `z`, then `0` to `9`.
fn digit(value: u32) -> char {
    char::from_digit((value + 10) % BASE, BASE).unwrap_or_default()
}

fn digit_of(byte: u8) -> Option<u32> {
    let value = char::from(byte).to_digit(BASE)?;
    Some((value + BASE - 10) % BASE)
}

fn count(ascii: &str) -> u32 {
    u32::try_from(ascii.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, PREFIX, label_to_unicode, to_ascii};
    use proptest::prelude::{ProptestConfig, proptest};

    #[test]
    fn names_in_both_forms() {
        for (name, ascii) in [
            ("bücher", "xn--bcher-kva"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("點看", "xn--c1yn36f"),
            ("пример", "xn--e1afmkfd"),
            ("faß", "xn--fa-hia"),
            ("☃", "xn--n3h"),
            ("💩.la", "xn--ls8h.la"),
            ("日本語。jp", "xn--wgv71a119e.jp"),
            ("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"),
            ("-> $1.00 é <-", "-> $1.xn--00  <--dva"),
        ] {
            assert_eq!(to_ascii(name), ascii, "{name}");
            for (label, encoded) in name.split(['.', '。']).zip(ascii.split('.')) {
                if encoded.starts_with(PREFIX) {
                    assert_eq!(label_to_unicode(encoded).as_deref(), Some(label), "{encoded}");
                }
            }
        }
    }

    #[test]
    fn capital_letters_are_made_small_only_where_a_label_is_encoded() {
        for (name, ascii) in [
            ("BÜCHER.Example", "xn--bcher-kva.Example"),
            ("Example.COM", "Example.COM"),
            ("*.BÜCHER", "*.xn--bcher-kva"),
            ("", ""),
            ("..", ".."),
        ] {
            assert_eq!(to_ascii(name), ascii, "{name}");
        }
        assert_eq!(label_to_unicode("XN--BCHER-KVA").as_deref(), Some("BüCHER"));
    }

    #[test]
    fn what_is_no_punycode_is_not_decoded() {
        let long = format!("xn--{}-kva", "a".repeat(60));
        for label in [
            "",
            "xn--",
            "bcher-kva",
            "xn-bcher",
            "xn--bücher-kva",
            "xn---kva",
            "xn--bcher-kv",
            "xn--bcher-kv_",
            "xn--99999999",
            "xn--zzzzzzzzzzzzzzzzzzzzzzzz",
            "xn--a-",
            &long,
        ] {
            assert_eq!(label_to_unicode(label), None, "{label}");
        }
    }

    #[test]
    fn what_is_too_long_for_dns_is_left_alone() {
        let fits = "é".repeat(LONGEST);
        assert!(to_ascii(&fits).is_ascii());
        let longer = "é".repeat(LONGEST + 1);
        assert_eq!(to_ascii(&longer), longer);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn one_form_leads_to_the_other(label in "[a-z0-9-]{0,20}[\u{80}-\u{10ffff}]{1,12}[a-z]{0,5}") {
            let small = label.to_lowercase();
            let ascii = to_ascii(&label);
            if ascii.starts_with(PREFIX) && ascii.len() <= LONGEST && !small.contains(['\u{3002}', '\u{ff0e}', '\u{ff61}']) {
                assert_eq!(label_to_unicode(&ascii), Some(small));
            }
        }

        #[test]
        fn nothing_breaks_the_decoder(label in "xn--[ -~é]{0,70}") {
            let _ = label_to_unicode(&label);
        }
    }
}
