//! The catalog's log on the disk. Shard 0 alone opens it.
//!
//! One file holds a snapshot and the changes since: `data/catalog/<index of the snapshot, 20 digits>.catalog`. Each record
//! begins on a fresh 4 KiB page and is written durably (O_DSYNC) before the next one, so a write that is torn hurts no
//! record but itself. When the changes outgrow the snapshot, a new file with a new snapshot takes its place: written
//! under another name, flushed, renamed, the folder flushed, the old file removed.
//!
//! ```text
//!  0        4         6      8         12         16       24      32        40              60      64
//!  +--------+---------+------+---------+----------+--------+-------+---------+---------------+-------+---------+------+
//!  | magic  | version | kind | payload | reserved | index  | term  | time ms | reserved      | crc32 | payload | zeros|
//!  | CCAT   | 2       | 2    | length 4| 4 (zero) | 8      | 8     | 8       | 20 (zero)     | 4     |         | to 4K|
//!  +--------+---------+------+---------+----------+--------+-------+---------+---------------+-------+---------+------+
//! ```
//! Little-endian; the crc32 (crc32fast) covers bytes 0..60 and the payload. Kinds: 1 snapshot, 2 change.
//!
//! Failures:
//! - A torn last record was never acknowledged: it is dropped and its pages are zeroed. A bad record that a readable one
//!   follows is rot: the start is refused, nothing is changed.
//! - Space is allocated before a record is written, so a full disk refuses a change cleanly and may be tried again.
//! - After a failed write nobody knows what the disk holds: no change is taken until a restart has read it.
//! - A write of a killed process may land after its death: allocating (which waits for writes under way) comes before
//!   reading.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use runtime::buffer::{Buffer, PAGE_BYTES};
use runtime::file::{self, Access, Create, File, FileError, OpenOptions};
use thiserror::Error;

use super::codec::{CatalogFormatError, Decoder, Encoder};
use super::record::{Change, Record};
use super::snapshot;
use super::state::{ApplyError, Catalog};
use crate::limits;

const MAGIC: [u8; 4] = *b"CCAT";
const VERSION: u16 = 1;
const KIND_SNAPSHOT: u16 = 1;
const KIND_CHANGE: u16 = 2;
const CHECKED_BYTES: usize = 60;
const RECORD_HEADER_BYTES: usize = 64;
const PAGE: u64 = PAGE_BYTES as u64;

const FOLDER: &str = "catalog";
const ENDING: &str = ".catalog";
const ENDING_UNFINISHED: &str = ".catalog-unfinished";

/// Space is taken in such steps, so that most records need no new block of the file system.
const ALLOCATION_STEP_BYTES: u64 = 256 << 10;
/// A log is not rewritten before its changes take so much, however small the snapshot.
const REWRITE_BYTES_MIN: u64 = 4 << 20;

/// Why the catalog cannot be read or written.
#[derive(Debug, Error)]
pub enum CatalogLogError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{path}: the record at byte {position} is damaged ({reason}) although it was complete. Nothing was changed"
    )]
    Rot { path: String, position: u64, reason: String },
    #[error("{path}: the record at byte {position} is not understood: {source}")]
    Format { path: String, position: u64, source: CatalogFormatError },
    #[error("{path}: {source}")]
    Apply { path: String, source: ApplyError },
    #[error(
        "{folder} holds no catalog, but the data folder was used: its {found} would be orphans. Nothing was changed"
    )]
    Missing { folder: String, found: &'static str },
    #[error("a record of {bytes} bytes is above the catalog's limit of {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("an earlier write failed: {reason}")]
    Poisoned { reason: String },
}

impl CatalogLogError {
    /// The disk is full; the same may succeed later.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::File(error) if error.is_out_of_space())
    }
}

/// The log, open for writing. One write is under way at a time.
pub struct CatalogLog {
    folder: PathBuf,
    file: File,
    /// Where the next record goes.
    end: u64,
    /// The file has space up to here.
    allocated: u64,
    /// Size of the snapshot the file begins with.
    snapshot_bytes: u64,
    /// Set by the first failed write.
    poisoned: Option<String>,
}

/// What a start finds.
pub struct LoadedCatalog {
    pub log: CatalogLog,
    pub catalog: Catalog,
}

