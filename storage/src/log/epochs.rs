//! Finds where a leader epoch ended. Control path.
//!
//! No list of epochs is kept beside the log: every batch carries its epoch, and epochs never fall along the log, so that the
//! first batch of a greater one is found by halving: over the segments, then over the entries of one index, then by a walk over
//! the batches of one entry. An epoch without a batch leaves no trace, as in Kafka, whose list has none with the place of the
//! next.

use std::rc::Rc;

use wire::batch::BatchHeader;

use crate::error::ReadError;
use crate::log::read::Place;
use crate::log::{Log, LogInner};

/// The end of a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The greatest epoch with a batch in the log that is not above the one asked for; that one itself where there is none.
    pub leader_epoch: i32,
    /// One past its last record: the first record of the next epoch, or the high watermark.
    pub end_offset: i64,
}

impl Log {
    /// Where a leader epoch ended, of what is acknowledged; `None` for one above the log's own.
    pub async fn end_of_epoch(&self, leader_epoch: i32) -> Result<Option<EpochEnd>, ReadError> {
        let own = self.leader_epoch();
        if leader_epoch > own {
            return Ok(None);
        }
        if leader_epoch == own {
            return Ok(Some(EpochEnd { leader_epoch, end_offset: self.offsets().high_watermark }));
        }
        let found = self.inner.find_end_of_epoch(leader_epoch).await;
        found.map(Some).map_err(|error| self.inner.removed_or(error))
    }
}

impl LogInner {
    async fn find_end_of_epoch(self: &Rc<Self>, leader_epoch: i32) -> Result<EpochEnd, ReadError> {
        self.load().await?;
        let bases = self.segment_bases();
        // Segments before `low` begin in the epoch or one below it, those from `high` on in a greater one.
        let (mut low, mut high) = (0, bases.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let first = self.batch_at(Place { segment_base: bases[middle], position: 0 }).await?;
            let begins_after = match first {
                Some(header) => header.leader_epoch > leader_epoch,
                // The last one may have no batch yet. Of the others one that has none was freed meanwhile, and all before it.
                None => middle + 1 == bases.len(),
            };
            if begins_after { high = middle } else { low = middle + 1 }
        }
        let next_segment = bases.get(low).copied();
        let mut end = EpochEnd { leader_epoch, end_offset: next_segment.unwrap_or_else(|| self.end()) };
        if let Some(segment_base) = low.checked_sub(1).map(|last| bases[last]) {
            let position = self.index_position_of_epoch(segment_base, leader_epoch).await?;
            self.walk(Place { segment_base, position }, &mut |_, header| {
                let is_after = header.leader_epoch > leader_epoch;
                if is_after {
                    end.end_offset = header.base_offset;
                } else {
                    end = EpochEnd { leader_epoch: header.leader_epoch, end_offset: header.next_offset() };
                }
                !is_after
            })
            .await?;
        }
        let log_start = self.state.borrow().log_start;
        match end.end_offset > log_start {
            true => Ok(end),
            // What it held is gone: it ended before the log begins.
            false => Ok(EpochEnd { leader_epoch, end_offset: log_start }),
        }
    }

    fn end(&self) -> i64 {
        self.state.borrow().high_watermark
    }

    /// The place of a batch that is not above the epoch, with no more than an entry's batches up to the first that is.
    async fn index_position_of_epoch(
        self: &Rc<Self>,
        segment_base: i64,
        leader_epoch: i32,
    ) -> Result<u64, ReadError> {
        // Without an index the whole segment is walked.
        let Ok(index) = self.index_of(segment_base).await else { return Ok(0) };
        let entries: Vec<(i64, u64)> =
            index.entries().map(|(offset, position, _)| (offset, position)).collect();
        let (mut low, mut high) = (0, entries.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let (offset, position) = entries[middle];
            // An open segment's index speaks of batches that are not acknowledged yet, too.
            let is_after = match self.batch_at(Place { segment_base, position }).await {
                Ok(Some(header)) if header.base_offset == offset => header.leader_epoch > leader_epoch,
                Ok(None) => true,
                // The index leads astray.
                Ok(Some(_)) | Err(_) => return Ok(0),
            };
            if is_after { high = middle } else { low = middle + 1 }
        }
        Ok(low.checked_sub(1).map_or(0, |last| entries[last].1))
    }

    /// The acknowledged batch at a place, if there is one.
    async fn batch_at(self: &Rc<Self>, place: Place) -> Result<Option<BatchHeader>, ReadError> {
        let mut found = None;
        self.walk(place, &mut |_, header| {
            found = Some(*header);
            false
        })
        .await?;
        Ok(found)
    }
}
