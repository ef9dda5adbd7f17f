//! The bytes of a journal write: a header, then entries, then zeros up to a whole page. Little-endian.
//!
//! ```text
//! offset  bytes  header
//!      0      4  magic "CLJW"
//!      4      2  version (1)
//!      6      2  flags: bit 0 = written without O_DSYNC
//!      8     16  uuid of the ring
//!     24      8  start epoch: which start of the broker wrote this
//!     32      8  sequence: +1 a write, never reused
//!     40      4  number of the ring file
//!     44      4  number of entries
//!     48      8  offset in the ring file
//!     56      4  length of the whole write, a multiple of 4096
//!     60      4  bytes of entries after the header
//!     64      8  durable sequence: all writes up to it were complete when this one began
//!     72      8  redo-from sequence: the oldest write a recovery needs
//!     80      8  redo-from place: file number x file size + offset
//!     88     32  zero
//!    120      4  crc32fast of the entries
//!    124      4  crc32fast of bytes 0 to 123
//!
//! offset  bytes  entry, each beginning at a multiple of 8
//!      0      1  kind: 1 data, 2 note
//!      1      3  zero
//!      4      4  leader epoch
//!      8      8  partition uid
//!     16      8  base offset of the segment
//!     24      8  position in the segment
//!     32      4  length of the bytes that follow (0 for a note)
//!     36      4  zero
//!     40      8  next offset: one past the last record of the last whole batch below the end
//!     48      8  log start offset
//!     56      8  zero
//! ```
//!
//! **Invariant**: an entry states that everything of its partition below `position + length` is durable, in the segment,
//! in this write or in an earlier one of this ring.

use uuid::Uuid;

use crate::error::FormatError;
use crate::limits::PAGE;

pub(crate) const WRITE_HEADER_BYTES: usize = 128;
pub(crate) const ENTRY_HEADER_BYTES: usize = 64;
const MAGIC: u32 = u32::from_le_bytes(*b"CLJW");
const VERSION: u16 = 1;
/// The ring's files were opened without O_DSYNC: a gap in them is no rot.
pub(crate) const FLAG_WRITTEN: u16 = 1;

/// The header of one journal write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteHeader {
    pub flags: u16,
    pub ring: Uuid,
    pub start_epoch: u64,
    pub sequence: u64,
    pub file: u32,
    pub entry_count: u32,
    pub file_offset: u64,
    pub length: u32,
    pub entries_length: u32,
    pub durable_sequence: u64,
    pub redo_from_sequence: u64,
    pub redo_from_place: u64,
    pub entries_crc: u32,
}

impl WriteHeader {
    pub(crate) fn encode(&self) -> [u8; WRITE_HEADER_BYTES] {
        let mut out = [0; WRITE_HEADER_BYTES];
        let mut put = Put::new(&mut out);
        put.bytes(&MAGIC.to_le_bytes());
        put.bytes(&VERSION.to_le_bytes());
        put.bytes(&self.flags.to_le_bytes());
        put.bytes(self.ring.as_bytes());
        put.bytes(&self.start_epoch.to_le_bytes());
        put.bytes(&self.sequence.to_le_bytes());
        put.bytes(&self.file.to_le_bytes());
        put.bytes(&self.entry_count.to_le_bytes());
        put.bytes(&self.file_offset.to_le_bytes());
        put.bytes(&self.length.to_le_bytes());
        put.bytes(&self.entries_length.to_le_bytes());
        put.bytes(&self.durable_sequence.to_le_bytes());
        put.bytes(&self.redo_from_sequence.to_le_bytes());
        put.bytes(&self.redo_from_place.to_le_bytes());
        put.skip(32);
        put.bytes(&self.entries_crc.to_le_bytes());
        seal(&mut out);
        out
    }

    /// Reads a header; the entries' checksum is for [`WriteHeader::check_entries`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut get = Get::sealed("journal write header", bytes, WRITE_HEADER_BYTES)?;
        get.expect_u32("magic of a journal write", MAGIC)?;
        get.expect_u16("version of a journal write", VERSION)?;
        let header = Self {
            flags: get.u16(),
            ring: get.uuid(),
            start_epoch: get.u64(),
            sequence: get.u64(),
            file: get.u32(),
            entry_count: get.u32(),
            file_offset: get.u64(),
            length: get.u32(),
            entries_length: get.u32(),
            durable_sequence: get.u64(),
            redo_from_sequence: get.u64(),
            redo_from_place: get.u64(),
            entries_crc: {
                get.reserved("reserved bytes of a journal write", 32)?;
                get.u32()
            },
        };
        check_flags("flags of a journal write", header.flags)?;
        let content = WRITE_HEADER_BYTES as u64 + u64::from(header.entries_length);
        let expected = content.next_multiple_of(PAGE);
        if u64::from(header.length) != expected {
            let found = u64::from(header.length);
            return Err(FormatError::Field { what: "length of a journal write", found, expected });
        }
        Ok(header)
    }

    /// Checks the entries that follow the header.
    pub fn check_entries(&self, entries: &[u8]) -> Result<(), FormatError> {
        let expected = self.entries_length as usize;
        if entries.len() != expected {
            return Err(FormatError::Short {
                what: "entries of a journal write",
                found: entries.len(),
                expected,
            });
        }
        check_crc("entries of a journal write", self.entries_crc, entries)
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Bytes of the partition follow.
    Data,
    /// Everything below `position` is in the segment already.
    Note,
}

