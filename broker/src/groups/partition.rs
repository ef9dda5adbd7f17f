//! One partition of the offsets topic at work: its coordinator, its log, and who waits for answers.
//!
//! One task ([`GroupPartition::run`]) reads the log back, then tells the coordinator what became durable and what time it is.
//! Requests act on the coordinator themselves, between its turns.
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
    writes: RefCell<VecDeque<Write>>,
    next_write: Cell<u64>,
    acks: AckQueue,
    stage: Cell<Stage>,
    /// Raised when the stage changes, or the first deadline comes sooner.
    changed: Event,
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
            future::or(self.serve(), gate.closing()).await;
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

    async fn serve(&self) {
        loop {
            let changed = self.changed.wait();
            let deadline = self.coordinator.borrow().deadline();
            let due = async {
                future::or(changed, clock::sleep_until(deadline)).await;
            };
            future::or(self.acks.wait(), due).await;
            while let Some(ack) = self.acks.pop() {
                let write = self.writes.borrow_mut().pop_front().expect("an outcome for each write");
                let outcome = ack.result.map(drop).map_err(GroupError::from);
                if let Err(error) = &outcome {
                    tracing::warn!(uid = %self.log.uid(), %error, "a change of groups was not kept");
                }
                self.act(|coordinator, at, out| coordinator.written(write, outcome, at, out));
            }
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
            drop(waiting.map(|sender| sender.send(answer)));
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
        self.writes.borrow_mut().push_back(write);
        let token = self.next_write.replace(self.next_write.get() + 1);
        self.log.append(batch, header, &self.acks, token);
    }

    async fn load(&self) -> Result<(), LoadError> {
        let offsets = self.log.offsets();
        let mut cursor = Cursor::at(offsets.log_start);
        while cursor.offset() < offsets.high_watermark {
            let slices = self.log.read(&mut cursor, limits::GROUPS_READ_BYTES).await?;
            self.load_run(&BatchRun::Slices(slices).into_bytes())?;
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
                let record = record.map_err(|source| LoadError::Batch { offset, source: source.into() })?;
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
