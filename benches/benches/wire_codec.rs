//! What the codec costs: frames, hot messages, batches, checksums.
//!
//! `cargo bench -p corelog-benches --bench wire_codec [-- FILTER]`. Everything here runs once a request or once a batch, on
//! one core, without touching memory that is not in its cache: a floor, not a forecast.

use bytes::{Bytes, BytesMut};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use uuid::Uuid;
use wire::batch::{self, BatchBuilder, Batches, Compression, ProducerStamp, RecordRef};
use wire::codes::ErrorCode;
use wire::frame::{self, FRAME_HEADER_BYTES, FrameHeader};
use wire::native::{BodyBuilder, Message, Produce, ProduceAck, ProduceAcks, Push};

fn main() {
    divan::main();
}

const PRODUCE: Produce =
    Produce { topic_id: Uuid::from_u128(7), partition: 3, deadline_ms: 30_000, acknowledge: true };

fn produce_frame() -> BytesMut {
    let mut out = BytesMut::new();
    frame::encode_message(&mut out, &mut BodyBuilder::new(), &PRODUCE, 1, 0, 1_000);
    out
}

fn batch_of(codec: Compression, records: usize, record_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    let value = vec![b'v'; record_bytes];
    for timestamp_ms in (1_700_000_000_000..).take(records) {
        let record = RecordRef { timestamp_ms, value: Some(&value), ..RecordRef::default() };
        builder.append(&record).expect("within the limits");
    }
    builder.finish(ProducerStamp::NONE).expect("within the limits")
}

#[divan::bench]
fn frame_decode_and_verify(bencher: Bencher<'_, '_>) {
    let frame = produce_frame();
    bencher.bench_local(|| {
        let bytes = black_box(&frame[..]);
        let header = FrameHeader::decode(bytes);
        frame::verify(bytes, &bytes[FRAME_HEADER_BYTES..]).map(|()| header)
    });
}

#[divan::bench]
fn produce_decode(bencher: Bencher<'_, '_>) {
    let frame = produce_frame();
    bencher.bench_local(|| Produce::decode(black_box(&frame[FRAME_HEADER_BYTES..])));
}

#[divan::bench]
fn produce_frame_encode(bencher: Bencher<'_, '_>) {
    let (mut out, mut builder) = (BytesMut::with_capacity(256), BodyBuilder::new());
    bencher.bench_local(|| {
        out.clear();
        frame::encode_message(&mut out, &mut builder, black_box(&PRODUCE), 1, 0, 1_000);
        out.len()
    });
}

#[divan::bench]
fn push_frame_encode(bencher: Bencher<'_, '_>) {
    let (mut out, mut builder) = (BytesMut::with_capacity(256), BodyBuilder::new());
    let push = Push { high_watermark: 1 << 40, end_code: ErrorCode::None };
    bencher.bench_local(|| {
        out.clear();
        frame::encode_message(&mut out, &mut builder, black_box(&push), 1, 9, 1_000);
        out.len()
    });
}

fn acks(count: u64) -> Vec<ProduceAck> {
    let ack = |correlation_id| ProduceAck {
        correlation_id,
        code: ErrorCode::None,
        base_offset: 1 << 40,
        log_append_time_ms: -1,
    };
    (0..count).map(ack).collect()
}

#[divan::bench(args = [1, 100])]
fn acks_encode(bencher: Bencher<'_, '_>, count: u64) {
    let (acks, mut builder) = (acks(count), BodyBuilder::new());
    bencher
        .counter(ItemsCount::new(count))
        .bench_local(|| ProduceAcks::write(&mut builder, black_box(&acks)).len());
}

#[divan::bench(args = [1, 100])]
fn acks_decode(bencher: Bencher<'_, '_>, count: u64) {
    let (acks, mut builder) = (acks(count), BodyBuilder::new());
    let body = ProduceAcks::write(&mut builder, &acks);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        ProduceAcks::read(black_box(body)).map(|acks| acks.fold(0, |sum, ack| sum ^ ack.correlation_id))
    });
}

/// Records in the batch, bytes in the record: one small, one large, and the whole of a large batch in small ones.
const SHAPES: [(usize, usize); 5] = [(1, 100), (16, 1_000), (64, 1_000), (1_000, 1_000), (10_000, 100)];

#[divan::bench(args = SHAPES)]
fn batch_validate(bencher: Bencher<'_, '_>, (records, record_bytes): (usize, usize)) {
    let batch = batch_of(Compression::None, records, record_bytes);
    bencher.counter(BytesCount::new(batch.len())).bench_local(|| batch::validate(black_box(&batch)));
}

#[divan::bench(args = SHAPES)]
fn batch_build(bencher: Bencher<'_, '_>, (records, record_bytes): (usize, usize)) {
    let value = vec![b'v'; record_bytes];
    let mut builder = BatchBuilder::new(Compression::None);
    bencher.counter(BytesCount::new(records * record_bytes)).bench_local(|| {
        for timestamp_ms in (1_700_000_000_000..).take(records) {
            let record = RecordRef { timestamp_ms, value: Some(black_box(&value)), ..RecordRef::default() };
            builder.append(&record).expect("within the limits");
        }
        builder.finish(ProducerStamp::NONE).map(|batch| batch.len())
    });
}

#[divan::bench(args = SHAPES)]
fn batch_records_read(bencher: Bencher<'_, '_>, (records, record_bytes): (usize, usize)) {
    let batch = batch_of(Compression::None, records, record_bytes);
    bencher.counter(BytesCount::new(batch.len())).bench_local(|| {
        batch::records(black_box(&batch)).map(|records| records.filter(Result::is_ok).count())
    });
}

#[divan::bench]
fn batches_walk_100(bencher: Bencher<'_, '_>) {
    let run = batch_of(Compression::None, 1, 100).repeat(100);
    bencher.counter(ItemsCount::new(100_usize)).bench_local(|| Batches::new(black_box(&run)).count());
}

/// A codec there and back on 64 KiB of records that compress well.
#[divan::bench(args = ["gzip", "snappy", "lz4", "zstd"])]
fn decompress_64k(bencher: Bencher<'_, '_>, codec: &str) {
    let codec: Compression = codec.parse().expect("a codec's name");
    let batch = batch_of(codec, 64, 1_000);
    bencher.counter(BytesCount::new(64_000_usize)).bench_local(|| {
        batch::records(black_box(&batch)).map(|records| records.filter(Result::is_ok).count())
    });
}

const CRC_BYTES: [usize; 4] = [100, 1 << 10, 64 << 10, 1 << 20];

#[divan::bench(args = CRC_BYTES)]
fn crc_of_a_batch_crc_fast(bencher: Bencher<'_, '_>, length: usize) {
    let bytes = vec![7; length];
    bencher.counter(BytesCount::new(length)).bench_local(|| batch::crc32c(black_box(&bytes)));
}

/// The other well-kept implementation, for the choice between the two.
#[divan::bench(args = CRC_BYTES)]
fn crc_of_a_batch_crc32c(bencher: Bencher<'_, '_>, length: usize) {
    let bytes = vec![7; length];
    bencher.counter(BytesCount::new(length)).bench_local(|| crc32c::crc32c(black_box(&bytes)));
}
