//! Raises a log's start, durably, and frees the segments below it.
//!
//! The start travels as a field of journal entries and of table records; where nothing else of the partition is pending, a
//! bare note carries it. Only when it is durable does it move. A segment that then lies below it is no longer part of the log,
//! but its file stays until both table slots speak of a later segment and of the raised start: with the older one a recovery would
//! redo into the file, and make it again with holes.
//!
//! A file is renamed before it is freed in steps, the oldest first, each durably: whatever a crash leaves is a run of whole
//! segments without a gap, and names that nobody takes for a segment. [`load`](super::load) finds both and goes on.
//!
//! **Invariants**: the start never falls, and never passes the high watermark. One task a shard frees, one file at a time.

use std::path::Path;
use std::rc::{Rc, Weak};

use runtime::file::{self, FileError};

use crate::error::{AppendError, StartError};
use crate::log::delete::free_in_steps;
use crate::log::segment::segment_path;
use crate::log::state::{BelowStart, LogState};
use crate::log::{Log, LogInner};
use crate::shard::Shard;

/// Asks [`Log::raise_start`] for the high watermark: all that can be read goes.
pub const TO_HIGH_WATERMARK: i64 = -1;

/// What a segment's file is called from when it is freed on: `<base offset>.log.deleted`.
pub(crate) const FREED: &str = "log.deleted";

impl Log {
    /// Raises the start to `offset`, or to the high watermark for [`TO_HIGH_WATERMARK`]. Resolves with the start when it is
    /// durable; an offset at or below the start changes nothing, so that the request may come twice. The start may lie inside
    /// a batch: readers from there on get the whole batch.
    pub async fn raise_start(&self, offset: i64) -> Result<i64, StartError> {
        let log = &self.inner;
        if let Err(error) = log.load().await {
            let error = log.removed_or(error);
            let reason = error.to_string();
            let is_removed = matches!(error, crate::error::ReadError::Removed);
            return Err(if is_removed { StartError::Removed } else { StartError::Unavailable { reason } });
        }
        let wanted = log.want_start(offset)?;
        loop {
            if let Some(outcome) = log.start_outcome(wanted) {
                return outcome;
            }
            log.readable.wait().await;
        }
    }
}

impl LogInner {
    /// Takes note of a start to be made durable, and returns it.
    fn want_start(self: &Rc<Self>, offset: i64) -> Result<i64, StartError> {
        let wanted = {
            let mut state = self.state.borrow_mut();
            if state.removed {
                return Err(StartError::Removed);
            }
            let (log_start, high_watermark) = (state.log_start, state.high_watermark);
            let wanted = if offset == TO_HIGH_WATERMARK { high_watermark } else { offset };
            if !(0..=high_watermark).contains(&wanted) {
                return Err(StartError::OffsetOutOfRange { offset, log_start, high_watermark });
            }
            if wanted <= log_start {
                return Ok(wanted);
            }
            match self.shard.refusal() {
                None => {}
                Some(AppendError::Stopping) => return Err(StartError::Stopping),
                Some(error) => return Err(StartError::Unavailable { reason: error.to_string() }),
            }
            state.start_wanted = state.start_wanted.max(wanted);
            wanted
        };
        self.shard.enqueue(self);
        Ok(wanted)
    }

    fn start_outcome(&self, wanted: i64) -> Option<Result<i64, StartError>> {
        let state = self.state.borrow();
        if state.log_start >= wanted {
            return Some(Ok(state.log_start));
        }
        if state.removed {
            return Some(Err(StartError::Removed));
        }
        let failed = self.shard.queue.borrow().failed.clone();
        failed.map(|reason| Err(StartError::Unavailable { reason }))
    }

    /// Takes the segments below the start out of the log. Their files are freed when both tables have said so.
    pub(crate) fn leave_below_start(self: &Rc<Self>) {
        let freed_after = self.shard.tables_until_both_slots();
        let mut state = self.state.borrow_mut();
        let below = state.closed_below_start();
        if below == 0 {
            return;
        }
        let left: Vec<_> = state.closed.drain(..below).map(|segment| segment.base_offset).collect();
        state.below_start.extend(left.into_iter().map(|base_offset| BelowStart { base_offset, freed_after }));
        drop(state);
        self.shard.will_free(self);
    }

    /// The oldest segment that may be freed now.
    fn next_to_free(&self) -> Option<i64> {
        let state = self.state.borrow();
        let oldest = state.below_start.front().filter(|_| !state.removed)?;
        (oldest.freed_after <= self.shard.counters.tables.get()).then_some(oldest.base_offset)
    }

