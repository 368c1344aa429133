//! Request heads: whole ones by the quick reader, and what a head costs that came in two pieces.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stannel::http1::head::{HeadLimits, Scan, check};

use requests::{BROWSER, SMALL, TECHEMPOWER};

#[path = "../tests/support/requests.rs"]
mod requests;

const LIMITS: HeadLimits = HeadLimits {
    line: 8192,
    fields_size: 32768,
    fields: 100,
};

fn head_parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head_parse");
    let mut scratch = Vec::new();
    let encoded = TECHEMPOWER.replace("/plaintext", "/caf%C3%A9/./menu");
    for (name, head) in [
        ("small", SMALL),
        ("techempower", TECHEMPOWER),
        ("browser", BROWSER),
        ("encoded_path", &encoded),
    ] {
        let bytes = head.as_bytes();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let len = check(black_box(bytes), &LIMITS, &mut scratch);
                assert_eq!(len, Ok(Some(bytes.len())));
            });
        });
    }
    let bytes = BROWSER.as_bytes();
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("browser_in_two_pieces", |bencher| {
        bencher.iter(|| {
            let mut scan = Scan::default();
            let first = scan.advance(black_box(&bytes[..bytes.len() / 2]), &LIMITS, &mut scratch);
            assert_eq!(first, Ok(None));
            let len = scan.advance(black_box(bytes), &LIMITS, &mut scratch);
            assert_eq!(len, Ok(Some(bytes.len())));
        });
    });
    group.finish();
}

criterion_group!(benches, head_parse);
criterion_main!(benches);
