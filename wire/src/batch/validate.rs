//! Whether a batch may enter a log.
//!
//! Hot path: no allocation, one pass for the checksum and one over the records' lengths. A record's bytes other than its
//! numbers are not looked at. Only a compressed batch whose latest timestamp cannot be right is opened.

use std::ops::Range;

use super::checksum::crc32c;
use super::compress::decompress;
use super::header::BATCH_HEADER_BYTES;
use super::position::ATTRIBUTES;
use super::varint::{take_varint, take_varlong};
use super::{BatchAttributes, BatchError, BatchHeader, Batches, Compression, RecordProblem};
use crate::limits;

/// What a producer may set: the codec. Timestamps are the records' own (bit 3 clear).
const PRODUCER_ATTRIBUTES: u16 = BatchAttributes::CODEC_MASK;

/// Checks one whole batch from a producer: `bytes` is the batch and nothing else.
///
/// Refused are: a length other than the slice's, another magic, a wrong checksum, no records, a count that does not match
/// the last offset delta, control and transactional batches, log append time and flags unknown, a producer id without
/// epoch and sequence, compressed records that do not begin as their codec does, and uncompressed records whose lengths,
/// offset deltas (0, 1, 2, ...) do not fit the header.
///
/// The latest timestamp is not refused where the batch has it wrong (sarama before 1.45 writes -1), but mended as Kafka does:
/// the returned header has that of the records. Compressed ones are opened for it where the batch's is before the first of them;
/// of those that decompress to more than [`limits::OPENED_BATCH_BYTES_MAX`] it becomes the first one's.
pub fn validate(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let mut header = parse_whole(bytes)?;
    check_checksum(&header, bytes)?;
    check_header(&header)?;
    let records = bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default();
    let latest_ms = match header.attributes.compression()? {
        Compression::None => check_records(&header, records)?,
        codec => {
            check_codec(codec, records)?;
            match header.max_timestamp_ms < header.base_timestamp_ms {
                true => latest_of_compressed(&header, codec, records)?,
                false => header.max_timestamp_ms,
            }
        }
    };
    header.max_timestamp_ms = header.max_timestamp_ms.max(latest_ms);
    Ok(header)
}

/// [`validate`] for each of a run of batches. Ends after the first error.
pub fn validate_run(
    bytes: &[u8],
) -> impl Iterator<Item = Result<(Range<usize>, BatchHeader), BatchError>> + '_ {
    let mut batches = Batches::new(bytes);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let checked = batches.next()?.and_then(|(range, _)| {
            let header = validate(bytes.get(range.clone()).unwrap_or_default())?;
            Ok((range, header))
        });
        failed = checked.is_err();
        Some(checked)
    })
}

/// Checks one whole batch that a log stored: length, magic, checksum. What the broker itself wrote (log append time, and
/// markers of later versions) passes.
pub fn check_stored(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = parse_whole(bytes)?;
    check_checksum(&header, bytes)?;
    Ok(header)
}

#[inline]
fn parse_whole(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    if header.length > bytes.len() {
        return Err(BatchError::Short { needed: header.length, found: bytes.len() });
    }
    if header.length < bytes.len() {
        return Err(BatchError::Trailing { trailing: bytes.len() - header.length });
    }
    Ok(header)
}

#[inline]
fn check_checksum(header: &BatchHeader, bytes: &[u8]) -> Result<(), BatchError> {
    let computed = crc32c(bytes.get(ATTRIBUTES..).unwrap_or_default());
    if computed != header.crc {
        return Err(BatchError::Checksum { found: header.crc, computed });
    }
    Ok(())
}

fn check_header(header: &BatchHeader) -> Result<(), BatchError> {
    let attributes = header.attributes;
    if attributes.is_transactional() || attributes.is_control() {
        return Err(BatchError::Transactional { found: attributes.0 });
    }
    if attributes.is_log_append_time() {
        return Err(BatchError::LogAppendTime);
    }
    if attributes.0 & !PRODUCER_ATTRIBUTES != 0 {
        return Err(BatchError::Attributes { found: attributes.0 });
    }
    let BatchHeader { record_count, last_offset_delta, .. } = *header;
    let possible = record_count > 0 && record_count.unsigned_abs() as usize <= limits::RECORDS_PER_BATCH_MAX;
    if !possible || record_count - 1 != last_offset_delta {
        return Err(BatchError::Count { record_count, last_offset_delta });
    }
    let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = *header;
    let with_producer = producer_id >= 0 && producer_epoch >= 0 && base_sequence >= 0;
    if !with_producer && (producer_id != -1 || base_sequence > 0) {
        return Err(BatchError::Producer { producer_id, producer_epoch, base_sequence });
    }
    Ok(())
}

