//! A producer's state: what is gathered, what is under way, and in which order, for each partition.
//!
//! Hot path. Pure: no links here, only the partition's own rules.
//!
//! ```text
//!   open --full, linger over, or its turn--> queued --its turn--> in flight: [Sent .. Sent | Waiting .. Waiting]
//! ```
//!
//! Invariants:
//! - Batches of a partition are sent in the order they were opened, and sent again in that order: while one of them
//!   was refused or lost, nothing else leaves until all that are under way are answered (`draining`).
//! - In flight, what was sent comes before what waits to be sent again.
//! - A batch keeps its sequence through retries. It gets another identity only when it is certain that it is not stored.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use uuid::Uuid;
use wire::batch::ProducerStamp;

use super::Moment;
use super::open_batch::{OpenBatch, SpareBuilders};
use super::partitioner::Sticky;
use super::prepared::PreparedBatch;
use crate::delivery::Completion;
use crate::error::ClientError;
use crate::options::{IDEMPOTENT_IN_FLIGHT_MAX, ProducerOptions};

/// The id and epoch under which batches are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// A batch that takes no more records.
#[derive(Debug)]
pub(crate) enum Queued {
    Gathered(OpenBatch),
    Prepared { batch: PreparedBatch, completion: Completion, opened: Moment },
}

impl Queued {
    pub(crate) fn opened(&self) -> Moment {
        match self {
            Self::Gathered(open) => open.opened,
            Self::Prepared { opened, .. } => *opened,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Gathered(open) => open.builder.bytes(),
            Self::Prepared { batch, .. } => batch.length(),
        }
    }

    pub(crate) fn into_completion(self) -> Completion {
        match self {
            Self::Gathered(open) => open.completion,
            Self::Prepared { completion, .. } => completion,
        }
    }
}

/// A batch that has been sent at least once.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) batch: PreparedBatch,
    pub(crate) completion: Completion,
    pub(crate) opened: Moment,
    /// What it was counted as in the producer's buffer.
    pub(crate) charged_bytes: usize,
    pub(crate) base_sequence: i32,
    /// While it is sent; 0 while it waits to be sent again.
    pub(crate) correlation_id: u64,
    pub(crate) attempts: u32,
    /// An answer was lost, so the batch may be stored.
    pub(crate) outcome_unknown: bool,
    pub(crate) last_error: Option<ClientError>,
}

