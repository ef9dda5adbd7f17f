//! A whole broker with its producers and consumers through crashes: see `sim::broker_world`.

use sim::broker_world::run;
use sim::for_seeds_on_every_core;

#[test]
fn what_a_broker_acknowledged_survives_every_crash_once_and_in_order() {
    for_seeds_on_every_core(1_200, |seed| {
        run(seed, |_| {});
    });
}

#[test]
fn a_seed_runs_the_same_way_again() {
    for seed in 0..3 {
        assert_eq!(run(seed, |_| {}), run(seed, |_| {}), "seed {seed}");
    }
}
