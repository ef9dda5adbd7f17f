//! Kafka's record batch, version 2, byte for byte: the unit of checksum, write and cache, the same bytes on the wire, in
//! memory and on the disk.
//!
//! Hot path: [`BatchHeader::parse`], [`validate`], [`assign`], [`Batches`]. The rest ([`BatchBuilder`], [`records`]) runs in
//! clients and tools.
//!
//! ```text
//!  0                8            12           16     17           21      23
//!  +----------------+------------+------------+------+------------+-------+
//!  | base offset    | length     | leader     | magic| crc-32c    | attri-|
//!  | 8              | 4          | epoch 4    | 1    | 4          | butes |
//!  +------------+---+------------+---+--------+------+--+---------+---+---+
//!  | last offset| base timestamp     | max timestamp    | producer id |
//!  | delta 4    | 8                  | 8                | 8           |
//!  +-------+----+-------+------------+------+-----------+-------------+
//!  | epoch | base seq-  | record     |
//!  | 2     | uence 4    | count 4    |
//!  +-------+------------+------------+
//!  23 27 35 43 51 53 57                61   then the records, compressed as one run or not at all
//! ```
//!
//! Big-endian. `length` counts from byte 12. The CRC-32C covers bytes 21 to the end, so that the broker can give the
//! offset and the leader epoch (bytes 0..16) in place. Attributes: bits 0-2 codec (0 none, 1 gzip, 2 snappy, 3 lz4, 4
//! zstd), bit 3 log append time, bit 4 transactional, bit 5 control, bit 6 delete horizon, the rest zero.
//!
//! A record: `length` varint, then attributes (1 byte), timestamp delta varlong, offset delta varint, key length varint
//! (-1 = none) and key, value length varint (-1 = none) and value, header count varint, and for each header its key
//! (length varint, bytes) and value (length varint, -1 = none, bytes). All varints are zigzag.
//!
//! Source: <https://kafka.apache.org/documentation/#recordbatch>.
//!
//! Invariants:
//! - What [`validate`] accepts, every Kafka client can read: it walks what is not compressed, and looks at the beginning of
//!   what is.
//! - Nothing on the broker's path opens a compressed batch.

mod builder;
mod checksum;
mod compress;
mod error;
mod header;
pub mod position;
mod records;
mod stamp;
mod validate;
mod varint;
mod walk;

pub use builder::{BatchBuilder, BuildError, ProducerStamp, RecordRef};
pub use checksum::crc32c;
pub use error::{BatchError, RecordProblem};
pub use header::{BATCH_HEADER_BYTES, BATCH_MAGIC, BatchAttributes, BatchHeader, Compression};
pub use records::{Header, Record, Records, records, records_within, records_without_key};
pub use stamp::{assign, stamp_log_append_time, stamp_max_timestamp};
pub use validate::{check_stored, validate, validate_run};
pub use walk::Batches;

#[cfg(test)]
mod tests;
