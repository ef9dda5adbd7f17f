//! Finds the ends of partitions that no table tells any more, by reading their segments.
//!
//! Needed only where a ring lost its tables. A segment holds batches without a gap, each with the next offset, and what
//! lies beyond the end is zeros: whoever opens a segment first zeroes it. So the log goes on as long as whole batches with the
//! next offset stand there, and a leader epoch that falls is a ghost of an earlier life. Where anything else follows,
//! nobody can tell a batch that was never acknowledged from one that is rotten: then the start is refused.
//!
//! A partition of which the ring still holds entries needs no guess: everything below its first entry is durable, and the
//! entries say where it ends. Only the segments before that entry's have to be measured.
//!
//! **Invariant**: reads only. What has to be cut (segments that a roll left too long) is done when every ring was read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runtime::executor::ShardId;
use runtime::file;
use runtime::sync::Semaphore;
use runtime::task;

use crate::batches::{Found, SegmentReader};
use crate::error::RecoveryError;
use crate::journal::format::Entries;
use crate::journal::scan::{ScannedRing, Tails};
use crate::log::LogEnd;
use crate::log::segment::{base_offset_of, segment_path};
use crate::options::{PartitionSpec, StorageOptions};
use crate::recovery::Ends;
use crate::redo;
use crate::repair::Loss;

/// Partitions read at once.
const SCANS_IN_FLIGHT: usize = 32;

/// What has to be done to the segments that were read, once nothing can refuse the start any more.
pub(crate) struct Closings(Vec<(u64, PathBuf, Tail)>);

impl Closings {
    /// What a repair gives up.
    pub(crate) fn losses(self) -> impl Iterator<Item = Loss> {
        self.0.into_iter().filter_map(|(_, folder, tail)| {
            let what = tail.refused?.to_string();
            let path = segment_path(&folder, tail.end.segment_base, "log");
            let kept = format!("{what}. Kept: offsets below {}. Lost: what follows", tail.end.next_offset);
            Some(Loss { path, what: kept })
        })
    }

    /// Partition, segment and end of what is complete.
    pub(crate) fn complete(&self) -> impl Iterator<Item = (u64, i64, u64)> {
        let of = |(uid, _, tail): &(u64, PathBuf, Tail)| {
            let uid = *uid;
            tail.complete.clone().into_iter().map(move |(base, end)| (uid, base, end))
        };
        self.0.iter().flat_map(of)
    }

    /// Cuts segments that are complete to their ends, and makes the last batches last.
    pub(crate) async fn apply(self, durable_writes: bool) -> Result<(), RecoveryError> {
        for (_, folder, tail) in self.0 {
            for (segment_base, end) in tail.complete {
                redo::close_segment(&folder, segment_base, end, durable_writes).await?;
            }
            if tail.end.end_position > 0 {
                redo::flush_segment(&folder, tail.end.segment_base, durable_writes).await?;
            }
        }
        Ok(())
    }
}

/// Completes `ends` with what rings without tables leave open. `bare` are rings that were never begun, or whose only table
/// is lost before anything was journaled.
pub(crate) async fn find(
    options: &StorageOptions,
    rings: &mut [ScannedRing],
    bare: &[u16],
    partitions: &[PartitionSpec],
    shards: u16,
    ends: &mut Ends,
) -> Result<Closings, RecoveryError> {
    let newest_epoch = rings.iter().map(|ring| ring.table.start_epoch).max().unwrap_or(0);
    let as_before = rings.len() == usize::from(shards) && rings.iter().all(|ring| ring.number < shards);
    let found = rings.len();
    let mut closings = Vec::new();
    for ring in rings.iter_mut() {
        // The last start may have died between the tables of two rings, or this ring's was torn then.
        if ring.has_only_one_table && ring.table.start_epoch < newest_epoch {
            ring.tails = ring.tails.max(Tails::Unrecorded);
        }
        if ring.tails == Tails::Known {
            continue;
        }
        if ring.tails == Tails::Lost && !as_before {
            let folder = ring.folder.display().to_string();
            return Err(RecoveryError::ShardsChanged { folder, found, expected: shards });
        }
        let firsts = first_entries(ring).await?;
        let open = partitions.iter().filter(|spec| is_open(ring, spec, ends, &firsts));
        let found = find_of(options, &open.collect::<Vec<_>>(), ends, &firsts).await?;
        for (uid, folder, tail) in found {
            ends.insert(uid, (ring.table.start_epoch, tail.end.clone()));
            closings.push((uid, folder, tail));
        }
    }
    if !bare.is_empty() {
        let mut firsts = FirstEntries::new();
        for ring in rings.iter_mut() {
            firsts.append(&mut first_entries(ring).await?);
        }
        let is_open =
            |spec: &&PartitionSpec| bare.contains(&spec.shard.0) && is_unrecorded(spec, ends, &firsts);
        let open: Vec<&PartitionSpec> = partitions.iter().filter(is_open).collect();
        for (uid, folder, tail) in find_of(options, &open, ends, &firsts).await? {
            ends.insert(uid, (0, tail.end.clone()));
            closings.push((uid, folder, tail));
        }
    }
    Ok(Closings(closings))
}

