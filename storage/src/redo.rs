//! Puts the bytes of a partition's ring entries back into its segments, page by page.
//!
//! A page on the disk may hold later bytes than the ring, those of a chunk that went round it; so redo merges into what is
//! there and never pads over it. Such a page is right already, because the chunk carried the ring's bytes too; and a page that
//! is right is not written again: a power cut in the middle of that write would tear bytes that are nowhere else. But it
//! may be right only in the cache of the device, where a killed process left it; so a flush makes it last.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use runtime::buffer::Buffer;
use runtime::file::{self, Access, Create, File, FileError, OpenOptions};

use crate::batches::Runs;
use crate::error::RecoveryError;
use crate::journal::format::{EntryHeader, EntryKind};
use crate::limits::{CHUNK_BYTES_MAX, PAGE, page_ceil, page_floor};
use crate::log::LogEnd;
use crate::log::segment::segment_path;

/// What recovery knows of one partition while it reads the rings.
pub(crate) struct Redo {
    pub(crate) end: LogEnd,
    /// Runs of bytes for each segment, by position; they do not touch one another.
    runs: BTreeMap<i64, Runs>,
    /// Segments that are complete, and where they end.
    complete: Vec<(i64, u64)>,
    pub(crate) bytes: usize,
    touched: bool,
}

impl Redo {
    pub(crate) fn new(end: LogEnd) -> Self {
        Self { end, runs: BTreeMap::new(), complete: Vec::new(), bytes: 0, touched: false }
    }

    /// Takes the next entry of the partition, in the order of the ring.
    pub(crate) fn take(&mut self, entry: &EntryHeader, bytes: &[u8]) {
        // Also of an entry that the table has overtaken: the start's note may stand in a segment that was closed meanwhile.
        self.end.log_start = self.end.log_start.max(entry.log_start);
        if entry.segment_base < self.end.segment_base {
            return;
        }
        if entry.segment_base > self.end.segment_base {
            self.complete.push((self.end.segment_base, self.end.end_position));
            self.end.segment_base = entry.segment_base;
            self.end.end_position = 0;
        }
        self.touched = true;
        self.end.end_position = self.end.end_position.max(entry.end());
        self.end.next_offset = self.end.next_offset.max(entry.next_offset);
        if entry.kind == EntryKind::Data {
            self.put(entry.segment_base, entry.position, bytes);
        }
    }

    /// Takes note of a segment that is complete, and where it ends.
    pub(crate) fn note_complete(&mut self, segment_base: i64, end: u64) {
        self.complete.push((segment_base, end));
    }

    /// The end, the bytes that the segments lack, and the ends of segments before the last.
    pub(crate) fn into_parts(self) -> (LogEnd, BTreeMap<i64, Runs>, BTreeMap<i64, u64>) {
        (self.end, self.runs, self.complete.into_iter().collect())
    }

    /// Later bytes replace earlier ones; a run grows where the new bytes touch it.
    fn put(&mut self, segment_base: i64, position: u64, bytes: &[u8]) {
        let runs = self.runs.entry(segment_base).or_default();
        if let Some((start, run)) = runs.range_mut(..=position).next_back() {
            let from = (position - start) as usize;
            if from <= run.len() {
                let end = from + bytes.len();
                self.bytes += end.saturating_sub(run.len());
                run.truncate(run.len().min(end).max(from));
                let overlap = run.len() - from;
                run[from..].copy_from_slice(&bytes[..overlap]);
                run.extend_from_slice(&bytes[overlap..]);
                return;
            }
        }
        self.bytes += bytes.len();
        runs.insert(position, bytes.to_vec());
    }

    /// Writes what was taken so far, and closes what is complete.
    pub(crate) async fn write(&mut self, folder: &Path, durable_writes: bool) -> Result<(), RecoveryError> {
        for (segment_base, runs) in std::mem::take(&mut self.runs) {
            let file = open_segment(folder, segment_base, durable_writes).await?;
            let mut was_right = false;
            for (position, bytes) in runs {
                was_right |= write_run(&file, position, &bytes).await?;
            }
            if was_right && durable_writes {
                file.datasync().await?;
            }
            file.close().await?;
        }
        self.bytes = 0;
        for (segment_base, end) in std::mem::take(&mut self.complete) {
            close_segment(folder, segment_base, end, durable_writes).await?;
        }
        Ok(())
    }

