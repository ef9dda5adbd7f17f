//! `corelog-crash`: crash tests of the real corelog binary. What each test proves: docs/crash-testing.md.

mod clock;
mod disk;
mod host;
mod seed;
mod selfcheck;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Crash tests of the real corelog binary.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    run: RunOptions,
    #[command(subcommand)]
    test: Test,
}

#[derive(Args)]
struct RunOptions {
    /// Replays a run; by default a new one is drawn and printed.
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Where the disks and data folders of the run live; not a tmpfs.
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Test {
    /// The power-cut rig against a writer that syncs and one that does not.
    SelfCheck {
        #[arg(long, default_value_t = 5)]
        cuts: u64,
        /// How long each writer writes.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let folder = command.run.folder.as_deref();
    let seed = command.run.seed.unwrap_or_else(drawn_seed);
    println!("seed {seed}");
    match command.test {
        Test::SelfCheck { cuts, seconds } => selfcheck::run(folder, seed, cuts, seconds),
    }
}

fn drawn_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