/// The first entry of each partition in a chain.
type FirstEntries = BTreeMap<u64, FirstEntry>;

#[derive(Clone, Copy)]
struct FirstEntry {
    segment_base: i64,
    position: u64,
    /// The highest that an entry of the chain names.
    log_start: i64,
}

impl FirstEntry {
    /// The log begins in the entry's segment: nothing before it is looked for, and may have been freed.
    fn end_of_freed(&self, known: Option<&LogEnd>) -> Option<LogEnd> {
        let log_start = known.map_or(0, |end| end.log_start).max(self.log_start);
        let is_later = known.is_none_or(|end| end.segment_base < self.segment_base);
        let from = self.segment_base;
        (is_later && from > 0 && from <= log_start).then_some(LogEnd {
            segment_base: from,
            end_position: 0,
            next_offset: from,
            log_start,
        })
    }
}

/// Where a chain goes from one segment to the next and the start is at or behind that, it begins with the next.
async fn first_entries(ring: &mut ScannedRing) -> Result<FirstEntries, RecoveryError> {
    let mut begun: BTreeMap<u64, Vec<FirstEntry>> = BTreeMap::new();
    for link in ring.chain.clone() {
        // What is wrong with an entry is said when it is redone.
        for (header, _) in Entries::new(ring.entries(&link).await?).map_while(Result::ok) {
            let first = FirstEntry {
                segment_base: header.segment_base,
                position: header.position,
                log_start: header.log_start,
            };
            let segments = begun.entry(header.uid).or_default();
            if segments.last().is_none_or(|last| last.segment_base < first.segment_base) {
                segments.push(first);
            }
            for segment in segments {
                segment.log_start = segment.log_start.max(first.log_start);
            }
        }
    }
    let first_of = |segments: Vec<FirstEntry>| {
        let kept = segments.iter().rposition(|segment| segment.segment_base <= segment.log_start);
        segments[kept.unwrap_or(0)]
    };
    Ok(begun.into_iter().map(|(uid, segments)| (uid, first_of(segments))).collect())
}

/// Whether the end of a partition has to be looked for.
fn is_open(ring: &ScannedRing, spec: &PartitionSpec, ends: &Ends, firsts: &FirstEntries) -> bool {
    if ring.tails == Tails::Lost {
        let known = ends.get(&spec.uid.0);
        let is_elsewhere = known.is_some_and(|(epoch, _)| *epoch > ring.table.start_epoch);
        return spec.shard == ShardId(ring.number) && !is_elsewhere;
    }
    spec.shard == ShardId(ring.number) && is_unrecorded(spec, ends, firsts)
}

/// No table names it, and the ring does not hold it from its first byte on, as it does a partition that is new.
fn is_unrecorded(spec: &PartitionSpec, ends: &Ends, firsts: &FirstEntries) -> bool {
    let first = firsts.get(&spec.uid.0);
    !ends.contains_key(&spec.uid.0)
        && first.is_none_or(|first| (first.segment_base, first.position) != (0, 0))
}

