//! Records that have had their time, or are too much, go with their segments; nothing else goes, and no crash brings them back or takes more.
//! Every batch of the simulator is of the millisecond 1.

use runtime::sim::{UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine, Running};
use sim::moments::crash_at_each;
use storage::{LogSettings, PartitionUid};

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 9_000, ..Plan::default() }
}

/// Partition 1: segments at 0, 2, 4, 6 of two batches each, and the last at 8 with one.
fn filled(machine: &Machine) {
    machine.run(async |running| {
        running.append_all(&[(1, 4_000); 8]).await;
        running.append_all(&[(1, 2_000), (2, 100)]).await;
        running.quiet().await;
    });
}

fn set(running: &Running, settings: LogSettings) {
    let settings = LogSettings { segment_bytes_max: 9_000, ..settings };
    running.stores[0].change_settings(PartitionUid(1), settings).expect("a partition");
}

fn start(running: &Running) -> i64 {
    running.log(1).offsets().log_start
}

#[test]
fn the_oldest_segments_go_while_the_log_is_longer_without_them() {
    for (retention_bytes, expected) in [(0, 8), (2_000, 8), (2_001, 6), (10_000, 6), (10_001, 4), (40_000, 0)]
    {
        let machine = Machine::new(1, &plan());
        filled(&machine);
        machine.run(async move |running| {
            set(&running, LogSettings { retention_bytes: Some(retention_bytes), ..LogSettings::default() });
            running.retain(5_000_000).await;
            assert_eq!(start(&running), expected, "{retention_bytes}");
            running.retain(5_000_000).await;
            assert_eq!(start(&running), expected, "{retention_bytes}, again");
        });
        assert_eq!(machine.judge(), [9, 1]);
    }
}

/// In the life that wrote them, and in the next, which has to read how old they are.
#[test]
fn segments_whose_newest_record_is_old_go_and_the_last_once_it_was_closed_for_it() {
    for restarts in [false, true] {
        let machine = Machine::new(2, &plan());
        let work = async |running: Running| {
            set(&running, LogSettings { retention_ms: Some(1_000), ..LogSettings::default() });
            for (now_ms, expected) in [(500, 0), (1_001, 0), (1_002, 8), (9_000_000, 9)] {
                running.retain(now_ms).await;
                assert_eq!(start(&running), expected, "at {now_ms}");
                running.quiet().await;
            }
        };
        if restarts {
            filled(&machine);
            machine.run(work);
        } else {
            machine.run(async move |running| {
                running.append_all(&[(1, 4_000); 8]).await;
                running.append_all(&[(1, 2_000), (2, 100)]).await;
                running.quiet().await;
                work(running).await;
            });
        }
        assert_eq!(machine.judge(), [9, 1]);
    }
}

#[test]
fn without_a_limit_everything_stays() {
    let machine = Machine::new(3, &plan());
    filled(&machine);
    machine.run(async |running| {
        running.retain(i64::MAX).await;
        assert_eq!(running.log(1).segment_count().await.expect("a count"), 5);
    });
}

/// A log that nobody appends to would keep its last segment for good.
#[test]
fn an_old_last_segment_is_closed_without_an_append_and_goes_with_the_next_round() {
    let machine = Machine::new(4, &plan());
    filled(&machine);
    machine.run(async |running| {
        let settings = LogSettings { segment_ms: Some(1_000), ..LogSettings::default() };
        set(&running, LogSettings { retention_ms: Some(1_000), ..settings });
        running.retain(1_001).await;
        assert_eq!(start(&running), 0);
        for _ in 0..3 {
            running.retain(1_002).await;
            running.quiet().await;
        }
        assert_eq!(start(&running), 9);
        assert_eq!(running.log(1).segment_count().await.expect("a count"), 1);
        // The empty segment is not begun anew again and again.
        running.append(1, 500).await.expect("an append");
        assert_eq!(running.log(1).segment_count().await.expect("a count"), 1);
    });
    assert_eq!(machine.judge(), [10, 1]);
}

#[test]
fn a_crash_at_any_moment_of_retention_and_the_roll_it_asks_for() {
    let crashes = [
        Crash::PowerCut(Unflushed::Lost),
        Crash::PowerCut(Unflushed::Drawn),
        Crash::Kill(UnderWay::Late),
        Crash::Kill(UnderWay::Cached),
    ];
    crash_at_each(&plan(), &crashes, filled, async |running| {
        let settings = LogSettings { segment_ms: Some(1_000), ..LogSettings::default() };
        set(&running, LogSettings { retention_ms: Some(1_000), ..settings });
        running.append(1, 300).await.expect("an append");
        for _ in 0..3 {
            running.retain(1_002).await;
            running.quiet().await;
        }
        assert_eq!(start(&running), 10);
    });
}
