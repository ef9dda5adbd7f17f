//! What a recovery that keeps what is sound would give up. Changes nothing.

use std::collections::BTreeMap;

use crate::batches::SegmentReader;
use crate::error::RecoveryError;
use crate::journal::scan::ScannedRing;
use crate::journal::slots::Slots;
use crate::log::LogEnd;
use crate::log::segment::segment_path;
use crate::options::{PartitionSpec, PartitionUid, StorageOptions};
use crate::recovery::{newest_ends, read_rings, redo_in_memory};
use crate::redo::Redo;
use crate::repair::Loss;
use crate::tails::{self, segment_bases};

/// All of it, each file once.
pub(crate) async fn losses(
    options: &StorageOptions,
    shards: u16,
    partitions: &[PartitionSpec],
    uid_limit: PartitionUid,
) -> Result<Vec<Loss>, RecoveryError> {
    let (mut rings, bare) = read_rings(options).await?;
    let mut ends = newest_ends(&rings, uid_limit)?;
    let closings = tails::find(options, &mut rings, &bare, partitions, shards, &mut ends).await?;
    let mut losses: Vec<Loss> = closings.losses().collect();
    let kept = redo_in_memory(options, &mut rings, partitions, shards, uid_limit).await?;
    for ring in &mut rings {
        if let Some(refused) = ring.refused.take() {
            let what =
                format!("{refused}. Kept: all writes before it. Lost: what only it and those after it hold");
            losses.push(Loss { path: ring.folder.clone(), what });
            losses.extend(losses_of_writes(options, ring, partitions, &kept).await?);
            losses.extend(losses_beyond(options, ring, partitions, &kept, &losses).await?);
        }
    }
    for number in bare {
        let folder = options.ring_folder(number);
        if number < options.rings_before || Slots::read(&folder).await?.are_both_used() {
            let what = "the journal is gone, or has no tables and not all of its files. Kept: what the segments hold. Lost: what was \
                        acknowledged and in the ring only";
            losses.push(Loss { path: folder, what: what.to_owned() });
        }
    }
    Ok(losses)
}

/// What the writes behind a damaged one acknowledged, partition by partition. Their segments may hold bytes that no entry
/// speaks of any more.
async fn losses_of_writes(
    options: &StorageOptions,
    ring: &mut ScannedRing,
    partitions: &[PartitionSpec],
    kept: &BTreeMap<u64, Redo>,
) -> Result<Vec<Loss>, RecoveryError> {
    let mut ends: BTreeMap<(u64, i64), i64> = BTreeMap::new();
    for entry in ring.entries_after_chain().await? {
        let end = ends.entry((entry.uid, entry.segment_base)).or_default();
        *end = (*end).max(entry.next_offset);
    }
    let mut losses = Vec::new();
    for ((uid, segment_base), next_offset) in ends {
        let Some(spec) = partitions.iter().find(|spec| spec.uid.0 == uid) else { continue };
        let from = kept.get(&uid).map_or(0, |redo| redo.end.next_offset);
        if next_offset > from {
            let path = segment_path(&options.partition_folder(&spec.folder), segment_base, "log");
            let what = format!(
                "offsets from {from} to {} stand behind the damaged write and are given up",
                next_offset - 1
            );
            losses.push(Loss { path, what });
        }
    }
    Ok(losses)
}

/// Segments of the ring's partitions that hold bytes beyond what is kept: batches that went round the journal, and whose note may
/// stand in the part that cannot be read. A start takes them for never acknowledged, and zeroes them.
async fn losses_beyond(
    options: &StorageOptions,
    ring: &ScannedRing,
    partitions: &[PartitionSpec],
    kept: &BTreeMap<u64, Redo>,
    known: &[Loss],
) -> Result<Vec<Loss>, RecoveryError> {
    let mut losses = Vec::new();
    for spec in partitions.iter().filter(|spec| spec.shard.0 == ring.number) {
        let end = kept.get(&spec.uid.0).map_or(&LogEnd::EMPTY, |redo| &redo.end);
        let folder = options.partition_folder(&spec.folder);
        for base in segment_bases(&folder).await?.into_iter().filter(|base| *base >= end.segment_base) {
            let path = segment_path(&folder, base, "log");
            if known.iter().any(|loss| loss.path == path) {
                continue;
            }
            let position = if base == end.segment_base { end.end_position } else { 0 };
            let mut reader = SegmentReader::open(&path, position).await?;
            if let Some(at) = reader.first_used_byte().await? {
                let what = format!(
                    "offsets from {} on: what stands from byte {at} on is told of by no write that is kept, and is given up",
                    end.next_offset
                );
                losses.push(Loss { path, what });
            }
        }
    }
    Ok(losses)
}