async fn find_of(
    options: &StorageOptions,
    open: &[&PartitionSpec],
    ends: &Ends,
    firsts: &FirstEntries,
) -> Result<Vec<(u64, PathBuf, Tail)>, RecoveryError> {
    let window = Semaphore::new(SCANS_IN_FLIGHT);
    let mut under_way = Vec::with_capacity(open.len());
    for spec in open {
        let permit = window.acquire(1).await;
        let uid = spec.uid.0;
        let folder = options.partition_folder(&spec.folder);
        let scan = Scan {
            folder: folder.clone(),
            leader_epoch_max: spec.leader_epoch,
            known: ends.get(&uid).map(|(_, end)| end.clone()),
            first: firsts.get(&uid).copied(),
            salvage: options.salvage,
        };
        under_way.push(task::spawn(async move {
            let found = scan.run().await;
            drop(permit);
            found.map(|tail| (uid, folder, tail))
        }));
    }
    let mut tails = Vec::with_capacity(under_way.len());
    for one in under_way {
        tails.push(one.await?);
    }
    Ok(tails)
}

/// What a scan found of one partition.
struct Tail {
    /// What a start would refuse, where it is to be repaired: the segment, and why.
    refused: Option<RecoveryError>,
    end: LogEnd,
    /// Segments before the end's, and where their batches end.
    complete: Vec<(i64, u64)>,
}

/// The search for one partition's end.
struct Scan {
    folder: PathBuf,
    leader_epoch_max: i32,
    /// From an older table: at or before the end.
    known: Option<LogEnd>,
    first: Option<FirstEntry>,
    salvage: bool,
}

impl Scan {
    async fn run(self) -> Result<Tail, RecoveryError> {
        let bases = segment_bases(&self.folder).await?;
        let Some(mut end) = self.begin(&bases) else {
            let end = self.known.unwrap_or(LogEnd::EMPTY);
            return Ok(Tail { end, complete: Vec::new(), refused: None });
        };
        let target = self.first.map(|first| first.segment_base);
        let mut complete = Vec::new();
        let mut leader_epoch = i32::MIN;
        loop {
            if let Some(first) = self.first.filter(|first| first.segment_base == end.segment_base) {
                let checked = self.check_up_to(first.position, end.clone()).await;
                return self.unless_refused(checked, end, complete);
            }
            let next = bases.iter().copied().find(|base| *base > end.segment_base);
            // A roll whose new file the crash lost: redo makes it again.
            let next = next.or(target.filter(|target| *target > end.segment_base));
            let path = segment_path(&self.folder, end.segment_base, "log");
            let mut reader = SegmentReader::open_at_rest(&path, end.end_position).await?;
            let stopped = self.walk(&mut reader, &mut end, &mut leader_epoch).await?;
            match next {
                Some(base) if base != end.next_offset => {
                    let reason =
                        format!("the batches stop at offset {}, and segment {base} follows", end.next_offset);
                    let refused = Err(unclear(&path, end.end_position, reason));
                    return self.unless_refused(refused, end, complete);
                }
                Some(base) if target.is_some_and(|target| target >= base) || self.begins(base).await? => {
                    complete.push((end.segment_base, end.end_position));
                    end = LogEnd { segment_base: base, end_position: 0, ..end };
                }
                _ => {
                    let checked = refuse_rest(&path, &mut reader, &end, stopped, leader_epoch).await;
                    return self.unless_refused(checked, end, complete);
                }
            }
        }
    }

    /// A repair keeps what comes before the place that refuses a start.
    fn unless_refused(
        &self,
        checked: Result<(), RecoveryError>,
        end: LogEnd,
        complete: Vec<(i64, u64)>,
    ) -> Result<Tail, RecoveryError> {
        match checked {
            Ok(()) => Ok(Tail { end, complete, refused: None }),
            Err(unclear @ RecoveryError::UnclearEnd { .. }) if self.salvage => {
                Ok(Tail { end, complete, refused: Some(unclear) })
            }
            Err(error) => Err(error),
        }
    }

    /// Where to begin: at the end an older table knew, else with the last segment; one before it, if there is one, has to be
    /// measured, because a roll may have left it too long.
    fn begin(&self, bases: &[i64]) -> Option<LogEnd> {
        if let Some(end) = self.first.and_then(|first| first.end_of_freed(self.known.as_ref())) {
            return Some(end);
        }
        if let Some(known) = &self.known {
            if bases.contains(&known.segment_base) {
                return Some(known.clone());
            }
            // A table of a ring that the partition has left may name a segment that was freed since.
            let is_freed = bases.first().is_some_and(|first| *first > known.segment_base);
            if !is_freed {
                return None;
            }
        }
        let target = self.first.map_or(i64::MAX, |first| first.segment_base);
        let at = bases.partition_point(|base| *base <= target).checked_sub(1)?;
        let is_new = self.first.is_some() && bases[at] < target;
        let from = bases[if is_new { at } else { at.saturating_sub(1) }];
        let known = self.known.as_ref().map_or(0, |end| end.log_start);
        // A start inside the first segment that is left is not told by the segments: it falls back to the segment's beginning.
        let log_start = self.first.map_or(0, |first| first.log_start).max(known).max(bases[0]);
        Some(LogEnd { segment_base: from, end_position: 0, next_offset: from, log_start })
    }

