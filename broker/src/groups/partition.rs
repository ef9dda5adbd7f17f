//! One partition of the offsets topic at work: its coordinator, its log, and who waits for answers.
//!
//! One task ([`GroupPartition::run`]) reads the log back, then tells the coordinator what became durable and what time it is.
//! Requests act on the coordinator themselves, between its turns.
//!
//! Now and then it writes everything that lives as new records, and raises the log's start to the first of them: so a start
//! reads what lives, and a little more. What is under way then comes after them once more, so that nothing older wins.
//!
//! Invariant: writes are carried out in the order in which the coordinator asks for them, and it hears of their outcomes in
//! this order; whoever waits for one may go away without anything being lost.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future;
use runtime::clock;
use runtime::gate::Gate;
use runtime::sync::{Event, oneshot};
use storage::{AckQueue, Cursor, Log, ReadError};
use thiserror::Error;
use wire::batch::{self, BatchError, BatchHeader, Batches};

use super::action::{Actions, Moment, Waiter, Write};
use super::consumer::Topics;
use super::coordinator::{Coordinator, GroupMemory};
use super::error::GroupError;
use super::record::{GroupRecord, RecordError, batch_of};
use super::request::{Answer, GroupRequest, ListedGroup};
use crate::limits;
use crate::request::BatchRun;

/// The log of a partition that cannot be read back.
#[derive(Debug, Error)]
enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the batch at offset {offset}: {source}")]
    Batch { offset: i64, source: BatchError },
    #[error("the record at offset {offset}: {source}")]
    Record { offset: i64, source: RecordError },
}

/// How far the partition is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Loading,
    Serving,
    /// Its log cannot be read: its groups are not served.
    Failed,
    Ended,
}

/// See the module.
pub(crate) struct GroupPartition {
    log: Log,
    coordinator: RefCell<Coordinator>,
    waiting: RefCell<HashMap<Waiter, oneshot::Sender<Answer>>>,
    next_waiter: Cell<u64>,
    /// Under way to the log, in order.
    writes: RefCell<VecDeque<UnderWay>>,
    next_write: Cell<u64>,
    written: Cell<Written>,
    snapshot: Cell<Option<Snapshot>>,
    acks: AckQueue,
    stage: Cell<Stage>,
    /// Raised when the stage changes, or the first deadline comes sooner.
    changed: Event,
}

/// A batch on its way to the log.
enum UnderWay {
    Change(Write),
    /// A part of what lives.
    Snapshot,
}

/// Bytes of the log from its start on, and of the last snapshot.
#[derive(Clone, Copy, Default)]
struct Written {
    bytes: usize,
    snapshot_bytes: usize,
}

/// What lives, on its way to the log.
#[derive(Clone, Copy)]
struct Snapshot {
    batches_left: usize,
    /// Of its first batch: from there on the log is enough.
    begin: Option<i64>,
    has_failed: bool,
}

fn moment() -> Moment {
    Moment { now: clock::now(), wall_ms: clock::wall_ms() }
}

impl GroupPartition {
    pub(crate) fn new(
        log: Log,
        first_members_wait: Duration,
        memory: Rc<GroupMemory>,
        topics: Rc<dyn Topics>,
    ) -> Rc<Self> {
        let coordinator = Coordinator::new(first_members_wait, memory, topics, moment());
        Rc::new(Self {
            log,
            coordinator: RefCell::new(coordinator),
            waiting: RefCell::default(),
            next_waiter: Cell::new(0),
            writes: RefCell::default(),
            next_write: Cell::new(0),
            written: Cell::default(),
            snapshot: Cell::new(None),
            acks: AckQueue::new(),
            stage: Cell::new(Stage::Loading),
            changed: Event::new(),
        })
    }

    /// Serves until the gate closes.
    pub(crate) async fn run(self: Rc<Self>, gate: Gate) {
        let loaded = self.load().await;
        self.enter(match &loaded {
            Ok(()) => Stage::Serving,
            Err(error) => {
                tracing::error!(uid = %self.log.uid(), %error, "cannot read the offsets topic: its groups are not served");
                Stage::Failed
            }
        });
        if loaded.is_ok() {
            future::or(self.serve(&gate), gate.closing()).await;
        }
        self.end();
    }