/// The first bytes of each codec's output. Snappy has two forms: Java's (xerial) framing, and the bare block that
/// librdkafka and franz-go write, which begins with its own length and then, as nothing can be copied yet, a literal.
fn check_codec(codec: Compression, records: &[u8]) -> Result<(), BatchError> {
    let begins_so = match codec {
        Compression::None => true,
        Compression::Gzip => records.starts_with(&[0x1f, 0x8b, 8]),
        Compression::Lz4 => records.starts_with(&[0x04, 0x22, 0x4d, 0x18]),
        Compression::Zstd => records.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]),
        Compression::Snappy => records.starts_with(&XERIAL_MAGIC) || begins_as_snappy_block(records),
    };
    if begins_so {
        return Ok(());
    }
    let mut found = [0; 4];
    for (to, from) in found.iter_mut().zip(records) {
        *to = *from;
    }
    Err(BatchError::NotCompressed { codec: codec.name(), found })
}

/// The first 8 bytes of snappy-java's stream format.
pub(super) const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];

fn begins_as_snappy_block(records: &[u8]) -> bool {
    let mut length = 0_usize;
    for (index, &byte) in records.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let tag_is_literal = records.get(index + 1).is_some_and(|tag| tag & 0b11 == 0);
            return length > 0 && length <= limits::UNCOMPRESSED_BATCH_BYTES_MAX && tag_is_literal;
        }
    }
    false
}

fn latest_of_compressed(header: &BatchHeader, codec: Compression, records: &[u8]) -> Result<i64, BatchError> {
    match decompress(codec, records, limits::OPENED_BATCH_BYTES_MAX) {
        Ok(opened) => check_records(header, &opened),
        Err(BatchError::DecompressedTooLarge { .. }) => Ok(header.base_timestamp_ms),
        Err(error) => Err(error),
    }
}

/// Walks the records, and returns their latest timestamp. A batch's position is told in errors, so `records` begins at
/// [`BATCH_HEADER_BYTES`].
fn check_records(header: &BatchHeader, records: &[u8]) -> Result<i64, BatchError> {
    let (mut rest, mut latest_ms) = (records, i64::MIN);
    for index in 0..header.record_count.unsigned_abs() {
        let position = BATCH_HEADER_BYTES + records.len() - rest.len();
        let timestamp_ms = check_record(&mut rest, header, index);
        let timestamp_ms = timestamp_ms.map_err(|problem| BatchError::Record { index, position, problem })?;
        latest_ms = latest_ms.max(timestamp_ms);
    }
    if !rest.is_empty() {
        let problem = RecordProblem::Trailing { bytes: rest.len() };
        let position = BATCH_HEADER_BYTES + records.len() - rest.len();
        return Err(BatchError::Record { index: header.record_count.unsigned_abs(), position, problem });
    }
    Ok(latest_ms)
}

/// Returns the record's timestamp.
#[inline]
fn check_record(rest: &mut &[u8], header: &BatchHeader, index: u32) -> Result<i64, RecordProblem> {
    let mut record = take_record(rest)?;
    let Some((_attributes, after)) = record.split_first() else {
        return Err(RecordProblem::Length { length: 0 });
    };
    record = after;
    let timestamp_delta = take_varlong(&mut record).ok_or(RecordProblem::Varint)?;
    let timestamp_ms = header.base_timestamp_ms.checked_add(timestamp_delta);
    let timestamp_ms = timestamp_ms.ok_or(RecordProblem::Timestamp)?;
    let offset_delta = take_varint(&mut record).ok_or(RecordProblem::Varint)?;
    if u32::try_from(offset_delta) != Ok(index) {
        return Err(RecordProblem::OffsetDelta { expected: index, found: offset_delta });
    }
    skip_field(&mut record, "key", -1)?;
    skip_field(&mut record, "value", -1)?;
    let header_count = take_varint(&mut record).ok_or(RecordProblem::Varint)?;
    if header_count != 0 {
        skip_headers(&mut record, header_count)?;
    }
    if !record.is_empty() {
        return Err(RecordProblem::Trailing { bytes: record.len() });
    }
    Ok(timestamp_ms)
}

/// The bytes of the next record, without its length.
#[inline]
pub(super) fn take_record<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], RecordProblem> {
    let length = take_varint(rest).ok_or(RecordProblem::Varint)?;
    let split = usize::try_from(length).ok().and_then(|bytes| rest.split_at_checked(bytes));
    let Some((record, after)) = split else {
        return Err(RecordProblem::Length { length });
    };
    *rest = after;
    Ok(record)
}

#[inline]
fn skip_headers(record: &mut &[u8], count: i32) -> Result<(), RecordProblem> {
    if count < 0 || count.unsigned_abs() as usize > limits::HEADERS_PER_RECORD_MAX {
        return Err(RecordProblem::HeaderCount { count });
    }
    for _ in 0..count {
        skip_field(record, "header key", 0)?;
        skip_field(record, "header value", -1)?;
    }
    Ok(())
}

/// Skips a length (at least `length_min`; -1 is "none") and that many bytes.
#[inline(always)]
fn skip_field(record: &mut &[u8], field: &'static str, length_min: i32) -> Result<(), RecordProblem> {
    let length = take_varint(record).ok_or(RecordProblem::Varint)?;
    if length < length_min {
        return Err(RecordProblem::Field { field, length });
    }
    let bytes = usize::try_from(length).unwrap_or(0);
    match record.get(bytes..) {
        Some(after) => {
            *record = after;
            Ok(())
        }
        None => Err(RecordProblem::Field { field, length }),
    }
}
