//! A batch that still takes records.
//!
//! Hot path.

use bytes::Bytes;
use wire::batch::{BatchBuilder, BuildError, Compression, ProducerStamp, RecordRef};

use super::Moment;
use super::prepared::PreparedBatch;
use crate::delivery::Completion;

/// Builders kept for the next batches: their memory comes back when the batches they gave are acknowledged.
const SPARE_BUILDERS_MAX: usize = 64;

/// Records gathered for one partition, and who waits for them.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    pub(crate) builder: BatchBuilder,
    pub(crate) completion: Completion,
    /// When the first record came: linger and delivery time-out count from here.
    pub(crate) opened: Moment,
}

impl OpenBatch {
    /// Adds a record; its place in the batch.
    pub(crate) fn append(&mut self, record: &RecordRef<'_>) -> Result<u32, BuildError> {
        let index = u32::try_from(self.builder.record_count()).unwrap_or(0);
        self.builder.append(record)?;
        Ok(index)
    }

    /// Turns the gathered records into a batch to send, and gives the builder back.
    pub(crate) fn finish(
        mut self,
        stamp: ProducerStamp,
        spare: &mut SpareBuilders,
    ) -> (Result<PreparedBatch, BuildError>, Completion) {
        let record_count = u32::try_from(self.builder.record_count()).unwrap_or(0);
        let finished = self.builder.finish(stamp);
        spare.give_back(self.builder);
        (finished.map(|batch| PreparedBatch::finished(batch, record_count)), self.completion)
    }
}

/// Builders between two batches.
#[derive(Debug)]
pub(crate) struct SpareBuilders {
    compression: Compression,
    builders: std::collections::VecDeque<BatchBuilder>,
    /// Stays empty: it measures.
    empty: BatchBuilder,
}

impl SpareBuilders {
    pub(crate) fn new(compression: Compression) -> Self {
        let empty = BatchBuilder::new(compression);
        Self { compression, builders: std::collections::VecDeque::new(), empty }
    }

    pub(crate) fn open(&mut self, now: Moment) -> OpenBatch {
        // The one given back longest ago: its last batch is the most likely to be acknowledged.
        let builder = self.builders.pop_front().unwrap_or_else(|| BatchBuilder::new(self.compression));
        OpenBatch { builder, completion: Completion::default(), opened: now }
    }

    /// What a record takes as the first of a batch; a later one takes a few bytes more or fewer.
    pub(crate) fn bytes_of(&self, record: &RecordRef<'_>) -> usize {
        self.empty.bytes_of(record)
    }

    fn give_back(&mut self, builder: BatchBuilder) {
        if self.builders.len() < SPARE_BUILDERS_MAX {
            self.builders.push_back(builder);
        }
    }
}

/// A whole batch of records that have values only, without a producer's stamp: for load and for tests.
pub fn batch_of_values(values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        let record = RecordRef { value: Some(value), ..RecordRef::default() };
        builder.append(&record).expect("the values fit one batch");
    }
    builder.finish(ProducerStamp::NONE).expect("a batch has a record")
}
