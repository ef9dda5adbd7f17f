//! Records of a batch read, every codec included. The first byte chooses the codec; no checksum stands in the way.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wire::batch::position::{ATTRIBUTES, LENGTH, LENGTH_COUNTS_FROM, MAGIC};
use wire::batch::{self, BATCH_HEADER_BYTES, BATCH_MAGIC};

fuzz_target!(|bytes: &[u8]| {
    let Some((&codec, rest)) = bytes.split_first() else { return };
    if rest.len() < BATCH_HEADER_BYTES {
        return;
    }
    let mut batch = rest.to_vec();
    batch[MAGIC] = BATCH_MAGIC;
    let low = ATTRIBUTES + 1;
    batch[low] = (batch[low] & !0b111) | (codec % 5);
    let length = i32::try_from(batch.len() - LENGTH_COUNTS_FROM).unwrap();
    batch[LENGTH..LENGTH_COUNTS_FROM].copy_from_slice(&length.to_be_bytes());
    if let Ok(records) = batch::records(&Bytes::from(batch)) {
        records.for_each(drop);
    }
});
