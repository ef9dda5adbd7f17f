//! Rings whose checkpoint tables are torn, rotten or gone: the same data as with them, or a refusal that says what is unclear.

use runtime::clock;
use runtime::sim::{UnderWay, Unflushed};
use sim::for_seeds;
use sim::lives::Plan;
use sim::machine::{Crash, Machine, Running};
use storage::RecoveryError;

const SLOTS: [&str; 2] = ["/data/journal/0/table.0", "/data/journal/0/table.1"];
const RING_FILES: [&str; 4] =
    ["/data/journal/0/ring.0", "/data/journal/0/ring.1", "/data/journal/0/ring.2", "/data/journal/0/ring.3"];

fn plan() -> Plan {
    Plan { partitions: 3, segment_bytes_max: 1 << 30, ring_file_bytes: 256 << 10, ..Plan::default() }
}

/// What can happen to a slot.
const DAMAGE: [fn(&mut Vec<u8>); 3] =
    [|slot| slot[60] ^= 0x10, |slot| slot.fill(0), |slot| slot[130..].fill(0xa5)];

fn generation(machine: &Machine, slot: &str) -> u64 {
    let content = machine.content(slot);
    u64::from_le_bytes(content[32..40].try_into().expect("eight bytes"))
}

/// The slots of ring 0, the newest first.
fn newest_first(machine: &Machine) -> [&'static str; 2] {
    let [zero, one] = SLOTS;
    if generation(machine, zero) > generation(machine, one) { [zero, one] } else { [one, zero] }
}

fn remove(machine: &Machine, slot: &'static str) {
    let removed = async move { runtime::file::remove_file(std::path::Path::new(slot)).await };
    machine.world.run(removed, 1_000).expect("it ends").expect("a file to remove");
}

async fn append_some(running: &Running, rounds: usize) {
    for round in 0..rounds {
        running.append_all(&[(1, 300), (2, 5_000 + round), (3, 30_000), (1, 700)]).await;
    }
}

#[test]
fn a_torn_table_leaves_the_other_and_all_data() {
    for damage in DAMAGE {
        let machine = Machine::new(1, &plan());
        machine.run(async |running| {
            append_some(&running, 3).await;
            running.quiet().await;
            append_some(&running, 2).await;
        });
        let found = machine.judge();
        // The next table goes over the older one.
        let [_, older] = newest_first(&machine);
        machine.change(older, damage);
        assert_eq!(machine.judge(), found);
    }
}

#[test]
fn a_rotten_newest_table_leaves_the_older_and_all_that_came_since() {
    for damage in DAMAGE {
        for quiet in [false, true] {
            let machine = Machine::new(2, &plan());
            machine.run(async move |running| {
                append_some(&running, 3).await;
                if quiet {
                    running.quiet().await;
                }
                append_some(&running, 2).await;
            });
            machine.change(newest_first(&machine)[0], damage);
            assert_eq!(machine.judge(), [10, 5, 5], "after quiet: {quiet}");
        }
    }
}

/// The newest table is the first of its start: what was journaled since carries an epoch that the older table does not know. Those
/// writes were once taken for those of another life, and everything in them was gone.
#[test]
fn a_rotten_first_table_of_a_start_loses_nothing_of_that_start() {
    for damage in DAMAGE {
        let machine = Machine::new(3, &plan());
        machine.run(async |running| append_some(&running, 2).await);
        machine.run(async |running| append_some(&running, 1).await);
        machine.change(newest_first(&machine)[0], damage);
        assert_eq!(machine.judge(), [6, 3, 3]);
    }
}

