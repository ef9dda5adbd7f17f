//! Records come in: gathered into batches, queued, and given to the link that leads to their partition.
//!
//! Hot path.

use std::task::{Context, Poll, Waker};

use super::link::{PartitionKey, Purpose};
use super::prepared::PreparedBatch;
use super::producer::{Next, PartitionState, ProducerState, Queued, produce_body, stored_or_not};
use super::{Core, Moment, Timer, partition_of_key};
use crate::delivery::{Delivery, DeliveryQueue};
use crate::error::ClientError;
use crate::options::ProducerOptions;
use crate::record::Record;
use wire::batch::BATCH_HEADER_BYTES;

/// How a sender is told.
pub(crate) enum Tell<'a> {
    Future,
    Queue(&'a DeliveryQueue, u64),
}

impl Core {
    /// A producer for a topic that metadata has been absorbed for.
    pub(crate) fn add_producer(
        &mut self,
        topic: &str,
        options: ProducerOptions,
        now: Moment,
    ) -> Result<usize, ClientError> {
        let Some(view) = self.cluster.topic(topic) else {
            return Err(ClientError::NoSuchTopic { name: topic.to_owned() });
        };
        let (id, partitions) = (view.id, view.partitions.len());
        self.follow(topic);
        let state = ProducerState::new(topic.to_owned(), id, partitions, options);
        let idempotent = state.options.idempotent;
        let index = self.next_owner();
        self.producers.insert(index, state);
        if idempotent {
            self.identify(index, now);
        }
        Ok(index)
    }

    pub(super) fn producer(&mut self, index: usize) -> &mut ProducerState {
        self.producers.get_mut(&index).expect("a producer lives as long as its handle")
    }

    /// How many partitions the producer's topic has.
    pub(crate) fn partition_count(&mut self, index: usize) -> u32 {
        self.producer(index).partitions.len() as u32
    }

