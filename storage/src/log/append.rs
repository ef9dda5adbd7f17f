//! Gives batches their place: offset, segment, position. Hot path.
//!
//! A batch is placed only into space that the segment's file already has, so that what the journal acknowledges always
//! fits on the disk; where there is none, the batch waits for a task that opens, extends or rolls, and all later
//! batches of the partition wait behind it.

use std::rc::Rc;

use bytes::Bytes;
use runtime::clock;
use wire::batch::{BatchHeader, records_without_key};

use crate::ack::AckQueue;
use crate::error::AppendError;
use crate::limits;
use crate::log::state::{LogState, Pending, Waiting};
use crate::log::timestamps::{self, NO_APPEND_TIME};
use crate::log::{Log, LogInner};
use crate::producers::Verdict;
use crate::stats;

/// What came of trying to place a batch.
pub(crate) enum Placed {
    /// It waits for the journal, or for nothing but its answer.
    Yes,
    /// There is no space for it yet.
    NoSpace(Waiting),
}

impl Log {
    /// Appends one validated batch. Never blocks: the outcome comes through `acks` with `token`, successes of one log in
    /// the order of the appends. The caller minds [`crate::Store::has_room`].
    pub fn append(&self, batch: Bytes, mut header: BatchHeader, acks: &AckQueue, token: u64) {
        let inner = &self.inner;
        let refusal = inner.shard.refusal().or_else(|| inner.state.borrow().refusal());
        let of_batch = || {
            let state = inner.state.borrow();
            too_large(&state, &batch).or_else(|| keyless(&state, &batch))
        };
        if let Some(error) = refusal.or_else(of_batch) {
            acks.push(token, Err(error));
            return;
        }
        let timed = timestamps::timed(&inner.state.borrow().settings, batch, &mut header, clock::wall_ms());
        let (batch, append_time_ms) = match timed {
            Ok(timed) => timed,
            Err(error) => return acks.push(token, Err(error)),
        };
        inner.shard.pending_grew(batch.len());
        inner.shard.last_append.set(clock::now());
        let waiting = Waiting { bytes: batch, header, acks: acks.clone(), token, append_time_ms };
        let must_wait = {
            let state = inner.state.borrow();
            state.preparing || !state.waiting.is_empty()
        };
        let unplaced = if must_wait { Some(waiting) } else { place_or_return(inner, waiting) };
        if let Some(waiting) = unplaced {
            inner.state.borrow_mut().waiting.push_back(waiting);
            inner.prepare();
        }
    }
}

fn place_or_return(inner: &Rc<LogInner>, waiting: Waiting) -> Option<Waiting> {
    match inner.place(waiting) {
        Placed::Yes => None,
        Placed::NoSpace(waiting) => Some(waiting),
    }
}

fn too_large(state: &LogState, batch: &Bytes) -> Option<AppendError> {
    let bytes_max = state.settings.batch_bytes_max;
    let bytes = batch.len() as u64;
    (bytes > u64::from(bytes_max)).then_some(AppendError::BatchTooLarge { bytes, bytes_max })
}

/// A compacted topic's batch is opened, as in Kafka.
fn keyless(state: &LogState, batch: &Bytes) -> Option<AppendError> {
    if !state.settings.needs_keys {
        return None;
    }
    match records_without_key(batch, limits::OPENED_BATCH_BYTES_MAX, limits::KEYLESS_RECORDS_NAMED_MAX) {
        Ok(records) if records.is_empty() => None,
        Ok(records) => Some(AppendError::NoKey { records }),
        Err(error) => Some(AppendError::Unreadable { reason: error.to_string() }),
    }
}

