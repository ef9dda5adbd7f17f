//! What a start refuses, repaired: it says what it would give up, changes nothing until told to, copies what it cuts, and then
//! the storage starts with all that is sound.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use runtime::file;
use runtime::sim::Unflushed;
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::live_on;
use storage::PartitionUid;
use storage::repair::{self, Loss};

const RING: &str = "/data/journal/0/ring.0";
const SEGMENT: &str = "/data/topics/t/1-1/00000000000000000000.log";
const EXPORT: &str = "/rescued";
const PAGE: usize = 4096;

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 1 << 20, ring_file_bytes: 256 << 10, ..Plan::default() }
}

async fn planned(plan: Plan) -> Vec<Loss> {
    let shards = plan.shards[0];
    repair::plan(&plan.options(), shards, &plan.specs(shards), PartitionUid(1_000)).await.expect("a plan")
}

async fn applied(plan: Plan) -> Vec<Loss> {
    applied_to(plan, EXPORT).await
}

async fn applied_to(plan: Plan, export: &str) -> Vec<Loss> {
    let (shards, export) = (plan.shards[0], Path::new(export));
    let (options, specs) = (plan.options(), plan.specs(shards));
    repair::apply(&options, shards, &specs, PartitionUid(1_000), export).await.expect("a repair")
}

fn on<T: 'static>(machine: &Machine, work: impl Future<Output = T> + 'static) -> T {
    machine.world.run(work, 10_000_000).expect("it ends")
}

#[test]
fn a_rotten_write_in_the_middle_of_the_journal_is_given_up_with_what_follows() {
    let machine = Machine::new(1, &plan());
    machine.run(async |running| {
        for n in 0..10 {
            running.append(1 + n % 2, 300).await.expect("an append");
        }
    });
    machine.change(RING, |ring| ring[6 * PAGE + 200] ^= 1);
    let refusal = machine.refusal();
    assert!(refusal.to_string().contains("corelog log repair"), "{refusal}");
    let (before, rotten) = (machine.contents(), machine.content(RING));
    let losses = on(&machine, planned(plan()));
    let said: Vec<&str> = losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].contains("damaged at file 0, offset 24576"), "{said:?}");
    assert!(said[1].starts_with("offsets from 3 to 4 "), "{said:?}");
    assert!(before == machine.contents(), "a plan changed the disk");
    assert_eq!(on(&machine, applied(plan())), losses);
    assert_eq!(machine.content("/rescued/journal/0/ring.0"), rotten);
    assert_eq!(on(&machine, planned(plan())), []);
    // Six writes came before it, three to each partition.
    let counts = on(&machine, async {
        let recovery = storage::recover(&plan().options(), 1, &plan().specs(1), PartitionUid(1_000)).await;
        let shard = recovery.expect("a start").shards.into_iter().next().expect("a shard");
        let store = storage::Store::open(plan().options(), runtime::executor::ShardId(0), shard).await;
        let store = store.expect("a store");
        [1, 2].map(|uid| store.log(PartitionUid(uid)).expect("a log").offsets().high_watermark)
    });
    assert_eq!(counts, [3, 3]);
}

/// The second batch went round the journal: its bytes are in the segment, and its note was in the part that is cut off. A
/// start after the repair zeroes them.
#[test]
fn a_cut_journal_is_given_up_from_there_on_and_batches_it_told_of_are_copied() {
    let machine = Machine::new(5, &plan());
    machine.run(async |running| {
        running.append(1, 300).await.expect("an append");
        running.quiet().await;
        running.append(1, 300).await.expect("an append");
        running.append(1, 40_000).await.expect("an append");
        running.append(2, 300).await.expect("an append");
    });
    machine.change(RING, |ring| ring.truncate(2 * PAGE));
    let refusal = machine.refusal();
    assert!(refusal.to_string().contains("was cut"), "{refusal}");
    let (before, segment) = (machine.contents(), machine.content(SEGMENT));
    let losses = on(&machine, planned(plan()));
    assert!(before == machine.contents(), "a plan changed the disk");
    let of_segment: Vec<_> = losses.iter().filter(|loss| loss.path == Path::new(SEGMENT)).collect();
    assert_eq!(of_segment.len(), 1, "{losses:?}");
    assert!(of_segment[0].what.starts_with("offsets from 2 on: "), "{losses:?}");
    assert_eq!(on(&machine, applied(plan())), losses);
    assert!(machine.content("/rescued/topics/t/1-1/00000000000000000000.log") == segment);
    assert_eq!(on(&machine, planned(plan())), []);
    machine.give_up(1, 2);
    machine.give_up(2, 0);
    assert_eq!(machine.judge(), [2, 0]);
}

#[test]
fn an_end_that_cannot_be_told_is_put_behind_the_last_whole_batch() {
    let machine = Machine::new(2, &plan());
    machine.run(async |running| {
        for _ in 0..3 {
            running.append(1, 300).await.expect("an append");
        }
        running.quiet().await;
        running.append(2, 300).await.expect("an append");
    });
    machine.change(SEGMENT, |segment| segment[700] ^= 1);
    for slot in ["/data/journal/0/table.0", "/data/journal/0/table.1"] {
        machine.change(slot, |table| table[60] ^= 1);
    }
    machine.refusal();
    let rotten = machine.content(SEGMENT);
    let losses = on(&machine, applied(plan()));
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert!(losses[0].what.contains("Kept: offsets below 2"), "{losses:?}");
    assert_eq!(machine.content("/rescued/topics/t/1-1/00000000000000000000.log"), rotten);
    assert_eq!(on(&machine, planned(plan())), []);
}

