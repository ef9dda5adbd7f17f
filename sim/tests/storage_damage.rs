//! Files of the storage that were cut, changed, deleted or exchanged behind its back while it was stopped. A reader is
//! served sound batches in order, and then all of them or an error: never other records, never fewer in silence, and never
//! does it wait for ever. What is only a hint costs time.

use std::cell::Cell;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use runtime::executor::ShardId;
use runtime::file;
use runtime::sim::World;
use sim::lives::Plan;
use storage::{AckQueue, Appended, Cursor, Log, PartitionUid, ReadError, Store, recover};
use wire::batch::{BatchBuilder, Batches, Compression, ProducerStamp, RecordRef, validate};

const STEPS_MAX: u64 = 1_000_000;
const BATCHES: i64 = 40;
/// With its header and one record of 1,000 bytes.
const BATCH_BYTES: usize = 1_070;
const BATCHES_A_SEGMENT: i64 = 9;

fn plan() -> Plan {
    Plan { ring_file_bytes: 256 << 10, segment_bytes_max: 10_000, partitions: 2, ..Plan::default() }
}

fn on<T: 'static>(world: &World, future: impl Future<Output = T> + 'static) -> T {
    world.run(future, STEPS_MAX).expect("it ends")
}

async fn open() -> Store {
    file::create_folder_all(Path::new("/data")).await.unwrap();
    let recovery = recover(&plan().options(), 1, &plan().specs(1), PartitionUid(1_000)).await.unwrap();
    Store::open(plan().options(), ShardId(0), recovery.shards.into_iter().next().unwrap()).await.unwrap()
}

fn stamped(sequence: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = [sequence as u8; 1_000];
    builder.append(&RecordRef { timestamp_ms: 1, key: None, value: Some(&value), headers: &[] }).unwrap();
    let stamp = ProducerStamp { producer_id: 5, producer_epoch: 0, base_sequence: sequence as i32 };
    builder.finish(stamp).unwrap()
}

async fn append(log: &Log, sequence: i64) -> Appended {
    let (acks, bytes) = (AckQueue::new(), stamped(sequence));
    let header = validate(&bytes).unwrap();
    log.append(bytes, header, &acks, 0);
    acks.wait().await;
    acks.pop().unwrap().result.unwrap()
}

fn log(store: &Store, uid: u64) -> Log {
    store.log(PartitionUid(uid)).unwrap()
}

/// Two partitions of five segments each, stopped cleanly.
fn stopped() -> World {
    let world = World::new(1);
    on(&world, async {
        let store = open().await;
        assert_eq!(stamped(0).len(), BATCH_BYTES);
        for uid in [1, 2] {
            for sequence in 0..BATCHES {
                assert_eq!(append(&log(&store, uid), sequence).await.base_offset, sequence);
            }
            assert_eq!(log(&store, uid).segment_count().await.unwrap(), 5);
            // Makes the indexes of closed segments.
            read(&log(&store, uid), 0).await.1.unwrap();
        }
        store.stop().await.unwrap();
    });
    world
}

/// Reads from `offset` to the end or the first error. Each record has to be the one that was appended at its offset.
async fn read(log: &Log, offset: i64) -> (i64, Result<(), ReadError>) {
    let mut cursor = Cursor::at(offset);
    let mut next = offset;
    loop {
        let slices = match log.read(&mut cursor, 3_000).await {
            Ok(slices) => slices,
            Err(error) => return (next, Err(error)),
        };
        let bytes: Bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        if bytes.is_empty() {
            return (next, Ok(()));
        }
        for batch in Batches::new(&bytes) {
            for record in wire::batch::records(&bytes.slice(batch.unwrap().0)).unwrap() {
                let record = record.unwrap();
                assert_eq!(record.offset, next);
                assert_eq!(record.value.unwrap()[0], record.offset as u8);
                next += 1;
            }
        }
    }
}

