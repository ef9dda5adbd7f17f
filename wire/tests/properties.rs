//! What holds for any input: noise and damage never panic, and what is built is valid and reads back.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use support::Visitor;
use wire::batch::{self, BatchBuilder, Batches, Compression, Header, ProducerStamp, Record, RecordRef};
use wire::frame::{self, FRAME_HEADER_BYTES, FrameHeader, MessageKind};
use wire::native::{BodyBuilder, Message};

fn any_codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(vec![
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ])
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn any_header() -> impl Strategy<Value = Header> {
    (any_bytes(), option::of(any_bytes())).prop_map(|(key, value)| Header { key, value })
}

/// Timestamps within half the range, so that no two are further apart than a delta can say.
fn any_record() -> impl Strategy<Value = Record> {
    let timestamp = i64::MIN / 2..i64::MAX / 2;
    (timestamp, option::of(any_bytes()), option::of(any_bytes()), vec(any_header(), 0..4)).prop_map(
        |(timestamp_ms, key, value, headers)| Record { offset: 0, timestamp_ms, key, value, headers },
    )
}

fn batch_of(codec: Compression, records: &[Record]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for record in records {
        let reference = RecordRef {
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        builder.append(&reference).unwrap();
    }
    builder.finish(ProducerStamp::NONE).unwrap()
}

/// The bodies of every example message, by kind.
fn example_bodies() -> Vec<(MessageKind, Vec<u8>)> {
    #[derive(Default)]
    struct Bodies(Vec<(MessageKind, Vec<u8>)>);
    impl Visitor for Bodies {
        fn visit<M: Message + Clone + PartialEq + std::fmt::Debug>(&mut self, example: M) {
            self.0.push((M::KIND, example.encode(&mut BodyBuilder::new()).to_vec()));
        }
    }
    let mut bodies = Bodies::default();
    support::for_each_message(&mut bodies);
    bodies.0
}

/// Reads `batch` every way there is.
fn read_batch(bytes: &[u8]) {
    let _ = batch::validate(bytes);
    let _ = batch::check_stored(bytes);
    let _ = Batches::new(bytes).count();
    let _ = batch::validate_run(bytes).count();
    if let Ok(records) = batch::records(&Bytes::copy_from_slice(bytes)) {
        records.for_each(drop);
    }
}

proptest! {
    #[test]
    fn any_records_come_back_from_a_valid_batch(
        codec in any_codec(),
        records in vec(any_record(), 1..20),
        base_offset in 0..i64::MAX / 2,
    ) {
        let mut bytes = batch_of(codec, &records).to_vec();
        batch::assign(&mut bytes, base_offset, 3);
        let header = batch::validate(&bytes).unwrap();
        prop_assert_eq!(header.next_offset(), base_offset + records.len() as i64);
        let found: Vec<_> = batch::records(&bytes.into()).unwrap().collect::<Result<_, _>>().unwrap();
        let expected: Vec<_> =
            records.into_iter().zip(base_offset..).map(|(record, offset)| Record { offset, ..record }).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn noise_is_no_batch_and_no_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_batch(&bytes);
    }

    /// With a checksum that fits the damage, so that everything behind it is reached.
    #[test]
    fn a_damaged_batch_is_no_panic(
        codec in any_codec(),
        records in vec(any_record(), 1..5),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = batch_of(codec, &records).to_vec();
        for (position, byte) in damage {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        if bytes.len() >= 61 {
            let crc = batch::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        read_batch(&bytes);
    }

    /// What `validate` accepts without compression, a consumer can read to the end.
    #[test]
    fn what_is_accepted_uncompressed_is_readable(
        records in vec(any_record(), 1..5),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = batch_of(Compression::None, &records).to_vec();
        for (position, byte) in damage {
            let position = 61 + position.index(bytes.len() - 61);
            bytes[position] = byte;
        }
        let crc = batch::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        if let Ok(header) = batch::validate(&bytes) {
            let found: Result<Vec<_>, _> = batch::records(&bytes.into()).unwrap().collect();
            prop_assert_eq!(found.unwrap().len(), header.record_count as usize);
        }
    }

    #[test]
    fn a_noisy_frame_header_is_no_panic(mut bytes in vec(any::<u8>(), 0..60), like_a_frame in any::<bool>()) {
        if like_a_frame && bytes.len() >= FRAME_HEADER_BYTES {
            bytes[..6].copy_from_slice(&[0xc0, b'r', b'l', b'g', 1, 0]);
            bytes[7] = 0;
            bytes[32..36].fill(0);
        }
        if let Ok(header) = FrameHeader::decode(&bytes) {
            prop_assert!(header.body_length as usize <= header.kind.body_bytes_max());
            prop_assert!(header.payload_length as usize <= header.kind.payload_bytes_max());
        }
        let _ = frame::verify(&bytes, &bytes);
    }

    #[test]
    fn a_noisy_body_is_no_panic(body in vec(any::<u8>(), 0..200)) {
        for &kind in MessageKind::ALL {
            support::decode_as(kind, &body);
        }
    }

    #[test]
    fn a_damaged_body_is_no_panic(
        example in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let bodies = example_bodies();
        let (kind, mut body) = bodies[example.index(bodies.len())].clone();
        for (position, byte) in damage {
            let position = position.index(body.len());
            body[position] = byte;
        }
        support::decode_as(kind, &body);
    }

    #[test]
    fn a_frame_comes_back(correlation_id: u64, revision: u64, subscription: u64, bytes: u32) {
        let credit = wire::native::Credit { subscription, bytes };
        let mut out = BytesMut::new();
        frame::encode_message(&mut out, &mut BodyBuilder::new(), &credit, correlation_id, revision, 0);
        let header = FrameHeader::decode(&out).unwrap();
        prop_assert_eq!((header.correlation_id, header.catalog_revision), (correlation_id, revision));
        frame::verify(&out, &out[FRAME_HEADER_BYTES..]).unwrap();
        prop_assert_eq!(wire::native::Credit::decode(&out[FRAME_HEADER_BYTES..]).unwrap(), credit);
    }
}

#[test]
fn a_body_cut_anywhere_is_no_panic() {
    for (kind, body) in example_bodies() {
        for length in 0..body.len() {
            support::decode_as(kind, &body[..length]);
        }
    }
}
