//! Subscriptions: begun, fed with credit, lost and begun again where they stood.
//!
//! Hot path: [`Core::on_push`], [`Core::poll_next_batch`].

use std::task::{Context, Poll};

use bytes::Bytes;
use wire::batch::{Batches, check_stored};
use wire::codes::ErrorCode;
use wire::native::{Credit, Push, Subscribe, SubscribeReply, Unsubscribe};

use super::backoff::backoff;
use super::consumer::{ConsumerState, PartitionPosition, Subscription};
use super::link::{PartitionKey, Purpose};
use super::{Core, Frame, Moment, Timer};
use crate::error::ClientError;
use crate::options::ConsumerOptions;
use crate::record::{ReceivedBatch, StartAt};

/// Credit is given back in parts of this fraction: one small frame for many batches.
const CREDIT_PARTS: usize = 4;

impl Core {
    /// A consumer of a topic that metadata has been absorbed for.
    pub(crate) fn add_consumer(
        &mut self,
        topic: &str,
        options: ConsumerOptions,
        now: Moment,
    ) -> Result<usize, ClientError> {
        let Some(view) = self.cluster.topic(topic) else {
            return Err(ClientError::NoSuchTopic { name: topic.to_owned() });
        };
        let (id, partitions) = (view.id, view.partitions.len() as u32);
        let state = ConsumerState::new(topic.to_owned(), id, partitions, options)?;
        self.follow(topic);
        let keys: Vec<u32> = state.subscriptions.keys().copied().collect();
        let index = self.next_owner();
        self.consumers.insert(index, state);
        keys.into_iter().for_each(|partition| self.subscribe(PartitionKey { owner: index, partition }, now));
        Ok(index)
    }

    fn subscription(&mut self, key: PartitionKey) -> Option<&mut Subscription> {
        self.consumers.get_mut(&key.owner)?.subscriptions.get_mut(&key.partition)
    }

    /// Subscribes a partition that is not, as soon as its link is ready.
    pub(super) fn subscribe(&mut self, key: PartitionKey, now: Moment) {
        let Some(consumer) = self.consumers.get(&key.owner) else { return };
        let placement =
            self.cluster.topic(&consumer.topic).and_then(|view| view.partitions.get(key.partition as usize));
        let Some(shard) = placement.map(|placement| placement.shard) else { return };
        if consumer.ended.is_some() {
            return;
        }
        let link_index = self.route(Purpose::Consume, shard, now);
        let Core { links, consumers, builder, .. } = self;
        let Some(consumer) = consumers.get_mut(&key.owner) else { return };
        let Some(subscription) = consumer.subscriptions.get_mut(&key.partition) else { return };
        subscription.retry_planned = false;
        if subscription.active.is_some() || subscription.is_done() {
            return;
        }
        let link = &mut links[link_index];
        if link.is_ready() {
            let message = Subscribe {
                topic_id: consumer.topic_id,
                partition: key.partition,
                start: subscription.begin().to_wire(),
                credit_bytes: consumer.credit_bytes as u32,
            };
            let id = link.send(builder, &message);
            link.subscriptions.insert(id, key);
            subscription.active = Some((link_index, id));
            subscription.confirmed = false;
            subscription.credit_owed = 0;
        } else {
            // Remembered by the link under an id that is never sent; made real when it is ready.
            let id = link.next_correlation();
            link.subscriptions.insert(id, key);
            subscription.active = Some((link_index, id));
            subscription.confirmed = false;
            self.want(link_index);
        }
        self.want_sweep(now);
    }

    /// The link is ready: what was waiting for it is subscribed.
    pub(super) fn subscribe_link(&mut self, index: usize, now: Moment) {
        let mut waiting: Vec<_> =
            std::mem::take(&mut self.links[index].subscriptions).into_values().collect();
        waiting.sort_unstable();
        for key in waiting {
            if let Some(subscription) = self.subscription(key) {
                subscription.active = None;
                self.subscribe(key, now);
            }
        }
    }

    /// The link is lost: its subscriptions wait until it, or another way, is there.
    pub(super) fn lose_subscriptions(&mut self, index: usize, now: Moment) {
        let mut lost: Vec<_> = std::mem::take(&mut self.links[index].subscriptions).into_values().collect();
        lost.sort_unstable();
        for key in lost {
            if let Some(subscription) = self.subscription(key) {
                subscription.active = None;
                self.subscribe(key, now);
            }
        }
    }