/// What a reader meets that begins at each offset: where it got, and the error that stopped it.
fn read_from_each_offset(world: &World) -> Vec<(i64, Result<(), ReadError>)> {
    on(world, async {
        let store = open().await;
        let mut outcomes = Vec::new();
        for offset in 0..BATCHES {
            outcomes.push(read(&log(&store, 1), offset).await);
        }
        outcomes
    })
}

fn file_of(uid: u64, segment: i64, what: &str) -> PathBuf {
    let base_offset = segment * BATCHES_A_SEGMENT;
    PathBuf::from(format!("/data/topics/t/{uid}-{uid}/{base_offset:020}.{what}"))
}

fn change(world: &World, path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut content = world.disk().read(path).unwrap();
    change(&mut content);
    world.disk().overwrite(path, content);
}

fn remove(world: &World, path: PathBuf) {
    on(world, async move { file::remove_file(&path).await.unwrap() });
}

/// Whoever begins at or before `lost` is served all before it, however much is read at once, and then told; whoever begins behind `good_again` is served all.
fn assert_told(world: &World, lost: i64, good_again: i64, case: &str) {
    for (begin, (end, outcome)) in read_from_each_offset(world).into_iter().enumerate() {
        let begin = begin as i64;
        if begin >= good_again {
            assert!(outcome.is_ok() && end == BATCHES, "{case}, from {begin}: {end}, {outcome:?}");
            continue;
        }
        let error = outcome.expect_err("damage was passed over in silence");
        assert!(!matches!(error, ReadError::OffsetOutOfRange { .. }), "{case}, from {begin}: {error}");
        assert_eq!(end, lost.max(begin), "{case}, from {begin}");
    }
}

fn assert_served(world: &World, case: &str) {
    for (begin, (end, outcome)) in read_from_each_offset(world).into_iter().enumerate() {
        assert!(outcome.is_ok() && end == BATCHES, "{case}, from {begin}: {end}, {outcome:?}");
    }
}

#[test]
fn a_segment_cut_between_or_inside_batches_is_told_to_its_readers() {
    for kept in [0, 1, 61, BATCH_BYTES, 2 * BATCH_BYTES, 2 * BATCH_BYTES + 30, 4_096, 8 * BATCH_BYTES] {
        for segment in [0, 2, 4] {
            let world = stopped();
            change(&world, &file_of(1, segment, "log"), |bytes| bytes.truncate(kept));
            let base_offset = segment * BATCHES_A_SEGMENT;
            let lost = base_offset + (kept / BATCH_BYTES) as i64;
            if lost < BATCHES {
                let good_again = (base_offset + BATCHES_A_SEGMENT).min(BATCHES);
                assert_told(&world, lost, good_again, &format!("segment {segment} cut to {kept}"));
            }
        }
    }
}

#[test]
fn a_segment_that_is_missing_is_told_to_its_readers() {
    for segment in [0, 2, 4] {
        let world = stopped();
        remove(&world, file_of(1, segment, "log"));
        let lost = segment * BATCHES_A_SEGMENT;
        assert_told(
            &world,
            lost,
            (lost + BATCHES_A_SEGMENT).min(BATCHES),
            &format!("segment {segment} missing"),
        );
    }
}

/// Bytes 0 to 7 of a batch are its offset and lie outside its checksum.
#[test]
fn a_flipped_bit_of_a_batchs_offset_never_serves_a_record_at_another_offset() {
    for segment in [1, 4] {
        for batch in [0, 1, 3] {
            for bit in [0, 1, 4, 40, 63] {
                let world = stopped();
                let place = batch as usize * BATCH_BYTES + 7 - bit / 8;
                change(&world, &file_of(1, segment, "log"), |bytes| bytes[place] ^= 1 << (bit % 8));
                let case = format!("segment {segment}, batch {batch}, bit {bit}");
                let outcomes = read_from_each_offset(&world);
                let lost = segment * BATCHES_A_SEGMENT + batch;
                let is_told =
                    |outcome: &(i64, Result<(), ReadError>)| outcome.1.is_err() && outcome.0 == lost;
                assert!(outcomes[..=lost as usize].iter().all(is_told), "{case}: {outcomes:?}");
            }
        }
    }
}