    /// Takes a record, or waits for room. `waker` is woken when there is room again.
    pub(crate) fn poll_push(
        &mut self,
        index: usize,
        record: &Record,
        tell: Tell<'_>,
        now: Moment,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Delivery>, ClientError>> {
        let wall_ms = if record.timestamp_ms.is_some() { 0 } else { (self.clock.wall_ms)() };
        let borrowed = record.borrowed(wall_ms);
        let random = self.clock.random;
        let batch_bytes_max = self.limits.batch_bytes_max;
        let producer = self.producer(index);
        if let Some(error) = &producer.ended {
            return Poll::Ready(Err(error.clone()));
        }
        let bytes = producer.record_bytes(&borrowed);
        if bytes + BATCH_HEADER_BYTES > batch_bytes_max {
            return Poll::Ready(Err(ClientError::TooLarge { found: bytes, limit: batch_bytes_max }));
        }
        if producer.poll_room(bytes, context.waker()).is_pending() {
            return Poll::Pending;
        }
        let partition = match producer.choose_partition(record, bytes, random) {
            Ok(partition) => partition,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let key = PartitionKey { owner: index, partition };
        let batch_bytes = producer.options.batch_bytes.min(batch_bytes_max);
        let state = &mut producer.partitions[partition as usize];
        let full = state.open.as_ref().is_some_and(|open| open.builder.bytes() + bytes > batch_bytes);
        if full {
            state.queued.extend(state.open.take().map(Queued::Gathered));
        }
        let opened = state.open.is_none();
        let open = state.open.get_or_insert_with(|| producer.spare.open(now));
        let before = if opened { 0 } else { open.builder.bytes() };
        let place = match open.append(&borrowed) {
            Ok(place) => place,
            Err(error) => {
                if opened {
                    state.open = None;
                }
                return Poll::Ready(Err(ClientError::Invalid { reason: error.to_string() }));
            }
        };
        let after = open.builder.bytes();
        let delivery = match tell {
            Tell::Future => Some(open.completion.delivery(place)),
            Tell::Queue(queue, token) => {
                open.completion.add_token(queue, token, place);
                None
            }
        };
        if after >= batch_bytes {
            state.queued.extend(state.open.take().map(Queued::Gathered));
        }
        producer.buffered_bytes += after - before;
        producer.batches += usize::from(opened);
        self.after_push(key, opened, now);
        Poll::Ready(Ok(delivery))
    }

    /// Takes a whole batch, or waits for room. It is told by `queue` once, for its first record.
    pub(crate) fn poll_push_batch(
        &mut self,
        index: usize,
        partition: u32,
        batch: &mut Option<PreparedBatch>,
        tell: (&DeliveryQueue, u64),
        now: Moment,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ClientError>> {
        let limit = self.limits.batch_bytes_max;
        let producer = self.producer(index);
        if let Some(error) = &producer.ended {
            return Poll::Ready(Err(error.clone()));
        }
        let partitions = producer.partitions.len() as u32;
        if partition >= partitions {
            return Poll::Ready(Err(ClientError::NoSuchPartition { partition, partitions }));
        }
        let found = batch.as_ref().map_or(0, PreparedBatch::length);
        if found > limit {
            return Poll::Ready(Err(ClientError::TooLarge { found, limit }));
        }
        if producer.poll_room(found, context.waker()).is_pending() {
            return Poll::Pending;
        }
        let batch = batch.take().expect("a batch is pushed once");
        let mut completion = crate::delivery::Completion::default();
        completion.add_token(tell.0, tell.1, 0);
        let state = &mut producer.partitions[partition as usize];
        // Records gathered before it go before it.
        state.queued.extend(state.open.take().map(Queued::Gathered));
        state.queued.push_back(Queued::Prepared { batch, completion, opened: now });
        producer.buffered_bytes += found;
        producer.batches += 1;
        self.after_push(PartitionKey { owner: index, partition }, false, now);
        Poll::Ready(Ok(()))
    }

    fn after_push(&mut self, key: PartitionKey, opened: bool, now: Moment) {
        let producer = self.producer(key.owner);
        let linger = producer.options.linger;
        let state = &producer.partitions[key.partition as usize];
        let (listed, still_open) = (state.listed, state.open.is_some());
        if opened && still_open && !linger.is_zero() {
            self.at(now + linger, Timer::Linger(key));
        }
        if !listed {
            self.enlist(key, now);
        }
        self.want_sweep(now);
    }

    pub(super) fn linger_over(&mut self, key: PartitionKey, now: Moment) {
        let Some(producer) = self.producers.get_mut(&key.owner) else { return };
        let linger = producer.options.linger;
        let Some(state) = producer.partitions.get_mut(key.partition as usize) else { return };
        match &state.open {
            Some(open) if open.opened + linger <= now => {
                state.queued.extend(state.open.take().map(Queued::Gathered));
                self.enlist(key, now);
            }
            // A younger batch has a timer of its own.
            _ => {}
        }
    }

    /// Puts a partition that can send into its link's list and wakes the link.
    pub(super) fn enlist(&mut self, key: PartitionKey, now: Moment) {
        let Some(producer) = self.producers.get_mut(&key.owner) else { return };
        let topic = &producer.topic;
        let Some(state) = producer.partitions.get_mut(key.partition as usize) else { return };
        if state.listed || state.next(&producer.options, now) == Next::Nothing {
            return;
        }
        let link = match state.link {
            // What is under way comes first: order holds within a link only.
            Some(link) if state.sent() > 0 => link,
            _ => {
                let placement = self
                    .cluster
                    .topic(topic)
                    .and_then(|view| view.partitions.get(key.partition as usize).copied());
                let Some(placement) = placement else { return };
                self.route(Purpose::Produce, placement.shard, now)
            }
        };
        let state = &mut self.producer(key.owner).partitions[key.partition as usize];
        state.link = Some(link);
        state.listed = true;
        self.links[link].ready.push_back(key);
        self.links[link].wake_writer();
        self.want(link);
    }

    /// Everything gathered leaves without waiting for the linger. Ready when nothing is under way any more.
    pub(crate) fn poll_flush(&mut self, index: usize, now: Moment, context: &mut Context<'_>) -> Poll<()> {
        let producer = self.producer(index);
        if producer.batches == 0 {
            return Poll::Ready(());
        }
        producer.flush_waiters.push(context.waker().clone());
        let mut closed = Vec::new();
        for (partition, state) in (0..).zip(&mut producer.partitions) {
            if let Some(open) = state.open.take() {
                state.queued.push_back(Queued::Gathered(open));
                closed.push(partition);
            }
        }
        for partition in closed {
            self.enlist(PartitionKey { owner: index, partition }, now);
        }
        Poll::Pending
    }

    /// The handle is gone: what is still under way fails, though it may be stored.
    pub(crate) fn remove_producer(&mut self, index: usize) {
        self.end_producer(index, &ClientError::Closed { may_be_stored: false });
        self.links.iter_mut().for_each(|link| link.ready.retain(|key| key.owner != index));
        self.producers.remove(&index);
    }

    /// Fails everything a producer holds, and whatever comes later.
    pub(super) fn end_producer(&mut self, index: usize, error: &ClientError) {
        let Some(producer) = self.producers.get_mut(&index) else { return };
        producer.ended = Some(error.clone());
        let mut finished = Vec::new();
        let mut freed = 0;
        for state in &mut producer.partitions {
            let PartitionState { open, queued, in_flight, .. } = state;
            for item in in_flight.drain(..) {
                freed += item.charged_bytes;
                if item.correlation_id != 0
                    && let Some(link) = state.link
                {
                    // Its answer will find nobody; the link is not to stay full of it.
                    let in_flight_bytes = &mut self.links[link].in_flight_bytes;
                    *in_flight_bytes = in_flight_bytes.saturating_sub(item.batch.length());
                }
                let unknown = item.outcome_unknown || item.correlation_id != 0;
                finished.push((item.completion, Err(stored_or_not(error, unknown))));
            }
            for item in queued.drain(..).chain(open.take().map(Queued::Gathered)) {
                freed += item.bytes();
                finished.push((item.into_completion(), Err(error.clone())));
            }
            state.waiting = 0;
        }
        debug_assert_eq!(freed, producer.buffered_bytes, "every byte is accounted for");
        producer.buffered_bytes = 0;
        producer.batches = 0;
        producer.room_waiters.drain(..).for_each(Waker::wake);
        producer.flush_waiters.drain(..).for_each(Waker::wake);
        finished.into_iter().for_each(|(completion, result)| completion.complete(result));
    }

    /// Metadata is new: partitions may have been added or moved, topics may be gone.
    pub(super) fn follow_producers(&mut self, missing: &[String], now: Moment) {
        for index in self.producers.keys().copied().collect::<Vec<_>>() {
            let Some(producer) = self.producers.get_mut(&index) else { continue };
            let view = self.cluster.topic(&producer.topic);
            match view.filter(|view| view.id == producer.topic_id) {
                Some(view) => producer.grow(view.partitions.len()),
                None if view.is_some() || missing.contains(&producer.topic) => {
                    // Gone, or another topic of the same name: these records were meant for the old one.
                    let error = ClientError::NoSuchTopic { name: producer.topic.clone() };
                    self.end_producer(index, &error);
                    continue;
                }
                None => continue,
            }
            for partition in 0..self.partition_count(index) {
                self.enlist(PartitionKey { owner: index, partition }, now);
            }
        }
    }

    /// Partitions that stand in a link's list find another way.
    pub(super) fn reroute_producers(&mut self, link: usize, now: Moment) {
        for key in std::mem::take(&mut self.links[link].ready) {
            if let Some(producer) = self.producers.get_mut(&key.owner) {
                producer.partitions[key.partition as usize].listed = false;
                self.enlist(key, now);
            }
        }
    }
}

impl ProducerState {
    /// What a record adds to an empty batch, at most.
    fn record_bytes(&mut self, record: &wire::batch::RecordRef<'_>) -> usize {
        self.spare.bytes_of(record)
    }

    /// Whether so many bytes may come in. A record larger than the whole buffer is taken when nothing else is there.
    fn poll_room(&mut self, bytes: usize, waker: &Waker) -> Poll<()> {
        if self.buffered_bytes == 0 || self.buffered_bytes + bytes <= self.options.buffer_bytes {
            return Poll::Ready(());
        }
        if !self.room_waiters.iter().any(|known| known.will_wake(waker)) {
            self.room_waiters.push(waker.clone());
        }
        Poll::Pending
    }

    fn choose_partition(
        &mut self,
        record: &Record,
        bytes: usize,
        random: fn() -> u64,
    ) -> Result<u32, ClientError> {
        let partitions = self.partitions.len() as u32;
        match (record.partition, &record.key) {
            (Some(partition), _) if partition < partitions => Ok(partition),
            (Some(partition), _) => Err(ClientError::NoSuchPartition { partition, partitions }),
            (None, Some(key)) => Ok(partition_of_key(key, partitions)),
            (None, None) => Ok(self.sticky.choose(bytes, self.options.batch_bytes, partitions, random)),
        }
    }

    /// The encoded Produce of a partition, made when it is first needed.
    pub(super) fn body(&mut self, partition: u32) -> bytes::Bytes {
        let state = &mut self.partitions[partition as usize];
        if state.body.is_empty() {
            let deadline_ms = u32::try_from(self.options.delivery_timeout.as_millis()).unwrap_or(u32::MAX);
            state.body = produce_body(self.topic_id, partition, deadline_ms);
        }
        state.body.clone()
    }
}
