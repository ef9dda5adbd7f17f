//! What a start refuses, repaired: it says what it would give up, changes nothing until told to, copies what it cuts, and then
//! the storage starts with all that is sound.

use std::path::Path;

use sim::lives::Plan;
use sim::machine::Machine;
use storage::repair::{self, Loss};
use storage::{PartitionUid, StorageOptions};

const RING: &str = "/data/journal/0/ring.0";
const SEGMENT: &str = "/data/topics/t/1-1/00000000000000000000.log";
const EXPORT: &str = "/rescued";
const PAGE: usize = 4096;

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 1 << 20, ring_file_bytes: 256 << 10, ..Plan::default() }
}

async fn planned(options: StorageOptions) -> Vec<Loss> {
    repair::plan(&options, 1, &plan().specs(1), PartitionUid(1_000)).await.expect("a plan")
}

async fn applied(options: StorageOptions) -> Vec<Loss> {
    let (specs, export) = (plan().specs(1), Path::new(EXPORT));
    repair::apply(&options, 1, &specs, PartitionUid(1_000), export).await.expect("a repair")
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
    let losses = on(&machine, planned(plan().options()));
    let said: Vec<&str> = losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].contains("damaged at file 0, offset 24576"), "{said:?}");
    assert!(said[1].starts_with("offsets from 3 to 4 "), "{said:?}");
    assert!(before == machine.contents(), "a plan changed the disk");
    assert_eq!(on(&machine, applied(plan().options())), losses);
    assert_eq!(machine.content("/rescued/journal/0/ring.0"), rotten);
    assert_eq!(on(&machine, planned(plan().options())), []);
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
    let losses = on(&machine, applied(plan().options()));
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert!(losses[0].what.contains("Kept: offsets below 2"), "{losses:?}");
    assert_eq!(machine.content("/rescued/topics/t/1-1/00000000000000000000.log"), rotten);
    assert_eq!(on(&machine, planned(plan().options())), []);
}

#[test]
fn where_a_start_refuses_nothing_a_repair_does_nothing() {
    let machine = Machine::new(3, &plan());
    machine.run(async |running| running.append_all(&[(1, 300), (2, 5_000)]).await);
    let before = machine.contents();
    assert_eq!(on(&machine, applied(plan().options())), []);
    assert!(before == machine.contents(), "a repair of nothing changed the disk");
}
