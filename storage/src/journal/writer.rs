//! The one task of a shard that writes its ring. Hot path.
//!
//! While one durable write is under way the batches of all partitions gather for the next: batching comes from load, not
//! from a timer. One write in flight, so `durable_sequence` is always the sequence before.
//!
//! **Invariant**: after a failed write nothing is acknowledged any more; reads go on, and a restart recovers.

use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use runtime::buffer::Buffer;
use runtime::file::FileError;

use crate::error::AppendError;
use crate::journal::format::{WRITE_HEADER_BYTES, WriteHeader};
use crate::journal::ring::Place;
use crate::limits::{self, page_ceil};
use crate::log::stage::{Stage, Staged};
use crate::shard::{Logs, Shard};
use crate::slice::Slice;
use crate::stats;

/// Runs until the shard stops and nothing is queued any more.
pub(crate) async fn run(shard: Rc<Shard>, logs: Rc<Logs>) {
    loop {
        let woken = shard.journal_wake.wait();
        match gather(&shard) {
            Gathered::Write(items, bytes) => {
                shard.queue.borrow_mut().has_no_room = false;
                write(&shard, &logs, items, bytes).await;
            }
            Gathered::Nothing if is_over(&shard) => break,
            Gathered::Nothing => woken.await,
            Gathered::RingFull => {
                stats::add(&shard.counters.ring_full_stalls, 1);
                shard.queue.borrow_mut().has_no_room = true;
                shard.checkpoint_wake.notify_all();
                woken.await;
            }
        }
    }
}

fn is_over(shard: &Shard) -> bool {
    let queue = shard.queue.borrow();
    queue.failed.is_some()
        || (queue.stopping && queue.logs.is_empty() && shard.counters.pending_bytes.get() == 0)
}

enum Gathered {
    Nothing,
    RingFull,
    Write(Vec<Staged>, usize),
}

/// Takes entries from the queued logs until a write is full or the queue empty.
fn gather(shard: &Rc<Shard>) -> Gathered {
    let room = if shard.is_dirty_full() { 0 } else { shard.queue.borrow().space.room() as usize };
    let bytes_max = room.min(shard.options.journal_write_bytes_max);
    let mut bytes = WRITE_HEADER_BYTES;
    let mut items = Vec::new();
    let mut no_room = false;
    while !no_room {
        let Some(queued) = shard.queue.borrow_mut().logs.pop_front() else { break };
        let Some(log) = queued.upgrade() else { continue };
        match log.stage(bytes_max.saturating_sub(bytes)) {
            Stage::Nothing => {}
            Stage::Entry(staged) => {
                bytes += staged.space();
                items.push(staged);
            }
            Stage::Bypass => log.start_bypass(),
            Stage::NoRoom => {
                log.state.borrow_mut().queued = true;
                shard.queue.borrow_mut().logs.push_front(queued);
                no_room = true;
            }
        }
    }
    match (items.is_empty(), no_room) {
        (true, true) => Gathered::RingFull,
        (true, false) => Gathered::Nothing,
        (false, _) => Gathered::Write(items, bytes),
    }
}

async fn write(shard: &Shard, logs: &Logs, items: Vec<Staged>, content: usize) {
    let length = page_ceil(content as u64);
    let (place, sequence, header) = begin(shard, length, content, items.len());
    let mut buffer = Buffer::new(length as usize);
    let starts = fill(&mut buffer, &items, header);
    let buffer = Rc::new(buffer);
    let file = shard.ring.borrow().file(place).clone();
    let outcome = file.write_at(buffer.clone(), place.offset).await;
    stats::add(&shard.counters.journal_writes, 1);
    stats::add(&shard.counters.journal_bytes, length);
    match outcome {
        Ok(()) => {
            shard.queue.borrow_mut().last_complete = sequence;
            let ranges = items.iter().zip(starts).map(|(staged, start)| staged.new_bytes(start)).collect();
            for (staged, bytes) in items.into_iter().zip(slices(buffer, ranges)) {
                staged.complete(bytes, sequence);
            }
            if shard.checkpoint_asleep.get() {
                shard.checkpoint_wake.notify_all();
            }
        }
        Err(error) => fail(shard, logs, items, &error),
    }
    shard.progress.notify_all();
}

