//! A bounded queue between tasks of one shard: many senders, one receiver.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Semaphore, store_waker};

/// A queue of at most `capacity` items.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a queue of no items would never send");
    let shared = Rc::new(Shared {
        state: RefCell::new(State { items: VecDeque::new(), waker: None, senders: 1, receiver_gone: false }),
        room: Semaphore::new(capacity),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T> {
    state: RefCell<State<T>>,
    /// One permit a free place. When the receiver goes, everybody who waits is let through to find that out.
    room: Semaphore,
}

struct State<T> {
    items: VecDeque<T>,
    waker: Option<Waker>,
    senders: usize,
    receiver_gone: bool,
}

impl<T> Shared<T> {
    fn push(&self, item: T) -> Result<(), T> {
        let waker = {
            let mut state = self.state.borrow_mut();
            if state.receiver_gone {
                return Err(item);
            }
            state.items.push_back(item);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

/// Why an item was not sent; it is handed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The queue is full.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TrySendError::Full(_) => "Full",
            TrySendError::Closed(_) => "Closed",
        })
    }
}

/// Puts items in. The queue ends when all senders are dropped.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends now or not at all.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        if self.shared.state.borrow().receiver_gone {
            return Err(TrySendError::Closed(item));
        }
        match self.shared.room.try_acquire(1) {
            Some(place) => {
                place.forget();
                self.shared.push(item).map_err(TrySendError::Closed)
            }
            None => Err(TrySendError::Full(item)),
        }
    }

    /// Sends, waiting for room in the order of asking. The item comes back if the receiver is gone.
    pub async fn send(&self, item: T) -> Result<(), T> {
        self.shared.room.acquire(1).await.forget();
        self.shared.push(item)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.state.borrow_mut().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.shared.state.borrow_mut();
            state.senders -= 1;
            if state.senders == 0 { state.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Takes items out, in order.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The next item; `None` when the queue is empty and all senders are gone.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// The next item if one is there.
    pub fn try_receive(&mut self) -> Option<T> {
        let item = self.shared.state.borrow_mut().items.pop_front()?;
        self.shared.room.add(1);
        Some(item)
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.shared.state.borrow().items.len()
    }

    /// True if no item waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(item) = self.try_receive() {
            return Poll::Ready(Some(item));
        }
        let mut state = self.shared.state.borrow_mut();
        if state.senders == 0 {
            return Poll::Ready(None);
        }
        store_waker(&mut state.waker, context.waker());
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let items = {
            let mut state = self.shared.state.borrow_mut();
            state.receiver_gone = true;
            std::mem::take(&mut state.items)
        };
        // Outside the borrow: an item's own drop may look at this queue.
        drop(items);
        let waiting = self.shared.room.waiting();
        self.shared.room.add(waiting);
    }
}
