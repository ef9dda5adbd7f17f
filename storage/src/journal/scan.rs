//! Reads a ring as a crash left it. Changes nothing.
//!
//! The writes a recovery needs form a chain: each has the next sequence and stands right behind the one before, or at the
//! beginning of the next file. The chain ends at the first write that is not whole. Whether that is the torn last write of a
//! crash or rot in a write that was acknowledged is told by what lies behind it: a later write, or a table, that states the
//! missing one was complete.
//!
//! A table says where the chain begins. Each write says it too, as it was known when the write began, so that a ring whose
//! newest table is rotten still knows: the chain begins where the older table says, if the ring still holds all from there
//! on, and otherwise where the newest write says. Then the ends of the partitions are older than what the chain builds
//! on, and `Tails` says which of them have to be looked for in the segments.

use std::path::PathBuf;

use runtime::file::FileError;
use runtime::random;
use uuid::Uuid;

use crate::error::{FormatError, RecoveryError};
use crate::journal::format::{Entries, EntryHeader, FLAG_WRITTEN, WRITE_HEADER_BYTES, WriteHeader};
use crate::journal::lost::{as_the_ring_says, follow_over_a_start, unknown_table};
pub use crate::journal::reader::ChainLink;
use crate::journal::reader::{Files, Reader, Shape};
use crate::journal::slots::Slots;
use crate::journal::table::Table;
use crate::limits::PAGE;
use crate::options::StorageOptions;

/// Which ends of a ring's partitions no table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tails {
    /// Table and chain know them all.
    Known,
    /// The table of the last start is lost, or was never finished: a partition that came to the ring with that start may
    /// be in no table.
    Unrecorded,
    /// The table that the chain builds on is lost.
    Lost,
}

/// What a ring holds.
pub struct ScannedRing {
    pub number: u16,
    pub folder: PathBuf,
    pub table: Table,
    pub chain: Vec<ChainLink>,
    pub(crate) tails: Tails,
    /// The other slot holds no table, though one was begun.
    pub(crate) has_only_one_table: bool,
    /// Why a start would refuse the ring; set only where it is to be repaired.
    pub(crate) refused: Option<RecoveryError>,
    reader: Reader,
}

impl ScannedRing {
    /// Finds the newest table and the chain behind it; `None` for a ring whose first table was never durable.
    pub async fn read(options: &StorageOptions, number: u16) -> Result<Option<Self>, RecoveryError> {
        let folder = options.ring_folder(number);
        let write_bytes_max = options.journal_write_bytes_max as u64;
        let slots = Slots::read(&folder).await?;
        let newest = slots.newest();
        let shape = match newest {
            Some(table) => Some(Shape { files: table.ring_files, file_bytes: table.ring_file_bytes }),
            None => match Files::of(&folder, options.ring_files).await? {
                Files::Whole(shape) => Some(shape),
                // Of a ring that a start is only making, files may be missing.
                Files::Lacking(path) if number < options.rings_before && !options.salvage => {
                    return Err(RecoveryError::RingFileLost { path: path.display().to_string() });
                }
                Files::Lacking(_) | Files::Unmade => None,
            },
        };
        let Some(shape) = shape else {
            let lost = RecoveryError::TablesLost { folder: folder.display().to_string() };
            return if slots.are_both_used() && !options.salvage { Err(lost) } else { Ok(None) };
        };
        let mut reader = match Reader::open(&folder, shape).await {
            Err(error) if error.is_not_found() => {
                let lost = RecoveryError::RingFileLost { path: error.path.display().to_string() };
                return if options.salvage { Ok(None) } else { Err(lost) };
            }
            opened => opened?,
        };
        let cut = reader.cut_file().await?.map(|(path, length)| RecoveryError::RingFileCut {
            path: path.display().to_string(),
            length,
            expected: shape.file_bytes,
        });
        let cut = match cut {
            Some(cut) if !options.salvage => return Err(cut),
            cut => cut,
        };
        let has_only_one_table = !slots.are_sound();
        let last_write = match newest {
            Some(_) if !has_only_one_table => None,
            newest => reader.newest_write(newest.map(|table| table.ring)).await?,
        };
        let (table, tails) = match (newest.cloned(), &last_write) {
            (Some(table), Some(last)) if last.header.sequence >= table.redo_from_sequence => {
                if let Some(chain) = follow_over_a_start(&mut reader, &table, last).await? {
                    let is_older = last.header.start_epoch > table.start_epoch;
                    let tails = if is_older { Tails::Unrecorded } else { Tails::Known };
                    let table = Table { start_epoch: last.header.start_epoch, ..table };
                    let refused = cut;
                    let ring =
                        Self { number, folder, table, chain, tails, has_only_one_table, refused, reader };
                    return Ok(Some(ring));
                }
                (as_the_ring_says(&mut reader, last, table, write_bytes_max).await?, Tails::Lost)
            }
            (Some(table), _) => (table, Tails::Known),
            (None, Some(last)) => {
                let table = unknown_table(last.header.ring, shape);
                (as_the_ring_says(&mut reader, last, table, write_bytes_max).await?, Tails::Lost)
            }
            (None, None) if slots.are_both_used() => (unknown_table(random::uuid(), shape), Tails::Lost),
            (None, None) => return Ok(None),
        };
        let (chain, ended_by) = follow(&mut reader, &table).await?;
        let refused = None;
        let mut ring = Self { number, folder, table, chain, tails, has_only_one_table, refused, reader };
        match ring.rot(ended_by, last_write.as_ref()).await? {
            Some(rot) if !options.salvage => Err(rot),
            rot => {
                ring.refused = rot.or(cut);
                Ok(Some(ring))
            }
        }
    }

