//! Brings a log's pending batches into a journal write, and makes them readable when the write is durable. Hot path.

use std::ops::Range;
use std::rc::Rc;

use crate::journal::format::{ENTRY_HEADER_BYTES, EntryHeader, EntryKind, entry_space};
use crate::limits;
use crate::log::LogInner;
use crate::log::state::{DirtyMark, LogState, Pending, Remainder, RunKind, TailSlice};
use crate::slice::Slice;

/// One entry of the journal write being gathered.
pub(crate) struct Staged {
    pub(crate) log: Rc<LogInner>,
    header: EntryHeader,
    /// Bytes before the first batch: a page's beginning that is written once more, or what a bypass run left.
    lead: Vec<u8>,
    /// Bytes at the beginning of `lead` that readers have already.
    lead_known: usize,
    batches: Vec<Pending>,
}

pub(crate) enum Stage {
    /// There is nothing to journal, or not now: who holds the log up queues it again.
    Nothing,
    Entry(Staged),
    /// The next batch does not fit into what is left of the write.
    NoRoom,
    /// So much is pending that it goes to the segment directly.
    Bypass,
}

impl LogInner {
    /// Takes what may go into a write with so many bytes left.
    pub(crate) fn stage(self: &Rc<Self>, bytes_left: usize) -> Stage {
        let mut state = self.state.borrow_mut();
        state.queued = false;
        state.answer_repeats(self);
        assert!(!state.entry_in_flight, "partition {} staged twice", state.uid);
        if state.run == Some(RunKind::Bypass) {
            return Stage::Nothing;
        }
        // Where not even an entry's header fits there is no room for a note either, which has no bytes.
        let room = bytes_left.checked_sub(ENTRY_HEADER_BYTES + 8);
        if let Some(remainder) = state.remainder.take() {
            if room.is_none_or(|room| remainder.bytes.len() > room) {
                state.remainder = Some(remainder);
                return Stage::NoRoom;
            }
            return Stage::Entry(self.stage_remainder(&mut state, remainder));
        }
        let Some(first) = state.pending.front() else { return self.stage_start(&mut state, room.is_some()) };
        let first_length = first.bytes.len();
        let bypass_bytes_min = self.shard.options.bypass_bytes_min;
        let is_large = state.is_large(bypass_bytes_min);
        let has_lead = !state.lead_of_next().is_empty();
        if is_large && !has_lead && state.run.is_none() {
            return Stage::Bypass;
        }
        if first_length >= bypass_bytes_min && !has_lead {
            return Stage::Nothing;
        }
        let Some(room) = room else { return Stage::NoRoom };
        let lead_bytes = state.lead_of_next().len();
        let only_lead = first_length >= bypass_bytes_min;
        if lead_bytes + if only_lead { 0 } else { first_length } > room {
            return Stage::NoRoom;
        }
        let budget = if only_lead { 0 } else { room.min(bypass_bytes_min.max(first_length + lead_bytes)) };
        Stage::Entry(self.stage_batches(&mut state, budget))
    }

    fn stage_remainder(self: &Rc<Self>, state: &mut LogState, remainder: Remainder) -> Staged {
        let next_offset =
            remainder.batches.iter().map(|batch| batch.next_offset).max().unwrap_or(state.high_watermark);
        let kind = if remainder.bytes.is_empty() { EntryKind::Note } else { EntryKind::Data };
        let length = remainder.bytes.len();
        state.entry_in_flight = true;
        Staged {
            log: self.clone(),
            header: state.entry(kind, remainder.segment_base, remainder.position, length, next_offset),
            lead: remainder.bytes,
            lead_known: 0,
            batches: remainder.batches,
        }
    }

    /// A note with nothing but the start, if one is wanted: any other entry would have carried it.
    fn stage_start(self: &Rc<Self>, state: &mut LogState, has_room: bool) -> Stage {
        let place = state.durable_place().filter(|_| state.wants_start());
        let Some((segment_base, position)) = place else { return Stage::Nothing };
        if !has_room {
            return Stage::NoRoom;
        }
        state.entry_in_flight = true;
        Stage::Entry(Staged {
            log: self.clone(),
            header: state.entry(EntryKind::Note, segment_base, position, 0, state.high_watermark),
            lead: Vec::new(),
            lead_known: 0,
            batches: Vec::new(),
        })
    }

