//! Where each field of a batch's header begins, in bytes from the batch's first.
//!
//! For who patches a header in place: the log that gives an offset, a producer that stamps a batch again, a test that
//! breaks one. Reading is [`BatchHeader`](super::BatchHeader)'s. The numbers are big-endian.
//!
//! Source: <https://kafka.apache.org/documentation/#recordbatch>.

// Each position is the previous one plus a size.

/// Offset of the first record, 8 bytes. Given by the log, outside the checksum.
pub const BASE_OFFSET: usize = 0;
/// Bytes of the batch from [`LENGTH_COUNTS_FROM`] on, 4 bytes.
pub const LENGTH: usize = BASE_OFFSET + 8;
/// Epoch of the leader that gave the offset, 4 bytes. Given by the log, outside the checksum.
pub const LEADER_EPOCH: usize = LENGTH + 4;
/// Version of the format, 1 byte.
pub const MAGIC: usize = LEADER_EPOCH + 4;
/// CRC-32C of everything from [`ATTRIBUTES`] to the batch's end, 4 bytes.
pub const CRC: usize = MAGIC + 1;
/// Codec and flags, 2 bytes.
pub const ATTRIBUTES: usize = CRC + 4;
/// Offset of the last record from the base, 4 bytes.
pub const LAST_OFFSET_DELTA: usize = ATTRIBUTES + 2;
/// What the records' timestamp deltas count from, 8 bytes.
pub const BASE_TIMESTAMP: usize = LAST_OFFSET_DELTA + 4;
/// The latest timestamp, 8 bytes.
pub const MAX_TIMESTAMP: usize = BASE_TIMESTAMP + 8;
/// The producer's id, 8 bytes; -1 without.
pub const PRODUCER_ID: usize = MAX_TIMESTAMP + 8;
/// The producer's epoch, 2 bytes; -1 without.
pub const PRODUCER_EPOCH: usize = PRODUCER_ID + 8;
/// Sequence of the first record, 4 bytes; -1 without.
pub const BASE_SEQUENCE: usize = PRODUCER_EPOCH + 2;
/// Number of records, 4 bytes.
pub const RECORD_COUNT: usize = BASE_SEQUENCE + 4;
/// The first record: all before it is the header.
pub const RECORDS: usize = RECORD_COUNT + 4;

/// The length field counts from here.
pub const LENGTH_COUNTS_FROM: usize = LEADER_EPOCH;

const _: () = assert!(RECORDS == 61 && CRC == 17 && ATTRIBUTES == 21);
