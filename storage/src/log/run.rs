//! Runs: pieces of a segment written to its file, in whole pages, in chunks that are durable when they complete.
//!
//! A checkpoint run takes journaled bytes, so that the ring can go on. A bypass run takes large pending batches as well,
//! so that they are written once; what is left under a page goes into the ring as the entry that acknowledges them.
//!
//! ```text
//!   page floor      written_to         durable_end      page floor     end of the last batch
//!   |  page_prefix     |  in the tail       |  pending         |  remainder   |
//!   +------------------ checkpoint run ----- (padded) ---------+
//!   +------------------------------------- bypass run ---------+-- entry -----+
//! ```
//!
//! **Invariants**: one run a log at a time. A checkpoint run begins only while no entry of the log is in the journal
//! write under way, because it decides whether the next entry has to carry a page's beginning.

use std::rc::Rc;

use bytes::Bytes;
use runtime::buffer::Buffer;
use runtime::file::{File, FileError};
use runtime::sync::Semaphore;
use runtime::task;

use crate::error::AppendError;
use crate::limits::{self, page_ceil, page_floor};
use crate::log::LogInner;
use crate::log::state::{LogState, Pending, Remainder, RunKind, TailSlice};
use crate::slice::Slice;
use crate::stats;

/// One run, from its beginning to its end.
struct Run {
    kind: RunKind,
    segment_base: i64,
    file: File,
    /// What will be in the file; within the last chunk, which may be padded.
    to: u64,
    /// Marks up to here are settled by this run.
    settles: u64,
    chunks: Vec<(u64, Rc<Buffer>)>,
    /// Where the bypassed batches begin; `to` for a checkpoint.
    batches_from: u64,
    remainder: Vec<u8>,
    batches: Vec<Pending>,
}

impl LogInner {
    /// Begins to write the log's oldest journaled bytes, if it may begin now; false where there is nothing to wait for.
    pub(crate) fn start_checkpoint(self: &Rc<Self>) -> bool {
        let mut state = self.state.borrow_mut();
        if state.run.is_some() {
            return true;
        }
        if state.entry_in_flight {
            state.run_wanted = true;
            return true;
        }
        let Some(run) = state.plan_checkpoint(self.shard.options.chunk_bytes_max) else {
            let cleared = state.settle_leftovers();
            drop(state);
            self.shard.dirty_fell(cleared);
            self.shard.reorder(self);
            return false;
        };
        drop(state);
        self.start(run);
        true
    }

    /// Begins to write the log's pending batches to their segment.
    pub(crate) fn start_bypass(self: &Rc<Self>) {
        let run = self.state.borrow_mut().plan_bypass(self.shard.options.chunk_bytes_max);
        stats::add(&self.shard.counters.bypass_bytes, run.to - run.batches_from);
        self.start(run);
    }

    fn start(self: &Rc<Self>, run: Run) {
        self.state.borrow_mut().run = Some(run.kind);
        let log = self.clone();
        // Detached on purpose: a run always goes to its end, and the shard's stop waits for quiet logs.
        drop(task::spawn(async move {
            let outcome = write_chunks(&log, &run).await;
            log.finish(run, outcome);
        }));
    }

    fn finish(self: &Rc<Self>, run: Run, outcome: Result<(), FileError>) {
        let kind = run.kind;
        match outcome {
            Ok(()) => self.succeed(run),
            Err(error) => self.turn_read_only(run, &error),
        }
        let mut state = self.state.borrow_mut();
        state.run = None;
        state.run_wanted = false;
        let is_removed = state.removed;
        drop(state);
        if kind == RunKind::Bypass && is_removed {
            self.fail_pending(&AppendError::Removed);
        }
        self.shard.reorder(self);
        self.close_settled();
        self.shard.progress.notify_all();
        if self.has_work() {
            self.shard.enqueue(self);
        }
    }

    fn succeed(self: &Rc<Self>, run: Run) {
        let cleared = self.state.borrow_mut().settle(run.segment_base, run.to, run.settles);
        self.shard.dirty_fell(cleared);
        self.shard.may_evict_written(self);
        if run.kind == RunKind::Checkpoint {
            return;
        }
        for (position, chunk) in &run.chunks {
            let from = run.batches_from.max(*position);
            let to = run.to.min(position + chunk.len() as u64);
            if from < to {
                let within = (from - position) as usize..(to - position) as usize;
                let bytes = Slice::kept(chunk, within);
                let held = bytes.held_bytes() + limits::SLICE_BYTES;
                let segment_base = run.segment_base;
                self.shard.cache(self, TailSlice { segment_base, position: from, bytes, held });
            }
        }
        let (segment_base, position) = (run.segment_base, run.to);
        let remainder = Remainder { segment_base, position, bytes: run.remainder, batches: run.batches };
        self.state.borrow_mut().remainder = Some(remainder);
    }

