//! The lives of one machine's storage: each recovers, reads everything, appends under load, and ends in a crash.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use runtime::executor::ShardId;
use runtime::sim::World;
use runtime::{clock, random};
use storage::{
    AckQueue, AppendError, Cursor, Log, LogSettings, PartitionSpec, PartitionUid, StorageOptions, Store,
    recover,
};
use wire::batch::{BatchBuilder, Batches, Compression, ProducerStamp, RecordRef, validate};

use crate::history::{History, Mark};

/// Nothing takes so long in virtual time but a stall.
const STALL: std::time::Duration = std::time::Duration::from_secs(300);

/// What a machine is put through.
#[derive(Clone, Debug)]
pub struct Plan {
    pub lives: u32,
    pub partitions: u64,
    pub ring_files: u32,
    pub ring_file_bytes: u64,
    pub segment_bytes_max: u64,
    /// Values are up to this long; most are short.
    pub value_bytes_max: u64,
    /// A life ends by a crash after at most so many polls.
    pub steps_max: u64,
    /// Shards of each life; the partitions move.
    pub shards: &'static [u16],
    pub power_cuts: bool,
    pub memory_bytes: usize,
    pub journal_write_bytes_max: usize,
    pub chunk_bytes_max: usize,
    pub bypass_bytes_min: usize,
    pub allocation_step_bytes_min: u64,
    /// So many rings have to be there when a life begins; 0 asks for none.
    pub rings_before: u16,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            lives: 4,
            partitions: 3,
            ring_files: 2,
            ring_file_bytes: 64 << 10,
            segment_bytes_max: 100_000,
            value_bytes_max: 40_000,
            steps_max: 4_000,
            shards: &[1],
            power_cuts: true,
            memory_bytes: 1 << 20,
            journal_write_bytes_max: 32 << 10,
            chunk_bytes_max: 16 << 10,
            bypass_bytes_min: 12 << 10,
            allocation_step_bytes_min: 16 << 10,
            rings_before: 0,
        }
    }
}

pub type Shared = Rc<RefCell<History>>;

impl Plan {
    pub fn options(&self) -> StorageOptions {
        StorageOptions {
            memory_bytes: self.memory_bytes,
            ring_files: self.ring_files,
            ring_file_bytes: self.ring_file_bytes,
            journal_write_bytes_max: self.journal_write_bytes_max,
            chunk_bytes_max: self.chunk_bytes_max,
            bypass_bytes_min: self.bypass_bytes_min,
            allocation_step_bytes_min: self.allocation_step_bytes_min,
            rings_before: self.rings_before,
            ..StorageOptions::new("/data")
        }
    }

    pub fn specs(&self, shards: u16) -> Vec<PartitionSpec> {
        (1..=self.partitions).map(|uid| self.spec(uid, shards)).collect()
    }

    /// A uid past the plan's partitions is one of them made again: the same number in the topic, another uid.
    pub fn spec(&self, uid: u64, shards: u16) -> PartitionSpec {
        let number = (uid - 1) % self.partitions + 1;
        PartitionSpec {
            uid: PartitionUid(uid),
            folder: PathBuf::from(format!("topics/t/{number}-{uid}")),
            shard: ShardId((uid % u64::from(shards)) as u16),
            leader_epoch: 1,
            settings: LogSettings { segment_bytes_max: self.segment_bytes_max, ..LogSettings::default() },
        }
    }

    /// One seed: lives and crashes, and a last life that only reads.
    pub fn run(&self, seed: u64) {
        let world = World::new(seed);
        let history = Shared::default();
        for life in 0..self.lives {
            let (plan, shared) = (self.clone(), history.clone());
            let process = world.start_process(1, move |_| plan.clone().live(life, shared.clone()));
            let steps = world.draw(self.steps_max);
            let end = world.steps() + steps;
            while world.steps() < end && world.step() {}
            if self.power_cuts && world.draw(2) == 0 {
                world.power_cut();
            } else {
                world.kill(process);
            }
        }
        let (plan, shared) = (self.clone(), history.clone());
        let last = async move { plan.open_and_judge(plan.shards[0], &shared).await };
        let stores = world.run(last, 1_000_000);
        assert!(stores.is_some(), "the last start does not end");
        drop(stores);
    }

