//! The system's clocks and glommio's timers.

use std::sync::OnceLock;
use std::time::{Duration, Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use crate::clock::Instant;

static ZERO: OnceLock<SystemInstant> = OnceLock::new();

/// The monotonic clock, one for all shards of the process.
pub fn now() -> Instant {
    let zero = *ZERO.get_or_init(SystemInstant::now);
    // 584 years fit.
    Instant::from_nanos(zero.elapsed().as_nanos() as u64)
}

/// The wall clock, in milliseconds since 1970, UTC. It may jump, also backwards.
pub fn wall_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}

/// Sleeps at least so long.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}
