//! A disk that is really full: the broker refuses with an error, loses nothing, and goes on in the same process
//! when there is room again.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::broker::{BrokerProcess, Ledger, Load, LoadOptions, Required, Sent};
use crate::host::{FileSystemKind, LoopDevice, Mount, WorkFolder};
use crate::kill::create_topics;
use crate::seed::Seed;

const DISK_BYTES: u64 = 2 << 30;
/// What the filler leaves: a few segments' first steps.
const ROOM_BYTES: u64 = 64 << 20;
const PHASE: Duration = Duration::from_secs(3);
const PHASES_MAX: u64 = 10;

pub(crate) fn run(parent: Option<&Path>, program: &Path, seed: u64, kind: FileSystemKind) -> Result<()> {
    let folder = WorkFolder::create(parent, "full")?;
    let image = folder.path().join("disk.img");
    File::create(&image)?.set_len(DISK_BYTES)?;
    let device = LoopDevice::attach(&image, true)?;
    kind.make(device.path())?;
    let mount = Mount::attach(kind, device.path(), &folder.path().join("mnt"))?;
    let data = mount.path().join("data");
    let seed = Seed::new(seed);
    let mut ledger = Ledger::default();
    let broker = BrokerProcess::start(program, &data, folder.path())?;
    create_topics(broker.address(), &mut ledger)?;
    let filler = mount.path().join("filler");
    fill(&filler)?;
    let mut phase = 0;
    let refusal = loop {
        let sent = load(&broker, &ledger, &seed, phase)?;
        let (refused, words) = (sent.refused, sent.first_refusal.clone());
        ledger.add(&sent);
        phase += 1;
        if refused > 0 {
            break words.unwrap_or_default();
        }
        ensure!(phase < PHASES_MAX, "a full disk was neither refused nor reached:\n{}", broker.words());
    };
    let found = ledger.check(broker.address(), Required::All).context("on the full disk")?;
    std::fs::remove_file(&filler)?;
    // The broker looks for room by itself.
    sleep(PHASE);
    let sent = load(&broker, &ledger, &seed, phase)?;
    let resumed = sent.acknowledged.len();
    ledger.add(&sent);
    ensure!(resumed > 0, "nothing is taken although there is room again:\n{}", broker.words());
    broker.kill_9()?;
    let broker = BrokerProcess::start(program, &data, folder.path())?;
    ledger.check(broker.address(), Required::All).context("after the restart")?;
    broker.stop()?;
    println!(
        "full disk on {}: refused with \"{refusal}\", {found} acknowledged records there, {resumed} batches taken after",
        kind.name()
    );
    mount.unmount()?;
    device.detach()
}

fn fill(path: &Path) -> Result<()> {
    let file = File::create(path)?;
    let room = statvfs(path.parent().context("a mount point")?)?;
    let bytes = (room.f_bavail * room.f_frsize).saturating_sub(ROOM_BYTES);
    Ok(fallocate(&file, FallocateFlags::empty(), 0, bytes)?)
}

fn load(broker: &BrokerProcess, ledger: &Ledger, seed: &Seed, phase: u64) -> Result<Sent> {
    let load = Load::start(&LoadOptions {
        address: broker.address().to_owned(),
        topics: ledger.topics(),
        producers: 4,
        first_producer: phase * 4,
        seed: seed.fork(phase),
    });
    sleep(PHASE);
    load.stop()
}