    async fn live(self, life: u32, history: Shared) {
        let shards = self.shards[life as usize % self.shards.len()];
        let (stores, logs) = self.open_and_judge(shards, &history).await;
        let acks = AckQueue::new();
        let mut under_way: Vec<(u64, Mark)> = Vec::new();
        let mut answered = 0;
        loop {
            if under_way.len() - answered < 20 && random::below(4) > 0 {
                let uid = 1 + random::below(self.partitions);
                let (batch, mark) = self.batch(uid, life, &history);
                let header = validate(&batch).expect("a batch just built");
                logs[(uid - 1) as usize].append(batch, header, &acks, under_way.len() as u64);
                under_way.push((uid, mark));
            } else if under_way.len() > answered {
                let answered = clock::timeout(STALL, acks.wait()).await;
                assert!(answered.is_ok(), "a produce waits for good: {:?}", stores[0].stats());
            } else {
                clock::sleep(std::time::Duration::from_millis(random::below(1_500))).await;
            }
            while let Some(ack) = acks.pop() {
                let (uid, mark) = under_way[ack.token as usize];
                answered += 1;
                match ack.result {
                    Ok(appended) => history.borrow_mut().acknowledged(uid, appended.base_offset, mark),
                    Err(AppendError::DiskFull | AppendError::Stopping) => {}
                    Err(error) => panic!("partition {uid}: {error}"),
                }
            }
            if random::below(300) == 0 {
                for store in &stores {
                    store.stop().await.expect("a clean stop");
                }
                return;
            }
        }
    }

    fn batch(&self, uid: u64, life: u32, history: &Shared) -> (Bytes, Mark) {
        let bytes_max = if random::below(4) == 0 { self.value_bytes_max } else { 600 };
        marked_batch(uid, life, 8 + random::below(bytes_max) as usize, history)
    }

    async fn open_and_judge(&self, shards: u16, history: &Shared) -> (Vec<Store>, Vec<Log>) {
        let specs = self.specs(shards);
        runtime::file::create_folder_all(std::path::Path::new("/data")).await.expect("a folder");
        runtime::file::sync_folder(std::path::Path::new("/")).await.expect("a flush");
        let recovery = recover(&self.options(), shards, &specs, PartitionUid(1_000)).await;
        let recovery = recovery.unwrap_or_else(|error| panic!("recovery: {error}"));
        storage::remove_spare_rings(&self.options(), shards).await.expect("spare rings are removed");
        let mut stores = Vec::new();
        for (number, shard) in recovery.shards.into_iter().enumerate() {
            stores.push(Store::open(self.options(), ShardId(number as u16), shard).await.expect("a store"));
        }
        let mut logs = Vec::new();
        for spec in &specs {
            let log = stores[spec.shard.index()].log(spec.uid).expect("a log of the shard");
            let served = read_all(&log).await;
            history.borrow_mut().judge(spec.uid.0, log.offsets().log_start, &served);
            logs.push(log);
        }
        (stores, logs)
    }
}

/// A batch of one record whose value of so many bytes says which it is.
pub(crate) fn marked_batch(uid: u64, life: u32, length: usize, history: &Shared) -> (Bytes, Mark) {
    let mark = history.borrow_mut().send(uid, life, length);
    let mut value = vec![(mark.send % 251) as u8; length];
    value[..4].copy_from_slice(&mark.life.to_le_bytes());
    value[4..8].copy_from_slice(&mark.send.to_le_bytes());
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .append(&RecordRef { timestamp_ms: 1, key: None, value: Some(&value), headers: &[] })
        .expect("it fits");
    (builder.finish(ProducerStamp::NONE).expect("it fits"), mark)
}

/// What a reader is served, from the start to the high watermark.
pub(crate) async fn read_all(log: &Log) -> Vec<(i64, Mark, usize)> {
    let start = log.offsets().log_start;
    let mut cursor = Cursor::at(start);
    let mut served = Vec::new();
    loop {
        let slices = log.read(&mut cursor, 50_000).await.expect("a read");
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        if bytes.is_empty() {
            assert_eq!(start + served.len() as i64, log.offsets().high_watermark);
            return served;
        }
        let bytes = Bytes::from(bytes);
        for batch in Batches::new(&bytes) {
            let (range, _) = batch.expect("whole batches");
            for record in wire::batch::records(&bytes.slice(range)).expect("records") {
                let record = record.expect("a record");
                let value = record.value.expect("a value");
                let life = u32::from_le_bytes(value[..4].try_into().expect("four bytes"));
                let send = u32::from_le_bytes(value[4..8].try_into().expect("four bytes"));
                assert!(
                    value[8..].iter().all(|byte| *byte == (send % 251) as u8),
                    "offset {}: torn",
                    record.offset
                );
                served.push((record.offset, Mark { life, send }, value.len()));
            }
        }
    }
}
