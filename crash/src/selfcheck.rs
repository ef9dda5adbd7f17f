//! Proves that the power-cut rig can fail: a writer that waits for the disk must never lose what it acknowledged,
//! one that does not wait must be caught losing. Needs no broker.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::clock::now_ns;
use crate::disk::{RecordedMount, RecordedMountOptions, Recorder, choose_cut, rebuild};
use crate::host::{FileSystemKind, LoopDevice, Mount, WorkFolder};
use crate::seed::Seed;

const RECORD_BYTES: usize = 4096;
const DISK_BYTES: u64 = 512 << 20;
/// Half is overwritten in place, as a journal's ring is; the other half is appended, so that sizes and block
/// lists are at stake too.
const RING_RECORDS: u64 = 16384;
const RECORDS_MAX: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Durable,
    Careless,
}

/// A page that direct I/O accepts.
#[repr(align(4096))]
struct Page([u8; RECORD_BYTES]);

struct Written {
    /// When each record was acknowledged, by sequence.
    acknowledged_ns: Vec<u64>,
    started_ns: u64,
    seconds: f64,
}

pub(crate) fn run(parent: Option<&Path>, seed: u64, cuts: u64, seconds: u64) -> Result<()> {
    let seed = Seed::new(seed);
    for kind in [FileSystemKind::Ext4, FileSystemKind::Xfs] {
        for writer in [Writer::Durable, Writer::Careless] {
            check(parent, &seed, kind, writer, cuts, Duration::from_secs(seconds))?;
        }
    }
    Ok(())
}

fn check(
    parent: Option<&Path>,
    seed: &Seed,
    kind: FileSystemKind,
    writer: Writer,
    cuts: u64,
    duration: Duration,
) -> Result<()> {
    let folder = WorkFolder::create(parent, kind.name())?;
    let options =
        RecordedMountOptions { folder: folder.path().to_path_buf(), bytes: DISK_BYTES, kind, base: None };
    let mount = RecordedMount::start(options)?;
    let written = write(mount.path(), writer, duration)?;
    let ended_ns = now_ns();
    let recorder = mount.stop()?;
    let mut seed = seed.fork(kind as u64 * 2 + writer as u64);
    let mut cuts_with_loss = 0;
    for _ in 0..cuts {
        let lost = lost_by_a_cut(folder.path(), kind, &recorder, &written, ended_ns, &mut seed)?;
        cuts_with_loss += u64::from(lost > 0);
    }
    let rate = written.acknowledged_ns.len() as f64 / written.seconds;
    println!(
        "self-check {} {writer:?}: {} writes of 4 KiB, {rate:.0}/s, {cuts_with_loss} of {cuts} cuts lost some",
        kind.name(),
        written.acknowledged_ns.len(),
    );
    match writer {
        Writer::Durable => ensure!(cuts_with_loss == 0, "the rig lost what was durably written"),
        Writer::Careless => ensure!(cuts_with_loss > 0, "the rig did not catch a writer that never syncs"),
    }
    Ok(())
}

fn write(folder: &Path, writer: Writer, duration: Duration) -> Result<Written> {
    let ring = open(&folder.join("ring"), writer)?;
    for record in 0..RING_RECORDS {
        File::options()
            .write(true)
            .open(folder.join("ring"))?
            .write_all_at(&[0; RECORD_BYTES], record * 4096)?;
    }
    ring.sync_all()?;
    let growing = open(&folder.join("growing"), writer)?;
    growing.sync_all()?;
    File::open(folder)?.sync_all()?;
    let mut page = Box::new(Page([0; RECORD_BYTES]));
    let started = Instant::now();
    let mut written = Written { acknowledged_ns: Vec::new(), started_ns: now_ns(), seconds: 0.0 };
    // The first half of the time goes to the ring alone: its rate is the figure to compare.
    while started.elapsed() < duration && (written.acknowledged_ns.len() as u64) < RECORDS_MAX {
        let sequence = written.acknowledged_ns.len() as u64;
        let (file, position) = place(&ring, &growing, sequence);
        fill(&mut page.0, sequence);
        file.write_all_at(&page.0, position)?;
        written.acknowledged_ns.push(now_ns());
    }
    written.seconds = started.elapsed().as_secs_f64();
    Ok(written)
}

/// The ring takes the first records, the growing file the rest.
fn place<'a>(ring: &'a File, growing: &'a File, sequence: u64) -> (&'a File, u64) {
    match sequence.checked_sub(RING_RECORDS) {
        None => (ring, sequence * RECORD_BYTES as u64),
        Some(beyond) => (growing, beyond * RECORD_BYTES as u64),
    }
}

fn open(path: &PathBuf, writer: Writer) -> Result<File> {
    // O_DIRECT, and O_DSYNC for the writer that waits.
    let flags = match writer {
        Writer::Durable => rustix::fs::OFlags::DIRECT | rustix::fs::OFlags::DSYNC,
        Writer::Careless => rustix::fs::OFlags::DIRECT,
    };
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn fill(bytes: &mut [u8], sequence: u64) {
    Seed::new(sequence).fill(&mut bytes[8..RECORD_BYTES - 4]);
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..RECORD_BYTES - 4]);
    bytes[RECORD_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
}

/// Rebuilds, mounts and reads; how many acknowledged records are not there whole.
fn lost_by_a_cut(
    folder: &Path,
    kind: FileSystemKind,
    recorder: &Recorder,
    written: &Written,
    ended_ns: u64,
    seed: &mut Seed,
) -> Result<u64> {
    let cut = choose_cut(recorder, written.started_ns, ended_ns, seed);
    let image = folder.join("rebuilt.img");
    rebuild(recorder, &cut, &image)?;
    let device = LoopDevice::attach(&image, false)?;
    let mount = Mount::attach(kind, device.path(), &folder.join("rebuilt"))
        .with_context(|| format!("the rebuilt disk does not mount: {cut:?}"))?;
    let ring = File::open(mount.path().join("ring"))?;
    let growing = File::open(mount.path().join("growing"))?;
    let acknowledged = written.acknowledged_ns.partition_point(|at_ns| *at_ns <= cut.moment_ns) as u64;
    let mut lost = 0;
    let mut expected = [0; RECORD_BYTES];
    let mut found = [0; RECORD_BYTES];
    for sequence in 0..acknowledged {
        let (file, position) = place(&ring, &growing, sequence);
        fill(&mut expected, sequence);
        let is_there = file.read_exact_at(&mut found, position).is_ok() && found == expected;
        lost += u64::from(!is_there);
    }
    drop((ring, growing));
    mount.unmount()?;
    device.detach()?;
    Ok(lost)
}
