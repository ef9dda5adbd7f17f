//! The storage on a disk that rots, fails and fills up: what is refused, what is kept, what is never cut.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use runtime::clock;
use runtime::executor::ShardId;
use runtime::file;
use runtime::sim::{Fault, FaultKind, World};
use sim::lives::Plan;
use storage::{AckQueue, AppendError, Appended, Cursor, Log, PartitionUid, RecoveryError, Store, recover};
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef, validate};

const STEPS_MAX: u64 = 10_000_000;

fn plan() -> Plan {
    Plan { ring_file_bytes: 256 << 10, segment_bytes_max: 1 << 30, ..Plan::default() }
}

fn on<T: 'static>(world: &World, future: impl Future<Output = T> + 'static) -> T {
    world.run(future, STEPS_MAX).expect("it ends")
}

async fn open() -> Result<Store, RecoveryError> {
    runtime::file::create_folder_all(Path::new("/data")).await.unwrap();
    let recovery = recover(&plan().options(), 1, &plan().specs(1), PartitionUid(1_000)).await?;
    let shard = recovery.shards.into_iter().next().unwrap();
    Ok(Store::open(plan().options(), ShardId(0), shard).await.unwrap())
}

fn log(store: &Store, uid: u64) -> Log {
    store.log(PartitionUid(uid)).unwrap()
}

fn batch(length: usize, stamp: ProducerStamp) -> Bytes {
    let value = vec![7; length];
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(&RecordRef { timestamp_ms: 1, key: None, value: Some(&value), headers: &[] }).unwrap();
    builder.finish(stamp).unwrap()
}

async fn append(log: &Log, length: usize) -> Result<Appended, AppendError> {
    append_all(log, vec![batch(length, ProducerStamp::NONE)]).await.remove(0)
}

/// All under way together; the outcomes in the order of the batches.
async fn append_all(log: &Log, batches: Vec<Bytes>) -> Vec<Result<Appended, AppendError>> {
    let acks = AckQueue::new();
    let mut outcomes = vec![None; batches.len()];
    for (token, batch) in batches.into_iter().enumerate() {
        let header = validate(&batch).unwrap();
        log.append(batch, header, &acks, token as u64);
    }
    while outcomes.contains(&None) {
        acks.wait().await;
        while let Some(ack) = acks.pop() {
            outcomes[ack.token as usize] = Some(ack.result);
        }
    }
    outcomes.into_iter().flatten().collect()
}

/// The number of records a reader is served.
async fn count(log: &Log) -> i64 {
    let mut cursor = Cursor::at(0);
    while !log.read(&mut cursor, 1 << 20).await.unwrap().is_empty() {}
    cursor.offset()
}

/// Twenty acknowledged batches, each a journal write of its own, then a kill.
fn twenty_writes(world: &World, quiet_ms: u64) {
    on(world, async move {
        let store = open().await.unwrap();
        for n in 0..20 {
            assert_eq!(append(&log(&store, 1), 100).await.unwrap().base_offset, n);
        }
        clock::sleep(Duration::from_millis(quiet_ms)).await;
    });
}

fn flip(world: &World, path: &str, byte: usize) {
    let mut content = world.disk().read(Path::new(path)).unwrap();
    content[byte] ^= 0x10;
    world.disk().overwrite(Path::new(path), content);
}

const RING: &str = "/data/journal/0/ring.0";
const PAGE: usize = 4096;

#[test]
fn rot_in_a_write_that_was_acknowledged_refuses_the_start_and_changes_nothing() {
    for write in [0, 1, 10, 18] {
        for byte in [3, 40, 57, 130, 200] {
            let world = World::new(1);
            twenty_writes(&world, 0);
            flip(&world, RING, write * PAGE + byte);
            let before: Vec<_> = world.disk().files().iter().map(|path| world.disk().read(path)).collect();
            let refused = on(&world, async { open().await.err() });
            assert!(
                matches!(refused, Some(RecoveryError::Rot { .. })),
                "write {write} byte {byte}: {refused:?}"
            );
            let after: Vec<_> = world.disk().files().iter().map(|path| world.disk().read(path)).collect();
            assert_eq!(before, after);
        }
    }
}

#[test]
fn rot_in_the_very_last_write_before_a_crash_looks_like_a_tear() {
    let world = World::new(2);
    twenty_writes(&world, 0);
    flip(&world, RING, 19 * PAGE + 200);
    assert_eq!(on(&world, async { count(&log(&open().await.unwrap(), 1)).await }), 19);
}