    /// The partition's topic is gone, or the broker stops: nobody waits any longer.
    fn end(&self) {
        if self.stage.get() != Stage::Failed {
            self.enter(Stage::Ended);
        }
        let mut out = Actions::default();
        self.coordinator.borrow_mut().refuse_all(&GroupError::NotCoordinator, &mut out);
        self.carry_out(out);
        self.waiting.borrow_mut().clear();
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.changed.notify_all();
    }

    async fn serve(self: &Rc<Self>, gate: &Gate) {
        loop {
            let changed = self.changed.wait();
            let deadline = self.coordinator.borrow().deadline();
            let due = async {
                future::or(changed, clock::sleep_until(deadline)).await;
            };
            future::or(self.acks.wait(), due).await;
            while let Some(ack) = self.acks.pop() {
                let under_way = self.writes.borrow_mut().pop_front().expect("an outcome for each write");
                if let Err(error) = &ack.result {
                    tracing::warn!(uid = %self.log.uid(), %error, "a change of groups was not kept");
                }
                match under_way {
                    UnderWay::Change(write) => {
                        let outcome = ack.result.map(drop).map_err(GroupError::from);
                        self.act(|coordinator, at, out| coordinator.written(write, outcome, at, out));
                    }
                    UnderWay::Snapshot => {
                        self.snapshot_written(ack.result.ok().map(|appended| appended.base_offset), gate);
                    }
                }
            }
            self.shorten_if_long();
            if self.coordinator.borrow().deadline() <= clock::now() {
                self.act(|coordinator, at, out| coordinator.expire(at, out));
            }
        }
    }

    /// Asks the coordinator, once it serves.
    pub(crate) async fn ask(&self, group_id: &str, request: GroupRequest) -> Answer {
        self.serving().await?;
        let waiter = Waiter(self.next_waiter.replace(self.next_waiter.get() + 1));
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(waiter, sender);
        self.act(|coordinator, at, out| coordinator.handle(group_id, request, waiter, at, out));
        receiver.await.unwrap_or(Err(GroupError::NotCoordinator))
    }

    /// Resolves when the log is read back.
    async fn serving(&self) -> Result<(), GroupError> {
        let loaded = async {
            loop {
                let changed = self.changed.wait();
                match self.stage.get() {
                    Stage::Loading => changed.await,
                    Stage::Serving => return Ok(()),
                    Stage::Failed | Stage::Ended => return Err(GroupError::NotCoordinator),
                }
            }
        };
        clock::timeout(limits::GROUPS_LOAD_PATIENCE, loaded).await.unwrap_or(Err(GroupError::Loading))
    }

    /// Every group that it keeps.
    pub(crate) async fn list(&self) -> Result<Vec<ListedGroup>, GroupError> {
        self.serving().await?;
        Ok(self.coordinator.borrow().list().collect())
    }

    /// A topic is deleted, and with it what groups have committed of it.
    pub(crate) fn forget_topic(&self, topic: &str) {
        if self.stage.get() == Stage::Serving {
            self.act(|coordinator, _, out| coordinator.forget_topic(topic, out));
        }
    }

    fn act(&self, event: impl FnOnce(&mut Coordinator, Moment, &mut Actions)) {
        let mut out = Actions::default();
        let deadline_before = self.coordinator.borrow().deadline();
        event(&mut self.coordinator.borrow_mut(), moment(), &mut out);
        if self.coordinator.borrow().deadline() < deadline_before {
            self.changed.notify_all();
        }
        self.carry_out(out);
    }

    fn carry_out(&self, out: Actions) {
        for (waiter, answer) in out.answers {
            let waiting = self.waiting.borrow_mut().remove(&waiter);
            // Whose connection is gone needs no answer.
            if let Some(sender) = waiting {
                let _ = sender.send(answer);
            }
        }
        for write in out.writes {
            self.write(write);
        }
    }

    fn write(&self, write: Write) {
        let built = batch_of(&write.records, clock::wall_ms());
        let built = built.ok().and_then(|batch| Some((BatchHeader::parse(&batch).ok()?, batch)));
        let Some((header, batch)) = built else {
            // Beyond the largest batch there is: the coordinator hears of it as of any other failure.
            return self.act(|coordinator, at, out| {
                coordinator.written(write, Err(GroupError::TooLarge), at, out);
            });
        };
        self.append(UnderWay::Change(write), batch, header);
    }

