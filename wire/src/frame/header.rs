//! The header of a frame, read and checked.
//!
//! Hot path.

use super::{FrameError, MessageKind};
use crate::layout::field;
use crate::limits;

/// The length of the header, and so the position of the body.
pub const FRAME_HEADER_BYTES: usize = 40;
/// The first bytes of every frame. 0xC0 cannot begin a Kafka request, a TLS hello, or any text.
pub const FRAME_MAGIC: [u8; 4] = [0xC0, b'r', b'l', b'g'];
/// The version of the header itself. What messages exist is negotiated by Hello.
pub const FRAME_VERSION: u8 = 1;

/// The bytes that the checksum covers before it goes on with the body.
pub(super) const CHECKED_HEADER_BYTES: usize = 36;

/// A header whose every field has been checked, except the checksum, which needs the body: see [`verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the body is.
    pub kind: MessageKind,
    /// None is defined yet: always 0.
    pub flags: u8,
    /// Chosen by who asks, repeated by who answers. A subscription's id.
    pub correlation_id: u64,
    /// The catalog's revision at the broker; 0 in what a client sends.
    pub catalog_revision: u64,
    /// Bytes of the flatbuffer that follows.
    pub body_length: u32,
    /// Bytes of the record batches after it.
    pub payload_length: u32,
}

impl FrameHeader {
    /// Reads the first [`FRAME_HEADER_BYTES`] of `bytes` (more may follow). The lengths are within the kind's limits;
    /// the limits of a session are checked by [`FrameHeader::check_frame_bytes`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let Some(bytes) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(FrameError::Short { found: bytes.len() });
        };
        let magic = field(bytes, 0);
        if magic != FRAME_MAGIC {
            return Err(FrameError::Magic { found: magic });
        }
        let [version, flags] = field(bytes, 4);
        if version != FRAME_VERSION {
            return Err(FrameError::Version { found: version });
        }
        if flags != 0 {
            return Err(FrameError::Flags { found: flags });
        }
        let reserved = u32::from_le_bytes(field(bytes, 32));
        if reserved != 0 {
            return Err(FrameError::Reserved { found: reserved });
        }
        let number = u16::from_le_bytes(field(bytes, 6));
        let correlation_id = u64::from_le_bytes(field(bytes, 8));
        let body_length = u32::from_le_bytes(field(bytes, 24));
        let payload_length = u32::from_le_bytes(field(bytes, 28));
        let Some(kind) = MessageKind::from_number(number) else {
            return Err(FrameError::Kind { number, correlation_id, body_length, payload_length });
        };
        let catalog_revision = u64::from_le_bytes(field(bytes, 16));
        let header = Self { kind, flags, correlation_id, catalog_revision, body_length, payload_length };
        header.check_lengths()?;
        Ok(header)
    }

    fn check_lengths(&self) -> Result<(), FrameError> {
        let kind = self.kind;
        if self.body_length as usize > kind.body_bytes_max() {
            return Err(FrameError::BodyTooLarge {
                kind,
                found: self.body_length,
                limit: kind.body_bytes_max(),
            });
        }
        if self.payload_length as usize > kind.payload_bytes_max() {
            let limit = kind.payload_bytes_max();
            return Err(FrameError::PayloadTooLarge { kind, found: self.payload_length, limit });
        }
        Ok(())
    }

    /// Header, body and payload.
    pub fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.body_length) + u64::from(self.payload_length)
    }

    /// Refuses what this session does not take (HelloReply says how much). [`limits::FRAME_BYTES_DEFAULT`] holds before.
    pub fn check_frame_bytes(&self, frame_bytes_max: usize) -> Result<(), FrameError> {
        debug_assert!(frame_bytes_max <= limits::FRAME_BYTES_MAX);
        if self.frame_bytes() > frame_bytes_max as u64 {
            return Err(FrameError::TooLarge { found: self.frame_bytes(), limit: frame_bytes_max });
        }
        Ok(())
    }
}

/// Compares the checksum with the header's bytes and the whole body. Until this passes nothing in the header but its
/// lengths may be used.
pub fn verify(header: &[u8], body: &[u8]) -> Result<(), FrameError> {
    let Some(header) = header.first_chunk::<FRAME_HEADER_BYTES>() else {
        return Err(FrameError::Short { found: header.len() });
    };
    let found = u32::from_le_bytes(field(header, CHECKED_HEADER_BYTES));
    let computed = checksum(&field::<FRAME_HEADER_BYTES, CHECKED_HEADER_BYTES>(header, 0), body);
    if found != computed {
        return Err(FrameError::Checksum { found, computed });
    }
    Ok(())
}

/// crc32fast of the header up to the checksum, then the body.
pub(super) fn checksum(checked_header: &[u8; CHECKED_HEADER_BYTES], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(checked_header);
    hasher.update(body);
    hasher.finalize()
}