    /// A chunk failed twice: what the run covers stays in the ring, and nothing new is taken.
    fn turn_read_only(self: &Rc<Self>, run: Run, error: &FileError) {
        let reason = error.to_string();
        self.state.borrow_mut().read_only = Some(reason.clone());
        let error = AppendError::PartitionReadOnly { reason };
        for batch in run.batches {
            self.shard.pending_fell(batch.length);
            batch.acks.push(batch.token, Err(error.clone()));
        }
        self.fail_pending(&error);
    }
}

/// Writes all chunks, a few at a time; each that fails is tried once more from memory.
async fn write_chunks(log: &Rc<LogInner>, run: &Run) -> Result<(), FileError> {
    let window = Semaphore::new(limits::RUN_CHUNKS_IN_FLIGHT);
    let mut under_way = Vec::with_capacity(run.chunks.len());
    for (position, chunk) in &run.chunks {
        let permit = window.acquire(1).await;
        let (file, chunk, position) = (run.file.clone(), chunk.clone(), *position);
        stats::add(&log.shard.counters.segment_writes, 1);
        stats::add(&log.shard.counters.segment_bytes, chunk.len() as u64);
        under_way.push(task::spawn(async move {
            let outcome = match file.write_at(chunk.clone(), position).await {
                Ok(()) => Ok(()),
                Err(_) => file.write_at(chunk, position).await,
            };
            drop(permit);
            outcome
        }));
    }
    let mut outcome = Ok(());
    for chunk in under_way {
        let one = chunk.await;
        outcome = outcome.and(one);
    }
    outcome
}

impl LogState {
    fn plan_checkpoint(&mut self, chunk_bytes_max: usize) -> Option<Run> {
        let at = self.open.iter().position(|segment| segment.written_to < segment.durable_end)?;
        let segment = &self.open[at];
        let file = segment.file.clone().expect("a segment with unwritten bytes is open");
        let (segment_base, from, durable_end) =
            (segment.base_offset, segment.run_start(), segment.durable_end);
        let to = if durable_end - from > limits::RUN_BYTES_MAX {
            from + page_floor(limits::RUN_BYTES_MAX)
        } else {
            durable_end
        };
        let mut chunks = Chunks::new(from, to, chunk_bytes_max);
        self.gather_durable(segment_base, &mut chunks);
        let chunks = chunks.finish();
        self.remember_page(at, to, &chunks);
        Some(Run {
            kind: RunKind::Checkpoint,
            segment_base,
            file,
            to,
            settles: to,
            chunks,
            batches_from: to,
            remainder: Vec::new(),
            batches: Vec::new(),
        })
    }

    fn plan_bypass(&mut self, chunk_bytes_max: usize) -> Run {
        let first = self.pending.front().expect("a bypass begins with pending batches");
        let (segment_base, batches_from) = (first.segment_base, first.position);
        let mut batches = Vec::new();
        let mut end = batches_from;
        while let Some(batch) = self.pending.front() {
            let length = batch.bytes.len() as u64;
            if batch.segment_base != segment_base
                || (end > batches_from && end + length - batches_from > limits::RUN_BYTES_MAX)
            {
                break;
            }
            let batch = self.pending.pop_front().expect("the front was just seen");
            self.pending_bytes -= batch.bytes.len();
            end += length;
            batches.push(batch);
        }
        let at = self
            .open
            .iter()
            .position(|segment| segment.base_offset == segment_base)
            .expect("pending has a segment");
        let segment = &self.open[at];
        assert!(segment.durable_end == batches_from, "bypass at {batches_from} of {}", segment.durable_end);
        let file = segment.file.clone().expect("a segment with pending batches is open");
        let from = segment.run_start();
        let to = page_floor(end).max(from);
        let mut chunks = Chunks::new(from, to, chunk_bytes_max);
        self.gather_durable(segment_base, &mut chunks);
        for batch in batches.iter_mut().filter(|batch| !batch.bytes.is_empty()) {
            // The copy is all that is needed from here on: it is not held twice for as long as the disk takes.
            let bytes = std::mem::take(&mut batch.bytes);
            chunks.put_batch(&bytes, batch.base_offset, self.leader_epoch);
        }
        let remainder = std::mem::take(&mut chunks.beyond);
        let chunks = chunks.finish();
        self.remember_page(at, to, &chunks);
        Run {
            kind: RunKind::Bypass,
            segment_base,
            file,
            to,
            settles: batches_from,
            chunks,
            batches_from,
            remainder,
            batches,
        }
    }