impl InFlight {
    /// Which was sent first. Sequences wrap from `i32::MAX` to 0, so they are compared by their distance; without
    /// sequences the time of opening has to do.
    pub(crate) fn by_order(&self, other: &Self) -> Ordering {
        if self.base_sequence < 0 {
            self.opened.cmp(&other.opened)
        } else {
            (self.base_sequence.wrapping_sub(other.base_sequence) << 1).cmp(&0)
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct PartitionState {
    /// The link that carries what is under way; another may be chosen once nothing is.
    pub(crate) link: Option<usize>,
    /// It stands in its link's list of ready partitions.
    pub(crate) listed: bool,
    pub(crate) open: Option<OpenBatch>,
    pub(crate) queued: VecDeque<Queued>,
    pub(crate) in_flight: VecDeque<InFlight>,
    /// How many at the end of `in_flight` wait to be sent again.
    pub(crate) waiting: usize,
    /// A batch was refused: the answers to all others are awaited before anything is sent.
    pub(crate) draining: bool,
    /// A sequence number will never be used: what follows needs another identity.
    pub(crate) renew: bool,
    pub(crate) identity: Option<Identity>,
    pub(crate) next_sequence: i32,
    pub(crate) failures: u32,
    pub(crate) blocked_until: Moment,
    /// The encoded Produce message: the same for every batch of the partition.
    pub(crate) body: Bytes,
}

/// What a partition would send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// The batch at this place in `in_flight`.
    Again(usize),
    /// The first of `queued`.
    Queued,
    /// The open batch, as it is.
    Open,
}

impl PartitionState {
    /// Batches that are sent and not answered.
    pub(crate) fn sent(&self) -> usize {
        self.in_flight.len() - self.waiting
    }

    pub(crate) fn next(&self, options: &ProducerOptions, now: Moment) -> Next {
        let identified = self.identity.is_some() || !options.idempotent;
        if self.draining || self.renew || !identified || self.blocked_until > now {
            return Next::Nothing;
        }
        if self.waiting > 0 {
            return Next::Again(self.in_flight.len() - self.waiting);
        }
        if self.in_flight.len() >= options.in_flight_batches {
            return Next::Nothing;
        }
        if !self.queued.is_empty() {
            return Next::Queued;
        }
        if self.open.is_some() && options.linger.is_zero() { Next::Open } else { Next::Nothing }
    }

    /// The stamp for the next new batch of so many records; the sequence moves on, from `i32::MAX` to 0.
    pub(crate) fn next_stamp(&mut self, record_count: u32) -> ProducerStamp {
        let Some(identity) = self.identity else { return ProducerStamp::NONE };
        let base_sequence = self.next_sequence;
        let sum = i64::from(base_sequence) + i64::from(record_count);
        self.next_sequence = (sum & i64::from(i32::MAX)) as i32;
        ProducerStamp { producer_id: identity.id, producer_epoch: identity.epoch, base_sequence }
    }

    /// Everything sent is put back to be sent again, in the old order: the link was lost.
    pub(crate) fn lost_link(&mut self) {
        for item in self.in_flight.iter_mut().filter(|item| item.correlation_id != 0) {
            item.correlation_id = 0;
            item.outcome_unknown = true;
        }
        // One that was refused already stands behind those that had no answer, and may have been sent before them.
        self.in_flight.make_contiguous().sort_by(InFlight::by_order);
        self.waiting = self.in_flight.len();
        self.draining = false;
        self.link = None;
    }

    /// Numbers what waits anew, under another identity. Batches that may be stored under the old one are taken out: sent
    /// under the new one they might be stored twice.
    pub(crate) fn renumber(&mut self, identity: Identity) -> Vec<InFlight> {
        assert_eq!(self.sent(), 0, "batches are answered before they are renumbered");
        self.identity = Some(identity);
        self.next_sequence = 0;
        self.renew = false;
        let (unsure, certain): (Vec<_>, Vec<_>) =
            self.in_flight.drain(..).partition(|item| item.outcome_unknown);
        for mut item in certain {
            let stamp = self.next_stamp(item.batch.record_count());
            item.batch.stamp(stamp.producer_id, stamp.producer_epoch, stamp.base_sequence);
            item.base_sequence = stamp.base_sequence;
            self.in_flight.push_back(item);
        }
        self.waiting = self.in_flight.len();
        unsure
    }
}

/// One producer: one topic.
#[derive(Debug)]
pub(crate) struct ProducerState {
    pub(crate) topic: String,
    pub(crate) topic_id: Uuid,
    pub(crate) options: ProducerOptions,
    pub(crate) partitions: Vec<PartitionState>,
    pub(crate) sticky: Sticky,
    pub(crate) spare: SpareBuilders,
    /// The newest identity; partitions that must renew theirs take it over.
    pub(crate) identity: Option<Identity>,
    /// An InitProducer is under way.
    pub(crate) identifying: bool,
    /// Records gathered, queued and under way.
    pub(crate) buffered_bytes: usize,
    /// Batches not completed yet.
    pub(crate) batches: usize,
    pub(crate) room_waiters: Vec<Waker>,
    pub(crate) flush_waiters: Vec<Waker>,
    /// Batches that could not be built, until their records are told.
    pub(super) failed: Vec<(super::transmit::FailedBatch, ClientError)>,
    /// Why nothing is taken any more.
    pub(crate) ended: Option<ClientError>,
}

impl ProducerState {
    pub(crate) fn new(
        topic: String,
        topic_id: Uuid,
        partitions: usize,
        mut options: ProducerOptions,
    ) -> Self {
        if options.idempotent {
            options.in_flight_batches = options.in_flight_batches.clamp(1, IDEMPOTENT_IN_FLIGHT_MAX);
        }
        options.in_flight_batches = options.in_flight_batches.max(1);
        let spare = SpareBuilders::new(options.compression);
        let mut producer = Self {
            topic,
            topic_id,
            options,
            partitions: Vec::new(),
            sticky: Sticky::default(),
            spare,
            identity: None,
            identifying: false,
            buffered_bytes: 0,
            batches: 0,
            room_waiters: Vec::new(),
            flush_waiters: Vec::new(),
            failed: Vec::new(),
            ended: None,
        };
        producer.grow(partitions);
        producer
    }

    /// Adds the partitions that the topic has now. They share the identity: the broker keeps sequences by partition.
    pub(crate) fn grow(&mut self, partitions: usize) {
        let identity = self.identity;
        while self.partitions.len() < partitions {
            self.partitions.push(PartitionState { identity, ..PartitionState::default() });
        }
    }

    /// A batch is over: its bytes are room again.
    pub(crate) fn release(&mut self, bytes: usize) {
        assert!(self.buffered_bytes >= bytes && self.batches > 0, "released twice");
        self.buffered_bytes -= bytes;
        self.batches -= 1;
        self.room_waiters.drain(..).for_each(Waker::wake);
        if self.batches == 0 {
            self.flush_waiters.drain(..).for_each(Waker::wake);
        }
    }
}

/// The encoded Produce message for one partition.
pub(crate) fn produce_body(topic_id: Uuid, partition: u32, deadline_ms: u32) -> Bytes {
    use wire::native::{BodyBuilder, Message, Produce};
    let message = Produce { topic_id, partition, deadline_ms, acknowledge: true };
    Bytes::copy_from_slice(message.encode(&mut BodyBuilder::new()))
}

/// An error shared by all records of a producer that ended.
pub(crate) fn stored_or_not(error: &ClientError, outcome_unknown: bool) -> ClientError {
    if !outcome_unknown || error.may_be_stored() {
        return error.clone();
    }
    match error {
        ClientError::Closed { .. } => ClientError::Closed { may_be_stored: true },
        other => ClientError::TimedOut { may_be_stored: true, reason: other.to_string() },
    }
}
