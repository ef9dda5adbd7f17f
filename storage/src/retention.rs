//! Raises the starts of logs by age and by size, as their topics' settings say, rolls segments that are old, and lets go of
//! producers that have long been silent.
//!
//! One task of the broker a shard asks for a round now and then. What is known in memory costs nothing and is looked at in each
//! round; what has to be read from the disk (a folder, an index, a segment's first batch) is read for a bounded number of logs
//! a round, and the next round goes on behind them: ten thousand partitions that nobody uses are not all opened at once.
//!
//! As in Kafka, only closed segments go, the oldest first, each as a whole: by time where its newest record is older than
//! `retention.ms`, by size while the log without it is still at least `retention.bytes` long. Records without a timestamp have no
//! age, and stay.

use std::ops::Bound;
use std::rc::Rc;

use runtime::task;

use crate::error::ReadError;
use crate::limits;
use crate::log::{Log, LogInner};
use crate::options::PartitionUid;
use crate::store::Store;

const HOUR_MS: i64 = 3_600_000;

/// What a round may still read from the disk.
struct Reads(usize);

impl Reads {
    fn take(&mut self) -> bool {
        let may = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        may
    }
}

impl Store {
    /// One round over the shard's logs at this time, in ms since 1970. Returns how many starts were raised. A log that cannot be
    /// looked at is left for the next round: whoever reads it hears why.
    pub async fn retain(&self, now_ms: i64) -> usize {
        self.age_producers(now_ms);
        let mut reads = Reads(limits::RETENTION_READS_A_ROUND);
        let mut raised = 0;
        let begun_at = self.retention_from();
        let mut stopped_at = None;
        for uid in self.uids_from(begun_at) {
            let Some(log) = self.log(uid) else { continue };
            if reads.0 == 0 && stopped_at.is_none() {
                stopped_at = Some(uid);
            }
            task::yield_if_needed().await;
            raised += usize::from(log.inner.retain(now_ms, &mut reads).await.unwrap_or(false));
        }
        self.set_retention_from(stopped_at.unwrap_or(begun_at));
        raised
    }

    /// Tells the logs in memory of each hour that has passed, for the producers they remember.
    fn age_producers(&self, now_ms: i64) {
        let told = self.producers_aged();
        let since = now_ms - told.get();
        if (0..HOUR_MS).contains(&since) {
            return;
        }
        // A clock that was set says nothing of time that passed; nor does the first look.
        if told.replace(now_ms) > 0 && since > 0 {
            for log in self.logs().borrow().values() {
                log.state.borrow_mut().producers.an_hour_passed();
            }
        }
    }

    /// The uids of the shard's logs, those from this one on first.
    fn uids_from(&self, from: PartitionUid) -> Vec<PartitionUid> {
        let logs = self.logs().borrow();
        let (behind, before) = (logs.range(from..), logs.range((Bound::Unbounded, Bound::Excluded(from))));
        behind.chain(before).map(|(uid, _)| *uid).collect()
    }
}

impl LogInner {
    /// Raises the start over what has had its time or is too much; true if it moved.
    async fn retain(self: &Rc<Self>, now_ms: i64, reads: &mut Reads) -> Result<bool, ReadError> {
        let (is_idle, settings) = {
            let state = self.state.borrow();
            let is_empty = state.next_offset == state.log_start;
            (is_empty || state.removed || state.read_only.is_some(), state.settings.clone())
        };
        if is_idle || (settings.retention_ms.is_none() && settings.retention_bytes.is_none()) {
            return Ok(false);
        }
        if !self.state.borrow().loaded {
            if !reads.take() {
                return Ok(false);
            }
            self.load().await?;
        }
        self.roll_if_old(now_ms, reads).await?;
        let mut start = self.state.borrow().log_start;
        if let Some(retention_ms) = settings.retention_ms {
            start = start.max(self.start_by_time(now_ms.saturating_sub(retention_ms), reads).await?);
        }
        if let Some(retention_bytes) = settings.retention_bytes {
            start = start.max(self.state.borrow().start_by_size(retention_bytes));
        }
        if start <= self.state.borrow().log_start {
            return Ok(false);
        }
        // A journal that takes nothing now refuses it; the next round tries again.
        Ok(Log { inner: self.clone() }.raise_start(start).await.is_ok())
    }

