//! Writes of a killed process that reach the disk after the next one has started: they fall on no byte of the new life.

use std::path::Path;
use std::time::Duration;

use runtime::clock;
use runtime::sim::{UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::live_on;

const SEGMENT: &str = "/data/topics/t/1-1/00000000000000000000.log";

fn plan() -> Plan {
    Plan { partitions: 1, segment_bytes_max: 1 << 20, ..Plan::default() }
}

/// Kills the machine with a write under way on the file, starts it at once, appends, lets the late write's time pass, and reads
/// everything from the disk.
fn dies_with_a_write_under_way(seed: u64, file: &str, batches: &'static [usize], new: usize) {
    let machine = Machine::new(seed, &plan());
    machine.run(async |running| assert!(running.append(1, 100).await.is_ok()));
    let process = machine.start(async move |running| {
        for bytes in batches {
            running.append(1, *bytes).await.expect("an append");
        }
        running.quiet().await;
    });
    let disk = machine.world.disk();
    let is_written = || !disk.writes_under_way(Path::new(file)).is_empty();
    // The start's own writes on the file go by.
    assert!(machine.world.run_until(is_written, 1_000_000), "nothing was written to {file}");
    machine.crash(process, Crash::Kill(UnderWay::Late));
    assert!(is_written(), "the write of the dead process is still to land");
    machine.run(async move |running| {
        for _ in 0..3 {
            running.append(1, new).await.expect("an append");
        }
        clock::sleep(Duration::from_millis(60)).await;
    });
    live_on(&machine);
    machine.world.power_cut_leaving(Unflushed::Lost);
    machine.judge();
}

#[test]
fn a_late_journal_write_falls_on_nothing_of_the_next_life() {
    for seed in 0..200 {
        for ring in ["/data/journal/0/ring.0", "/data/journal/0/ring.1"] {
            dies_with_a_write_under_way(seed, ring, &[8_000; 12], 8_000);
        }
    }
}

#[test]
fn a_late_table_falls_on_no_table_of_the_next_life() {
    for seed in 0..200 {
        for slot in ["/data/journal/0/table.0", "/data/journal/0/table.1"] {
            dies_with_a_write_under_way(seed, slot, &[8_000], 300);
        }
    }
}

#[test]
fn a_late_chunk_of_a_bypass_falls_on_nothing_of_the_next_life() {
    for seed in 0..200 {
        dies_with_a_write_under_way(seed, SEGMENT, &[40_000], 40_000);
        dies_with_a_write_under_way(seed, SEGMENT, &[40_000], 5_000);
    }
}

#[test]
fn a_late_checkpoint_falls_on_nothing_of_the_next_life() {
    for seed in 0..200 {
        dies_with_a_write_under_way(seed, SEGMENT, &[500, 700], 600);
    }
}

#[test]
fn late_zeros_of_a_first_start_fall_on_no_journal_write() {
    for seed in 0..200 {
        let machine = Machine::new(seed, &plan());
        let process = machine.start(async |_| {});
        let disk = machine.world.disk();
        let ring = Path::new("/data/journal/0/ring.0");
        assert!(machine.world.run_until(|| !disk.writes_under_way(ring).is_empty(), 1_000_000));
        machine.crash(process, Crash::Kill(UnderWay::Late));
        machine.run(async |running| {
            running.append(1, 8_000).await.expect("an append");
            clock::sleep(Duration::from_millis(60)).await;
        });
        machine.judge();
        live_on(&machine);
    }
}
