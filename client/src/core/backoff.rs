//! How long to wait before the next attempt.

use std::time::Duration;

/// `min` doubled with each failure up to `max`, then a random part of the upper half: clients cut off together do not
/// come back together.
pub(crate) fn backoff(failures: u32, min: Duration, max: Duration, random: u64) -> Duration {
    let doubled = min.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(max);
    let half = doubled / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_nanos(random % nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_maximum_and_stay_there() {
        let (min, max) = (Duration::from_millis(10), Duration::from_millis(500));
        for (failures, random) in (0..64).zip([0, 1, u64::MAX].into_iter().cycle()) {
            let wait = backoff(failures, min, max, random);
            assert!(wait >= min / 2 && wait <= max, "{failures} failures: {wait:?}");
        }
        assert!(backoff(60, min, max, 0) >= max / 2);
    }
}