    /// The end that the entries state must be there.
    pub(crate) async fn check(&self, folder: &Path) -> Result<(), RecoveryError> {
        if !self.touched || self.end.end_position == 0 {
            return Ok(());
        }
        let path = segment_path(folder, self.end.segment_base, "log");
        let file = File::open(&path, OpenOptions::read()).await?;
        refuse_short(&file, self.end.end_position).await?;
        file.close().await?;
        Ok(())
    }
}

/// Cuts a complete segment to its end.
pub(crate) async fn close_segment(
    folder: &Path,
    segment_base: i64,
    end: u64,
    durable_writes: bool,
) -> Result<(), RecoveryError> {
    let file = open_segment(folder, segment_base, durable_writes).await?;
    refuse_short(&file, end).await?;
    file.truncate(end).await?;
    file.datasync().await?;
    file.close().await?;
    Ok(())
}

/// Makes what was read from a segment last: a killed process may have left it in the device's cache only.
pub(crate) async fn flush_segment(
    folder: &Path,
    segment_base: i64,
    durable_writes: bool,
) -> Result<(), RecoveryError> {
    let file = open_segment(folder, segment_base, durable_writes).await?;
    file.datasync().await?;
    file.close().await?;
    Ok(())
}

async fn refuse_short(file: &File, expected: u64) -> Result<(), RecoveryError> {
    let length = file.size().await?;
    let path = file.path().display().to_string();
    if length < expected { Err(RecoveryError::ShortSegment { path, length, expected }) } else { Ok(()) }
}

/// Opens a segment, or makes it again where the crash lost the file or its folder entry. A file without bytes may stand
/// only in the cache of a kernel whose broker was killed: its place in the folder is made durable. One that has some got them
/// after that. The folders above are the caller's.
async fn open_segment(folder: &Path, segment_base: i64, durable_writes: bool) -> Result<File, FileError> {
    let path = segment_path(folder, segment_base, "log");
    let options = OpenOptions { access: Access::Write, create: Create::IfMissing, durable_writes };
    let file = match File::open(&path, options).await {
        Err(error) if error.is_not_found() => {
            file::create_folder_all(folder).await?;
            File::open(&path, options).await?
        }
        opened => opened?,
    };
    if file.size().await? == 0 {
        file::sync_folder(folder).await?;
    }
    // Waits for writes that the killed process left in flight: they would land on what is written now.
    file.allocate(0, PAGE).await?;
    Ok(file)
}

/// Writes the pages that differ from what the ring says; true if there was one that did not.
async fn write_run(file: &File, position: u64, bytes: &[u8]) -> Result<bool, FileError> {
    let end = position + bytes.len() as u64;
    if file.size().await? < page_ceil(end) {
        file.allocate(0, page_ceil(end)).await?;
    }
    let (mut from, mut was_right) = (position, false);
    while from < end {
        let to = end.min(page_floor(from) + CHUNK_BYTES_MAX as u64);
        let piece = &bytes[(from - position) as usize..(to - position) as usize];
        was_right |= merge(file, from, piece).await?;
        from = to;
    }
    Ok(was_right)
}

/// Merges bytes into the pages they lie in, and writes those that change; true if there was one that did not.
async fn merge(file: &File, position: u64, bytes: &[u8]) -> Result<bool, FileError> {
    let start = page_floor(position);
    let length = (page_ceil(position + bytes.len() as u64) - start) as usize;
    let found = file.read_at(start, length).await?;
    let mut wanted = Buffer::zeroed(length);
    wanted[..found.len()].copy_from_slice(&found);
    let within = (position - start) as usize;
    wanted[within..within + bytes.len()].copy_from_slice(bytes);
    let page_bytes = PAGE as usize;
    let differs = |at: usize| found.get(at..at + page_bytes) != wanted.get(at..at + page_bytes);
    let (mut at, mut was_right) = (0, false);
    while at < length {
        let changes = differs(at);
        let stretch = (at..length).step_by(page_bytes).take_while(|page| differs(*page) == changes).count();
        let to = at + stretch * page_bytes;
        if changes {
            write_pages(file, start + at as u64, &wanted[at..to]).await?;
        }
        was_right |= !changes;
        at = to;
    }
    Ok(was_right)
}

async fn write_pages(file: &File, position: u64, pages: &[u8]) -> Result<(), FileError> {
    let mut buffer = Buffer::new(pages.len());
    buffer.copy_from_slice(pages);
    file.write_at(Rc::new(buffer), position).await
}