#[test]
fn a_damaged_length_or_body_is_told_and_never_read_for_ever() {
    for (byte, what) in [(8, "length"), (10, "length"), (11, "length"), (16, "magic"), (500, "body")] {
        let world = stopped();
        change(&world, &file_of(1, 4, "log"), |bytes| bytes[BATCH_BYTES + byte] ^= 0x04);
        let lost = 4 * BATCHES_A_SEGMENT + 1;
        let outcomes = read_from_each_offset(&world);
        let is_told = |outcome: &(i64, Result<(), ReadError>)| outcome.1.is_err() && outcome.0 == lost;
        assert!(outcomes[..=lost as usize].iter().all(is_told), "{what} at {byte}: {outcomes:?}");
    }
}

/// What is done to a file of the killed broker.
type Damage = fn(&World, PathBuf);

#[test]
fn an_index_that_is_missing_damaged_or_another_ones_costs_no_record() {
    let damage: [(&str, Damage); 6] = [
        ("missing", |world, path| remove(world, path)),
        ("empty", |world, path| change(world, &path, Vec::clear)),
        ("cut", |world, path| change(world, &path, |bytes| bytes.truncate(50))),
        ("flipped", |world, path| change(world, &path, |bytes| bytes[45] ^= 2)),
        ("huge", |world, path| change(world, &path, |bytes| bytes.resize(40 << 20, 7))),
        ("of another segment", |world, path| {
            let other = world.disk().read(&file_of(1, 0, "index")).unwrap();
            world.disk().overwrite(&path, other);
        }),
    ];
    for (case, damage) in damage {
        let world = stopped();
        damage(&world, file_of(1, 2, "index"));
        assert_served(&world, case);
    }
}

#[test]
fn a_snapshot_of_the_producers_that_is_missing_damaged_or_another_ones_lets_no_retry_be_stored_twice() {
    let snapshot = |uid: u64| PathBuf::from(format!("/data/topics/t/{uid}-{uid}/producers.snapshot"));
    for case in ["missing", "flipped", "cut", "of another partition"] {
        let world = stopped();
        let path = snapshot(1);
        match case {
            "missing" => remove(&world, path),
            "flipped" => change(&world, &path, |bytes| bytes[17] ^= 1),
            "cut" => change(&world, &path, |bytes| bytes.truncate(40)),
            _ => {
                let other = world.disk().read(&snapshot(2)).unwrap();
                world.disk().overwrite(&path, other);
            }
        }
        on(&world, async {
            let store = open().await;
            for retried in BATCHES - 5..BATCHES {
                assert_eq!(append(&log(&store, 1), retried).await.base_offset, retried);
            }
            assert_eq!(append(&log(&store, 1), BATCHES).await.base_offset, BATCHES);
        });
    }
}

#[test]
fn a_ring_that_is_gone_refuses_the_start_and_nothing_is_changed() {
    for case in ["folder", "files", "journal"] {
        let world = stopped();
        on(&world, async move {
            let ring = Path::new("/data/journal/0");
            match case {
                "folder" => file::remove_folder_all(ring).await.unwrap(),
                "journal" => file::remove_folder_all(Path::new("/data/journal")).await.unwrap(),
                _ => {
                    for entry in file::list_folder(ring).await.unwrap() {
                        file::remove_file(&ring.join(&entry.name)).await.unwrap();
                    }
                }
            }
        });
        let before = world.disk().files();
        let options = storage::StorageOptions { rings_before: 1, ..plan().options() };
        let specs = plan().specs(1);
        let refused =
            on(&world, async move { recover(&options, 1, &specs, PartitionUid(1_000)).await.err() });
        assert!(refused.is_some(), "{case}");
        assert_eq!(before, world.disk().files(), "{case}");
    }
}

