//! The files of one ring and the space in them. Owned by its shard's journal writer; the checkpointer frees.
//!
//! Places are counted without end (`logical`), lap after lap; the place in the files is the remainder. A write never
//! crosses a file's end: what does not fit begins the next file.
//!
//! **Invariant**: no byte at or after the redo-from place of the newest durable table is overwritten.

use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;

use runtime::buffer::Buffer;
use runtime::file::{self, Access, Create, File, FileError, OpenOptions};
use runtime::random;
use uuid::Uuid;

use crate::journal::format::FLAG_WRITTEN;
use crate::journal::table::{Table, TableRecord};
use crate::limits::{PAGE, TABLE_BYTES_RESERVED, page_ceil};
use crate::options::{Durability, StorageOptions};

/// Where the next write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) logical: u64,
    pub(crate) file: u32,
    pub(crate) offset: u64,
}

/// Where recovery left a ring: what the shard that goes on with it has to know.
#[derive(Clone, Debug)]
pub(crate) struct RingState {
    pub(crate) uuid: Uuid,
    pub(crate) start_epoch: u64,
    pub(crate) next_sequence: u64,
    /// The place of the next write, within the ring.
    pub(crate) next_place: u64,
    pub(crate) generation: u64,
    /// A ring keeps the shape it was made with.
    pub(crate) ring_files: u32,
    pub(crate) ring_file_bytes: u64,
}

/// The space of a ring: pure arithmetic.
pub(crate) struct Space {
    file_bytes: u64,
    files: u64,
    head: u64,
    freed_to: u64,
    /// Writes that a table has not freed yet: sequence and logical place, oldest first. At most one a page of the ring.
    live: VecDeque<(u64, u64)>,
}

impl Space {
    pub(crate) fn new(files: u32, file_bytes: u64, head: u64) -> Self {
        assert!(files >= crate::limits::RING_FILES_MIN && file_bytes > 0 && file_bytes.is_multiple_of(PAGE));
        Self { file_bytes, files: files.into(), head, freed_to: head, live: VecDeque::new() }
    }

    fn bytes(&self) -> u64 {
        self.files * self.file_bytes
    }

    /// The longest write that `reserve` would take now.
    pub(crate) fn room(&self) -> u64 {
        let free = self.bytes() - (self.head - self.freed_to);
        let to_file_end = self.file_bytes - self.head % self.file_bytes;
        let after_skip = free.saturating_sub(to_file_end).min(self.file_bytes);
        free.min(to_file_end).max(after_skip)
    }

    /// Takes space for a write, or `None` while the ring is too full.
    pub(crate) fn reserve(&mut self, sequence: u64, length: u64) -> Option<Place> {
        assert!(
            length > 0 && length.is_multiple_of(PAGE) && length <= self.file_bytes,
            "journal write of {length} bytes"
        );
        let to_file_end = self.file_bytes - self.head % self.file_bytes;
        let logical = if length <= to_file_end { self.head } else { self.head + to_file_end };
        if logical + length - self.freed_to > self.bytes() {
            return None;
        }
        self.head = logical + length;
        self.live.push_back((sequence, logical));
        let place = logical % self.bytes();
        let file = u32::try_from(place / self.file_bytes).expect("fewer than 2^32 files");
        Some(Place { logical, file, offset: place % self.file_bytes })
    }

    /// The place of a live write, or of the next write where nothing is needed any more.
    pub(crate) fn place_of(&self, sequence: u64) -> u64 {
        match self.live.binary_search_by_key(&sequence, |(live, _)| *live) {
            Ok(at) => self.live[at].1,
            Err(at) => {
                assert!(at == self.live.len(), "sequence {sequence} was freed before it was released");
                self.head
            }
        }
    }

