//! A partition is removed while readers look for their places in it. Each was told that acknowledged records are missing from the
//! segments, or that a file is not there: an alarm about lost data, for a topic that somebody deleted.

use std::path::Path;

use runtime::executor::ShardId;
use runtime::sim::World;
use runtime::{clock, file, random, task};
use sim::for_seeds;
use sim::lives::Plan;
use storage::{AckQueue, Cursor, Log, PartitionUid, ReadError, Store, recover};
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef, validate};

const BATCHES: u64 = 12;

async fn append_all(log: &Log) {
    let acks = AckQueue::new();
    for number in 0..BATCHES {
        let mut builder = BatchBuilder::new(Compression::None);
        let value = vec![number as u8; 5_000];
        builder.append(&RecordRef { timestamp_ms: 1, key: None, value: Some(&value), headers: &[] }).unwrap();
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        let header = validate(&batch).unwrap();
        log.append(batch, header, &acks, number);
    }
    for _ in 0..BATCHES {
        acks.wait().await;
        acks.pop().unwrap().result.unwrap();
    }
}

/// Begins to read again and again, until it fails.
async fn read_until_refused(log: Log) -> ReadError {
    loop {
        let mut cursor = Cursor::at(random::below(BATCHES) as i64);
        if let Err(error) = log.read(&mut cursor, 10_000).await {
            return error;
        }
        task::yield_now().await;
    }
}

#[test]
fn a_reader_of_a_partition_that_is_removed_is_told_so() {
    for_seeds(200, |seed| {
        let world = World::new(seed);
        let plan = Plan { partitions: 1, segment_bytes_max: 20_000, ..Plan::default() };
        let work = async move {
            file::create_folder_all(Path::new("/data")).await.unwrap();
            let recovery = recover(&plan.options(), 1, &plan.specs(1), PartitionUid(1_000)).await.unwrap();
            let shard = recovery.shards.into_iter().next().unwrap();
            let store = Store::open(plan.options(), ShardId(0), shard).await.unwrap();
            let log = store.log(PartitionUid(1)).unwrap();
            append_all(&log).await;
            // What was written is closed and leaves the memory.
            clock::sleep(std::time::Duration::from_secs(3)).await;
            let readers: Vec<_> = (0..4).map(|_| task::spawn(read_until_refused(log.clone()))).collect();
            clock::sleep(std::time::Duration::from_micros(random::below(2_000))).await;
            store.remove_partition(PartitionUid(1)).await.unwrap();
            for reader in readers {
                let error = reader.await;
                assert!(matches!(error, ReadError::Removed), "{error}");
            }
        };
        assert!(world.run(work, 1_000_000).is_some(), "it does not end");
    });
}
