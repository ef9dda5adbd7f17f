//! What a shard's storage counts. Cells on the shard; [`crate::StoreStats`] is a copy of them.

use std::cell::Cell;

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) pending_bytes: Cell<u64>,
    pub(crate) dirty_bytes: Cell<u64>,
    pub(crate) cache_bytes: Cell<u64>,
    pub(crate) read_ahead_bytes: Cell<u64>,
    pub(crate) appended_bytes: Cell<u64>,
    pub(crate) appended_batches: Cell<u64>,
    pub(crate) journal_writes: Cell<u64>,
    pub(crate) journal_bytes: Cell<u64>,
    pub(crate) segment_writes: Cell<u64>,
    pub(crate) segment_bytes: Cell<u64>,
    pub(crate) bypass_bytes: Cell<u64>,
    pub(crate) tables: Cell<u64>,
    pub(crate) cold_reads: Cell<u64>,
    pub(crate) cold_read_bytes: Cell<u64>,
    pub(crate) ring_full_stalls: Cell<u64>,
}

pub(crate) fn add(cell: &Cell<u64>, by: u64) {
    cell.set(cell.get() + by);
}

/// The counters of one shard's storage at a moment, with the limits that bound its queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Batches taken in and in no journal write yet, against [`StoreStats::pending_bytes_max`].
    pub pending_bytes: u64,
    pub pending_bytes_max: u64,
    /// Journaled bytes that are not yet in a segment.
    pub dirty_bytes: u64,
    pub dirty_bytes_max: u64,
    /// Bytes kept for readers near the tail.
    pub cache_bytes: u64,
    pub cache_bytes_max: u64,
    /// Fetched for readers of what is not in the cache, before they asked.
    pub read_ahead_bytes: u64,
    pub read_ahead_bytes_max: u64,
    /// The part of the ring that a recovery would read.
    pub ring_bytes_used: u64,
    pub ring_bytes: u64,
    pub appended_bytes: u64,
    pub appended_batches: u64,
    pub journal_writes: u64,
    pub journal_bytes: u64,
    pub segment_writes: u64,
    pub segment_bytes: u64,
    /// The part of `segment_bytes` that did not go through the ring.
    pub bypass_bytes: u64,
    pub tables: u64,
    pub cold_reads: u64,
    pub cold_read_bytes: u64,
    /// How often the journal had to wait for a checkpoint.
    pub ring_full_stalls: u64,
    /// Why the journal no longer acknowledges anything, if so.
    pub journal_failed: Option<String>,
}
