//! Records of a batch read, every codec included. The first byte chooses the codec; no checksum stands in the way.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wire::batch::{self, BATCH_HEADER_BYTES, BATCH_MAGIC};

fuzz_target!(|bytes: &[u8]| {
    let Some((&codec, rest)) = bytes.split_first() else { return };
    if rest.len() < BATCH_HEADER_BYTES {
        return;
    }
    let mut batch = rest.to_vec();
    batch[16] = BATCH_MAGIC;
    batch[22] = (batch[22] & !0b111) | (codec % 5);
    let length = i32::try_from(batch.len() - 12).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    if let Ok(records) = batch::records(&Bytes::from(batch)) {
        records.for_each(drop);
    }
});
