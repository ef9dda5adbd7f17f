//! Record content, its stamp, and the check of both.
//!
//! ```text
//!   0        4        8         12        16         24            32
//!   +--------+--------+---------+---------+----------+-------------+----------------
//!   | magic  | run    | producer| crc-32c | sequence | intended ns | noise
//!   +--------+--------+---------+---------+----------+-------------+----------------
//! ```
//!
//! Little-endian. The checksum covers the whole value with its own field as zero. A sequence counts the records of one
//! producer to one partition, from 0.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use corelog_client::PreparedBatch;
use corelog_client::core::batch_of_values;
use wire::batch::{BATCH_HEADER_BYTES, crc32c};

/// The stamp at the beginning of a value.
pub(crate) const STAMP_BYTES: usize = 32;
const MAGIC: u32 = 0x6c6f_6164;
const CRC: std::ops::Range<usize> = 12..16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) run: u32,
    pub(crate) producer: u32,
    pub(crate) sequence: u64,
    pub(crate) intended_ns: u64,
}

impl Stamp {
    /// Writes the stamp, and the checksum if `check`.
    pub(crate) fn write(&self, value: &mut [u8], check: bool) {
        value[..4].copy_from_slice(&MAGIC.to_le_bytes());
        value[4..8].copy_from_slice(&self.run.to_le_bytes());
        value[8..12].copy_from_slice(&self.producer.to_le_bytes());
        value[CRC].fill(0);
        value[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        value[24..32].copy_from_slice(&self.intended_ns.to_le_bytes());
        if check {
            let crc = crc32c(value);
            value[CRC].copy_from_slice(&crc.to_le_bytes());
        }
    }

    /// The stamp of a value; `None` for what this generator did not write.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let value: &[u8; STAMP_BYTES] = value.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        (word(0) == MAGIC).then(|| Self {
            run: word(4),
            producer: word(8),
            sequence: long(16),
            intended_ns: long(24),
        })
    }
}

/// Whether the checksum of a stamped value is right.
fn is_whole(value: &[u8]) -> bool {
    let mut bytes = value.to_vec();
    let found = [bytes[12], bytes[13], bytes[14], bytes[15]];
    bytes[CRC].fill(0);
    crc32c(&bytes).to_le_bytes() == found
}

/// A value of noise that no codec shrinks and no two runs share.
pub(crate) fn noise(bytes: usize, mut seed: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value.extend_from_slice(&(seed ^ seed >> 29).to_le_bytes());
    }
    value.truncate(bytes);
    value
}

/// A batch made once and sent many times: only the stamp of its first record changes. The rest is shared, not copied.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    batch: PreparedBatch,
    /// Where the value of the first record begins in the records apart.
    value_at: usize,
    value_bytes: usize,
    stamped: bool,
}

impl Template {
    pub(crate) fn new(records: usize, record_size: usize, stamped: bool, seed: u64) -> Self {
        let value = noise(record_size, seed);
        let batch =
            PreparedBatch::new(batch_of_values(&vec![&value[..]; records])).expect("it was just built");
        let first_bytes = batch_of_values(&[&value]).len() - BATCH_HEADER_BYTES;
        // Behind the value of a record stands one byte: no headers.
        let value_at = first_bytes - 1 - record_size;
        let batch = if stamped { batch.split_first(first_bytes) } else { batch.reusable() };
        Self { batch, value_at, value_bytes: record_size, stamped }
    }

    /// The next batch to send.
    pub(crate) fn batch(&self, wall_ms: i64, stamp: &Stamp) -> PreparedBatch {
        let mut batch = self.batch.clone();
        batch.set_timestamp_ms(wall_ms);
        if self.stamped {
            let mut first = BytesMut::from(&batch.first()[..]);
            stamp.write(&mut first[self.value_at..self.value_at + self.value_bytes], false);
            batch.replace_first(first.freeze());
        }
        batch
    }
}

/// A batch whose every record carries its own stamp and checksum.
pub(crate) fn stamped_batch(noise: &[u8], records: usize, first: Stamp, wall_ms: i64) -> PreparedBatch {
    let mut values = vec![noise.to_vec(); records];
    for (sequence, value) in (first.sequence..).zip(&mut values) {
        Stamp { sequence, ..first }.write(value, true);
    }
    let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let mut batch = PreparedBatch::new(batch_of_values(&slices)).expect("it was just built");
    batch.set_timestamp_ms(wall_ms);
    batch
}

/// What a reader has seen: each producer's records of a partition follow each other.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    next: HashMap<(u32, u32, u32), u64>,
    /// Records that are damaged, doubled, missing or out of order.
    pub(crate) wrong: u64,
    /// The first of them, in words.
    pub(crate) first_wrong: Option<String>,
}

impl Checker {
    pub(crate) fn check(&mut self, partition: u32, offset: i64, value: Option<&Bytes>) {
        let problem = match value.and_then(|value| Stamp::read(value).map(|stamp| (stamp, value))) {
            None => Some("it was not written with --verify".to_owned()),
            Some((_, value)) if !is_whole(value) => Some("its checksum is wrong".to_owned()),
            Some((stamp, _)) => {
                let next = self.next.entry((stamp.run, stamp.producer, partition)).or_insert(stamp.sequence);
                let expected = std::mem::replace(next, stamp.sequence + 1);
                (expected != stamp.sequence)
                    .then(|| format!("sequence {} follows where {expected} was expected", stamp.sequence))
            }
        };
        if let Some(problem) = problem {
            self.wrong += 1;
            self.first_wrong
                .get_or_insert_with(|| format!("partition {partition}, offset {offset}: {problem}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_damage_or_a_gap_is_seen() {
        let stamp = Stamp { run: 1, producer: 2, sequence: 7, intended_ns: u64::MAX - 1 };
        let mut value = noise(100, 5);
        assert_eq!(Stamp::read(&value), None);
        stamp.write(&mut value, true);
        assert_eq!(Stamp::read(&value), Some(stamp));
        let mut checker = Checker::default();
        checker.check(0, 10, Some(&value.clone().into()));
        assert_eq!(checker.wrong, 0);
        checker.check(0, 11, Some(&value.clone().into()));
        assert_eq!(checker.wrong, 1, "the same record twice");
        value[50] ^= 1;
        checker.check(0, 12, Some(&value.into()));
        checker.check(0, 13, None);
        assert_eq!(checker.wrong, 3);
    }

    #[test]
    fn the_stamp_of_a_template_is_where_a_reader_finds_it() {
        let template = Template::new(50, 1_000, true, 3);
        let stamp = Stamp { run: 9, producer: 0, sequence: 4, intended_ns: 5 };
        let batch = template.batch(77, &stamp);
        let first = &batch.first()[template.value_at..];
        assert_eq!(Stamp::read(first), Some(stamp));
        assert_eq!(batch.record_count(), 50);
    }
}
