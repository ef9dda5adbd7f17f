//! A simulated machine whose storage a test leads step by step, and the truth about it.
//!
//! Every opening recovers, reads each partition from its beginning and judges it, so a test says only what happens, and
//! what has to be there follows from what was acknowledged or served.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use runtime::clock;
use runtime::executor::ShardId;
use runtime::sim::{ProcessId, Snapshot, UnderWay, Unflushed, World};
use storage::{
    AckQueue, AppendError, Appended, Log, PartitionSpec, PartitionUid, RecoveryError, Store, recover,
};
use wire::batch::validate;

use crate::history::{History, Mark};
use crate::lives::{Plan, Shared, marked_batch, read_all};

/// More polls than any test's process takes: what needs more waits for something that never comes.
const STEPS_MAX: u64 = 20_000_000;
/// Longer than everything dirty waits for a checkpoint and its table.
const QUIET: Duration = Duration::from_millis(2_500);

/// The first uid that no catalog of a test has given.
const UID_LIMIT: u64 = 100_000;

/// How a process of the machine ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    Kill(UnderWay),
    PowerCut(Unflushed),
}

impl Crash {
    /// Every way, the worst first.
    pub const ALL: [Crash; 8] = [
        Crash::PowerCut(Unflushed::Lost),
        Crash::PowerCut(Unflushed::Garbled),
        Crash::PowerCut(Unflushed::Drawn),
        Crash::PowerCut(Unflushed::Kept),
        Crash::Kill(UnderWay::Cached),
        Crash::Kill(UnderWay::Late),
        Crash::Kill(UnderWay::Lost),
        Crash::Kill(UnderWay::Drawn),
    ];
}

/// A state of the machine between processes.
pub struct Remembered {
    disk: Snapshot,
    history: History,
}

/// The machine, outside of which a test stands.
pub struct Machine {
    pub world: World,
    pub plan: Plan,
    history: Shared,
    lives: Cell<u32>,
    shards: Cell<u16>,
    /// The partitions that there are, as a catalog knows them.
    uids: RefCell<Vec<u64>>,
}

impl Machine {
    pub fn new(seed: u64, plan: &Plan) -> Machine {
        Machine {
            world: World::new(seed),
            plan: plan.clone(),
            history: Shared::default(),
            lives: Cell::new(0),
            shards: Cell::new(plan.shards[0]),
            uids: RefCell::new((1..=plan.partitions).collect()),
        }
    }

    /// The starts from now on have so many shards.
    pub fn set_shards(&self, shards: u16) {
        self.shards.set(shards);
    }

    /// From the next start on there are these partitions. A uid past the plan's is a partition made again under an old name.
    pub fn set_partitions(&self, uids: &[u64]) {
        *self.uids.borrow_mut() = uids.to_vec();
    }

    /// The partitions that there are.
    pub fn partitions(&self) -> Vec<u64> {
        self.uids.borrow().clone()
    }

    fn opening(&self) -> Opening {
        self.lives.set(self.lives.get() + 1);
        let (plan, history, uids) = (self.plan.clone(), self.history.clone(), self.partitions());
        Opening { plan, history, uids, life: self.lives.get(), shards: self.shards.get() }
    }

