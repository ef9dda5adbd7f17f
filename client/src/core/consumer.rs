//! A consumer's state: a position and a credit for each partition, and what was received ahead of the application.
//!
//! Invariants:
//! - A position is the offset after the last batch received: a subscription that is lost begins there again, so nothing
//!   is skipped and nothing comes twice.
//! - Credit is given back when the application takes a batch, never when it is received: what may be held is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use uuid::Uuid;

use crate::error::ClientError;
use crate::options::{CREDIT_BYTES_MAX, CREDIT_BYTES_MIN, ConsumerOptions};
use crate::record::{ReceivedBatch, StartAt};

/// Where reading a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionPosition {
    /// The partition.
    pub partition: u32,
    /// The next offset to come; `None` until the broker has said where reading begins.
    pub position: Option<i64>,
    /// The end of what can be read there, as last heard.
    pub high_watermark: Option<i64>,
}

/// One partition of a consumer.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Where to begin while there is no position.
    pub(crate) start: StartAt,
    pub(crate) position: Option<i64>,
    /// Records are dropped until one has this time or a later one: the broker does not open compressed batches, so it
    /// can only name the batch.
    pub(crate) from_time_ms: Option<i64>,
    pub(crate) high_watermark: Option<i64>,
    /// With `stop_at_end`: where this partition is done.
    pub(crate) end: Option<i64>,
    /// The link and the id of the subscription, while there is one.
    pub(crate) active: Option<(usize, u64)>,
    /// The answer to Subscribe has come: the id is known at the broker.
    pub(crate) confirmed: bool,
    /// Taken by the application, not given back yet.
    pub(crate) credit_owed: usize,
    /// A timer will subscribe again.
    pub(crate) retry_planned: bool,
    pub(crate) failures: u32,
}

impl Subscription {
    pub(crate) fn new(start: StartAt) -> Self {
        Self {
            start,
            position: None,
            from_time_ms: from_time_ms(start),
            high_watermark: None,
            end: None,
            active: None,
            confirmed: false,
            credit_owed: 0,
            retry_planned: false,
            failures: 0,
        }
    }

    /// Forgets where reading stood and begins elsewhere.
    pub(crate) fn begin_again(&mut self, start: StartAt) {
        self.start = start;
        self.position = None;
        self.from_time_ms = from_time_ms(start);
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!((self.end, self.position), (Some(end), Some(position)) if position >= end)
    }

    /// Where a Subscribe would begin now.
    pub(crate) fn begin(&self) -> StartAt {
        self.position.map_or(self.start, StartAt::Offset)
    }
}

fn from_time_ms(start: StartAt) -> Option<i64> {
    match start {
        StartAt::Time(time_ms) => Some(time_ms),
        _ => None,
    }
}

/// One consumer: one topic.
#[derive(Debug)]
pub(crate) struct ConsumerState {
    pub(crate) topic: String,
    pub(crate) topic_id: Uuid,
    pub(crate) options: ConsumerOptions,
    pub(crate) subscriptions: BTreeMap<u32, Subscription>,
    /// Credit of each subscription.
    pub(crate) credit_bytes: usize,
    pub(crate) received: VecDeque<ReceivedBatch>,
    pub(crate) waker: Option<Waker>,
    pub(crate) ended: Option<ClientError>,
}

impl ConsumerState {
    pub(crate) fn new(
        topic: String,
        topic_id: Uuid,
        partitions: u32,
        options: ConsumerOptions,
    ) -> Result<Self, ClientError> {
        let chosen = if options.partitions.is_empty() {
            (0..partitions).collect()
        } else {
            options.partitions.clone()
        };
        if let Some(&partition) = chosen.iter().find(|&&partition| partition >= partitions) {
            return Err(ClientError::NoSuchPartition { partition, partitions });
        }
        let share = options.buffer_bytes / chosen.len().max(1);
        let subscriptions =
            chosen.into_iter().map(|partition| (partition, Subscription::new(options.start))).collect();
        Ok(Self {
            topic,
            topic_id,
            subscriptions,
            credit_bytes: share.clamp(CREDIT_BYTES_MIN, CREDIT_BYTES_MAX),
            options,
            received: VecDeque::new(),
            waker: None,
            ended: None,
        })
    }

    /// With `stop_at_end`: everything was received and taken.
    pub(crate) fn is_done(&self) -> bool {
        self.options.stop_at_end
            && self.received.is_empty()
            && self.subscriptions.values().all(Subscription::is_done)
    }

    pub(crate) fn end(&mut self, error: ClientError) {
        self.ended.get_or_insert(error);
        self.wake();
    }

    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
