//! Brings journaled bytes into their segments, oldest first, and says so in a table, so that the ring can go on.
//!
//! One task a shard. It sleeps while nothing is dirty; otherwise it works when a quarter of the dirty budget is used, when
//! the ring is half full, when bytes are old, or when the shard has been quiet for a second. A table follows each pass:
//! only then is space in the ring free.

use std::rc::Rc;
use std::time::Duration;

use runtime::clock;
use runtime::file::FileError;
use runtime::task;

use crate::journal::ring;
use crate::journal::table::{TableRecord, table_space};
use crate::limits;
use crate::log::LogInner;
use crate::log::state::LogState;
use crate::shard::{Logs, Shard};
use crate::stats;

/// A table that has no space on the disk is tried again so much later.
const FULL_DISK_RETRY: Duration = Duration::from_millis(limits::CHECKPOINT_QUIET_MS);

/// Runs until the shard stops; the last pass, which leaves the ring empty, is [`finish`]'s.
pub(crate) async fn run(shard: Rc<Shard>, logs: Rc<Logs>) {
    // The last write that a table names which leaves nothing more to be said.
    let mut tabled_at = Some(shard.queue.borrow().last_complete);
    // Appends up to the last look at idle files, and when it was.
    let (mut looked_at, mut looked) = (0, clock::now());
    while !shard.gate.is_closing() {
        let woken = shard.checkpoint_wake.wait();
        let (has_failed, last, has_no_room) = {
            let queue = shard.queue.borrow();
            (queue.failed.is_some(), queue.last_complete, queue.has_no_room)
        };
        if has_failed {
            return;
        }
        let is_done = shard.dirty.borrow().is_empty() && tabled_at == Some(last) && !shard.wants_table();
        let appended = shard.counters.appended_batches.get();
        if is_done && has_no_room {
            if let Some(reason) = held_up_by(&logs) {
                crate::journal::writer::stop(&shard, &logs, &reason);
                return;
            }
        } else if is_done && looked_at == appended {
            shard.checkpoint_asleep.set(true);
            woken.await;
            shard.checkpoint_asleep.set(false);
            looked = clock::now();
            continue;
        }
        let are_old = looked.elapsed() >= Duration::from_millis(limits::CHECKPOINT_AGE_MS);
        if !has_no_room && !are_old && !is_due(&shard) {
            let _ = clock::timeout(Duration::from_millis(limits::CHECKPOINT_QUIET_MS / 4), woken).await;
            continue;
        }
        let quiet = is_quiet(&shard);
        pass(&shard, &logs, quiet).await;
        match write_table(&shard, &logs).await {
            Ok(table) => {
                tabled_at = (!may_say_more(&logs, table)).then_some(table.last_sequence);
                shard.free_in_background();
            }
            // Nothing was written: the slots are as they were, and it is tried again when there may be room.
            Err(error) if error.is_out_of_space() => clock::sleep(FULL_DISK_RETRY).await,
            Err(error) => {
                stop_journal(&shard, &logs, &error);
                return;
            }
        }
        if quiet || are_old {
            close_idle(&logs, quiet).await;
            (looked_at, looked) = (appended, clock::now());
        }
        if quiet && tabled_at.is_none() {
            let progress = shard.progress.wait();
            let _ = clock::timeout(Duration::from_millis(limits::CHECKPOINT_QUIET_MS / 4), progress).await;
        }
    }
}

/// Where the last table asked for more of the ring than a later one will: a segment was still being closed. Without that
/// later one a shard that falls quiet would leave its ring used, and a restart something to redo.
fn may_say_more(logs: &Logs, table: Tabled) -> bool {
    let is_closing = |log: &Rc<LogInner>| log.state.borrow().open.iter().any(|segment| segment.closing);
    table.redo_from <= table.last_sequence
        && (logs.borrow().values().any(is_closing)
            || survey(logs).1.is_none_or(|needed| needed > table.redo_from))
}

fn is_quiet(shard: &Shard) -> bool {
    shard.last_append.get().elapsed() >= Duration::from_millis(limits::CHECKPOINT_QUIET_MS)
}

fn is_due(shard: &Shard) -> bool {
    let dirty_bytes = shard.counters.dirty_bytes.get();
    let ring_used = shard.queue.borrow().space.used();
    dirty_bytes >= shard.options.dirty_bytes_max() / 4
        || ring_used >= shard.options.ring_bytes() / 2
        || is_quiet(shard)
}

/// Writes dirty logs, oldest first: all that were dirty at the beginning.
async fn pass(shard: &Shard, logs: &Logs, everything: bool) {
    let last_sequence = shard.queue.borrow().last_complete;
    loop {
        let progress = shard.progress.wait();
        let under_way = start_runs(shard, logs, last_sequence, everything);
        if shard.queue.borrow().failed.is_some() {
            break;
        }
        if under_way == 0 && oldest(shard).is_none_or(|sequence| sequence > last_sequence) {
            break;
        }
        if !everything && under_way == 0 && !is_due(shard) {
            break;
        }
        if under_way > 0 {
            progress.await;
        } else {
            // Those looked at were in their segments already; nothing is under way that would wake us for the others.
            task::yield_now().await;
        }
    }
}

fn oldest(shard: &Shard) -> Option<u64> {
    shard.dirty.borrow().first().map(|(sequence, _)| *sequence)
}