    /// Opens, judges, and runs `work` to its end. The process ends without a stop; its writes under way land.
    pub fn run<T: 'static>(&self, work: impl AsyncFnOnce(Running) -> T + 'static) -> T {
        let opening = self.opening();
        let life = async move { work(opening.open().await.unwrap_or_else(|error| panic!("{error}"))).await };
        self.world.run(life, STEPS_MAX).expect("it waits for something that never comes")
    }

    /// Opens and judges, then starts `work`; the test steps, and ends it by a crash.
    pub fn start(&self, work: impl AsyncFn(Running) + Clone + 'static) -> ProcessId {
        let opening = self.opening();
        self.world.start_process(1, move |_| {
            let (opening, work) = (opening.clone(), work.clone());
            async move { work(opening.open().await.unwrap_or_else(|error| panic!("{error}"))).await }
        })
    }

    /// As [`Machine::start`], up to the moment when `work` has ended. The process lives on, for the test to end it.
    pub fn start_and_finish(&self, work: impl AsyncFn(Running) + Clone + 'static) -> ProcessId {
        let ended = Rc::new(Cell::new(false));
        let signal = ended.clone();
        let process = self.start(async move |running| {
            // Held on to, so that its tasks have something to work for.
            let kept = running.clone();
            work(running).await;
            signal.set(true);
            std::future::pending::<()>().await;
            drop(kept);
        });
        assert!(self.world.run_until(|| ended.get(), STEPS_MAX), "it waits for something that never comes");
        process
    }

    pub fn crash(&self, process: ProcessId, crash: Crash) {
        match crash {
            Crash::Kill(under_way) => self.world.kill_leaving(process, under_way),
            Crash::PowerCut(unflushed) => self.world.power_cut_leaving(unflushed),
        }
    }

    /// Opens and judges; returns how many records each partition holds.
    pub fn judge(&self) -> Vec<i64> {
        self.run(async |running| running.counts())
    }

    /// As [`Machine::judge`], where the start may also be refused.
    pub fn try_judge(&self) -> Result<Vec<i64>, RecoveryError> {
        let opening = self.opening();
        let life = async move { opening.open().await.map(|running| running.counts()) };
        self.world.run(life, STEPS_MAX).expect("it waits for something that never comes")
    }

    /// Why a start fails.
    ///
    /// # Panics
    /// If it does not.
    pub fn failed_start(&self) -> RecoveryError {
        let opening = self.opening();
        let failed = self.world.run(async move { opening.recover().await.err() }, STEPS_MAX);
        failed.expect("it ends").expect("the start fails")
    }

    /// Why a start is refused; what is on the disk must be what was there before.
    ///
    /// # Panics
    /// If it is not refused, or changes something.
    pub fn refusal(&self) -> RecoveryError {
        let before = self.contents();
        let refused = self.failed_start();
        assert!(before == self.contents(), "a refused start changed the disk: {refused}");
        refused
    }

    /// The disk and the truth as they are, to be returned to. No process may be running.
    pub fn remember(&self) -> Remembered {
        Remembered { disk: self.world.disk().snapshot(), history: self.history.borrow().clone() }
    }

    /// Back to a remembered state, for another ending.
    pub fn return_to(&self, remembered: &Remembered) {
        self.world.disk().restore(&remembered.disk);
        *self.history.borrow_mut() = remembered.history.clone();
    }

    /// What `corelog log verify` finds wrong with the folder, no process running.
    pub fn damage(&self) -> Vec<storage::inspect::Damage> {
        let opening = self.opening();
        let verified = async move {
            let (options, specs) = (opening.plan.options(), opening.specs());
            storage::inspect::verify(&options, &specs, PartitionUid(UID_LIMIT), &mut |_| {}).await
        };
        let report = self.world.run(verified, STEPS_MAX).expect("it ends");
        report.unwrap_or_else(|error| panic!("{error}")).damage
    }

    /// The tables are about to be lost: where the partition starts within a segment is known to nobody else.
    pub fn forget_start(&self, uid: u64) {
        self.history.borrow_mut().start_forgotten(uid);
    }

    /// A repair gave up what the partition held from this offset on.
    pub fn give_up(&self, uid: u64, from: i64) {
        self.history.borrow_mut().given_up(uid, from);
    }

    /// Every file with its content.
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let disk = self.world.disk();
        let content = |path: PathBuf| {
            let content = disk.read(&path).expect("a file just listed");
            (path, content)
        };
        disk.files().into_iter().map(content).collect()
    }

    pub fn content(&self, path: &str) -> Vec<u8> {
        self.world.disk().read(Path::new(path)).unwrap_or_else(|| panic!("no file {path}"))
    }

    /// Changes a file behind the storage's back, on the device.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.content(path);
        change(&mut content);
        self.world.disk().overwrite(Path::new(path), content);
    }
}

#[derive(Clone)]
struct Opening {
    plan: Plan,
    history: Shared,
    uids: Vec<u64>,
    life: u32,
    shards: u16,
}

impl Opening {
    fn specs(&self) -> Vec<PartitionSpec> {
        self.uids.iter().map(|uid| self.plan.spec(*uid, self.shards)).collect()
    }

    async fn recover(&self) -> Result<storage::Recovery, RecoveryError> {
        runtime::file::create_folder_all(Path::new("/data")).await?;
        runtime::file::sync_folder(Path::new("/")).await?;
        let options = self.plan.options();
        let recovery = recover(&options, self.shards, &self.specs(), PartitionUid(UID_LIMIT)).await?;
        storage::remove_spare_rings(&options, self.shards).await?;
        Ok(recovery)
    }

    async fn open(self) -> Result<Running, RecoveryError> {
        let recovery = self.recover().await?;
        let (clean, writes_redone) = (recovery.clean, recovery.journal_writes_redone);
        let mut stores = Vec::new();
        for (number, shard) in recovery.shards.into_iter().enumerate() {
            let number = u16::try_from(number).expect("few shards");
            let store = Store::open(self.plan.options(), ShardId(number), shard).await;
            stores.push(store.unwrap_or_else(|error| panic!("{error}")));
        }
        let mut logs = BTreeMap::new();
        for spec in self.specs() {
            let log = stores[spec.shard.index()].log(spec.uid).expect("a log of the shard");
            let served = read_all(&log).await;
            let start = log.offsets().log_start;
            self.history.borrow_mut().judge(spec.uid.0, start, &served);
            logs.insert(spec.uid.0, log);
        }
        let (acks, sent) = (AckQueue::new(), Rc::default());
        Ok(Running { life: self.life, history: self.history, stores, logs, clean, writes_redone, acks, sent })
    }
}

