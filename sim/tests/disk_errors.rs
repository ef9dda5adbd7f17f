//! Disks that fill up and fail: what is new is refused with a reason, what was acknowledged stays, and nobody waits for good.

use std::time::Duration;

use runtime::clock;
use runtime::sim::{Disk, Fault, FaultKind, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine, Running};
use sim::moments::live_on;
use storage::{AppendError, Appended, RecoveryError};

fn plan() -> Plan {
    Plan { partitions: 3, segment_bytes_max: 1 << 20, ..Plan::default() }
}

fn fail(path: &str, kind: FaultKind, times: u32) {
    Disk::current().add_fault(Fault { path: path.into(), kind, after: 0, times });
}

/// An append that has its outcome within a minute: nothing takes so long but a stall.
async fn append(running: &Running, uid: u64, bytes: usize) -> Result<Appended, AppendError> {
    let outcome = clock::timeout(Duration::from_secs(60), running.append(uid, bytes)).await;
    outcome.unwrap_or_else(|_| panic!("partition {uid} waits for good: {:?}", running.stores[0].stats()))
}

#[test]
fn a_first_start_on_a_full_disk_says_so_and_the_next_one_with_room_works() {
    let mut refused = 0;
    for capacity in (0..400 << 10).step_by(20 << 10) {
        let machine = Machine::new(1, &plan());
        machine.world.disk().set_capacity(capacity);
        if capacity < 128 << 10 {
            let error = machine.failed_start();
            assert!(matches!(&error, RecoveryError::File(error) if error.is_out_of_space()), "{error}");
            refused += 1;
        }
        machine.world.disk().set_capacity(u64::MAX);
        live_on(&machine);
    }
    assert!(refused > 3);
}

