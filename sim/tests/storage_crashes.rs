//! The storage through crashes: nothing acknowledged or served is lost, doubled, reordered or changed.

use runtime::sim::World;
use sim::for_seeds;
use sim::lives::Plan;

#[test]
fn acknowledged_batches_survive_kills_and_power_cuts() {
    for_seeds(1_000, |seed| Plan::default().run(seed));
}

#[test]
fn acknowledged_batches_survive_crashes_within_the_first_start_and_recovery() {
    for_seeds(500, |seed| Plan { lives: 8, steps_max: 300, ..Plan::default() }.run(seed));
}

#[test]
fn small_batches_lap_the_ring_many_times() {
    for_seeds(100, |seed| {
        Plan { value_bytes_max: 3_000, steps_max: 30_000, segment_bytes_max: 1 << 20, ..Plan::default() }
            .run(seed);
    });
}

#[test]
fn partitions_move_between_shards_from_life_to_life() {
    for_seeds(300, |seed| {
        Plan { lives: 6, partitions: 5, shards: &[4, 2, 3, 1], ..Plan::default() }.run(seed)
    });
}

#[test]
fn the_same_seed_runs_the_same_way() {
    let trace = |seed| {
        let world = World::new(seed);
        let plan = Plan::default();
        let _ = world.run(async move { plan.specs(1).len() + runtime::random::below(100) as usize }, 100);
        world.trace_hash()
    };
    assert_eq!(trace(5), trace(5));
}
