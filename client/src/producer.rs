//! Sending.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::client::Client;
use crate::core::PreparedBatch;
use crate::core::Tell;
use crate::delivery::{Delivery, DeliveryQueue};
use crate::error::ClientError;
use crate::record::{Delivered, Record};

/// Ends the producer in the core when the last user is gone.
#[derive(Debug)]
pub(crate) struct ProducerHandle {
    pub(crate) client: Client,
    pub(crate) index: usize,
}

impl Drop for ProducerHandle {
    fn drop(&mut self) {
        self.client.shared().core().remove_producer(self.index);
    }
}

impl ProducerHandle {
    async fn push(
        &self,
        record: &Record,
        queue: Option<(&DeliveryQueue, u64)>,
    ) -> Result<Option<Delivery>, ClientError> {
        poll_fn(|context| self.poll_push(record, queue, context)).await
    }

    fn poll_push(
        &self,
        record: &Record,
        queue: Option<(&DeliveryQueue, u64)>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Delivery>, ClientError>> {
        let shared = self.client.shared();
        let tell = queue.map_or(Tell::Future, |(queue, token)| Tell::Queue(queue, token));
        shared.core().poll_push(self.index, record, tell, shared.now(), context)
    }

    async fn flush(&self) {
        let shared = self.client.shared();
        poll_fn(|context| shared.core().poll_flush(self.index, shared.now(), context)).await;
    }

    fn partition_count(&self) -> u32 {
        self.client.shared().core().partition_count(self.index)
    }
}

/// Sends records to one topic. Records of a partition are stored in the order of their `send` calls.
#[derive(Debug)]
pub struct Producer {
    handle: ProducerHandle,
}

impl Producer {
    pub(crate) fn new(handle: ProducerHandle) -> Self {
        Self { handle }
    }

    /// Takes the record into a batch, as soon as there is room for it, and gives a future of where it was stored. The
    /// record is sent whether or not that future is polled. Dropping `send` itself before it is ready sends nothing.
    pub async fn send(&self, record: Record) -> Result<Delivery, ClientError> {
        let delivery = self.handle.push(&record, None).await?;
        Ok(delivery.expect("without a queue there is a future"))
    }

    /// Sends one record and waits until it is stored.
    pub async fn send_and_wait(&self, record: Record) -> Result<Delivered, ClientError> {
        self.send(record).await?.await
    }

    /// Waits until every record sent so far is stored or has failed; batches leave without waiting for their linger.
    pub async fn flush(&self) {
        self.handle.flush().await;
    }

    /// Flushes, then ends the producer. Dropping it without this loses what is not under way yet.
    pub async fn close(self) {
        self.flush().await;
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> u32 {
        self.handle.partition_count()
    }
}

/// Sends whole batches, or records without a future for each: outcomes come through a [`DeliveryQueue`]. For load
/// generators, relays and mirrors, which send more than futures could keep up with.
#[derive(Debug)]
pub struct BatchProducer {
    handle: ProducerHandle,
    queue: DeliveryQueue,
}

impl BatchProducer {
    pub(crate) fn new(handle: ProducerHandle) -> Self {
        Self { handle, queue: DeliveryQueue::new() }
    }

    /// Where outcomes come.
    pub fn deliveries(&self) -> &DeliveryQueue {
        &self.queue
    }

    /// Takes a batch for a partition as soon as there is room. Its outcome comes with `token`, once.
    pub async fn send_batch(
        &self,
        partition: u32,
        batch: PreparedBatch,
        token: u64,
    ) -> Result<(), ClientError> {
        let shared = self.handle.client.shared();
        let mut batch = Some(batch);
        poll_fn(|context| {
            let tell = (&self.queue, token);
            shared.core().poll_push_batch(
                self.handle.index,
                partition,
                &mut batch,
                tell,
                shared.now(),
                context,
            )
        })
        .await
    }

    /// Takes a record as soon as there is room. Its outcome comes with `token`.
    pub async fn send(&self, record: &Record, token: u64) -> Result<(), ClientError> {
        self.handle.push(record, Some((&self.queue, token))).await.map(drop)
    }

    /// See [`Producer::flush`].
    pub async fn flush(&self) {
        self.handle.flush().await;
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> u32 {
        self.handle.partition_count()
    }
}
