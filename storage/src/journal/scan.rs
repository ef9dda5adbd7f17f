//! Reads a ring as a crash left it. Changes nothing.
//!
//! The writes a recovery needs form a chain: each has the next sequence and stands right behind the one before, or at the
//! beginning of the next file. The chain ends at the first write that is not whole. Whether that is the torn last write of a
//! crash or rot in a write that was acknowledged is told by what lies behind it: a later write, or a table, that states the
//! missing one was complete.

use std::path::{Path, PathBuf};

use runtime::buffer::Buffer;
use runtime::file::{self, Access, Create, File, FileError, OpenOptions};
use uuid::Uuid;

use crate::error::{FormatError, RecoveryError};
use crate::journal::format::{FLAG_WRITTEN, WRITE_HEADER_BYTES, WriteHeader};
use crate::journal::ring::{ring_file_name, table_file_name};
use crate::journal::table::Table;
use crate::limits::{PAGE, page_ceil};

/// Rings are read in pieces of this size.
const WINDOW_BYTES: u64 = 4 << 20;
/// A table of a million partitions; what is larger was not written by us.
const TABLE_BYTES_MAX: u64 = 64 << 20;

/// A whole write of the chain.
#[derive(Clone, Debug)]
pub struct ChainLink {
    pub file: u32,
    pub offset: u64,
    pub header: WriteHeader,
}

/// What a ring holds.
pub struct ScannedRing {
    pub number: u16,
    pub folder: PathBuf,
    pub table: Table,
    pub chain: Vec<ChainLink>,
    reader: Reader,
}

impl ScannedRing {
    /// Finds the newest table and the chain behind it; `None` for a ring whose first table was never durable.
    pub async fn read(folder: &Path, number: u16) -> Result<Option<Self>, RecoveryError> {
        let Some(table) = newest_table(folder).await? else { return Ok(None) };
        let mut reader = Reader::open(folder, &table).await?;
        let (chain, ended_by) = follow(&mut reader, &table).await?;
        let ring = Self { number, folder: folder.to_owned(), table, chain, reader };
        ring.refuse_rot(ended_by).await
    }

    /// The entries of one link, whose checksum was right when the chain was followed.
    pub(crate) async fn entries(&mut self, link: &ChainLink) -> Result<&[u8], FileError> {
        let start = WRITE_HEADER_BYTES;
        let write = self.reader.bytes(link.file, link.offset, link.header.length as usize).await?;
        Ok(&write[start..start + link.header.entries_length as usize])
    }

    /// The sequence after the last whole write.
    pub fn next_sequence(&self) -> u64 {
        self.chain
            .last()
            .map_or(self.table.redo_from_sequence, |link| link.header.sequence + 1)
            .max(self.table.last_sequence + 1)
    }

    /// The file that was being written when the chain ended.
    pub(crate) fn last_file(&self) -> u32 {
        let from_table = (self.table.redo_from_place / self.table.ring_file_bytes) as u32;
        self.chain.last().map_or(from_table, |link| link.file)
    }