    /// The first pending batches of one segment, as many as the budget holds; none with a budget of 0.
    fn stage_batches(self: &Rc<Self>, state: &mut LogState, budget: usize) -> Staged {
        let lead = state.lead_of_next().to_vec();
        let first = state.pending.front().expect("staged with pending batches");
        let (segment_base, first_position) = (first.segment_base, first.position);
        let mut length = lead.len();
        let mut next_offset = state.high_watermark;
        let mut batches = Vec::new();
        while let Some(batch) = state.pending.front() {
            if batch.segment_base != segment_base || length + batch.bytes.len() > budget {
                break;
            }
            let batch = state.pending.pop_front().expect("the front was just seen");
            length += batch.bytes.len();
            next_offset = next_offset.max(batch.next_offset);
            state.pending_bytes -= batch.bytes.len();
            batches.push(batch);
        }
        let kind = if length == 0 { EntryKind::Note } else { EntryKind::Data };
        let position = first_position - lead.len() as u64;
        state.entry_in_flight = true;
        Staged {
            log: self.clone(),
            header: state.entry(kind, segment_base, position, length, next_offset),
            lead_known: lead.len(),
            lead,
            batches,
        }
    }
}

impl LogState {
    /// So much is pending for the segment of the first pending batch.
    fn is_large(&self, bytes_min: usize) -> bool {
        let first = self.pending.front().map(|batch| batch.segment_base);
        let mut bytes = 0;
        self.pending_bytes >= bytes_min
            && self.pending.iter().take_while(|batch| Some(batch.segment_base) == first).any(|batch| {
                bytes += batch.bytes.len();
                bytes >= bytes_min
            })
    }

    /// What the entry that begins with the first pending batch has to carry before it.
    fn lead_of_next(&self) -> &[u8] {
        let Some(first) = self.pending.front() else { return &[] };
        self.segment(first.segment_base).map_or(&[], |segment| segment.lead())
    }

    fn entry(
        &self,
        kind: EntryKind,
        segment_base: i64,
        position: u64,
        length: usize,
        next_offset: i64,
    ) -> EntryHeader {
        let length = u32::try_from(length).expect("an entry is shorter than a journal write");
        let (leader_epoch, log_start, uid) = (self.leader_epoch, self.start_wanted, self.uid.0);
        EntryHeader { kind, leader_epoch, uid, segment_base, position, length, next_offset, log_start }
    }

    /// Answers duplicates at the front whose original is durable by now.
    fn answer_repeats(&mut self, log: &LogInner) {
        while self
            .pending
            .front()
            .is_some_and(|batch| batch.bytes.is_empty() && batch.next_offset <= self.high_watermark)
        {
            let batch = self.pending.pop_front().expect("the front was just seen");
            log.acknowledge(&batch, self.log_start);
        }
    }
}

impl LogInner {
    fn acknowledge(&self, batch: &Pending, log_start: i64) {
        self.shard.pending_fell(batch.length);
        batch.acks.push(batch.token, Ok(batch.appended(log_start)));
    }
}

impl Staged {
    pub(crate) fn space(&self) -> usize {
        entry_space(self.header.length as usize)
    }

    /// Writes the entry into the journal's buffer; offsets and leader epoch are set in the copy.
    pub(crate) fn encode(&self, out: &mut [u8]) {
        let (header, rest) = out.split_at_mut(ENTRY_HEADER_BYTES);
        header.copy_from_slice(&self.header.encode());
        let (lead, mut rest) = rest.split_at_mut(self.lead.len());
        lead.copy_from_slice(&self.lead);
        if !self.has_own_batches() {
            rest.fill(0);
            return;
        }
        for batch in self.batches.iter().filter(|batch| !batch.bytes.is_empty()) {
            let (here, after) = rest.split_at_mut(batch.bytes.len());
            here.copy_from_slice(&batch.bytes);
            wire::batch::assign(here, batch.base_offset, self.header.leader_epoch);
            rest = after;
        }
        rest.fill(0);
    }

