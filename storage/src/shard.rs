//! What the logs of one shard share: the ring's queue and space, the budgets, the checkpointer's order of work.
//!
//! Plain cells, one thread. **Invariants**: no borrow is held over an await. A log owns its shard, so nothing in a shard
//! owns a log: neither would ever be freed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::{Rc, Weak};

use runtime::clock::{self, Instant};
use runtime::gate::Gate;
use runtime::sync::{Event, Semaphore};

use crate::error::AppendError;
use crate::journal::ring::{Ring, Space};
use crate::limits;
use crate::log::LogInner;
use crate::log::state::TailSlice;
use crate::options::{PartitionUid, StorageOptions};
use crate::stats::Counters;

/// The logs of a shard. Its store and its two tasks own them: a table that one of the tasks writes has all of them,
/// also where nobody holds the store any more.
pub(crate) type Logs = RefCell<BTreeMap<PartitionUid, Rc<LogInner>>>;

pub(crate) struct Shard {
    pub(crate) options: StorageOptions,
    pub(crate) ring: RefCell<Ring>,
    pub(crate) queue: RefCell<Queue>,
    /// Something was queued for the journal, or the ring has room again.
    pub(crate) journal_wake: Event,
    pub(crate) checkpoint_wake: Event,
    /// The checkpointer found nothing to do and waits without a timer.
    pub(crate) checkpoint_asleep: Cell<bool>,
    /// A run or a journal write ended.
    pub(crate) progress: Event,
    /// Pending bytes fell under their limit.
    pub(crate) room: Event,
    /// First needed journal write of each log with dirty bytes: the checkpointer takes the oldest.
    pub(crate) dirty: RefCell<BTreeSet<(u64, PartitionUid)>>,
    cache_order: RefCell<VecDeque<CacheRef>>,
    pub(crate) counters: Counters,
    pub(crate) openings: Semaphore,
    /// Who decompresses a batch to look into it holds the one permit: it takes much memory.
    pub(crate) decompressions: Semaphore,
    pub(crate) last_append: Cell<Instant>,
    /// A table is being written: put together before now.
    pub(crate) table_under_way: Cell<bool>,
    /// Logs with segments below their start.
    pub(crate) to_free: RefCell<VecDeque<Weak<LogInner>>>,
    /// The task that frees them runs.
    pub(crate) is_freeing: Cell<bool>,
    pub(crate) gate: Gate,
}

/// The journal's side of the shard.
pub(crate) struct Queue {
    /// Logs with something for the next journal write.
    pub(crate) logs: VecDeque<Weak<LogInner>>,
    pub(crate) space: Space,
    pub(crate) next_sequence: u64,
    pub(crate) last_complete: u64,
    /// The oldest write a durable table still asks for, and where it lies within the ring.
    pub(crate) redo_from: (u64, u64),
    /// The writer has something, and neither ring nor budget has had room for it since the last table.
    pub(crate) has_no_room: bool,
    pub(crate) failed: Option<String>,
    pub(crate) stopping: bool,
}

/// The oldest slice of a log's tail, once those that stand before it in the order are gone.
struct CacheRef {
    log: Weak<LogInner>,
    /// Of memory.
    bytes: usize,
}

impl Shard {
    pub(crate) fn new(options: StorageOptions, ring: Ring, queue: Queue) -> Rc<Self> {
        Rc::new(Self {
            options,
            ring: RefCell::new(ring),
            queue: RefCell::new(queue),
            journal_wake: Event::new(),
            checkpoint_wake: Event::new(),
            checkpoint_asleep: Cell::new(false),
            progress: Event::new(),
            room: Event::new(),
            dirty: RefCell::new(BTreeSet::new()),
            cache_order: RefCell::new(VecDeque::new()),
            counters: Counters::default(),
            openings: Semaphore::new(limits::OPENINGS_IN_FLIGHT),
            decompressions: Semaphore::new(1),
            last_append: Cell::new(clock::now()),
            table_under_way: Cell::new(false),
            to_free: RefCell::new(VecDeque::new()),
            is_freeing: Cell::new(false),
            gate: Gate::new(),
        })
    }

    /// Puts a log into the journal's queue once.
    pub(crate) fn enqueue(&self, log: &Rc<LogInner>) {
        let mut state = log.state.borrow_mut();
        if state.queued || state.entry_in_flight {
            return;
        }
        state.queued = true;
        drop(state);
        let mut queue = self.queue.borrow_mut();
        let was_empty = queue.logs.is_empty();
        queue.logs.push_back(Rc::downgrade(log));
        drop(queue);
        if was_empty {
            self.journal_wake.notify_all();
        }
    }

