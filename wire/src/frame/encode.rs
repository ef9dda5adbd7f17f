//! Frames, written.
//!
//! Hot path.

use bytes::{BufMut, BytesMut};

use super::header::{CHECKED_HEADER_BYTES, FRAME_MAGIC, FRAME_VERSION, checksum};
use super::{FRAME_HEADER_BYTES, MessageKind};
use crate::native::{BodyBuilder, Message};

/// Appends header and body to `out`. The payload follows: its owner writes it after these bytes (one `writev`), so that a
/// batch is never copied into a frame. The caller keeps `body` and `payload_length` within the kind's limits; more is a bug.
pub fn encode(
    out: &mut BytesMut,
    kind: MessageKind,
    correlation_id: u64,
    catalog_revision: u64,
    body: &[u8],
    payload_length: usize,
) {
    let body_length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let payload_length = u32::try_from(payload_length).unwrap_or(u32::MAX);
    assert!(body_length as usize <= kind.body_bytes_max(), "a {kind:?} body of {body_length} bytes");
    assert!(
        payload_length as usize <= kind.payload_bytes_max(),
        "a {kind:?} payload of {payload_length} bytes"
    );
    let mut header = [0; CHECKED_HEADER_BYTES];
    let mut cursor = &mut header[..];
    cursor.put_slice(&FRAME_MAGIC);
    cursor.put_u8(FRAME_VERSION);
    cursor.put_u8(0);
    cursor.put_u16_le(kind.number());
    cursor.put_u64_le(correlation_id);
    cursor.put_u64_le(catalog_revision);
    cursor.put_u32_le(body_length);
    cursor.put_u32_le(payload_length);
    cursor.put_u32_le(0);
    assert_eq!(cursor.len(), 0, "the checked part of a header is {CHECKED_HEADER_BYTES} bytes");
    out.reserve(FRAME_HEADER_BYTES + body.len());
    out.put_slice(&header);
    out.put_u32_le(checksum(&header, body));
    out.put_slice(body);
}

/// Encodes `message` with the reusable `builder` and appends its frame to `out`. Nothing is allocated once both have grown.
pub fn encode_message<M: Message>(
    out: &mut BytesMut,
    builder: &mut BodyBuilder,
    message: &M,
    correlation_id: u64,
    catalog_revision: u64,
    payload_length: usize,
) {
    let body = message.encode(builder);
    encode(out, M::KIND, correlation_id, catalog_revision, body, payload_length);
}
