//! What the tasks of one connection share, whichever protocol it speaks.
//!
//! ```text
//!   Open --end of stream, bad input, stop--> Draining --all answered--> Closed
//!      \-------------- send failed, stalled, too slow ----------------> Closed
//! ```

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_lite::future;
use runtime::clock::{self, Instant};
use runtime::sync::Event;

use super::progress::Progress;
use super::{ConnectionEnds, Ended};
use crate::limits;
use crate::session::Listener;
use crate::shard::{ByteBudget, Reservation, Shard, Wakeup};

/// How far a connection's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// Nothing is read any more; what is under way is answered.
    Draining,
    Closed,
}

/// Reservations of outgoing bytes: the connection's, and the shard's. None for an answer without batches.
#[derive(Default)]
pub(crate) struct Held(Option<Reservation>, Option<Reservation>);

/// One connection's life, what wakes its tasks, and what it holds.
pub(crate) struct Link {
    shard: Rc<Shard>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) listener: Listener,
    life: Cell<Life>,
    /// Raised when the reader may go on, has to give memory back, or has to end.
    pub(crate) reader: Wakeup,
    /// Raised when there is something to send.
    pub(crate) writer: Rc<Wakeup>,
    /// Notified when draining begins: what waits for readers' data ends.
    ending: Event,
    pub(super) accepted_at: Instant,
    pub(super) received_at: Cell<Instant>,
    /// Of the frame that began and is not whole.
    pub(super) progress: Progress,
    /// Its reader has some of the shard's receive memory.
    pub(super) holds_receive_memory: Cell<bool>,
    /// The sweeper asks for the receive buffer.
    pub(super) give_back: Cell<bool>,
    /// Since when the socket has been taking the bytes under way; `None`: nothing is.
    pub(super) sending_since: Cell<Option<Instant>>,
    pub(super) outgoing: ByteBudget,
    /// Answers not yet taken by the socket, also those that are being sent.
    owed: Cell<usize>,
    /// Notified when some of them are.
    taken: Event,
}

impl Link {
    pub(crate) fn new(shard: Rc<Shard>, ends: &ConnectionEnds) -> Self {
        let now = clock::now();
        Self {
            shard,
            peer: ends.peer,
            local: ends.local,
            listener: ends.listener,
            life: Cell::new(Life::Open),
            reader: Wakeup::default(),
            writer: Rc::default(),
            ending: Event::new(),
            accepted_at: now,
            received_at: Cell::new(now),
            progress: Progress::default(),
            holds_receive_memory: Cell::new(false),
            give_back: Cell::new(false),
            sending_since: Cell::new(None),
            outgoing: ByteBudget::new(limits::OUTGOING_BYTES_PER_CONNECTION_MAX),
            owed: Cell::new(0),
            taken: Event::new(),
        }
    }

    /// The shard that serves it.
    #[inline]
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    #[inline]
    pub(crate) fn life(&self) -> Life {
        self.life.get()
    }

    /// Reads no more; what is under way is answered, then the connection ends.
    pub(crate) fn drain(&self) {
        if self.life.get() == Life::Open {
            self.life.set(Life::Draining);
            self.wake_all();
        }
    }

    /// Ends at once.
    pub(crate) fn close(&self) {
        if self.life.replace(Life::Closed) != Life::Closed {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        self.reader.raise();
        self.writer.raise();
        self.ending.notify_all();
    }

    /// Resolves when the connection no longer serves.
    pub(crate) async fn ended(&self) {
        let ending = self.ending.wait();
        if self.life() == Life::Open {
            ending.await;
        }
    }

    /// Resolves when nobody is left who could be answered.
    pub(crate) async fn closed(&self) {
        loop {
            let ending = self.ending.wait();
            if self.life() == Life::Closed {
                return;
            }
            ending.await;
        }
    }

    /// Counts an answer that waits to be sent.
    pub(crate) fn answer_waits(&self, bytes: usize) {
        self.owed.set(self.owed.get() + bytes);
        self.shard.answer_bytes.set(self.shard.answer_bytes.get() + bytes);
    }

    /// Counts answers that the socket took, or that nobody will get.
    pub(crate) fn answers_taken(&self, bytes: usize) {
        self.owed.set(self.owed.get() - bytes);
        self.shard.answer_bytes.set(self.shard.answer_bytes.get() - bytes);
        self.taken.notify_all();
    }

    /// Bytes of answers not yet taken.
    pub(crate) fn owed(&self) -> usize {
        self.owed.get()
    }

    /// Whether more may be answered: a peer that owes nothing always gets one answer, others while there is room.
    pub(crate) fn may_answer(&self) -> bool {
        let owed = self.owed.get();
        let answer_bytes_max = self.shard.config.answer_bytes_max();
        owed == 0 || (owed < limits::ANSWER_BYTES_MAX && self.shard.answer_bytes.get() < answer_bytes_max)
    }

    /// Resolves when [`Link::may_answer`], or when the connection no longer serves.
    pub(crate) async fn room_to_answer(&self) {
        while self.life() == Life::Open && !self.may_answer() {
            let taken = self.taken.wait();
            future::or(taken, self.ended()).await;
        }
    }

    /// Resolves when the shard's storage takes more batches.
    pub(crate) async fn wait_for_storage(&self) -> Result<(), Ended> {
        let store = &self.shard.store;
        if !store.has_room() {
            self.shard.metrics.stalls_for_storage.add(1);
            let room = async {
                store.room().await;
                Ok(())
            };
            let ended = async {
                self.ended().await;
                Err(Ended::Over)
            };
            return future::or(room, ended).await;
        }
        Ok(())
    }

    /// Room to read `bytes` for this connection: its own share, and the shard's. While the shard's is in use, a
    /// connection with nothing else under way may read a little beyond it, so that nobody is starved; up to half as much again.
    pub(crate) async fn reserve_outgoing(&self, bytes: usize) -> (Held, usize) {
        let shard_budget = &self.shard.outgoing_budget;
        let mut own = match self.outgoing.try_reserve(bytes) {
            Some(own) => own,
            None => {
                self.shard.metrics.stalls_for_outgoing_memory.add(1);
                self.outgoing.reserve(bytes).await
            }
        };
        if let Some(shared) = shard_budget.try_reserve(bytes) {
            return (Held(Some(own), Some(shared)), bytes);
        }
        self.shard.metrics.stalls_for_outgoing_memory.add(1);
        if self.outgoing.used() == own.bytes() && shard_budget.used() < shard_budget.bytes_max() / 2 * 3 {
            let bytes = bytes.min(limits::OUTGOING_BYTES_PER_CONNECTION_MIN);
            own.settle(bytes);
            return (Held(Some(own), Some(shard_budget.overdraw(bytes))), bytes);
        }
        let _waiting = self.shard.outgoing_waiting.enter();
        let shared = shard_budget.reserve(bytes).await;
        (Held(Some(own), Some(shared)), bytes)
    }
}

impl Held {
    /// Counts what was read instead of what was asked for.
    pub(crate) fn settle(&mut self, bytes: usize) {
        [&mut self.0, &mut self.1].into_iter().flatten().for_each(|held| held.settle(bytes));
    }
}