#[test]
fn after_a_second_of_quiet_nothing_that_was_acknowledged_hangs_on_the_ring() {
    let world = World::new(3);
    twenty_writes(&world, 3_000);
    flip(&world, RING, 19 * PAGE + 200);
    assert_eq!(on(&world, async { count(&log(&open().await.unwrap(), 1)).await }), 20);
}

#[test]
fn a_full_disk_refuses_what_is_new_keeps_what_was_acknowledged_and_goes_on_when_there_is_room() {
    for seed in 0..20 {
        let world = World::new(seed);
        on(&world, async { open().await.unwrap().stop().await.unwrap() });
        world.disk().set_capacity(world.disk().used_bytes() + (200 << 10));
        let kept = on(&world, async {
            let store = open().await.unwrap();
            let mut kept = 0;
            loop {
                match append(&log(&store, 1 + kept % 2), 5_000).await {
                    Ok(_) => kept += 1,
                    Err(error) => break assert_eq!(error, AppendError::DiskFull),
                }
            }
            assert!(kept > 4, "only {kept} were taken");
            clock::sleep(Duration::from_secs(5)).await;
            assert_eq!(count(&log(&store, 1)).await + count(&log(&store, 2)).await, kept as i64);
            runtime::sim::Disk::current().set_capacity(u64::MAX);
            append(&log(&store, 1), 5_000).await.unwrap();
            kept as i64 + 1
        });
        let found = on(&world, async {
            let store = open().await.unwrap();
            count(&log(&store, 1)).await + count(&log(&store, 2)).await
        });
        assert_eq!(found, kept, "seed {seed}");
    }
}

/// Nobody knows the producer, so its second batch would be as good as its first: and stored, it would lock the first out, whose
/// retry would be out of order. Also where the broker is killed in between.
#[test]
fn of_batches_that_a_full_disk_refused_together_none_is_kept_before_the_first() {
    let stamped = |sequence| {
        let stamp = ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence: sequence };
        batch(5_000, stamp)
    };
    for (seed, first) in [(1, 0), (2, 0), (3, 17), (4, 17)] {
        let world = World::new(seed);
        on(&world, async { open().await.unwrap().stop().await.unwrap() });
        world.disk().set_capacity(world.disk().used_bytes());
        on(&world, async move {
            let store = open().await.unwrap();
            let log = log(&store, 1);
            let batches = (first..first + 3).map(stamped).collect();
            assert!(
                append_all(&log, batches).await.iter().all(|outcome| *outcome == Err(AppendError::DiskFull))
            );
            runtime::sim::Disk::current().set_capacity(u64::MAX);
            let ahead = append_all(&log, vec![stamped(first + 1), stamped(first + 2)]).await;
            for (outcome, found) in ahead.into_iter().zip(first + 1..) {
                let refused = AppendError::OutOfOrderSequence { producer_id: 9, expected: first, found };
                assert_eq!(outcome, Err(refused));
            }
            let stored = append_all(&log, vec![stamped(first), stamped(first + 1)]).await;
            assert!(
                stored.iter().zip(0..).all(|(stored, offset)| stored.as_ref().unwrap().base_offset == offset)
            );
        });
        on(&world, async move {
            let store = open().await.unwrap();
            let again = append_all(&log(&store, 1), vec![stamped(first + 1), stamped(first + 2)]).await;
            let offsets: Vec<i64> = again.into_iter().map(|stored| stored.unwrap().base_offset).collect();
            assert_eq!(offsets, [1, 2], "the one a duplicate, the other new");
        });
    }
}

#[test]
fn after_a_failed_journal_write_nothing_is_acknowledged_reads_go_on_and_a_restart_recovers() {
    let world = World::new(6);
    let fault = Fault { path: "ring.".into(), kind: FaultKind::Write, after: 15, times: 1 };
    on(&world, async move {
        let store = open().await.unwrap();
        runtime::sim::Disk::current().add_fault(fault);
        for _ in 0..15 {
            append(&log(&store, 1), 100).await.unwrap();
        }
        for _ in 0..3 {
            let refused = append(&log(&store, 2), 100).await.unwrap_err();
            assert!(
                matches!(refused, AppendError::JournalFailed { .. }) && refused.may_be_stored(),
                "{refused}"
            );
        }
        assert_eq!(count(&log(&store, 1)).await, 15);
        assert!(store.stats().journal_failed.is_some());
    });
    on(&world, async {
        let store = open().await.unwrap();
        assert_eq!(count(&log(&store, 1)).await, 15);
        append(&log(&store, 2), 100).await.unwrap();
    });
}