    /// Why no log of this shard can take a batch, if so.
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        let queue = self.queue.borrow();
        if let Some(reason) = &queue.failed {
            return Some(AppendError::JournalFailed { reason: reason.clone() });
        }
        queue.stopping.then_some(AppendError::Stopping)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.counters.pending_bytes.get() < self.options.pending_bytes_max() as u64
    }

    pub(crate) fn pending_grew(&self, bytes: usize) {
        self.counters.pending_bytes.set(self.counters.pending_bytes.get() + bytes as u64);
    }

    pub(crate) fn pending_fell(&self, bytes: usize) {
        let had_room = self.has_room();
        self.counters.pending_bytes.set(self.counters.pending_bytes.get() - bytes as u64);
        if !had_room && self.has_room() {
            self.room.notify_all();
        }
        if self.counters.pending_bytes.get() == 0 && self.queue.try_borrow().is_ok_and(|queue| queue.stopping)
        {
            self.journal_wake.notify_all();
        }
    }

    /// Keeps the checkpointer's order true after a log's first dirty mark changed.
    pub(crate) fn reorder(&self, log: &LogInner) {
        let mut state = log.state.borrow_mut();
        let key =
            if state.read_only.is_some() { None } else { state.dirty.front().map(|mark| mark.sequence) };
        if key == state.dirty_key {
            return;
        }
        let mut dirty = self.dirty.borrow_mut();
        if let Some(old) = state.dirty_key {
            dirty.remove(&(old, state.uid));
        }
        if let Some(new) = key {
            dirty.insert((new, state.uid));
        }
        state.dirty_key = key;
    }

    pub(crate) fn dirty_grew(&self, bytes: u64) {
        let dirty_bytes = self.counters.dirty_bytes.get() + bytes;
        self.counters.dirty_bytes.set(dirty_bytes);
        if dirty_bytes >= self.options.dirty_bytes_max() / 4 {
            self.checkpoint_wake.notify_all();
        }
    }

    pub(crate) fn dirty_fell(&self, bytes: u64) {
        let was_full = self.is_dirty_full();
        self.counters.dirty_bytes.set(self.counters.dirty_bytes.get() - bytes);
        if was_full && !self.is_dirty_full() {
            self.journal_wake.notify_all();
        }
    }

    /// What is journaled and not in a segment has reached its limit: the journal waits for the checkpointer.
    pub(crate) fn is_dirty_full(&self) -> bool {
        self.counters.dirty_bytes.get() >= self.options.dirty_bytes_max()
    }

    /// Puts bytes at the end of a log's tail and makes room in the cache for the memory that they hold.
    pub(crate) fn cache(&self, log: &Rc<LogInner>, slice: TailSlice) {
        self.counters.cache_bytes.set(self.counters.cache_bytes.get() + slice.held as u64);
        log.state.borrow_mut().tail.push_back(slice);
        self.may_evict_written(log);
    }

    /// Slices whose bytes are in their segment by now may go when others need the room. Those before are not in the order at
    /// all: one that waits for its checkpoint would hold up all that came after it.
    pub(crate) fn may_evict_written(&self, log: &Rc<LogInner>) {
        let mut state = log.state.borrow_mut();
        let mut order = self.cache_order.borrow_mut();
        while let Some(bytes) = state.next_written_slice() {
            order.push_back(CacheRef { log: Rc::downgrade(log), bytes });
        }
        drop((state, order));
        self.evict();
    }

    fn evict(&self) {
        let bytes_max = self.options.cache_bytes_max() as u64;
        let mut order = self.cache_order.borrow_mut();
        while self.counters.cache_bytes.get() > bytes_max {
            let Some(oldest) = order.pop_front() else { break };
            if let Some(log) = oldest.log.upgrade() {
                log.state.borrow_mut().drop_oldest_slice();
            }
            self.cache_fell(oldest.bytes);
        }
    }

    pub(crate) fn cache_fell(&self, bytes: usize) {
        self.counters.cache_bytes.set(self.counters.cache_bytes.get() - bytes as u64);
    }
}

impl crate::log::state::LogState {
    /// The memory of the oldest slice that is in its segment and not among those that may go, where it is from now on.
    fn next_written_slice(&mut self) -> Option<usize> {
        let slice = self.tail.get(self.evictable)?;
        let segment = self.segment(slice.segment_base);
        if segment.is_some_and(|segment| slice.end() > segment.written_to) {
            return None;
        }
        let held = slice.held;
        self.evictable += 1;
        Some(held)
    }

    fn drop_oldest_slice(&mut self) {
        // A removed log's are gone already.
        if self.tail.pop_front().is_some() {
            self.evictable -= 1;
        }
    }

    /// Drops the tail. Returns the memory of what was not among the slices that may go, and which nobody else counts off.
    pub(crate) fn drop_tail(&mut self) -> usize {
        let held = self.tail.range(self.evictable..).map(|slice| slice.held).sum();
        self.tail.clear();
        self.evictable = 0;
        held
    }
}
