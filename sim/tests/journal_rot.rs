//! Rot in the ring: what was acknowledged and is not readable any more refuses the start, says where, and changes nothing.

use runtime::sim::{Fault, FaultKind};
use sim::lives::Plan;
use sim::machine::Machine;
use storage::{AppendError, RecoveryError};

const PAGE: usize = 4096;
const RING: &str = "/data/journal/0/ring.0";

fn plan() -> Plan {
    // So large that nothing is checkpointed before its time.
    let ring_file_bytes = 1 << 20;
    Plan {
        partitions: 2,
        segment_bytes_max: 1 << 20,
        ring_file_bytes,
        memory_bytes: 8 << 20,
        ..Plan::default()
    }
}

/// Writes of one to three pages, one after the other, in the ring's first file. Returns where each begins and how long its content
/// is.
fn writes(machine: &Machine) -> Vec<(usize, usize)> {
    let pages: Vec<usize> = (0..20).map(|n| 1 + n % 3).collect();
    let sent = pages.clone();
    machine.run(async move |running| {
        for (n, pages) in sent.iter().enumerate() {
            running.append(1 + n as u64 % 2, pages * PAGE - 192 - 8 * n).await.expect("an append");
        }
    });
    let mut at = 0;
    let place = |(n, pages): (usize, &usize)| {
        let place = (at, pages * PAGE - 8 * n);
        at += pages * PAGE;
        place
    };
    pages.iter().enumerate().map(place).collect()
}

fn flip(machine: &Machine, at: usize) {
    machine.change(RING, |ring| ring[at] ^= 0x10);
}

#[test]
fn a_flipped_bit_in_any_write_but_the_last_refuses_the_start_and_says_where() {
    let machine = Machine::new(1, &plan());
    let writes = writes(&machine);
    for (n, (at, content)) in writes.iter().enumerate().take(writes.len() - 1) {
        // Magic, version, flags, uuid, epoch, sequence, file, count, offset, both lengths, durable, redo-from, zeros, checksums; the
        // entry's kind, uid, position, length, offset; the batch's beginning, middle and end.
        let header = [0, 4, 6, 8, 24, 32, 40, 44, 48, 56, 57, 60, 64, 72, 80, 100, 120, 124];
        let payload = [128, 136, 152, 160, 168, 192, content / 2, content - 1];
        for byte in header.into_iter().chain(payload) {
            flip(&machine, at + byte);
            match machine.refusal() {
                RecoveryError::Rot { file: 0, offset, sequence, .. } => {
                    assert_eq!((offset, sequence), (*at as u64, n as u64 + 1), "byte {byte}")
                }
                other => panic!("write {n} byte {byte}: {other}"),
            }
            flip(&machine, at + byte);
        }
    }
    assert_eq!(machine.judge(), [10, 10]);
}

#[test]
fn a_flipped_bit_behind_a_write_s_content_is_nobody_s() {
    let machine = Machine::new(2, &plan());
    let (at, content) = writes(&machine)[3];
    flip(&machine, at + content);
    assert_eq!(machine.judge(), [10, 10]);
}

/// One partition cannot be written, so the ring still holds its bytes when a table names the last write: then even rot in the very
/// last write is told from a tear.
#[test]
fn rot_in_the_last_write_refuses_the_start_once_a_table_names_it() {
    let machine = Machine::new(3, &plan());
    let fault = Fault { path: "/1-1/".into(), kind: FaultKind::Write, after: 0, times: u32::MAX };
    machine.world.disk().add_fault(fault);
    machine.run(async |running| {
        for n in 0..20 {
            running.append(1 + n % 2, PAGE - 192).await.expect("an append");
        }
        running.quiet().await;
        assert!(matches!(running.append(1, 100).await, Err(AppendError::PartitionReadOnly { .. })));
    });
    machine.world.disk().clear_faults();
    flip(&machine, 19 * PAGE + 200);
    let refused = machine.refusal();
    let RecoveryError::Rot { sequence: 20, reason, .. } = &refused else { panic!("{refused}") };
    assert!(reason.contains("the checkpoint table names write 20"), "{reason}");
    flip(&machine, 19 * PAGE + 200);
    assert_eq!(machine.judge(), [10, 10]);
}
