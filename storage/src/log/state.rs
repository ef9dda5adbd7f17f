//! The state of one partition's log, in memory, on the shard that owns it.
//!
//! **Invariants**: `log_start <= start_wanted <= high_watermark <= next_offset`. Pending batches, the tail and the dirty marks are each in
//! the order of the log and without gaps. At most one run (a piece of a segment being written) is under way, and none
//! begins while an entry of the log is in the journal write under way.

use std::collections::VecDeque;
use std::path::PathBuf;

use bytes::Bytes;
use wire::batch::BatchHeader;

use crate::ack::{AckQueue, Appended};
use crate::error::AppendError;
use crate::log::segment::{ClosedSegment, Segment};
use crate::options::{LogSettings, PartitionUid};
use crate::producers::Producers;
use crate::slice::Slice;

/// A batch that has its place and is in no journal write yet.
pub(crate) struct Pending {
    /// Empty for a duplicate that only waits for its answer, and once a bypass run has them in its buffers.
    pub(crate) bytes: Bytes,
    /// Counted as pending until it is answered.
    pub(crate) length: usize,
    pub(crate) segment_base: i64,
    pub(crate) position: u64,
    pub(crate) base_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) acks: AckQueue,
    pub(crate) token: u64,
    /// -1 where the producer gave the times.
    pub(crate) append_time_ms: i64,
}

impl Pending {
    pub(crate) fn appended(&self, log_start: i64) -> Appended {
        Appended { base_offset: self.base_offset, log_append_time_ms: self.append_time_ms, log_start }
    }
}

/// A batch that has no place yet: the log is being opened, extended or rolled.
pub(crate) struct Waiting {
    pub(crate) bytes: Bytes,
    pub(crate) header: BatchHeader,
    pub(crate) acks: AckQueue,
    pub(crate) token: u64,
    pub(crate) append_time_ms: i64,
}

/// A run of the log's bytes in memory.
pub(crate) struct TailSlice {
    pub(crate) segment_base: i64,
    pub(crate) position: u64,
    pub(crate) bytes: Slice,
    /// The memory that it keeps, itself included.
    pub(crate) held: usize,
}

impl TailSlice {
    pub(crate) fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

/// An entry of the ring whose bytes are not yet known to be in the segment.
#[derive(Clone, Copy)]
pub(crate) struct DirtyMark {
    pub(crate) segment_base: i64,
    pub(crate) end: u64,
    pub(crate) next_offset: i64,
    pub(crate) sequence: u64,
    /// The memory that is held for it.
    pub(crate) bytes: u64,
}

/// What a bypass run leaves to be acknowledged: the bytes under a page that end its last batch, and the batches.
pub(crate) struct Remainder {
    pub(crate) segment_base: i64,
    pub(crate) position: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) batches: Vec<Pending>,
}

/// A segment that lies below the start: no part of the log any more, with files that are still there.
#[derive(Clone, Copy)]
pub(crate) struct BelowStart {
    pub(crate) base_offset: i64,
    /// Its files may go when the shard has written so many tables since it was opened.
    pub(crate) freed_after: u64,
}

/// What is being written to a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// Journaled bytes, so that the ring can go on.
    Checkpoint,
    /// Large pending batches that do not go through the ring; no entry is made while it lasts.
    Bypass,
}

pub(crate) struct LogState {
    pub(crate) uid: PartitionUid,
    pub(crate) folder: PathBuf,
    pub(crate) leader_epoch: i32,
    pub(crate) settings: LogSettings,
    pub(crate) log_start: i64,
    /// At or above `log_start`: what the next journal entry makes durable.
    pub(crate) start_wanted: i64,
    pub(crate) high_watermark: i64,
    pub(crate) next_offset: i64,
    /// What lies on the disk is known: `closed` and the first of `open` are filled in.
    pub(crate) loaded: bool,
    pub(crate) closed: Vec<ClosedSegment>,
    /// Oldest first.
    pub(crate) below_start: VecDeque<BelowStart>,
    /// A file of `below_start` is being freed.
    pub(crate) freeing: bool,
    /// Oldest first; the last takes the appends. More than one only until the older is in its file.
    pub(crate) open: VecDeque<Segment>,
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) pending_bytes: usize,
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) tail: VecDeque<TailSlice>,
    /// So many of the tail's oldest slices are in their segment, and go when the cache needs their room.
    pub(crate) evictable: usize,
    pub(crate) dirty: VecDeque<DirtyMark>,
    /// The key under which the checkpointer knows this log.
    pub(crate) dirty_key: Option<u64>,
    pub(crate) queued: bool,
    pub(crate) entry_in_flight: bool,
    pub(crate) run: Option<RunKind>,
    pub(crate) run_wanted: bool,
    pub(crate) remainder: Option<Remainder>,
    /// A task is opening, extending or rolling.
    pub(crate) preparing: bool,
    pub(crate) producers: Producers,
    pub(crate) producers_loaded: bool,
    pub(crate) appended_since_snapshot: u64,
    /// The producers as they were when the log rolled last, until the older segment is closed.
    pub(crate) roll_snapshot: Option<Vec<u8>>,
    pub(crate) read_only: Option<String>,
    pub(crate) removed: bool,
    /// The latest append, in [`runtime::clock`] terms; for closing what is idle.
    pub(crate) appends: u64,
    /// As `appends` was when the checkpointer last looked for idle logs.
    pub(crate) appends_seen: u64,
}

impl LogState {
    pub(crate) fn segment(&self, base_offset: i64) -> Option<&Segment> {
        self.open.iter().find(|segment| segment.base_offset == base_offset)
    }

    /// A segment that batches in memory belong to: it cannot have been closed before they were written.
    pub(crate) fn segment_mut(&mut self, base_offset: i64) -> &mut Segment {
        let uid = self.uid;
        self.open.iter_mut().find(|segment| segment.base_offset == base_offset).unwrap_or_else(|| {
            panic!("segment {base_offset} of partition {uid} was closed with batches in memory")
        })
    }

    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.dirty.iter().map(|mark| mark.bytes).sum()
    }

    /// The first journal write that a recovery would need for this log, given what [`LogState::record`] says.
    pub(crate) fn needed_sequence(&self) -> Option<u64> {
        let dirty = self.dirty.front().map(|mark| mark.sequence);
        let second = self.open.iter().skip(1).filter_map(|segment| segment.first_sequence).min();
        dirty.into_iter().chain(second).min()
    }

    /// Why a batch cannot be taken, if so.
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        if self.removed {
            return Some(AppendError::Removed);
        }
        self.read_only.clone().map(|reason| AppendError::PartitionReadOnly { reason })
    }

    /// Nothing is in memory that is not in the segment, and nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pending.is_empty()
            && self.waiting.is_empty()
            && self.dirty.is_empty()
            && self.run.is_none()
            && self.remainder.is_none()
            && !self.entry_in_flight
            && !self.preparing
            && self.open.iter().all(|segment| segment.is_settled() && !segment.closing)
    }
}
