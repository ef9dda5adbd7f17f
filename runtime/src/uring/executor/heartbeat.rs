//! A timer that bounds what a lost wake-up in glommio's main loop would cost.
//!
//! In each round glommio collects completions and wakes tasks, then runs the tasks, then sleeps if none ran. As published it
//! asks before the first task whether an urgent event has come (`need_preempt`), and if one came since the collection, it
//! runs nothing, takes that for "nothing to run", and sleeps: with the woken tasks still in their queue, until something
//! else wakes it. Two shards that ask each other and wait slept for ever within seconds. In `third-party/` such a round
//! counts as one that ran (`runtime/tests/tasks.rs`, which fails without it).
//!
//! The timer stays for what nobody has found yet: after any sleep glommio collects again and runs what is queued. What a timer
//! cannot bound is `watch.rs`'s: the wake-up that is lost may be the heartbeat's own, or come before its first beat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::uring::clock;

/// Five wake-ups a second are 0.01 % of a core.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);

/// Counts a shard's beats, for whoever watches over it.
#[derive(Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Beats since the start; zero as long as the executor has run no task.
    pub(super) fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs as long as the executor.
pub(super) async fn beat(pulse: Pulse) {
    loop {
        pulse.0.fetch_add(1, Ordering::Relaxed);
        clock::sleep(INTERVAL).await;
    }
}
