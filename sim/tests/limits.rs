//! What bounds a shard: no produce waits for good, memory stays within its budget, batches may be larger than any buffer, and ten
//! thousand partitions cost only what is touched.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use runtime::clock;
use runtime::executor::ShardId;
use runtime::sim::{Disk, UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::crash_at_each;
use storage::{Cursor, PartitionUid, Store, recover};

#[test]
fn memory_stays_within_its_budget_however_large_the_ring_and_however_fast_the_load() {
    let plan = Plan { partitions: 8, memory_bytes: 256 << 10, ring_file_bytes: 1 << 20, ..Plan::default() };
    let machine = Machine::new(1, &plan);
    let write_bytes_max = plan.journal_write_bytes_max as u64;
    machine.run(async move |running| {
        let store = &running.stores[0];
        let (mut sent, mut answered, mut dirty_peak) = (0_u64, 0_u64, 0);
        while answered < 4_000 {
            while store.has_room() && sent < 4_000 && sent - answered < 100 {
                running.send(1 + sent % 8, 300 + (sent * 37 % 900) as usize);
                sent += 1;
            }
            let answer = clock::timeout(Duration::from_secs(60), running.outcome()).await;
            answer.expect("nobody waits for good").expect("an append");
            answered += 1;
            let stats = store.stats();
            dirty_peak = dirty_peak.max(stats.dirty_bytes);
            assert!(stats.pending_bytes < stats.pending_bytes_max + 1_200, "{stats:?}");
            assert!(stats.dirty_bytes < stats.dirty_bytes_max + write_bytes_max, "{stats:?}");
            assert!(stats.cache_bytes <= stats.cache_bytes_max + write_bytes_max, "{stats:?}");
        }
        assert!(dirty_peak > 16 << 10, "the load was too slow to press: {dirty_peak}");
    });
}

/// What is only in the ring stays in memory until its checkpoint, which a ring with room to spare does not hurry: large batches
/// of others, written to their segments at once, must not pile up behind it.
#[test]
fn a_partition_that_fell_silent_does_not_keep_the_cache_from_letting_others_go() {
    let plan = Plan { partitions: 3, memory_bytes: 1 << 20, ring_file_bytes: 4 << 20, ..Plan::default() };
    let machine = Machine::new(3, &plan);
    machine.run(async move |running| {
        let store = &running.stores[0];
        running.append(1, 100).await.expect("an append");
        for n in 0..100 {
            running.append(2 + n % 2, 60_000).await.expect("an append");
            let stats = store.stats();
            assert!(stats.dirty_bytes > 0, "the first is still only in the ring: {stats:?}");
            assert!(stats.cache_bytes <= stats.cache_bytes_max + 70_000, "after {n}: {stats:?}");
        }
        store.remove_partition(PartitionUid(1)).await.expect("a deletion");
        store.remove_partition(PartitionUid(2)).await.expect("a deletion");
        for n in 0..40 {
            running.append(3, 60_000).await.expect("an append");
            let stats = store.stats();
            assert!(
                stats.cache_bytes <= stats.cache_bytes_max + 70_000,
                "{n} after the deletions: {stats:?}"
            );
        }
        store.remove_partition(PartitionUid(3)).await.expect("a deletion");
        assert_eq!(store.stats().dirty_bytes, 0);
    });
}

/// Ten thousand subscriptions that read once and then take nothing would keep up to 1 MiB each.
#[test]
fn cold_readers_together_fetch_ahead_no_more_than_their_share_and_all_come_to_the_end() {
    let plan = Plan { partitions: 1, memory_bytes: 3 << 20, segment_bytes_max: 8 << 20, ..Plan::default() };
    let machine = Machine::new(1, &plan);
    machine.run(async move |running| {
        for _ in 0..200 {
            running.append(1, 20_000).await.expect("an append");
        }
        running.quiet().await;
        let (store, log) = (&running.stores[0], running.log(1));
        let mut cursors: Vec<Cursor> = (0..40).map(|_| Cursor::at(0)).collect();
        let mut ahead_peak = 0;
        for _ in 0..3 {
            for cursor in &mut cursors {
                let before = cursor.offset();
                log.read(cursor, 100_000).await.expect("a read");
                assert!(cursor.offset() > before, "nothing was read at {before}");
                let stats = store.stats();
                ahead_peak = ahead_peak.max(stats.read_ahead_bytes);
                assert!(stats.read_ahead_bytes <= stats.read_ahead_bytes_max, "{stats:?}");
            }
        }
        assert!(ahead_peak > 0 && store.stats().cold_reads > 100, "{:?}", store.stats());
        for cursor in &mut cursors {
            while cursor.offset() < 200 {
                log.read(cursor, 100_000).await.expect("a read");
            }
        }
        // What was being fetched comes to its end.
        running.quiet().await;
        assert_eq!(store.stats().read_ahead_bytes, 0, "nobody has anything to read");
    });
}

#[test]
fn no_produce_waits_for_good_while_other_partitions_are_deleted_and_the_ring_is_full() {
    for seed in 0..30 {
        let plan =
            Plan { partitions: 6, segment_bytes_max: 20_000, ring_file_bytes: 32 << 10, ..Plan::default() };
        let machine = Machine::new(seed, &plan);
        let deleted = Rc::new(Cell::new(0));
        let count = deleted.clone();
        machine.run(async move |running| {
            for uid in 3..=6 {
                let (store, running, count) = (running.stores[0].clone(), running.clone(), count.clone());
                running.send(uid, 9_000);
                drop(runtime::task::spawn(async move {
                    clock::sleep(Duration::from_millis(uid)).await;
                    store.remove_partition(PartitionUid(uid)).await.expect("a deletion");
                    count.set(count.get() + 1);
                }));
            }
            for n in 0..200 {
                running.send(1 + n % 2, 2_000 + (n as usize * 97) % 9_000);
            }
            for _ in 0..204 {
                let answer = clock::timeout(Duration::from_secs(60), running.outcome()).await;
                let answer =
                    answer.unwrap_or_else(|_| panic!("seed {seed}: {:?}", running.stores[0].stats()));
                assert!(answer.is_ok() || answer == Err(storage::AppendError::Removed), "{answer:?}");
            }
            running.quiet().await;
        });
        assert_eq!(deleted.get(), 4, "seed {seed}");
        machine.set_partitions(&[1, 2]);
        machine.judge();
    }
}

#[test]
fn a_crash_at_any_moment_of_batches_larger_than_a_chunk_a_run_and_a_ring_file() {
    let plan = Plan { partitions: 2, segment_bytes_max: 400_000, ..Plan::default() };
    let crashes =
        [Crash::PowerCut(Unflushed::Lost), Crash::PowerCut(Unflushed::Garbled), Crash::Kill(UnderWay::Late)];
    crash_at_each(
        &plan,
        &crashes,
        |_| {},
        async |running| {
            // Chunks take 16 KiB, ring files 64 KiB; the last is larger than its segment may be.
            running.append_all(&[(1, 100), (1, 20_000), (1, 100_000), (2, 150_000)]).await;
            running.append_all(&[(1, 90), (2, 500_000)]).await;
        },
    );
}

/// While one partition is never idle, the others are: they must not keep their files until the whole shard falls quiet.
#[test]
fn idle_partitions_let_go_of_their_files_while_another_is_busy() {
    let machine = Machine::new(2, &Plan { partitions: 20, ..Plan::default() });
    machine.run(async |running| {
        let batches: Vec<_> = (1..=20).map(|uid| (uid, 1_024)).collect();
        running.append_all(&batches).await;
        // The ring goes round, so that the others' bytes come into their segments.
        for _ in 0..100 {
            running.append(1, 3_000).await.expect("an append");
            clock::sleep(Duration::from_millis(150)).await;
        }
        assert_eq!(Disk::current().opens("/topics/").1, 1, "only the busy one holds a file");
    });
}

const MANY: u64 = 10_000;
const TOUCHED: u64 = 40;

fn many() -> Plan {
    Plan {
        partitions: MANY,
        ring_file_bytes: 16 << 20,
        memory_bytes: 64 << 20,
        journal_write_bytes_max: 1 << 20,
        chunk_bytes_max: 1 << 20,
        bypass_bytes_min: 256 << 10,
        allocation_step_bytes_min: 4_096,
        ..Plan::default()
    }
}

/// Opens as `Machine` does, but reads no partition.
async fn open(plan: &Plan) -> Store {
    let recovery =
        recover(&plan.options(), 1, &plan.specs(1), PartitionUid(MANY + 1)).await.expect("a recovery");
    let shard = recovery.shards.into_iter().next().expect("a shard");
    Store::open(plan.options(), ShardId(0), shard).await.expect("a store")
}

/// One machine, because ten thousand partitions take their time: idle they hold nothing, and a start after a kill touches only those
/// that the ring speaks of.
#[test]
fn ten_thousand_partitions_hold_nothing_while_idle_and_a_start_opens_only_those_in_the_ring() {
    let machine = Machine::new(1, &many());
    let process = machine.start_and_finish(async |running| {
        let batches: Vec<_> = (1..=MANY).map(|uid| (uid, 1_024)).collect();
        running.append_all(&batches).await;
        running.quiet().await;
        running.quiet().await;
        let stats = running.stores[0].stats();
        assert_eq!((stats.pending_bytes, stats.dirty_bytes), (0, 0));
        assert!(stats.cache_bytes <= stats.cache_bytes_max);
        assert_eq!(Disk::current().opens("/topics/").1, 0, "an idle partition holds no file");
        let again: Vec<_> = (1..=TOUCHED).map(|uid| (uid * 200, 1_024)).collect();
        running.append_all(&again).await;
    });
    machine.crash(process, Crash::Kill(UnderWay::Late));
    let plan = many();
    // The dead process's own handles are never dropped: its logs and its shard hold one another.
    let (opened_before, held_before) = machine.world.disk().opens("/topics/");
    let opening = async move {
        let begun = clock::now();
        let store = open(&plan).await;
        let stats = store.stats();
        assert_eq!((stats.pending_bytes, stats.dirty_bytes, stats.cache_bytes), (0, 0, 0));
        let opened = Disk::current().opens("/topics/");
        assert_eq!(opened.1, held_before, "a start holds no segment open");
        (opened.0, begun.elapsed())
    };
    let (opened, took) = machine.world.run(opening, 10_000_000).expect("it ends");
    // To write and to check.
    assert!(opened - opened_before <= 2 * TOUCHED, "{} files were opened", opened - opened_before);
    assert!(took < Duration::from_secs(1), "{took:?} of the simulated disk's time");
    let counts = machine.judge();
    assert_eq!(counts.iter().sum::<i64>() as u64, MANY + TOUCHED);
}
