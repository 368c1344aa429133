//! Counts requests without reading them.

use memchr::memmem::Finder;

pub struct EmptyLines {
    finder: Finder<'static>,
}

impl EmptyLines {
    pub fn new() -> Self {
        Self {
            finder: Finder::new(EMPTY_LINE),
        }
    }

    /// Counts the empty lines that end in `input`; `begun` carries how many bytes of one ended the input before.
    pub fn count(&self, begun: &mut u8, input: &[u8]) -> u32 {
        let mut count = 0;
        let mut rest = input;
        if *begun > 0 {
            let missing = &EMPTY_LINE[usize::from(*begun)..];
            if input.starts_with(missing) {
                count += 1;
                rest = &input[missing.len()..];
            } else if missing.starts_with(input) {
                *begun += input.len() as u8;
                return 0;
            }
            *begun = 0;
        }
        while let Some(position) = self.finder.find(rest) {
            count += 1;
            rest = &rest[position + EMPTY_LINE.len()..];
        }
        if !rest.is_empty() {
            *begun = (1..EMPTY_LINE.len())
                .rev()
                .find(|&length| rest.ends_with(&EMPTY_LINE[..length]))
                .unwrap_or(0) as u8;
        }
        count
    }
}

const EMPTY_LINE: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_cutting_gives_the_same_count() {
        let input = b"GET / HTTP/1.1\r\nA: b\r\n\r\n\r\r\n\r\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let empty_lines = EmptyLines::new();
        for length in 1..=input.len() {
            let mut begun = 0;
            let count: u32 = input
                .chunks(length)
                .map(|piece| empty_lines.count(&mut begun, piece))
                .sum();
            assert_eq!((count, begun), (4, 0), "pieces of {length}");
        }
    }
}
