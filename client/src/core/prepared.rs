//! A finished batch, ready to be given an identity and sent, again and again if need be.
//!
//! Hot path. The 61 header bytes are kept beside the records, so that a retry under another identity, or a load
//! generator that sends the same records many times, changes the header only and never copies a record. The checksum of
//! the records is known, and joined with the header's.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum_combine};
use wire::batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, crc32c};

/// Records above this are checksummed once and joined; below, computing anew is cheaper than joining.
const COMBINE_BYTES_MIN: usize = 16 * 1024;

// Positions in the header, see `wire::batch`.
const LENGTH: usize = 8;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;

/// One whole batch in up to three pieces: its header, and its records in two runs.
#[derive(Clone, Debug)]
pub struct PreparedBatch {
    header: [u8; BATCH_HEADER_BYTES],
    runs: [Bytes; 2],
    /// CRC-32C of the long second run, where it is long enough for joining to pay.
    tail_crc: Option<u32>,
    record_count: u32,
}

impl PreparedBatch {
    /// From one whole batch. Only its structure is checked.
    pub fn new(mut batch: Bytes) -> Result<Self, BatchError> {
        let parsed = BatchHeader::parse(&batch)?;
        if parsed.length != batch.len() {
            return Err(BatchError::Short { needed: parsed.length, found: batch.len() });
        }
        let mut header = [0; BATCH_HEADER_BYTES];
        header.copy_from_slice(&batch.split_to(BATCH_HEADER_BYTES));
        let tail_crc = (batch.len() >= COMBINE_BYTES_MIN).then(|| crc32c(&batch));
        let record_count = u32::try_from(parsed.record_count).unwrap_or(0);
        Ok(Self { header, runs: [Bytes::new(), batch], tail_crc, record_count })
    }

    /// From what the builder just finished, stamp and checksum included: the checksum of the records is computed if ever
    /// the batch needs another stamp.
    pub(crate) fn finished(mut batch: Bytes, record_count: u32) -> Self {
        let mut header = [0; BATCH_HEADER_BYTES];
        header.copy_from_slice(&batch.split_to(BATCH_HEADER_BYTES));
        Self { header, runs: [Bytes::new(), batch], tail_crc: None, record_count }
    }

    /// The same batch with its first `bytes` of records apart, so that [`PreparedBatch::replace_first`] can change them.
    ///
    /// # Panics
    /// If the batch was split before, or has fewer bytes of records.
    #[must_use]
    pub fn split_first(mut self, bytes: usize) -> Self {
        assert!(self.runs[0].is_empty(), "a batch is split once");
        self.runs[0] = self.runs[1].split_to(bytes);
        self.tail_crc = (self.runs[1].len() >= COMBINE_BYTES_MIN).then(|| crc32c(&self.runs[1]));
        self
    }

    /// The records apart from the rest.
    pub fn first(&self) -> &Bytes {
        &self.runs[0]
    }

    /// Puts other records of the same length in the place of those apart.
    ///
    /// # Panics
    /// If the length differs: the header's would be wrong.
    pub fn replace_first(&mut self, first: Bytes) {
        assert_eq!(first.len(), self.runs[0].len(), "the records apart keep their length");
        self.runs[0] = first;
    }

    /// Moves the batch in time: all its records, as their timestamps are relative.
    pub fn set_timestamp_ms(&mut self, timestamp_ms: i64) {
        let base = i64::from_be_bytes(self.field(BASE_TIMESTAMP));
        let span = i64::from_be_bytes(self.field(MAX_TIMESTAMP)) - base;
        self.put(BASE_TIMESTAMP, &timestamp_ms.to_be_bytes());
        self.put(MAX_TIMESTAMP, &(timestamp_ms + span).to_be_bytes());
    }

    /// Header and records.
    pub fn length(&self) -> usize {
        BATCH_HEADER_BYTES + self.runs[0].len() + self.runs[1].len()
    }

    /// Records in it.
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    pub(crate) fn header_bytes(&self) -> &[u8; BATCH_HEADER_BYTES] {
        &self.header
    }

    pub(crate) fn runs(&self) -> &[Bytes; 2] {
        &self.runs
    }

    /// Writes identity and sequence and the checksum over all. `producer_id` -1 for none.
    pub(crate) fn stamp(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) {
        debug_assert_eq!(i32::from_be_bytes(self.field(LENGTH)) as usize, self.length() - LENGTH - 4);
        self.put(PRODUCER_ID, &producer_id.to_be_bytes());
        self.put(PRODUCER_EPOCH, &producer_epoch.to_be_bytes());
        self.put(BASE_SEQUENCE, &base_sequence.to_be_bytes());
        let crc = self.checksum();
        self.put(CRC, &crc.to_be_bytes());
    }

    fn checksum(&self) -> u32 {
        let algorithm = CrcAlgorithm::Crc32Iscsi;
        let mut digest = crc_fast::Digest::new(algorithm);
        digest.update(&self.header[ATTRIBUTES..]);
        digest.update(&self.runs[0]);
        match self.tail_crc {
            Some(tail_crc) => {
                let tail_bytes = self.runs[1].len() as u64;
                checksum_combine(algorithm, digest.finalize(), u64::from(tail_crc), tail_bytes) as u32
            }
            None => {
                digest.update(&self.runs[1]);
                digest.finalize() as u32
            }
        }
    }

    fn field<const N: usize>(&self, position: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.header[position..position + N]);
        field
    }

    fn put(&mut self, position: usize, bytes: &[u8]) {
        self.header[position..position + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::open_batch::batch_of_values;

    fn joined(batch: &PreparedBatch) -> Vec<u8> {
        let mut bytes = batch.header_bytes().to_vec();
        batch.runs().iter().for_each(|run| bytes.extend_from_slice(run));
        bytes
    }

    #[test]
    fn a_stamped_batch_is_valid_whether_its_checksum_was_joined_or_computed() {
        for (count, size) in [(1, 10), (1, 100_000), (1_000, 100)] {
            let value = vec![b'v'; size];
            let mut batch = PreparedBatch::new(batch_of_values(&vec![&value[..]; count])).unwrap();
            for sequence in [0, 17, i32::MAX] {
                batch.stamp(77, 3, sequence);
                let header = wire::batch::validate(&joined(&batch)).unwrap();
                assert_eq!(
                    (header.producer_id, header.producer_epoch, header.base_sequence),
                    (77, 3, sequence)
                );
                assert_eq!(header.record_count as usize, count);
            }
        }
    }

    #[test]
    fn the_records_apart_can_be_replaced_and_the_time_moved() {
        let value = vec![b'v'; 50_000];
        let mut batch = PreparedBatch::new(batch_of_values(&[&value, &value])).unwrap().split_first(50_010);
        let mut first = batch.first().to_vec();
        *first.last_mut().unwrap() ^= 0; // The last byte apart belongs to the second record: left alone.
        first[100] = b'w';
        batch.replace_first(first.into());
        batch.set_timestamp_ms(1_234);
        batch.stamp(-1, -1, -1);
        let header = wire::batch::validate(&joined(&batch)).unwrap();
        assert_eq!((header.base_timestamp_ms, header.max_timestamp_ms), (1_234, 1_234));
    }
}
