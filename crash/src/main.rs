//! `corelog-crash`: crash tests of the real corelog binary. What each test proves: docs/crash-testing.md.

mod bad_input;
mod broker;
mod clock;
mod damage;
mod disk;
mod full;
mod host;
mod kill;
mod late;
mod powercut;
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

#[derive(Args)]
struct Broker {
    /// The corelog binary.
    #[arg(long, default_value = "target/release/corelog")]
    corelog: PathBuf,
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
    /// kill -9 under load, with verification after each restart.
    Kill9 {
        #[command(flatten)]
        broker: Broker,
        #[arg(long, default_value_t = 10)]
        rounds: u64,
    },
    /// Files damaged behind the broker's back, one at a time; starts killed in a row; a second broker.
    Damage {
        #[command(flatten)]
        broker: Broker,
    },
    /// kill -9 on a slow disk: writes that land when their process is gone. Split over ext4 and XFS.
    LateWrites {
        #[command(flatten)]
        broker: Broker,
        #[arg(long, default_value_t = 6)]
        rounds: u64,
    },
    /// A disk that is full, on ext4 and XFS.
    FullDisk {
        #[command(flatten)]
        broker: Broker,
    },
    /// Peers that break the protocol.
    BadInput {
        #[command(flatten)]
        broker: Broker,
        #[arg(long, default_value_t = 5000)]
        idle: u64,
    },
    /// Power cuts under load, split over ext4 and XFS.
    Powercut {
        #[command(flatten)]
        broker: Broker,
        #[arg(long, default_value_t = 10)]
        cuts: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let folder = command.run.folder.as_deref();
    let seed = command.run.seed.unwrap_or_else(drawn_seed);
    println!("seed {seed}");
    match command.test {
        Test::SelfCheck { cuts, seconds } => selfcheck::run(folder, seed, cuts, seconds),
        Test::Kill9 { broker, rounds } => kill::run(folder, &broker.corelog, seed, rounds),
        Test::Damage { broker } => damage::run(folder, &broker.corelog, seed),
        Test::LateWrites { broker, rounds } => {
            late::run(folder, &broker.corelog, seed, rounds.div_ceil(2), host::FileSystemKind::Ext4)?;
            late::run(folder, &broker.corelog, seed, rounds / 2, host::FileSystemKind::Xfs)
        }
        Test::FullDisk { broker } => {
            full::run(folder, &broker.corelog, seed, host::FileSystemKind::Ext4)?;
            full::run(folder, &broker.corelog, seed, host::FileSystemKind::Xfs)
        }
        Test::BadInput { broker, idle } => bad_input::run(folder, &broker.corelog, seed, idle),
        Test::Powercut { broker, cuts } => {
            powercut::run(folder, &broker.corelog, seed, cuts.div_ceil(2), host::FileSystemKind::Ext4)?;
            powercut::run(folder, &broker.corelog, seed, cuts / 2, host::FileSystemKind::Xfs)
        }
    }
}

fn drawn_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
