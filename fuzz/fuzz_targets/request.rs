//! Whole requests: what a connection shows its handler, or refuses, is what a plain and slow reader written by the book
//! makes of the same bytes, however they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel_fuzz::Plan;

#[path = "../../tests/support/reference/mod.rs"]
mod reference;

use reference::{Event, LIMITS, request, served};

/// The choice of a plan: the usual limits, or small ones.
const USUAL_LIMITS: u8 = 0;

fuzz_target!(|data: &[u8]| {
    let Some(plan) = Plan::new(data) else { return };
    let limits = &LIMITS[usize::from(plan.chooses(USUAL_LIMITS))];
    let expected = request::read(plan.input, limits);
    assert_eq!(served::read(std::iter::once(plan.input), limits), expected);
    assert_eq!(served::read(plan.pieces(), limits), expected);
    // The beginning of what is not refused is not refused either.
    if !matches!(expected.last(), Some(Event::Refused(_))) {
        let end = plan.sizes().next().unwrap_or(1) % (plan.input.len() + 1);
        let begun = served::read(std::iter::once(&plan.input[..end]), limits);
        assert!(
            expected.starts_with(&begun),
            "{begun:?} at the beginning of {expected:?}"
        );
    }
});
