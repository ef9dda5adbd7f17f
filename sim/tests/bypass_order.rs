//! Batches that go round the journal: none is acknowledged before all that lies below it is durable, and what was never acknowledged
//! leaves no ghost behind.

use std::path::Path;

use runtime::sim::{UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::live_on;

const PAGE: usize = 4096;
const SEGMENT: &str = "/data/topics/t/1-1/00000000000000000000.log";

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 1 << 20, ..Plan::default() }
}

/// The segment's chunks under way.
fn chunks(machine: &Machine) -> Vec<(u64, u64)> {
    machine.world.disk().writes_under_way(Path::new(SEGMENT))
}

#[test]
fn a_small_batch_behind_a_bypass_is_not_acknowledged_before_it_and_both_go_when_its_chunk_is_torn() {
    for (seed, crash) in (0_u64..).zip(Crash::ALL.repeat(10)) {
        let machine = Machine::new(seed, &plan());
        let process = machine.start(async |running| {
            running.append(1, 100).await.expect("an append");
            running.send(1, 40_000);
            // The journal is free for this one, and for others, while the chunks are under way.
            running.send(1, 200);
            for _ in 0..5 {
                running.append(2, 100).await.expect("an append");
            }
            panic!("the outcomes are taken in their order: the other partition's came first");
        });
        assert!(machine.world.run_until(|| !chunks(&machine).is_empty(), 1_000_000));
        machine.crash(process, crash);
        let counts = machine.judge();
        assert_eq!(counts[0], 1, "{crash:?}: the bypass had no entry yet");
        live_on(&machine);
    }
}

/// Finds, seed by seed, a moment at which a later chunk is durable and an earlier one is not.
#[test]
fn of_chunks_that_end_in_reverse_order_nothing_is_acknowledged_before_the_first_is_durable() {
    let mut met = 0;
    for seed in 0..60 {
        let machine = Machine::new(seed, &plan());
        let process = machine.start(async |running| {
            running.append(1, 100).await.expect("an append");
            running.append_all(&[(1, 60_000), (1, 100)]).await;
        });
        let mut begun = 0;
        let reversed = || {
            let under_way = chunks(&machine);
            begun = begun.max(under_way.len());
            let first = under_way.iter().map(|(position, _)| *position).min();
            under_way.len() < begun && first == Some(0)
        };
        if !machine.world.run_until(reversed, 20_000) {
            continue;
        }
        met += 1;
        let crash = Crash::ALL[seed as usize % Crash::ALL.len()];
        machine.crash(process, crash);
        assert_eq!(
            machine.judge(),
            [1, 0],
            "{crash:?}: only what is whole from the beginning is acknowledged"
        );
        live_on(&machine);
    }
    assert!(met > 10, "only {met} seeds met chunks in reverse order");
}

#[test]
fn a_durable_chunk_without_its_note_is_not_served_and_is_zeroed_before_the_segment_is_used_again() {
    for seed in 0..20 {
        let machine = Machine::new(seed, &plan());
        let process = machine.start(async |running| {
            running.append(1, 100).await.expect("an append");
            running.append(1, 40_000).await.expect("an append");
        });
        assert!(machine.world.run_until(|| !chunks(&machine).is_empty(), 1_000_000));
        assert!(machine.world.run_until(|| chunks(&machine).is_empty(), 100_000));
        machine.crash(process, Crash::PowerCut(Unflushed::Lost));
        let is_there = |content: &[u8]| {
            content[PAGE..9 * PAGE].iter().filter(|byte| **byte != 0).count() > 8 * PAGE - 100
        };
        assert!(is_there(&machine.content(SEGMENT)), "the chunks are on the device");
        assert_eq!(machine.judge(), [1, 0]);
        machine.run(async |running| {
            running.append(1, 100).await.expect("an append");
            running.quiet().await;
        });
        let content = machine.content(SEGMENT);
        assert!(content[200..].iter().all(|byte| *byte == 0), "seed {seed}: a ghost behind the log's end");
        live_on(&machine);
    }
}

/// A ghost that meets position and offset of what comes: batches of the same lengths are appended over an earlier life's that were
/// never acknowledged, until the log ends exactly where a ghost begins.
#[test]
fn appends_that_meet_an_earlier_life_s_batches_at_their_very_place_do_not_bring_them_back() {
    let mut ghosts = 0;
    for (seed, crash) in (0_u64..).zip(Crash::ALL.repeat(3)) {
        let machine = Machine::new(seed, &plan());
        let process = machine.start(async |running| {
            running.append(1, 8_000).await.expect("an append");
            // One run of ten batches, whole pages of which become durable before any is acknowledged.
            running.append_all(&[(1, 4_096); 10]).await;
        });
        assert!(machine.world.run_until(|| !chunks(&machine).is_empty(), 1_000_000));
        assert!(machine.world.run_until(|| chunks(&machine).is_empty(), 100_000));
        machine.crash(process, Crash::Kill(UnderWay::Landed));
        let first = machine.judge()[0];
        let end = 8_000 + 4_096 * (first as usize - 1);
        ghosts += usize::from(machine.content(SEGMENT)[end..].iter().any(|byte| *byte != 0));
        for appended in 1..=4 {
            let process = machine.start_and_finish(async |running| {
                running.append(1, 4_096).await.expect("an append");
                running.quiet().await;
            });
            machine.crash(process, crash);
            assert_eq!(machine.judge(), [first + appended, 0], "seed {seed} {crash:?}");
        }
    }
    assert!(ghosts > 10, "only {ghosts} seeds left a ghost");
}

/// The journaled batch's page also holds a chunk's bytes, which are in no ring.
#[test]
fn redo_of_an_older_entry_leaves_the_later_bytes_of_a_chunk_in_its_page() {
    for (seed, crash) in (0_u64..).zip(Crash::ALL.repeat(5)) {
        for damage in [false, true] {
            let machine = Machine::new(seed, &plan());
            let process = machine.start_and_finish(async |running| {
                running.append(1, 100).await.expect("an append");
                running.append(1, 40_000).await.expect("an append");
                assert_eq!(running.stores[0].stats().tables, 0, "the ring still holds the entry");
            });
            machine.crash(process, crash);
            if damage {
                // The entry's own bytes are not in the page, so that redo has to write it.
                machine.change(SEGMENT, |segment| segment[..100].fill(0));
            }
            assert_eq!(machine.judge(), [2, 0], "{crash:?}");
            live_on(&machine);
        }
    }
}
