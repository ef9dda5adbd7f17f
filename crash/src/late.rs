//! Writes of a killed process that land after it is gone, on a disk that was slow when it was killed. The next start waits
//! for them: otherwise an old write could fall on what the new process has written since, and acknowledged.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::broker::{BrokerProcess, Ledger, Load, LoadOptions, Required, Sent, retry};
use crate::clock::now_ns;
use crate::disk::{RecordedMount, RecordedMountOptions};
use crate::host::{FileSystemKind, WorkFolder};
use crate::kill::create_topics;
use crate::seed::Seed;

const DISK_BYTES: u64 = 4 << 30;
const PRODUCERS: u64 = 4;

pub(crate) fn run(
    parent: Option<&Path>,
    program: &Path,
    seed: u64,
    rounds: u64,
    kind: FileSystemKind,
) -> Result<()> {
    let folder = WorkFolder::create(parent, "late")?;
    let path = folder.path().to_path_buf();
    let mount =
        RecordedMount::start(RecordedMountOptions { folder: path, bytes: DISK_BYTES, kind, base: None })?;
    let data = mount.path().join("data");
    let mut seed = Seed::new(seed).fork(kind as u64);
    let (mut ledger, mut sent, mut late) = (Ledger::default(), Sent::default(), 0);
    let mut broker = BrokerProcess::spawn(program, &data, folder.path())?;
    for round in 0..rounds {
        broker.wait_until_ready().with_context(|| format!("round {round}"))?;
        if round == 0 {
            create_topics(broker.address(), &mut ledger)?;
        }
        ledger.check(broker.address(), Required::All).with_context(|| format!("round {round}"))?;
        let (retried, _) = retry(broker.address(), &sent)?;
        ledger.acknowledge(retried);
        let load = Load::start(&LoadOptions {
            address: broker.address().to_owned(),
            topics: ledger.topics(),
            producers: PRODUCERS,
            first_producer: round * PRODUCERS,
            seed: seed.fork(round),
        });
        load.wait_for(500)?;
        mount.recorder().delay_writes(Duration::from_millis(300 + seed.below(700)));
        sleep(Duration::from_millis(seed.below(300)));
        broker.kill_9()?;
        let gone_ns = now_ns();
        // What is under way stays slow; what comes now is not.
        mount.recorder().delay_writes(Duration::ZERO);
        broker = BrokerProcess::spawn(program, &data, folder.path())?;
        sent = load.stop()?;
        ledger.add(&sent);
        late += mount.recorder().writes_under_way_at(gone_ns);
    }
    broker.wait_until_ready()?;
    ledger.check(broker.address(), Required::All).context("after the last round")?;
    broker.stop()?;
    mount.stop()?;
    ensure!(
        late > 0,
        "no write of a killed broker landed after its end in {rounds} rounds: nothing was tested"
    );
    println!(
        "late writes on {}: {rounds} rounds, {late} writes of killed brokers landed after them",
        kind.name()
    );
    Ok(())
}
