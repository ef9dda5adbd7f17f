use bytes::{BufMut, Bytes, BytesMut};

use super::*;
use crate::codes::ErrorCode;

const EVERY_CODEC: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

const STAMP: ProducerStamp = ProducerStamp { producer_id: 9, producer_epoch: 2, base_sequence: 5 };

fn batch_of(codec: Compression, count: i64) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    let headers = [
        Header { key: Bytes::from_static(b"trace"), value: Some(Bytes::from_static(b"1")) },
        Header { key: Bytes::from_static(b"none"), value: None },
    ];
    for index in 0..count {
        let value = format!("value of record {index}, long enough to be worth compressing");
        let key = (index % 2 == 0).then(|| index.to_be_bytes());
        let record = RecordRef {
            timestamp_ms: 1_000 - index,
            key: key.as_ref().map(|key| &key[..]),
            value: (index % 3 != 2).then_some(value.as_bytes()),
            headers: if index % 4 == 0 { &headers } else { &[] },
        };
        let before = builder.bytes();
        let foretold = builder.bytes_of(&record);
        builder.append(&record).unwrap();
        assert_eq!(builder.bytes() - before, foretold);
    }
    builder.finish(STAMP).unwrap()
}

/// An uncompressed batch around `records`, with a checksum that fits.
fn batch_around(records: &[u8], count: i32) -> BytesMut {
    let mut batch = BytesMut::from(&batch_of(Compression::None, 1)[..BATCH_HEADER_BYTES]);
    batch.put_slice(records);
    let length = i32::try_from(batch.len() - 12).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    seal(&mut batch);
    batch
}

fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn what_the_builder_makes_is_valid_and_reads_back() {
    for codec in EVERY_CODEC {
        let batch = batch_of(codec, 50);
        let header = validate(&batch).unwrap();
        assert_eq!(header.attributes.compression().unwrap(), codec);
        assert_eq!((header.record_count, header.last_offset_delta, header.length), (50, 49, batch.len()));
        assert_eq!((header.base_timestamp_ms, header.max_timestamp_ms), (1_000, 1_000));
        assert_eq!((header.producer_id, header.producer_epoch, header.last_sequence()), (9, 2, 54));
        let records: Vec<_> = records(&batch).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.len(), 50);
        assert_eq!(records[4].headers[0].key_text(), "trace");
        assert_eq!(records[4].headers[1].value, None);
        assert_eq!(
            records[5],
            Record { offset: 5, timestamp_ms: 995, key: None, value: None, headers: Vec::new() }
        );
    }
}

#[test]
fn a_builder_is_used_again_without_a_trace_of_the_batch_before() {
    let mut builder = BatchBuilder::new(Compression::None);
    let record = RecordRef { timestamp_ms: 5, value: Some(b"v"), ..RecordRef::default() };
    builder.append(&record).unwrap();
    let first = builder.finish(ProducerStamp::NONE).unwrap();
    assert_eq!(builder.finish(ProducerStamp::NONE), Err(BuildError::Empty));
    builder.append(&record).unwrap();
    assert_eq!(builder.finish(ProducerStamp::NONE).unwrap(), first);
}

#[test]
fn every_flipped_bit_behind_the_epoch_is_noticed() {
    for codec in EVERY_CODEC {
        let batch = batch_of(codec, 3);
        for bit in 8 * 8..batch.len() * 8 {
            if (12..16).contains(&(bit / 8)) {
                continue;
            }
            let mut damaged = batch.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(validate(&damaged).is_err(), "{codec}, bit {bit}");
            assert!(check_stored(&damaged).is_err(), "{codec}, bit {bit}");
        }
    }
}

#[test]
fn offset_and_epoch_are_given_without_touching_the_checksum() {
    let mut batch = batch_of(Compression::None, 3).to_vec();
    assign(&mut batch, 1 << 40, 7);
    let header = validate(&batch).unwrap();
    assert_eq!((header.base_offset, header.leader_epoch, header.next_offset()), (1 << 40, 7, (1 << 40) + 3));
    let offsets: Vec<_> = records(&batch.into()).unwrap().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [1 << 40, (1 << 40) + 1, (1 << 40) + 2]);
}

#[test]
fn log_append_time_is_every_records_time_and_only_the_brokers_to_give() {
    let mut batch = batch_of(Compression::Zstd, 3).to_vec();
    stamp_log_append_time(&mut batch, 77);
    assert_eq!(check_stored(&batch).unwrap().max_timestamp_ms, 77);
    assert_eq!(validate(&batch), Err(BatchError::LogAppendTime));
    assert!(records(&batch.into()).unwrap().all(|record| record.unwrap().timestamp_ms == 77));
}

