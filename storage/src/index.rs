//! Where offsets and times lie in a segment: one entry for each 32 KiB or so, in memory for open segments, in a file
//! of its own for closed ones.
//!
//! An index is a hint. A reader checks the batch it is led to, and an index that is missing, short or damaged is made
//! again from the segment; nothing depends on it but speed.
//!
//! `<base offset>.index`, little-endian: magic "CLIX", version u16, u16 zero, partition uid u64, base offset i64, entry
//! count u32, largest timestamp i64, crc32fast of what was before and the entries; then entries of 20 bytes: offset - base
//! u32, position u32, largest timestamp up to the next entry i64, zero u32. The largest timestamps serve the look-up by
//! time, so that there is one file and not two that can disagree. The uid keeps out the index of another partition's segment
//! with the same base offset, which a careless copy leaves behind.

use wire::batch::BatchHeader;

use crate::error::FormatError;
use crate::journal::format::{Get, Put};
use crate::limits::INDEX_INTERVAL_BYTES;
use crate::options::PartitionUid;

const MAGIC: u32 = u32::from_le_bytes(*b"CLIX");
const VERSION: u16 = 2;
const HEADER_BYTES: usize = 40;
const ENTRY_BYTES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IndexEntry {
    offset_delta: u32,
    position: u32,
    /// The largest timestamp from here to the next entry.
    max_timestamp_ms: i64,
}

/// The index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndex {
    base_offset: i64,
    entries: Vec<IndexEntry>,
    max_timestamp_ms: i64,
}

impl SegmentIndex {
    pub fn new(base_offset: i64) -> Self {
        Self { base_offset, entries: Vec::new(), max_timestamp_ms: -1 }
    }

    /// Takes note of a batch; batches come in order.
    pub fn add(&mut self, position: u64, header: &BatchHeader, base_offset: i64) {
        self.max_timestamp_ms = self.max_timestamp_ms.max(header.max_timestamp_ms);
        if let Some(last) = self.entries.last_mut()
            && position < u64::from(last.position) + INDEX_INTERVAL_BYTES
        {
            last.max_timestamp_ms = last.max_timestamp_ms.max(header.max_timestamp_ms);
            return;
        }
        // A segment is shorter than 2^31 bytes and a batch longer than its record count, so both fit; a position that
        // would not is left out, which only makes the look-up slower.
        let (Ok(offset_delta), Ok(position)) =
            (u32::try_from(base_offset - self.base_offset), u32::try_from(position))
        else {
            return;
        };
        self.entries.push(IndexEntry { offset_delta, position, max_timestamp_ms: header.max_timestamp_ms });
    }

    /// The base offset and position of a batch at or before the one that holds `offset`.
    pub fn batch_before(&self, offset: i64) -> (i64, u64) {
        let base_offset = |entry: &IndexEntry| self.base_offset + i64::from(entry.offset_delta);
        let after = self.entries.partition_point(|entry| base_offset(entry) <= offset);
        let before = after.checked_sub(1).map(|at| &self.entries[at]);
        before.map_or((self.base_offset, 0), |entry| (base_offset(entry), u64::from(entry.position)))
    }

    /// Each entry: offset, position, largest timestamp up to the next entry.
    pub fn entries(&self) -> impl Iterator<Item = (i64, u64, i64)> {
        self.entries.iter().map(|entry| {
            (self.base_offset + i64::from(entry.offset_delta), entry.position.into(), entry.max_timestamp_ms)
        })
    }

    /// The position from which on the first batch with a record at or after this time can be found.
    pub fn position_at_time(&self, timestamp_ms: i64) -> Option<u64> {
        let entry = self.entries.iter().find(|entry| entry.max_timestamp_ms >= timestamp_ms)?;
        Some(u64::from(entry.position))
    }

    /// -1 for a segment without records.
    pub fn max_timestamp_ms(&self) -> i64 {
        self.max_timestamp_ms
    }

