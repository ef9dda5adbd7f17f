//! A log's start that is raised, and the segments below it that go: a start that was acknowledged never falls, nothing above it is lost,
//! and nothing that is gone below it, or half gone, keeps a broker from starting.

use runtime::sim::{UnderWay, Unflushed};
use sim::for_seeds;
use sim::lives::Plan;
use sim::machine::{Crash, Machine, Running};
use sim::moments::{crash_at_each, live_on};
use storage::{ReadError, StartError, TO_HIGH_WATERMARK};

const CRASHES: [Crash; 4] = [
    Crash::PowerCut(Unflushed::Lost),
    Crash::PowerCut(Unflushed::Drawn),
    Crash::Kill(UnderWay::Late),
    Crash::Kill(UnderWay::Cached),
];

const SLOTS: [&str; 2] = ["/data/journal/0/table.0", "/data/journal/0/table.1"];

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 9_000, ..Plan::default() }
}

/// Five segments of partition 1: four of two batches each, in their files, and one whose batch is in the ring.
async fn fill(running: Running) {
    let batch = (1, 4_000);
    running.append_all(&[batch, batch, batch, (2, 100), batch, batch, batch, batch, batch]).await;
    running.quiet().await;
    running.append_all(&[(1, 2_000), (2, 100)]).await;
}

fn filled(machine: &Machine) {
    machine.run(fill);
}

/// The segments of partition 1 on the disk, by base offset; those being freed included.
fn segments(machine: &Machine) -> Vec<i64> {
    let base = |path: std::path::PathBuf| {
        let path = path.display().to_string();
        let name = path.strip_prefix("/data/topics/t/1-1/")?;
        if name.contains(".log") { name[..20].parse().ok() } else { None }
    };
    machine.world.disk().files().into_iter().filter_map(base).collect()
}

#[test]
fn a_raised_start_is_there_after_a_restart_and_whole_segments_below_it_are_gone() {
    let machine = Machine::new(1, &plan());
    filled(&machine);
    assert_eq!(segments(&machine), [0, 2, 4, 6, 8]);
    machine.run(async |running| {
        assert_eq!(running.raise_start(1, 5).await, 5);
        assert_eq!(running.log(1).segment_count().await.expect("a count"), 3);
        let below = running.log(1).read(&mut storage::Cursor::at(4), 100).await;
        assert!(matches!(below, Err(ReadError::OffsetOutOfRange { log_start: 5, .. })), "{below:?}");
        running.quiet().await;
    });
    assert_eq!(segments(&machine), [4, 6, 8]);
    machine.run(async |running| {
        assert_eq!(running.log(1).offsets().log_start, 5);
        // A second time, and further down: nothing happens.
        assert_eq!((running.raise_start(1, 5).await, running.raise_start(1, 3).await), (5, 5));
        assert_eq!(running.raise_start(1, TO_HIGH_WATERMARK).await, 9);
        running.append(1, 300).await.expect("an append");
        running.quiet().await;
        running.stores[0].stop().await.expect("a clean stop");
    });
    assert_eq!(segments(&machine), [8]);
    assert_eq!(machine.judge(), [10, 2]);
}

#[test]
fn a_start_outside_the_log_is_refused() {
    let machine = Machine::new(2, &plan());
    machine.run(async |running| {
        fill(running.clone()).await;
        for offset in [10, i64::MAX, -2, i64::MIN] {
            let refused = running.log(1).raise_start(offset).await;
            let expected = StartError::OffsetOutOfRange { offset, log_start: 0, high_watermark: 9 };
            assert_eq!(refused, Err(expected));
        }
        assert_eq!(running.log(1).offsets().log_start, 0);
    });
}

#[test]
fn a_crash_at_any_moment_of_a_raise_within_a_segment() {
    crash_at_each(&plan(), &CRASHES, filled, async |running| {
        running.raise_start(1, 3).await;
        running.raise_start(2, 1).await;
    });
}

#[test]
fn a_crash_at_any_moment_of_a_raise_and_of_freeing_what_is_below_it() {
    crash_at_each(&plan(), &CRASHES, filled, async |running| {
        running.raise_start(1, 7).await;
        running.quiet().await;
        assert_eq!(running.log(1).segment_count().await.expect("a count"), 2);
    });
}

#[test]
fn a_crash_at_any_moment_of_raising_the_start_to_the_end_beside_appends() {
    crash_at_each(&plan(), &CRASHES, filled, async |running| {
        running.send(1, 4_000);
        running.send(1, 13_000);
        running.raise_start(1, TO_HIGH_WATERMARK).await;
        running.send(1, 8_000);
        for _ in 0..3 {
            running.outcome().await.expect("an append");
        }
        running.raise_start(1, TO_HIGH_WATERMARK).await;
        running.quiet().await;
        running.append(1, 5_000).await.expect("an append");
    });
}

