//! What a partition remembers of its idempotent producers, so that a retry is answered and not stored twice.
//!
//! A pure state machine: the log asks before it places a batch and tells it afterwards; after a restart the state comes
//! from a snapshot and the batches behind it. Rules, as Kafka's: a known producer goes on without a gap, and with a new epoch
//! begins at sequence 0; one that is not known, because its records or this memory of it have gone, goes on wherever it is.
//! A batch from before that is none of the last five is out of order, and never said to be stored: it may be one that was
//! refused for a moment while those behind it were taken, and clients take a duplicate for a success.
//! Beyond Kafka's: of batches under way together that were refused on a full disk, the first has to come back first. If
//! the second were stored, the first could never follow.

use std::collections::{BTreeMap, VecDeque};

use wire::batch::BatchHeader;

use crate::error::{AppendError, FormatError};
use crate::journal::format::Get;
use crate::limits::{PRODUCER_BATCHES_REMEMBERED, PRODUCER_HOURS_REMEMBERED, PRODUCERS_PER_PARTITION_MAX};
use crate::options::PartitionUid;

const MAGIC: u32 = u32::from_le_bytes(*b"CLPS");
const VERSION: u16 = 3;
/// Its producers have no timestamps.
const VERSION_WITHOUT_TIMES: u16 = 2;
const HEADER_BYTES: usize = 32;
/// With its batches: how much room a snapshot is given.
const PRODUCER_BYTES: usize = 32 + 16 * PRODUCER_BATCHES_REMEMBERED;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoredBatch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// Orders producers by their last batch: who was silent for longest is forgotten first.
    last_offset: i64,
    /// The largest of its last batch; -1 where an older snapshot does not say.
    last_timestamp_ms: i64,
    batches: VecDeque<StoredBatch>,
    /// Since its last batch, or since the log was loaded.
    hours_silent: u8,
}

/// A producer as others are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStanding {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Of its last record.
    pub last_sequence: i32,
    /// The largest of its last batch; -1 where that is not known.
    pub last_timestamp_ms: i64,
}

/// What to do with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Store,
    /// Stored before, beginning at this offset.
    Duplicate {
        base_offset: i64,
    },
    Refuse(AppendError),
}

/// The producers of one partition. `BTreeMap`, so that snapshots of equal states are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    producers: BTreeMap<i64, Producer>,
    /// Of producers that are not known: the first batch that was refused for want of space. Not kept over a restart, which
    /// also ends the connections on which others were under way behind it.
    refused: BTreeMap<i64, RefusedBatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RefusedBatch {
    epoch: i16,
    first_sequence: i32,
    /// Since it came last.
    hours_silent: u8,
}

