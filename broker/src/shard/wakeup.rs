//! A flag that wakes one task. Hot path.
//!
//! Unlike an event it remembers: raised before the task waits, it is seen when the task does. Nothing is allocated.

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

/// One waiting task, any number of raisers.
#[derive(Default)]
pub(crate) struct Wakeup {
    raised: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Wakeup {
    /// Wakes the task, now or as soon as it waits.
    #[inline]
    pub(crate) fn raise(&self) {
        if !self.raised.replace(true)
            && let Some(waiter) = self.waiter.take()
        {
            waiter.wake();
        }
    }

    /// Ready once for any number of raises before.
    pub(crate) fn poll_raised(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.raised.replace(false) {
            return Poll::Ready(());
        }
        self.waiter.set(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Waits for a raise.
    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|context| self.poll_raised(context)).await;
    }
}
