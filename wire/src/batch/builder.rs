//! Batches, made: the client's side.
//!
//! Records are written once, behind room left for the header; a batch without compression is finished in place.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::checksum::crc32c;
use super::compress::compress;
use super::header::{BATCH_HEADER_BYTES, BATCH_MAGIC};
use super::position::{ATTRIBUTES, CRC, LENGTH_COUNTS_FROM};
use super::varint::{put_varint, put_varlong, varint_bytes, varlong_bytes};
use super::{Compression, Header};
use crate::layout::set_field;
use crate::limits;

/// One record to append. Nothing of it is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordRef<'a> {
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone where the topic is compacted.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header],
}

/// Who produced a batch, and its place in what that producer sent to the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Sequence of the first record.
    pub base_sequence: i32,
}

impl ProducerStamp {
    /// Not idempotent: a retry may be stored twice.
    pub const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// A batch that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    #[error("a batch of {found} bytes is above the limit of {limit}")]
    TooLarge { found: usize, limit: usize },
    #[error("{found} headers, at most {limit} are taken")]
    TooManyHeaders { found: usize, limit: usize },
    #[error("timestamp {timestamp_ms} is too far from the batch's first, {base_timestamp_ms}")]
    Timestamp { timestamp_ms: i64, base_timestamp_ms: i64 },
    #[error("a batch holds one record at least")]
    Empty,
    #[error("cannot compress: {reason}")]
    Compress { reason: String },
}

