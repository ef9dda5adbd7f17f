//! The shared clock of a run, and what each shard counted.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use runtime::clock;

/// Latencies above this count as this: an hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// What the shards of a run and the thread beside them share. All of it is atomics: nobody waits for anybody.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Producers and consumers that are connected.
    pub(crate) prepared: AtomicUsize,
    /// Somebody cannot go on: all end.
    pub(crate) failed: AtomicBool,
    /// Partitions of the topic; 0 until the first shard has made sure that it exists.
    pub(crate) partitions: AtomicU32,
    /// When measuring begins; 0 until everybody is prepared.
    pub(crate) begins_ns: AtomicU64,
    /// The last answer so far.
    pub(crate) last_ns: AtomicU64,
    /// Producers that have ended.
    pub(crate) producers_ended: AtomicUsize,
    /// Records acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// Records received.
    pub(crate) received: AtomicU64,
    /// The broker's process; 0 while unknown.
    pub(crate) broker_pid: AtomicU32,
    /// The run is over.
    pub(crate) over: AtomicBool,
}

/// The clock of all shards, in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    clock::now().as_nanos()
}

impl Shared {
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until all `users` are prepared; the moment the run begins, the same for all. `None` when somebody failed.
    pub(crate) async fn begin(&self, users: usize, warm_up: Duration) -> Option<Window> {
        if self.prepared.fetch_add(1, Ordering::AcqRel) + 1 == users {
            let begins = now_ns() + u64::try_from(warm_up.as_nanos()).unwrap_or(u64::MAX);
            self.begins_ns.store(begins, Ordering::Release);
        }
        loop {
            let begins_ns = self.begins_ns.load(Ordering::Acquire);
            if begins_ns != 0 {
                return Some(Window { begins_ns });
            }
            if self.failed() {
                return None;
            }
            clock::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What is measured: from here on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) begins_ns: u64,
}

impl Window {
    pub(crate) fn ends_ns(self, duration: Option<Duration>) -> u64 {
        duration.map_or(u64::MAX, |duration| {
            self.begins_ns.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
        })
    }
}

/// What one user, one shard, or the whole run counted.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Latencies in nanoseconds.
    pub(crate) latency_ns: Histogram<u64>,
    /// Records and value bytes within the window.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Of the whole run: handed to the client, answered well, answered badly.
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
    pub(crate) received: u64,
    /// Records that were not what was sent.
    pub(crate) wrong: u64,
    /// The first error, in words.
    pub(crate) first_error: Option<String>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are in order");
        Self {
            latency_ns,
            records: 0,
            bytes: 0,
            sent: 0,
            acknowledged: 0,
            failed: 0,
            received: 0,
            wrong: 0,
            first_error: None,
        }
    }
}

impl Tally {
    pub(crate) fn record_latency(&mut self, from_ns: u64, to_ns: u64, records: u64) {
        let latency = to_ns.saturating_sub(from_ns).max(1);
        self.latency_ns.saturating_record_n(latency, records);
    }

    pub(crate) fn fail(&mut self, records: u64, error: &dyn std::fmt::Display) {
        self.failed += records;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    pub(crate) fn merge(&mut self, other: &Tally) {
        self.latency_ns.add(&other.latency_ns).expect("the bounds are the same");
        self.records += other.records;
        self.bytes += other.bytes;
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self.received += other.received;
        self.wrong += other.wrong;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }
}