    /// Gives files that were cut their length back. Only for a repair.
    pub(crate) async fn make_whole(&self) -> Result<(), FileError> {
        self.reader.make_whole().await
    }

    /// The entries of one link, whose checksum was right when the chain was followed.
    pub(crate) async fn entries(&mut self, link: &ChainLink) -> Result<&[u8], FileError> {
        let start = WRITE_HEADER_BYTES;
        let write = self.reader.bytes(link.file, link.offset, link.header.length as usize).await?;
        Ok(&write[start..start + link.header.entries_length as usize])
    }

    /// The entries of whole writes behind the place where the chain broke.
    pub(crate) async fn entries_after_chain(&mut self) -> Result<Vec<EntryHeader>, FileError> {
        let missing = self.next_of_chain();
        let mut found = Vec::new();
        for link in self.reader.headers().await? {
            let ours =
                link.header.ring == self.table.ring && link.header.start_epoch == self.table.start_epoch;
            if ours && link.header.sequence > missing && self.reader.is_whole(&link).await? {
                let entries = Entries::new(self.entries(&link).await?);
                found.extend(entries.map_while(Result::ok).map(|(header, _)| header));
            }
        }
        Ok(found)
    }

    /// The sequence after the last whole write.
    pub fn next_sequence(&self) -> u64 {
        self.next_of_chain().max(self.table.last_sequence + 1)
    }

    fn next_of_chain(&self) -> u64 {
        self.chain.last().map_or(self.table.redo_from_sequence, |link| link.header.sequence + 1)
    }

    /// The file that was being written when the chain ended.
    pub(crate) fn last_file(&self) -> u32 {
        let from_table = (self.table.redo_from_place / self.table.ring_file_bytes) as u32;
        self.chain.last().map_or(from_table, |link| link.file)
    }

    /// What shows that the write at which the chain ends was complete, as an error.
    async fn rot(
        &mut self,
        ended_by: End,
        last: Option<&ChainLink>,
    ) -> Result<Option<RecoveryError>, FileError> {
        if self.table.flags & FLAG_WRITTEN != 0 {
            return Ok(None);
        }
        let missing = self.next_of_chain();
        let unreached = last.filter(|last| {
            last.header.start_epoch == self.table.start_epoch && last.header.sequence >= missing
        });
        let proof = if self.table.last_sequence >= missing {
            Some(format!("the checkpoint table names write {}", self.table.last_sequence))
        } else if let Some(last) = unreached {
            Some(format!("write {} came after it", last.header.sequence))
        } else {
            self.later_write(missing).await?.map(|later| format!("write {later} came after it"))
        };
        let Some(proof) = proof else { return Ok(None) };
        let folder = self.folder.display().to_string();
        let reason = format!("{}; {proof}", ended_by.reason);
        Ok(Some(RecoveryError::Rot {
            folder,
            file: ended_by.file,
            offset: ended_by.offset,
            sequence: missing,
            reason,
        }))
    }

