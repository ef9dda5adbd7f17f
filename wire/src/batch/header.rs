//! The 61 bytes in front of a batch's records, as numbers.
//!
//! Hot path.

use super::BatchError;
use super::position::{
    ATTRIBUTES, BASE_OFFSET, BASE_SEQUENCE, BASE_TIMESTAMP, CRC, LAST_OFFSET_DELTA, LEADER_EPOCH, LENGTH,
    LENGTH_COUNTS_FROM, MAGIC, MAX_TIMESTAMP, PRODUCER_EPOCH, PRODUCER_ID, RECORD_COUNT, RECORDS,
};
use crate::layout::field;
use crate::limits;

/// Bytes of the header, and so the position of the first record.
pub const BATCH_HEADER_BYTES: usize = RECORDS;
/// The only version of the format that is taken.
pub const BATCH_MAGIC: u8 = 2;

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record. A producer's is meaningless: the log gives it.
    pub base_offset: i64,
    /// Bytes of the whole batch, header included (the length field plus 12).
    pub length: usize,
    /// Epoch of the leader that gave the offset.
    pub leader_epoch: i32,
    /// CRC-32C of everything after it.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: BatchAttributes,
    /// Offset of the last record, from the base.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from.
    pub base_timestamp_ms: i64,
    /// The latest timestamp; with log append time, the timestamp of every record.
    pub max_timestamp_ms: i64,
    /// -1 when the producer is not idempotent.
    pub producer_id: i64,
    /// -1 when the producer is not idempotent.
    pub producer_epoch: i16,
    /// Sequence of the first record; -1 when the producer is not idempotent.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the first [`BATCH_HEADER_BYTES`] of `bytes`; the records need not be there, so a stack copy of a header that
    /// spans two buffers is enough. Checks only what a walk from batch to batch relies on: magic, and a length that a batch
    /// can have.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        match bytes.first_chunk::<BATCH_HEADER_BYTES>() {
            Some(header) => Self::parse_exact(header),
            None => Err(BatchError::Short { needed: BATCH_HEADER_BYTES, found: bytes.len() }),
        }
    }

    /// [`BatchHeader::parse`] of a copy of exactly the header.
    #[inline]
    pub fn parse_exact(header: &[u8; BATCH_HEADER_BYTES]) -> Result<Self, BatchError> {
        let [magic] = field(header, MAGIC);
        if magic != BATCH_MAGIC {
            return Err(BatchError::Magic { found: magic });
        }
        let length_field = i32::from_be_bytes(field(header, LENGTH));
        let length = match usize::try_from(length_field) {
            Ok(counted) if counted >= BATCH_HEADER_BYTES - LENGTH_COUNTS_FROM => counted + LENGTH_COUNTS_FROM,
            _ => return Err(BatchError::Length { found: length_field }),
        };
        if length > limits::BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge { found: length, limit: limits::BATCH_BYTES_MAX });
        }
        Ok(Self {
            base_offset: i64::from_be_bytes(field(header, BASE_OFFSET)),
            length,
            leader_epoch: i32::from_be_bytes(field(header, LEADER_EPOCH)),
            crc: u32::from_be_bytes(field(header, CRC)),
            attributes: BatchAttributes(u16::from_be_bytes(field(header, ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(field(header, LAST_OFFSET_DELTA)),
            base_timestamp_ms: i64::from_be_bytes(field(header, BASE_TIMESTAMP)),
            max_timestamp_ms: i64::from_be_bytes(field(header, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(header, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(header, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(header, BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(header, RECORD_COUNT)),
        })
    }

    /// Offset of the last record.
    #[inline]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the last record: where the next batch begins.
    #[inline]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence of the last record. Sequences wrap from `i32::MAX` to 0.
    #[inline]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        // Both are below 2^31, so the sum fits 64 bits and its low 31 bits fit an i32.
        let sum = i64::from(self.base_sequence) + i64::from(self.last_offset_delta.max(0));
        i32::try_from(sum & i64::from(i32::MAX)).unwrap_or(0)
    }

    /// A producer id was given, so the batch takes part in duplicate detection.
    #[inline]
    pub fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }
}

/// Codec and flags of a batch, as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchAttributes(pub u16);

impl BatchAttributes {
    pub(super) const CODEC_MASK: u16 = 0b111;
    pub(super) const LOG_APPEND_TIME: u16 = 1 << 3;
    pub(super) const TRANSACTIONAL: u16 = 1 << 4;
    pub(super) const CONTROL: u16 = 1 << 5;

    /// How the records are compressed; an error where the number names no codec.
    #[inline]
    pub fn compression(self) -> Result<Compression, BatchError> {
        match self.0 & Self::CODEC_MASK {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            found => Err(BatchError::Codec { found }),
        }
    }

    /// Every record's timestamp is the header's `max_timestamp_ms`, given by the broker.
    #[inline]
    pub fn is_log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    /// Part of a transaction.
    #[inline]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Holds markers for consumers to obey, not records for applications.
    #[inline]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }
}

/// How the records of a batch are compressed. The numbers are Kafka's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Compression {
    /// Kafka's name for it, as in `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl std::str::FromStr for Compression {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| format!("unknown compression {name:?}: none, gzip, snappy, lz4 or zstd"))
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