impl Producers {
    pub(crate) fn len(&self) -> usize {
        self.producers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Each producer, in the order of the ids.
    pub(crate) fn standing(&self) -> Vec<ProducerStanding> {
        let standing = |(id, producer): (&i64, &Producer)| ProducerStanding {
            producer_id: *id,
            producer_epoch: producer.epoch,
            last_sequence: producer.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_timestamp_ms: producer.last_timestamp_ms,
        };
        self.producers.iter().map(standing).collect()
    }

    /// Judges a batch; batches without a producer id are always stored.
    pub(crate) fn judge(&self, header: &BatchHeader) -> Verdict {
        if header.producer_id < 0 {
            return Verdict::Store;
        }
        let producer_id = header.producer_id;
        let found = header.base_sequence;
        let is_at = |expected: i32| match found == expected {
            true => Verdict::Store,
            false => Verdict::Refuse(AppendError::OutOfOrderSequence { producer_id, expected, found }),
        };
        let Some(producer) = self.producers.get(&producer_id) else {
            return match self.refused.get(&producer_id) {
                Some(first) if first.epoch == header.producer_epoch => is_at(first.first_sequence),
                _ => Verdict::Store,
            };
        };
        if header.producer_epoch < producer.epoch {
            let (current, found) = (producer.epoch, header.producer_epoch);
            return Verdict::Refuse(AppendError::ProducerFenced { producer_id, current, found });
        }
        if header.producer_epoch > producer.epoch {
            return is_at(0);
        }
        let last_sequence = sequence_after(found, header.last_offset_delta);
        let same =
            |stored: &&StoredBatch| stored.first_sequence == found && stored.last_sequence == last_sequence;
        if let Some(stored) = producer.batches.iter().find(same) {
            return Verdict::Duplicate { base_offset: stored.base_offset };
        }
        let last = producer.batches.back().expect("a producer is known by a batch");
        is_at(sequence_after(last.last_sequence, 1))
    }

    /// Takes note of a batch that was placed.
    pub(crate) fn stored(&mut self, header: &BatchHeader, base_offset: i64) {
        if header.producer_id < 0 {
            return;
        }
        let producer = self.producers.entry(header.producer_id).or_insert_with(|| Producer {
            epoch: header.producer_epoch,
            last_offset: base_offset,
            last_timestamp_ms: header.max_timestamp_ms,
            batches: VecDeque::with_capacity(PRODUCER_BATCHES_REMEMBERED),
            hours_silent: 0,
        });
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == PRODUCER_BATCHES_REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(StoredBatch {
            first_sequence: header.base_sequence,
            last_sequence: sequence_after(header.base_sequence, header.last_offset_delta),
            base_offset,
        });
        producer.last_offset = base_offset + i64::from(header.last_offset_delta);
        producer.last_timestamp_ms = header.max_timestamp_ms;
        producer.hours_silent = 0;
        self.refused.remove(&header.producer_id);
        if self.producers.len() > PRODUCERS_PER_PARTITION_MAX {
            self.forget_the_most_silent();
        }
    }

    /// Takes note of a batch that could not be placed, and would have been judged later.
    pub(crate) fn could_not_be_stored(&mut self, header: &BatchHeader) {
        let is_known = header.producer_id < 0 || self.producers.contains_key(&header.producer_id);
        if is_known || self.refused.len() >= PRODUCERS_PER_PARTITION_MAX {
            return;
        }
        let (epoch, first_sequence) = (header.producer_epoch, header.base_sequence);
        let refused = RefusedBatch { epoch, first_sequence, hours_silent: 0 };
        let first = self.refused.entry(header.producer_id).or_insert(refused);
        if first.epoch != epoch {
            *first = refused;
        }
        first.hours_silent = 0;
    }

    /// These, read from the disk, in place of those that were there before: what was refused meanwhile is still to come first.
    pub(crate) fn with_refused_of(mut self, before: Self) -> Self {
        self.refused = before.refused;
        self.refused.retain(|id, _| !self.producers.contains_key(id));
        self
    }

    /// Forgets who has been silent for a day: nobody retries for so long.
    pub(crate) fn an_hour_passed(&mut self) {
        let is_remembered = |hours_silent: &mut u8| {
            *hours_silent += 1;
            *hours_silent <= PRODUCER_HOURS_REMEMBERED
        };
        self.refused.retain(|_, first| is_remembered(&mut first.hours_silent));
        self.producers.retain(|_, producer| is_remembered(&mut producer.hours_silent));
    }

    fn forget_the_most_silent(&mut self) {
        let silent =
            self.producers.iter().min_by_key(|(_, producer)| producer.last_offset).map(|(id, _)| *id);
        if let Some(id) = silent {
            self.producers.remove(&id);
        }
    }

    /// The state after all batches below `next_offset`: magic "CLPS", version u16, u16 zero, partition uid u64, next offset
    /// i64, producer count u32, crc32fast of what was before and the rest; then per producer id i64, epoch i16, batch count
    /// u16, u32 zero, last offset i64, last timestamp i64 and its batches (first sequence i32, last sequence i32, base offset
    /// i64). Little-endian. Version 2 has no timestamps.
    pub(crate) fn encode(&self, uid: PartitionUid, next_offset: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.producers.len() * PRODUCER_BYTES);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&uid.0.to_le_bytes());
        out.extend_from_slice(&next_offset.to_le_bytes());
        out.extend_from_slice(&(self.producers.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for (id, producer) in &self.producers {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&producer.epoch.to_le_bytes());
            out.extend_from_slice(&(producer.batches.len() as u16).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&producer.last_offset.to_le_bytes());
            out.extend_from_slice(&producer.last_timestamp_ms.to_le_bytes());
            for batch in &producer.batches {
                out.extend_from_slice(&batch.first_sequence.to_le_bytes());
                out.extend_from_slice(&batch.last_sequence.to_le_bytes());
                out.extend_from_slice(&batch.base_offset.to_le_bytes());
            }
        }
        let crc = crc_of(&out);
        out[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The state and the offset it stands for.
    pub(crate) fn decode(bytes: &[u8], uid: PartitionUid) -> Result<(Self, i64), FormatError> {
        let mut get = Get::new("producer snapshot", bytes, HEADER_BYTES)?;
        get.expect_u32("magic of a producer snapshot", MAGIC)?;
        let has_times = match get.u16() {
            VERSION_WITHOUT_TIMES => false,
            found if found != VERSION => {
                let what = "version of a producer snapshot";
                return Err(FormatError::Field { what, found: found.into(), expected: VERSION.into() });
            }
            _ => true,
        };
        let producer_header_bytes = if has_times { 32 } else { 24 };
        get.reserved("reserved bytes of a producer snapshot", 2)?;
        let found_uid = get.u64();
        let next_offset = get.u64() as i64;
        let count = get.u32();
        let (found, computed) = (get.u32(), crc_of(bytes));
        if found != computed {
            return Err(FormatError::Checksum { what: "producer snapshot", found, computed });
        }
        if found_uid != uid.0 {
            let what = "partition of a producer snapshot";
            return Err(FormatError::Field { what, found: found_uid, expected: uid.0 });
        }
        let mut rest = &bytes[HEADER_BYTES..];
        let mut producers = BTreeMap::new();
        for _ in 0..count {
            let mut get = Get::new("producer", rest, producer_header_bytes)?;
            let id = get.u64() as i64;
            let epoch = get.u16() as i16;
            let batch_count = usize::from(get.u16()).min(PRODUCER_BATCHES_REMEMBERED);
            get.reserved("reserved bytes of a producer", 4)?;
            let last_offset = get.u64() as i64;
            let last_timestamp_ms = if has_times { get.u64() as i64 } else { -1 };
            let of_batches = &rest[producer_header_bytes..];
            let mut get = Get::new("batches of a producer", of_batches, batch_count * 16)?;
            let batches = (0..batch_count)
                .map(|_| StoredBatch {
                    first_sequence: get.u32() as i32,
                    last_sequence: get.u32() as i32,
                    base_offset: get.u64() as i64,
                })
                .collect();
            producers
                .insert(id, Producer { epoch, last_offset, last_timestamp_ms, batches, hours_silent: 0 });
            rest = &of_batches[batch_count * 16..];
        }
        Ok((Self { producers, refused: BTreeMap::new() }, next_offset))
    }
}

/// Of everything but the place of the checksum itself.
fn crc_of(snapshot: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&snapshot[..HEADER_BYTES - 4]);
    hasher.update(&snapshot[HEADER_BYTES..]);
    hasher.finalize()
}

/// Sequences run from 0 to 2^31 - 1 and begin again at 0.
fn sequence_after(sequence: i32, by: i32) -> i32 {
    ((i64::from(sequence) + i64::from(by)) % (1 << 31)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};

    fn header(producer_id: i64, base_sequence: i32) -> BatchHeader {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(&RecordRef { timestamp_ms: 5, key: None, value: None, headers: &[] }).unwrap();
        let stamp = ProducerStamp { producer_id, producer_epoch: 0, base_sequence };
        BatchHeader::parse(&builder.finish(stamp).unwrap()).unwrap()
    }

    fn producers() -> Producers {
        let mut producers = Producers::default();
        for n in 0..7 {
            producers.stored(&header(9, n), 100 + i64::from(n));
        }
        producers.stored(&header(4, 0), 107);
        producers
    }

    #[test]
    fn a_snapshot_survives_encoding_and_every_flipped_bit_is_noticed() {
        let good = producers().encode(PartitionUid(3), 108);
        assert_eq!(Producers::decode(&good, PartitionUid(3)), Ok((producers(), 108)));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Producers::decode(&bad, PartitionUid(3)).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(Producers::decode(&good[..length], PartitionUid(3)).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_producer_that_is_not_known_goes_on_where_it_is() {
        let mut producers = Producers::default();
        assert_eq!(producers.judge(&header(9, 17)), Verdict::Store);
        producers.stored(&header(9, 17), 100);
        assert_eq!(producers.judge(&header(9, 18)), Verdict::Store);
        assert_eq!(producers.judge(&header(9, 17)), Verdict::Duplicate { base_offset: 100 });
        // Neither a gap nor a batch from before, which may never have been stored.
        for found in [19, 16] {
            let expected = AppendError::OutOfOrderSequence { producer_id: 9, expected: 18, found };
            assert_eq!(producers.judge(&header(9, found)), Verdict::Refuse(expected));
        }
    }

    #[test]
    fn a_batch_older_than_the_last_five_is_out_of_order() {
        let mut producers = producers();
        assert_eq!(producers.judge(&header(9, 2)), Verdict::Duplicate { base_offset: 102 });
        let expected = AppendError::OutOfOrderSequence { producer_id: 9, expected: 7, found: 1 };
        assert_eq!(producers.judge(&header(9, 1)), Verdict::Refuse(expected));
        producers.stored(&header(9, 7), 108);
        assert!(matches!(producers.judge(&header(9, 2)), Verdict::Refuse(_)));
    }

    /// Stored, the second would lock the first one out for ever.
    #[test]
    fn of_batches_refused_on_a_full_disk_the_first_has_to_come_back_first() {
        let mut producers = Producers::default();
        for sequence in 3..6 {
            producers.could_not_be_stored(&header(9, sequence));
        }
        let expected = AppendError::OutOfOrderSequence { producer_id: 9, expected: 3, found: 4 };
        assert_eq!(producers.judge(&header(9, 4)), Verdict::Refuse(expected));
        assert_eq!(producers.judge(&header(9, 3)), Verdict::Store);
        // The disk was full before the log could be read.
        let mut read = Producers::default().with_refused_of(producers);
        for _ in 0..PRODUCER_HOURS_REMEMBERED {
            read.an_hour_passed();
        }
        assert!(matches!(read.judge(&header(9, 4)), Verdict::Refuse(_)));
        let mut forgotten = read.clone();
        forgotten.an_hour_passed();
        assert_eq!(forgotten.judge(&header(9, 4)), Verdict::Store);
        read.stored(&header(9, 3), 100);
        assert_eq!(read.judge(&header(9, 4)), Verdict::Store);
        assert!(read.refused.is_empty());
    }

    #[test]
    fn who_is_silent_for_a_day_is_forgotten() {
        let mut producers = producers();
        for _ in 0..PRODUCER_HOURS_REMEMBERED {
            producers.an_hour_passed();
        }
        producers.stored(&header(4, 1), 108);
        assert_eq!(producers.len(), 2);
        producers.an_hour_passed();
        assert_eq!(producers.standing().iter().map(|standing| standing.producer_id).collect::<Vec<_>>(), [4]);
    }

    /// Version 2, which brokers wrote before producers were described.
    #[test]
    fn a_snapshot_without_timestamps_is_read() {
        let new = producers().encode(PartitionUid(3), 108);
        let mut old = new[..HEADER_BYTES].to_vec();
        old[4] = VERSION_WITHOUT_TIMES as u8;
        // One batch of producer 4, five of 9.
        for (at, batches) in [(HEADER_BYTES, 1), (HEADER_BYTES + 32 + 16, 5)] {
            old.extend_from_slice(&new[at..at + 24]);
            old.extend_from_slice(&new[at + 32..at + 32 + 16 * batches]);
        }
        let crc = crc_of(&old);
        old[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        let mut expected = producers();
        expected.producers.values_mut().for_each(|producer| producer.last_timestamp_ms = -1);
        assert_eq!(Producers::decode(&old, PartitionUid(3)), Ok((expected, 108)));
    }

    #[test]
    fn a_snapshot_of_another_partition_is_refused() {
        let bytes = producers().encode(PartitionUid(3), 108);
        assert!(Producers::decode(&bytes, PartitionUid(4)).is_err());
    }
}
