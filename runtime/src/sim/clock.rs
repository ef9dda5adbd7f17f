//! Virtual time: it stands still while tasks run and jumps when all of them wait.

use std::time::Duration;

use super::world::{self, Signal};
use crate::clock::Instant;

/// 2026-01-01T00:00:00Z, so that timestamps look like timestamps.
const WALL_ZERO_MS: i64 = 1_767_225_600_000;

pub fn now() -> Instant {
    Instant::from_nanos(world::with(|world| world.now_ns))
}

pub fn wall_ms() -> i64 {
    WALL_ZERO_MS + (world::with(|world| world.now_ns) / 1_000_000) as i64
}

/// Sleeps exactly so long.
pub async fn sleep(duration: Duration) {
    let signal = Signal::new();
    let ring = signal.clone();
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2);
    world::with(|world| world.after(nanoseconds, Box::new(move |_| ring.set(()))));
    signal.await;
}
