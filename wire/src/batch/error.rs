//! What can be wrong with a batch: where, what was expected, what was found.

use thiserror::Error;

use crate::codes::ErrorCode;

/// A batch that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    #[error("a batch needs {needed} bytes, {found} are there")]
    Short { needed: usize, found: usize },
    #[error("{trailing} bytes follow the batch")]
    Trailing { trailing: usize },
    #[error("the batch's length field says {found}, which no batch has")]
    Length { found: i32 },
    #[error("a batch of {found} bytes is above the limit of {limit}")]
    TooLarge { found: usize, limit: usize },
    #[error("batch magic {found}: only version 2 is taken")]
    Magic { found: u8 },
    #[error("the batch's checksum is {found:#010x}, its bytes give {computed:#010x}")]
    Checksum { found: u32, computed: u32 },
    #[error("unknown batch attributes {found:#06x}")]
    Attributes { found: u16 },
    #[error("unknown compression codec {found}")]
    Codec { found: u16 },
    #[error("transactional and control batches are not supported (attributes {found:#06x})")]
    Transactional { found: u16 },
    #[error("log append time is given by the broker, not by a producer")]
    LogAppendTime,
    #[error("{record_count} records with a last offset delta of {last_offset_delta}")]
    Count { record_count: i32, last_offset_delta: i32 },
    #[error("producer id {producer_id}, epoch {producer_epoch}, sequence {base_sequence} do not go together")]
    Producer { producer_id: i64, producer_epoch: i16, base_sequence: i32 },
    #[error("marked as {codec}, but the records begin with {found:02x?}")]
    NotCompressed { codec: &'static str, found: [u8; 4] },
    #[error("record {index}, at byte {position} of the batch: {problem}")]
    Record { index: u32, position: usize, problem: RecordProblem },
    #[error("cannot decompress {codec}: {reason}")]
    Decompress { codec: &'static str, reason: String },
    #[error("the records grow beyond {limit} bytes when decompressed")]
    DecompressedTooLarge { limit: usize },
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordProblem {
    #[error("a number does not end")]
    Varint,
    #[error("its length of {length} goes beyond the batch, or ends before its fields")]
    Length { length: i32 },
    #[error("offset delta {found}, expected {expected}")]
    OffsetDelta { expected: u32, found: i32 },
    #[error("its timestamp is beyond all time")]
    Timestamp,
    #[error("its {field} claims {length} bytes")]
    Field { field: &'static str, length: i32 },
    #[error("{count} headers")]
    HeaderCount { count: i32 },
    #[error("{bytes} bytes are left after its fields, or after the last record")]
    Trailing { bytes: usize },
}

impl BatchError {
    /// The code to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Checksum { .. } => ErrorCode::CorruptBatch,
            Self::TooLarge { .. } => ErrorCode::BatchTooLarge,
            Self::Transactional { .. } | Self::Codec { .. } | Self::Magic { .. } => {
                ErrorCode::UnsupportedBatch
            }
            Self::LogAppendTime | Self::Record { problem: RecordProblem::Timestamp, .. } => {
                ErrorCode::InvalidTimestamp
            }
            _ => ErrorCode::InvalidBatch,
        }
    }
}