impl LogInner {
    /// Places a batch if its segment has space.
    pub(crate) fn place(self: &Rc<Self>, waiting: Waiting) -> Placed {
        let mut state = self.state.borrow_mut();
        let length = waiting.bytes.len() as u64;
        if !state.has_space(length) {
            return Placed::NoSpace(waiting);
        }
        let pending = match state.producers.judge(&waiting.header) {
            Verdict::Store => state.take_place(waiting),
            Verdict::Duplicate { base_offset } => {
                self.shard.pending_fell(waiting.bytes.len());
                state.repeat(waiting, base_offset)
            }
            Verdict::Refuse(error) => {
                self.shard.pending_fell(waiting.bytes.len());
                waiting.acks.push(waiting.token, Err(error));
                return Placed::Yes;
            }
        };
        if pending.bytes.is_empty() && pending.next_offset <= state.high_watermark {
            pending.acks.push(pending.token, Ok(pending.appended(state.log_start)));
            return Placed::Yes;
        }
        stats::add(&self.shard.counters.appended_bytes, pending.length as u64);
        stats::add(&self.shard.counters.appended_batches, 1);
        state.pending_bytes += pending.length;
        state.pending.push_back(pending);
        let extend = state.wants_extension();
        drop(state);
        self.shard.enqueue(self);
        if extend {
            self.prepare();
        }
        Placed::Yes
    }

    /// Answers everything that waits or is pending with an error.
    pub(crate) fn fail_pending(&self, error: &AppendError) {
        let mut state = self.state.borrow_mut();
        let pending = std::mem::take(&mut state.pending);
        let waiting = std::mem::take(&mut state.waiting);
        let remainder = state.remainder.take();
        state.pending_bytes = 0;
        drop(state);
        for batch in remainder.into_iter().flat_map(|remainder| remainder.batches).chain(pending) {
            self.shard.pending_fell(batch.length);
            batch.acks.push(batch.token, Err(error.clone()));
        }
        for batch in waiting {
            self.shard.pending_fell(batch.bytes.len());
            batch.acks.push(batch.token, Err(error.clone()));
        }
    }
}

impl LogState {
    fn has_space(&self, length: u64) -> bool {
        let Some(segment) = self.open.back() else { return false };
        let fits = segment.end == 0
            || (segment.end + length <= self.settings.segment_bytes_max && !segment.roll_wanted);
        // A retry is known only when the producers are: their load may have failed after the file was opened.
        let is_ready = self.loaded && self.producers_loaded && segment.file.is_some();
        is_ready && fits && segment.end + length <= segment.allocated
    }

    /// Space runs short: the next piece is taken while appends go on.
    fn wants_extension(&self) -> bool {
        let Some(segment) = self.open.back() else { return false };
        let left = segment.allocated - segment.end;
        !self.preparing && left < segment.allocated / 4 && segment.allocated < self.settings.segment_bytes_max
    }

    fn take_place(&mut self, waiting: Waiting) -> Pending {
        let base_offset = self.next_offset;
        let next_offset = base_offset + i64::from(waiting.header.last_offset_delta) + 1;
        self.next_offset = next_offset;
        self.producers.stored(&waiting.header, base_offset);
        self.appends += 1;
        self.appended_since_snapshot += waiting.bytes.len() as u64;
        let segment = self.open.back_mut().expect("a log with space has an open segment");
        let position = segment.end;
        segment.end += waiting.bytes.len() as u64;
        segment.index.add(position, &waiting.header, base_offset);
        Pending {
            segment_base: segment.base_offset,
            position,
            base_offset,
            next_offset,
            length: waiting.bytes.len(),
            bytes: waiting.bytes,
            acks: waiting.acks,
            token: waiting.token,
            append_time_ms: waiting.append_time_ms,
        }
    }

    /// The answer to a duplicate waits until what it repeats is durable: it goes through the same queue, without bytes.
    fn repeat(&self, waiting: Waiting, base_offset: i64) -> Pending {
        let segment = self.open.back().expect("a log with space has an open segment");
        Pending {
            bytes: Bytes::new(),
            length: 0,
            segment_base: segment.base_offset,
            position: segment.end,
            base_offset,
            next_offset: base_offset + i64::from(waiting.header.last_offset_delta) + 1,
            acks: waiting.acks,
            token: waiting.token,
            // It has the first one's time, which nobody remembers.
            append_time_ms: NO_APPEND_TIME,
        }
    }
}