#[test]
fn what_a_later_version_may_allow_is_refused_by_name() {
    let with_attributes = |attributes: u16| {
        let mut batch = batch_of(Compression::None, 1).to_vec();
        batch[21..23].copy_from_slice(&attributes.to_be_bytes());
        seal(&mut batch);
        validate(&batch).unwrap_err()
    };
    assert_eq!(with_attributes(1 << 4), BatchError::Transactional { found: 1 << 4 });
    assert_eq!(with_attributes(1 << 5), BatchError::Transactional { found: 1 << 5 });
    assert_eq!(with_attributes(1 << 6), BatchError::Attributes { found: 1 << 6 });
    assert_eq!(with_attributes(1 << 15), BatchError::Attributes { found: 1 << 15 });
    assert_eq!(with_attributes(5), BatchError::Codec { found: 5 });
    assert_eq!(with_attributes(5).code(), ErrorCode::UnsupportedBatch);
}

#[test]
fn records_marked_compressed_must_begin_as_their_codec_does() {
    for codec in [1_u16, 2, 3, 4] {
        // 0xff.. is no snappy length that ends, either.
        let mut batch = batch_around(&[0xff; 20], 1);
        batch[21..23].copy_from_slice(&codec.to_be_bytes());
        seal(&mut batch);
        assert!(matches!(validate(&batch), Err(BatchError::NotCompressed { .. })), "codec {codec}");
        let mut batch = batch_around(&[], 1);
        batch[21..23].copy_from_slice(&codec.to_be_bytes());
        seal(&mut batch);
        assert!(matches!(validate(&batch), Err(BatchError::NotCompressed { .. })), "codec {codec}, empty");
    }
}

#[test]
fn a_bare_snappy_block_as_librdkafka_writes_it_is_taken() {
    let plain = batch_of(Compression::None, 3);
    let block = snap::raw::Encoder::new().compress_vec(&plain[BATCH_HEADER_BYTES..]).unwrap();
    let mut batch = batch_around(&block, 3);
    batch[21..23].copy_from_slice(&2_u16.to_be_bytes());
    seal(&mut batch);
    validate(&batch).unwrap();
    assert_eq!(records(&batch.freeze()).unwrap().count(), 3);
}

#[test]
fn counts_that_do_not_fit_are_refused() {
    let plain = batch_of(Compression::None, 3);
    let stored = &plain[BATCH_HEADER_BYTES..];
    assert!(matches!(validate(&batch_around(stored, 2)), Err(BatchError::Record { index: 2, .. })));
    assert!(matches!(validate(&batch_around(stored, 4)), Err(BatchError::Record { index: 3, .. })));
    assert!(matches!(validate(&batch_around(&[], 0)), Err(BatchError::Count { record_count: 0, .. })));
    assert!(matches!(validate(&batch_around(stored, i32::MIN + 1)), Err(BatchError::Count { .. })));
}

#[test]
fn a_compressed_batch_cannot_take_more_offsets_than_it_could_hold_records() {
    let mut batch = batch_of(Compression::Zstd, 3).to_vec();
    let mut with_count = |count: i32| {
        batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        seal(&mut batch);
        validate(&batch)
    };
    let limit = i32::try_from(crate::limits::RECORDS_PER_BATCH_MAX).unwrap();
    assert!(with_count(limit).is_ok());
    assert!(matches!(with_count(limit + 1), Err(BatchError::Count { .. })));
    assert!(matches!(with_count(i32::MAX), Err(BatchError::Count { .. })));
}

#[test]
fn records_that_do_not_fit_their_batch_are_refused() {
    // length, attributes, timestamp delta, offset delta, key length, value length, header count; zigzag.
    let sound = [12, 0, 0, 0, 1, 1, 0];
    validate(&batch_around(&sound, 1)).unwrap();
    let with = |position: usize, byte: u8| {
        let mut record = sound;
        record[position] = byte;
        match validate(&batch_around(&record, 1)) {
            Err(BatchError::Record { index: 0, position: BATCH_HEADER_BYTES, problem }) => problem,
            other => panic!("byte {position} = {byte}: {other:?}"),
        }
    };
    assert_eq!(with(0, 14), RecordProblem::Length { length: 7 });
    assert_eq!(with(0, 1), RecordProblem::Length { length: -1 });
    assert_eq!(with(0, 0), RecordProblem::Length { length: 0 });
    assert_eq!(with(0, 0x80), RecordProblem::Length { length: 0 });
    assert_eq!(with(3, 2), RecordProblem::OffsetDelta { expected: 0, found: 1 });
    assert_eq!(with(4, 3), RecordProblem::Field { field: "key", length: -2 });
    assert_eq!(with(4, 100), RecordProblem::Field { field: "key", length: 50 });
    assert_eq!(with(5, 6), RecordProblem::Field { field: "value", length: 3 });
    assert_eq!(with(6, 1), RecordProblem::HeaderCount { count: -1 });
    assert_eq!(with(6, 2), RecordProblem::Varint);
    assert_eq!(with(6, 0x80), RecordProblem::Varint);
}

