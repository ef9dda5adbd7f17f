//! Reads a segment's file from batch to batch, checksums included: what recovery, verification and repair see of it.
//!
//! Says what is there and judges nothing: where a segment has to end is known to the caller.

use std::collections::BTreeMap;
use std::path::Path;

use runtime::buffer::Buffer;
use runtime::file::{File, FileError, OpenOptions};
use wire::batch::{self, BATCH_HEADER_BYTES, BatchError, BatchHeader};

use crate::journal::reader::open_at_rest;
use crate::limits::{page_ceil, page_floor};

/// Read at once; a batch that is larger is read whole.
const WINDOW_BYTES: u64 = 1 << 20;

/// A segment's file, read forwards.
pub(crate) struct SegmentReader {
    /// `None` for a segment that stands in the ring only.
    file: Option<File>,
    size: u64,
    position: u64,
    /// Bytes from a page's beginning on.
    window: Option<(u64, Buffer)>,
    /// Bytes that a ring holds for this segment, by position: they stand for what is in the file.
    dirty: Runs,
}

/// Bytes by their position in a segment.
pub(crate) type Runs = BTreeMap<u64, Vec<u8>>;

/// What stands at a place in a segment.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A whole batch with the right checksum.
    Batch { position: u64, header: BatchHeader },
    /// Something else. The header where it can be read as one.
    Bad { header: Option<BatchHeader>, error: BatchError },
    /// The file is over.
    End,
}

impl SegmentReader {
    pub(crate) async fn open(path: &Path, position: u64) -> Result<Self, FileError> {
        let file = File::open(path, OpenOptions::read()).await?;
        let size = file.size().await?;
        Ok(Self { file: Some(file), size, position, window: None, dirty: Runs::new() })
    }

    /// A segment that has no file yet, or none any more; [`SegmentReader::with_dirty`] gives it its bytes.
    pub(crate) fn without_file() -> Self {
        Self { file: None, size: 0, position: 0, window: None, dirty: Runs::new() }
    }

    /// As [`SegmentReader::open`], when the writes that a killed process left in flight have landed.
    pub(crate) async fn open_at_rest(path: &Path, position: u64) -> Result<Self, FileError> {
        let file = open_at_rest(path).await?;
        let size = file.size().await?;
        Ok(Self { file: Some(file), size, position, window: None, dirty: Runs::new() })
    }

    /// The same with the bytes that a ring holds, up to where the log says that the segment ends.
    pub(crate) fn with_dirty(mut self, dirty: Runs, end: u64) -> Self {
        let dirty_end = dirty.iter().map(|(position, bytes)| position + bytes.len() as u64).max();
        self.size = self.size.max(dirty_end.unwrap_or(0)).min(end);
        self.dirty = dirty;
        self
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// What stands at the reader's place. Only a whole batch moves it on.
    pub(crate) async fn next(&mut self) -> Result<Found, FileError> {
        let position = self.position;
        if position >= self.size {
            return Ok(Found::End);
        }
        let head = self.bytes(position, BATCH_HEADER_BYTES).await?;
        let header = match BatchHeader::parse(head) {
            Ok(header) => header,
            Err(error) => return Ok(Found::Bad { header: None, error }),
        };
        let bytes = self.bytes(position, header.length).await?;
        match batch::check_stored(bytes) {
            Ok(header) => {
                self.position += header.length as u64;
                Ok(Found::Batch { position, header })
            }
            Err(error) => Ok(Found::Bad { header: Some(header), error }),
        }
    }

    /// The first byte from the reader's place on that is not zero.
    pub(crate) async fn first_used_byte(&mut self) -> Result<Option<u64>, FileError> {
        let mut position = self.position;
        while position < self.size {
            let length = WINDOW_BYTES.min(self.size - position) as usize;
            let bytes = self.bytes(position, length).await?;
            if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
                return Ok(Some(position + at as u64));
            }
            position += length as u64;
        }
        Ok(None)
    }

    /// Up to `length` bytes; fewer where the file ends before.
    async fn bytes(&mut self, position: u64, length: usize) -> Result<&[u8], FileError> {
        let end = (position + length as u64).min(self.size);
        let held = self
            .window
            .as_ref()
            .is_some_and(|(start, window)| *start <= position && end <= *start + window.len() as u64);
        if !held {
            let start = page_floor(position);
            let wanted = page_ceil(end - start).max(WINDOW_BYTES.min(page_ceil(self.size - start)));
            let read = match &self.file {
                Some(file) => file.read_at(start, wanted as usize).await?,
                None => Buffer::zeroed(wanted as usize),
            };
            self.window = Some((start, self.dirtied(start, wanted, read)));
        }
        let (start, window) = self.window.as_ref().expect("the window was just filled");
        let from = (position - start) as usize;
        let to = ((end - start) as usize).min(window.len());
        Ok(window.get(from..to).unwrap_or_default())
    }

    /// The window as it will be when the ring's bytes are in the file.
    fn dirtied(&self, start: u64, wanted: u64, read: Buffer) -> Buffer {
        if self.dirty.is_empty() {
            return read;
        }
        let mut window = Buffer::zeroed(wanted as usize);
        window[..read.len()].copy_from_slice(&read);
        let end = start + wanted;
        for (position, bytes) in self.dirty.range(..end) {
            let (from, to) = ((*position).max(start), (position + bytes.len() as u64).min(end));
            if from < to {
                let source = &bytes[(from - position) as usize..(to - position) as usize];
                window[(from - start) as usize..(to - start) as usize].copy_from_slice(source);
            }
        }
        window
    }
}
