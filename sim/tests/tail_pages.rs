//! The page in which a log ends: it is written more than once, and holds bytes that were acknowledged long before.

use std::path::Path;

use runtime::sim::{UnderWay, Unflushed};
use sim::lives::Plan;
use sim::machine::{Crash, Machine, Running};
use sim::moments::{crash_at_each, live_on};

const PAGE: usize = 4096;
const SECTOR: usize = 512;
const SEGMENT: &str = "/data/topics/t/1-1/00000000000000000000.log";

fn plan() -> Plan {
    Plan { partitions: 1, segment_bytes_max: 1 << 20, ..Plan::default() }
}

/// How bytes get into the segment.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Through the ring, then by a checkpoint.
    Journal,
    /// Round the ring.
    Chunk,
}

/// Appends a batch after which the log ends at `end`.
async fn grow(running: &Running, from: usize, end: usize, way: Way) {
    running.append(1, end - from).await.expect("an append");
    if matches!(way, Way::Journal) {
        running.quiet().await;
    }
}

/// Ends around a page's end, reached in one way and left in another; the log grows on each time, with a crash at many moments.
#[test]
fn a_log_that_ends_at_1_4095_4096_or_4097_bytes_of_a_page_grows_on_through_every_way_and_crash() {
    let crashes =
        [Crash::PowerCut(Unflushed::Lost), Crash::PowerCut(Unflushed::Garbled), Crash::Kill(UnderWay::Late)];
    for (first, second) in [(Way::Journal, Way::Chunk), (Way::Chunk, Way::Journal), (Way::Chunk, Way::Chunk)]
    {
        for within in [1, 4_095, 4_096, 4_097] {
            let reach = move |way: Way, pages: usize| match way {
                Way::Journal => (pages + 1) * PAGE + within,
                Way::Chunk => (pages + 4) * PAGE + within,
            };
            let end = reach(first, 0);
            let then = reach(second, end / PAGE);
            let before = move |machine: &Machine| {
                machine.run(async move |running| grow(&running, 0, end, first).await);
            };
            let moments = crash_at_each(&plan(), &crashes, before, async move |running| {
                grow(&running, end, then, second).await;
                running.append(1, 100).await.expect("an append");
            });
            assert!(moments > 20, "{first:?} {second:?} {within}");
        }
    }
}

/// The machine has acknowledged a batch, checkpointed it, acknowledged more into the same page, and dies while the page is written
/// again. Returns the page as it was before.
fn dies_rewriting_the_page(machine: &Machine) -> Vec<u8> {
    let process = machine.start(async |running| {
        running.append(1, 1_000).await.expect("an append");
        running.quiet().await;
        running.append(1, 500).await.expect("an append");
        running.append(1, 1_500).await.expect("an append");
        running.quiet().await;
    });
    let (world, path) = (&machine.world, Path::new(SEGMENT));
    let is_written = || !world.disk().writes_under_way(path).is_empty();
    assert!(world.run_until(is_written, 1_000_000));
    assert!(world.run_until(|| !is_written(), 1_000));
    let before = machine.content(SEGMENT)[..PAGE].to_vec();
    assert!(world.run_until(is_written, 1_000_000));
    machine.crash(process, Crash::PowerCut(Unflushed::Lost));
    before
}

#[test]
fn a_torn_rewrite_of_the_tail_page_loses_nothing_that_was_in_it() {
    let machine = Machine::new(1, &plan());
    let before = dies_rewriting_the_page(&machine);
    assert!(before[..1_000].iter().any(|byte| *byte != 0), "the first batch is in the page");
    let crashed = machine.remember();
    // Any of its sectors may be lost to the tear, the old batch's too.
    for lost in 0..1 << (PAGE / SECTOR) {
        machine.return_to(&crashed);
        machine.change(SEGMENT, |segment| {
            for sector in (0..PAGE / SECTOR).filter(|sector| lost >> sector & 1 == 1) {
                segment[sector * SECTOR..][..SECTOR].fill(0xa5);
            }
        });
        assert_eq!(machine.judge(), [3], "sectors {lost:08b}");
        if lost % 16 == 15 {
            live_on(&machine);
        }
    }
}