impl CatalogLog {
    /// Opens the catalog of a data folder, or makes an empty one where nothing was ever stored.
    pub async fn open(data: &Path, now_ms: i64) -> Result<LoadedCatalog, CatalogLogError> {
        let folder = data.join(FOLDER);
        let Some(path) = find(data).await? else {
            file::create_folder_all(&folder).await?;
            file::sync_folder(data).await?;
            let catalog = Catalog::default();
            let log = Self::create(folder, &catalog, now_ms).await?;
            return Ok(LoadedCatalog { log, catalog });
        };
        // The folder's name may be that of a process that was killed before it flushed it.
        file::sync_folder(data).await?;
        let loaded = Self::load(folder, &path).await?;
        remove_others(&loaded.log.folder, &path).await?;
        Ok(loaded)
    }

    /// The state as a stopped broker left it, an empty one where its first start was cut off before it made one. Changes
    /// nothing: a torn last record stays where it is.
    pub async fn read(data: &Path) -> Result<Catalog, CatalogLogError> {
        let Some(path) = find(data).await? else { return Ok(Catalog::default()) };
        let file = File::open(&path, OpenOptions::read()).await?;
        let size = file.size().await?.next_multiple_of(PAGE);
        if size > limits::CATALOG_FILE_BYTES_MAX {
            let reason = format!("the file has {size} bytes, more than a catalog ever takes");
            return Err(rot(&path, 0, &reason));
        }
        Ok(replay(&path, &read_all(&file, size).await?)?.catalog)
    }

    /// A new file that begins with the state as it is.
    async fn create(folder: PathBuf, catalog: &Catalog, now_ms: i64) -> Result<Self, CatalogLogError> {
        let name = format!("{:020}", catalog.revision());
        let unfinished = folder.join(format!("{name}{ENDING_UNFINISHED}"));
        let finished = folder.join(format!("{name}{ENDING}"));
        if file::exists(&unfinished).await? {
            file::remove_file(&unfinished).await?;
        }
        let file = open(&unfinished, Create::New).await?;
        let bytes = encode_record(KIND_SNAPSHOT, catalog.revision(), 0, now_ms, &snapshot::encode(catalog))?;
        let snapshot_bytes = bytes.len() as u64;
        let mut log = Self { folder, file, end: 0, allocated: 0, snapshot_bytes, poisoned: None };
        log.write(bytes).await?;
        log.file.datasync().await?;
        file::rename(&unfinished, &finished).await?;
        file::sync_folder(&log.folder).await?;
        Ok(log)
    }

    async fn load(folder: PathBuf, path: &Path) -> Result<LoadedCatalog, CatalogLogError> {
        let file = open(path, Create::Never).await?;
        file::wait_for_late_writes(&file).await?;
        // Name and size may be those of a process that was killed before it flushed them.
        file.datasync().await?;
        file::sync_folder(&folder).await?;
        let size = file.size().await?.next_multiple_of(PAGE);
        if size > limits::CATALOG_FILE_BYTES_MAX {
            let reason = format!("the file has {size} bytes, more than a catalog ever takes");
            return Err(rot(path, 0, &reason));
        }
        let bytes = read_all(&file, size).await?;
        let Replayed { catalog, snapshot_bytes, end } = replay(path, &bytes)?;
        let at = usize::try_from(end).expect("a catalog file is far below the address space");
        if bytes[at.min(bytes.len())..].iter().any(|byte| *byte != 0) {
            file.zero_range(end, size - end).await?;
            file.datasync().await?;
        }
        let log = Self { folder, file, end, allocated: size, snapshot_bytes, poisoned: None };
        Ok(LoadedCatalog { log, catalog })
    }

    /// Writes the records, durably. All or none of them are in the log, unless the error says that nobody knows.
    pub async fn append(&mut self, records: &[Record]) -> Result<(), CatalogLogError> {
        if let Some(reason) = &self.poisoned {
            return Err(CatalogLogError::Poisoned { reason: reason.clone() });
        }
        let mut bytes = Vec::new();
        for record in records {
            let mut payload = Encoder::default();
            record.change.encode(&mut payload);
            let payload = payload.into_bytes();
            bytes.extend(encode_record(KIND_CHANGE, record.index, record.term, record.time_ms, &payload)?);
        }
        self.write(bytes).await
    }

