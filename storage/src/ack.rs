//! Where the outcome of appends arrives. Hot path.
//!
//! A connection has one queue and drains it whenever it is woken, so that one flush that acknowledges hundreds of
//! batches costs one wake-up and one frame a connection: no task and no allocation a request.
//!
//! **Invariant**: each append that was given a token puts exactly one [`Ack`] with it into its queue, and those of one
//! partition arrive in the order of the appends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use runtime::sync::Event;

use crate::error::AppendError;

/// Where a batch was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    /// -1 where the log keeps the producer's timestamps.
    pub log_append_time_ms: i64,
    /// The log's first offset.
    pub log_start: i64,
}

/// The outcome of one append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// As given to [`crate::Log::append`].
    pub token: u64,
    pub result: Result<Appended, AppendError>,
}

/// The outcomes of one connection's appends, until it takes them. Its length is bounded by the requests in flight that
/// the connection allows.
#[derive(Clone)]
pub struct AckQueue {
    inner: Rc<Inner>,
}

struct Inner {
    acks: RefCell<VecDeque<Ack>>,
    filled: Event,
}

impl AckQueue {
    #[allow(clippy::new_without_default, reason = "a default queue that nobody drains is always a mistake")]
    pub fn new() -> Self {
        Self { inner: Rc::new(Inner { acks: RefCell::new(VecDeque::new()), filled: Event::new() }) }
    }

    pub fn pop(&self) -> Option<Ack> {
        self.inner.acks.borrow_mut().pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.inner.acks.borrow().is_empty()
    }

    /// Resolves when there is something to pop.
    pub async fn wait(&self) {
        while self.is_empty() {
            self.inner.filled.wait().await;
        }
    }

    pub(crate) fn push(&self, token: u64, result: Result<Appended, AppendError>) {
        let mut acks = self.inner.acks.borrow_mut();
        let was_empty = acks.is_empty();
        acks.push_back(Ack { token, result });
        drop(acks);
        if was_empty {
            self.inner.filled.notify_all();
        }
    }
}
