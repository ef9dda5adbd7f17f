//! Brings a data folder from whatever a crash left to logs that end where the last acknowledgement says.
//!
//! On one shard, before any store is opened: (1) read every ring, whoever owned it, and refuse to go on where one is
//! rotten: nothing has been changed then; (2) put the entries' bytes back into the segments; (3) write, into the ring of
//! every shard of this start, a table with an empty ring and a new start epoch. Rings that no shard owns stay until the
//! caller has made the placement of this start durable and says so ([`remove_spare_rings`]): only then is it known, without
//! looking, which rings the next start has to find.
//!
//! Idempotent until (3). A crash within (3) is harmless because each new table holds the partitions that its ring held
//! before beside those it is given: wherever a partition's end was known, it is still known, and the table of the higher
//! start epoch, then the higher offset, is believed.
//!
//! Its cost is bounded by the rings, not by the data or the number of partitions.

use std::collections::{BTreeMap, BTreeSet};

use runtime::executor::ShardId;
use runtime::file::{self, FileError};
use runtime::sync::Semaphore;
use runtime::task;

use crate::error::RecoveryError;
use crate::journal::format::{Entries, FLAG_WRITTEN};
use crate::journal::ring::{self, RingState, flags_of, table_file_name};
use crate::journal::scan::{ChainLink, ScannedRing, first_table};
use crate::journal::table::{Table, TableRecord};
use crate::log::LogEnd;
use crate::options::{Durability, PartitionSpec, PartitionUid, StorageOptions};
use crate::redo::Redo;
use crate::tails;

/// Bytes of entries gathered before they are written to the segments: at least so many, and up to half of the shard's
/// memory, of which nothing else is used yet. The fewer rounds, the fewer times a segment is opened.
const GATHERED_BYTES_MIN: usize = 64 << 20;
/// Partitions written at once.
const REDO_IN_FLIGHT: usize = 32;

/// What one shard goes on with.
#[derive(Clone, Debug)]
pub struct ShardRecovery {
    pub(crate) ring: RingState,
    pub(crate) partitions: Vec<(PartitionSpec, LogEnd)>,
}

/// What recovery found and made.
#[derive(Clone, Debug)]
pub struct Recovery {
    pub shards: Vec<ShardRecovery>,
    /// The last stop left nothing to redo.
    pub clean: bool,
    pub journal_writes_redone: u64,
}

/// Recovers the data folder for this many shards. `uid_limit` is the first uid that the catalog has never given.
pub async fn recover(
    options: &StorageOptions,
    shards: u16,
    partitions: &[PartitionSpec],
    uid_limit: PartitionUid,
) -> Result<Recovery, RecoveryError> {
    let (mut rings, bare) = read_rings(options).await?;
    let mut ends = newest_ends(&rings, uid_limit)?;
    let closings = tails::find(options, &mut rings, &bare, partitions, shards, &mut ends).await?;
    closings.apply(options.durability == Durability::Fsync).await?;
    let mut redone = 0;
    for ring in &mut rings {
        redone += redo_ring(options, ring, partitions, &mut ends, uid_limit).await?;
    }
    let ends: BTreeMap<u64, LogEnd> =
        ends.into_iter().map(|(uid, (_, end))| (uid, end.within_its_end())).collect();
    let start_epoch = rings.iter().map(|ring| ring.table.start_epoch).max().unwrap_or(0) + 1;
    let mut shard_recoveries = Vec::new();
    for number in 0..shards {
        let held = rings.iter().find(|ring| ring.number == number);
        let ring = begin_ring(options, number, held, start_epoch, partitions, &ends).await?;
        let own = partitions.iter().filter(|spec| spec.shard == ShardId(number));
        let partitions = own.map(|spec| (spec.clone(), end_of(&ends, spec.uid))).collect();
        shard_recoveries.push(ShardRecovery { ring, partitions });
    }
    Ok(Recovery { shards: shard_recoveries, clean: redone == 0, journal_writes_redone: redone })
}

/// Removes the rings that no shard of this start owns. Only when the placement of this start is durable: until then the
/// next start has to find them.
pub async fn remove_spare_rings(options: &StorageOptions, shards: u16) -> Result<(), FileError> {
    let folder = options.rings_folder();
    let names: Vec<String> = file::list_folder(&folder).await?.into_iter().map(|entry| entry.name).collect();
    for left_over in names.iter().filter(|name| name.ends_with(SPARE)) {
        file::remove_folder_all(&folder.join(left_over)).await?;
    }
    for spare in names.iter().filter_map(|name| name.parse().ok()).filter(|number| *number >= shards) {
        remove_ring(options, spare).await?;
    }
    Ok(())
}

