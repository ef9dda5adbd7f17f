//! One value from one task of a shard to another.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::store_waker;

/// A sender and a receiver of one value.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let slot =
        Rc::new(RefCell::new(Slot { value: None, waker: None, sender_gone: false, receiver_gone: false }));
    (Sender { slot: slot.clone() }, Receiver { slot })
}

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    sender_gone: bool,
    receiver_gone: bool,
}

/// Sends the value; dropping it unused tells the receiver that none will come.
pub struct Sender<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

impl<T> Sender<T> {
    /// Sends the value; it comes back if nobody waits for it any more.
    pub fn send(self, value: T) -> Result<(), T> {
        let mut slot = self.slot.borrow_mut();
        if slot.receiver_gone {
            return Err(value);
        }
        slot.value = Some(value);
        Ok(())
        // The drop of `self` wakes the receiver.
    }

    /// True if nobody waits for the value any more.
    pub fn is_closed(&self) -> bool {
        self.slot.borrow().receiver_gone
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.slot.borrow_mut();
            slot.sender_gone = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Resolves to the value, or to [`Dropped`] if the sender was dropped without sending.
#[must_use = "the value arrives when it is awaited"]
pub struct Receiver<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

/// The sender was dropped without sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the sender was dropped without sending")
    }
}

impl std::error::Error for Dropped {}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Dropped>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.slot.borrow_mut();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Ok(value));
        }
        if slot.sender_gone {
            return Poll::Ready(Err(Dropped));
        }
        store_waker(&mut slot.waker, context.waker());
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = {
            let mut slot = self.slot.borrow_mut();
            slot.receiver_gone = true;
            slot.value.take()
        };
        // Outside the borrow: the value's own drop may look at this channel.
        drop(unread);
    }
}
