//! Drivers for crash tests: the real storage and broker on a simulated machine.
//!
//! A test asks for so many seeds; each decides the order of tasks, the delays, when the machine crashes and what the crash
//! leaves. `CORELOG_SIM_SEEDS=50000` asks for more, `CORELOG_SIM_FIRST=50000` begins there, and
//! `CORELOG_SIM_SEED=17` replays one.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

pub mod broker_world;
pub mod history;
pub mod lives;
pub mod machine;
pub mod moments;

/// Runs `test` for each seed, and says how to replay the one that fails.
pub fn for_seeds(count: u64, test: impl Fn(u64)) {
    for seed in seeds(count) {
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed))).is_err();
        assert!(!failed, "seed {seed} failed; replay it with CORELOG_SIM_SEED={seed}");
    }
}

/// As [`for_seeds`], on as many threads as there are cores: a world is a thread's own.
pub fn for_seeds_on_every_core(count: u64, test: impl Fn(u64) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let seeds = seeds(count);
    let work = || {
        loop {
            let seed = seeds.start + next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.load(Ordering::Relaxed) != u64::MAX {
                return;
            }
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed))).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.load(Ordering::Relaxed);
    assert!(failed == u64::MAX, "seed {failed} failed; replay it with CORELOG_SIM_SEED={failed}");
}

/// One seed was asked for: whoever asked wants to hear what happens.
pub fn is_replay() -> bool {
    number("CORELOG_SIM_SEED").is_some()
}

/// The seeds to run: those asked for, or the first `count`.
fn seeds(count: u64) -> Range<u64> {
    if let Some(seed) = number("CORELOG_SIM_SEED") {
        return seed..seed + 1;
    }
    let first = number("CORELOG_SIM_FIRST").unwrap_or(0);
    first..first + number("CORELOG_SIM_SEEDS").unwrap_or(count)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