/// The ring is small and was overwritten behind what the newest table freed, so the older one cannot be gone on from.
#[test]
fn a_rotten_newest_table_of_a_lapped_ring_is_made_up_for_from_the_segments() {
    let mut lapped = 0;
    for seed in 0..30 {
        let small = Plan { ring_file_bytes: 64 << 10, segment_bytes_max: 60_000, ..plan() };
        let machine = Machine::new(seed, &small);
        machine.run(async move |running| append_some(&running, 20 + seed as usize).await);
        let [newest, older] = newest_first(&machine);
        let freed = |slot: &str| machine.content(slot)[48..56].to_vec();
        lapped += u32::from(freed(newest) != freed(older));
        machine.change(newest, DAMAGE[seed as usize % 3]);
        let rounds = 20 + seed as i64;
        assert_eq!(machine.judge(), [2 * rounds, rounds, rounds], "seed {seed}");
    }
    assert!(lapped > 10, "only {lapped} of 30 newest tables freed anything");
}

#[test]
fn two_lost_tables_are_made_up_for_from_the_ring_and_the_segments() {
    for (seed, small_segments) in [(5, false), (6, true), (7, true)] {
        for damage in DAMAGE {
            let segment_bytes_max = if small_segments { 50_000 } else { 1 << 30 };
            let machine = Machine::new(seed, &Plan { segment_bytes_max, ..plan() });
            machine.run(async |running| append_some(&running, 8).await);
            machine.run(async |running| append_some(&running, 8).await);
            SLOTS.iter().for_each(|slot| machine.change(slot, damage));
            assert_eq!(machine.judge(), [32, 16, 16]);
            // And the tables made then hold as any do.
            machine.run(async |running| append_some(&running, 1).await);
            assert_eq!(machine.judge(), [34, 17, 17]);
        }
    }
}

#[test]
fn two_removed_tables_are_made_again() {
    let machine = Machine::new(8, &plan());
    machine.run(async |running| append_some(&running, 3).await);
    SLOTS.iter().for_each(|slot| remove(&machine, slot));
    assert_eq!(machine.judge(), [6, 3, 3]);
}

/// The files that were left once passed for a smaller ring, and what the missing one held was gone.
#[test]
fn without_tables_no_file_of_the_ring_may_be_missing() {
    for lost in RING_FILES {
        let mut machine = Machine::new(17, &Plan { ring_files: 4, ..plan() });
        // Each life begins with the next file.
        for _ in 0..4 {
            machine.run(async |running| append_some(&running, 1).await);
        }
        machine.plan.rings_before = 1;
        SLOTS.iter().for_each(|slot| remove(&machine, slot));
        let whole = machine.remember();
        remove(&machine, lost);
        let refusal = machine.refusal();
        assert!(
            matches!(&refusal, RecoveryError::RingFileLost { path } if path == lost),
            "without {lost}: {refusal}"
        );
        machine.return_to(&whole);
        assert_eq!(machine.judge(), [8, 4, 4]);
    }
}

#[test]
fn a_refused_start_lengthens_no_file() {
    for emptied in [&RING_FILES[..1], &[RING_FILES[1], SLOTS[0]], &[RING_FILES[0], SLOTS[0], SLOTS[1]]] {
        let mut machine = Machine::new(18, &plan());
        machine.run(async |running| append_some(&running, 2).await);
        machine.plan.rings_before = 1;
        emptied.iter().for_each(|path| machine.change(path, Vec::clear));
        machine.refusal();
    }
}

#[test]
fn a_clean_stop_whose_tables_are_lost_ends_where_the_segments_do() {
    for damage in DAMAGE {
        for lost in [&SLOTS[..1], &SLOTS[1..], &SLOTS[..]] {
            let machine = Machine::new(9, &Plan { segment_bytes_max: 70_000, ..plan() });
            machine.run(async |running| {
                append_some(&running, 6).await;
                running.stores[0].stop().await.expect("a clean stop");
            });
            lost.iter().for_each(|slot| machine.change(slot, damage));
            assert_eq!(machine.judge(), [12, 6, 6]);
        }
    }
}

