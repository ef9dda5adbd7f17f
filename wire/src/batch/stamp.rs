//! What the broker writes into a batch it accepted.
//!
//! Hot path.

use super::BatchAttributes;
use super::checksum::crc32c;
use super::header::BATCH_HEADER_BYTES;
use super::position::{ATTRIBUTES, BASE_OFFSET, CRC, LEADER_EPOCH, MAX_TIMESTAMP};
use crate::layout::{field, set_field};

/// Gives the batch at the beginning of `bytes` its offset and leader epoch, in place. Both lie outside the checksum.
///
/// # Panics
/// When `bytes` is shorter than a header: the caller validated it before.
pub fn assign(bytes: &mut [u8], base_offset: i64, leader_epoch: i32) {
    let header = header_of(bytes);
    set_field(header, BASE_OFFSET, base_offset.to_be_bytes());
    set_field(header, LEADER_EPOCH, leader_epoch.to_be_bytes());
}

/// Sets the latest timestamp of one whole batch, and computes the checksum again, which reads the whole batch.
///
/// # Panics
/// When `bytes` is shorter than a header: the caller validated it before.
pub fn stamp_max_timestamp(bytes: &mut [u8], max_timestamp_ms: i64) {
    set_field(header_of(bytes), MAX_TIMESTAMP, max_timestamp_ms.to_be_bytes());
    let crc = crc32c(bytes.get(ATTRIBUTES..).unwrap_or_default());
    set_field(header_of(bytes), CRC, crc.to_be_bytes());
}

/// Gives every record of one whole batch the time of its append: sets the flag and the header's maximum, and computes the
/// checksum again, which reads the whole batch.
///
/// # Panics
/// When `bytes` is shorter than a header: the caller validated it before.
pub fn stamp_log_append_time(bytes: &mut [u8], now_ms: i64) {
    let header = header_of(bytes);
    let attributes = u16::from_be_bytes(field(header, ATTRIBUTES)) | BatchAttributes::LOG_APPEND_TIME;
    set_field(header, ATTRIBUTES, attributes.to_be_bytes());
    stamp_max_timestamp(bytes, now_ms);
}

fn header_of(bytes: &mut [u8]) -> &mut [u8; BATCH_HEADER_BYTES] {
    let found = bytes.len();
    match bytes.first_chunk_mut() {
        Some(header) => header,
        None => panic!("a batch header takes {BATCH_HEADER_BYTES} bytes, {found} were given"),
    }
}
