//! Receiving.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::client::Client;
use crate::core::consumer::PartitionPosition;
use crate::error::ClientError;
use crate::record::{ReceivedBatch, StartAt};

/// Reads one topic: a stream of batches, those of each partition in order. It begins again by itself where it stood when
/// a connection is lost. Ends after an error that repeating would not mend, or at the end with
/// [`stop_at_end`](crate::ConsumerOptions::stop_at_end).
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    index: usize,
}

impl Consumer {
    pub(crate) fn new(client: Client, index: usize) -> Self {
        Self { client, index }
    }

    /// The next batch; `None` after the last.
    pub async fn next_batch(&mut self) -> Option<Result<ReceivedBatch, ClientError>> {
        poll_fn(|context| self.poll_batch(context)).await
    }

    fn poll_batch(&self, context: &mut Context<'_>) -> Poll<Option<Result<ReceivedBatch, ClientError>>> {
        self.client.shared().core().poll_next_batch(self.index, context)
    }

    /// Goes on reading a partition elsewhere. What was received from it ahead is dropped.
    pub fn seek(&mut self, partition: u32, to: StartAt) -> Result<(), ClientError> {
        let shared = self.client.shared();
        shared.core().seek(self.index, partition, to, shared.now())
    }

    /// Where each partition stands, batches received ahead included.
    pub fn positions(&self) -> Vec<PartitionPosition> {
        self.client.shared().core().positions(self.index)
    }
}

impl Stream for Consumer {
    type Item = Result<ReceivedBatch, ClientError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_batch(context)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.client.shared().core().remove_consumer(self.index);
    }
}