    async fn refuse_rot(mut self, ended_by: End) -> Result<Option<Self>, RecoveryError> {
        if self.table.flags & FLAG_WRITTEN != 0 {
            return Ok(Some(self));
        }
        let missing =
            self.chain.last().map_or(self.table.redo_from_sequence, |link| link.header.sequence + 1);
        let proof = if self.table.last_sequence >= missing {
            Some(format!("the checkpoint table names write {}", self.table.last_sequence))
        } else {
            self.later_write(missing).await?.map(|later| format!("write {later} came after it"))
        };
        let Some(proof) = proof else { return Ok(Some(self)) };
        let folder = self.folder.display().to_string();
        let reason = format!("{}; {proof}", ended_by.reason);
        Err(RecoveryError::Rot {
            folder,
            file: ended_by.file,
            offset: ended_by.offset,
            sequence: missing,
            reason,
        })
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
struct End {
    file: u32,
    offset: u64,
    reason: String,
}

async fn follow(reader: &mut Reader, table: &Table) -> Result<(Vec<ChainLink>, End), FileError> {
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

/// The newest valid table of a ring. `None` where no table was ever written; an error where there was one.
async fn newest_table(folder: &Path) -> Result<Option<Table>, RecoveryError> {
    let mut newest: Option<Table> = None;
    let mut was_used = false;
    for slot in 0..2 {
        let path = folder.join(table_file_name(slot));
        if !file::exists(&path).await? {
            continue;
        }
        wait_for_late_writes(&path).await?;
        let bytes = file::read_whole(&path, TABLE_BYTES_MAX as usize).await?;
        match Table::decode(&bytes) {
            Ok(table) if newest.as_ref().is_none_or(|newest| newest.generation < table.generation) => {
                newest = Some(table)
            }
            Ok(_) => {}
            Err(_) => was_used |= bytes.iter().any(|byte| *byte != 0),
        }
    }
    match newest {
        Some(table) => Ok(Some(table)),
        None if was_used && was_written(folder).await? => {
            Err(RecoveryError::TablesLost { folder: folder.display().to_string() })
        }
        None => Ok(None),
    }
}

/// Opens a file once the writes that a killed process left in flight have landed: they come after the process is gone,
/// and would fall on what is written now. Mode 0 of `fallocate` waits for them.
async fn wait_for_late_writes(path: &Path) -> Result<File, FileError> {
    let options = OpenOptions { access: Access::Write, create: Create::Never, durable_writes: false };
    let file = File::open(path, options).await?;
    file.allocate(0, PAGE).await?;
    Ok(file)
}

/// Whether a ring without a table holds any write: then it was in use, and its tables are lost.
async fn was_written(folder: &Path) -> Result<bool, FileError> {
    let path = folder.join(ring_file_name(0));
    if !file::exists(&path).await? {
        return Ok(false);
    }
    let file = File::open(&path, OpenOptions::read()).await?;
    let size = file.size().await?;
    let mut position = 0;
    while position < size {
        let length = WINDOW_BYTES.min(page_ceil(size - position));
        let window = file.read_at(position, length as usize).await?;
        if window.chunks(PAGE as usize).any(|page| WriteHeader::decode(page).is_ok()) {
            return Ok(true);
        }
        position += length;
    }
    Ok(false)
}

/// Reads ring files through a window, so that a chain of small writes costs few reads.
struct Reader {
    files: Vec<File>,
    file_bytes: u64,
    window: Option<(u32, u64, Buffer)>,
}

impl Reader {
    async fn open(folder: &Path, table: &Table) -> Result<Self, FileError> {
        let mut files = Vec::new();
        for number in 0..table.ring_files {
            let path = folder.join(ring_file_name(number));
            files.push(wait_for_late_writes(&path).await?);
        }
        Ok(Self { files, file_bytes: table.ring_file_bytes, window: None })
    }

    /// Bytes of a ring file; what lies beyond its end reads as zeros.
    async fn bytes(&mut self, file: u32, offset: u64, length: usize) -> Result<&[u8], FileError> {
        let end = offset + length as u64;
        let held = self.window.as_ref().is_some_and(|(held, start, window)| {
            *held == file && *start <= offset && end <= *start + window.len() as u64
        });
        if !held {
            let wanted = WINDOW_BYTES
                .max(page_ceil(length as u64))
                .min(self.file_bytes.saturating_sub(offset).max(length as u64));
            let read = self.files[file as usize].read_at(offset, page_ceil(wanted) as usize).await?;
            let read = if (read.len() as u64) < end - offset { padded(&read, length) } else { read };
            self.window = Some((file, offset, read));
        }
        let (_, start, window) = self.window.as_ref().expect("the window was just filled");
        let from = (offset - start) as usize;
        Ok(&window[from..from + length])
    }
}

fn padded(bytes: &[u8], length: usize) -> Buffer {
    let mut buffer = Buffer::zeroed(page_ceil(length as u64) as usize);
    buffer[..bytes.len()].copy_from_slice(bytes);
    buffer
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
