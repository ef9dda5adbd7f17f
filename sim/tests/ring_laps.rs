//! The ring's arithmetic on the disk: laps, ends of files, and headers of older laps that fit exactly where the chain ends.

use std::time::Duration;

use runtime::clock;
use sim::lives::Plan;
use sim::machine::{Crash, Machine, Running};
use sim::moments::{crash_at_each, live_on};
use storage::journal::table::Table;

const PAGE: usize = 4096;
const RING_FILES: [&str; 2] = ["/data/journal/0/ring.0", "/data/journal/0/ring.1"];

/// A batch that, alone in a journal write, makes it exactly so many pages: header of 128 bytes, entry's of 64.
fn batch_of_pages(pages: usize) -> usize {
    pages * PAGE - 192
}

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 1 << 20, ..Plan::default() }
}

/// Files of eight pages, and batches up to six that go through them.
fn short_files() -> Plan {
    Plan { ring_file_bytes: 8 * PAGE as u64, bypass_bytes_min: 6 * PAGE, ..plan() }
}

/// The newest table on the disk.
fn newest_table(machine: &Machine) -> Table {
    let slots = ["/data/journal/0/table.0", "/data/journal/0/table.1"].map(|slot| machine.content(slot));
    let tables = slots.iter().filter_map(|slot| Table::decode(slot).ok());
    tables.max_by_key(|table| table.generation).expect("a ring has a table")
}

#[test]
fn a_ring_lapped_three_times_with_writes_of_varying_length_survives_each_crash() {
    for (seed, crash) in (0_u64..).zip(Crash::ALL.repeat(3)) {
        let machine = Machine::new(seed, &plan());
        let process = machine.start(async |running| {
            let mut n = 0_usize;
            loop {
                let pages = 1 + n * n % 3;
                running.append(1 + n as u64 % 2, batch_of_pages(pages) - n % 700).await.expect("an append");
                n += 1;
            }
        });
        let last_file = || machine.world.disk().read(std::path::Path::new(RING_FILES[1])).unwrap_or_default();
        let (mut laps, mut before) = (0, Vec::new());
        while laps < 4 {
            // A lap has begun anew when the second file's first page changes.
            assert!(machine.world.step());
            let now = last_file();
            if now.len() > PAGE && now[..PAGE] != before[..PAGE.min(before.len())] {
                (laps, before) = (laps + 1, now);
            }
        }
        let more = machine.world.draw(300);
        for _ in 0..more {
            machine.world.step();
        }
        machine.crash(process, crash);
        live_on(&machine);
    }
}

#[test]
fn headers_of_an_older_lap_that_fit_exactly_at_the_end_are_not_taken_for_the_next_write() {
    let machine = Machine::new(1, &plan());
    let writes = machine.run(async |running| {
        // Two pages each, so 16 a lap: every write has a header of the lap before right behind it. A batch ends with its page,
        // so that no entry has to carry a page's beginning and be longer.
        for n in 0..110 {
            if n == 108 {
                // A table that is being written gets to the disk; none is due for what follows.
                clock::sleep(Duration::from_millis(100)).await;
            }
            running.append(1 + n % 2, PAGE).await.expect("an append");
        }
        running.stores[0].stats().journal_writes
    });
    assert_eq!(writes, 110);
    let behind = 110 % 16;
    let stale = &machine.content(RING_FILES[behind / 8])[behind % 8 * 2 * PAGE..][..4];
    assert_eq!(stale, b"CLJW", "an older lap's header lies behind the last write");
    let expected = writes + 1 - newest_table(&machine).redo_from_sequence;
    assert!(expected > 0);
    assert_eq!(machine.run(async |running| running.writes_redone), expected);
    live_on(&machine);
}

async fn append_pages(running: Running, pages: &[usize]) {
    for (n, pages) in pages.iter().enumerate() {
        running.append(1 + n as u64 % 2, batch_of_pages(*pages)).await.expect("an append");
    }
}

/// The two short files after writes of so many pages.
fn ring_after(pages: &'static [usize]) -> [Vec<u8>; 2] {
    let machine = Machine::new(0, &short_files());
    machine.run(async move |running| append_pages(running, pages).await);
    RING_FILES.map(|file| machine.content(file))
}

fn crash_writes_at_each_moment(pages: &'static [usize]) {
    let work = async move |running| append_pages(running, pages).await;
    crash_at_each(&short_files(), &Crash::ALL, |_| {}, work);
}

#[test]
fn a_crash_at_any_moment_of_a_write_that_exactly_fills_a_file_and_of_the_step_to_the_next() {
    let [first, second] = ring_after(&[2, 6, 1]);
    // The value's end and the count of headers, which is 0, are the last two bytes of the file.
    assert_ne!(first[8 * PAGE - 2], 0);
    assert_eq!(&second[..4], b"CLJW");
    crash_writes_at_each_moment(&[2, 6, 1]);
}

#[test]
fn a_crash_at_any_moment_of_a_write_that_misses_the_end_by_a_page_and_of_the_step_over_it() {
    let [first, second] = ring_after(&[2, 5, 2]);
    assert_eq!(first[7 * PAGE..], [0; PAGE], "the page that is left is skipped");
    assert_eq!(&second[..4], b"CLJW");
    crash_writes_at_each_moment(&[2, 5, 2]);
}