/// The header of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    pub kind: EntryKind,
    pub leader_epoch: i32,
    pub uid: u64,
    pub segment_base: i64,
    pub position: u64,
    pub length: u32,
    pub next_offset: i64,
    pub log_start: i64,
}

impl EntryHeader {
    pub(crate) fn encode(&self) -> [u8; ENTRY_HEADER_BYTES] {
        let mut out = [0; ENTRY_HEADER_BYTES];
        let mut put = Put::new(&mut out);
        let kind: u8 = match self.kind {
            EntryKind::Data => 1,
            EntryKind::Note => 2,
        };
        put.bytes(&[kind, 0, 0, 0]);
        put.bytes(&self.leader_epoch.to_le_bytes());
        put.bytes(&self.uid.to_le_bytes());
        put.bytes(&self.segment_base.to_le_bytes());
        put.bytes(&self.position.to_le_bytes());
        put.bytes(&self.length.to_le_bytes());
        put.skip(4);
        put.bytes(&self.next_offset.to_le_bytes());
        put.bytes(&self.log_start.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut get = Get::new("journal entry", bytes, ENTRY_HEADER_BYTES)?;
        let kind = match get.u32() {
            1 => EntryKind::Data,
            2 => EntryKind::Note,
            other => {
                return Err(FormatError::Field {
                    what: "kind of an entry",
                    found: other.into(),
                    expected: 1,
                });
            }
        };
        let header = Self {
            kind,
            leader_epoch: get.u32() as i32,
            uid: get.u64(),
            segment_base: get.u64() as i64,
            position: get.u64(),
            length: get.u32(),
            next_offset: {
                get.reserved("reserved bytes of an entry", 4)?;
                get.u64() as i64
            },
            log_start: get.u64() as i64,
        };
        get.reserved("reserved bytes of an entry", 8)?;
        Ok(header)
    }

    /// One past the last byte the entry speaks of.
    pub fn end(&self) -> u64 {
        self.position + u64::from(self.length)
    }
}

/// The space an entry with so many bytes takes.
pub(crate) fn entry_space(length: usize) -> usize {
    (ENTRY_HEADER_BYTES + length).next_multiple_of(8)
}

/// Walks the entries of a write whose checksum was right. An error still has to be expected: a checksum proves that
/// the bytes are what was written, not that the writer was right.
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub fn new(entries: &'a [u8]) -> Self {
        Self { rest: entries }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(EntryHeader, &'a [u8]), FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = EntryHeader::decode(self.rest).and_then(|header| {
            let end = ENTRY_HEADER_BYTES + header.length as usize;
            let short =
                FormatError::Short { what: "bytes of an entry", found: self.rest.len(), expected: end };
            let bytes = self.rest.get(ENTRY_HEADER_BYTES..end).ok_or(short)?;
            Ok((header, bytes))
        });
        self.rest = match &item {
            Ok((header, _)) => self.rest.get(entry_space(header.length as usize)..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(item)
    }
}

/// Writes the checksum of a header into its last four bytes.
pub(crate) fn seal(header: &mut [u8]) {
    let (covered, crc) = header.split_at_mut(header.len() - 4);
    crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
}

pub(crate) fn check_crc(what: &'static str, found: u32, covered: &[u8]) -> Result<(), FormatError> {
    let computed = crc32fast::hash(covered);
    if found == computed { Ok(()) } else { Err(FormatError::Checksum { what, found, computed }) }
}

/// A flag that this version does not know changes what the bytes mean.
pub(crate) fn check_flags(what: &'static str, found: u16) -> Result<(), FormatError> {
    if found & !FLAG_WRITTEN == 0 {
        Ok(())
    } else {
        Err(FormatError::Field { what, found: found.into(), expected: FLAG_WRITTEN.into() })
    }
}

/// Puts fields one after another into a fixed header; too many are a bug.
pub(crate) struct Put<'a> {
    rest: &'a mut [u8],
}

