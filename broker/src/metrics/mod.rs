//! What a shard counts. Cells and histograms of one shard, read by `describe node`. Hot path.

mod histogram;

use std::cell::Cell;

pub(crate) use histogram::Histogram;

/// A number that only grows.
#[derive(Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, by: u64) {
        self.0.set(self.0.get() + by);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// One shard's counters.
#[derive(Default)]
pub(crate) struct Metrics {
    pub(crate) connections_accepted: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) connections_closed_for_errors: Counter,
    pub(crate) produce_requests: Counter,
    pub(crate) produce_bytes: Counter,
    pub(crate) produce_errors: Counter,
    pub(crate) fetch_requests: Counter,
    pub(crate) fetch_bytes: Counter,
    pub(crate) pushes: Counter,
    pub(crate) push_bytes: Counter,
    pub(crate) control_requests: Counter,
    pub(crate) request_errors: Counter,
    pub(crate) forwarded_requests: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    /// A connection was not read because the storage had no room.
    pub(crate) stalls_for_storage: Counter,
    /// A connection was not read because of its own limits.
    pub(crate) stalls_for_connection: Counter,
    /// A payload waited for the shard's share of receive memory.
    pub(crate) stalls_for_receive_memory: Counter,
    /// A read waited for the shard's or connection's share of outgoing memory.
    pub(crate) stalls_for_outgoing_memory: Counter,
    /// From the socket to the log, for produce requests.
    pub(crate) received_to_appended: Histogram,
    /// From the socket to the acknowledgement's arrival: durable, or refused.
    pub(crate) received_to_durable: Histogram,
    /// From there to the socket again.
    pub(crate) durable_to_answered: Histogram,
}