    /// False where the batches are in the segment already and the entry only carries their end.
    fn has_own_batches(&self) -> bool {
        self.header.length as usize != self.lead.len()
    }

    /// Where the bytes lie that readers do not have yet, of an entry that begins at `start`.
    pub(crate) fn new_bytes(&self, start: usize) -> Range<usize> {
        let content = start + ENTRY_HEADER_BYTES;
        content + self.lead_known..content + self.header.length as usize
    }

    /// The write is durable: what it says of the log holds from now on, and `bytes` are what readers did not have.
    pub(crate) fn complete(self, bytes: Slice, sequence: u64) {
        let log = self.log.clone();
        let shard = log.shard.clone();
        let known = self.lead_known;
        let held = self.space() + limits::SLICE_BYTES;
        {
            let mut state = log.state.borrow_mut();
            state.entry_in_flight = false;
            if state.removed {
                drop(state);
                self.batches.iter().for_each(|batch| log.refuse(batch));
                return;
            }
            state.became_durable(&self.header, known, sequence, held);
        }
        if !bytes.is_empty() {
            let position = self.header.position + known as u64;
            shard.cache(&log, TailSlice { segment_base: self.header.segment_base, position, bytes, held });
        }
        if self.header.kind == EntryKind::Data {
            shard.dirty_grew(held as u64);
            shard.reorder(&log);
        }
        let log_start = log.state.borrow().log_start;
        self.batches.iter().for_each(|batch| log.acknowledge(batch, log_start));
        log.leave_below_start();
        log.readable.notify_all();
        log.close_settled();
        // A log that is in every journal write would otherwise never be out of one when the checkpointer looks.
        if log.state.borrow().wants_checkpoint() {
            log.start_checkpoint();
        }
        if log.has_work() {
            shard.enqueue(&log);
        }
    }

    /// The write failed: nothing of it is acknowledged.
    pub(crate) fn fail(self, error: &crate::error::AppendError) {
        self.log.state.borrow_mut().entry_in_flight = false;
        for batch in &self.batches {
            self.log.shard.pending_fell(batch.length);
            batch.acks.push(batch.token, Err(error.clone()));
        }
        self.log.fail_pending(error);
    }
}

impl LogInner {
    fn refuse(&self, batch: &Pending) {
        self.shard.pending_fell(batch.length);
        batch.acks.push(batch.token, Err(crate::error::AppendError::Removed));
    }

    /// There is something that the journal could take.
    pub(crate) fn has_work(&self) -> bool {
        let state = self.state.borrow();
        !state.pending.is_empty() || state.remainder.is_some() || state.wants_start()
    }
}

impl LogState {
    /// Asked for by the checkpointer; or a segment was left behind with bytes that are only in memory and in the ring. A ring
    /// that large batches go around would not ask for them for gigabytes, and what comes after them in the tail stays with them.
    fn wants_checkpoint(&self) -> bool {
        let mut left_behind = self.open.iter().rev().skip(1);
        self.run_wanted || left_behind.any(|segment| segment.written_to < segment.durable_end)
    }

    fn became_durable(&mut self, entry: &EntryHeader, lead_known: usize, sequence: u64, held: usize) {
        self.high_watermark = entry.next_offset;
        self.log_start = self.log_start.max(entry.log_start);
        if entry.length == 0 && self.segment(entry.segment_base).is_none() {
            // A note of the start, in a segment that was complete: it has been closed meanwhile.
            return;
        }
        let segment = self.segment_mut(entry.segment_base);
        assert!(
            entry.end() >= segment.durable_end,
            "entry ends at {} before {}",
            entry.end(),
            segment.durable_end
        );
        segment.durable_end = entry.end();
        segment.first_sequence.get_or_insert(sequence);
        if lead_known > 0 {
            segment.prefix_journaled = true;
        }
        match entry.kind {
            EntryKind::Note => {
                if segment.written_to == segment.durable_end {
                    segment.settled_end = segment.durable_end;
                    segment.settled_next_offset = entry.next_offset;
                }
            }
            EntryKind::Data => self.dirty.push_back(DirtyMark {
                segment_base: entry.segment_base,
                end: entry.end(),
                next_offset: entry.next_offset,
                sequence,
                bytes: held as u64,
            }),
        }
    }
}