impl<'a> Put<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { rest: out }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (here, rest) = std::mem::take(&mut self.rest).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        self.rest = rest;
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        let (_, rest) = std::mem::take(&mut self.rest).split_at_mut(bytes);
        self.rest = rest;
    }
}

/// Takes fields one after another from a header whose length was checked at the start.
pub(crate) struct Get<'a> {
    rest: &'a [u8],
}

impl<'a> Get<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8], expected: usize) -> Result<Self, FormatError> {
        let rest = bytes.get(..expected).ok_or(FormatError::Short { what, found: bytes.len(), expected })?;
        Ok(Self { rest })
    }

    /// For a header that ends in its own checksum.
    pub(crate) fn sealed(what: &'static str, bytes: &'a [u8], expected: usize) -> Result<Self, FormatError> {
        let get = Self::new(what, bytes, expected)?;
        let (covered, crc) = get.rest.split_at(expected - 4);
        let found = u32::from_le_bytes(crc.try_into().expect("four bytes were split off"));
        check_crc(what, found, covered)?;
        Ok(get)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (here, rest) = self.rest.split_at(N);
        self.rest = rest;
        here.try_into().expect("N bytes were split off")
    }

    /// Bytes that this version writes as zeros.
    pub(crate) fn reserved(&mut self, what: &'static str, bytes: usize) -> Result<(), FormatError> {
        let (here, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        match here.iter().find(|byte| **byte != 0) {
            None => Ok(()),
            Some(byte) => Err(FormatError::Field { what, found: (*byte).into(), expected: 0 }),
        }
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid::from_bytes(self.take())
    }

    pub(crate) fn expect_u32(&mut self, what: &'static str, expected: u32) -> Result<(), FormatError> {
        let found = self.u32();
        if found == expected {
            Ok(())
        } else {
            Err(FormatError::Field { what, found: found.into(), expected: expected.into() })
        }
    }

    pub(crate) fn expect_u16(&mut self, what: &'static str, expected: u16) -> Result<(), FormatError> {
        let found = self.u16();
        if found == expected {
            Ok(())
        } else {
            Err(FormatError::Field { what, found: found.into(), expected: expected.into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> WriteHeader {
        WriteHeader {
            flags: 0,
            ring: Uuid::from_u128(7),
            start_epoch: 3,
            sequence: 99,
            file: 2,
            entry_count: 1,
            file_offset: 8192,
            length: 4096,
            entries_length: 72,
            durable_sequence: 98,
            redo_from_sequence: 40,
            redo_from_place: 12288,
            entries_crc: 0xabcd,
        }
    }

    #[test]
    fn a_write_header_survives_encoding() {
        assert_eq!(WriteHeader::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_of_a_write_header_is_noticed() {
        let good = header().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(WriteHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    /// Whoever wrote them meant something, and the checksum says that they are what was written.
    #[test]
    fn reserved_bytes_and_unknown_flags_of_a_write_header_are_refused_though_its_checksum_fits() {
        let good = header().encode();
        for at in (88..120).chain([7]) {
            let mut bad = good;
            bad[at] = 1;
            seal(&mut bad);
            let refused = WriteHeader::decode(&bad);
            assert!(matches!(refused, Err(FormatError::Field { .. })), "byte {at}: {refused:?}");
        }
    }

    #[test]
    fn reserved_bytes_of_an_entry_are_refused() {
        let note = EntryHeader {
            kind: EntryKind::Note,
            leader_epoch: 1,
            uid: 5,
            segment_base: 0,
            position: 4096,
            length: 0,
            next_offset: 10,
            log_start: 2,
        };
        let good = note.encode();
        assert_eq!(EntryHeader::decode(&good), Ok(note));
        for at in (1..4).chain(36..40).chain(56..64) {
            let mut bad = good;
            bad[at] = 1;
            assert!(EntryHeader::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn entries_are_walked_and_a_short_one_is_an_error() {
        let entry = EntryHeader {
            kind: EntryKind::Data,
            leader_epoch: 1,
            uid: 5,
            segment_base: 0,
            position: 4096,
            length: 3,
            next_offset: 10,
            log_start: 2,
        };
        let mut bytes = entry.encode().to_vec();
        bytes.extend_from_slice(b"abc\0\0\0\0\0");
        let note = EntryHeader { kind: EntryKind::Note, length: 0, ..entry.clone() };
        bytes.extend_from_slice(&note.encode());
        let walked: Vec<_> = Entries::new(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(walked, vec![(entry, &b"abc"[..]), (note, &b""[..])]);
        assert!(Entries::new(&bytes[..66]).next().unwrap().is_err());
    }
}