#[test]
fn where_a_start_refuses_nothing_a_repair_does_nothing() {
    let machine = Machine::new(3, &plan());
    machine.run(async |running| running.append_all(&[(1, 300), (2, 5_000)]).await);
    let before = machine.contents();
    assert_eq!(on(&machine, applied(plan())), []);
    assert!(before == machine.contents(), "a repair of nothing changed the disk");
}

/// The ring of shard 0, which has partitions 2 and 4.
const LOST_RING: &str = "/data/journal/0";
const SEGMENT_OF_4: &str = "/data/topics/t/4-4/00000000000000000000.log";

/// Two shards that the last start left a ring each. Two batches of each partition are in its segment, and the table says so;
/// one more is in the ring of its shard only. But partition 4 then has two that went round the ring: the first is whole in
/// the segment, of which no table tells, and of the second the ring has the end.
fn two_shards() -> Machine {
    let plan = Plan { partitions: 4, shards: &[2], ..plan() };
    let mut machine = Machine::new(4, &plan);
    let process = machine.start_and_finish(async |running| {
        let one_each = [(1, 5_000), (2, 300), (3, 300), (4, 4_096)];
        running.append_all(&one_each).await;
        running.append_all(&one_each).await;
        running.quiet().await;
        running.append_all(&[(1, 5_000), (2, 300), (3, 300), (4, 40_000)]).await;
        running.append(4, 40_000).await.expect("an append");
    });
    machine.crash(process, Crash::PowerCut(Unflushed::Lost));
    machine.plan.rings_before = 2;
    machine
}

/// Takes files out of a ring, or all of it. What is left is in the folder.
fn lose(machine: &Machine, files: &'static [&'static str]) {
    on(machine, async move {
        let ring = Path::new(LOST_RING);
        if files.is_empty() {
            file::remove_folder_all(ring).await.expect("it was there");
        }
        for name in files {
            file::remove_file(&ring.join(name)).await.expect("it was there");
        }
        for folder in [ring, Path::new("/data/journal")] {
            if file::exists(folder).await.expect("a look") {
                file::sync_folder(folder).await.expect("a flush");
            }
        }
    });
}

/// What is lost of a ring, and what the refusal has to name.
const LOST: [(&[&str], &str); 4] = [
    (&[], LOST_RING),
    (&["ring.0", "ring.1", "table.0", "table.1"], LOST_RING),
    (&["ring.0"], "/data/journal/0/ring.0"),
    (&["ring.1"], "/data/journal/0/ring.1"),
];

/// What the segments hold of the ring's partitions is served, and the other shard has lost nothing.
fn judge_and_live_on(machine: &Machine) {
    machine.give_up(2, 2);
    machine.give_up(4, 3);
    assert_eq!(machine.judge(), [3, 2, 3, 3]);
    live_on(machine);
}

#[test]
fn a_missing_ring_refuses_the_start_and_a_repair_serves_what_the_segments_hold() {
    for (files, named) in LOST {
        let machine = two_shards();
        lose(&machine, files);
        let refusal = machine.refusal().to_string();
        assert!(refusal.contains(&format!("{named} ")), "{files:?}: {refusal}");
        assert!(refusal.contains("corelog log repair"), "{files:?}: {refusal}");
        let before = machine.contents();
        let losses = on(&machine, planned(machine.plan.clone()));
        let paths: Vec<_> = losses.iter().map(|loss| loss.path.as_path()).collect();
        assert_eq!(paths, [SEGMENT_OF_4, LOST_RING].map(Path::new), "{losses:?}");
        assert!(before == machine.contents(), "{files:?}: a plan changed the disk");
        assert_eq!(on(&machine, applied(machine.plan.clone())), losses);
        for (path, content) in before {
            // What is given up was copied, and nothing else.
            let is_given_up = path.starts_with(LOST_RING) || path == Path::new(SEGMENT_OF_4);
            let copy = Path::new(EXPORT).join(path.strip_prefix("/data").expect("all data is there"));
            let copied = machine.world.disk().read(&copy);
            assert!(copied == is_given_up.then_some(content), "{files:?}: {}", copy.display());
        }
        assert_eq!(on(&machine, planned(machine.plan.clone())), []);
        judge_and_live_on(&machine);
    }
}

/// A repair that is cut off leaves a folder that is refused again, or one that starts; never one that starts with less.
#[test]
fn a_repair_of_a_missing_ring_that_is_cut_off_at_any_moment_is_done_again() {
    for (files, _) in LOST {
        let machine = two_shards();
        lose(&machine, files);
        let before = machine.remember();
        for moment in 1.. {
            machine.return_to(&before);
            let (plan, ended) = (machine.plan.clone(), Rc::new(Cell::new(false)));
            let signal = ended.clone();
            let process = machine.world.start_process(1, move |_| {
                let (plan, signal) = (plan.clone(), signal.clone());
                async move {
                    applied(plan).await;
                    signal.set(true);
                }
            });
            for _ in 0..moment {
                machine.world.step();
            }
            machine.crash(
                process,
                Crash::PowerCut(if moment % 2 == 0 { Unflushed::Lost } else { Unflushed::Drawn }),
            );
            on(&machine, applied_to(machine.plan.clone(), "/rescued-again"));
            judge_and_live_on(&machine);
            if ended.get() {
                assert!(moment > 100, "a repair has more than {moment} moments");
                break;
            }
        }
    }
}
