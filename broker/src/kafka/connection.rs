//! What the tasks of one Kafka connection share, beside its [`Link`].

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use storage::AckQueue;

use super::outbox::{Answer, Outbox};
use crate::connection::{Life, Link, Served};
use crate::handlers::PartitionReader;
use crate::limits;
use crate::request::PartitionName;
use crate::session::Session;
use crate::shard::AckInbox;

/// One connection.
pub(super) struct Connection {
    link: Link,
    /// Set by the first request.
    pub(super) session: OnceCell<Rc<Session>>,
    pub(super) acks: AckQueue,
    pub(super) inbox: Rc<AckInbox>,
    pub(super) outbox: RefCell<Outbox>,
    /// The reader is at a request whose answer comes.
    pub(super) is_handling: Cell<bool>,
    /// Produced bytes under way, and what they keep of receive buffers beside themselves.
    pub(super) in_flight_bytes: Cell<usize>,
    pub(super) overhead_bytes: Cell<usize>,
    /// Where the last fetch ended: the next goes on there, as a rule.
    pub(super) readers: RefCell<HashMap<PartitionName, PartitionReader>>,
}

impl Deref for Connection {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Served for Connection {
    fn link(&self) -> &Link {
        &self.link
    }

    fn has_session(&self) -> bool {
        self.session.get().is_some()
    }

    /// Kafka's protocol has no farewell: clients see the end of the stream and ask another broker.
    fn stop(&self) {
        self.drain();
    }

    fn close(&self) {
        self.link.close();
    }

    fn rest(&self) {
        self.readers.borrow_mut().clear();
    }
}

impl Connection {
    pub(super) fn new(link: Link) -> Rc<Self> {
        let inbox = Rc::new(AckInbox::new(link.writer.clone()));
        Rc::new(Self {
            link,
            session: OnceCell::new(),
            acks: AckQueue::new(),
            inbox,
            outbox: RefCell::default(),
            is_handling: Cell::new(false),
            in_flight_bytes: Cell::new(0),
            overhead_bytes: Cell::new(0),
            readers: RefCell::default(),
        })
    }

    /// Nothing is owed to the peer.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_handling.get() && self.outbox.borrow().is_empty()
    }

    /// Puts the answer to a request that is handled behind those before it.
    pub(super) fn answer(&self, answer: Answer) {
        if self.life() == Life::Closed {
            return;
        }
        self.answer_waits(answer.bytes());
        self.outbox.borrow_mut().push(answer);
        self.writer.raise();
    }

    /// Counts a produce request's bytes, or (below 0) that they are gone.
    pub(super) fn count_in_flight(&self, bytes: isize, overhead: isize) {
        let add = |cell: &Cell<usize>, by: isize| cell.set(cell.get().wrapping_add_signed(by));
        add(&self.in_flight_bytes, bytes);
        add(&self.overhead_bytes, overhead);
        add(&self.shard().overhead_bytes, overhead);
    }

    /// Whether another request may be taken.
    #[inline]
    pub(super) fn may_serve(&self) -> bool {
        let shard = self.shard();
        self.outbox.borrow().len() < limits::REQUESTS_IN_FLIGHT_MAX
            && self.in_flight_bytes.get() < shard.config.in_flight_bytes_max
            // One that keeps nothing itself need not wait for those who do; the others are woken by their own answers.
            && (self.overhead_bytes.get() == 0
                || shard.overhead_bytes.get() < shard.config.overhead_bytes_max())
            && self.may_answer()
    }
}