#[test]
fn a_clean_stop_leaves_nothing_to_redo_and_one_that_is_cut_off_loses_nothing() {
    let machine = Machine::new(10, &plan());
    machine.run(async |running| {
        append_some(&running, 4).await;
        running.stores[0].stop().await.expect("a clean stop");
    });
    assert_eq!(machine.run(async |running| (running.clean, running.writes_redone)), (true, 0));
    let work = async |running: Running| {
        append_some(&running, 1).await;
        running.stores[0].stop().await.expect("a clean stop");
    };
    let remembered = machine.remember();
    for crash in Crash::ALL {
        for steps in (0..400).step_by(7) {
            machine.return_to(&remembered);
            let process = machine.start(work);
            for _ in 0..steps {
                machine.world.step();
            }
            machine.crash(process, crash);
            machine.judge();
        }
    }
}

/// A batch of an earlier leader behind the end is a ghost: it was never acknowledged there.
#[test]
fn a_falling_leader_epoch_ends_the_log() {
    let machine = Machine::new(11, &plan());
    machine.run(async |running| {
        running.append(1, 300).await.expect("an append");
        running.append(1, 300).await.expect("an append");
        running.quiet().await;
    });
    let segment = "/data/topics/t/1-1/00000000000000000000.log";
    machine.change(segment, |content| {
        let mut ghost = content[..300].to_vec();
        wire::batch::assign(&mut ghost, 2, 0);
        content[600..900].copy_from_slice(&ghost);
    });
    SLOTS.iter().for_each(|slot| machine.change(slot, DAMAGE[0]));
    assert_eq!(machine.judge(), [2, 0, 0]);
}

/// Without a table nobody can tell an acknowledged batch that is rotten from one that was never acknowledged.
#[test]
fn bytes_that_are_no_batch_behind_the_last_one_refuse_the_start() {
    for byte in [3, 16, 100, 299] {
        let machine = Machine::new(12, &plan());
        machine.run(async |running| {
            running.append(1, 300).await.expect("an append");
            running.append(1, 300).await.expect("an append");
            running.quiet().await;
            // The ring goes on, and does not hold the partition's entries for a recovery any more.
            running.append(2, 300).await.expect("an append");
        });
        let segment = "/data/topics/t/1-1/00000000000000000000.log";
        machine.change(segment, |content| content[300 + byte] ^= 0x10);
        SLOTS.iter().for_each(|slot| machine.change(slot, DAMAGE[0]));
        let refusal = machine.refusal();
        assert!(
            matches!(&refusal, RecoveryError::UnclearEnd { position: 300, .. }),
            "byte {byte}: {refusal}"
        );
        assert!(refusal.to_string().contains("corelog log repair"), "{refusal}");
    }
}

#[test]
fn partitions_are_looked_for_where_they_were_before_they_may_move() {
    let machine = Machine::new(13, &Plan { shards: &[2], ..plan() });
    let work = async |running: Running| append_some(&running, 4).await;
    machine.run(work);
    SLOTS.iter().for_each(|slot| machine.change(slot, DAMAGE[0]));
    for shards in [1, 3] {
        machine.set_shards(shards);
        let refusal = machine.refusal();
        assert!(matches!(refusal, RecoveryError::ShardsChanged { found: 2, .. }), "{refusal}");
    }
    machine.set_shards(2);
    assert_eq!(machine.judge(), [8, 4, 4]);
    machine.set_shards(3);
    assert_eq!(machine.judge(), [8, 4, 4]);
}

/// A partition that came to a ring with its last start is in that start's table only, once the ring it came from has made
/// a table of its own.
#[test]
fn a_partition_that_moved_is_found_although_the_table_of_the_move_is_lost() {
    for damage in DAMAGE {
        let machine = Machine::new(14, &Plan { shards: &[2], ..plan() });
        machine.run(async |running| append_some(&running, 3).await);
        machine.set_shards(1);
        machine.run(async |running| {
            running.quiet().await;
        });
        machine.set_shards(2);
        machine.run(async |running| {
            // Ring 0 makes two tables, which no longer name what went to ring 1.
            for _ in 0..2 {
                running.append(2, 300).await.expect("an append");
                running.quiet().await;
            }
        });
        let [one, other] = ["/data/journal/1/table.0", "/data/journal/1/table.1"];
        let newest = if generation(&machine, one) > generation(&machine, other) { one } else { other };
        machine.change(newest, damage);
        assert_eq!(machine.judge(), [6, 5, 3]);
    }
}

