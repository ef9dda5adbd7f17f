//! Batches that are not what they say, among good ones.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use uuid::Uuid;
use wire::batch::position::{ATTRIBUTES, CRC, LAST_OFFSET_DELTA, LENGTH, MAGIC, RECORD_COUNT};
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};
use wire::codes::ErrorCode;
use wire::frame::MessageKind;
use wire::native::{Message, Produce, ProduceAcks};

use crate::broker::Connection;

/// What is wrong, how it comes to be, and the codes that may answer it.
struct Fault {
    name: &'static str,
    make: fn(&mut [u8]),
    /// Whether the checksum is made right again: else it is what is wrong.
    checksum: bool,
    code: ErrorCode,
}

const FAULTS: [Fault; 9] = [
    Fault {
        name: "a wrong CRC",
        make: |batch| batch[CRC] ^= 1,
        checksum: false,
        code: ErrorCode::CorruptBatch,
    },
    Fault {
        name: "a flipped bit in a record",
        make: |batch| batch[70] ^= 4,
        checksum: false,
        code: ErrorCode::CorruptBatch,
    },
    Fault {
        name: "more records than there are",
        make: |batch| {
            put(batch, RECORD_COUNT, 4);
            put(batch, LAST_OFFSET_DELTA, 3);
        },
        checksum: true,
        code: ErrorCode::InvalidBatch,
    },
    Fault {
        name: "a count of two thousand million",
        make: |batch| {
            put(batch, RECORD_COUNT, i32::MAX);
            put(batch, LAST_OFFSET_DELTA, i32::MAX - 1);
        },
        checksum: true,
        code: ErrorCode::InvalidBatch,
    },
    Fault {
        name: "a negative count",
        make: |batch| put(batch, RECORD_COUNT, -1),
        checksum: true,
        code: ErrorCode::InvalidBatch,
    },
    Fault {
        name: "a length beyond its end",
        make: |batch| put(batch, LENGTH, 5000),
        checksum: true,
        code: ErrorCode::InvalidBatch,
    },
    Fault {
        name: "a negative length",
        make: |batch| put(batch, LENGTH, -5),
        checksum: true,
        code: ErrorCode::InvalidBatch,
    },
    Fault {
        name: "a codec that does not exist",
        make: |batch| batch[ATTRIBUTES + 1] |= 7,
        checksum: true,
        code: ErrorCode::UnsupportedBatch,
    },
    Fault {
        name: "magic 1",
        make: |batch| batch[MAGIC] = 1,
        checksum: true,
        code: ErrorCode::UnsupportedBatch,
    },
];

/// Sends each fault between two good batches on one session: it alone is refused, with its code.
pub(super) fn run(address: &str, topic_id: Uuid) -> Result<usize> {
    let mut connection = Connection::open(address)?;
    for fault in &FAULTS {
        let mut bad = batch()?.to_vec();
        (fault.make)(&mut bad);
        if fault.checksum {
            let crc = crc32c::crc32c(&bad[ATTRIBUTES..]);
            bad[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        }
        let good = ErrorCode::None;
        for (batch, expected) in [(batch()?, good), (bad.into(), fault.code), (batch()?, good)] {
            let code = produce(&mut connection, topic_id, &batch)
                .with_context(|| format!("a batch with {}", fault.name))?;
            ensure!(code == expected, "a batch with {} was answered with {code}", fault.name);
        }
    }
    Ok(FAULTS.len())
}

pub(super) fn produce(connection: &mut Connection, topic_id: Uuid, batch: &[u8]) -> Result<ErrorCode> {
    let produce = Produce { topic_id, partition: 0, deadline_ms: 0, acknowledge: true };
    let id = connection.send(&produce, batch)?;
    loop {
        let frame = connection.receive()?;
        if frame.header.kind == MessageKind::Error && frame.header.correlation_id == id {
            return Ok(wire::native::Error::decode(&frame.body)?.code);
        }
        if frame.header.kind != MessageKind::ProduceAcks {
            continue;
        }
        if let Some(ack) = ProduceAcks::read(&frame.body)?.find(|ack| ack.correlation_id == id) {
            return Ok(ack.code);
        }
    }
}

fn batch() -> Result<Bytes> {
    batch_of(&["one", "two", "three"])
}

pub(super) fn batch_of(values: &[&str]) -> Result<Bytes> {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        let record = RecordRef {
            timestamp_ms: crate::clock::wall_ms(),
            key: None,
            value: Some(value.as_bytes()),
            headers: &[],
        };
        builder.append(&record)?;
    }
    Ok(builder.finish(ProducerStamp::NONE)?)
}

fn put(batch: &mut [u8], at: usize, number: i32) {
    batch[at..at + 4].copy_from_slice(&number.to_be_bytes());
}