    /// Frees what may be freed now. An error leaves the rest for later: the oldest has to go first.
    async fn free_below_start(self: &Rc<Self>) {
        while let Some(base_offset) = self.next_to_free() {
            let folder = {
                let mut state = self.state.borrow_mut();
                state.freeing = true;
                state.folder.clone()
            };
            let goes_on = || !self.state.borrow().removed && !self.shard.gate.is_closing();
            let freed = free_segment(&folder, base_offset, &goes_on).await;
            let mut state = self.state.borrow_mut();
            state.freeing = false;
            if matches!(freed, Ok(true)) {
                state.below_start.pop_front();
            }
            drop(state);
            self.shard.progress.notify_all();
            if !matches!(freed, Ok(true)) {
                return;
            }
        }
    }
}

impl LogState {
    pub(crate) fn wants_start(&self) -> bool {
        self.start_wanted > self.log_start && !self.removed
    }

    /// Where a bare note stands: at the end of what is durable. A segment that was begun last may hold nothing durable yet;
    /// where it is the only one, the end is its beginning.
    pub(crate) fn durable_place(&self) -> Option<(i64, u64)> {
        let newest = self.open.iter().rev().find(|segment| segment.durable_end > 0);
        newest.or(self.open.front()).map(|segment| (segment.base_offset, segment.durable_end))
    }

    /// How many of the closed segments end at or below the start.
    fn closed_below_start(&self) -> usize {
        let Some(first_open) = self.open.front().map(|segment| segment.base_offset) else { return 0 };
        let next_bases = self.closed.iter().skip(1).map(|segment| segment.base_offset).chain([first_open]);
        next_bases.take(self.closed.len()).take_while(|next| *next <= self.log_start).count()
    }
}

impl Shard {
    /// So many tables have to have been written for both slots to say what the logs are now.
    fn tables_until_both_slots(&self) -> u64 {
        // One under way was put together before.
        self.counters.tables.get() + u64::from(self.table_under_way.get()) + 2
    }

    /// Remembers a log with segments to free, and has the checkpointer write the tables that they wait for.
    pub(crate) fn will_free(&self, log: &Rc<LogInner>) {
        let mut to_free = self.to_free.borrow_mut();
        let is_known = to_free.iter().any(|known| std::ptr::eq(known.as_ptr(), Rc::as_ptr(log)));
        if !is_known {
            to_free.push_back(Rc::downgrade(log));
        }
        drop(to_free);
        self.checkpoint_wake.notify_all();
    }

    /// Segments wait for a table although nothing else may need one.
    pub(crate) fn wants_table(&self) -> bool {
        let tables = self.counters.tables.get();
        let waits = |log: &Rc<LogInner>| {
            let state = log.state.borrow();
            !state.removed && state.below_start.back().is_some_and(|last| last.freed_after > tables)
        };
        self.to_free.borrow().iter().filter_map(Weak::upgrade).any(|log| waits(&log))
    }

    /// Begins to free what the last table allows, unless that is under way.
    pub(crate) fn free_in_background(self: &Rc<Self>) {
        if self.to_free.borrow().is_empty() || self.is_freeing.replace(true) {
            return;
        }
        let shard = self.clone();
        let spawned = self.gate.spawn(async move {
            // Each log once: what cannot be freed now is looked at after the next table.
            let rounds = shard.to_free.borrow().len();
            for _ in 0..rounds {
                let Some(log) = shard.to_free.borrow_mut().pop_front() else { break };
                let Some(log) = log.upgrade() else { continue };
                log.free_below_start().await;
                let has_more = {
                    let state = log.state.borrow();
                    !state.removed && !state.below_start.is_empty()
                };
                if has_more {
                    shard.will_free(&log);
                }
            }
            shard.is_freeing.set(false);
        });
        if spawned.is_err() {
            // The shard stops: the next start finds what is left.
            self.is_freeing.set(false);
        }
    }
}

/// Frees one segment's files; false where it was told to stop. What an earlier try or life has done is found done.
async fn free_segment(
    folder: &Path,
    base_offset: i64,
    goes_on: &dyn Fn() -> bool,
) -> Result<bool, FileError> {
    let segment = segment_path(folder, base_offset, "log");
    let doomed = segment_path(folder, base_offset, FREED);
    if file::exists(&segment).await? {
        file::rename(&segment, &doomed).await?;
    }
    file::sync_folder(folder).await?;
    let index = segment_path(folder, base_offset, "index");
    if file::exists(&index).await? {
        file::remove_file(&index).await?;
    }
    if !goes_on() {
        return Ok(false);
    }
    if file::exists(&doomed).await? {
        let bytes = file::File::open(&doomed, file::OpenOptions::read()).await?.size().await?;
        return free_in_steps(&doomed, bytes, goes_on).await;
    }
    Ok(true)
}