/// A crash in the life that goes on with freeing what the one before left.
#[test]
fn a_crash_at_any_moment_of_freeing_what_another_life_left() {
    let half_freed = |machine: &Machine| {
        filled(machine);
        let process = machine.start(async |running| {
            running.raise_start(1, 8).await;
            running.quiet().await;
        });
        let is_renamed = || {
            let files = machine.world.disk().files();
            files.iter().any(|path| path.extension().is_some_and(|ending| ending == "deleted"))
        };
        assert!(machine.world.run_until(is_renamed, 1_000_000), "nothing is freed");
        machine.crash(process, Crash::Kill(UnderWay::Cached));
        assert!(is_renamed());
    };
    crash_at_each(&plan(), &CRASHES, half_freed, async |running| running.quiet().await);
    let machine = Machine::new(3, &plan());
    half_freed(&machine);
    machine.run(async |running| running.quiet().await);
    assert_eq!(segments(&machine), [8]);
}

/// Before, between and after the files that go; with the start's segment on the disk or in the ring.
#[test]
fn what_is_left_of_freed_segments_is_no_damage() {
    for steps in (0..1_500).step_by(10) {
        let machine = Machine::new(7, &plan());
        filled(&machine);
        let process = machine.start(async |running| {
            running.raise_start(1, 7).await;
            running.quiet().await;
        });
        for _ in 0..steps {
            machine.world.step();
        }
        machine.crash(process, Crash::Kill(UnderWay::Cached));
        assert_eq!(machine.damage(), [], "after {steps} steps");
    }
}

/// The older table names what the newest freed only if it was written before: so both have to know the start first.
#[test]
fn a_lost_table_changes_nothing_of_a_start_and_of_what_was_freed() {
    for offset in [3, 7, 9] {
        for lost in SLOTS {
            for quiet in [false, true] {
                let machine = Machine::new(4, &plan());
                filled(&machine);
                machine.run(async move |running| {
                    running.raise_start(1, offset).await;
                    if quiet {
                        running.quiet().await;
                    }
                    running.append_all(&[(1, 4_000), (1, 4_000)]).await;
                });
                machine.change(lost, |slot| slot[60] ^= 0x10);
                assert_eq!(machine.judge(), [11, 2], "{offset}, {lost}, quiet: {quiet}");
                live_on(&machine);
            }
        }
    }
}

/// What the ring still holds tells the start; else it falls back to the beginning of the first segment that is left.
#[test]
fn without_both_tables_a_start_falls_back_to_its_segment_at_most() {
    for offset in [1, 3, 7, 9] {
        for (quiet, more) in [(false, 0), (true, 0), (true, 1), (true, 5), (false, 5)] {
            let machine = Machine::new(5, &plan());
            filled(&machine);
            machine.run(async move |running| {
                running.raise_start(1, offset).await;
                if quiet {
                    running.quiet().await;
                }
                for _ in 0..more {
                    running.append(1, 4_000).await.expect("an append");
                }
            });
            let kept = segments(&machine)[0];
            for slot in SLOTS {
                machine.change(slot, |slot| slot.fill(0));
            }
            machine.forget_start(1);
            assert_eq!(machine.judge(), [9 + more, 2], "{offset}, quiet: {quiet}, {more} more");
            let start = machine.run(async |running| running.log(1).offsets().log_start);
            assert!((kept..=offset).contains(&start), "{start} of {kept} to {offset}");
            live_on(&machine);
        }
    }
}

/// A partition goes to another ring and is cut there; the ring that it left still names a segment that is gone.
#[test]
fn a_ring_that_a_partition_has_left_does_not_bring_its_start_back() {
    let machine = Machine::new(6, &Plan { shards: &[2], ..plan() });
    filled(&machine);
    machine.set_shards(1);
    filled(&machine);
    machine.set_shards(2);
    machine.run(async |running| {
        running.raise_start(1, TO_HIGH_WATERMARK).await;
        running.quiet().await;
        running.raise_start(1, TO_HIGH_WATERMARK).await;
    });
    assert_eq!(machine.judge()[0], 18);
    machine.set_shards(3);
    machine.judge();
    live_on(&machine);
}

/// Appends of all sizes, starts raised at any moment, crashes of all kinds, restarts with other shards.
#[test]
fn a_start_survives_any_crash_under_load() {
    for_seeds(150, |seed| {
        let segment_bytes_max = if seed % 2 == 0 { 9_000 } else { 40_000 };
        let shards: &[u16] = if seed % 3 == 0 { &[2] } else { &[1] };
        let machine = Machine::new(seed, &Plan { segment_bytes_max, shards, ..plan() });
        let load = async move |running: Running| {
            for n in 0.. {
                let sizes = [200, 1_000, 5_000, 13_000, 20_000, 300];
                let size = |k: u64| sizes[((seed + n * 7 + k * 3) % 6) as usize] + n as usize % 50;
                running.append_all(&[(1, size(1)), (1 + n % 2, size(2)), (2, size(4))]).await;
                if (seed + n) % 3 == 0 {
                    let high_watermark = running.log(1).offsets().high_watermark;
                    let back = ((seed * 13 + n * 5) % 9) as i64;
                    running.raise_start(1, (high_watermark - back).max(0)).await;
                }
                if (seed + n) % 11 == 0 {
                    running.quiet().await;
                }
            }
        };
        for life in 0..3 {
            let process = machine.start(load);
            for _ in 0..200 + (seed * 37 + life * 911) % 4_000 {
                machine.world.step();
            }
            machine.crash(process, Crash::ALL[(seed + life) as usize % Crash::ALL.len()]);
            if seed % 5 == 0 {
                machine.set_shards(1 + ((seed + life) % 3) as u16);
            }
        }
        machine.judge();
        live_on(&machine);
    });
}