    pub(super) fn on_subscribed(&mut self, link: usize, reply: SubscribeReply, id: u64, now: Moment) {
        if reply.code != ErrorCode::None {
            self.end_subscription(link, id, reply.code, now);
            return;
        }
        let Some(&key) = self.links[link].subscriptions.get(&id) else { return };
        let Some(consumer) = self.consumers.get_mut(&key.owner) else { return };
        let stop_at_end = consumer.options.stop_at_end;
        let Some(subscription) = consumer.subscriptions.get_mut(&key.partition) else { return };
        subscription.confirmed = true;
        subscription.failures = 0;
        subscription.position.get_or_insert(reply.start_offset);
        subscription.high_watermark = Some(reply.high_watermark);
        if stop_at_end {
            subscription.end.get_or_insert(reply.high_watermark);
        }
        if subscription.is_done() {
            self.unsubscribe(key);
        }
        if let Some(consumer) = self.consumers.get_mut(&key.owner) {
            consumer.wake();
        }
    }

    pub(super) fn on_push(
        &mut self,
        link: usize,
        push: Push,
        frame: Frame,
        now: Moment,
    ) -> Result<(), ClientError> {
        let id = frame.header.correlation_id;
        // What was under way when a subscription ended is dropped.
        let Some(&key) = self.links[link].subscriptions.get(&id) else { return Ok(()) };
        let Some(consumer) = self.consumers.get_mut(&key.owner) else { return Ok(()) };
        consumer.take_push(key.partition, &push, &frame.payload)?;
        consumer.wake();
        // What was dropped on arrival is never taken by the application: without this the credit would run out.
        self.give_credit(key, 0);
        let Some(consumer) = self.consumers.get(&key.owner) else { return Ok(()) };
        let done = consumer.subscriptions.get(&key.partition).is_some_and(Subscription::is_done);
        if push.end_code != ErrorCode::None {
            self.end_subscription(link, id, push.end_code, now);
        } else if done {
            self.unsubscribe(key);
        }
        Ok(())
    }

    /// The broker ended a subscription, or refused it.
    pub(super) fn end_subscription(&mut self, link: usize, id: u64, code: ErrorCode, now: Moment) {
        let Some(key) = self.links[link].subscriptions.remove(&id) else { return };
        let (random, min, max) = ((self.clock.random)(), self.options.backoff_min, self.options.backoff_max);
        let Some(consumer) = self.consumers.get_mut(&key.owner) else { return };
        let fallback = consumer.options.when_out_of_range;
        let Some(subscription) = consumer.subscriptions.get_mut(&key.partition) else { return };
        subscription.active = None;
        match (code, fallback) {
            (ErrorCode::OffsetOutOfRange, Some(start)) if subscription.failures == 0 => {
                subscription.begin_again(start);
            }
            (code, _) if code.is_retriable() => {}
            (code, _) => {
                let place = match (subscription.position, subscription.start) {
                    (Some(offset), _) | (None, StartAt::Offset(offset)) => format!(", offset {offset}"),
                    (None, _) => String::new(),
                };
                let message = format!("partition {}{place}", key.partition);
                consumer.end(ClientError::Refused { code, message });
                return;
            }
        }
        subscription.failures += 1;
        subscription.retry_planned = true;
        let wait = backoff(subscription.failures, min, max, random);
        self.at(now + wait, Timer::Resubscribe(key));
        self.refresh(now);
    }

    /// Ends a partition's subscription at the broker, without waiting for anything.
    fn unsubscribe(&mut self, key: PartitionKey) {
        let Some(subscription) = self.subscription(key) else { return };
        let Some((link, id)) = subscription.active.take() else { return };
        let Core { links, builder, .. } = self;
        let link = &mut links[link];
        link.subscriptions.remove(&id);
        if link.is_ready() {
            link.send(builder, &Unsubscribe { subscription: id });
        }
    }