/// Gathers records into a batch. One may be used for batch after batch: its memory comes back when the batches
/// it gave are dropped.
#[derive(Debug)]
pub struct BatchBuilder {
    compression: Compression,
    /// Room for the header, then the records, uncompressed.
    bytes: BytesMut,
    record_count: i32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            bytes: BytesMut::new(),
            record_count: 0,
            base_timestamp_ms: 0,
            max_timestamp_ms: 0,
        }
    }

    /// An empty batch with room for so many bytes, header included.
    pub fn with_capacity(compression: Compression, bytes: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(bytes), ..Self::new(compression) }
    }

    /// Records so far.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// No record yet.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes so far, header included, before compression.
    pub fn bytes(&self) -> usize {
        self.bytes.len().max(BATCH_HEADER_BYTES)
    }

    /// Bytes [`BatchBuilder::append`] would add for this record; the length it gave is exact.
    pub fn bytes_of(&self, record: &RecordRef<'_>) -> usize {
        let fields = self.fields_bytes(record);
        fields.saturating_add(length_bytes(fields))
    }

    /// Adds a record at the end.
    pub fn append(&mut self, record: &RecordRef<'_>) -> Result<(), BuildError> {
        let base_timestamp_ms = if self.is_empty() { record.timestamp_ms } else { self.base_timestamp_ms };
        let Some(timestamp_delta) = record.timestamp_ms.checked_sub(base_timestamp_ms) else {
            return Err(BuildError::Timestamp { timestamp_ms: record.timestamp_ms, base_timestamp_ms });
        };
        if record.headers.len() > limits::HEADERS_PER_RECORD_MAX {
            let limit = limits::HEADERS_PER_RECORD_MAX;
            return Err(BuildError::TooManyHeaders { found: record.headers.len(), limit });
        }
        let fields = self.fields_bytes(record);
        let found = self.bytes().saturating_add(fields).saturating_add(length_bytes(fields));
        // Below this limit every length fits an i32.
        if found > limits::BATCH_BYTES_MAX {
            return Err(BuildError::TooLarge { found, limit: limits::BATCH_BYTES_MAX });
        }
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.put_bytes(0, BATCH_HEADER_BYTES);
            self.base_timestamp_ms = record.timestamp_ms;
            self.max_timestamp_ms = record.timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(record.timestamp_ms);
        self.bytes.reserve(found - self.bytes.len());
        put_varint(&mut self.bytes, length_of(fields));
        self.bytes.put_u8(0);
        put_varlong(&mut self.bytes, timestamp_delta);
        put_varint(&mut self.bytes, self.record_count);
        put_field(&mut self.bytes, record.key);
        put_field(&mut self.bytes, record.value);
        put_varint(&mut self.bytes, length_of(record.headers.len()));
        for header in record.headers {
            put_field(&mut self.bytes, Some(&header.key));
            put_field(&mut self.bytes, header.value.as_deref());
        }
        assert_eq!(self.bytes.len(), found, "a record took another length than was computed");
        self.record_count += 1;
        Ok(())
    }

    /// Finishes the batch (base offset 0, leader epoch -1: the log gives them) and begins the next one.
    pub fn finish(&mut self, producer: ProducerStamp) -> Result<Bytes, BuildError> {
        if self.is_empty() {
            return Err(BuildError::Empty);
        }
        let mut batch = self.bytes.split();
        let record_count = std::mem::take(&mut self.record_count);
        if self.compression != Compression::None {
            let records = batch.get(BATCH_HEADER_BYTES..).unwrap_or_default();
            let mut compressed = vec![0; BATCH_HEADER_BYTES];
            compress(self.compression, records, &mut compressed)
                .map_err(|error| BuildError::Compress { reason: error.to_string() })?;
            batch = BytesMut::from(Bytes::from(compressed));
        }
        if batch.len() > limits::BATCH_BYTES_MAX {
            return Err(BuildError::TooLarge { found: batch.len(), limit: limits::BATCH_BYTES_MAX });
        }
        self.write_header(&mut batch, record_count, producer);
        Ok(batch.freeze())
    }

    fn write_header(&self, batch: &mut BytesMut, record_count: i32, producer: ProducerStamp) {
        let length = length_of(batch.len() - LENGTH_COUNTS_FROM);
        let mut header = [0; BATCH_HEADER_BYTES];
        let mut cursor = &mut header[..];
        cursor.put_i64(0);
        cursor.put_i32(length);
        cursor.put_i32(-1);
        cursor.put_u8(BATCH_MAGIC);
        cursor.put_u32(0);
        cursor.put_u16(self.compression as u16);
        cursor.put_i32(record_count - 1);
        cursor.put_i64(self.base_timestamp_ms);
        cursor.put_i64(self.max_timestamp_ms);
        cursor.put_i64(producer.producer_id);
        cursor.put_i16(producer.producer_epoch);
        cursor.put_i32(producer.base_sequence);
        cursor.put_i32(record_count);
        assert_eq!(cursor.len(), 0, "a batch header is {BATCH_HEADER_BYTES} bytes");
        match batch.first_chunk_mut() {
            Some(room) => *room = header,
            None => unreachable!("room for the header is left before the first record"),
        }
        let crc = crc32c(batch.get(ATTRIBUTES..).unwrap_or_default());
        if let Some(header) = batch.first_chunk_mut::<BATCH_HEADER_BYTES>() {
            set_field(header, CRC, crc.to_be_bytes());
        }
    }

    /// Bytes of a record without the length in front of it.
    fn fields_bytes(&self, record: &RecordRef<'_>) -> usize {
        let base_timestamp_ms = if self.is_empty() { record.timestamp_ms } else { self.base_timestamp_ms };
        let timestamp_delta = record.timestamp_ms.wrapping_sub(base_timestamp_ms);
        let mut bytes = 1 + varlong_bytes(timestamp_delta) + varint_bytes(self.record_count);
        bytes = bytes.saturating_add(field_bytes(record.key)).saturating_add(field_bytes(record.value));
        bytes = bytes.saturating_add(length_bytes(record.headers.len()));
        for header in record.headers {
            bytes = bytes
                .saturating_add(field_bytes(Some(&header.key)))
                .saturating_add(field_bytes(header.value.as_deref()));
        }
        bytes
    }
}

/// A length as the format's signed 32 bits. Lengths beyond are refused by `append` before anything is written.
fn length_of(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

fn length_bytes(bytes: usize) -> usize {
    varint_bytes(length_of(bytes))
}

fn field_bytes(field: Option<&[u8]>) -> usize {
    match field {
        Some(bytes) => length_bytes(bytes.len()).saturating_add(bytes.len()),
        None => varint_bytes(-1),
    }
}

fn put_field(out: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        Some(bytes) => {
            put_varint(out, length_of(bytes.len()));
            out.put_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}
