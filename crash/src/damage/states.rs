//! The data folders that are damaged: what a broker left that was stopped, killed, killed right after its start, or killed
//! when it was quiet. Each continues the one before.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use storage::journal::table::Table;

use super::ONE_SHARD;
use super::site::Site;
use super::writes::writes;
use crate::broker::{BrokerProcess, Connection, Ledger, Load, LoadOptions, Sent};
use crate::clock::now_ns;
use crate::host;
use crate::seed::Seed;

/// Small segments, so that many are closed.
const TOPIC: (&str, u32) = ("damaged", 2);
const SEGMENT_BYTES: &str = "1048576";
/// A broker without appends writes all into its segments after a second, and then a table.
const QUIET_LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By SIGTERM: nothing is left to redo.
    Stopped,
    /// Under load, before its first checkpoint: the newest table is that of its start.
    Killed,
    /// After a time without appends: all is in the segments.
    Quiet,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Quiet => "killed when quiet",
        }
    }
}

pub(super) struct State {
    pub(super) kind: Kind,
    pub(super) data: PathBuf,
    pub(super) ledger: Ledger,
    /// What the last life sent, to be sent again.
    pub(super) sent: Sent,
}

pub(super) fn prepare(program: &Path, folder: &Path, seed: &mut Seed) -> Result<Vec<State>> {
    let data = folder.join("data");
    let mut ledger = Ledger::default();
    let mut states = Vec::new();
    for (life, (kind, records)) in
        [(Kind::Stopped, 8_000), (Kind::Quiet, 500), (Kind::Killed, 2_000)].into_iter().enumerate()
    {
        let sent = live(program, &data, folder, kind, records, life as u64, seed, &mut ledger)
            .with_context(|| format!("a life to be {}", kind.name()))?;
        ledger.add(&sent);
        let kept = folder.join(format!("state-{life}"));
        copy(&data, &kept)?;
        states.push(State { kind, data: kept, ledger: ledger.clone(), sent });
    }
    Ok(states)
}

#[expect(clippy::too_many_arguments, reason = "one call, with all that a life needs")]
fn live(
    program: &Path,
    data: &Path,
    folder: &Path,
    kind: Kind,
    records: u64,
    life: u64,
    seed: &mut Seed,
    ledger: &mut Ledger,
) -> Result<Sent> {
    let mut broker = BrokerProcess::spawn_with(program, data, folder, ONE_SHARD)?;
    broker.wait_until_ready()?;
    if life == 0 {
        let (name, partitions) = TOPIC;
        let settings = [("segment.bytes", SEGMENT_BYTES)];
        let id = Connection::open(broker.address())?.create_topic_with(name, partitions, &settings)?;
        ledger.add_topic(name, id, partitions, now_ns());
    }
    let load = Load::start(&LoadOptions {
        address: broker.address().to_owned(),
        topics: ledger.topics(),
        producers: 2,
        first_producer: life * 2,
        seed: seed.fork(life),
    });
    load.wait_for(records)?;
    if kind == Kind::Killed {
        broker.kill_9()?;
        return load.stop();
    }
    let sent = load.stop()?;
    if kind == Kind::Quiet {
        wait_until_quiet(&Site::new(data, ledger)?)?;
        broker.kill_9()?;
    } else {
        broker.stop()?;
    }
    Ok(sent)
}

/// Until the newest table needs no journal write any more.
fn wait_until_quiet(site: &Site) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < QUIET_LIMIT {
        let last = writes(site)?.pop().context("a write")?.header;
        let tables = site.tables()?;
        let newest = Table::decode(&std::fs::read(tables.last().context("a table")?)?);
        // Half written is looked at again.
        if newest.is_ok_and(|table| {
            table.start_epoch == last.start_epoch && table.redo_from_sequence > last.sequence
        }) {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    bail!("a broker without appends did not bring its journal into the segments within {QUIET_LIMIT:?}")
}

/// With holes where there are only zeros: a ring is mostly that.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    host::run("cp", &["-a", "--sparse=always", &from.to_string_lossy(), &to.to_string_lossy()]).map(|_| ())
}