    /// Behind the closed segments, oldest first, whose newest record is older than this.
    async fn start_by_time(self: &Rc<Self>, oldest_ms: i64, reads: &mut Reads) -> Result<i64, ReadError> {
        let mut start = self.state.borrow().log_start;
        loop {
            let Some((base_offset, known, next)) = self.state.borrow().closed_from(start) else {
                return Ok(start);
            };
            let newest_ms = match known {
                Some(known) => known,
                None if reads.take() => {
                    let newest_ms = self.index_of(base_offset).await?.max_timestamp_ms();
                    self.state.borrow_mut().note_newest(base_offset, newest_ms);
                    newest_ms
                }
                None => return Ok(start),
            };
            if newest_ms < 0 || newest_ms >= oldest_ms {
                return Ok(start);
            }
            start = next;
        }
    }

    /// Has the log begin its next segment where the first batch of this one is older than `segment.ms`, or all of it older than
    /// `retention.ms`; also where nobody appends: else a log that has fallen silent would keep its last segment for good. The
    /// next round finds it closed.
    async fn roll_if_old(self: &Rc<Self>, now_ms: i64, reads: &mut Reads) -> Result<(), ReadError> {
        let (base_offset, known, settings) = {
            let state = self.state.borrow();
            let Some(segment) = state.open.back().filter(|segment| segment.durable_end > 0) else {
                return Ok(());
            };
            (segment.base_offset, segment.first_timestamp_ms, state.settings.clone())
        };
        let first_ms = match known {
            Some(known) => known,
            None if reads.take() => self.first_timestamp_of(base_offset).await?,
            None => return Ok(()),
        };
        let is_past = |time_ms: i64, kept_ms: Option<i64>| {
            time_ms >= 0 && kept_ms.is_some_and(|kept_ms| time_ms < now_ms.saturating_sub(kept_ms))
        };
        let mut is_old = is_past(first_ms, settings.segment_ms);
        // The index of a segment that another life began is made from its batches: once, where the first of them is past its time.
        if !is_old && is_past(first_ms, settings.retention_ms) && reads.take() {
            is_old = is_past(self.index_of(base_offset).await?.max_timestamp_ms(), settings.retention_ms);
        }
        {
            let mut state = self.state.borrow_mut();
            let segment = state.open.back_mut().filter(|segment| segment.base_offset == base_offset);
            let Some(segment) = segment else { return Ok(()) };
            segment.first_timestamp_ms = Some(first_ms);
            segment.roll_wanted |= is_old;
        }
        if is_old {
            self.prepare();
        }
        Ok(())
    }
}

impl crate::log::state::LogState {
    /// The closed segment that begins at or before this offset and ends behind it: its base, its newest record's time if that is
    /// known, and the base of the next.
    fn closed_from(&self, offset: i64) -> Option<(i64, Option<i64>, i64)> {
        let at = self.closed.partition_point(|segment| segment.base_offset <= offset).checked_sub(1)?;
        let next = self.closed.get(at + 1).map(|segment| segment.base_offset);
        let next = next.or(self.open.front().map(|segment| segment.base_offset))?;
        let segment = &self.closed[at];
        (offset < next).then_some((segment.base_offset, segment.newest_ms, next))
    }

    fn note_newest(&mut self, base_offset: i64, newest_ms: i64) {
        if let Some(segment) = self.closed.iter_mut().find(|segment| segment.base_offset == base_offset) {
            segment.newest_ms = Some(newest_ms);
        }
    }

    /// Behind the closed segments, oldest first, without which the log still has so many bytes.
    fn start_by_size(&self, retention_bytes: u64) -> i64 {
        let open: u64 = self.open.iter().map(|segment| segment.durable_end).sum();
        let mut bytes = open + self.closed.iter().map(|segment| segment.length).sum::<u64>();
        let next_bases = self.closed.iter().skip(1).map(|segment| segment.base_offset);
        let next_bases = next_bases.chain(self.open.front().map(|segment| segment.base_offset));
        let mut start = self.log_start;
        for (segment, next) in self.closed.iter().zip(next_bases) {
            bytes -= segment.length;
            if bytes < retention_bytes {
                break;
            }
            start = next;
        }
        start
    }
}
