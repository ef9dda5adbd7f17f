//! Requests and replies without a protocol: listeners translate into them, handlers act on them. A leaf: it knows neither.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use storage::{AppendError, LogOffsets, ReadError, Slice};
use uuid::Uuid;
use wire::codes::ErrorCode;

use crate::catalog::CommandError;

/// A request that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A refusal whose text is the code's.
    pub fn of(code: ErrorCode) -> Self {
        Self { code, message: code.to_string() }
    }
}

impl From<crate::session::Denied> for Refusal {
    fn from(_: crate::session::Denied) -> Self {
        Self::of(ErrorCode::NotAuthorized)
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        let code = match &error {
            CommandError::Name(_) | CommandError::Collides { .. } => ErrorCode::InvalidTopicName,
            CommandError::Setting(crate::catalog::SettingError::Unknown { .. }) => ErrorCode::UnknownSetting,
            CommandError::Setting(_) => ErrorCode::InvalidSetting,
            CommandError::TopicExists { .. } => ErrorCode::TopicExists,
            CommandError::UnknownTopic { .. } => ErrorCode::UnknownTopic,
            CommandError::Internal { .. } => ErrorCode::InvalidTopicName,
            CommandError::TooManyPartitions { .. } | CommandError::FewerPartitions { .. } => {
                ErrorCode::InvalidPartitionCount
            }
            CommandError::PartitionsFull { .. } | CommandError::Busy => ErrorCode::LimitReached,
            CommandError::Stopping => ErrorCode::NotServing,
            CommandError::StorageFull { .. } => ErrorCode::StorageFull,
            CommandError::StorageFailed { .. } => ErrorCode::StorageFailed,
        };
        Self { code, message: error.to_string() }
    }
}

/// What a refused append is answered with.
pub fn append_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::DiskFull => ErrorCode::StorageFull,
        AppendError::BatchTooLarge { .. } => ErrorCode::BatchTooLarge,
        AppendError::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        AppendError::NoKey { .. } | AppendError::Unreadable { .. } => ErrorCode::InvalidBatch,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequence,
        AppendError::ProducerFenced { .. } => ErrorCode::ProducerFenced,
        AppendError::JournalFailed { .. } | AppendError::PartitionReadOnly { .. } => ErrorCode::StorageFailed,
        AppendError::Unavailable { .. } => ErrorCode::CorruptLog,
        AppendError::Removed => ErrorCode::TopicDeleted,
        AppendError::Stopping => ErrorCode::NotServing,
    }
}

/// What a refused read is answered with.
pub fn read_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::RottenBatch { .. }
        | ReadError::ShortSegment { .. }
        | ReadError::WrongOffset { .. }
        | ReadError::MissingOffset { .. } => ErrorCode::CorruptLog,
        ReadError::Removed => ErrorCode::TopicDeleted,
        ReadError::File(_) => ErrorCode::StorageFailed,
    }
}

/// A partition as clients name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionName {
    pub topic_id: Uuid,
    pub partition: u32,
}

/// Appends one batch.
#[derive(Clone, Debug)]
pub struct ProduceRequest {
    pub partition: PartitionName,
    pub batch: Bytes,
}

/// Reads once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    pub partition: PartitionName,
    pub offset: i64,
    pub bytes_max: usize,
    /// Wait for so much...
    pub bytes_min: usize,
    /// ...but no longer than this.
    pub wait: Duration,
}

/// Whole batches, as they are kept: shared with this shard's buffers, or copied from another's.
#[derive(Clone, Debug)]
pub enum BatchRun {
    Slices(Vec<Slice>),
    Copied(Bytes),
}

impl BatchRun {
    /// Nothing.
    pub fn empty() -> Self {
        Self::Copied(Bytes::new())
    }

    /// All bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Slices(slices) => slices.iter().map(|slice| slice.len()).sum(),
            Self::Copied(bytes) => bytes.len(),
        }
    }

    /// True without a byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds its bytes to what one call sends.
    pub fn add_slices<'a>(&'a self, slices: &mut Vec<IoSlice<'a>>) {
        match self {
            Self::Slices(run) => slices.extend(run.iter().map(|slice| IoSlice::new(slice))),
            Self::Copied(bytes) => slices.push(IoSlice::new(bytes)),
        }
    }

    /// The same bytes, owned, for another shard.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Slices(slices) => {
                let mut bytes = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
                slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
                bytes.into()
            }
        }
    }
}

/// What a fetch found.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub code: ErrorCode,
    /// -1 each where the error leaves them unknown.
    pub offsets: LogOffsets,
    pub run: BatchRun,
    /// Where the next read goes on.
    pub next_offset: i64,
}

/// The offsets of a log nobody could look at.
pub const NO_OFFSETS: LogOffsets = LogOffsets { log_start: -1, high_watermark: -1, log_end: -1 };

impl Fetched {
    /// Nothing but a code.
    pub fn refused(code: ErrorCode) -> Self {
        Self { code, offsets: NO_OFFSETS, run: BatchRun::empty(), next_offset: -1 }
    }
}

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    Earliest,
    Latest,
    MaxTimestamp,
    /// The first record at this time (ms since 1970) or later.
    Time(i64),
}

/// The offset, and its record's time; -1 each where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    pub offset: i64,
    pub timestamp_ms: i64,
}

/// One partition as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStanding {
    pub offsets: LogOffsets,
    pub leader_epoch: i32,
    pub segment_count: u32,
    pub bytes: u64,
}
