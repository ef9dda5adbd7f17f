//! Power cuts with the broker under load on a recorded disk. A first life on a new disk is cut at moments from the
//! very first start on; then one rebuilt disk is recorded in its turn, so that recoveries are cut as well.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::broker::{BrokerProcess, Ledger, Load, LoadOptions, Required};
use crate::clock::now_ns;
use crate::disk::{RecordedMount, RecordedMountOptions, Recorder, choose_cut, rebuild};
use crate::host::{FileSystemKind, LoopDevice, Mount, WorkFolder};
use crate::kill::create_topics;
use crate::seed::Seed;

const DISK_BYTES: u64 = 4 << 30;
const PRODUCERS: u64 = 4;
/// Cuts drawn from one recorded life; more lives are recorded for more cuts.
const CUTS_PER_LIFE: u64 = 3;

struct Rounds<'a> {
    program: &'a Path,
    folder: PathBuf,
    kind: FileSystemKind,
    seed: Seed,
    ledger: Ledger,
    life: u64,
}

struct Life {
    recorder: std::sync::Arc<Recorder>,
    started_ns: u64,
    ready_ns: u64,
    ended_ns: u64,
}

pub(crate) fn run(
    parent: Option<&Path>,
    program: &Path,
    seed: u64,
    cuts: u64,
    kind: FileSystemKind,
) -> Result<()> {
    let folder = WorkFolder::create(parent, kind.name())?;
    let mut rounds = Rounds {
        program,
        folder: folder.path().to_path_buf(),
        kind,
        seed: Seed::new(seed).fork(kind as u64),
        ledger: Ledger::default(),
        life: 0,
    };
    let mut done = 0;
    let mut base = None;
    while done < cuts {
        let life = rounds.record(base.take())?;
        let mut go_on_from = None;
        for index in 0..CUTS_PER_LIFE.min(cuts - done) {
            // The first cut of each life falls into its start.
            let (from_ns, to_ns) =
                if index == 0 { (life.started_ns, life.ready_ns) } else { (life.ready_ns, life.ended_ns) };
            let cut = choose_cut(&life.recorder, from_ns, to_ns, &mut rounds.seed);
            rounds.check(&life, &cut).with_context(|| format!("{} cut {done}: {cut:?}", kind.name()))?;
            go_on_from = Some(cut);
            done += 1;
        }
        // Every other life goes on from a disk that was cut; the rest begin on a new one.
        if rounds.life % 2 == 1
            && let Some(cut) = go_on_from
        {
            let path = rounds.folder.join("base.img");
            rebuild(&life.recorder, &cut, &path)?;
            rounds.ledger.keep_until(cut.moment_ns);
            base = Some(path);
        } else {
            rounds.ledger = Ledger::default();
        }
    }
    Ok(())
}

impl Rounds<'_> {
    /// One life of the broker under load on a recorded disk.
    fn record(&mut self, base: Option<PathBuf>) -> Result<Life> {
        let is_new = base.is_none();
        let options =
            RecordedMountOptions { folder: self.folder.clone(), bytes: DISK_BYTES, kind: self.kind, base };
        let mount = RecordedMount::start(options)?;
        let started_ns = now_ns();
        let broker = BrokerProcess::start(self.program, &mount.path().join("data"), &self.folder)?;
        if is_new || self.ledger.topics().is_empty() {
            create_topics(broker.address(), &mut self.ledger)?;
        }
        let ready_ns = now_ns();
        let load = Load::start(&LoadOptions {
            address: broker.address().to_owned(),
            topics: self.ledger.topics(),
            producers: PRODUCERS,
            first_producer: self.life * PRODUCERS,
            seed: self.seed.fork(self.life),
        });
        sleep(Duration::from_millis(1500 + self.seed.below(1500)));
        let ended_ns = now_ns();
        broker.kill_9()?;
        self.ledger.add(&load.stop()?);
        self.life += 1;
        Ok(Life { recorder: mount.stop()?, started_ns, ready_ns, ended_ns })
    }

    fn check(&mut self, life: &Life, cut: &crate::disk::Cut) -> Result<()> {
        let image = self.folder.join("rebuilt.img");
        let rebuilt = rebuild(&life.recorder, cut, &image)?;
        let device = LoopDevice::attach(&image, true)?;
        let mount = Mount::attach(self.kind, device.path(), &self.folder.join("rebuilt"))?;
        let broker = BrokerProcess::start(self.program, &mount.path().join("data"), &self.folder)?;
        let found = self.ledger.clone().check(broker.address(), Required::AcknowledgedBy(cut.moment_ns))?;
        broker.stop()?;
        mount.unmount()?;
        device.detach()?;
        println!(
            "power cut on {} in life {}, {} ms after its start ({:?}, {} % kept): {found} acknowledged records are \
             there; {} writes safe, {} at stake, {} pieces lost",
            self.kind.name(),
            self.life,
            cut.moment_ns.saturating_sub(life.started_ns) / 1_000_000,
            cut.granularity,
            cut.kept_percent,
            rebuilt.writes_safe,
            rebuilt.writes_at_stake,
            rebuilt.pieces_lost,
        );
        Ok(())
    }
}