    /// Nothing before this write is needed: a table that says so is durable.
    pub(crate) fn free_before(&mut self, sequence: u64) {
        self.freed_to = self.place_of(sequence);
        while self.live.front().is_some_and(|(live, _)| *live < sequence) {
            self.live.pop_front();
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.head - self.freed_to
    }

    /// Where in the ring a logical place lies.
    pub(crate) fn within(&self, logical: u64) -> u64 {
        logical % self.bytes()
    }
}

/// The open files of a shard's ring.
pub(crate) struct Ring {
    pub(crate) uuid: Uuid,
    pub(crate) start_epoch: u64,
    pub(crate) flags: u16,
    files: Vec<File>,
    tables: [File; 2],
    /// Both table slots have their space up to here.
    tables_reserved: u64,
    generation: u64,
    ring_files: u32,
    ring_file_bytes: u64,
}

/// What the name of a ring's file begins with.
pub(crate) const RING_FILE_PREFIX: &str = "ring.";

pub(crate) fn ring_file_name(number: u32) -> String {
    format!("{RING_FILE_PREFIX}{number}")
}

pub(crate) fn table_file_name(slot: u64) -> String {
    format!("table.{slot}")
}

pub(crate) fn flags_of(durability: Durability) -> u16 {
    match durability {
        Durability::Fsync => 0,
        Durability::Written => FLAG_WRITTEN,
    }
}

impl Ring {
    /// Opens the files that [`prepare`] left behind.
    pub(crate) async fn open(
        options: &StorageOptions,
        ring: u16,
        state: &RingState,
    ) -> Result<Self, FileError> {
        let folder = options.ring_folder(ring);
        let mut files = Vec::new();
        for number in 0..state.ring_files {
            files.push(open_for_writing(&folder.join(ring_file_name(number)), options.durability).await?);
        }
        let tables = [
            open_for_writing(&folder.join(table_file_name(0)), options.durability).await?,
            open_for_writing(&folder.join(table_file_name(1)), options.durability).await?,
        ];
        let tables_reserved = tables[0].size().await?.min(tables[1].size().await?);
        Ok(Self {
            tables_reserved,
            uuid: state.uuid,
            start_epoch: state.start_epoch,
            flags: flags_of(options.durability),
            files,
            tables,
            generation: state.generation,
            ring_files: state.ring_files,
            ring_file_bytes: state.ring_file_bytes,
        })
    }

    pub(crate) fn file(&self, place: Place) -> &File {
        &self.files[place.file as usize]
    }

    /// The slots, if they have no space yet for a table of so many bytes.
    pub(crate) fn slots_to_extend(&self, table_bytes: u64) -> Option<[File; 2]> {
        (table_bytes > self.tables_reserved).then(|| self.tables.clone())
    }

    pub(crate) fn slots_extended(&mut self, table_bytes: u64) {
        self.tables_reserved = self.tables_reserved.max(table_bytes);
    }

