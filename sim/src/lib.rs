//! Drivers for crash tests: the real storage and broker on a simulated machine.
//!
//! A test asks for so many seeds; each decides the order of tasks, the delays, when the machine crashes and what the crash
//! leaves. `CORELOG_SIM_SEEDS=50000` asks for more, `CORELOG_SIM_SEED=17` replays one.

pub mod history;
pub mod lives;
pub mod machine;
pub mod moments;

/// Runs `test` for each seed, and says how to replay the one that fails.
pub fn for_seeds(count: u64, test: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("CORELOG_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CORELOG_SIM_SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed))).is_err();
        assert!(!failed, "seed {seed} failed; replay it with CORELOG_SIM_SEED={seed}");
    }
}
