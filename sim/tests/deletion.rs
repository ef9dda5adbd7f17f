//! Partitions that are deleted while the ring still speaks of them, and topics made again under an old name: nothing comes back, nothing
//! of the others goes.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use runtime::clock;
use runtime::sim::{UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::live_on;
use storage::{AppendError, PartitionUid, RecoveryError};

const CRASHES: [Crash; 4] = [
    Crash::PowerCut(Unflushed::Lost),
    Crash::PowerCut(Unflushed::Garbled),
    Crash::PowerCut(Unflushed::Kept),
    Crash::Kill(UnderWay::Late),
];

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 30_000, ..Plan::default() }
}

fn files_of(machine: &Machine, uid: u64) -> Vec<PathBuf> {
    let folder = format!("-{uid}");
    let is_own = |path: &PathBuf| {
        let parent =
            path.parent().map(|parent| parent.to_string_lossy().trim_end_matches(".deleted").to_owned());
        parent.is_some_and(|parent| parent.ends_with(&folder))
    };
    machine.world.disk().files().into_iter().filter(is_own).collect()
}

/// The path before the folder was renamed to be deleted.
fn without_ending(path: &Path) -> String {
    path.to_string_lossy().replace(".deleted/", "/")
}

/// Deletes partition 1 with its entries in the ring, and crashes at the moment. False when the deletion was over before.
fn dies_deleting(machine: &Machine, moment: u64, crash: Crash) -> bool {
    let (deleting, over) = (Rc::new(RefCell::new(false)), Rc::new(RefCell::new(false)));
    let (begun, ended) = (deleting.clone(), over.clone());
    let process = machine.start(async move |running| {
        running.append_all(&[(1, 100), (2, 20_000), (1, 20_000), (2, 100), (1, 20_000), (1, 90)]).await;
        // Under way while the partition goes.
        running.send(2, 500);
        running.send(1, 500);
        *begun.borrow_mut() = true;
        running.stores[0].remove_partition(PartitionUid(1)).await.expect("a deletion");
        *ended.borrow_mut() = true;
    });
    assert!(machine.world.run_until(|| *deleting.borrow(), 1_000_000));
    for _ in 0..moment {
        if *over.borrow() {
            break;
        }
        machine.world.step();
    }
    machine.crash(process, crash);
    !*over.borrow()
}

#[test]
fn a_deletion_crashed_at_each_moment_brings_no_segment_back_and_takes_none_of_another_partition() {
    let mut moment = 0;
    let mut unfinished = true;
    while unfinished {
        unfinished = false;
        for crash in CRASHES {
            let machine = Machine::new(7, &plan());
            unfinished |= dies_deleting(&machine, moment, crash);
            let left: Vec<_> = files_of(&machine, 1).iter().map(|path| without_ending(path)).collect();
            // The catalog said so before the deletion began.
            machine.set_partitions(&[2]);
            machine.judge();
            let found = files_of(&machine, 1);
            assert!(
                found.iter().all(|path| left.contains(&without_ending(path))),
                "{crash:?} at {moment}: {found:?} of {left:?}"
            );
        }
        moment += 1;
    }
    assert!(moment > 20, "a deletion has more than {moment} moments");
}

/// Batches that were on their way round the journal when their partition was deleted were dropped without an answer, and
/// stayed counted as pending: their producer waited for good, and so did the shard's stop.
#[test]
fn a_deletion_at_any_moment_of_an_append_answers_it_and_lets_the_shard_stop() {
    let (mut stored, mut refused) = (0, 0);
    for moment in 0..400 {
        let machine = Machine::new(moment, &plan());
        let outcomes = machine.run(async move |running| {
            running.append_all(&[(1, 100), (2, 100)]).await;
            [500, 20_000, 90].iter().for_each(|bytes| running.send(1, *bytes));
            clock::sleep(Duration::from_micros(5 * moment)).await;
            running.stores[0].remove_partition(PartitionUid(1)).await.expect("a deletion");
            let outcomes = [running.outcome().await, running.outcome().await, running.outcome().await];
            running.append(2, 500).await.expect("an append");
            running.stores[0].stop().await.expect("a clean stop");
            outcomes
        });
        for outcome in outcomes {
            match outcome {
                Ok(_) => stored += 1,
                Err(AppendError::Removed) => refused += 1,
                Err(error) => panic!("at {moment}: {error}"),
            }
        }
        machine.set_partitions(&[2]);
        assert_eq!(machine.judge(), [2]);
    }
    assert!(stored > 100 && refused > 100, "{stored} were stored, {refused} refused");
}

/// Deletes partition 1 and makes it again under its name, as uid 3.
#[test]
fn a_partition_made_again_under_its_name_begins_empty_whatever_the_ring_holds_of_the_old_one() {
    for moment in 0..60 {
        for crash in CRASHES {
            let machine = Machine::new(8, &plan());
            dies_deleting(&machine, moment, crash);
            machine.set_partitions(&[2, 3]);
            let counts = machine.judge();
            assert!(counts[0] >= 2 && counts[1] == 0, "{crash:?} at {moment}: {counts:?}");
            let process = machine.start_and_finish(async |running| {
                running.append_all(&[(3, 100), (3, 20_000), (2, 100), (3, 90)]).await;
            });
            machine.crash(process, crash);
            assert_eq!(machine.judge()[1], 3);
            live_on(&machine);
        }
    }
}

#[test]
fn an_entry_above_the_catalog_s_counter_refuses_the_start_and_changes_nothing() {
    let machine = Machine::new(9, &plan());
    machine.set_partitions(&[1, 2, 999]);
    machine.run(async |running| running.append_all(&[(1, 100), (999, 100)]).await);
    let before = machine.contents();
    let options = machine.plan.options();
    let specs = machine.plan.specs(1);
    let refused = machine
        .world
        .run(async move { storage::recover(&options, 1, &specs, PartitionUid(999)).await.err() }, 1_000_000);
    let refused = refused.expect("it ends");
    assert!(
        matches!(refused, Some(RecoveryError::UnknownPartition { uid: PartitionUid(999), .. })),
        "{refused:?}"
    );
    assert!(before == machine.contents());
    assert!(machine.world.disk().read(Path::new("/data/journal/0/ring.0")).is_some());
    assert_eq!(machine.judge(), [1, 0, 1]);
}