    /// The next table, to be written with [`write_table`]. Taken apart so that no borrow is held over the write.
    pub(crate) fn next_table(
        &mut self,
        redo_from: (u64, u64),
        last_sequence: u64,
        records: Vec<TableRecord>,
    ) -> (File, Table) {
        self.generation += 1;
        let table = Table {
            flags: self.flags,
            ring: self.uuid,
            start_epoch: self.start_epoch,
            generation: self.generation,
            last_sequence,
            redo_from_sequence: redo_from.0,
            redo_from_place: redo_from.1,
            ring_files: self.ring_files,
            ring_file_bytes: self.ring_file_bytes,
            records,
        };
        let slot = (self.generation % 2) as usize;
        (self.tables[slot].clone(), table)
    }
}

/// Takes the disk space of a table in both slots. Before the table is made: where the disk is full nothing has happened, and the
/// slots still hold what they held.
pub(crate) async fn extend_slots(slots: &[File; 2], table_bytes: u64) -> Result<(), FileError> {
    for slot in slots {
        let size = slot.size().await?;
        if size < table_bytes {
            slot.allocate(size, table_bytes - size).await?;
            slot.datasync().await?;
        }
    }
    Ok(())
}

/// Overwrites a slot with a table, in one write.
pub(crate) async fn write_table(slot: &File, table: &Table) -> Result<(), FileError> {
    let encoded = table.encode();
    let mut buffer = Buffer::zeroed(page_ceil(encoded.len() as u64) as usize);
    buffer[..encoded.len()].copy_from_slice(&encoded);
    slot.write_at(Rc::new(buffer), 0).await
}

pub(crate) async fn open_for_writing(path: &Path, durability: Durability) -> Result<File, FileError> {
    let durable_writes = durability == Durability::Fsync;
    File::open(path, OpenOptions { access: Access::Write, create: Create::Never, durable_writes }).await
}

/// Makes the files of a new ring: zeros really written, so that later writes need no allocation, then the table slots.
/// Until a first table is durable the ring does not exist, and an interrupted start makes its files anew.
pub(crate) async fn create(options: &StorageOptions, ring: u16) -> Result<Uuid, FileError> {
    let folder = options.ring_folder(ring);
    file::create_folder_all(&folder).await?;
    for number in 0..options.ring_files {
        fill_with_zeros(&folder.join(ring_file_name(number)), options.ring_file_bytes).await?;
    }
    for slot in 0..2 {
        fill_with_zeros(&folder.join(table_file_name(slot)), TABLE_BYTES_RESERVED).await?;
    }
    file::sync_folder(&folder).await?;
    file::sync_folder(&options.rings_folder()).await?;
    file::sync_folder(&options.data).await?;
    Ok(random::uuid())
}

/// Makes table slots again that somebody removed.
pub(crate) async fn restore_slots(options: &StorageOptions, ring: u16) -> Result<(), FileError> {
    let folder = options.ring_folder(ring);
    for slot in 0..2 {
        let path = folder.join(table_file_name(slot));
        if !file::exists(&path).await? {
            fill_with_zeros(&path, PAGE).await?;
            file::sync_folder(&folder).await?;
        }
    }
    Ok(())
}

/// Plain writes and one flush at the end: filling with O_DSYNC takes many times as long.
async fn fill_with_zeros(path: &Path, bytes: u64) -> Result<(), FileError> {
    const STEP_BYTES: u64 = 1 << 20;
    let file = File::open(
        path,
        OpenOptions { access: Access::Write, create: Create::IfMissing, durable_writes: false },
    )
    .await?;
    if file.size().await? > bytes {
        file.truncate(bytes).await?;
    }
    // A first start that was killed may have left zeros in flight, which would land on what is journaled later: this waits.
    file.allocate(0, bytes).await?;
    let zeros = Rc::new(Buffer::zeroed(STEP_BYTES.min(bytes) as usize));
    let mut position = 0;
    while position < bytes {
        let step = STEP_BYTES.min(bytes - position);
        let piece =
            if step == zeros.len() as u64 { zeros.clone() } else { Rc::new(Buffer::zeroed(step as usize)) };
        file.write_at(piece, position).await?;
        position += step;
    }
    file.datasync().await?;
    file.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_never_crosses_a_file_end_and_the_skipped_rest_counts_as_used() {
        let mut space = Space::new(2, 3 * PAGE, 0);
        assert_eq!(space.reserve(1, 2 * PAGE).unwrap(), Place { logical: 0, file: 0, offset: 0 });
        assert_eq!(space.reserve(2, 2 * PAGE).unwrap(), Place { logical: 3 * PAGE, file: 1, offset: 0 });
        assert_eq!(space.used(), 5 * PAGE);
        assert_eq!(space.reserve(3, 2 * PAGE), None);
        assert_eq!(space.reserve(3, PAGE).unwrap(), Place { logical: 5 * PAGE, file: 1, offset: 2 * PAGE });
    }

    #[test]
    fn space_is_free_again_only_when_released_and_places_lap() {
        let mut space = Space::new(2, 2 * PAGE, 0);
        for sequence in 1..=4 {
            space.reserve(sequence, PAGE).unwrap();
        }
        assert_eq!(space.reserve(5, PAGE), None);
        assert_eq!(space.room(), 0);
        space.free_before(2);
        assert_eq!(space.reserve(5, PAGE).unwrap(), Place { logical: 4 * PAGE, file: 0, offset: 0 });
        space.free_before(6);
        assert_eq!((space.used(), space.within(space.place_of(6))), (0, PAGE));
    }

    #[test]
    fn room_tells_the_longest_write_that_fits() {
        let mut space = Space::new(2, 4 * PAGE, 0);
        space.reserve(1, 3 * PAGE).unwrap();
        assert_eq!(space.room(), 4 * PAGE);
        space.reserve(2, 4 * PAGE).unwrap();
        assert_eq!(space.room(), 0);
        space.free_before(2);
        assert_eq!(space.room(), 4 * PAGE, "the skipped page and the three of the first write");
    }
}