/// What the folder of a ring is called while it is removed.
const SPARE: &str = ".spare";

/// Removes what there is of a ring. The folder is renamed first, so that half a ring is never taken for one.
async fn remove_ring(options: &StorageOptions, number: u16) -> Result<(), FileError> {
    let (ring, doomed) =
        (options.ring_folder(number), options.rings_folder().join(format!("{number}{SPARE}")));
    if file::exists(&doomed).await? {
        file::remove_folder_all(&doomed).await?;
    }
    file::rename(&ring, &doomed).await?;
    file::sync_folder(&options.rings_folder()).await?;
    file::remove_folder_all(&doomed).await
}

fn end_of(ends: &BTreeMap<u64, LogEnd>, uid: PartitionUid) -> LogEnd {
    ends.get(&uid.0).cloned().unwrap_or(LogEnd::EMPTY)
}

/// The numbers of the rings that are there.
pub(crate) async fn ring_numbers(options: &StorageOptions) -> Result<Vec<u16>, FileError> {
    let folder = options.rings_folder();
    if !file::exists(&folder).await? {
        return Ok(Vec::new());
    }
    let entries = file::list_folder(&folder).await?;
    let mut numbers: Vec<u16> = entries.iter().filter_map(|entry| entry.name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// All rings, and the numbers of those that were never begun.
pub(crate) async fn read_rings(
    options: &StorageOptions,
) -> Result<(Vec<ScannedRing>, Vec<u16>), RecoveryError> {
    let numbers = ring_numbers(options).await?;
    let mut bare = Vec::new();
    let mut rings = Vec::new();
    for number in numbers {
        let folder = options.ring_folder(number);
        let Some(ring) = ScannedRing::read(options, number).await? else {
            bare.push(number);
            continue;
        };
        if ring.table.flags != flags_of(options.durability) && !ring.chain.is_empty() {
            let name = |written: bool| if written { "--durability written" } else { "--durability fsync" };
            return Err(RecoveryError::DurabilityChanged {
                folder: folder.display().to_string(),
                found: name(ring.table.flags & FLAG_WRITTEN != 0),
                expected: name(options.durability == Durability::Written),
            });
        }
        rings.push(ring);
    }
    for number in lost_rings(options, &rings) {
        if !options.salvage {
            return Err(RecoveryError::RingLost {
                folder: options.ring_folder(number).display().to_string(),
            });
        }
        if !bare.contains(&number) {
            bare.push(number);
        }
    }
    Ok((rings, bare))
}

/// The rings that the last start left and that are not there. One that is gone would pass for one that is new, and all that
/// it acknowledged for never written.
pub(crate) fn lost_rings(options: &StorageOptions, rings: &[ScannedRing]) -> Vec<u16> {
    (0..options.rings_before).filter(|number| rings.iter().all(|ring| ring.number != *number)).collect()
}

/// Ends by uid, each with the start epoch of the ring that is believed for it.
pub(crate) type Ends = BTreeMap<u64, (u64, LogEnd)>;

/// The newest record of each partition. A ring that a partition has left may still hold an older one with the same end: then
/// the one of the later segment is newer. A start never falls, so the highest is right whoever names it.
pub(crate) fn newest_ends(rings: &[ScannedRing], uid_limit: PartitionUid) -> Result<Ends, RecoveryError> {
    let mut ends = Ends::new();
    for ring in rings {
        for record in &ring.table.records {
            refuse_unknown(ring, record.uid, uid_limit)?;
            let candidate = (ring.table.start_epoch, log_end(record));
            let age = |(epoch, end): &(u64, LogEnd)| (*epoch, end.next_offset, end.segment_base);
            let known = ends.entry(record.uid).or_insert_with(|| candidate.clone());
            let log_start = known.1.log_start.max(record.log_start);
            if age(&candidate) > age(known) {
                *known = candidate;
            }
            known.1.log_start = log_start;
        }
    }
    Ok(ends)
}

fn refuse_unknown(ring: &ScannedRing, uid: u64, uid_limit: PartitionUid) -> Result<(), RecoveryError> {
    if uid < uid_limit.0 {
        return Ok(());
    }
    Err(RecoveryError::UnknownPartition { folder: ring.folder.display().to_string(), uid: PartitionUid(uid) })
}

fn log_end(record: &TableRecord) -> LogEnd {
    LogEnd {
        segment_base: record.segment_base,
        end_position: record.end_position,
        next_offset: record.next_offset,
        log_start: record.log_start,
    }
}

/// Puts the bytes of a ring's chain back. Returns the number of writes in it.
async fn redo_ring(
    options: &StorageOptions,
    ring: &mut ScannedRing,
    partitions: &[PartitionSpec],
    ends: &mut Ends,
    uid_limit: PartitionUid,
) -> Result<u64, RecoveryError> {
    let folders: BTreeMap<u64, &PartitionSpec> = partitions.iter().map(|spec| (spec.uid.0, spec)).collect();
    let epoch = ring.table.start_epoch;
    let gathered_bytes_max = GATHERED_BYTES_MIN.max(options.memory_bytes / 2);
    let mut redos: BTreeMap<u64, Redo> = BTreeMap::new();
    let mut gathered = 0;
    for link in ring.chain.clone() {
        gathered += gather(ring, &link, &folders, ends, uid_limit, &mut redos).await?;
        if gathered >= gathered_bytes_max {
            redos = write_all(options, &folders, redos).await?;
            gathered = 0;
        }
    }
    redos = write_all(options, &folders, redos).await?;
    sync_parents(options, redos.keys().map(|uid| folders[uid])).await?;
    for (uid, redo) in redos {
        redo.check(&options.partition_folder(&folders[&uid].folder)).await?;
        ends.insert(uid, (epoch, redo.end));
    }
    Ok(ring.chain.len() as u64)
}

/// Takes the entries of one write. Returns how many bytes they hold.
async fn gather(
    ring: &mut ScannedRing,
    link: &ChainLink,
    folders: &BTreeMap<u64, &PartitionSpec>,
    ends: &mut Ends,
    uid_limit: PartitionUid,
    redos: &mut BTreeMap<u64, Redo>,
) -> Result<usize, RecoveryError> {
    let epoch = ring.table.start_epoch;
    let mut gathered = 0;
    let entries = ring.entries(link).await?.to_vec();
    for entry in Entries::new(&entries) {
        let (header, bytes) = entry.map_err(|error| RecoveryError::Rot {
            folder: ring.folder.display().to_string(),
            file: link.file,
            offset: link.offset,
            sequence: link.header.sequence,
            reason: error.to_string(),
        })?;
        refuse_unknown(ring, header.uid, uid_limit)?;
        let (believed, end) = ends.entry(header.uid).or_insert((epoch, LogEnd::EMPTY));
        if !folders.contains_key(&header.uid) || epoch < *believed {
            continue;
        }
        let redo = redos.entry(header.uid).or_insert_with(|| Redo::new(end.clone()));
        redo.take(&header, bytes);
        gathered += bytes.len();
    }
    Ok(gathered)
}

/// What a recovery would come to, without writing anything: each partition with its end and with the bytes that its
/// segments lack. Takes as much memory as the rings hold.
pub(crate) async fn redo_in_memory(
    options: &StorageOptions,
    rings: &mut [ScannedRing],
    partitions: &[PartitionSpec],
    shards: u16,
    uid_limit: PartitionUid,
) -> Result<BTreeMap<u64, Redo>, RecoveryError> {
    let folders: BTreeMap<u64, &PartitionSpec> = partitions.iter().map(|spec| (spec.uid.0, spec)).collect();
    let mut ends = newest_ends(rings, uid_limit)?;
    let closings = tails::find(options, rings, &[], partitions, shards, &mut ends).await?;
    let mut redos = BTreeMap::new();
    for ring in rings.iter_mut() {
        for link in ring.chain.clone() {
            gather(ring, &link, &folders, &mut ends, uid_limit, &mut redos).await?;
        }
        let epoch = ring.table.start_epoch;
        for (uid, redo) in &redos {
            let (believed, end) = ends.entry(*uid).or_insert((epoch, LogEnd::EMPTY));
            (*believed, *end) = (epoch.max(*believed), redo.end.clone());
        }
    }
    for (uid, (_, end)) in ends {
        let redo = redos.entry(uid).or_insert_with(|| Redo::new(end));
        redo.end = redo.end.clone().within_its_end();
    }
    for (uid, segment_base, end) in closings.complete() {
        if let Some(redo) = redos.get_mut(&uid) {
            redo.note_complete(segment_base, end);
        }
    }
    Ok(redos)
}

/// Makes the folders above those of the partitions durable, each once.
async fn sync_parents(
    options: &StorageOptions,
    specs: impl Iterator<Item = &PartitionSpec>,
) -> Result<(), RecoveryError> {
    let mut parents = BTreeSet::new();
    for spec in specs {
        parents.extend(spec.folder.ancestors().skip(1).map(|parent| options.partition_folder(parent)));
    }
    for parent in parents {
        file::sync_folder(&parent).await?;
    }
    Ok(())
}

/// Writes what was gathered, many partitions at once.
async fn write_all(
    options: &StorageOptions,
    folders: &BTreeMap<u64, &PartitionSpec>,
    redos: BTreeMap<u64, Redo>,
) -> Result<BTreeMap<u64, Redo>, RecoveryError> {
    let window = Semaphore::new(REDO_IN_FLIGHT);
    let durable_writes = options.durability == Durability::Fsync;
    let mut under_way = Vec::with_capacity(redos.len());
    for (uid, mut redo) in redos {
        let permit = window.acquire(1).await;
        let folder = options.partition_folder(&folders[&uid].folder);
        under_way.push(task::spawn(async move {
            let outcome = redo.write(&folder, durable_writes).await;
            drop(permit);
            outcome.map(|()| (uid, redo))
        }));
    }
    let mut written = BTreeMap::new();
    for one in under_way {
        let (uid, redo) = one.await?;
        written.insert(uid, redo);
    }
    Ok(written)
}

/// Gives a ring a table that leaves it empty, in a new start epoch. A ring that does not exist yet is made first.
async fn begin_ring(
    options: &StorageOptions,
    number: u16,
    held: Option<&ScannedRing>,
    start_epoch: u64,
    partitions: &[PartitionSpec],
    ends: &BTreeMap<u64, LogEnd>,
) -> Result<RingState, RecoveryError> {
    let (before, next_sequence, next_file) = match held {
        Some(ring) => {
            if options.salvage {
                ring.make_whole().await?;
            }
            (ring.table.clone(), ring.next_sequence(), (ring.last_file() + 1) % ring.table.ring_files)
        }
        None => {
            // What is left of a ring that is given up must not be believed if this is cut off: files of a new ring beside
            // tables of the old one, or zeros in one file beside writes in another.
            if options.salvage && file::exists(&options.ring_folder(number)).await? {
                remove_ring(options, number).await?;
            }
            let uuid = ring::create(options, number).await?;
            (
                first_table(uuid, flags_of(options.durability), options.ring_files, options.ring_file_bytes),
                1,
                0,
            )
        }
    };
    let mut uids: BTreeSet<u64> =
        partitions.iter().filter(|spec| spec.shard == ShardId(number)).map(|spec| spec.uid.0).collect();
    let known: BTreeSet<u64> = partitions.iter().map(|spec| spec.uid.0).collect();
    uids.extend(before.records.iter().map(|record| record.uid).filter(|uid| known.contains(uid)));
    if let Some(ring) = held {
        uids.extend(ends.keys().filter(|uid| known.contains(*uid) && !ring.chain.is_empty()));
    }
    let epochs: BTreeMap<u64, i32> = partitions.iter().map(|spec| (spec.uid.0, spec.leader_epoch)).collect();
    let next_place = u64::from(next_file) * before.ring_file_bytes;
    let table = Table {
        flags: flags_of(options.durability),
        start_epoch,
        generation: before.generation + 1,
        last_sequence: next_sequence - 1,
        redo_from_sequence: next_sequence,
        redo_from_place: next_place,
        records: uids.into_iter().map(|uid| record_of(uid, &epochs, ends)).collect(),
        ..before
    };
    ring::restore_slots(options, number).await?;
    let slot = options.ring_folder(number).join(table_file_name(table.generation % 2));
    let file = ring::open_for_writing(&slot, options.durability).await?;
    ring::write_table(&file, &table).await?;
    file.close().await?;
    Ok(RingState {
        uuid: table.ring,
        start_epoch,
        next_sequence,
        next_place,
        generation: table.generation,
        ring_files: table.ring_files,
        ring_file_bytes: table.ring_file_bytes,
    })
}

fn record_of(uid: u64, epochs: &BTreeMap<u64, i32>, ends: &BTreeMap<u64, LogEnd>) -> TableRecord {
    let end = end_of(ends, PartitionUid(uid));
    TableRecord {
        uid,
        leader_epoch: epochs.get(&uid).copied().unwrap_or(0),
        segment_base: end.segment_base,
        end_position: end.end_position,
        next_offset: end.next_offset,
        log_start: end.log_start,
    }
}
