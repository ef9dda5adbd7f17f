//! What the tasks of one connection share.
//!
//! ```text
//!   Open --Hello--> Open (session) --end of stream, bad input, stop--> Draining --all answered--> Closed
//!                                                   \--send failed, stalled--------------------> Closed
//! ```

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use futures_lite::future;
use runtime::clock::{self, Instant};
use runtime::sync::Event;
use storage::AckQueue;
use wire::frame;
use wire::native::Message;

use super::in_flight::InFlight;
use super::progress::Progress;
use super::registry::NativeService;
use super::subscription::Subscription;
use crate::limits;
use crate::request::BatchRun;
use crate::session::{Listener, Session};
use crate::shard::{AckInbox, ByteBudget, Follower, Reservation, Shard, Wakeup};

/// How far a connection's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// Nothing is read any more; what is under way is answered.
    Draining,
    Closed,
}

/// A frame with batches behind it, ready to be sent.
pub(super) struct BatchFrame {
    /// Header and body.
    pub(super) head: Bytes,
    pub(super) run: BatchRun,
    /// Given back when it is sent.
    pub(super) _held: Held,
}

/// Reservations of outgoing bytes: the connection's, and the shard's. None for a frame without batches.
#[derive(Default)]
pub(super) struct Held(pub(super) Option<Reservation>, pub(super) Option<Reservation>);

/// What waits to be sent. Answers go first.
#[derive(Default)]
pub(super) struct Outbox {
    /// Whole frames, encoded.
    pub(super) answers: BytesMut,
    pub(super) batches: VecDeque<BatchFrame>,
}

/// One connection.
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) service: Rc<NativeService>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) listener: Listener,
    /// Set by Hello.
    pub(super) session: OnceCell<Rc<Session>>,
    pub(super) acks: AckQueue,
    pub(super) inbox: Rc<AckInbox>,
    pub(super) in_flight: RefCell<InFlight>,
    pub(super) outbox: RefCell<Outbox>,
    pub(super) outgoing: ByteBudget,
    /// In order: who is woken first must not depend on a hasher's seed.
    pub(super) subscriptions: RefCell<BTreeMap<u64, Rc<Subscription>>>,
    /// Requests that run as tasks.
    pub(super) tasks: Cell<usize>,
    pub(super) follower: OnceCell<Rc<Follower>>,
    life: Cell<Life>,
    /// Raised when the reader may go on, has to give memory back, or has to end.
    pub(super) reader: Wakeup,
    /// Raised when there is something to send. Shared with the inbox and the follower.
    pub(super) writer: Rc<Wakeup>,
    /// Notified when draining begins: what waits for readers' data ends.
    pub(super) ending: Event,
    pub(super) accepted_at: Instant,
    pub(super) received_at: Cell<Instant>,
    /// Of the frame that began and is not whole.
    pub(super) progress: Progress,
    /// Its reader has some of the shard's receive memory.
    pub(super) holds_receive_memory: Cell<bool>,
    /// Answers not yet taken by the socket, also those that are being sent.
    pub(super) owed: Cell<usize>,
    /// Notified when some of them are.
    pub(super) taken: Event,
    /// The sweeper asks for the receive buffer.
    pub(super) give_back: Cell<bool>,
    /// Since when the socket has been taking the bytes under way; `None`: nothing is.
    pub(super) sending_since: Cell<Option<Instant>>,
}

