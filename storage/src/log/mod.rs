//! One partition's log.
//!
//! `state` is what it is, `segment` the open files, `append` gives places, `stage` brings batches into journal writes,
//! `run` writes pieces of segments, `prepare` opens, extends and rolls, `close` closes what is complete, `read`, `lookup` and
//! `epochs` answer readers, `start` raises the start and frees what is below it, `delete` frees all.

pub(crate) mod append;
pub(crate) mod close;
pub(crate) mod delete;
pub(crate) mod epochs;
pub(crate) mod load;
mod lookup;
mod prepare;
pub(crate) mod read;
pub(crate) mod run;
pub(crate) mod segment;
pub(crate) mod stage;
pub(crate) mod start;
pub(crate) mod state;
mod timestamps;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use runtime::sync::Event;

use crate::log::segment::Segment;
use crate::log::state::LogState;
use crate::options::{LogSettings, PartitionSpec, PartitionUid};
use crate::producers::Producers;
use crate::shard::Shard;

/// What recovery or the last table knows of a log that nobody has touched yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub(crate) segment_base: i64,
    pub(crate) end_position: u64,
    pub(crate) next_offset: i64,
    pub(crate) log_start: i64,
}

impl LogEnd {
    pub(crate) const EMPTY: Self = Self { segment_base: 0, end_position: 0, next_offset: 0, log_start: 0 };

    /// Where records were given up, or lost without `fsync`, a start that was raised behind them falls back to what is left.
    pub(crate) fn within_its_end(self) -> Self {
        Self { log_start: self.log_start.min(self.next_offset), ..self }
    }
}

/// A log and its place on the shard.
pub(crate) struct LogInner {
    pub(crate) shard: Rc<Shard>,
    pub(crate) state: RefCell<LogState>,
    /// The high watermark or the start moved, the log was removed, or the journal failed.
    pub(crate) readable: Event,
}

/// Offsets of a log at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOffsets {
    /// The first record that can be read.
    pub log_start: i64,
    /// One past the last record that can be read: the end of what is acknowledged.
    pub high_watermark: i64,
    /// The next offset to be given.
    pub log_end: i64,
}

/// A handle to one partition's log, on the shard that owns it. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    pub(crate) inner: Rc<LogInner>,
}

impl Log {
    pub(crate) fn new(shard: &Rc<Shard>, spec: PartitionSpec, end: &LogEnd) -> Self {
        let state = LogState {
            uid: spec.uid,
            folder: shard.options.partition_folder(&spec.folder),
            leader_epoch: spec.leader_epoch,
            settings: spec.settings,
            log_start: end.log_start,
            start_wanted: end.log_start,
            high_watermark: end.next_offset,
            next_offset: end.next_offset,
            loaded: false,
            closed: Vec::new(),
            below_start: VecDeque::new(),
            freeing: false,
            open: VecDeque::from([Segment::resumed(end.segment_base, end.end_position, end.next_offset)]),
            pending: VecDeque::new(),
            pending_bytes: 0,
            waiting: VecDeque::new(),
            tail: VecDeque::new(),
            evictable: 0,
            dirty: VecDeque::new(),
            dirty_key: None,
            queued: false,
            entry_in_flight: false,
            run: None,
            run_wanted: false,
            remainder: None,
            preparing: false,
            producers: Producers::default(),
            producers_loaded: false,
            appended_since_snapshot: 0,
            roll_snapshot: None,
            read_only: None,
            removed: false,
            appends: 0,
            appends_seen: 0,
        };
        let inner = LogInner { shard: shard.clone(), state: RefCell::new(state), readable: Event::new() };
        Self { inner: Rc::new(inner) }
    }

    pub fn uid(&self) -> PartitionUid {
        self.inner.state.borrow().uid
    }

    pub fn leader_epoch(&self) -> i32 {
        self.inner.state.borrow().leader_epoch
    }

    pub fn offsets(&self) -> LogOffsets {
        let state = self.inner.state.borrow();
        LogOffsets {
            log_start: state.log_start,
            high_watermark: state.high_watermark,
            log_end: state.next_offset,
        }
    }

    /// Resolves when there is a record at or after `offset` to read, or the log was removed.
    pub async fn wait_past(&self, offset: i64) {
        loop {
            let readable = {
                let state = self.inner.state.borrow();
                state.removed || state.high_watermark > offset
            };
            if readable {
                return;
            }
            self.inner.readable.wait().await;
        }
    }

    pub(crate) fn change_settings(&self, settings: LogSettings) {
        self.inner.state.borrow_mut().settings = settings;
    }
}
