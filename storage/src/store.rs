//! The storage of one shard as the broker sees it: opens what recovery left, hands out logs, stops cleanly.

use std::rc::Rc;

use runtime::executor::ShardId;
use runtime::task::{self, JoinHandle};

use crate::checkpoint;
use crate::error::StoreError;
use crate::journal::ring::{Ring, Space};
use crate::journal::writer;
use crate::log::{Log, LogEnd, delete};
use crate::options::{LogSettings, PartitionSpec, PartitionUid, StorageOptions};
use crate::recovery::ShardRecovery;
use crate::shard::{Logs, Queue, Shard};
use crate::stats::StoreStats;

/// One shard's logs and journal. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Rc<Inner>,
}

struct Inner {
    shard: Rc<Shard>,
    logs: Rc<Logs>,
    tasks: std::cell::RefCell<Vec<JoinHandle<()>>>,
    /// Where the next round of retention begins.
    retention_from: std::cell::Cell<PartitionUid>,
    /// When the producers were last told that an hour has passed, in ms since 1970; 0 before the first round.
    producers_aged: std::cell::Cell<i64>,
}

impl Store {
    /// Opens the shard's ring and knows its logs; touches no partition.
    pub async fn open(
        options: StorageOptions,
        id: ShardId,
        recovery: ShardRecovery,
    ) -> Result<Self, StoreError> {
        let state = &recovery.ring;
        options.assert_sound(state.ring_file_bytes);
        let ring = Ring::open(&options, id.0, state).await?;
        let queue = Queue {
            logs: Default::default(),
            space: Space::new(state.ring_files, state.ring_file_bytes, state.next_place),
            next_sequence: state.next_sequence,
            last_complete: state.next_sequence - 1,
            redo_from: (state.next_sequence, state.next_place),
            has_no_room: false,
            failed: None,
            stopping: false,
        };
        let shard = Shard::new(options, ring, queue);
        let logs = Rc::new(Logs::default());
        for (spec, end) in recovery.partitions {
            let uid = spec.uid;
            let log = Log::new(&shard, spec, &end);
            logs.borrow_mut().insert(uid, log.inner);
        }
        let tasks = vec![
            task::spawn(writer::run(shard.clone(), logs.clone())),
            task::spawn(checkpoint::run(shard.clone(), logs.clone())),
        ];
        let retention_from = PartitionUid(0).into();
        let producers_aged = 0.into();
        let tasks = tasks.into();
        Ok(Self { inner: Rc::new(Inner { shard, logs, tasks, retention_from, producers_aged }) })
    }

    pub fn log(&self, uid: PartitionUid) -> Option<Log> {
        self.inner.logs.borrow().get(&uid).map(|inner| Log { inner: inner.clone() })
    }

    pub(crate) fn logs(&self) -> &Logs {
        &self.inner.logs
    }

    pub(crate) fn producers_aged(&self) -> &std::cell::Cell<i64> {
        &self.inner.producers_aged
    }

    pub(crate) fn retention_from(&self) -> PartitionUid {
        self.inner.retention_from.get()
    }

    pub(crate) fn set_retention_from(&self, uid: PartitionUid) {
        self.inner.retention_from.set(uid);
    }

    /// Begins a partition whose catalog record is durable. Nothing touches the disk until the first append.
    pub fn add_partition(&self, spec: PartitionSpec) -> Log {
        let uid = spec.uid;
        let log = Log::new(&self.inner.shard, spec, &LogEnd::EMPTY);
        let before = self.inner.logs.borrow_mut().insert(uid, log.inner.clone());
        assert!(before.is_none(), "partition {uid} was added twice");
        log
    }

    /// Removes a partition that the catalog no longer has: what is pending is refused, then its files go in small steps.
    pub async fn remove_partition(&self, uid: PartitionUid) -> Result<(), StoreError> {
        let log = self.inner.logs.borrow().get(&uid).cloned().ok_or(StoreError::UnknownPartition { uid })?;
        log.retire().await;
        self.inner.logs.borrow_mut().remove(&uid);
        let folder = log.state.borrow().folder.clone();
        delete::delete_folder(&folder).await?;
        Ok(())
    }

    pub fn change_settings(&self, uid: PartitionUid, settings: LogSettings) -> Result<(), StoreError> {
        self.log(uid).ok_or(StoreError::UnknownPartition { uid })?.change_settings(settings);
        Ok(())
    }

    /// Whether more batches may be read from sockets: what is taken in and not yet journaled is under its limit.
    pub fn has_room(&self) -> bool {
        self.inner.shard.has_room()
    }

    /// Resolves when [`Store::has_room`].
    pub async fn room(&self) {
        loop {
            let room = self.inner.shard.room.wait();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }

    pub fn stats(&self) -> StoreStats {
        let shard = &self.inner.shard;
        let counters = &shard.counters;
        let queue = shard.queue.borrow();
        StoreStats {
            pending_bytes: counters.pending_bytes.get(),
            pending_bytes_max: shard.options.pending_bytes_max() as u64,
            dirty_bytes: counters.dirty_bytes.get(),
            dirty_bytes_max: shard.options.dirty_bytes_max(),
            cache_bytes: counters.cache_bytes.get(),
            cache_bytes_max: shard.options.cache_bytes_max() as u64,
            read_ahead_bytes: counters.read_ahead_bytes.get(),
            read_ahead_bytes_max: shard.options.read_ahead_bytes_max() as u64,
            ring_bytes_used: queue.space.used(),
            ring_bytes: shard.options.ring_bytes(),
            appended_bytes: counters.appended_bytes.get(),
            appended_batches: counters.appended_batches.get(),
            journal_writes: counters.journal_writes.get(),
            journal_bytes: counters.journal_bytes.get(),
            segment_writes: counters.segment_writes.get(),
            segment_bytes: counters.segment_bytes.get(),
            bypass_bytes: counters.bypass_bytes.get(),
            tables: counters.tables.get(),
            cold_reads: counters.cold_reads.get(),
            cold_read_bytes: counters.cold_read_bytes.get(),
            ring_full_stalls: counters.ring_full_stalls.get(),
            journal_failed: queue.failed.clone(),
        }
    }

    /// Takes no more batches, acknowledges what was taken, and leaves the ring empty, so that the next start redoes nothing.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let shard = &self.inner.shard;
        shard.queue.borrow_mut().stopping = true;
        shard.journal_wake.notify_all();
        shard.gate.close().await;
        shard.checkpoint_wake.notify_all();
        let tasks = self.inner.tasks.take();
        for task in tasks {
            task.await;
        }
        if let Some(reason) = shard.queue.borrow().failed.clone() {
            return Err(StoreError::JournalFailed { reason });
        }
        checkpoint::finish(shard, &self.inner.logs).await?;
        Ok(())
    }
}
