//! A finished batch, ready to be given an identity and sent, again and again if need be.
//!
//! Hot path. The 61 header bytes are kept beside the records, so that a retry under another identity, or a load
//! generator that sends the same records many times, changes the header only and never copies a record. For the latter
//! the checksum of the records is computed once, and joined with the header's.

use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum_combine};
use wire::batch::position::{
    ATTRIBUTES, BASE_SEQUENCE, BASE_TIMESTAMP, CRC, LENGTH, LENGTH_COUNTS_FROM, MAX_TIMESTAMP,
    PRODUCER_EPOCH, PRODUCER_ID,
};
use wire::batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, crc32c};

const ALGORITHM: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

/// One whole batch in up to three pieces: its header, and its records in two runs.
#[derive(Clone, Debug)]
pub struct PreparedBatch {
    header: [u8; BATCH_HEADER_BYTES],
    runs: [Bytes; 2],
    /// Of the second run, in a batch that is sent many times.
    tail: Option<Arc<Tail>>,
    record_count: u32,
}

/// A checksum that can be joined to one of what comes before it.
#[derive(Debug)]
struct Tail {
    crc: u32,
    /// What each bit of the checksum before has become after as many bytes as the tail has. Joining is linear (see
    /// `crc32_combine` of zlib), so these decide it for every value; a join that computes them anew costs as much as the
    /// checksum of some hundred KiB.
    shifted: [u32; 32],
}

impl Tail {
    fn of(bytes: &[u8]) -> Self {
        let shift = |bit| checksum_combine(ALGORITHM, 1_u64 << bit, 0, bytes.len() as u64) as u32;
        Self { crc: crc32c(bytes), shifted: std::array::from_fn(shift) }
    }

    fn join(&self, before: u32) -> u32 {
        let set = self.shifted.iter().enumerate().filter(|(bit, _)| before >> bit & 1 == 1);
        set.fold(self.crc, |joined, (_, shifted)| joined ^ shifted)
    }
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
        let record_count = u32::try_from(parsed.record_count).unwrap_or(0);
        Ok(Self { header, runs: [Bytes::new(), batch], tail: None, record_count })
    }

    /// From what the builder just finished, stamp and checksum included: the checksum of the records is computed if ever
    /// the batch needs another stamp.
    pub(crate) fn finished(mut batch: Bytes, record_count: u32) -> Self {
        let mut header = [0; BATCH_HEADER_BYTES];
        header.copy_from_slice(&batch.split_to(BATCH_HEADER_BYTES));
        Self { header, runs: [Bytes::new(), batch], tail: None, record_count }
    }

    /// The same batch, made to be stamped many times: the checksum of its records is computed here, once.
    #[must_use]
    pub fn reusable(mut self) -> Self {
        self.tail = Some(Arc::new(Tail::of(&self.runs[1])));
        self
    }

    /// The same batch, [reusable](PreparedBatch::reusable), with its first `bytes` of records apart, so that [`PreparedBatch::replace_first`] can change them.
    ///
    /// # Panics
    /// If the batch was split before, or has fewer bytes of records.
    #[must_use]
    pub fn split_first(mut self, bytes: usize) -> Self {
        assert!(self.runs[0].is_empty(), "a batch is split once");
        self.runs[0] = self.runs[1].split_to(bytes);
        self.reusable()
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
        debug_assert_eq!(i32::from_be_bytes(self.field(LENGTH)) as usize, self.length() - LENGTH_COUNTS_FROM);
        self.put(PRODUCER_ID, &producer_id.to_be_bytes());
        self.put(PRODUCER_EPOCH, &producer_epoch.to_be_bytes());
        self.put(BASE_SEQUENCE, &base_sequence.to_be_bytes());
        let crc = self.checksum();
        self.put(CRC, &crc.to_be_bytes());
    }

    fn checksum(&self) -> u32 {
        let mut digest = crc_fast::Digest::new(ALGORITHM);
        digest.update(&self.header[ATTRIBUTES..]);
        digest.update(&self.runs[0]);
        match &self.tail {
            Some(tail) => tail.join(digest.finalize() as u32),
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
            let batch = PreparedBatch::new(batch_of_values(&vec![&value[..]; count])).unwrap();
            for (mut batch, sequence) in
                [(batch.clone(), 0), (batch.clone().reusable(), 17), (batch.reusable(), i32::MAX)]
            {
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