    pub fn encode(&self, uid: PartitionUid) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES + self.entries.len() * ENTRY_BYTES];
        let (header, entries) = out.split_at_mut(HEADER_BYTES);
        let mut put = Put::new(entries);
        for entry in &self.entries {
            put.bytes(&entry.offset_delta.to_le_bytes());
            put.bytes(&entry.position.to_le_bytes());
            put.bytes(&entry.max_timestamp_ms.to_le_bytes());
            put.skip(4);
        }
        let mut put = Put::new(header);
        put.bytes(&MAGIC.to_le_bytes());
        put.bytes(&VERSION.to_le_bytes());
        put.skip(2);
        put.bytes(&uid.0.to_le_bytes());
        put.bytes(&self.base_offset.to_le_bytes());
        put.bytes(&u32::try_from(self.entries.len()).expect("an entry each 32 KiB of 2 GiB").to_le_bytes());
        put.bytes(&self.max_timestamp_ms.to_le_bytes());
        let crc = crc_of(&header[..HEADER_BYTES - 4], entries);
        header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8], uid: PartitionUid, base_offset: i64) -> Result<Self, FormatError> {
        let mut get = Get::new("index header", bytes, HEADER_BYTES)?;
        get.expect_u32("magic of an index", MAGIC)?;
        get.expect_u16("version of an index", VERSION)?;
        get.reserved("reserved bytes of an index", 2)?;
        let found_uid = get.u64();
        let found_base = get.u64();
        let entry_count = get.u32() as usize;
        let max_timestamp_ms = get.u64() as i64;
        let crc = get.u32();
        let entries = &bytes[HEADER_BYTES..];
        let expected = entry_count.saturating_mul(ENTRY_BYTES);
        if entries.len() != expected {
            return Err(FormatError::Short { what: "entries of an index", found: entries.len(), expected });
        }
        let computed = crc_of(&bytes[..HEADER_BYTES - 4], entries);
        if crc != computed {
            return Err(FormatError::Checksum { what: "index", found: crc, computed });
        }
        let whose = [
            ("partition of an index", found_uid, uid.0),
            ("base offset of an index", found_base, base_offset as u64),
        ];
        for (what, found, expected) in whose {
            if found != expected {
                return Err(FormatError::Field { what, found, expected });
            }
        }
        let entries = entries.chunks_exact(ENTRY_BYTES).map(decode_entry).collect::<Result<_, _>>()?;
        Ok(Self { base_offset, entries, max_timestamp_ms })
    }
}

fn decode_entry(bytes: &[u8]) -> Result<IndexEntry, FormatError> {
    let mut get = Get::new("index entry", bytes, ENTRY_BYTES)?;
    let entry =
        IndexEntry { offset_delta: get.u32(), position: get.u32(), max_timestamp_ms: get.u64() as i64 };
    get.reserved("reserved bytes of an index entry", 4)?;
    Ok(entry)
}

fn crc_of(header: &[u8], entries: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(entries);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};

    fn index() -> SegmentIndex {
        let mut index = SegmentIndex::new(1_000);
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(&RecordRef { timestamp_ms: 5, key: None, value: None, headers: &[] }).unwrap();
        let header = BatchHeader::parse(&builder.finish(ProducerStamp::NONE).unwrap()).unwrap();
        for n in 0..4 {
            index.add(n * INDEX_INTERVAL_BYTES, &header, 1_000 + 10 * n as i64);
        }
        index
    }

    #[test]
    fn an_index_survives_encoding_and_every_flipped_bit_is_noticed() {
        let good = index().encode(PartitionUid(7));
        assert_eq!(SegmentIndex::decode(&good, PartitionUid(7), 1_000), Ok(index()));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentIndex::decode(&bad, PartitionUid(7), 1_000).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_index_of_another_partition_or_segment_is_refused() {
        let bytes = index().encode(PartitionUid(7));
        assert!(SegmentIndex::decode(&bytes, PartitionUid(8), 1_000).is_err());
        assert!(SegmentIndex::decode(&bytes, PartitionUid(7), 0).is_err());
    }

    #[test]
    fn the_batch_before_an_offset_is_told_with_its_offset() {
        assert_eq!(index().batch_before(1_000), (1_000, 0));
        assert_eq!(index().batch_before(1_019), (1_010, INDEX_INTERVAL_BYTES));
        assert_eq!(SegmentIndex::new(50).batch_before(60), (50, 0));
    }
}