impl Connection {
    pub(super) fn new(
        service: Rc<NativeService>,
        id: u64,
        listener: Listener,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Rc<Self> {
        let inbox = Rc::new(AckInbox::default());
        let now = clock::now();
        Rc::new(Self {
            id,
            service,
            peer,
            local,
            listener,
            session: OnceCell::new(),
            acks: AckQueue::new(),
            writer: inbox.wakeup.clone(),
            inbox,
            in_flight: RefCell::default(),
            outbox: RefCell::default(),
            outgoing: ByteBudget::new(limits::OUTGOING_BYTES_PER_CONNECTION_MAX),
            subscriptions: RefCell::default(),
            tasks: Cell::new(0),
            follower: OnceCell::new(),
            life: Cell::new(Life::Open),
            reader: Wakeup::default(),
            ending: Event::new(),
            accepted_at: now,
            received_at: Cell::new(now),
            progress: Progress::default(),
            holds_receive_memory: Cell::new(false),
            owed: Cell::new(0),
            taken: Event::new(),
            give_back: Cell::new(false),
            sending_since: Cell::new(None),
        })
    }

    pub(super) fn shard(&self) -> &Rc<Shard> {
        &self.service.shard
    }

    pub(super) fn life(&self) -> Life {
        self.life.get()
    }

    /// Reads no more; what is under way is answered, then the connection ends.
    pub(super) fn drain(&self) {
        if self.life.get() == Life::Open {
            self.life.set(Life::Draining);
            self.wake_all();
        }
    }

    /// Ends at once.
    pub(super) fn close(&self) {
        if self.life.replace(Life::Closed) != Life::Closed {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        self.reader.raise();
        self.writer.raise();
        self.ending.notify_all();
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
        if self.life.get() == Life::Closed {
            return;
        }
        let revision = self.shard().catalog().revision();
        let mut builder = self.service.builder.borrow_mut();
        let mut outbox = self.outbox.borrow_mut();
        let before = outbox.answers.len();
        frame::encode_message(&mut outbox.answers, &mut builder, message, correlation_id, revision, 0);
        let bytes = outbox.answers.len() - before;
        self.owed.set(self.owed.get() + bytes);
        self.shard().answer_bytes.set(self.shard().answer_bytes.get() + bytes);
        self.writer.raise();
    }

    /// Counts answers that the socket took, or that nobody will get.
    pub(super) fn answers_taken(&self, bytes: usize) {
        self.owed.set(self.owed.get() - bytes);
        let of_shard = &self.shard().answer_bytes;
        of_shard.set(of_shard.get() - bytes);
        self.taken.notify_all();
    }

    /// Whether more may be answered: a peer that owes nothing always gets one answer, others while there is room.
    pub(super) fn may_answer(&self) -> bool {
        let shard = self.shard();
        let owed = self.owed.get();
        owed == 0
            || (owed < limits::ANSWER_BYTES_MAX && shard.answer_bytes.get() < shard.config.answer_bytes_max())
    }

    /// Resolves when [`Connection::may_answer`], or when the connection no longer serves.
    pub(super) async fn room_to_answer(&self) {
        while self.life() == Life::Open && !self.may_answer() {
            let taken = self.taken.wait();
            future::or(taken, self.ended()).await;
        }
    }

    /// Puts a frame with batches into the outbox.
    pub(super) fn send_batches<M: Message>(
        &self,
        correlation_id: u64,
        message: &M,
        run: BatchRun,
        held: Held,
    ) {
        if self.life.get() == Life::Closed {
            return;
        }
        let revision = self.shard().catalog().revision();
        let mut builder = self.service.builder.borrow_mut();
        let mut head = BytesMut::new();
        frame::encode_message(&mut head, &mut builder, message, correlation_id, revision, run.len());
        self.outbox.borrow_mut().batches.push_back(BatchFrame { head: head.freeze(), run, _held: held });
        self.writer.raise();
    }

    /// Room to read `bytes` for this connection: its own share, and the shard's. While the shard's is in use, a
    /// connection with nothing else under way may read a little beyond it, so that nobody is starved; up to half as much again.
    pub(super) async fn reserve_outgoing(&self, bytes: usize) -> (Held, usize) {
        let shard_budget = &self.shard().outgoing_budget;
        let mut own = match self.outgoing.try_reserve(bytes) {
            Some(own) => own,
            None => {
                self.shard().metrics.stalls_for_outgoing_memory.add(1);
                self.outgoing.reserve(bytes).await
            }
        };
        if let Some(shared) = shard_budget.try_reserve(bytes) {
            return (Held(Some(own), Some(shared)), bytes);
        }
        self.shard().metrics.stalls_for_outgoing_memory.add(1);
        if self.outgoing.used() == own.bytes() && shard_budget.used() < shard_budget.bytes_max() / 2 * 3 {
            let bytes = bytes.min(limits::OUTGOING_BYTES_PER_CONNECTION_MIN);
            own.settle(bytes);
            return (Held(Some(own), Some(shard_budget.overdraw(bytes))), bytes);
        }
        let _waiting = self.shard().outgoing_waiting.enter();
        let shared = shard_budget.reserve(bytes).await;
        (Held(Some(own), Some(shared)), bytes)
    }
}

impl Held {
    /// Counts what was read instead of what was asked for.
    pub(super) fn settle(&mut self, bytes: usize) {
        [&mut self.0, &mut self.1].into_iter().flatten().for_each(|held| held.settle(bytes));
    }
}