    /// The next batch; `None` after the last, with `stop_at_end`.
    pub(crate) fn poll_next_batch(
        &mut self,
        index: usize,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<ReceivedBatch, ClientError>>> {
        let Some(consumer) = self.consumers.get_mut(&index) else { return Poll::Ready(None) };
        let Some(batch) = consumer.received.pop_front() else {
            if let Some(error) = &consumer.ended {
                return Poll::Ready(Some(Err(error.clone())));
            }
            if consumer.is_done() {
                return Poll::Ready(None);
            }
            consumer.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        self.give_credit(PartitionKey { owner: index, partition: batch.partition }, batch.bytes.len());
        Poll::Ready(Some(Ok(batch)))
    }

    /// Bytes were taken; the broker may send as many again.
    fn give_credit(&mut self, key: PartitionKey, bytes: usize) {
        let Core { links, consumers, builder, .. } = self;
        let Some(consumer) = consumers.get_mut(&key.owner) else { return };
        let part = consumer.credit_bytes / CREDIT_PARTS;
        let Some(subscription) = consumer.subscriptions.get_mut(&key.partition) else { return };
        subscription.credit_owed += bytes;
        if subscription.credit_owed < part || !subscription.confirmed {
            return;
        }
        let Some((link, id)) = subscription.active else { return };
        let bytes = u32::try_from(std::mem::take(&mut subscription.credit_owed)).unwrap_or(u32::MAX);
        links[link].send(builder, &Credit { subscription: id, bytes });
    }

    /// Goes on reading a partition elsewhere. What was received from it ahead is dropped.
    pub(crate) fn seek(
        &mut self,
        index: usize,
        partition: u32,
        to: StartAt,
        now: Moment,
    ) -> Result<(), ClientError> {
        let key = PartitionKey { owner: index, partition };
        self.unsubscribe(key);
        let Some(consumer) = self.consumers.get_mut(&index) else { return Ok(()) };
        let partitions = consumer.subscriptions.len() as u32;
        let Some(subscription) = consumer.subscriptions.get_mut(&partition) else {
            return Err(ClientError::NoSuchPartition { partition, partitions });
        };
        *subscription = Subscription::new(to);
        consumer.received.retain(|batch| batch.partition != partition);
        self.subscribe(key, now);
        Ok(())
    }

    /// Where each partition stands.
    pub(crate) fn positions(&self, index: usize) -> Vec<PartitionPosition> {
        let Some(consumer) = self.consumers.get(&index) else { return Vec::new() };
        let of = |(&partition, subscription): (&u32, &Subscription)| PartitionPosition {
            partition,
            position: subscription.position,
            high_watermark: subscription.high_watermark,
        };
        consumer.subscriptions.iter().map(of).collect()
    }

    /// The handle is gone.
    pub(crate) fn remove_consumer(&mut self, index: usize) {
        let Some(consumer) = self.consumers.get(&index) else { return };
        let partitions: Vec<u32> = consumer.subscriptions.keys().copied().collect();
        for partition in partitions {
            self.unsubscribe(PartitionKey { owner: index, partition });
        }
        self.consumers.remove(&index);
    }

    /// Metadata is new: partitions may have been added, topics may be gone.
    pub(super) fn follow_consumers(&mut self, missing: &[String], now: Moment) {
        for index in self.consumers.keys().copied().collect::<Vec<_>>() {
            let Some(consumer) = self.consumers.get_mut(&index) else { continue };
            let view = self.cluster.topic(&consumer.topic);
            match view.filter(|view| view.id == consumer.topic_id) {
                Some(view) if consumer.options.partitions.is_empty() => {
                    for partition in 0..view.partitions.len() as u32 {
                        // Added after the beginning: all of it is new.
                        let added = || Subscription::new(StartAt::Earliest);
                        consumer.subscriptions.entry(partition).or_insert_with(added);
                    }
                }
                Some(_) => {}
                None if view.is_some() || missing.contains(&consumer.topic) => {
                    consumer.end(ClientError::NoSuchTopic { name: consumer.topic.clone() });
                }
                None => {}
            }
            let idle: Vec<u32> = consumer
                .subscriptions
                .iter()
                .filter(|(_, subscription)| subscription.active.is_none() && !subscription.retry_planned)
                .map(|(&partition, _)| partition)
                .collect();
            idle.into_iter()
                .for_each(|partition| self.subscribe(PartitionKey { owner: index, partition }, now));
        }
    }
}

impl ConsumerState {
    /// Cuts a push into its batches.
    fn take_push(&mut self, partition: u32, push: &Push, payload: &Bytes) -> Result<(), ClientError> {
        let Some(subscription) = self.subscriptions.get_mut(&partition) else { return Ok(()) };
        subscription.high_watermark = Some(push.high_watermark);
        let damaged =
            |error: wire::batch::BatchError| ClientError::Damaged { partition, reason: error.to_string() };
        for found in Batches::new(payload) {
            let (range, header) = found.map_err(damaged)?;
            let bytes = payload.slice(range);
            if self.options.check_batches {
                check_stored(&bytes).map_err(damaged)?;
            }
            let wanted_from = subscription.position.unwrap_or(header.base_offset);
            subscription.position = Some(header.next_offset().max(wanted_from));
            if header.next_offset() <= wanted_from {
                // Wholly before the position: sent because the broker's index is sparse.
                subscription.credit_owed += bytes.len();
                continue;
            }
            let mut first_offset = wanted_from.max(header.base_offset);
            if let Some(time_ms) = subscription.from_time_ms {
                let Some(found) = first_at_time(&bytes, first_offset, time_ms).map_err(damaged)? else {
                    subscription.credit_owed += bytes.len();
                    continue;
                };
                first_offset = found;
                subscription.from_time_ms = None;
            }
            self.received.push_back(ReceivedBatch {
                partition,
                high_watermark: push.high_watermark,
                first_offset,
                header,
                bytes,
            });
        }
        Ok(())
    }
}

/// The first record of a batch at or after this offset and this time.
fn first_at_time(batch: &Bytes, offset: i64, time_ms: i64) -> Result<Option<i64>, wire::batch::BatchError> {
    for record in wire::batch::records(batch)? {
        let record = record?;
        if record.offset >= offset && record.timestamp_ms >= time_ms {
            return Ok(Some(record.offset));
        }
    }
    Ok(None)
}