    /// Begins a new file if the changes take more than the state does. The state must be that of the last record. An
    /// error leaves the old file in use.
    pub async fn rewrite_if_large(&mut self, catalog: &Catalog, now_ms: i64) -> Result<(), CatalogLogError> {
        let changes = self.end - self.snapshot_bytes;
        if self.poisoned.is_some() || changes < REWRITE_BYTES_MIN.max(2 * self.snapshot_bytes) {
            return Ok(());
        }
        *self = Self::create(self.folder.clone(), catalog, now_ms).await?;
        let kept = self.folder.join(format!("{:020}{ENDING}", catalog.revision()));
        remove_others(&self.folder, &kept).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), CatalogLogError> {
        let length = bytes.len() as u64;
        assert!(length.is_multiple_of(PAGE), "records fill whole pages, not {length} bytes");
        if self.end + length > limits::CATALOG_FILE_BYTES_MAX {
            let limit = limits::CATALOG_FILE_BYTES_MAX as usize;
            return Err(CatalogLogError::TooLarge { bytes: bytes.len(), limit });
        }
        if self.end + length > self.allocated {
            let wanted = (self.end + length).next_multiple_of(ALLOCATION_STEP_BYTES);
            self.file.allocate(self.allocated, wanted - self.allocated).await?;
            // The new size has to be as durable as the records in it.
            self.file.datasync().await.inspect_err(|error| self.poisoned = Some(error.to_string()))?;
            self.allocated = wanted;
        }
        let mut buffer = Buffer::zeroed(bytes.len());
        buffer.copy_from_slice(&bytes);
        let written = self.file.write_at(Rc::new(buffer), self.end).await;
        written.inspect_err(|error| self.poisoned = Some(error.to_string()))?;
        self.end += length;
        Ok(())
    }
}

/// What the records of a file come to.
struct Replayed {
    catalog: Catalog,
    snapshot_bytes: u64,
    /// Behind the last whole record.
    end: u64,
}

/// Applies the records of a file. A bad one that a whole one follows is rot, the last one may be torn.
fn replay(path: &Path, bytes: &[u8]) -> Result<Replayed, CatalogLogError> {
    let (mut catalog, snapshot_bytes) = read_snapshot(path, bytes)?;
    let mut end = snapshot_bytes;
    loop {
        let at = usize::try_from(end).expect("a catalog file is far below the address space");
        let reason = match parse_record(&bytes[at.min(bytes.len())..]) {
            Ok(raw) => {
                let record = decode_change(path, end, &raw)?;
                let path = path.display().to_string();
                catalog.apply(&record).map_err(|source| CatalogLogError::Apply { path, source })?;
                end += raw.bytes;
                continue;
            }
            Err(reason) => reason,
        };
        if let Some(later) = later_record(bytes, at, catalog.revision()) {
            let reason = format!("{reason}, and a whole record follows at byte {later}");
            return Err(rot(path, end, &reason));
        }
        return Ok(Replayed { catalog, snapshot_bytes, end });
    }
}

/// One record as found, its checksum right.
struct RawRecord<'a> {
    kind: u16,
    index: u64,
    term: u64,
    time_ms: i64,
    payload: &'a [u8],
    /// Whole pages.
    bytes: u64,
}

fn encode_record(
    kind: u16,
    index: u64,
    term: u64,
    time_ms: i64,
    payload: &[u8],
) -> Result<Vec<u8>, CatalogLogError> {
    let limit = limits::CATALOG_RECORD_BYTES_MAX;
    if payload.len() > limit {
        return Err(CatalogLogError::TooLarge { bytes: payload.len(), limit });
    }
    let length = u32::try_from(payload.len()).expect("the limit of a record is below 2^32");
    let mut bytes = Vec::with_capacity((RECORD_HEADER_BYTES + payload.len()).next_multiple_of(PAGE_BYTES));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&index.to_le_bytes());
    bytes.extend_from_slice(&term.to_le_bytes());
    bytes.extend_from_slice(&time_ms.to_le_bytes());
    bytes.extend_from_slice(&[0; CHECKED_BYTES - 40]);
    let crc = checksum(&bytes, payload);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
    Ok(bytes)
}

fn checksum(checked: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(checked);
    hasher.update(payload);
    hasher.finalize()
}

/// The record at the beginning of `bytes`, or what is wrong with it.
fn parse_record(bytes: &[u8]) -> Result<RawRecord<'_>, String> {
    let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
        return Err("the file ends".to_owned());
    };
    let number = |at: usize, length: usize| {
        header[at..at + length].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    if header[..4] != MAGIC {
        return Err("no record begins there".to_owned());
    }
    let length = number(8, 4) as usize;
    if length > limits::CATALOG_RECORD_BYTES_MAX || length > rest.len() {
        return Err(format!("its length of {length} goes beyond the file"));
    }
    let payload = &rest[..length];
    let (found, computed) = (number(CHECKED_BYTES, 4) as u32, checksum(&header[..CHECKED_BYTES], payload));
    if found != computed {
        return Err(format!("its checksum is {found:#010x}, its bytes give {computed:#010x}"));
    }
    if number(4, 2) != u64::from(VERSION) {
        return Err(format!("it has version {}, this broker knows {VERSION}", number(4, 2)));
    }
    Ok(RawRecord {
        kind: number(6, 2) as u16,
        index: number(16, 8),
        term: number(24, 8),
        time_ms: number(32, 8) as i64,
        payload,
        bytes: (RECORD_HEADER_BYTES + length).next_multiple_of(PAGE_BYTES) as u64,
    })
}

