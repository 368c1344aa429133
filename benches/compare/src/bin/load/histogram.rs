//! Latencies in buckets whose width grows with the value: 1.6 % off at most, no allocation per sample.

pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self {
            counts: vec![0; (64 - STEP_BITS as usize + 1) << STEP_BITS],
            total: 0,
        }
    }

    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
    }

    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// The value that `part` (0.99 for the 99th percentile) of the samples do not exceed; zero without samples.
    pub fn percentile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return value(index);
            }
        }
        0
    }
}

fn bucket(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    ((shift as usize) << STEP_BITS) + (value >> shift) as usize
}

/// The lower end of a bucket.
fn value(bucket: usize) -> u64 {
    let shift = (bucket >> STEP_BITS).saturating_sub(1);
    ((bucket - (shift << STEP_BITS)) as u64) << shift
}

/// 64 steps for each doubling.
const STEP_BITS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_close_to_its_values() {
        for exponent in 0..63 {
            for sample in [
                1_u64 << exponent,
                (1 << exponent) + (1 << exponent) / 3,
                (2 << exponent) - 1,
            ] {
                let found = value(bucket(sample));
                assert!(
                    found <= sample && sample - found <= sample / 64,
                    "{sample} became {found}"
                );
            }
        }
        assert!(bucket(u64::MAX) < Histogram::new().counts.len());
    }

    #[test]
    fn percentiles_of_a_hundred() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|sample| histogram.record(sample));
        assert_eq!([0.5, 0.99, 1.0].map(|part| histogram.percentile(part)), [50, 99, 100]);
    }
}
