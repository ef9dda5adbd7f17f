//! What became of a send: a future for each record, or a queue for those who send millions a second.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::ClientError;
use crate::record::Delivered;

/// Locks; a panic elsewhere while it was held does not spread (the state is changed in whole steps).
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resolves to where the record was stored. Dropping it does not take the record back.
#[derive(Debug)]
#[must_use = "a failed send is only seen by those who wait for it"]
pub struct Delivery {
    outcome: Arc<BatchOutcome>,
    /// The record's place in its batch.
    index: u32,
}

impl Future for Delivery {
    type Output = Result<Delivered, ClientError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.outcome.state);
        match &state.result {
            Some(Ok(first)) => {
                Poll::Ready(Ok(Delivered { offset: first.offset + i64::from(self.index), ..*first }))
            }
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            None => {
                if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    state.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

/// Shared by the futures of one batch.
#[derive(Debug, Default)]
pub(crate) struct BatchOutcome {
    state: Mutex<OutcomeState>,
}

#[derive(Debug, Default)]
struct OutcomeState {
    result: Option<Result<Delivered, ClientError>>,
    wakers: Vec<Waker>,
}

impl BatchOutcome {
    pub(crate) fn delivery(self: &Arc<Self>, index: u32) -> Delivery {
        Delivery { outcome: self.clone(), index }
    }

    fn complete(&self, result: Result<Delivered, ClientError>) {
        let wakers = {
            let mut state = lock(&self.state);
            state.result = Some(result);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One entry of a [`DeliveryQueue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedDelivery {
    /// What the sender gave with it.
    pub token: u64,
    /// Where it was stored (a batch: its first record), or why not.
    pub result: Result<Delivered, ClientError>,
}

/// Outcomes of many sends in the order they became known: no future and no allocation for each. Bounded by what is
/// under way, which the producer's buffer bounds.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQueue {
    state: Arc<Mutex<QueueState>>,
}

#[derive(Debug, Default)]
struct QueueState {
    entries: VecDeque<QueuedDelivery>,
    waker: Option<Waker>,
}

impl DeliveryQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves what is there into `entries`; waits until there is something. For one task at a time.
    pub async fn take_all(&self, entries: &mut VecDeque<QueuedDelivery>) {
        std::future::poll_fn(|context| self.poll_take_all(entries, context)).await;
    }

    /// [`DeliveryQueue::take_all`] for hand-written futures.
    pub fn poll_take_all(
        &self,
        entries: &mut VecDeque<QueuedDelivery>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.entries.is_empty() {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        if entries.is_empty() {
            std::mem::swap(&mut state.entries, entries);
        } else {
            entries.append(&mut state.entries);
        }
        Poll::Ready(())
    }

    fn push(&self, entries: impl Iterator<Item = QueuedDelivery>) {
        let waker = {
            let mut state = lock(&self.state);
            state.entries.extend(entries);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Who is told what became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    outcome: Option<Arc<BatchOutcome>>,
    queue: Option<DeliveryQueue>,
    /// With a queue: (token, place in the batch).
    tokens: Vec<(u64, u32)>,
}

impl Completion {
    /// A future for the record at `index`.
    pub(crate) fn delivery(&mut self, index: u32) -> Delivery {
        self.outcome.get_or_insert_default().delivery(index)
    }

    /// An entry in `queue` for the record at `index`.
    pub(crate) fn add_token(&mut self, queue: &DeliveryQueue, token: u64, index: u32) {
        self.queue.get_or_insert_with(|| queue.clone());
        self.tokens.push((token, index));
    }

    /// Tells everybody. `Ok` holds the place of the batch's first record.
    pub(crate) fn complete(self, result: Result<Delivered, ClientError>) {
        if let Some(queue) = self.queue {
            queue.push(
                self.tokens.into_iter().map(|(token, index)| QueuedDelivery {
                    token,
                    result: result
                        .clone()
                        .map(|first| Delivered { offset: first.offset + i64::from(index), ..first }),
                }),
            );
        }
        if let Some(outcome) = self.outcome {
            outcome.complete(result);
        }
    }
}