    /// Moves `end` over the batches that continue the log.
    async fn walk(
        &self,
        reader: &mut SegmentReader,
        end: &mut LogEnd,
        leader_epoch: &mut i32,
    ) -> Result<Found, RecoveryError> {
        loop {
            let found = reader.next().await?;
            match &found {
                Found::Batch { header, .. }
                    if header.base_offset == end.next_offset
                        && header.leader_epoch >= *leader_epoch
                        && header.leader_epoch <= self.leader_epoch_max
                        && header.last_offset_delta >= 0 =>
                {
                    end.next_offset = header.next_offset();
                    end.end_position = reader.position();
                    *leader_epoch = header.leader_epoch;
                }
                _ => return Ok(found),
            }
        }
    }

    /// What lies below the first entry is durable: if it is not there, the ring does not hold all that it has to.
    async fn check_up_to(&self, position: u64, mut end: LogEnd) -> Result<(), RecoveryError> {
        if position <= end.end_position {
            return Ok(());
        }
        let path = segment_path(&self.folder, end.segment_base, "log");
        let mut reader = SegmentReader::open_at_rest(&path, end.end_position).await?;
        let mut leader_epoch = i32::MIN;
        let stopped = self.walk(&mut reader, &mut end, &mut leader_epoch).await?;
        let reaches_into_entry = match stopped {
            Found::Bad { header: Some(header), .. } => {
                header.base_offset == end.next_offset && end.end_position + header.length as u64 > position
            }
            _ => false,
        };
        if end.end_position >= position || reaches_into_entry {
            return Ok(());
        }
        let reason = format!(
            "no batch with offset {} is there, and the ring goes on at byte {position}",
            end.next_offset
        );
        Err(unclear(&path, end.end_position, reason))
    }

    /// Whether a segment holds a batch with its own offset at its beginning.
    async fn begins(&self, base: i64) -> Result<bool, RecoveryError> {
        let mut reader = SegmentReader::open_at_rest(&segment_path(&self.folder, base, "log"), 0).await?;
        let found = reader.next().await?;
        Ok(matches!(found, Found::Batch { header, .. } if header.base_offset == base))
    }
}

/// Behind the end there may be zeros, or a ghost of an earlier life.
async fn refuse_rest(
    path: &Path,
    reader: &mut SegmentReader,
    end: &LogEnd,
    stopped: Found,
    leader_epoch: i32,
) -> Result<(), RecoveryError> {
    match stopped {
        Found::End => Ok(()),
        Found::Batch { header, .. } | Found::Bad { header: Some(header), .. }
            if header.base_offset == end.next_offset && header.leader_epoch < leader_epoch =>
        {
            Ok(())
        }
        Found::Batch { header, .. } => {
            let (found, epoch) = (header.base_offset, header.leader_epoch);
            let reason = format!(
                "a batch of leader epoch {epoch} with offset {found} stands, after offset {}",
                end.next_offset - 1
            );
            Err(unclear(path, end.end_position, reason))
        }
        // A batch that is not whole was not passed: the reader still stands before it.
        Found::Bad { error, .. } => match reader.first_used_byte().await? {
            None => Ok(()),
            Some(_) => Err(unclear(path, end.end_position, error.to_string())),
        },
    }
}

fn unclear(path: &Path, position: u64, reason: String) -> RecoveryError {
    RecoveryError::UnclearEnd { path: path.display().to_string(), position, reason }
}

pub(crate) async fn segment_bases(folder: &Path) -> Result<Vec<i64>, RecoveryError> {
    if !file::exists(folder).await? {
        return Ok(Vec::new());
    }
    let entries = file::list_folder(folder).await?;
    let mut bases: Vec<i64> = entries.iter().filter_map(|entry| base_offset_of(&entry.name, "log")).collect();
    bases.sort_unstable();
    Ok(bases)
}
