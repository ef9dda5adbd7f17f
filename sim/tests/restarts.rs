//! Starts that do not get to their end, again and again, with other numbers of shards: partitions move between rings that are
//! dirty, and one partition stands in several of them.

use runtime::sim::{UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::live_on;

fn plan(shards: &'static [u16]) -> Plan {
    Plan { partitions: 4, segment_bytes_max: 60_000, ring_file_bytes: 128 << 10, shards, ..Plan::default() }
}

/// Every partition has acknowledged batches of each kind, in the ring of its shard.
fn dirty(machine: &Machine) {
    machine.run(async |running| {
        let kinds = [100, 5_000, 30_000, 900, 30_000, 90];
        for bytes in kinds {
            running.append_all(&[(1, bytes), (2, bytes), (3, bytes), (4, bytes)]).await;
        }
    });
}

/// Starts with so many shards and crashes the start at its moment; false when the start ended before.
fn crash_start(machine: &Machine, shards: u16, moment: u64, crash: Crash) -> bool {
    machine.set_shards(shards);
    let ended = std::rc::Rc::new(std::cell::Cell::new(false));
    let signal = ended.clone();
    let process = machine.start(async move |_| signal.set(true));
    for _ in 0..moment {
        if ended.get() {
            break;
        }
        machine.world.step();
    }
    machine.crash(process, crash);
    !ended.get()
}

const CRASHES: [Crash; 4] = [
    Crash::PowerCut(Unflushed::Lost),
    Crash::PowerCut(Unflushed::Garbled),
    Crash::Kill(UnderWay::Late),
    Crash::Kill(UnderWay::Drawn),
];

#[test]
fn five_starts_in_a_row_crashed_at_each_moment_with_other_numbers_of_shards() {
    let machine = Machine::new(1, &plan(&[3]));
    dirty(&machine);
    let before = machine.remember();
    let mut moment = 1;
    loop {
        let mut unfinished = false;
        for crash in CRASHES {
            machine.return_to(&before);
            for shards in [2, 4, 1, 5, 3] {
                unfinished |= crash_start(&machine, shards, moment, crash);
            }
            live_on(&machine);
        }
        if !unfinished {
            break;
        }
        moment += 1;
    }
    assert!(moment > 100, "a start has more than {moment} moments");
}

#[test]
fn four_shards_become_two_and_three_with_dirty_rings_through_a_crash_at_each_moment_of_each_move() {
    let machine = Machine::new(2, &plan(&[4]));
    dirty(&machine);
    let four = machine.remember();
    let mut moment = 1;
    let mut unfinished = true;
    while unfinished {
        let crash = CRASHES[moment as usize % CRASHES.len()];
        machine.return_to(&four);
        unfinished = crash_start(&machine, 2, moment, crash);
        machine.set_shards(2);
        dirty(&machine);
        unfinished |= crash_start(&machine, 3, moment, crash);
        machine.set_shards(3);
        dirty(&machine);
        machine.world.power_cut_leaving(Unflushed::Lost);
        live_on(&machine);
        moment += 1;
    }
    assert!(moment > 100, "a start has more than {moment} moments");
}

/// A move that is interrupted after the first new table leaves the partition in both rings: the older one's word must not count.
#[test]
fn of_a_partition_in_two_rings_the_newer_word_is_believed() {
    for back in [4, 2, 1] {
        let machine = Machine::new(3, &plan(&[4]));
        dirty(&machine);
        // To one ring and on, so that ring 0 has seen each partition grow; then rings 1 to 3 of the first start are put back.
        let old: Vec<_> = machine.contents().into_iter().filter(|(path, _)| is_ring_above_0(path)).collect();
        machine.set_shards(4);
        machine.judge();
        let kept: Vec<_> = machine.contents().into_iter().filter(|(path, _)| is_ring_above_0(path)).collect();
        assert_ne!(old, kept);
        machine.set_shards(1);
        let process = machine.start_and_finish(async |running| {
            running.append_all(&[(1, 100), (2, 20_000), (3, 300), (4, 400)]).await;
        });
        machine.crash(process, Crash::PowerCut(Unflushed::Lost));
        for ring in 1..4 {
            put_back(&machine, ring, &kept);
        }
        machine.set_shards(back);
        live_on(&machine);
    }
}

fn is_ring_above_0(path: &std::path::Path) -> bool {
    path.starts_with("/data/journal") && !path.starts_with("/data/journal/0")
}

/// Makes a ring's folder again, as a start that was cut before it removed the ring would have left it.
fn put_back(machine: &Machine, ring: u16, contents: &[(std::path::PathBuf, Vec<u8>)]) {
    let folder = std::path::PathBuf::from(format!("/data/journal/{ring}"));
    let contents: Vec<_> = contents.iter().filter(|(path, _)| path.starts_with(&folder)).cloned().collect();
    assert!(!contents.is_empty());
    let made = async move {
        runtime::file::create_folder_all(&folder).await.expect("a folder");
        for (path, content) in contents {
            runtime::file::write_whole_durably(&path, &content).await.expect("a file");
        }
        runtime::file::sync_folder(std::path::Path::new("/data/journal")).await.expect("a flush");
    };
    machine.world.run(made, 100_000).expect("it ends");
}
