//! Bytes judged as a producer's batch, with the checksum made to fit, so that what lies behind it is reached. What is
//! accepted without compression is read to its end.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wire::batch::position::{ATTRIBUTES, CRC, LENGTH, LENGTH_COUNTS_FROM, MAGIC};
use wire::batch::{self, BATCH_HEADER_BYTES, Batches, Compression};

fuzz_target!(|bytes: &[u8]| {
    let _ = Batches::new(bytes).count();
    let _ = batch::validate_run(bytes).count();
    if bytes.len() < BATCH_HEADER_BYTES {
        assert!(batch::validate(bytes).is_err());
        return;
    }
    let mut sealed = bytes.to_vec();
    sealed[MAGIC] = batch::BATCH_MAGIC;
    let length = i32::try_from(sealed.len() - LENGTH_COUNTS_FROM).unwrap();
    sealed[LENGTH..LENGTH_COUNTS_FROM].copy_from_slice(&length.to_be_bytes());
    let crc = batch::crc32c(&sealed[ATTRIBUTES..]);
    sealed[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    let Ok(header) = batch::validate(&sealed) else { return };
    if header.attributes.compression() == Ok(Compression::None) {
        let records = batch::records(&Bytes::from(sealed)).unwrap();
        assert_eq!(records.map(Result::unwrap).count(), header.record_count as usize);
    }
});
