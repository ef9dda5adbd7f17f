//! The frame: 40 bytes, then the body (a flatbuffer), then the payload (raw record batches).
//!
//! Hot path.
//!
//! ```text
//!  0        4      5      6        8                16                24
//!  +--------+------+------+--------+----------------+----------------+
//!  | magic  | ver  | flags| kind   | correlation id | catalog        |
//!  | 4      | 1    | 1    | 2      | 8              | revision 8     |
//!  +--------+---+--+------+--+-----+------+---------+----------------+
//!  | body       | payload    | reserved   | crc32   |
//!  | length 4   | length 4   | 4 (zero)   | 4       |
//!  +------------+------------+------------+---------+
//!  24           28           32           36        40    then body, then payload
//! ```
//!
//! All little-endian. The crc32 (crc32fast, IEEE) covers bytes 0..36 and the body. It does not cover the payload: a batch
//! carries a checksum of its own, and the receiver reads the payload straight into its aligned buffer.
//!
//! Invariants:
//! - Lengths are checked against the kind's own limits before they are believed, so a receiver may reserve them.
//! - The first byte is above 0x7f: no Kafka request (its length's first byte is below 0x07) and no TLS hello (0x16)
//!   can be taken for a frame on a shared port.

mod encode;
mod error;
mod header;
mod kind;

pub use encode::{encode, encode_message};
pub use error::{FrameError, Skippable};
pub use header::{FRAME_HEADER_BYTES, FRAME_MAGIC, FRAME_VERSION, FrameHeader, verify};
pub use kind::MessageKind;

#[cfg(test)]
mod tests;
