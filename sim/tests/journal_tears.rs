//! The last journal write of a crash, torn in every way: it was not acknowledged, it is cut, and nothing before it is.

use runtime::sim::Unflushed;
use sim::lives::Plan;
use sim::machine::{Crash, Machine};
use sim::moments::live_on;

const PAGE: usize = 4096;
const SECTOR: usize = 512;
const RING: &str = "/data/journal/0/ring.0";
const PAGES: usize = 3;
/// A batch of a page in a write of its own: two pages with the headers. The next begins a page, so no entry has to carry the last.
const WRITE: usize = 2 * PAGE;
const WRITES_A_FILE: usize = (64 << 10) / WRITE;

fn plan() -> Plan {
    Plan { partitions: 2, segment_bytes_max: 1 << 20, ..Plan::default() }
}

/// The ring's first file before and after a write of three pages over pages of an older lap, and where. The machine has crashed at
/// the moment when the write was whole and nobody had been told.
fn last_write(machine: &Machine) -> (Vec<u8>, Vec<u8>, usize) {
    let process = machine.start(async |running| {
        for n in 0..19 {
            running.append(1 + n % 2, PAGE).await.expect("an append");
        }
        running.append(1, PAGES * PAGE - 192).await.expect("an append");
    });
    let (world, path) = (&machine.world, std::path::Path::new(RING));
    let write =
        || world.disk().writes_under_way(path).into_iter().find(|(_, bytes)| *bytes == (PAGES * PAGE) as u64);
    assert!(world.run_until(|| write().is_some(), 1_000_000));
    let (position, _) = write().expect("just seen");
    let before = machine.content(RING);
    assert!(world.run_until(|| write().is_none(), 1_000));
    let after = machine.content(RING);
    machine.crash(process, Crash::PowerCut(Unflushed::Kept));
    (before, after, position as usize)
}

/// Every tear that is tried: which sectors of the write are there.
fn tears() -> Vec<Vec<bool>> {
    let sectors = PAGES * PAGE / SECTOR;
    let a_page = PAGE / SECTOR;
    let mut tears: Vec<Vec<bool>> = Vec::new();
    let mut add = |there: &dyn Fn(usize) -> bool| tears.push((0..sectors).map(there).collect());
    for kept in 0..=sectors {
        add(&|sector| sector < kept);
        add(&|sector| sector >= kept);
    }
    for one in 0..sectors {
        add(&|sector| sector != one);
        add(&|sector| sector == one);
    }
    for pages in 0..1 << PAGES {
        add(&|sector| pages >> (sector / a_page) & 1 == 1);
    }
    tears
}

#[test]
fn a_last_write_torn_anywhere_over_an_older_lap_is_cut_and_a_whole_one_is_kept() {
    let machine = Machine::new(1, &plan());
    let (before, after, position) = last_write(&machine);
    assert_eq!(&before[position + 2 * PAGE..][..4], b"CLJW", "an older lap lies under the write");
    let crashed = machine.remember();
    let mut whole = 0;
    for there in tears() {
        machine.return_to(&crashed);
        machine.change(RING, |ring| {
            for (sector, _) in there.iter().enumerate().filter(|(_, there)| !**there) {
                let at = position + sector * SECTOR;
                ring[at..at + SECTOR].copy_from_slice(&before[at..at + SECTOR]);
            }
        });
        let is_whole = machine.content(RING) == after;
        whole += usize::from(is_whole);
        let records: i64 = machine.judge().iter().sum();
        assert_eq!(records, if is_whole { 20 } else { 19 }, "{there:?}");
        live_on(&machine);
    }
    assert!(whole > 0);
}

#[test]
fn a_last_write_of_which_nothing_but_zeros_or_noise_is_left_is_cut() {
    let machine = Machine::new(2, &plan());
    let (_, _, position) = last_write(&machine);
    let crashed = machine.remember();
    for filling in [0, 0xa5] {
        for pages in 1..1 << PAGES {
            machine.return_to(&crashed);
            machine.change(RING, |ring| {
                for page in (0..PAGES).filter(|page| pages >> page & 1 == 1) {
                    ring[position + page * PAGE..][..PAGE].fill(filling);
                }
            });
            assert_eq!(machine.judge().iter().sum::<i64>(), 19, "pages {pages:b} with {filling:#x}");
            live_on(&machine);
        }
    }
}

/// A first run that dies with its last write torn, after so many whole ones. Returns that write, whole.
fn torn_run(machine: &Machine, whole: usize) -> Vec<u8> {
    let process = machine.start(async move |running| {
        for _ in 0..=whole {
            running.append(1, PAGE).await.expect("an append");
        }
    });
    let (file, at) = place(whole);
    let (world, path) = (&machine.world, std::path::Path::new(file));
    let is_under_way = || world.disk().writes_under_way(path) == [(at as u64, WRITE as u64)];
    assert!(world.run_until(is_under_way, 1_000_000));
    assert!(world.run_until(|| !is_under_way(), 1_000));
    machine.crash(process, Crash::PowerCut(Unflushed::Kept));
    let write = machine.content(file)[at..at + WRITE].to_vec();
    machine.change(file, |ring| ring[at + SECTOR..at + WRITE].fill(0));
    write
}

/// Where the write stands that follows so many.
fn place(writes: usize) -> (&'static str, usize) {
    let file = ["/data/journal/0/ring.0", "/data/journal/0/ring.1"][writes / WRITES_A_FILE];
    (file, writes % WRITES_A_FILE * WRITE)
}

/// The second run begins exactly where the torn write of the first stands, with its very sequence. When the old write is on the
/// disk whole after all, nothing but its start epoch tells that it is nobody's.
#[test]
fn a_torn_write_of_an_earlier_run_is_not_replayed_where_the_next_run_begins() {
    let machine = Machine::new(3, &plan());
    let old = torn_run(&machine, WRITES_A_FILE);
    assert_eq!(machine.judge(), [8, 0]);
    machine.change(place(WRITES_A_FILE).0, |ring| ring[..WRITE].copy_from_slice(&old));
    assert_eq!(machine.run(async |running| (running.writes_redone, running.counts())), (0, vec![8, 0]));
    live_on(&machine);
}

#[test]
fn a_torn_write_of_an_earlier_run_is_not_replayed_where_a_later_chain_ends() {
    let machine = Machine::new(4, &plan());
    let old = torn_run(&machine, 5);
    assert_eq!(machine.judge(), [5, 0]);
    // This run fills the second file and comes to the torn write from the first one's beginning.
    machine.run(async |running| {
        for _ in 0..WRITES_A_FILE + 5 {
            running.append(2, PAGE).await.expect("an append");
        }
    });
    let (file, at) = place(5);
    machine.change(file, |ring| ring[at..at + WRITE].copy_from_slice(&old));
    assert_eq!(machine.judge(), [5, 13]);
    live_on(&machine);
}
