//! How long things took, in buckets whose width grows with the value. Hot path.
//!
//! Each power of two of nanoseconds is cut into 16 equal parts, so a percentile is wrong by at most 1/16 (the same idea as
//! HdrHistogram, with fixed memory: 8 KiB).

use std::cell::Cell;
use std::time::Duration;

/// Parts of each power of two, as a power of two.
const PARTS_LOG2: u32 = 4;
const PARTS: usize = 1 << PARTS_LOG2;
/// Values of 2^44 ns (5 hours) and more share the last bucket.
const POWERS: usize = 44;
const BUCKETS: usize = POWERS * PARTS;

/// Counts by duration.
pub(crate) struct Histogram {
    counts: Box<[Cell<u64>]>,
    max_ns: Cell<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| Cell::new(0)).collect(), max_ns: Cell::new(0) }
    }
}

impl Histogram {
    /// Counts one.
    #[inline]
    pub(crate) fn record(&self, duration: Duration) {
        self.record_many(duration, 1);
    }

    /// Counts several that took the same.
    #[inline]
    pub(crate) fn record_many(&self, duration: Duration, count: u64) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = &self.counts[bucket_of(nanoseconds)];
        bucket.set(bucket.get() + count);
        if nanoseconds > self.max_ns.get() {
            self.max_ns.set(nanoseconds);
        }
    }

    /// How many were counted, the largest, and the given percentiles, in nanoseconds.
    pub(crate) fn summary(&self) -> Summary {
        let count = self.counts.iter().map(Cell::get).sum();
        let at = |percent| self.percentile_ns(count, percent);
        Summary {
            count,
            p50_ns: at(50.0),
            p90_ns: at(90.0),
            p99_ns: at(99.0),
            p999_ns: at(99.9),
            max_ns: self.max_ns.get(),
        }
    }

    fn percentile_ns(&self, count: u64, percent: f64) -> u64 {
        let rank = ((count as f64) * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, cell) in self.counts.iter().enumerate() {
            seen += cell.get();
            if seen >= rank {
                return upper_bound_ns(bucket).min(self.max_ns.get());
            }
        }
        0
    }
}

/// Counts and percentiles of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub(crate) max_ns: u64,
}

fn bucket_of(nanoseconds: u64) -> usize {
    if nanoseconds < PARTS as u64 {
        return nanoseconds as usize;
    }
    let power = 63 - nanoseconds.leading_zeros();
    let part = (nanoseconds >> (power - PARTS_LOG2)) as usize & (PARTS - 1);
    ((power - PARTS_LOG2 + 1) as usize * PARTS + part).min(BUCKETS - 1)
}

fn upper_bound_ns(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let shift = bucket / PARTS - 1;
    ((PARTS + bucket % PARTS + 1) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_holds_it() {
        for power in 0..44 {
            for offset in [0, 1, 3] {
                let value = (1_u64 << power) + offset;
                let bucket = bucket_of(value);
                assert!(upper_bound_ns(bucket) >= value, "{value}");
                assert!(upper_bound_ns(bucket) <= value + value / 8 + 1, "{value}");
            }
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_within_a_sixteenth() {
        let histogram = Histogram::default();
        (1..=1_000).for_each(|us| histogram.record(Duration::from_micros(us)));
        let summary = histogram.summary();
        assert_eq!((summary.count, summary.max_ns), (1_000, 1_000_000));
        assert!((500_000..540_000).contains(&summary.p50_ns), "{summary:?}");
        assert!((990_000..=1_000_000).contains(&summary.p99_ns), "{summary:?}");
    }
}