/// As sarama before 1.45 writes it.
#[test]
fn a_latest_time_that_the_batch_has_wrong_is_that_of_its_records() {
    for (codec, expected) in [(Compression::None, 9), (Compression::Zstd, 9)] {
        let mut builder = BatchBuilder::new(codec);
        for timestamp_ms in [5, 9, 7] {
            builder.append(&RecordRef { timestamp_ms, ..RecordRef::default() }).unwrap();
        }
        let mut batch = builder.finish(ProducerStamp::NONE).unwrap().to_vec();
        assert_eq!(validate(&batch).unwrap().max_timestamp_ms, 9);
        stamp_max_timestamp(&mut batch, -1);
        assert_eq!(validate(&batch).unwrap().max_timestamp_ms, expected, "{codec:?}");
    }
}

#[test]
fn keys_are_looked_for_in_every_record_also_in_compressed_ones() {
    for codec in [Compression::None, Compression::Gzip] {
        for (keys, expected) in
            [([Some(b"k"), Some(b"k"), Some(b"k")], vec![]), ([None, Some(b"k"), None], vec![0, 2])]
        {
            let mut builder = BatchBuilder::new(codec);
            for key in keys {
                let key = key.map(|key| &key[..]);
                builder.append(&RecordRef { key, value: Some(&[7; 300]), ..RecordRef::default() }).unwrap();
            }
            let batch = builder.finish(ProducerStamp::NONE).unwrap();
            assert_eq!(records_without_key(&batch, 1 << 20, 1).unwrap(), &expected[..expected.len().min(1)]);
            assert_eq!(records_without_key(&batch, 1 << 20, 9).as_ref(), Ok(&expected));
            let is_believed = codec != Compression::None;
            assert_eq!(records_without_key(&batch, 100, 9), Ok(if is_believed { vec![] } else { expected }));
        }
    }
}

#[test]
fn a_producer_id_needs_an_epoch_and_a_sequence() {
    let mut builder = BatchBuilder::new(Compression::None);
    let mut check = |producer_id, producer_epoch, base_sequence| {
        builder.append(&RecordRef::default()).unwrap();
        let stamp = ProducerStamp { producer_id, producer_epoch, base_sequence };
        validate(&builder.finish(stamp).unwrap()).is_ok()
    };
    assert!(check(-1, -1, -1) && check(0, 0, 0) && check(5, 1, i32::MAX));
    // Sarama writes zeros where it has no producer id.
    assert!(check(-1, 0, 0));
    assert!(!check(5, -1, 0) && !check(5, 0, -1) && !check(-2, 0, 0) && !check(-1, 0, 7));
}

#[test]
fn sequences_wrap_to_zero() {
    let mut header = validate(&batch_of(Compression::None, 3)).unwrap();
    header.base_sequence = i32::MAX - 1;
    assert_eq!(header.last_sequence(), 0);
    header.base_sequence = -1;
    assert_eq!(header.last_sequence(), -1);
}

#[test]
fn a_run_is_walked_batch_by_batch_and_stops_at_what_is_cut() {
    let mut run = BytesMut::new();
    for codec in EVERY_CODEC {
        run.put_slice(&batch_of(codec, 4));
    }
    let found: Vec<_> =
        Batches::new(&run).map(|next| next.unwrap().1.attributes.compression().unwrap()).collect();
    assert_eq!(found, EVERY_CODEC);
    assert_eq!(validate_run(&run).map(|next| next.unwrap().0.len()).sum::<usize>(), run.len());

    let cut = &run[..run.len() - 1];
    let mut batches = Batches::new(cut);
    assert_eq!(batches.by_ref().take(4).filter(Result::is_ok).count(), 4);
    let position = batches.position();
    assert!(matches!(batches.next(), Some(Err(BatchError::Short { .. }))));
    assert_eq!((batches.position(), batches.next().is_none()), (position, true));
    assert_eq!(validate_run(cut).filter(Result::is_ok).count(), 4);
    assert!(matches!(validate(&run), Err(BatchError::Trailing { .. })));
}

#[test]
fn a_batch_that_claims_more_than_a_batch_may_hold_is_refused_by_its_header() {
    let mut header = batch_of(Compression::None, 1)[..BATCH_HEADER_BYTES].to_vec();
    header[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(BatchHeader::parse(&header), Err(BatchError::TooLarge { .. })));
    header[8..12].copy_from_slice(&48_i32.to_be_bytes());
    assert_eq!(BatchHeader::parse(&header), Err(BatchError::Length { found: 48 }));
    header[16] = 1;
    assert_eq!(BatchHeader::parse(&header), Err(BatchError::Magic { found: 1 }));
    assert_eq!(BatchHeader::parse(&header[1..]), Err(BatchError::Short { needed: 61, found: 60 }));
}

#[test]
fn decompression_stops_at_its_limit() {
    let zeros = vec![0; 1 << 20];
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut compressed = Vec::new();
        compress::compress(codec, &zeros, &mut compressed).unwrap();
        assert_eq!(compress::decompress(codec, &compressed, zeros.len()).unwrap(), zeros);
        let refused = compress::decompress(codec, &compressed, zeros.len() - 1).unwrap_err();
        assert_eq!(refused, BatchError::DecompressedTooLarge { limit: zeros.len() - 1 }, "{codec}");
    }
}
