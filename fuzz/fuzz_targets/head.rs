//! The quick and the exact reader of heads agree, and the exact one does not care how its input is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stannel::Rejection;
use stannel::http1::head::{HeadLimits, Scan, check};
use stannel_fuzz::Plan;

const SMALL: HeadLimits = HeadLimits {
    line: 64,
    fields_size: 128,
    fields: 4,
};

const USUAL: HeadLimits = HeadLimits {
    line: 8192,
    fields_size: 32768,
    fields: 100,
};

fuzz_target!(|data: &[u8]| {
    let Some(plan) = Plan::new(data) else { return };
    // Empty lines in front belong to the connection, not to the head.
    if matches!(plan.input.first(), Some(b'\r' | b'\n')) {
        return;
    }
    let limits = if plan.chooses(0) { &SMALL } else { &USUAL };
    let whole = check(plan.input, limits, &mut Vec::new());
    assert_eq!(scan(&plan, limits), whole);
    if let Ok(Some(len)) = whole {
        // A head ends where it ends, whatever comes behind it, and not a byte before.
        let mut scratch = Vec::new();
        assert_eq!(check(&plan.input[..len], limits, &mut scratch), Ok(Some(len)));
        assert_eq!(check(&plan.input[..len - 1], limits, &mut scratch), Ok(None));
    }
});

fn scan(plan: &Plan<'_>, limits: &HeadLimits) -> Result<Option<usize>, Rejection> {
    let mut scan = Scan::default();
    let mut scratch = Vec::new();
    let mut received = 0;
    for piece in plan.pieces() {
        received += piece.len();
        if let Some(len) = scan.advance(&plan.input[..received], limits, &mut scratch)? {
            return Ok(Some(len));
        }
    }
    Ok(None)
}
