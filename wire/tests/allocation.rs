//! What decoding takes from the heap: nothing for the hot messages, and never more than a stated multiple of the bytes
//! that came, whatever they claim. The one file of this crate with `unsafe`: a counting allocator needs it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use wire::batch::{self, BatchBuilder, Compression, ProducerStamp, RecordRef};
use wire::codes::ErrorCode;
use wire::frame::{self, FRAME_HEADER_BYTES, FrameHeader, MessageKind};
use wire::limits;
use wire::native::*;

struct Counting;

thread_local! {
    static TAKEN_BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread that ends has no counter any more; nobody measures there.
    let _ = TAKEN_BYTES.try_with(|taken| taken.set(taken.get() + bytes));
}

// SAFETY: every call is passed on to the system's allocator unchanged, which keeps the contract; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and the block came from the system's allocator.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes asked of the heap by `work`; a vector that grows counts each time.
fn taken_by(work: impl FnOnce()) -> usize {
    let before = TAKEN_BYTES.get();
    work();
    TAKEN_BYTES.get() - before
}

#[test]
fn the_hot_path_takes_nothing_from_the_heap() {
    let mut builder = BodyBuilder::new();
    let mut out = BytesMut::with_capacity(64 * 1024);
    let produce = Produce { topic_id: support::TOPIC_ID, partition: 1, deadline_ms: 1, acknowledge: true };
    let ack = ProduceAck { correlation_id: 1, code: ErrorCode::None, base_offset: 1, log_append_time_ms: -1 };
    let acks = [ack; 500];
    let batch = batch_of(Compression::None, 100);
    let mut round = |warm: bool| {
        let taken = taken_by(|| {
            out.clear();
            frame::encode_message(&mut out, &mut builder, &produce, 1, 0, batch.len());
            let header = FrameHeader::decode(&out).unwrap();
            frame::verify(&out, &out[FRAME_HEADER_BYTES..]).unwrap();
            assert_eq!(header.kind, MessageKind::Produce);
            assert_eq!(Produce::decode(&out[FRAME_HEADER_BYTES..]).unwrap(), produce);
            assert_eq!(batch::validate(&batch).unwrap().record_count, 100);

            let body = ProduceAcks::write(&mut builder, &acks);
            assert_eq!(ProduceAcks::read(body).unwrap().filter(|read| *read == ack).count(), acks.len());
            let push = Push { high_watermark: 5, end_code: ErrorCode::None };
            assert_eq!(Push::decode(push.encode(&mut builder)).unwrap(), push);
            let credit = Credit { subscription: 1, bytes: 2 };
            assert_eq!(Credit::decode(credit.encode(&mut builder)).unwrap(), credit);
        });
        assert!(!warm || taken == 0, "{taken} bytes");
    };
    round(false);
    round(true);
}

/// A flatbuffer whose list points many times to one long string: a small body that describes a huge message.
#[test]
fn a_body_that_repeats_one_string_takes_no_more_than_a_multiple_of_its_length() {
    let names = 10_000_u32;
    let text = [b'x'; 1_000];
    // Root offset, vtable of `Metadata` with selection and names, table, vector of offsets, one string.
    let mut body = vec![12, 0, 0, 0, 8, 0, 12, 0, 8, 0, 4, 0, 8, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0];
    body.extend_from_slice(&names.to_le_bytes());
    for index in 0..names {
        body.extend_from_slice(&((names - index) * 4).to_le_bytes());
    }
    body.extend_from_slice(&1_000_u32.to_le_bytes());
    body.extend_from_slice(&text);
    body.extend_from_slice(&[0; 4]);

    let mut decoded = None;
    let taken = taken_by(|| decoded = Some(Metadata::decode(&body)));
    let error = decoded.unwrap().unwrap_err();
    assert!(error.to_string().contains("Apparent size too large"), "{error}");
    assert!(taken < 10_000, "{taken} bytes for a refusal");

    // The same list, honest: the body is what it says, and the bytes taken stay near it.
    let honest = Metadata {
        topics: TopicSelection::Names(vec!["x".repeat(100); limits::TOPICS_PER_REQUEST_MAX - 1]),
        follow: false,
    };
    let mut builder = BodyBuilder::new();
    let body = honest.encode(&mut builder);
    let taken = taken_by(|| assert!(Metadata::decode(body).is_ok()));
    assert!(taken <= 2 * body.len(), "{taken} bytes for a body of {}", body.len());
}

#[test]
fn more_names_than_the_limit_are_refused() {
    let names = vec![String::new(); limits::TOPICS_PER_REQUEST_MAX + 1];
    let metadata = Metadata { topics: TopicSelection::Names(names), follow: false };
    let mut builder = BodyBuilder::new();
    let error = Metadata::decode(metadata.encode(&mut builder)).unwrap_err();
    assert!(matches!(error, BodyError::TooMany { field: "names", .. }), "{error}");
}

/// Damage in every byte of every example: no claim of any length field is believed.
#[test]
fn no_damaged_byte_makes_a_decoder_take_much() {
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/frames")).unwrap() {
        let golden = std::fs::read(file.unwrap().path()).unwrap();
        let kind = FrameHeader::decode(&golden).unwrap().kind;
        let body = &golden[FRAME_HEADER_BYTES..];
        for position in 0..body.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = body.to_vec();
                damaged[position] = byte;
                let taken = taken_by(|| support::decode_as(kind, &damaged));
                assert!(taken <= 8_192 + 32 * body.len(), "{kind:?}, byte {position}: {taken} bytes");
            }
        }
    }
}

#[test]
fn a_compressed_batch_that_claims_much_takes_little() {
    // A bare snappy block that claims 100 MiB, and one header count that claims two thousand million.
    let claims = [0x80, 0x80, 0x80, 0x32, 0x00, 0x00];
    let plain = batch_of(Compression::None, 1);
    let mut lying = plain[..61].to_vec();
    lying.extend_from_slice(&claims);
    lying[8..12].copy_from_slice(&(61_i32 + 6 - 12).to_be_bytes());
    lying[22] = 2;
    let lying = Bytes::from(lying);
    let taken = taken_by(|| assert!(batch::records(&lying).is_err()));
    assert!(taken < 4_096, "{taken} bytes");

    let mut lying = plain[..61].to_vec();
    // A record of eleven bytes: attributes, deltas, no key, no value, and a header count of 10,000 (the limit).
    lying.extend_from_slice(&[20, 0, 0, 0, 1, 1, 0xa0, 0x9c, 0x01, 0, 0]);
    let length = i32::try_from(lying.len() - 12).unwrap();
    lying[8..12].copy_from_slice(&length.to_be_bytes());
    let lying = Bytes::from(lying);
    let taken = taken_by(|| assert!(batch::records(&lying).unwrap().all(|record| record.is_err())));
    assert!(taken < 4_096, "{taken} bytes");
}

fn batch_of(codec: Compression, count: i64) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for timestamp_ms in 0..count {
        builder.append(&RecordRef { timestamp_ms, value: Some(&[7; 100]), ..RecordRef::default() }).unwrap();
    }
    builder.finish(ProducerStamp::NONE).unwrap()
}