/// A storage that runs, seen from inside its process.
#[derive(Clone)]
pub struct Running {
    pub stores: Vec<Store>,
    logs: BTreeMap<u64, Log>,
    /// The stop before left nothing to redo.
    pub clean: bool,
    /// Journal writes that recovery found.
    pub writes_redone: u64,
    life: u32,
    history: Shared,
    acks: AckQueue,
    sent: Rc<RefCell<Vec<(u64, Mark)>>>,
}

impl Running {
    pub fn log(&self, uid: u64) -> &Log {
        &self.logs[&uid]
    }

    pub fn counts(&self) -> Vec<i64> {
        self.logs.values().map(|log| log.offsets().high_watermark).collect()
    }

    /// Hands a batch of exactly so many bytes to a partition, and does not wait.
    pub fn send(&self, uid: u64, batch_bytes: usize) {
        let (batch, mark) = marked_batch(uid, self.life, value_bytes(batch_bytes), &self.history);
        assert_eq!(batch.len(), batch_bytes, "a batch of one record cannot be so long");
        let header = validate(&batch).expect("a batch just built");
        let token = self.sent.borrow().len() as u64;
        self.sent.borrow_mut().push((uid, mark));
        self.log(uid).append(batch, header, &self.acks, token);
    }

    /// Waits for the next outcome of what was sent.
    pub async fn outcome(&self) -> Result<Appended, AppendError> {
        self.acks.wait().await;
        let ack = self.acks.pop().expect("just waited for");
        let (uid, mark) = self.sent.borrow()[ack.token as usize];
        if let Ok(appended) = &ack.result {
            self.history.borrow_mut().acknowledged(uid, appended.base_offset, mark);
        }
        ack.result
    }

    /// Sends one batch and waits for it.
    pub async fn append(&self, uid: u64, batch_bytes: usize) -> Result<Appended, AppendError> {
        self.send(uid, batch_bytes);
        self.outcome().await
    }

    /// Sends batches all at once and waits until each is acknowledged.
    pub async fn append_all(&self, batches: &[(u64, usize)]) {
        batches.iter().for_each(|(uid, bytes)| self.send(*uid, *bytes));
        for _ in batches {
            self.outcome().await.unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Raises a partition's start and waits until that is durable.
    pub async fn raise_start(&self, uid: u64, offset: i64) -> i64 {
        let high_watermark = self.log(uid).offsets().high_watermark;
        let wanted = if offset == storage::TO_HIGH_WATERMARK { high_watermark } else { offset };
        self.history.borrow_mut().wants_start(uid, wanted);
        let start = self.log(uid).raise_start(offset).await.unwrap_or_else(|error| panic!("{error}"));
        self.history.borrow_mut().start_acknowledged(uid, start);
        start
    }

    /// One round of retention on every shard, at this time.
    pub async fn retain(&self, now_ms: i64) {
        for (uid, log) in &self.logs {
            self.history.borrow_mut().wants_start(*uid, log.offsets().high_watermark);
        }
        for store in &self.stores {
            store.retain(now_ms).await;
        }
        for (uid, log) in &self.logs {
            self.history.borrow_mut().start_acknowledged(*uid, log.offsets().log_start);
        }
    }

    /// Until everything is in its segment and the table says so.
    pub async fn quiet(&self) {
        clock::sleep(QUIET).await;
    }

    /// How many acknowledged records a reader is served now.
    pub async fn read(&self, uid: u64) -> i64 {
        read_all(self.log(uid)).await.len() as i64
    }
}

/// The value of a batch of one record with so many bytes: 61 of header, then the record's length, four single bytes (attributes,
/// two deltas, no key), the value's length, the value, no headers. Lengths are zigzag varints.
fn value_bytes(batch_bytes: usize) -> usize {
    let varint = |value: usize| {
        if value < 64 {
            1
        } else if value < 8_192 {
            2
        } else if value < 1 << 20 {
            3
        } else {
            4
        }
    };
    let whole = |value: usize| {
        let record = 5 + varint(value) + value;
        61 + varint(record) + record
    };
    let smallest = batch_bytes.saturating_sub(75).max(8);
    (smallest..=batch_bytes).find(|value| whole(*value) >= batch_bytes).expect("a batch has room for a mark")
}
