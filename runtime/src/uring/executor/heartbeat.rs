//! The remedy for a lost wake-up in glommio's main loop.
//!
//! In each round glommio collects completions and wakes tasks, then runs the tasks, then sleeps if none ran. But before
//! the first task it asks whether an urgent event has come (`need_preempt`: any entry in the latency ring), and if one
//! came since the collection, it runs nothing, takes that for "nothing to run", and sleeps: with the woken tasks still
//! in their queue, until something else wakes it. The event is the preempt timer, after a moment in which the system had
//! taken the core away, or the wake-up of another shard that had already been seen. Two shards that ask each other and
//! wait slept for ever within seconds.
//!
//! No hook prevents it. A timer bounds it: after any sleep glommio collects again and runs what is queued. What a timer
//! cannot bound is `watch.rs`'s: the wake-up that is lost may be the heartbeat's own, or come before its first beat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::uring::clock;

/// While other tasks ran since the last beat: a lost wake-up costs at most this, a beat some 10 us.
const INTERVAL_WHEN_ACTIVE: Duration = Duration::from_millis(5);

/// Reached by doubling while nothing else runs: five wake-ups a second are 0.01 % of a core.
pub(super) const INTERVAL_WHEN_IDLE: Duration = Duration::from_millis(200);

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
    let mut interval = INTERVAL_WHEN_ACTIVE;
    loop {
        pulse.0.fetch_add(1, Ordering::Relaxed);
        clock::sleep(interval).await;
        // Since the last beat, whose own run is counted. Nobody else reads these numbers, which reading resets.
        let tasks_executed = glommio::executor().executor_stats().tasks_executed();
        interval =
            if tasks_executed > 1 { INTERVAL_WHEN_ACTIVE } else { (interval * 2).min(INTERVAL_WHEN_IDLE) };
    }
}