    /// Puts the bytes from the run's first page to the end of what is durable.
    fn gather_durable(&self, segment_base: i64, chunks: &mut Chunks) {
        let segment = self.segment(segment_base).expect("a run has a segment");
        assert!(
            (segment.page_prefix.is_empty() || segment.prefix_journaled)
                || segment.written_to == segment.durable_end,
            "a page would be written again while the ring does not hold it"
        );
        chunks.put(&segment.page_prefix);
        let mut position = segment.written_to;
        for slice in self
            .tail
            .iter()
            .filter(|slice| slice.segment_base == segment_base && slice.end() > segment.written_to)
        {
            let skip = position.checked_sub(slice.position).expect("the tail has no gap") as usize;
            chunks.put(&slice.bytes[skip..]);
            position = slice.end();
        }
        assert!(
            position == segment.durable_end,
            "the tail ends at {position}, not at {}",
            segment.durable_end
        );
    }

    /// After a run that ends inside a page, the next entry begins with that page.
    fn remember_page(&mut self, at: usize, to: u64, chunks: &[(u64, Rc<Buffer>)]) {
        let within = (to - page_floor(to)) as usize;
        let page = chunks.last().filter(|_| within > 0).map(|(position, chunk)| {
            let start = (page_floor(to) - position) as usize;
            chunk[start..start + within].to_vec()
        });
        let segment = &mut self.open[at];
        segment.page_prefix = page.unwrap_or_default();
        segment.prefix_journaled = false;
    }

    /// The bytes below `to` are in the file: marks up to `settles` are done with. Returns how many bytes they held.
    fn settle(&mut self, segment_base: i64, to: u64, settles: u64) -> u64 {
        self.segment_mut(segment_base).written_to = to;
        self.pop_marks(segment_base, settles)
    }

    /// Marks of an older segment may stand before those of this one, and stay.
    pub(crate) fn pop_marks(&mut self, segment_base: i64, settles: u64) -> u64 {
        let (mut cleared, mut last) = (0, None);
        self.dirty.retain(|mark| {
            let is_settled = mark.segment_base == segment_base && mark.end <= settles;
            if is_settled {
                cleared += mark.bytes;
                last = Some(*mark);
            }
            !is_settled
        });
        let segment = self.segment_mut(segment_base);
        if let Some(mark) = last.filter(|mark| mark.end > segment.settled_end) {
            segment.settled_end = mark.end;
            segment.settled_next_offset = mark.next_offset;
        }
        cleared
    }

    /// Marks of bytes that were in the file already: a page's beginning journaled again for a run that never came.
    fn settle_leftovers(&mut self) -> u64 {
        let mut cleared = 0;
        for at in 0..self.open.len() {
            let segment = &mut self.open[at];
            segment.prefix_journaled = false;
            let (segment_base, written_to) = (segment.base_offset, segment.written_to);
            cleared += self.pop_marks(segment_base, written_to);
        }
        cleared
    }
}

/// Lays bytes into buffers of whole pages; what comes after the run's end is kept apart.
struct Chunks {
    to: u64,
    position: u64,
    chunk_bytes_max: usize,
    done: Vec<(u64, Rc<Buffer>)>,
    current: Option<(u64, Buffer, usize)>,
    beyond: Vec<u8>,
}

impl Chunks {
    fn new(from: u64, to: u64, chunk_bytes_max: usize) -> Self {
        Self { to, position: from, chunk_bytes_max, done: Vec::new(), current: None, beyond: Vec::new() }
    }

    fn put(&mut self, bytes: &[u8]) {
        let inside = bytes.len().min((self.to - self.position) as usize);
        let (mut inside, beyond) = bytes.split_at(inside);
        self.beyond.extend_from_slice(beyond);
        while !inside.is_empty() {
            let (to, position, bytes_max) = (self.to, self.position, self.chunk_bytes_max as u64);
            let (_, buffer, filled) = self.current.get_or_insert_with(|| {
                let length = page_ceil(to - position).min(bytes_max);
                (position, Buffer::new(length as usize), 0)
            });
            let fits = inside.len().min(buffer.len() - *filled);
            let (here, rest) = inside.split_at(fits);
            buffer[*filled..*filled + fits].copy_from_slice(here);
            *filled += fits;
            self.position += fits as u64;
            inside = rest;
            if *filled == buffer.len() {
                self.close_current();
            }
        }
    }

    /// A batch with its offset and epoch set; they lie in its first 16 bytes, which may fall into two chunks.
    fn put_batch(&mut self, bytes: &Bytes, base_offset: i64, leader_epoch: i32) {
        let (head, rest) = bytes.split_at(wire::batch::BATCH_HEADER_BYTES);
        let mut assigned = [0; wire::batch::BATCH_HEADER_BYTES];
        assigned.copy_from_slice(head);
        wire::batch::assign(&mut assigned, base_offset, leader_epoch);
        self.put(&assigned);
        self.put(rest);
    }

    fn close_current(&mut self) {
        if let Some((position, mut buffer, filled)) = self.current.take() {
            buffer[filled..].fill(0);
            self.done.push((position, Rc::new(buffer)));
        }
    }

    fn finish(mut self) -> Vec<(u64, Rc<Buffer>)> {
        self.close_current();
        assert!(self.position == self.to, "a run to {} was filled to {}", self.to, self.position);
        self.done
    }
}