fn read_snapshot(path: &Path, bytes: &[u8]) -> Result<(Catalog, u64), CatalogLogError> {
    // The file got its name after the snapshot was durable, so a bad one is never a torn one.
    let raw = parse_record(bytes).map_err(|reason| rot(path, 0, &reason))?;
    if raw.kind != KIND_SNAPSHOT {
        return Err(rot(path, 0, "it is no snapshot"));
    }
    let catalog = snapshot::decode(raw.payload, raw.index).map_err(|source| format_error(path, 0, source))?;
    Ok((catalog, raw.bytes))
}

fn decode_change(path: &Path, position: u64, raw: &RawRecord<'_>) -> Result<Record, CatalogLogError> {
    if raw.kind != KIND_CHANGE {
        return Err(rot(path, position, &format!("kind {} is no change", raw.kind)));
    }
    let mut from = Decoder::new(raw.payload);
    let decoded = Change::decode(&mut from).and_then(|change| from.end().map(|()| change));
    let change = decoded.map_err(|source| format_error(path, position, source))?;
    Ok(Record { index: raw.index, term: raw.term, time_ms: raw.time_ms, change })
}

/// The position of a whole record behind a bad one, which shows that the bad one had been complete.
fn later_record(bytes: &[u8], bad: usize, revision: u64) -> Option<usize> {
    let pages = (bad + PAGE_BYTES..bytes.len()).step_by(PAGE_BYTES);
    pages.into_iter().find(|&at| parse_record(&bytes[at..]).is_ok_and(|raw| raw.index > revision))
}

async fn open(path: &Path, create: Create) -> Result<File, FileError> {
    File::open(path, OpenOptions { access: Access::Write, create, durable_writes: true }).await
}

async fn read_all(file: &File, size: u64) -> Result<Vec<u8>, FileError> {
    const READ_BYTES: u64 = 1 << 20;
    let mut bytes = Vec::new();
    let mut position = 0;
    while position < size {
        let length = READ_BYTES.min(size - position);
        bytes.extend_from_slice(&file.read_at(position, length as usize).await?);
        position += length;
    }
    bytes.resize(size as usize, 0);
    Ok(bytes)
}

/// The catalog's file; `None` in a data folder where nothing was ever stored.
async fn find(data: &Path) -> Result<Option<PathBuf>, CatalogLogError> {
    let folder = data.join(FOLDER);
    if file::exists(&folder).await?
        && let Some(path) = newest(&folder).await?
    {
        return Ok(Some(path));
    }
    for found in ["topics", "journal"] {
        if file::exists(&data.join(found)).await? {
            return Err(CatalogLogError::Missing { folder: folder.display().to_string(), found });
        }
    }
    Ok(None)
}

/// The finished file with the highest index: an older one is left over where a rewrite was cut off before its removal.
async fn newest(folder: &Path) -> Result<Option<PathBuf>, FileError> {
    let entries = file::list_folder(folder).await?;
    let finished = entries.into_iter().filter(|entry| !entry.is_folder && entry.name.ends_with(ENDING));
    Ok(finished.map(|entry| entry.name).max().map(|name| folder.join(name)))
}

/// Removes every other file of the catalog.
async fn remove_others(folder: &Path, kept: &Path) -> Result<(), CatalogLogError> {
    let mut removed = false;
    for entry in file::list_folder(folder).await? {
        let path = folder.join(&entry.name);
        let ours = entry.name.ends_with(ENDING) || entry.name.ends_with(ENDING_UNFINISHED);
        if ours && path != kept {
            file::remove_file(&path).await?;
            removed = true;
        }
    }
    if removed {
        file::sync_folder(folder).await?;
    }
    Ok(())
}

fn rot(path: &Path, position: u64, reason: &str) -> CatalogLogError {
    CatalogLogError::Rot { path: path.display().to_string(), position, reason: reason.to_owned() }
}

fn format_error(path: &Path, position: u64, source: CatalogFormatError) -> CatalogLogError {
    CatalogLogError::Format { path: path.display().to_string(), position, source }
}