#[test]
fn on_a_full_disk_all_that_was_acknowledged_lands_and_survives_a_crash_while_it_is_still_full() {
    for (seed, crash) in (0_u64..).zip(Crash::ALL.repeat(3)) {
        let machine = Machine::new(seed, &plan());
        machine.run(async |running| running.append_all(&[(1, 100), (2, 100), (3, 100)]).await);
        let process = machine.start_and_finish(async |running| {
            let disk = Disk::current();
            disk.set_capacity(disk.used_bytes() + (60 << 10));
            let mut full = [false; 3];
            while full.contains(&false) {
                for uid in 1..=3 {
                    match append(&running, uid, 3_000).await {
                        Ok(_) => {}
                        Err(AppendError::DiskFull) => full[uid as usize - 1] = true,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            // A checkpoint of all of it on the full disk.
            running.quiet().await;
            assert_eq!(running.stores[0].stats().dirty_bytes, 0);
        });
        machine.crash(process, crash);
        // Still full.
        machine.judge();
        machine.run(async |running| {
            let refused = append(&running, 1, 50_000).await;
            assert_eq!(refused, Err(AppendError::DiskFull));
            Disk::current().set_capacity(u64::MAX);
            append(&running, 1, 50_000).await.expect("there is room");
        });
        live_on(&machine);
    }
}

/// The table grows with the partitions; on a full disk it must have its space already.
#[test]
fn on_a_full_disk_the_table_of_many_partitions_is_written_all_the_same() {
    let plan = Plan { partitions: 300, ring_file_bytes: 256 << 10, ..plan() };
    let machine = Machine::new(3, &plan);
    machine.run(async |running| {
        append(&running, 1, 100).await.expect("an append");
        let disk = Disk::current();
        disk.set_capacity(disk.used_bytes());
        append(&running, 1, 100).await.expect("there is space ahead");
        running.quiet().await;
        let stats = running.stores[0].stats();
        assert!(stats.tables > 0 && stats.journal_failed.is_none(), "{stats:?}");
        assert_eq!(append(&running, 2, 100).await, Err(AppendError::DiskFull));
        disk.set_capacity(u64::MAX);
        append(&running, 2, 100).await.expect("there is room");
    });
    live_on(&machine);
}

#[test]
fn after_a_table_failed_nothing_is_acknowledged_reads_go_on_and_a_restart_recovers() {
    for after in 0..3 {
        let machine = Machine::new(4, &plan());
        let process = machine.start_and_finish(async move |running| {
            Disk::current().add_fault(Fault {
                path: "table.".into(),
                kind: FaultKind::Write,
                after,
                times: 1,
            });
            let mut acknowledged = 0;
            loop {
                match append(&running, 1, 500).await {
                    Ok(_) => acknowledged += 1,
                    Err(error) => {
                        break assert!(matches!(error, AppendError::JournalFailed { .. }), "{error}");
                    }
                }
                running.quiet().await;
            }
            assert_eq!(acknowledged, after + 1);
            assert_eq!(running.read(1).await, i64::from(acknowledged));
            let refused = append(&running, 2, 500).await;
            assert!(
                matches!(&refused, Err(AppendError::JournalFailed { reason }) if reason.contains("table"))
            );
        });
        machine.crash(process, Crash::PowerCut(Unflushed::Lost));
        live_on(&machine);
    }
}

#[test]
fn a_chunk_of_a_bypass_that_fails_once_is_written_again_and_twice_refuses_its_batches_alone() {
    for (times, survives) in [(1, true), (2, false)] {
        let machine = Machine::new(5, &plan());
        let process = machine.start_and_finish(async move |running| {
            append(&running, 1, 100).await.expect("an append");
            fail("/1-1/", FaultKind::Write, times);
            let outcome = append(&running, 1, 40_000).await;
            match outcome {
                Ok(_) => assert!(survives),
                Err(error) => {
                    assert!(!survives && error.may_be_stored(), "{error}");
                    assert!(matches!(error, AppendError::PartitionReadOnly { .. }), "{error}");
                    let refused = append(&running, 1, 100).await;
                    assert!(matches!(refused, Err(AppendError::PartitionReadOnly { .. })), "{refused:?}");
                }
            }
            assert_eq!(running.read(1).await, if survives { 2 } else { 1 });
            append(&running, 2, 40_000).await.expect("another partition goes on");
        });
        machine.crash(process, Crash::PowerCut(Unflushed::Lost));
        live_on(&machine);
    }
}

#[test]
fn a_flush_that_fails_while_a_segment_grows_refuses_what_waits_and_nothing_else() {
    let machine = Machine::new(6, &plan());
    machine.run(async |running| {
        append(&running, 2, 100).await.expect("an append");
        fail("/1-1/", FaultKind::Flush, 1);
        let refused = append(&running, 1, 100).await;
        assert!(matches!(refused, Err(AppendError::Unavailable { .. })), "{refused:?}");
        append(&running, 2, 100).await.expect("another partition goes on");
    });
    live_on(&machine);
}

#[test]
fn a_read_that_fails_in_recovery_fails_the_start_and_the_next_one_finds_everything() {
    let machine = Machine::new(7, &plan());
    machine.run(async |running| running.append_all(&[(1, 100), (2, 20_000), (1, 5_000)]).await);
    for path in ["ring.0", "table.0", "table.1", "/1-1/"] {
        let fault = Fault { path: path.into(), kind: FaultKind::Read, after: 0, times: 1 };
        machine.world.disk().add_fault(fault);
        let error = machine.failed_start();
        assert!(matches!(error, RecoveryError::File(_)), "{path}: {error}");
        machine.world.disk().clear_faults();
    }
    live_on(&machine);
}

/// One partition's bytes stay in the ring for good, and the ring comes round to them: with small batches, and with the notes of
/// bypasses, which have no bytes and need a place all the same.
#[test]
fn a_ring_that_one_broken_partition_holds_up_refuses_with_a_reason_and_nobody_waits_for_good() {
    for bytes in [4_000, 16_384] {
        let machine = Machine::new(8, &plan());
        let process = machine.start_and_finish(async move |running| {
            append(&running, 1, 500).await.expect("an append");
            fail("/1-1/", FaultKind::Write, u32::MAX);
            running.quiet().await;
            assert!(matches!(append(&running, 1, 100).await, Err(AppendError::PartitionReadOnly { .. })));
            let mut taken = 0_u64;
            let refused = loop {
                match append(&running, 2 + taken % 2, bytes).await {
                    Ok(_) => taken += 1,
                    Err(error) => break error,
                }
                assert!(taken < 1_000, "the ring went round over bytes that are nowhere else");
            };
            assert!(taken > 10, "the ring takes more than {taken} batches");
            assert!(
                matches!(&refused, AppendError::JournalFailed { reason } if reason.contains("partition 1")),
                "{refused}"
            );
            assert_eq!(running.read(1).await, 1);
            assert_eq!(running.read(2).await + running.read(3).await, taken as i64);
        });
        machine.world.disk().clear_faults();
        machine.crash(process, Crash::PowerCut(Unflushed::Lost));
        live_on(&machine);
    }
}
