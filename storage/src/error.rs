//! What can go wrong in the storage, one enum an operation. Bugs are assertions, not errors.

use runtime::file::FileError;
use wire::batch::BatchError;

use crate::options::PartitionUid;

/// Why a batch was not appended. Nothing of it is stored, except where [`AppendError::may_be_stored`] says so.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    #[error("the disk is full: the batch was refused; it is taken again when there is room")]
    DiskFull,
    #[error("batch of {bytes} bytes is larger than the topic's max.message.bytes of {bytes_max}")]
    BatchTooLarge { bytes: u64, bytes_max: u32 },
    #[error(
        "a record's time, {timestamp_ms}, is further from now ({now_ms}) than the topic's message.timestamp settings allow"
    )]
    InvalidTimestamp { timestamp_ms: i64, now_ms: i64 },
    #[error("the topic is compacted, and records of the batch have no key: that at {}", listed(.records))]
    NoKey {
        /// Their places in the batch, from 0 on; of very many the first.
        records: Vec<u32>,
    },
    #[error("the topic is compacted, and the batch's records cannot be read to see their keys: {reason}")]
    Unreadable { reason: String },
    #[error("sequence {found} of producer {producer_id} is out of order: expected {expected}")]
    OutOfOrderSequence { producer_id: i64, expected: i32, found: i32 },
    #[error("producer {producer_id} was fenced: epoch {found} is older than {current}")]
    ProducerFenced { producer_id: i64, current: i16, found: i16 },
    #[error(
        "the shard's journal failed ({reason}); what it had not acknowledged may or may not be stored; restart the broker to recover"
    )]
    JournalFailed { reason: String },
    #[error("the partition is read-only because a write to its segment failed twice: {reason}")]
    PartitionReadOnly { reason: String },
    #[error("the partition's log cannot be opened: {reason}")]
    Unavailable { reason: String },
    #[error("the partition was deleted")]
    Removed,
    #[error("the broker is stopping")]
    Stopping,
}

/// The first few.
fn listed(places: &[u32]) -> String {
    let first: Vec<String> = places.iter().take(3).map(u32::to_string).collect();
    let more = if places.len() > first.len() { " and more" } else { "" };
    first.join(", ") + more
}

impl AppendError {
    /// True where the batch may be found in the log later although it was not acknowledged.
    pub fn may_be_stored(&self) -> bool {
        matches!(self, Self::JournalFailed { .. } | Self::PartitionReadOnly { .. })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {offset} is outside the log: it holds {log_start} to {high_watermark}")]
    OffsetOutOfRange { offset: i64, log_start: i64, high_watermark: i64 },
    #[error("the batch at position {position} of segment {segment_base} is rotten: {source}")]
    RottenBatch { segment_base: i64, position: u64, source: BatchError },
    #[error("segment {segment_base} ends at {length} where its log says {expected}")]
    ShortSegment { segment_base: i64, length: u64, expected: u64 },
    #[error(
        "the batch at position {position} of segment {segment_base} begins at offset {found} where {expected} was looked for: its offset is damaged, or bytes before it are lost"
    )]
    WrongOffset { segment_base: i64, position: u64, found: i64, expected: i64 },
    #[error(
        "offset {offset} was acknowledged and is in no segment (the next one: {next_segment:?}): the segment that held it is cut short or missing"
    )]
    MissingOffset { offset: i64, next_segment: Option<i64> },
    #[error("the partition was deleted")]
    Removed,
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a log's start was not raised. It may be found raised later only where the journal failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StartError {
    #[error("offset {offset} is outside the log: it holds {log_start} to {high_watermark}")]
    OffsetOutOfRange { offset: i64, log_start: i64, high_watermark: i64 },
    #[error("the log's start cannot be made durable: {reason}")]
    Unavailable { reason: String },
    #[error("the partition was deleted")]
    Removed,
    #[error("the broker is stopping")]
    Stopping,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the journal has failed: {reason}")]
    JournalFailed { reason: String },
    #[error("partition {uid} is unknown here")]
    UnknownPartition { uid: PartitionUid },
}

/// Bytes in a ring or a table that do not follow the format.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FormatError {
    #[error("{what} is {found:#x}, expected {expected:#x}")]
    Field { what: &'static str, found: u64, expected: u64 },
    #[error("{what} ends after {found} bytes, needs {expected}")]
    Short { what: &'static str, found: usize, expected: usize },
    #[error("checksum of {what} is {found:#010x}, computed {computed:#010x}")]
    Checksum { what: &'static str, found: u32, computed: u32 },
}

/// What to do about a start that is refused for damage.
const REPAIR: &str = "`corelog log repair DATA` says what can be kept and what would be lost, and changes nothing until it is told to";

/// Why a shard refuses to start. Nothing has been cut.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(
        "the journal in {folder} is damaged at file {file}, offset {offset}: the write with sequence {sequence} was complete \
         and is not readable any more ({reason}). Nothing was changed. {REPAIR}"
    )]
    Rot { folder: String, file: u32, offset: u64, sequence: u64, reason: String },
    #[error(
        "the journal in {folder} has no readable checkpoint table and no ring files to make one from, although it was used. Nothing was changed. {REPAIR}"
    )]
    TablesLost { folder: String },
    #[error(
        "the journal in {folder} lost its newest checkpoint table, so the ends of its partitions have to be looked for where they were: start the broker once with {found} shards, as before, and not with {expected}. Nothing was changed"
    )]
    ShardsChanged { folder: String, found: usize, expected: u16 },
    #[error(
        "the journal lost its checkpoint table, and where {path} ends cannot be told: at byte {position}, {reason}. It may be a batch that was acknowledged and is damaged now. Nothing was changed. {REPAIR}"
    )]
    UnclearEnd { path: String, position: u64, reason: String },
    #[error(
        "the journal's file {path} was cut: it has {length} bytes of {expected}, and acknowledged batches may have been behind them. Nothing was changed. {REPAIR}"
    )]
    RingFileCut { path: String, length: u64, expected: u64 },
    #[error(
        "the journal's file {path} is gone, and acknowledged batches may have been in it. Nothing was changed. Put it back, or: {REPAIR}"
    )]
    RingFileLost { path: String },
    #[error(
        "the journal in {folder} is missing or empty although the last start left one there: acknowledged batches may have been in it. Nothing was changed. Put the folder back, or: {REPAIR}"
    )]
    RingLost { folder: String },
    #[error(
        "the journal in {folder} names partition {uid}, which the catalog never made: the journal and the catalog do not belong together"
    )]
    UnknownPartition { folder: String, uid: PartitionUid },
    #[error(
        "the batch at position {position} of {path} is damaged though it was acknowledged: {source}. Nothing was cut. {REPAIR}"
    )]
    RottenBatch { path: String, position: u64, source: BatchError },
    #[error(
        "{path} ends at {length} where the journal says {expected}: acknowledged bytes are missing. Nothing was cut. {REPAIR}"
    )]
    ShortSegment { path: String, length: u64, expected: u64 },
    #[error(
        "the journal in {folder} was made with {found} and the broker runs with {expected}: stop it cleanly in the old mode first"
    )]
    DurabilityChanged { folder: String, found: &'static str, expected: &'static str },
    #[error(transparent)]
    File(#[from] FileError),
}