    /// A whole write anywhere in the ring that began when `missing` was complete.
    async fn later_write(&mut self, missing: u64) -> Result<Option<u64>, FileError> {
        for file in 0..self.table.ring_files {
            let mut offset = 0;
            while offset < self.table.ring_file_bytes {
                let bytes = self.reader.bytes(file, offset, PAGE as usize).await?;
                if let Ok(header) = WriteHeader::decode(bytes) {
                    let ours = header.ring == self.table.ring && header.start_epoch == self.table.start_epoch;
                    let in_place = header.file == file && header.file_offset == offset;
                    if ours && in_place && header.sequence > missing && header.durable_sequence >= missing {
                        return Ok(Some(header.sequence));
                    }
                }
                offset += PAGE;
            }
        }
        Ok(None)
    }
}

/// Where and why a chain ended.
pub(super) struct End {
    pub(super) file: u32,
    offset: u64,
    reason: String,
}

/// The chain that a table begins, and where and why it ends.
pub(super) async fn follow(reader: &mut Reader, table: &Table) -> Result<(Vec<ChainLink>, End), FileError> {
    let mut chain = Vec::new();
    let mut sequence = table.redo_from_sequence;
    let mut file = (table.redo_from_place / table.ring_file_bytes) as u32 % table.ring_files;
    let mut offset = table.redo_from_place % table.ring_file_bytes;
    let ring_bytes = u64::from(table.ring_files) * table.ring_file_bytes;
    let mut followed = 0;
    loop {
        let here = if offset < table.ring_file_bytes {
            link_at(reader, table, file, offset, sequence).await?
        } else {
            None
        };
        let next_file = (file + 1) % table.ring_files;
        let reason = match &here {
            Some(Err(error)) => error.to_string(),
            _ => "no write with the next sequence is there".to_owned(),
        };
        let link = match here.and_then(Result::ok) {
            None if offset > 0 => link_at(reader, table, next_file, 0, sequence).await?.and_then(Result::ok),
            here => here,
        };
        let Some(link) = link.filter(|_| followed < ring_bytes) else {
            return Ok((chain, End { file, offset, reason }));
        };
        (file, offset) = (link.file, link.offset + u64::from(link.header.length));
        followed += u64::from(link.header.length);
        sequence += 1;
        chain.push(link);
    }
}

/// The write with this sequence at this place: `None` if something else is there, an error if it is damaged.
async fn link_at(
    reader: &mut Reader,
    table: &Table,
    file: u32,
    offset: u64,
    sequence: u64,
) -> Result<Option<Result<ChainLink, FormatError>>, FileError> {
    let page = reader.bytes(file, offset, PAGE as usize).await?;
    let header = match WriteHeader::decode(page) {
        Ok(header) => header,
        Err(error) => return Ok(Some(Err(error))),
    };
    let expected = (table.ring, table.start_epoch, sequence, file, offset);
    if (header.ring, header.start_epoch, header.sequence, header.file, header.file_offset) != expected {
        return Ok(None);
    }
    if offset + u64::from(header.length) > table.ring_file_bytes {
        return Ok(None);
    }
    let write = reader.bytes(file, offset, header.length as usize).await?;
    let entries = &write[WRITE_HEADER_BYTES..WRITE_HEADER_BYTES + header.entries_length as usize];
    Ok(Some(header.check_entries(entries).map(|()| ChainLink { file, offset, header })))
}

/// What a new ring's table begins with.
pub(crate) fn first_table(ring: Uuid, flags: u16, ring_files: u32, ring_file_bytes: u64) -> Table {
    Table {
        flags,
        ring,
        start_epoch: 0,
        generation: 0,
        last_sequence: 0,
        redo_from_sequence: 1,
        redo_from_place: 0,
        ring_files,
        ring_file_bytes,
        records: Vec::new(),
    }
}