/// Starts runs for the oldest logs and returns how many are under way or waited for.
fn start_runs(shard: &Shard, logs: &Logs, last_sequence: u64, everything: bool) -> usize {
    let pressed = everything || shard.counters.dirty_bytes.get() >= shard.options.dirty_bytes_max() / 2;
    let runs_max = if pressed { limits::CHECKPOINT_RUNS_PRESSED } else { limits::CHECKPOINT_RUNS_PACED };
    let due: Vec<_> = {
        let dirty = shard.dirty.borrow();
        dirty.iter().take_while(|(sequence, _)| *sequence <= last_sequence).take(runs_max).copied().collect()
    };
    let mut under_way = 0;
    for (_, uid) in due {
        let Some(log) = logs.borrow().get(&uid).cloned() else { continue };
        if log.start_checkpoint() {
            under_way += 1;
        }
    }
    under_way
}

/// Lets go of the files of logs in which nothing has happened since the last look, or of all when the shard is quiet.
async fn close_idle(logs: &Logs, quiet: bool) {
    let idle: Vec<_> = {
        let logs = logs.borrow();
        logs.values().filter_map(|log| Some((log.clone(), log.idle_since(quiet)?))).collect()
    };
    for (log, appends) in idle {
        log.snapshot_producers(limits::PRODUCER_SNAPSHOT_INTERVAL_BYTES).await;
        let file = log.take_idle_file(appends);
        if let Some(file) = file {
            // All of its bytes were durable when they were written.
            let _ = file.close().await;
        }
    }
}

/// What a table says of the ring.
#[derive(Clone, Copy)]
pub(crate) struct Tabled {
    last_sequence: u64,
    redo_from: u64,
}

/// Writes what is in the segments into the older table, then frees the ring up to it.
pub(crate) async fn write_table(shard: &Shard, logs: &Logs) -> Result<Tabled, FileError> {
    let space = table_space(logs.borrow().len());
    let slots = shard.ring.borrow().slots_to_extend(space);
    if let Some(slots) = slots {
        ring::extend_slots(&slots, space).await?;
        shard.ring.borrow_mut().slots_extended(space);
    }
    let (records, needed) = survey(logs);
    let (redo_from, last_sequence) = {
        let queue = shard.queue.borrow();
        // A write under way has no marks yet: nothing from it on may be left out.
        let sequence = needed.unwrap_or(u64::MAX).min(queue.last_complete + 1);
        let place = queue.space.within(queue.space.place_of(sequence));
        ((sequence, place), queue.last_complete)
    };
    let (slot, table) = shard.ring.borrow_mut().next_table(redo_from, last_sequence, records);
    shard.table_under_way.set(true);
    let written = ring::write_table(&slot, &table).await;
    shard.table_under_way.set(false);
    written?;
    stats::add(&shard.counters.tables, 1);
    let mut queue = shard.queue.borrow_mut();
    queue.redo_from = redo_from;
    queue.has_no_room = false;
    queue.space.free_before(redo_from.0);
    drop(queue);
    shard.journal_wake.notify_all();
    Ok(Tabled { last_sequence, redo_from: redo_from.0 })
}

/// What the table says of each log, and the oldest journal write that any of them still needs.
fn survey(logs: &Logs) -> (Vec<TableRecord>, Option<u64>) {
    let logs = logs.borrow();
    let mut needed: Option<u64> = None;
    let mut records = Vec::with_capacity(logs.len());
    for log in logs.values() {
        let state = log.state.borrow();
        if let Some(record) = state.record() {
            records.push(record);
            needed = needed.into_iter().chain(state.needed_sequence()).min();
        }
    }
    (records, needed)
}

impl LogState {
    /// The end of what is in the oldest open segment: everything after it is in the ring.
    fn record(&self) -> Option<TableRecord> {
        let segment = self.open.front().filter(|_| !self.removed)?;
        Some(TableRecord {
            uid: self.uid.0,
            leader_epoch: self.leader_epoch,
            segment_base: segment.base_offset,
            end_position: segment.settled_end,
            next_offset: segment.settled_next_offset,
            log_start: self.log_start,
        })
    }
}

/// Why the ring will never go on, if so: its oldest bytes belong to a partition that cannot be written, and all else has been.
/// Then the shard refuses what comes instead of letting it wait for good.
fn held_up_by(logs: &Logs) -> Option<String> {
    let logs = logs.borrow();
    let needs = |log: &Rc<LogInner>| Some((log.state.borrow().needed_sequence()?, log.clone()));
    let (_, oldest) = logs.values().filter_map(needs).min_by_key(|(sequence, _)| *sequence)?;
    let state = oldest.state.borrow();
    let reason = state.read_only.as_ref()?;
    Some(format!(
        "no room: it has to keep the bytes of partition {}, which cannot be written: {reason}",
        state.uid
    ))
}

/// Without tables the ring cannot go on: nothing more is acknowledged.
fn stop_journal(shard: &Shard, logs: &Logs, error: &FileError) {
    crate::journal::writer::stop(shard, logs, &format!("checkpoint table: {error}"));
}

/// The last pass of a clean stop: everything goes into its segment, the table leaves the ring empty, and no file is longer
/// than what it holds.
pub(crate) async fn finish(shard: &Shard, logs: &Logs) -> Result<(), FileError> {
    loop {
        pass(shard, logs, true).await;
        let progress = shard.progress.wait();
        let busy = logs.borrow().values().any(|log| !log.is_settled_for_stop());
        if !busy || shard.queue.borrow().failed.is_some() {
            break;
        }
        progress.await;
    }
    write_table(shard, logs).await?;
    let all: Vec<_> = logs.borrow().values().cloned().collect();
    let tidied = all.into_iter().map(|log| {
        task::spawn(async move {
            let _permit = log.shard.openings.acquire(1).await;
            log.snapshot_producers(1).await;
            log.cut_to_end().await;
        })
    });
    for log in tidied.collect::<Vec<_>>() {
        log.await;
    }
    Ok(())
}

impl LogInner {
    fn is_settled_for_stop(&self) -> bool {
        let state = self.state.borrow();
        state.read_only.is_some() || (state.is_quiet() && state.open.len() <= 1)
    }
}
