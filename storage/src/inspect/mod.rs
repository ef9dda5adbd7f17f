//! Looks at files of the storage and says what is in them, and whether it is sound. Changes nothing.
//!
//! `segment` reads one segment, `file` any file of ours by itself, `folder` a whole data folder, with what its rings hold.
//! The bytes are read by the code that recovery reads them with.

mod file;
mod folder;
mod segment;

use std::path::PathBuf;

use runtime::file::FileError;
use wire::batch::BatchHeader;

use crate::error::RecoveryError;
use crate::journal::format::{EntryHeader, WriteHeader};
use crate::journal::table::{Table, TableRecord};

pub use file::inspect_file;
pub use folder::verify;

/// One thing found in a file.
#[derive(Clone, Debug)]
pub enum Line {
    /// A batch of a segment.
    Batch { position: u64, header: BatchHeader },
    /// A write of a ring.
    Write { offset: u64, header: WriteHeader },
    /// An entry of the write before it.
    Entry(EntryHeader),
    /// The header of a checkpoint table; its records follow.
    Table(Table),
    /// What a table says of one partition.
    Record(TableRecord),
    /// An entry of an index: offset, position, largest timestamp up to the next entry.
    Index { offset: i64, position: u64, max_timestamp_ms: i64 },
    /// A snapshot of a partition's idempotent producers.
    Producers { count: usize, next_offset: i64 },
    /// Something is wrong.
    Damage(Damage),
}

/// Something that is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    /// Where in the file, in bytes.
    pub position: Option<u64>,
    /// What was found, and what was expected.
    pub reason: String,
    /// It costs time only: the broker makes the file again.
    pub is_hint: bool,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, ", byte {position}")?;
        }
        write!(f, ": {}", self.reason)?;
        if self.is_hint { write!(f, " (only a hint: it is made again)") } else { Ok(()) }
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub files: u64,
    pub bytes: u64,
    pub partitions: u64,
    pub batches: u64,
    pub records: u64,
    /// Writes of rings that a start would redo, or of the one file that was looked at.
    pub journal_writes: u64,
    /// Bytes that are only in a ring yet; they count as present.
    pub dirty_bytes: u64,
    pub damage: Vec<Damage>,
}

impl Report {
    /// Nothing is wrong that a reader would notice.
    pub fn is_sound(&self) -> bool {
        self.damage.iter().all(|damage| damage.is_hint)
    }
}

/// Why something could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(
        "{path} is no file of a corelog storage: neither a segment, an index, a ring, a table nor a producer snapshot"
    )]
    Unknown { path: String },
}