/// The last journal write of a killed process stood in the device's cache when the next start read and served it. Then the power
/// goes, and the table that start wrote rots: only the ring can still know the batch.
#[test]
fn what_a_start_read_from_the_device_s_cache_survives_a_power_cut_and_a_rotten_table() {
    for damage in DAMAGE {
        let machine = Machine::new(9, &plan());
        let process = machine.start(async |running| {
            for _ in 0..4 {
                running.append(1, 300).await.expect("an append");
            }
        });
        let ring = std::path::Path::new("/data/journal/0/ring.0");
        let last = || machine.world.disk().writes_under_way(ring) == [(3 * 4096, 4096)];
        assert!(machine.world.run_until(last, 100_000));
        machine.crash(process, Crash::Kill(UnderWay::Cached));
        assert_eq!(machine.judge(), [4, 0, 0]);
        machine.world.power_cut_leaving(Unflushed::Lost);
        machine.change(newest_first(&machine)[0], damage);
        assert_eq!(machine.judge(), [4, 0, 0]);
    }
}

/// Load, a crash of any kind, then rot in one table or both: nothing that was acknowledged or served is missing, changed or
/// out of order. A start may be refused for a batch that was under way; it is never wrong.
#[test]
fn after_any_crash_lost_tables_lose_nothing_else() {
    let (mut judged, mut refused) = (0, 0);
    let counts = std::cell::RefCell::new((&mut judged, &mut refused));
    for_seeds(200, |seed| {
        let segment_bytes_max = if seed % 2 == 0 { 100_000 } else { 1 << 30 };
        let ring_file_bytes = if seed % 3 == 0 { 64 << 10 } else { 256 << 10 };
        let machine = Machine::new(seed, &Plan { segment_bytes_max, ring_file_bytes, ..Plan::default() });
        let load = async move |running: Running| {
            for n in 0.. {
                let sizes = [200, 1_000, 5_000, 13_000, 40_000, 300];
                let size = |k: u64| sizes[((seed + n * 7 + k * 3) % 6) as usize] + n as usize % 50;
                running.append_all(&[(1, size(1)), (1 + n % 3, size(2)), (2, size(4))]).await;
            }
        };
        for life in 0..2 {
            let process = machine.start(load);
            for _ in 0..200 + (seed * 37 + life * 911) % 3_000 {
                machine.world.step();
            }
            machine.crash(process, Crash::ALL[(seed + life) as usize % Crash::ALL.len()]);
        }
        // Writes of the dead process that are still to land would change the disk of a start that is refused.
        machine.world.run(clock::sleep(std::time::Duration::from_millis(60)), 1_000);
        let exists = |slot: &&&str| machine.world.disk().read(std::path::Path::new(slot)).is_some();
        let slots: Vec<_> = SLOTS.iter().filter(exists).collect();
        if slots.len() < 2 || generation(&machine, SLOTS[1]) == 0 {
            return;
        }
        let lost = if seed % 4 == 0 { SLOTS.to_vec() } else { vec![newest_first(&machine)[0]] };
        lost.iter().for_each(|slot| machine.change(slot, DAMAGE[seed as usize % 3]));
        let before = machine.contents();
        let mut counts = counts.borrow_mut();
        match machine.try_judge() {
            Ok(_) => {
                *counts.0 += 1;
                machine.world.power_cut_leaving(Unflushed::Lost);
                machine.judge();
            }
            Err(RecoveryError::UnclearEnd { .. }) => {
                *counts.1 += 1;
                assert!(before == machine.contents(), "a refused start changed the disk");
            }
            Err(other) => panic!("{other}"),
        }
    });
    assert!(
        std::env::var_os("CORELOG_SIM_SEED").is_some() || judged > 5 * refused,
        "{judged} judged, {refused} refused"
    );
}
