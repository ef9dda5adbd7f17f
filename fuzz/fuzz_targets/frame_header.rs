//! A stream of bytes read as frames, the way a connection does it. A length that passed is within its kind's limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::frame::{self, FRAME_HEADER_BYTES, FrameHeader};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(header) = FrameHeader::decode(rest) {
        assert!(header.body_length as usize <= header.kind.body_bytes_max());
        assert!(header.payload_length as usize <= header.kind.payload_bytes_max());
        let (start, after) = rest.split_at(FRAME_HEADER_BYTES);
        let Some((body, after)) = after.split_at_checked(header.body_length as usize) else { break };
        let _ = frame::verify(start, body);
        let Some(after) = after.get(header.payload_length as usize..) else { break };
        rest = after;
    }
});