/// Takes a place in the ring and a sequence, and the header but for its checksums.
fn begin(shard: &Shard, length: u64, content: usize, entries: usize) -> (Place, u64, WriteHeader) {
    let mut queue = shard.queue.borrow_mut();
    let sequence = queue.next_sequence;
    queue.next_sequence += 1;
    let place =
        queue.space.reserve(sequence, length).expect("the write was gathered to fit into the ring's room");
    let ring = shard.ring.borrow();
    let header = WriteHeader {
        flags: ring.flags,
        ring: ring.uuid,
        start_epoch: ring.start_epoch,
        sequence,
        file: place.file,
        entry_count: u32::try_from(entries).expect("an entry takes 64 bytes of at most 1 MiB"),
        file_offset: place.offset,
        length: u32::try_from(length).expect("a journal write is at most 1 MiB"),
        entries_length: u32::try_from(content - WRITE_HEADER_BYTES)
            .expect("a journal write is at most 1 MiB"),
        durable_sequence: queue.last_complete,
        redo_from_sequence: queue.redo_from.0,
        redo_from_place: queue.redo_from.1,
        entries_crc: 0,
    };
    (place, sequence, header)
}

/// Lays the entries into the buffer and returns where each begins.
fn fill(buffer: &mut Buffer, items: &[Staged], mut header: WriteHeader) -> Vec<usize> {
    let mut starts = Vec::with_capacity(items.len());
    let mut at = WRITE_HEADER_BYTES;
    for staged in items {
        let end = at + staged.space();
        staged.encode(&mut buffer[at..end]);
        starts.push(at);
        at = end;
    }
    buffer[at..].fill(0);
    header.entries_crc = crc32fast::hash(&buffer[WRITE_HEADER_BYTES..at]);
    buffer[..WRITE_HEADER_BYTES].copy_from_slice(&header.encode());
    starts
}

/// What readers get of a write: parts of its buffer, or of a copy where the buffer would be mostly padding.
fn slices(buffer: Rc<Buffer>, ranges: Vec<Range<usize>>) -> Vec<Slice> {
    if buffer.len() >= limits::SHARED_WRITE_BYTES_MIN {
        return ranges.into_iter().map(|range| Slice::new(buffer.clone(), range)).collect();
    }
    let mut copy = Vec::with_capacity(ranges.iter().map(Range::len).sum());
    let mut places = Vec::with_capacity(ranges.len());
    for range in ranges {
        let start = copy.len();
        copy.extend_from_slice(&buffer[range]);
        places.push(start..copy.len());
    }
    let copy = Bytes::from(copy);
    places.into_iter().map(|place| Slice::copied(copy.clone(), place)).collect()
}

fn fail(shard: &Shard, logs: &Logs, items: Vec<Staged>, error: &FileError) {
    let error = AppendError::JournalFailed { reason: error.to_string() };
    for staged in items {
        staged.fail(&error);
    }
    if let AppendError::JournalFailed { reason } = error {
        stop(shard, logs, &reason);
    }
}

/// Nothing more is acknowledged on this shard: what is pending is refused, and so is what comes.
pub(crate) fn stop(shard: &Shard, logs: &Logs, reason: &str) {
    shard.queue.borrow_mut().failed = Some(reason.to_owned());
    let error = AppendError::JournalFailed { reason: reason.to_owned() };
    let all: Vec<_> = logs.borrow().values().cloned().collect();
    for log in all {
        log.fail_pending(&error);
        // Who waits for the start to be durable waits for nothing now.
        log.readable.notify_all();
    }
    shard.queue.borrow_mut().logs.clear();
    shard.journal_wake.notify_all();
    shard.checkpoint_wake.notify_all();
    shard.progress.notify_all();
}
