//! One open segment: a file with space allocated ahead, and how far its bytes have got.
//!
//! ```text
//! 0            written_to      durable_end        end          allocated
//! |  in the file,  |  in the ring,   |  appended,    |  space for    |
//! |  durable       |  acknowledged   |  in memory    |  what comes   |
//! ```
//!
//! **Invariants**: `written_to <= durable_end <= end <= allocated`. A page of the file that holds durable bytes is written
//! again only while the ring holds those bytes: after a run ended inside a page, the next entry of the partition begins
//! with that page's bytes (`page_prefix`).

use std::path::{Path, PathBuf};

use runtime::file::File;

use crate::index::SegmentIndex;
use crate::limits::page_floor;

/// A segment that is still written to, or not yet closed.
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    /// Where the next batch goes.
    pub(crate) end: u64,
    pub(crate) durable_end: u64,
    pub(crate) written_to: u64,
    /// The size of the file: bytes up to it have their place on the disk.
    pub(crate) allocated: u64,
    /// `None` while nobody writes: an idle partition holds no descriptor.
    pub(crate) file: Option<File>,
    /// This process has zeroed what lay beyond the end when it first opened the file.
    pub(crate) cleaned: bool,
    /// The bytes from the beginning of the page to where the last started run ended, if that was inside a page.
    pub(crate) page_prefix: Vec<u8>,
    /// The ring holds the page's prefix, so that the page may be written again.
    pub(crate) prefix_journaled: bool,
    /// What the next table may say: everything below is in the file. Always the end of a whole batch.
    pub(crate) settled_end: u64,
    pub(crate) settled_next_offset: i64,
    /// The first journal write with an entry of this segment since it was opened.
    pub(crate) first_sequence: Option<u64>,
    pub(crate) index: SegmentIndex,
    /// False where the index begins after the segment's beginning, because the process did not write it all.
    pub(crate) index_from: u64,
    pub(crate) closing: bool,
    /// The largest timestamp of the first batch, once it was looked for; -1 where it has none.
    pub(crate) first_timestamp_ms: Option<i64>,
    /// It is old: the next batch begins the next segment.
    pub(crate) roll_wanted: bool,
}

impl Segment {
    pub(crate) fn new(base_offset: i64) -> Self {
        Self::resumed(base_offset, 0, base_offset)
    }

    /// A segment that an earlier process, or this one before it closed the file, left at `end`.
    pub(crate) fn resumed(base_offset: i64, end: u64, next_offset: i64) -> Self {
        Self {
            base_offset,
            end,
            durable_end: end,
            written_to: end,
            allocated: 0,
            file: None,
            cleaned: false,
            page_prefix: Vec::new(),
            prefix_journaled: false,
            settled_end: end,
            settled_next_offset: next_offset,
            first_sequence: None,
            index: SegmentIndex::new(base_offset),
            index_from: end,
            closing: false,
            first_timestamp_ms: None,
            roll_wanted: false,
        }
    }

    /// The page that the next run begins with.
    pub(crate) fn run_start(&self) -> u64 {
        page_floor(self.written_to)
    }

    /// The page's bytes that the next entry has to carry, if any.
    pub(crate) fn lead(&self) -> &[u8] {
        if self.prefix_journaled { &[] } else { &self.page_prefix }
    }

    /// All that was appended is in the file.
    pub(crate) fn is_settled(&self) -> bool {
        self.written_to == self.end && self.settled_end == self.end
    }
}

/// A segment that is complete and never written again; its file ends where it ends.
#[derive(Clone, Debug)]
pub(crate) struct ClosedSegment {
    pub(crate) base_offset: i64,
    pub(crate) length: u64,
    /// The largest timestamp in it, where this process has seen it; -1 without any.
    pub(crate) newest_ms: Option<i64>,
}

/// `<base offset, 20 digits>.<what>`, as Kafka names them.
pub(crate) fn segment_path(folder: &Path, base_offset: i64, what: &str) -> PathBuf {
    folder.join(format!("{base_offset:020}.{what}"))
}

/// The base offset in the name of a segment's file.
pub(crate) fn base_offset_of(name: &str, what: &str) -> Option<i64> {
    let digits = name.strip_suffix(what)?.strip_suffix('.')?;
    if digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}