    fn append(&self, under_way: UnderWay, batch: Bytes, header: BatchHeader) {
        let Written { bytes, snapshot_bytes } = self.written.get();
        self.written.set(Written { bytes: bytes + batch.len(), snapshot_bytes });
        self.writes.borrow_mut().push_back(under_way);
        let token = self.next_write.replace(self.next_write.get() + 1);
        self.log.append(batch, header, &self.acks, token);
    }

    /// Writes everything that lives once the log is long beside it.
    fn shorten_if_long(&self) {
        let Written { bytes, snapshot_bytes } = self.written.get();
        let is_long =
            bytes >= limits::GROUPS_LOG_BYTES_MIN.max(limits::GROUPS_LOG_TIMES_MAX * snapshot_bytes);
        if !is_long || self.snapshot.get().is_some() {
            return;
        }
        let mut records: Vec<GroupRecord> = self.coordinator.borrow().records().collect();
        for under_way in self.writes.borrow().iter() {
            if let UnderWay::Change(write) = under_way {
                records.extend(write.records.iter().cloned());
            }
        }
        let pieces = records.chunks(limits::GROUP_RECORDS_PER_BATCH_MAX);
        let batches: Result<Vec<Bytes>, _> = pieces.map(|piece| batch_of(piece, clock::wall_ms())).collect();
        // Without a record the log may as well stay as it is; beyond the largest batch it has to.
        let Some(batches) = batches.ok().filter(|batches| !batches.is_empty()) else { return };
        let snapshot_bytes = batches.iter().map(Bytes::len).sum();
        self.written.set(Written { bytes: 0, snapshot_bytes });
        self.snapshot.set(Some(Snapshot { batches_left: batches.len(), begin: None, has_failed: false }));
        for batch in batches {
            let header = BatchHeader::parse(&batch).expect("it was just built");
            self.append(UnderWay::Snapshot, batch, header);
        }
    }

    /// One of its batches is durable (at this offset), or failed.
    fn snapshot_written(self: &Rc<Self>, base_offset: Option<i64>, gate: &Gate) {
        let mut snapshot = self.snapshot.get().expect("it is under way");
        snapshot.batches_left -= 1;
        snapshot.begin = snapshot.begin.or(base_offset);
        snapshot.has_failed |= base_offset.is_none();
        self.snapshot.set(Some(snapshot).filter(|snapshot| snapshot.batches_left > 0));
        let Some(begin) = snapshot.begin.filter(|_| snapshot.batches_left == 0 && !snapshot.has_failed)
        else {
            return;
        };
        let this = self.clone();
        // A gate that closes leaves the log as long as it is.
        drop(gate.spawn(async move {
            if let Err(error) = this.log.raise_start(begin).await {
                tracing::warn!(uid = %this.log.uid(), %error, "the offsets topic cannot be shortened");
            }
        }));
    }

    async fn load(&self) -> Result<(), LoadError> {
        let offsets = self.log.offsets();
        let mut cursor = Cursor::at(offsets.log_start);
        while cursor.offset() < offsets.high_watermark {
            let slices = self.log.read(&mut cursor, limits::GROUPS_READ_BYTES).await?;
            let run = BatchRun::Slices(slices).into_bytes();
            let Written { bytes, snapshot_bytes } = self.written.get();
            self.written.set(Written { bytes: bytes + run.len(), snapshot_bytes });
            self.load_run(&run)?;
            runtime::task::yield_if_needed().await;
        }
        Ok(())
    }

    fn load_run(&self, run: &Bytes) -> Result<(), LoadError> {
        let at = moment();
        let mut coordinator = self.coordinator.borrow_mut();
        let mut offset = -1;
        for found in Batches::new(run) {
            let (range, header) = found.map_err(|source| LoadError::Batch { offset, source })?;
            offset = header.base_offset;
            let records = batch::records(&run.slice(range));
            for record in records.map_err(|source| LoadError::Batch { offset, source })? {
                let record = record.map_err(|source| LoadError::Batch { offset, source })?;
                let offset = record.offset;
                let decoded = GroupRecord::decode(record.key, record.value);
                if let Some(record) = decoded.map_err(|source| LoadError::Record { offset, source })? {
                    coordinator.apply(record, at);
                }
            }
        }
        Ok(())
    }
}