/// A start with fewer shards that is cut anywhere leaves either all rings of before or those of the new placement.
#[test]
fn spare_rings_go_whole_and_are_not_asked_for_again() {
    let recovered = |shards: u16, rings_before: u16| async move {
        file::create_folder_all(Path::new("/data")).await.unwrap();
        file::sync_folder(Path::new("/")).await.unwrap();
        let options = storage::StorageOptions { rings_before, ..plan().options() };
        recover(&options, shards, &plan().specs(shards), PartitionUid(1_000)).await.map(|_| options)
    };
    let world = World::new(1);
    on(&world, async move { recovered(3, 0).await.unwrap() });
    let before = world.disk().snapshot();
    for steps in 1.. {
        world.disk().restore(&before);
        let over = Rc::new(Cell::new(false));
        let told = over.clone();
        world.start_process(1, move |_| {
            let over = told.clone();
            async move {
                let options = recovered(1, 3).await.unwrap();
                // The placement is durable from here on.
                file::write_whole_durably(Path::new("/data/placed"), &[1]).await.unwrap();
                storage::remove_spare_rings(&options, 1).await.unwrap();
                over.set(true);
            }
        });
        world.run_until(|| over.get(), steps);
        world.power_cut();
        on(&world, async move {
            let placed = file::exists(Path::new("/data/placed")).await.unwrap();
            recovered(2, if placed { 1 } else { 3 }).await.unwrap();
        });
        if over.get() {
            break;
        }
    }
}

#[test]
fn a_ring_file_that_was_cut_or_deleted_refuses_the_start_and_a_repair_says_what_it_gives_up() {
    for (case, length) in
        [("deleted", None), ("emptied", Some(0)), ("cut", Some(20_000)), ("odd", Some(100_001))]
    {
        let world = stopped();
        let ring = PathBuf::from("/data/journal/0/ring.1");
        match length {
            Some(length) => change(&world, &ring, |bytes| bytes.truncate(length)),
            None => remove(&world, ring),
        }
        let options = storage::StorageOptions { rings_before: 1, ..plan().options() };
        let specs = plan().specs(1);
        let error = on(&world, {
            let (options, specs) = (options.clone(), specs.clone());
            async move { recover(&options, 1, &specs, PartitionUid(1_000)).await.err() }
        });
        let error = error.expect(case).to_string();
        assert!(error.contains("/data/journal/0/ring.1"), "{case}: {error}");
        let export = Path::new("/rescued");
        let losses = on(&world, {
            let (options, specs) = (options.clone(), specs.clone());
            async move { storage::repair::apply(&options, 1, &specs, PartitionUid(1_000), export).await.unwrap() }
        });
        assert!(!losses.is_empty(), "{case}");
        // It was stopped cleanly: nothing was in the ring alone.
        assert_served(&world, case);
        on(&world, async move { drop(recover(&options, 1, &specs, PartitionUid(1_000)).await.unwrap()) });
    }
}

#[test]
fn a_segment_of_an_odd_length_is_appended_to_like_any_other() {
    for beyond in [1, 100, 4_095, 4_097, 9_999] {
        let world = stopped();
        let ends_at = (BATCHES - 4 * BATCHES_A_SEGMENT) as usize * BATCH_BYTES;
        change(&world, &file_of(1, 4, "log"), |bytes| bytes.resize(ends_at + beyond, 7));
        on(&world, async {
            let store = open().await;
            for sequence in BATCHES..BATCHES + 20 {
                assert_eq!(append(&log(&store, 1), sequence).await.base_offset, sequence);
            }
            store.stop().await.unwrap();
        });
        let read = on(&world, async { read(&log(&open().await, 1), 0).await });
        assert!(read.1.is_ok() && read.0 == BATCHES + 20, "{beyond}: {read:?}");
    }
}
