//! Chunked bodies: cutting the input differently changes neither data nor trailers nor the error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::Rejection;
use stannel::http1::chunked::{ChunkedDecoder, Limits, Piece};
use stannel::http1::trailers;
use stannel_fuzz::Plan;

const SMALL: Limits = Limits {
    max_body: Some(100),
    trailer_bytes: 40,
    trailer_fields: 2,
};

const USUAL: Limits = Limits {
    max_body: None,
    trailer_bytes: 32768,
    trailer_fields: 100,
};

/// What a body comes to, and how much of the input it took.
#[derive(Debug, PartialEq)]
struct Body {
    data: Vec<u8>,
    end: Result<Option<(usize, Vec<u8>)>, Rejection>,
}

fuzz_target!(|data: &[u8]| {
    let Some(plan) = Plan::new(data) else { return };
    let limits = if plan.chooses(0) { &SMALL } else { &USUAL };
    let whole = read(std::iter::once(plan.input), limits);
    assert_eq!(read(plan.pieces(), limits), whole);
    assert!(whole.data.len() <= plan.input.len());
    if let Some(most) = limits.max_body {
        assert!(whole.data.len() as u64 <= most);
    }
    if let Ok(Some((taken, lines))) = &whole.end {
        assert!(lines.len() <= limits.trailer_bytes && trailers::fields(lines).count() <= limits.trailer_fields);
        // What comes behind the end is not looked at.
        assert_eq!(read(std::iter::once(&plan.input[..*taken]), limits), whole);
        assert_eq!(read(std::iter::once(&plan.input[..taken - 1]), limits).end, Ok(None));
    }
});

fn read<'i>(pieces: impl Iterator<Item = &'i [u8]>, limits: &Limits) -> Body {
    let mut decoder = ChunkedDecoder::new();
    let (mut data, mut lines, mut taken) = (Vec::new(), Vec::new(), 0);
    for mut piece in pieces {
        loop {
            let (count, found) = match decoder.decode(piece, limits, &mut lines) {
                Ok(found) => found,
                Err(rejection) => {
                    assert_eq!(
                        decoder.decode(piece, limits, &mut lines),
                        Err(rejection),
                        "an error stays one"
                    );
                    let end = Err(rejection);
                    return Body { data, end };
                }
            };
            taken += count;
            piece = &piece[count..];
            match found {
                Piece::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(bytes);
                }
                Piece::NeedInput => {
                    assert!(piece.is_empty() && !decoder.is_complete());
                    break;
                }
                Piece::End => {
                    assert!(decoder.is_complete());
                    let end = Ok(Some((taken, lines)));
                    return Body { data, end };
                }
            }
        }
    }
    Body { data, end: Ok(None) }
}
