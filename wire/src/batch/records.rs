//! The records of a batch, read: for clients and tools, and for a broker that is asked what a batch holds.

use std::borrow::Cow;
use std::iter::FusedIterator;

use bytes::Bytes;

use super::compress::decompress;
use super::header::BATCH_HEADER_BYTES;
use super::validate::take_record;
use super::varint::{take_varint, take_varlong};
use super::{BatchError, BatchHeader, Compression, RecordProblem};
use crate::limits;

/// One header of a record. Keys are UTF-8 by Kafka's rule, which no broker checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

impl Header {
    /// The key for people: what is not UTF-8 is replaced.
    pub fn key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }
}

/// One record. Its bytes are slices of the batch, or of what the batch was decompressed into: holding one holds all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    /// Milliseconds since 1970; the broker's time with log append time.
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// The records of one whole batch. The checksum is not looked at ([`super::check_stored`] does that); compressed records are
/// decompressed at once, to at most [`limits::UNCOMPRESSED_BATCH_BYTES_MAX`] bytes.
pub fn records(batch: &Bytes) -> Result<Records, BatchError> {
    records_within(batch, limits::UNCOMPRESSED_BATCH_BYTES_MAX)
}

/// [`records`] of a batch that decompresses to no more than `bytes_max`; else [`BatchError::DecompressedTooLarge`].
pub fn records_within(batch: &Bytes, bytes_max: usize) -> Result<Records, BatchError> {
    let header = BatchHeader::parse(batch)?;
    if header.length > batch.len() {
        return Err(BatchError::Short { needed: header.length, found: batch.len() });
    }
    let stored = batch.slice(BATCH_HEADER_BYTES..header.length);
    let records = match header.attributes.compression()? {
        Compression::None => stored,
        codec => Bytes::from(decompress(codec, &stored, bytes_max)?),
    };
    let BatchHeader { record_count, last_offset_delta, .. } = header;
    match u32::try_from(record_count) {
        Ok(remaining) => Ok(Records { header, position: 0, records, index: 0, remaining }),
        Err(_) => Err(BatchError::Count { record_count, last_offset_delta }),
    }
}

/// The places in a whole batch of records without a key, as those of a compacted topic must not be; of very many the first
/// `count_max`. Of a batch that decompresses to more than `bytes_max` it is believed that there are none.
pub fn records_without_key(
    batch: &Bytes,
    bytes_max: usize,
    count_max: usize,
) -> Result<Vec<u32>, BatchError> {
    let records = match records_within(batch, bytes_max) {
        Err(BatchError::DecompressedTooLarge { .. }) => return Ok(Vec::new()),
        records => records?,
    };
    let mut found = Vec::new();
    for (place, record) in (0..).zip(records) {
        if record?.key.is_none() && found.len() < count_max {
            found.push(place);
        }
    }
    Ok(found)
}

/// An iterator over records. After an error it ends.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    /// Uncompressed.
    records: Bytes,
    position: usize,
    index: u32,
    remaining: u32,
}

impl Records {
    /// The batch's header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    fn read_next(&mut self) -> Result<Record, RecordProblem> {
        let mut rest = self.records.get(self.position..).unwrap_or_default();
        let mut fields = take_record(&mut rest)?;
        let record = self.read_record(&mut fields)?;
        if !fields.is_empty() {
            return Err(RecordProblem::Trailing { bytes: fields.len() });
        }
        if self.remaining == 1 && !rest.is_empty() {
            return Err(RecordProblem::Trailing { bytes: rest.len() });
        }
        self.position = self.records.len() - rest.len();
        self.index += 1;
        self.remaining -= 1;
        Ok(record)
    }

    fn read_record(&self, fields: &mut &[u8]) -> Result<Record, RecordProblem> {
        let Some((_attributes, after)) = fields.split_first() else {
            return Err(RecordProblem::Length { length: 0 });
        };
        *fields = after;
        let timestamp_delta = take_varlong(fields).ok_or(RecordProblem::Varint)?;
        let timestamp_ms = if self.header.attributes.is_log_append_time() {
            self.header.max_timestamp_ms
        } else {
            self.header.base_timestamp_ms.checked_add(timestamp_delta).ok_or(RecordProblem::Timestamp)?
        };
        let offset_delta = take_varint(fields).ok_or(RecordProblem::Varint)?;
        let expected = self.index;
        let offset = u64::try_from(offset_delta)
            .ok()
            .and_then(|delta| self.header.base_offset.checked_add_unsigned(delta))
            .ok_or(RecordProblem::OffsetDelta { expected, found: offset_delta })?;
        let key = self.take_field(fields, "key")?;
        let value = self.take_field(fields, "value")?;
        let headers = self.take_headers(fields)?;
        Ok(Record { offset, timestamp_ms, key, value, headers })
    }

    fn take_headers(&self, fields: &mut &[u8]) -> Result<Vec<Header>, RecordProblem> {
        let count = take_varint(fields).ok_or(RecordProblem::Varint)?;
        let within = |count: &usize| *count <= limits::HEADERS_PER_RECORD_MAX;
        let Some(headers) = usize::try_from(count).ok().filter(within) else {
            return Err(RecordProblem::HeaderCount { count });
        };
        // A header takes two bytes at least: the vector is no larger than the record can fill.
        let mut taken = Vec::with_capacity(headers.min(fields.len() / 2));
        for _ in 0..headers {
            let Some(key) = self.take_field(fields, "header key")? else {
                return Err(RecordProblem::Field { field: "header key", length: -1 });
            };
            let value = self.take_field(fields, "header value")?;
            taken.push(Header { key, value });
        }
        Ok(taken)
    }

    fn take_field(&self, fields: &mut &[u8], field: &'static str) -> Result<Option<Bytes>, RecordProblem> {
        let length = take_varint(fields).ok_or(RecordProblem::Varint)?;
        if length == -1 {
            return Ok(None);
        }
        let split = usize::try_from(length).ok().and_then(|bytes| fields.split_at_checked(bytes));
        let Some((taken, after)) = split else {
            return Err(RecordProblem::Field { field, length });
        };
        *fields = after;
        Ok(Some(self.records.slice_ref(taken)))
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        let (index, position) = (self.index, BATCH_HEADER_BYTES + self.position);
        let next = self.read_next().map_err(|problem| BatchError::Record { index, position, problem });
        if next.is_err() {
            self.remaining = 0;
        }
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let possible = (self.records.len() - self.position) / limits::RECORD_BYTES_MIN;
        (0, usize::try_from(self.remaining).ok().map(|remaining| remaining.min(possible + 1)))
    }
}

impl FusedIterator for Records {}
