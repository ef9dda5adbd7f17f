//! The checkpoint table: where each partition of a shard ends, and from which write on the ring is needed.
//!
//! Two slots, `table.0` and `table.1`; each new table overwrites the older one with one durable write, so that a torn
//! table leaves the other. A ring exists from the moment its first table is durable. Little-endian.
//!
//! ```text
//! offset  bytes  header
//!      0      4  magic "CLJT"
//!      4      2  version (1)
//!      6      2  flags: bit 0 = the ring is written without O_DSYNC
//!      8     16  uuid of the ring
//!     24      8  start epoch
//!     32      8  generation: +1 a table
//!     40      8  last sequence that was complete
//!     48      8  redo-from sequence
//!     56      8  redo-from place: file number x file size + offset
//!     64      4  number of ring files
//!     68      4  number of records
//!     72      8  size of a ring file
//!     80     40  zero
//!    120      4  crc32fast of the records
//!    124      4  crc32fast of bytes 0 to 123
//!
//! offset  bytes  record
//!      0      8  partition uid
//!      8      4  leader epoch
//!     12      4  zero
//!     16      8  base offset of the segment
//!     24      8  end position in it: all below is in the segment, durable
//!     32      8  next offset
//!     40      8  log start offset
//! ```

use uuid::Uuid;

use crate::error::FormatError;
use crate::journal::format::{Get, Put, check_crc, check_flags, seal};

pub(crate) const TABLE_HEADER_BYTES: usize = 128;
pub(crate) const TABLE_RECORD_BYTES: usize = 48;
const MAGIC: u32 = u32::from_le_bytes(*b"CLJT");
const VERSION: u16 = 1;

/// What a table says of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRecord {
    pub uid: u64,
    pub leader_epoch: i32,
    pub segment_base: i64,
    pub end_position: u64,
    pub next_offset: i64,
    pub log_start: i64,
}

/// One checkpoint of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub flags: u16,
    pub ring: Uuid,
    pub start_epoch: u64,
    pub generation: u64,
    pub last_sequence: u64,
    pub redo_from_sequence: u64,
    pub redo_from_place: u64,
    pub ring_files: u32,
    pub ring_file_bytes: u64,
    pub records: Vec<TableRecord>,
}

/// The space a table of so many records takes in its slot.
pub(crate) fn table_space(records: usize) -> u64 {
    crate::limits::page_ceil((TABLE_HEADER_BYTES + records * TABLE_RECORD_BYTES) as u64)
}

impl Table {
    /// The table's bytes, not padded.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; TABLE_HEADER_BYTES + self.records.len() * TABLE_RECORD_BYTES];
        let (header, records) = out.split_at_mut(TABLE_HEADER_BYTES);
        let mut put = Put::new(records);
        for record in &self.records {
            put.bytes(&record.uid.to_le_bytes());
            put.bytes(&record.leader_epoch.to_le_bytes());
            put.skip(4);
            put.bytes(&record.segment_base.to_le_bytes());
            put.bytes(&record.end_position.to_le_bytes());
            put.bytes(&record.next_offset.to_le_bytes());
            put.bytes(&record.log_start.to_le_bytes());
        }
        let record_count = u32::try_from(self.records.len()).expect("fewer than 2^32 partitions a shard");
        let mut put = Put::new(header);
        put.bytes(&MAGIC.to_le_bytes());
        put.bytes(&VERSION.to_le_bytes());
        put.bytes(&self.flags.to_le_bytes());
        put.bytes(self.ring.as_bytes());
        put.bytes(&self.start_epoch.to_le_bytes());
        put.bytes(&self.generation.to_le_bytes());
        put.bytes(&self.last_sequence.to_le_bytes());
        put.bytes(&self.redo_from_sequence.to_le_bytes());
        put.bytes(&self.redo_from_place.to_le_bytes());
        put.bytes(&self.ring_files.to_le_bytes());
        put.bytes(&record_count.to_le_bytes());
        put.bytes(&self.ring_file_bytes.to_le_bytes());
        put.skip(40);
        put.bytes(&crc32fast::hash(records).to_le_bytes());
        seal(header);
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut get = Get::sealed("table header", bytes, TABLE_HEADER_BYTES)?;
        get.expect_u32("magic of a table", MAGIC)?;
        get.expect_u16("version of a table", VERSION)?;
        let mut table = Self {
            flags: get.u16(),
            ring: get.uuid(),
            start_epoch: get.u64(),
            generation: get.u64(),
            last_sequence: get.u64(),
            redo_from_sequence: get.u64(),
            redo_from_place: get.u64(),
            ring_files: get.u32(),
            records: Vec::new(),
            ring_file_bytes: 0,
        };
        check_flags("flags of a table", table.flags)?;
        let record_count = get.u32() as usize;
        table.ring_file_bytes = get.u64();
        get.reserved("reserved bytes of a table", 40)?;
        let crc = get.u32();
        let rest = bytes.get(TABLE_HEADER_BYTES..).unwrap_or_default();
        let expected = record_count.saturating_mul(TABLE_RECORD_BYTES);
        let short = FormatError::Short { what: "records of a table", found: rest.len(), expected };
        let records = rest.get(..expected).ok_or(short)?;
        check_crc("records of a table", crc, records)?;
        table.records =
            records.chunks_exact(TABLE_RECORD_BYTES).map(decode_record).collect::<Result<_, _>>()?;
        Ok(table)
    }
}

fn decode_record(bytes: &[u8]) -> Result<TableRecord, FormatError> {
    let mut get = Get::new("table record", bytes, TABLE_RECORD_BYTES)?;
    Ok(TableRecord {
        uid: get.u64(),
        leader_epoch: get.u32() as i32,
        segment_base: {
            get.reserved("reserved bytes of a table record", 4)?;
            get.u64() as i64
        },
        end_position: get.u64(),
        next_offset: get.u64() as i64,
        log_start: get.u64() as i64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let record = |uid| TableRecord {
            uid,
            leader_epoch: 4,
            segment_base: 1000,
            end_position: 777,
            next_offset: 1200,
            log_start: 12,
        };
        Table {
            flags: 0,
            ring: Uuid::from_u128(9),
            start_epoch: 2,
            generation: 8,
            last_sequence: 55,
            redo_from_sequence: 50,
            redo_from_place: 4096,
            ring_files: 4,
            ring_file_bytes: 65536,
            records: vec![record(1), record(2)],
        }
    }

    #[test]
    fn a_table_survives_encoding_and_padding() {
        let mut bytes = table().encode();
        bytes.resize(4096, 0);
        assert_eq!(Table::decode(&bytes), Ok(table()));
    }

    /// Whoever wrote them meant something, and the checksums say that they are what was written.
    #[test]
    fn reserved_bytes_and_unknown_flags_of_a_table_are_refused_though_its_checksums_fit() {
        let good = table().encode();
        for at in (80..120).chain([7]).chain(TABLE_HEADER_BYTES + 12..TABLE_HEADER_BYTES + 16) {
            let mut bad = good.clone();
            bad[at] = 1;
            let (header, records) = bad.split_at_mut(TABLE_HEADER_BYTES);
            header[120..124].copy_from_slice(&crc32fast::hash(records).to_le_bytes());
            seal(header);
            let refused = Table::decode(&bad);
            assert!(matches!(refused, Err(FormatError::Field { .. })), "byte {at}: {refused:?}");
        }
    }

    #[test]
    fn every_flipped_byte_of_a_table_is_noticed() {
        let good = table().encode();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(Table::decode(&bad).is_err(), "byte {at}");
        }
        assert!(Table::decode(&good[..good.len() - 1]).is_err());
    }
}
