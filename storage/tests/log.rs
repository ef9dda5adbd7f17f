//! The log on real files: what is appended is acknowledged, read back, and there after a restart.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use runtime::executor::{self, ExecutorOptions, ShardId};
use runtime::file;
use storage::{
    Ack, AckQueue, AppendError, Cursor, EpochEnd, Log, LogSettings, PartitionSpec, PartitionUid,
    ProducerStanding, Slice, StorageOptions, Store, recover,
};
use wire::batch::{BatchBuilder, Batches, Compression, ProducerStamp, RecordRef, validate};

fn on_a_shard<Fut: Future<Output = ()> + 'static>(
    name: &str,
    test: impl Fn(PathBuf) -> Fut + Clone + Send + 'static,
) {
    in_lives(name, 1, move |data, _| test(data));
}

/// Runs `test` so often on one folder, each time as a process of its own would: when it ends, all its tasks are gone.
fn in_lives<Fut: Future<Output = ()> + 'static>(
    name: &str,
    lives: i64,
    test: impl Fn(PathBuf, i64) -> Fut + Clone + Send + 'static,
) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("corelog.meta"), [1; 4096]).unwrap();
    for life in 0..lives {
        let (data, test) = (folder.clone(), test.clone());
        let options = ExecutorOptions::new("test", vec![executor::affinity_cores()[0]]);
        executor::run(options, move |_| {
            let (data, test) = (data.clone(), test.clone());
            async move {
                file::prepare_device(&data).await.unwrap();
                test(data, life).await;
            }
        })
        .unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn small(data: &Path) -> StorageOptions {
    StorageOptions { ring_file_bytes: 2 << 20, memory_bytes: 64 << 20, ..StorageOptions::new(data) }
}

fn spec(uid: u64) -> PartitionSpec {
    PartitionSpec {
        uid: PartitionUid(uid),
        folder: PathBuf::from(format!("topics/t/0-{uid}")),
        shard: ShardId(0),
        leader_epoch: 3,
        settings: LogSettings::default(),
    }
}

async fn open(options: &StorageOptions, specs: &[PartitionSpec]) -> (Store, bool) {
    let recovery = recover(options, 1, specs, PartitionUid(1000)).await.unwrap();
    let clean = recovery.clean;
    let shard = recovery.shards.into_iter().next().unwrap();
    (Store::open(options.clone(), ShardId(0), shard).await.unwrap(), clean)
}

fn batch(value: &[u8], stamp: ProducerStamp) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(&RecordRef { timestamp_ms: 1_000, key: None, value: Some(value), headers: &[] }).unwrap();
    builder.finish(stamp).unwrap()
}

async fn append(log: &Log, bytes: Bytes) -> Ack {
    let acks = AckQueue::new();
    let header = validate(&bytes).unwrap();
    log.append(bytes, header, &acks, 7);
    acks.wait().await;
    acks.pop().unwrap()
}

async fn offset_of(log: &Log, bytes: Bytes) -> i64 {
    append(log, bytes).await.result.unwrap().base_offset
}

