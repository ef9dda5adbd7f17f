//! First starts that found a folder half made, clean stops, and tables torn while they were written.

use std::path::Path;

use runtime::sim::{UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::live_on;

const SECTOR: usize = 512;
const RING_BYTES: usize = 64 << 10;

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 1 << 20, ..Plan::default() }
}

/// A folder of a ring whose first table was never written, with files of these contents.
fn half_made(machine: &Machine, files: &[(&str, Vec<u8>)]) {
    let files: Vec<_> = files.iter().map(|(name, content)| ((*name).to_owned(), content.clone())).collect();
    let made = async move {
        let folder = Path::new("/data/journal/0");
        runtime::file::create_folder_all(folder).await.expect("a folder");
        for (name, content) in files {
            runtime::file::write_whole_durably(&folder.join(name), &content).await.expect("a file");
        }
    };
    machine.world.run(made, 100_000).expect("it ends");
}

#[test]
fn ring_files_that_an_interrupted_first_start_left_short_long_empty_or_noisy_are_made_anew() {
    let left: [(&str, Vec<u8>); 6] = [
        ("empty", Vec::new()),
        ("short", vec![0; 4_096]),
        ("short by a page", vec![0; RING_BYTES - 4_096]),
        ("long", vec![0; 3 * RING_BYTES]),
        // What the blocks of a file that was only allocated held before, on a disk that shows it.
        ("noise", vec![0xa5; RING_BYTES]),
        ("short noise", vec![0xa5; 4_096]),
    ];
    for (what, content) in left {
        for tables in [None, Some(vec![0; 4_096]), Some(Vec::new())] {
            let machine = Machine::new(1, &plan());
            half_made(&machine, &[("ring.0", content.clone())]);
            if let Some(table) = tables {
                half_made(&machine, &[("table.0", table.clone()), ("table.1", table)]);
            }
            let process = machine.start_and_finish(async |_| {});
            machine.crash(process, Crash::PowerCut(Unflushed::Lost));
            for file in ["/data/journal/0/ring.0", "/data/journal/0/ring.1"] {
                let made = machine.content(file);
                assert!(made.len() == RING_BYTES && made.iter().all(|byte| *byte == 0), "{what}: {file}");
            }
            live_on(&machine);
        }
    }
}

#[test]
fn a_clean_stop_leaves_nothing_to_redo_and_survives_a_power_cut() {
    for seed in 0..20 {
        let machine = Machine::new(seed, &plan());
        for round in 0..3 {
            let process = machine.start_and_finish(async move |running| {
                assert!(running.clean && running.writes_redone == 0, "round {round}");
                running.append_all(&[(1, 100), (2, 20_000), (1, 5_000), (1, 40_000), (2, 90)]).await;
                running.send(1, 300);
                running.stores[0].stop().await.expect("a clean stop");
                // What was taken before the stop has its answer.
                running.outcome().await.expect("an append");
            });
            machine.crash(process, Crash::PowerCut(Unflushed::Lost));
        }
        assert!(machine.run(async |running| running.clean), "seed {seed}");
        assert_eq!(machine.judge(), [12, 6]);
    }
}

/// The table is longer than a page, and is torn at each of its sectors over the one before the last.
#[test]
fn a_table_torn_anywhere_while_it_is_written_leaves_the_other_and_the_ring() {
    let plan = Plan { partitions: 100, ..plan() };
    let machine = Machine::new(2, &plan);
    let process = machine.start(async |running| {
        for round in 0..10 {
            let batches: Vec<_> = (1..=100).map(|uid| (uid, 100 + round)).collect();
            running.append_all(&batches).await;
            running.quiet().await;
        }
    });
    let slot = Path::new("/data/journal/0/table.1");
    let disk = machine.world.disk();
    let write = || disk.writes_under_way(slot).into_iter().next().filter(|(_, bytes)| *bytes > 4_096);
    for _ in 0..3 {
        assert!(machine.world.run_until(|| write().is_none(), 1_000_000));
        assert!(machine.world.run_until(|| write().is_some(), 1_000_000));
    }
    let before = machine.content("/data/journal/0/table.1");
    assert!(machine.world.run_until(|| write().is_none(), 10_000));
    let after = machine.content("/data/journal/0/table.1");
    machine.crash(process, Crash::Kill(UnderWay::Lost));
    let crashed = machine.remember();
    let sectors = after.len() / SECTOR;
    for sector in 0..sectors {
        for (name, from, to) in
            [("beginning", sector, sectors), ("end", 0, sector), ("one", sector, sector + 1)]
        {
            machine.return_to(&crashed);
            machine.change("/data/journal/0/table.1", |table| {
                table[from * SECTOR..to * SECTOR].copy_from_slice(&before[from * SECTOR..to * SECTOR]);
            });
            let counts = machine.judge();
            assert!(
                counts.iter().all(|count| *count == counts[0]),
                "sector {sector}, {name} lost: {counts:?}"
            );
            if sector % 4 == 0 {
                live_on(&machine);
            }
        }
    }
}
