//! Crashes at every moment of produce, checkpoint, table write, roll, bypass, stop, first start and recovery, with what was not
//! flushed kept, lost, torn or garbled: nothing acknowledged is lost, doubled, reordered or changed.

use runtime::sim::{UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::crash_at_each;

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 1 << 20, ..Plan::default() }
}

/// A machine that has started once and stopped cleanly.
fn started(machine: &Machine) {
    machine.run(async |running| {
        for store in &running.stores {
            store.stop().await.expect("a clean stop");
        }
    });
}

/// Acknowledged batches of each kind that are in the ring and in no table.
fn dirty(machine: &Machine) {
    machine.run(async |running| {
        running.append_all(&[(1, 100), (2, 5_000), (1, 4_096), (2, 700), (1, 30_000), (1, 90)]).await;
    });
}

#[test]
fn a_crash_at_any_moment_of_the_first_start() {
    crash_at_each(
        &plan(),
        &Crash::ALL,
        |_| {},
        async |running| {
            running.append(1, 100).await.expect("an append");
        },
    );
}

#[test]
fn a_crash_at_any_moment_of_a_produce() {
    crash_at_each(&plan(), &Crash::ALL, started, async |running| {
        running.append_all(&[(1, 100), (2, 5_000), (1, 4_096), (2, 90)]).await;
        running.append_all(&[(2, 8_000), (1, 1_000), (1, 3_000)]).await;
        assert!(running.stores[0].stats().journal_writes >= 2);
    });
}

#[test]
fn a_crash_at_any_moment_of_a_bypass() {
    crash_at_each(&plan(), &Crash::ALL, started, async |running| {
        running.append_all(&[(1, 100), (1, 40_000), (1, 90), (2, 20_000), (2, 20_000)]).await;
        assert!(running.stores[0].stats().bypass_bytes > 60_000);
    });
}

#[test]
fn a_crash_at_any_moment_of_a_checkpoint_and_its_table() {
    crash_at_each(&plan(), &Crash::ALL, started, async |running| {
        running.append_all(&[(1, 100), (2, 5_000)]).await;
        running.quiet().await;
        running.append_all(&[(1, 100), (2, 90)]).await;
        running.quiet().await;
        let stats = running.stores[0].stats();
        assert!(stats.tables >= 2 && stats.segment_writes >= 4 && stats.dirty_bytes == 0, "{stats:?}");
    });
}

#[test]
fn a_crash_at_any_moment_of_a_roll() {
    let plan = Plan { segment_bytes_max: 9_000, ..plan() };
    crash_at_each(&plan, &Crash::ALL, started, async |running| {
        running.append_all(&[(1, 5_000), (1, 5_000), (2, 100)]).await;
        running.append_all(&[(1, 13_000), (1, 100)]).await;
        running.quiet().await;
        running.append(1, 8_950).await.expect("an append");
        assert_eq!(running.log(1).segment_count().await.expect("a count"), 5);
    });
}

#[test]
fn a_crash_at_any_moment_of_a_clean_stop() {
    crash_at_each(&plan(), &Crash::ALL, dirty, async |running| {
        running.append_all(&[(1, 100), (2, 90)]).await;
        running.stores[0].stop().await.expect("a clean stop");
    });
}

#[test]
fn a_crash_at_any_moment_of_a_recovery() {
    crash_at_each(&plan(), &Crash::ALL, dirty, async |running| assert!(running.writes_redone > 0));
}

#[test]
fn a_crash_at_any_moment_of_the_recovery_after_a_torn_write() {
    let torn = |machine: &Machine| {
        dirty(machine);
        let process = machine.start(async |running| {
            running.append_all(&[(1, 10_000), (2, 300)]).await;
            running.append_all(&[(1, 20_000), (2, 300)]).await;
        });
        // Somewhere within the second pair.
        let segment = std::path::Path::new("/data/topics/t/1-1/00000000000000000000.log");
        let disk = machine.world.disk();
        assert!(machine.world.run_until(|| !disk.writes_under_way(segment).is_empty(), 100_000));
        machine.crash(process, Crash::PowerCut(Unflushed::Drawn));
    };
    let crashes = [Crash::PowerCut(Unflushed::Lost), Crash::Kill(UnderWay::Late)];
    crash_at_each(&plan(), &crashes, torn, async |_| {});
}
