//! Records on their way in and out.

use bytes::Bytes;
use wire::batch::{self, BatchHeader, Header, RecordRef};

use crate::error::ClientError;

/// One record to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The partition, when the application chooses it; else the key decides, and without a key the client.
    pub partition: Option<u32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; a record without one is a tombstone where a topic is compacted.
    pub value: Option<Bytes>,
    /// Names and values beside the record.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970; `None` for the time of sending.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// A record with a value.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// The same with a key.
    #[must_use]
    pub fn key(self, key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The same for a given partition.
    #[must_use]
    pub fn partition(self, partition: u32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { key: name.into(), value: Some(value.into()) });
        self
    }

    /// The same with a timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(self, timestamp_ms: i64) -> Self {
        Self { timestamp_ms: Some(timestamp_ms), ..self }
    }

    /// As the builder of batches takes it.
    pub(crate) fn borrowed(&self, now_ms: i64) -> RecordRef<'_> {
        RecordRef {
            timestamp_ms: self.timestamp_ms.unwrap_or(now_ms),
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

/// Where a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition it went to.
    pub partition: u32,
    /// Its offset there.
    pub offset: i64,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record that is kept.
    Earliest,
    /// After the newest.
    Latest,
    /// At this offset.
    Offset(i64),
    /// At the first record with this time (milliseconds since 1970) or a later one.
    Time(i64),
}

impl StartAt {
    pub(crate) fn to_wire(self) -> wire::native::StartPosition {
        use wire::native::StartPosition;
        match self {
            Self::Earliest => StartPosition::Earliest,
            Self::Latest => StartPosition::Latest,
            Self::Offset(offset) => StartPosition::Offset(offset),
            Self::Time(time_ms) => StartPosition::Time(time_ms),
        }
    }
}

/// One batch from a partition, as it was stored. Cheap to clone and to send on: the bytes are shared.
#[derive(Clone, Debug)]
pub struct ReceivedBatch {
    /// Where it comes from.
    pub partition: u32,
    /// The end of what could be read there when it was sent: how far behind this consumer is.
    pub high_watermark: i64,
    pub(crate) header: BatchHeader,
    pub(crate) bytes: Bytes,
    /// A batch is sent whole, so its first records may lie before the position asked for.
    pub(crate) first_offset: i64,
}

impl ReceivedBatch {
    /// The batch's header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header included, in Kafka's format.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Offset of the first record that was asked for.
    pub fn first_offset(&self) -> i64 {
        self.first_offset
    }

    /// Where reading goes on after this batch.
    pub fn next_offset(&self) -> i64 {
        self.header.next_offset()
    }

    /// How many records there are from [`ReceivedBatch::first_offset`] on.
    pub fn record_count(&self) -> u64 {
        let skipped = self.first_offset.saturating_sub(self.header.base_offset).max(0);
        u64::try_from(i64::from(self.header.record_count).saturating_sub(skipped)).unwrap_or(0)
    }

    /// The records, unpacked if need be. Their keys and values are slices of the batch.
    pub fn records(&self) -> Result<Vec<batch::Record>, ClientError> {
        let damaged = |error: batch::BatchError| ClientError::Damaged {
            partition: self.partition,
            reason: error.to_string(),
        };
        let mut wanted = Vec::with_capacity(usize::try_from(self.record_count()).unwrap_or(0).min(4_096));
        for record in batch::records(&self.bytes).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            if record.offset >= self.first_offset {
                wanted.push(record);
            }
        }
        Ok(wanted)
    }
}
