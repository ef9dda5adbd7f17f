//! A message written field by field. Hot path.
//!
//! Everything small is gathered in one buffer. Records that are kept elsewhere are not copied into it: where they go is
//! noted, and who sends the frame puts them there.

use bytes::{BufMut, Bytes, BytesMut};

/// Writes one frame.
#[derive(Debug, Default)]
pub struct Writer {
    gathered: BytesMut,
    gaps: Vec<Gap>,
}

/// Bytes that go between those that are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where in the gathered bytes.
    pub position: usize,
    /// How many.
    pub bytes: usize,
}

/// A frame without the bytes of its gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFrame {
    /// Its length in front.
    pub gathered: Bytes,
    /// In the order of their positions.
    pub gaps: Vec<Gap>,
}

impl Writer {
    /// Begins a frame: its length is known at the end.
    pub fn frame() -> Self {
        let mut writer = Self::default();
        writer.gathered.put_i32(0);
        writer
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
    }

    /// Leaves room for bytes that somebody else has.
    pub(super) fn leave(&mut self, bytes: usize) {
        if bytes > 0 {
            self.gaps.push(Gap { position: self.gathered.len(), bytes });
        }
    }

    /// An unsigned varint: seven bits a byte, the lowest first.
    pub(super) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.gathered.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.gathered.put_u8((value & 0x7f) as u8);
    }

    /// The length of a text or of bytes; `None` for null.
    pub(super) fn length(&mut self, length: Option<usize>, flexible: bool, short: bool) {
        let bug = "a length this side made passes the protocol's";
        match (flexible, short) {
            (true, _) => self.varint(length.map_or(0, |length| u32::try_from(length + 1).expect(bug))),
            (false, true) => {
                self.gathered.put_i16(length.map_or(-1, |length| i16::try_from(length).expect(bug)));
            }
            (false, false) => {
                self.gathered.put_i32(length.map_or(-1, |length| i32::try_from(length).expect(bug)));
            }
        }
    }

    pub(super) fn into_gathered(self) -> BytesMut {
        assert!(self.gaps.is_empty(), "{} gaps in a tagged field", self.gaps.len());
        self.gathered
    }

    /// The frame, with its length.
    pub fn finish(mut self) -> WrittenFrame {
        let missing: usize = self.gaps.iter().map(|gap| gap.bytes).sum();
        let length = (self.gathered.len() + missing).saturating_sub(size_of::<i32>());
        let length = i32::try_from(length).expect("a frame is bounded by what a fetch may return");
        if let Some(front) = self.gathered.first_chunk_mut() {
            *front = length.to_be_bytes();
        }
        WrittenFrame { gathered: self.gathered.freeze(), gaps: self.gaps }
    }
}
