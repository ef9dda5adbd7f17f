//! Batches written by another client (kafka-python, see `golden/batches/generate.py`): they are valid, read as the records
//! they hold, and where nothing is compressed the builder gives the same bytes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use bytes::Bytes;
use wire::batch::{self, BatchBuilder, Compression, Header, ProducerStamp, Record, RecordRef};

const FILES: [(Compression, &[u8]); 5] = [
    (Compression::None, include_bytes!("golden/batches/kafka-python-none.bin")),
    (Compression::Gzip, include_bytes!("golden/batches/kafka-python-gzip.bin")),
    (Compression::Snappy, include_bytes!("golden/batches/kafka-python-snappy.bin")),
    (Compression::Lz4, include_bytes!("golden/batches/kafka-python-lz4.bin")),
    (Compression::Zstd, include_bytes!("golden/batches/kafka-python-zstd.bin")),
];

const STAMP: ProducerStamp = ProducerStamp { producer_id: 4_000, producer_epoch: 1, base_sequence: 7 };

fn record(index: i64) -> Record {
    let value = format!("value of record {index}, of the batch that another client wrote");
    let headers = vec![
        Header { key: "trace".into(), value: Some(format!("id-{index}").into()) },
        Header { key: "empty".into(), value: None },
    ];
    Record {
        offset: index,
        timestamp_ms: 1_700_000_000_000 + (index * 7) % 5,
        key: (index % 2 == 0).then(|| format!("key-{index}").into()),
        value: (index % 5 != 4).then(|| value.into()),
        headers: if index % 3 == 0 { headers } else { Vec::new() },
    }
}

#[test]
fn another_clients_batches_are_valid_and_hold_their_records() {
    for (codec, file) in FILES {
        let header = batch::validate(file).unwrap();
        assert_eq!(header.attributes.compression().unwrap(), codec);
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4_000, 1, 7));
        assert_eq!(
            (header.base_timestamp_ms, header.max_timestamp_ms),
            (1_700_000_000_000, 1_700_000_000_004)
        );
        let records: Result<Vec<_>, _> = batch::records(&Bytes::from_static(file)).unwrap().collect();
        assert_eq!(records.unwrap(), (0..20).map(record).collect::<Vec<_>>(), "{codec}");
    }
}

#[test]
fn the_builder_writes_what_another_client_writes_byte_for_byte() {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in (0..20).map(record) {
        let reference = RecordRef {
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        builder.append(&reference).unwrap();
    }
    let mut built = builder.finish(STAMP).unwrap().to_vec();
    // The one difference: before the log gives a leader epoch this client writes 0, the builder -1 as the Java client.
    batch::assign(&mut built, 0, 0);
    assert_eq!(built, FILES[0].1);
}