#[test]
fn a_chunk_that_fails_once_is_written_again_and_twice_makes_only_its_partition_read_only() {
    for (times, survives) in [(1, true), (2, false)] {
        let world = World::new(7);
        on(&world, async move {
            let store = open().await.unwrap();
            append(&log(&store, 1), 100).await.unwrap();
            append(&log(&store, 2), 100).await.unwrap();
            runtime::sim::Disk::current().add_fault(Fault {
                path: "/1-1/".into(),
                kind: FaultKind::Write,
                after: 0,
                times,
            });
            clock::sleep(Duration::from_secs(3)).await;
            let outcome = append(&log(&store, 1), 100).await;
            if survives {
                outcome.unwrap();
            } else {
                assert!(matches!(outcome, Err(AppendError::PartitionReadOnly { .. })), "{outcome:?}");
            }
            append(&log(&store, 2), 100).await.unwrap();
        });
        let found = on(&world, async { count(&log(&open().await.unwrap(), 1)).await });
        assert_eq!(found, if survives { 2 } else { 1 });
    }
}

#[test]
fn a_failed_read_in_recovery_refuses_the_start_and_the_next_one_finds_everything() {
    let world = World::new(8);
    twenty_writes(&world, 0);
    for path in ["ring.0", "table."] {
        world.disk().add_fault(Fault { path: path.into(), kind: FaultKind::Read, after: 0, times: 1 });
        let refused = on(&world, async { open().await.err() });
        assert!(matches!(refused, Some(RecoveryError::File(_))), "{path}: {refused:?}");
    }
    assert_eq!(on(&world, async { count(&log(&open().await.unwrap(), 1)).await }), 20);
}

#[test]
fn a_journal_that_names_a_partition_the_catalog_never_made_stops_the_start() {
    let world = World::new(9);
    twenty_writes(&world, 0);
    let refused = on(&world, async { recover(&plan().options(), 1, &[], PartitionUid(1)).await.err() });
    assert!(matches!(refused, Some(RecoveryError::UnknownPartition { .. })), "{refused:?}");
}

#[test]
fn a_deleted_partition_leaves_no_folder_and_does_not_come_back() {
    let world = World::new(10);
    on(&world, async {
        let store = open().await.unwrap();
        for length in [100, 30_000, 100] {
            append(&log(&store, 1), length).await.unwrap();
            append(&log(&store, 2), length).await.unwrap();
        }
        store.remove_partition(PartitionUid(1)).await.unwrap();
        assert!(store.log(PartitionUid(1)).is_none());
    });
    let specs: Vec<_> = plan().specs(1).into_iter().filter(|spec| spec.uid != PartitionUid(1)).collect();
    on(&world, async move {
        let recovery = recover(&plan().options(), 1, &specs, PartitionUid(1_000)).await.unwrap();
        let store = Store::open(plan().options(), ShardId(0), recovery.shards.into_iter().next().unwrap())
            .await
            .unwrap();
        assert_eq!(count(&log(&store, 2)).await, 3);
    });
    let left: Vec<PathBuf> =
        world.disk().files().into_iter().filter(|path| path.to_string_lossy().contains("/1-1")).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// The table of a quiet shard was written while the older segment was still being closed, and none followed: the ring
/// stayed in use until somebody appended.
#[test]
fn a_quiet_shard_leaves_its_ring_empty_also_after_a_roll() {
    for seed in 0..50 {
        let world = World::new(seed);
        on(&world, async {
            let rolling = Plan { segment_bytes_max: 20_000, ..plan() };
            file::create_folder_all(Path::new("/data")).await.unwrap();
            let options = rolling.options();
            let recovery = recover(&options, 1, &rolling.specs(1), PartitionUid(1_000)).await.unwrap();
            let shard = recovery.shards.into_iter().next().unwrap();
            let store = Store::open(options, ShardId(0), shard).await.unwrap();
            for _ in 0..3 {
                append(&log(&store, 1), 9_000).await.unwrap();
            }
            clock::sleep(Duration::from_secs(5)).await;
            assert_eq!(store.stats().ring_bytes_used, 0);
            let tables = store.stats().tables;
            clock::sleep(Duration::from_secs(60)).await;
            assert_eq!(store.stats().tables, tables, "a quiet shard writes no tables");
        });
    }
}