fn joined(slices: &[Slice]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

async fn all_bytes(log: &Log) -> Vec<u8> {
    let mut cursor = Cursor::at(0);
    let mut bytes = Vec::new();
    loop {
        let read = joined(&log.read(&mut cursor, 1 << 20).await.unwrap());
        if read.is_empty() {
            return bytes;
        }
        bytes.extend_from_slice(&read);
    }
}

/// Every value of the log, from `offset` on.
async fn values(log: &Log, offset: i64) -> Vec<(i64, Vec<u8>)> {
    let mut cursor = Cursor::at(offset);
    let mut found = Vec::new();
    loop {
        let bytes = Bytes::from(joined(&log.read(&mut cursor, 1 << 20).await.unwrap()));
        if bytes.is_empty() {
            return found;
        }
        for batch in Batches::new(&bytes) {
            let (range, header) = batch.unwrap();
            let records = wire::batch::records(&bytes.slice(range)).unwrap();
            for record in records {
                let record = record.unwrap();
                found.push((record.offset, record.value.unwrap().to_vec()));
            }
            assert_eq!(header.leader_epoch, 3);
        }
    }
}

#[test]
fn what_is_appended_is_read_back_in_order() {
    on_a_shard("order", |data| async move {
        let (store, _) = open(&small(&data), &[spec(1)]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        for n in 0..20 {
            assert_eq!(offset_of(&log, batch(format!("value {n}").as_bytes(), ProducerStamp::NONE)).await, n);
        }
        let read = values(&log, 0).await;
        assert_eq!(read.len(), 20);
        assert_eq!(read[7], (7, b"value 7".to_vec()));
        assert_eq!(values(&log, 15).await.len(), 5);
        store.stop().await.unwrap();
    });
}

#[test]
fn a_clean_stop_leaves_nothing_to_redo_and_loses_nothing() {
    on_a_shard("clean", |data| async move {
        let sizes = [1, 100, 4_000, 4_096, 70_000, 300_000, 1_500_000, 17];
        let value = |n: usize| vec![n as u8; sizes[n % sizes.len()]];
        for round in 0..4 {
            let (store, clean) = open(&small(&data), &[spec(1), spec(2)]).await;
            assert!(clean, "round {round}");
            let log = store.log(PartitionUid(2)).unwrap();
            let read = values(&log, 0).await;
            assert_eq!(read.len(), round * 10);
            for (n, (offset, found)) in read.iter().enumerate() {
                assert_eq!((*offset, found), (n as i64, &value(n)), "round {round}");
            }
            for n in round * 10..(round + 1) * 10 {
                assert_eq!(offset_of(&log, batch(&value(n), ProducerStamp::NONE)).await, n as i64);
            }
            let held = all_bytes(&log).await;
            store.stop().await.unwrap();
            let file = std::fs::read(data.join("topics/t/0-2/00000000000000000000.log")).unwrap();
            assert_eq!(file.len(), held.len(), "round {round}");
            assert!(file == held, "round {round}: the file is what the log holds");
        }
    });
}

#[test]
fn a_store_that_is_dropped_without_a_stop_is_redone_from_its_ring() {
    in_lives("redo", 5, |data, round| async move {
        let (store, _) = open(&small(&data), &[spec(1)]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        assert_eq!(values(&log, 0).await.len() as i64, round * 30, "round {round}");
        for n in 0..30 {
            let value = vec![n as u8; 1 + 3_777 * n as usize];
            assert_eq!(offset_of(&log, batch(&value, ProducerStamp::NONE)).await, round * 30 + n);
        }
        // Not stopped: the next life finds the ring as a crash would leave it.
    });
}

#[test]
fn a_ring_is_lapped_many_times_under_load() {
    on_a_shard("lap", |data| async move {
        let options = small(&data);
        let (store, _) = open(&options, &[spec(1), spec(2), spec(3)]).await;
        let acks = AckQueue::new();
        let (mut sent, mut acked) = (0_u64, 0_u64);
        while acked < 3_000 {
            while sent < 3_000 && sent - acked < 64 {
                let log = store.log(PartitionUid(1 + sent % 3)).unwrap();
                let bytes = batch(&vec![sent as u8; 20_000], ProducerStamp::NONE);
                let header = validate(&bytes).unwrap();
                log.append(bytes, header, &acks, sent);
                sent += 1;
            }
            acks.wait().await;
            while let Some(ack) = acks.pop() {
                assert_eq!(ack.result.unwrap().base_offset as u64, ack.token / 3);
                acked += 1;
            }
        }
        let stats = store.stats();
        assert!(
            stats.journal_bytes > 2 * options.ring_file_bytes * u64::from(options.ring_files),
            "{stats:?}"
        );
        store.stop().await.unwrap();
        let (store, clean) = open(&options, &[spec(1), spec(2), spec(3)]).await;
        assert!(clean);
        assert_eq!(values(&store.log(PartitionUid(3)).unwrap(), 0).await.len(), 1_000);
    });
}

#[test]
fn segments_roll_and_close_and_old_offsets_are_found() {
    on_a_shard("roll", |data| async move {
        let settings = LogSettings { segment_bytes_max: 300_000, ..LogSettings::default() };
        let rolling = PartitionSpec { settings, ..spec(1) };
        let options = small(&data);
        let (store, _) = open(&options, std::slice::from_ref(&rolling)).await;
        let log = store.log(PartitionUid(1)).unwrap();
        for n in 0..100 {
            assert_eq!(offset_of(&log, batch(&vec![n as u8; 10_000], ProducerStamp::NONE)).await, n);
        }
        assert!(log.segment_count().await.unwrap() >= 4);
        for offset in [0, 1, 29, 30, 57, 99] {
            assert_eq!(values(&log, offset).await[0].0, offset);
        }
        store.stop().await.unwrap();
        let (store, _) = open(&options, &[rolling]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        for offset in [0, 31, 58, 98] {
            assert_eq!(values(&log, offset).await[0].0, offset);
        }
        assert_eq!(log.offset_at_time(1_000).await.unwrap(), Some((0, 1_000)));
        assert_eq!(log.offset_at_time(1_001).await.unwrap(), None);
    });
}

#[test]
fn a_time_is_found_to_the_record_in_compressed_batches_too() {
    on_a_shard("times", |data| async move {
        let (store, _) = open(&small(&data), &[spec(1)]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        let codecs =
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        for (number, codec) in (0_i64..).zip(codecs) {
            let mut builder = BatchBuilder::new(codec);
            for n in 0..10 {
                let timestamp_ms = 1_000 * number + n;
                let value = Some(&b"the same again and again"[..]);
                builder.append(&RecordRef { timestamp_ms, key: None, value, headers: &[] }).unwrap();
            }
            let batch = builder.finish(ProducerStamp::NONE).unwrap();
            assert_eq!(offset_of(&log, batch).await, 10 * number);
        }
        for number in 0..5 {
            for n in 0..10 {
                let (offset, time) = (10 * number + n, 1_000 * number + n);
                assert_eq!(log.offset_at_time(time).await.unwrap(), Some((offset, time)));
            }
            let between = log.offset_at_time(1_000 * number + 500).await.unwrap();
            assert_eq!(between, (number < 4).then_some((10 * number + 10, 1_000 * number + 1_000)));
        }
        assert_eq!(log.offset_of_max_timestamp().await.unwrap(), Some((49, 4_009)));

        // One that is too large to be opened, and one that is not what its header says: both were stored unopened.
        let batch_of = |value: &[u8], time: i64| {
            let mut builder = BatchBuilder::new(Compression::Zstd);
            for timestamp_ms in time..time + 4 {
                let record = RecordRef { timestamp_ms, key: None, value: Some(value), headers: &[] };
                builder.append(&record).unwrap();
            }
            builder.finish(ProducerStamp::NONE).unwrap()
        };
        let large = batch_of(&vec![0; 3 << 20], 6_000);
        let mut broken = batch_of(b"some text", 7_000).to_vec();
        *broken.last_mut().unwrap() ^= 0xff;
        let crc = wire::batch::crc32c(&broken[21..]);
        broken[17..21].copy_from_slice(&crc.to_be_bytes());
        assert!(wire::batch::records(&broken.clone().into()).is_err());
        assert_eq!(offset_of(&log, large).await, 50);
        assert_eq!(offset_of(&log, broken.into()).await, 54);
        assert_eq!(log.offset_at_time(6_002).await.unwrap(), Some((50, 6_003)));
        assert_eq!(log.offset_at_time(7_002).await.unwrap(), Some((54, 7_003)));
    });
}

#[test]
fn a_retry_is_answered_with_its_first_offset_also_after_a_restart() {
    in_lives("retry", 2, |data, life| async move {
        let stamp = |sequence| ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence: sequence };
        let (store, _) = open(&small(&data), &[spec(1)]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        if life == 0 {
            assert_eq!(offset_of(&log, batch(b"a", stamp(0))).await, 0);
            assert_eq!(offset_of(&log, batch(b"b", stamp(1))).await, 1);
            assert_eq!(offset_of(&log, batch(b"a", stamp(0))).await, 0);
            let gap = append(&log, batch(b"d", stamp(3))).await.result;
            assert_eq!(gap, Err(AppendError::OutOfOrderSequence { producer_id: 9, expected: 2, found: 3 }));
            return;
        }
        assert_eq!(offset_of(&log, batch(b"b", stamp(1))).await, 1);
        assert_eq!(offset_of(&log, batch(b"c", stamp(2))).await, 2);
        assert_eq!(values(&log, 0).await.len(), 3);
    });
}

/// Lives of a log: the leader epoch of each, and how many batches are appended in it. An epoch without a batch has no place of
/// its own; 4 goes on over a restart, and over several segments.
const EPOCHS: [(i32, i64); 6] = [(2, 40), (3, 0), (4, 25), (4, 70), (7, 1), (9, 0)];

/// What is to be told of an epoch by the log of this life.
fn expected_end(life: usize, asked: i32) -> Option<EpochEnd> {
    let lives = &EPOCHS[..=life];
    let (current, _) = lives[life];
    if asked > current {
        return None;
    }
    let up_to: Vec<_> = lives.iter().filter(|(epoch, _)| *epoch <= asked).collect();
    let end_offset = up_to.iter().map(|(_, batches)| batches).sum();
    let with_batches = up_to.iter().filter(|(_, batches)| *batches > 0).map(|(epoch, _)| *epoch).max();
    let leader_epoch = if asked == current { current } else { with_batches.unwrap_or(asked) };
    Some(EpochEnd { leader_epoch, end_offset })
}

#[test]
fn the_end_of_each_leader_epoch_is_found_over_restarts_and_segments() {
    in_lives("epochs", EPOCHS.len() as i64, |data, life| async move {
        let life = life as usize;
        let (leader_epoch, batches) = EPOCHS[life];
        let settings = LogSettings { segment_bytes_max: 300_000, ..LogSettings::default() };
        let spec = PartitionSpec { settings, leader_epoch, ..spec(1) };
        let (store, _) = open(&small(&data), &[spec]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        let check = async |log: &Log| {
            for asked in 0..12 {
                let found = log.end_of_epoch(asked).await.unwrap();
                assert_eq!(found, expected_end(life, asked), "epoch {asked} in life {life}");
            }
        };
        if batches == 0 {
            check(&log).await;
        }
        for _ in 0..batches {
            offset_of(&log, batch(&[7; 10_000], ProducerStamp::NONE)).await;
        }
        check(&log).await;
        store.stop().await.unwrap();
        check(&log).await;
    });
}

/// Indexes are hints: without them, and with one that leads astray, the ends are the same.
#[test]
fn the_end_of_a_leader_epoch_is_found_without_indexes() {
    in_lives("epochs-indexes", 3, |data, life| async move {
        let settings = LogSettings { segment_bytes_max: 300_000, ..LogSettings::default() };
        let spec = PartitionSpec { settings, leader_epoch: 3 + life as i32, ..spec(1) };
        let folder = data.join(&spec.folder);
        if life == 2 {
            let indexes = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let indexes =
                indexes.filter(|path| path.extension().is_some_and(|extension| extension == "index"));
            assert!(indexes.map(|path| std::fs::remove_file(path).unwrap()).count() > 2);
        }
        let (store, _) = open(&small(&data), &[spec]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        for _ in 0..50 {
            offset_of(&log, batch(&[7; 10_000], ProducerStamp::NONE)).await;
        }
        for (asked, end_offset) in [(3, 50), (4, 100), (5, 150)].into_iter().take(life as usize + 1) {
            let expected = EpochEnd { leader_epoch: asked, end_offset };
            assert_eq!(log.end_of_epoch(asked).await.unwrap(), Some(expected), "life {life}");
        }
        store.stop().await.unwrap();
    });
}

#[test]
fn producers_are_told_with_their_last_sequence_and_time_also_after_a_restart() {
    in_lives("producers", 3, |data, life| async move {
        let stamp =
            |producer_id, sequence| ProducerStamp { producer_id, producer_epoch: 2, base_sequence: sequence };
        let (store, _) = open(&small(&data), &[spec(1)]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        let standing = |producer_id, last_sequence| ProducerStanding {
            producer_id,
            producer_epoch: 2,
            last_sequence,
            last_timestamp_ms: 1_000,
        };
        if life == 0 {
            assert_eq!(log.producers().await.unwrap(), []);
            offset_of(&log, batch(b"none", ProducerStamp::NONE)).await;
            offset_of(&log, batch(b"a", stamp(9, 0))).await;
            offset_of(&log, batch(b"b", stamp(9, 1))).await;
            offset_of(&log, batch(b"c", stamp(4, 0))).await;
        }
        assert_eq!(log.producers().await.unwrap(), [standing(4, 0), standing(9, 1)], "life {life}");
        // The first life ends as a process that is killed, the second cleanly, with a snapshot.
        if life == 1 {
            store.stop().await.unwrap();
        }
    });
}

/// The log's file was open already when the producers could not be loaded: the next batch found space, was judged against
/// producers that nobody had loaded, and a retry was stored a second time.
#[test]
fn nothing_is_stored_while_the_producers_cannot_be_loaded() {
    in_lives("producers-lost", 2, |data, life| async move {
        let stamp = |sequence| ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence: sequence };
        let first = batch(&[1; 10_000], stamp(0));
        if life == 1 {
            let folder = data.join(spec(1).folder);
            std::fs::remove_file(folder.join("producers.snapshot")).unwrap();
            let segment = folder.join("00000000000000000000.log");
            let mut bytes = std::fs::read(&segment).unwrap();
            // The magic of the second batch.
            bytes[first.len() + 16] ^= 0xff;
            std::fs::write(&segment, bytes).unwrap();
        }
        let (store, _) = open(&small(&data), &[spec(1)]).await;
        let log = store.log(PartitionUid(1)).unwrap();
        if life == 0 {
            for n in 0..3 {
                assert_eq!(offset_of(&log, batch(&[1; 10_000], stamp(n))).await, i64::from(n));
            }
            store.stop().await.unwrap();
            return;
        }
        for _ in 0..2 {
            let refused = append(&log, first.clone()).await.result;
            assert!(matches!(refused, Err(AppendError::Unavailable { .. })), "{refused:?}");
        }
        assert_eq!(log.offsets().log_end, 3);
    });
}
