//! A whole broker with its producers and consumers through crashes: see `sim::broker_world`.

use sim::broker_world::{Crashes, Plan, run};
use sim::for_seeds_on_every_core;

#[test]
fn what_a_broker_acknowledged_survives_every_crash_once_and_in_order() {
    for_seeds_on_every_core(1_000, |seed| {
        run(seed, |_| {});
    });
}

#[test]
fn a_seed_runs_the_same_way_again() {
    for seed in 0..3 {
        assert_eq!(run(seed, |_| {}), run(seed, |_| {}), "seed {seed}");
    }
}

/// On a disk that answers flushes and has flushed nothing no broker can hold. A ledger that did not notice would prove
/// nothing on the others.
#[test]
fn the_ledger_finds_out_a_disk_that_lies_about_flushes() {
    let is_found_out = |seed| {
        let lying =
            |plan: &mut Plan| *plan = Plan { lying_disk: true, crashes: Crashes::PowerCut, ..plan.clone() };
        std::panic::catch_unwind(|| run(seed, lying)).is_err()
    };
    let found_out = (0..20).filter(|seed| is_found_out(*seed)).count();
    assert!(found_out >= 15, "{found_out} of 20");
}
