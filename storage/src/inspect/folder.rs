//! A whole data folder of a stopped broker: rings, tables, and every segment of every partition up to where its log ends.
//!
//! The ends are found as a start finds them, and what the rings hold for a segment counts as written. So a folder that is
//! sound here is one that a broker starts with and serves completely.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use runtime::file;

use crate::batches::Runs;
use crate::error::RecoveryError;
use crate::inspect::segment::{self, Expected, damaged};
use crate::inspect::{InspectError, Report};
use crate::journal::scan::ScannedRing;
use crate::journal::slots::{Slot, Slots};
use crate::log::LogEnd;
use crate::log::close::PRODUCERS_FILE;
use crate::log::load::PRODUCERS_FILE_BYTES_MAX;
use crate::log::segment::{base_offset_of, segment_path};
use crate::options::{PartitionSpec, PartitionUid, StorageOptions};
use crate::producers::Producers;
use crate::recovery;
use crate::redo::Redo;

/// Where a verification stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub partitions: u64,
    pub of_partitions: u64,
    pub bytes: u64,
}

/// Looks at everything that the catalog's partitions and the rings hold. A ring that a start would refuse is one damage,
/// and the partitions are then looked at as far as their tables tell.
pub async fn verify(
    options: &StorageOptions,
    partitions: &[PartitionSpec],
    uid_limit: PartitionUid,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, InspectError> {
    let mut report = Report::default();
    let mut rings = read_rings(options, &mut report).await?;
    let mut logs = match open_logs(options, &mut rings, partitions, uid_limit).await {
        Ok(logs) => logs,
        Err(InspectError::Recovery(error)) => {
            let path = options.rings_folder();
            damaged(&path, None, error.to_string(), false, &mut report, &mut |_| {});
            BTreeMap::new()
        }
        Err(error) => return Err(error),
    };
    report.journal_writes = rings.iter().map(|ring| ring.chain.len() as u64).sum();
    drop(rings);
    for (done, spec) in partitions.iter().enumerate() {
        progress(Progress {
            partitions: done as u64,
            of_partitions: partitions.len() as u64,
            bytes: report.bytes,
        });
        let log = logs.remove(&spec.uid.0);
        let folder = options.partition_folder(&spec.folder);
        verify_partition(&folder, spec.uid, log, &mut report).await?;
    }
    Ok(report)
}

async fn read_rings(options: &StorageOptions, report: &mut Report) -> Result<Vec<ScannedRing>, InspectError> {
    let mut rings = Vec::new();
    let mut refused = Vec::new();
    for number in recovery::ring_numbers(options).await? {
        let folder = options.ring_folder(number);
        for ring_file in file::list_folder(&folder).await? {
            report.files += 1;
            report.bytes += ring_file.bytes;
        }
        check_slots(&folder, report).await?;
        match ScannedRing::read(options, number).await {
            Ok(ring) => rings.extend(ring),
            Err(RecoveryError::File(error)) if !error.is_not_found() => return Err(error.into()),
            Err(error) => {
                refused.push(number);
                damaged(&folder, None, error.to_string(), false, report, &mut |_| {});
            }
        }
    }
    for number in recovery::lost_rings(options, &rings) {
        if !refused.contains(&number) {
            let folder = options.ring_folder(number);
            let lost = RecoveryError::RingLost { folder: folder.display().to_string() };
            damaged(&folder, None, lost.to_string(), false, report, &mut |_| {});
        }
    }
    Ok(rings)
}

/// One damaged slot costs nothing but the search for what it said.
async fn check_slots(folder: &Path, report: &mut Report) -> Result<(), InspectError> {
    let slots = Slots::read(folder).await?;
    for (number, slot) in slots.0.iter().enumerate() {
        if let Slot::Damaged(error) = slot {
            let path = folder.join(format!("table.{number}"));
            damaged(&path, None, error.to_string(), true, report, &mut |_| {});
        }
    }
    Ok(())
}

/// Ends and unwritten bytes of each partition, as a start would find them.
async fn open_logs(
    options: &StorageOptions,
    rings: &mut [ScannedRing],
    partitions: &[PartitionSpec],
    uid_limit: PartitionUid,
) -> Result<BTreeMap<u64, Redo>, InspectError> {
    let shards = u16::try_from(rings.len()).unwrap_or(u16::MAX);
    Ok(recovery::redo_in_memory(options, rings, partitions, shards, uid_limit).await?)
}

async fn verify_partition(
    folder: &Path,
    uid: PartitionUid,
    log: Option<Redo>,
    report: &mut Report,
) -> Result<(), InspectError> {
    report.partitions += 1;
    let log = log.unwrap_or_else(|| Redo::new(LogEnd::EMPTY));
    let (end, mut runs, complete) = log.into_parts();
    report.dirty_bytes += runs.values().flat_map(Runs::values).map(|bytes| bytes.len() as u64).sum::<u64>();
    // A start makes a segment again that the ring holds.
    let mut bases: BTreeSet<i64> = runs.keys().copied().collect();
    if file::exists(folder).await? {
        let entries = file::list_folder(folder).await?;
        bases.extend(entries.iter().filter_map(|entry| base_offset_of(&entry.name, "log")));
    }
    let bases: Vec<i64> = bases.into_iter().filter(|base| *base <= end.segment_base).collect();
    if end.end_position > 0 && bases.last() != Some(&end.segment_base) {
        let path = segment_path(folder, end.segment_base, "log");
        let reason =
            format!("the segment is missing, and the log goes on to byte {} of it", end.end_position);
        damaged(&path, None, reason, false, report, &mut |_| {});
    }
    let log_start = end.log_start;
    // What lies below the start is about to be freed, and nobody reads it.
    let is_below = |at: usize| bases.get(at + 1).is_some_and(|next| *next <= log_start);
    let below = (0..bases.len()).take_while(|at| is_below(*at)).count();
    let bases = &bases[below..];
    if bases.first().is_some_and(|first| *first > log_start) {
        let reason = format!("the log begins at offset {log_start}, and the first segment at {}", bases[0]);
        damaged(folder, None, reason, false, report, &mut |_| {});
    }
    for (at, base_offset) in bases.iter().copied().enumerate() {
        let path = segment_path(folder, base_offset, "log");
        let next = bases.get(at + 1).copied();
        let ends_at = match (next, complete.get(&base_offset)) {
            (Some(next), Some(position)) => (*position, next),
            // A closed segment ends where its file does.
            (Some(next), None) => {
                (file::File::open(&path, file::OpenOptions::read()).await?.size().await?, next)
            }
            (None, _) if base_offset == end.segment_base => (end.end_position, end.next_offset),
            (None, _) => continue,
        };
        let dirty = runs.remove(&base_offset).unwrap_or_default();
        let expected = Expected { base_offset, uid: Some(uid), end: Some(ends_at), dirty };
        segment::inspect(&path, expected, report, &mut |_| {}).await?;
    }
    verify_producers(folder, uid, &end, report).await
}

async fn verify_producers(
    folder: &Path,
    uid: PartitionUid,
    end: &LogEnd,
    report: &mut Report,
) -> Result<(), InspectError> {
    let path = folder.join(PRODUCERS_FILE);
    if !file::exists(&path).await? {
        return Ok(());
    }
    report.files += 1;
    let bytes = file::read_whole(&path, PRODUCERS_FILE_BYTES_MAX).await?;
    let reason = match Producers::decode(&bytes, uid) {
        Ok((_, next_offset)) if next_offset <= end.next_offset => return Ok(()),
        Ok((_, next)) => format!("it is of offset {next}, and the log ends at {}", end.next_offset),
        Err(error) => error.to_string(),
    };
    damaged(&path, None, reason, true, report, &mut |_| {});
    Ok(())
}
