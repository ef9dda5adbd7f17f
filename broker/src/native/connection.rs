//! What the tasks of one native connection share, beside its [`Link`].

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use storage::AckQueue;
use wire::codes::ErrorCode;
use wire::frame;
use wire::native::{GoingAway, Message};

use super::NativeService;
use super::in_flight::InFlight;
use super::subscription::Subscription;
use crate::connection::{Held, Life, Link, Served};
use crate::limits;
use crate::request::BatchRun;
use crate::session::Session;
use crate::shard::{AckInbox, Follower};

/// A frame with batches behind it, ready to be sent.
pub(super) struct BatchFrame {
    /// Header and body.
    pub(super) head: Bytes,
    pub(super) run: BatchRun,
    /// Given back when it is sent.
    pub(super) _held: Held,
}

/// What waits to be sent. Answers go first.
#[derive(Default)]
pub(super) struct Outbox {
    /// Whole frames, encoded.
    pub(super) answers: BytesMut,
    pub(super) batches: VecDeque<BatchFrame>,
}

/// One connection.
pub(super) struct Connection {
    link: Link,
    pub(super) service: Rc<NativeService>,
    /// Set by Hello.
    pub(super) session: OnceCell<Rc<Session>>,
    pub(super) acks: AckQueue,
    pub(super) inbox: Rc<AckInbox>,
    pub(super) in_flight: RefCell<InFlight>,
    pub(super) outbox: RefCell<Outbox>,
    /// In order: who is woken first must not depend on a hasher's seed.
    pub(super) subscriptions: RefCell<BTreeMap<u64, Rc<Subscription>>>,
    /// Requests that run as tasks.
    pub(super) tasks: Cell<usize>,
    pub(super) follower: OnceCell<Rc<Follower>>,
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

    fn stop(&self) {
        if self.life() == Life::Open && self.has_session() {
            let message = "the broker stops".to_owned();
            let drain_ms = limits::DRAIN_TIMEOUT.as_millis() as u32;
            self.answer(0, &GoingAway { code: ErrorCode::NotServing, message, drain_ms });
        }
        self.drain();
    }

    fn close(&self) {
        self.link.close();
        self.wake_subscriptions();
    }

    fn rest(&self) {
        self.in_flight.borrow_mut().shrink();
    }
}

impl Connection {
    pub(super) fn new(service: Rc<NativeService>, link: Link) -> Rc<Self> {
        let inbox = Rc::new(AckInbox::new(link.writer.clone()));
        Rc::new(Self {
            link,
            service,
            session: OnceCell::new(),
            acks: AckQueue::new(),
            inbox,
            in_flight: RefCell::default(),
            outbox: RefCell::default(),
            subscriptions: RefCell::default(),
            tasks: Cell::new(0),
            follower: OnceCell::new(),
        })
    }

    /// Reads no more; what is under way is answered, then the connection ends.
    pub(super) fn drain(&self) {
        self.link.drain();
        self.wake_subscriptions();
    }

    fn wake_subscriptions(&self) {
        self.subscriptions.borrow().values().for_each(|subscription| subscription.wakeup.raise());
    }

    /// Nothing is owed to the peer.
    pub(super) fn is_settled(&self) -> bool {
        let outbox = self.outbox.borrow();
        outbox.answers.is_empty()
            && outbox.batches.is_empty()
            && self.in_flight.borrow().len() == 0
            && self.tasks.get() == 0
            && self.subscriptions.borrow().is_empty()
    }

    /// Puts an answer without batches into the outbox.
    pub(super) fn answer<M: Message>(&self, correlation_id: u64, message: &M) {
        if self.life() == Life::Closed {
            return;
        }
        let revision = self.shard().catalog().revision();
        let mut builder = self.service.builder.borrow_mut();
        let mut outbox = self.outbox.borrow_mut();
        let before = outbox.answers.len();
        frame::encode_message(&mut outbox.answers, &mut builder, message, correlation_id, revision, 0);
        self.answer_waits(outbox.answers.len() - before);
        self.writer.raise();
    }

    /// Puts a frame with batches into the outbox.
    pub(super) fn send_batches<M: Message>(
        &self,
        correlation_id: u64,
        message: &M,
        run: BatchRun,
        held: Held,
    ) {
        if self.life() == Life::Closed {
            return;
        }
        let revision = self.shard().catalog().revision();
        let mut builder = self.service.builder.borrow_mut();
        let mut head = BytesMut::new();
        frame::encode_message(&mut head, &mut builder, message, correlation_id, revision, run.len());
        self.outbox.borrow_mut().batches.push_back(BatchFrame { head: head.freeze(), run, _held: held });
        self.writer.raise();
    }
}
