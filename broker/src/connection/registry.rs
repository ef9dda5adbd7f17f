//! The connections of a shard, and the one task that looks them over.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_lite::future;
use runtime::clock::{self, Instant};

use super::{Life, Link};
use crate::limits;
use crate::shard::Shard;

/// A connection, as all protocols' are looked over.
pub(crate) trait Served {
    fn link(&self) -> &Link;

    /// The peer has said who it is, as far as its protocol asks for that.
    fn has_session(&self) -> bool;

    /// The broker stops: says so where the protocol can, and answers what is under way.
    fn stop(&self);

    /// Ends at once.
    fn close(&self);

    /// Gives back the memory of a busier time.
    fn rest(&self);
}

/// The connections of a shard.
pub(crate) struct Connections {
    shard: Rc<Shard>,
    all: RefCell<BTreeMap<u64, Rc<dyn Served>>>,
    next_id: Cell<u64>,
    stopping: Cell<bool>,
}

/// A connection in its shard's list, until dropped. List and connection hold each other, so it leaves the list also where its
/// task is dropped with all others of the shard.
pub(crate) struct Registered {
    connections: Rc<Connections>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connections.all.borrow_mut().remove(&self.id);
    }
}

impl Connections {
    /// None yet.
    pub(crate) fn new(shard: Rc<Shard>) -> Rc<Self> {
        Rc::new(Self { shard, all: RefCell::default(), next_id: Cell::new(0), stopping: Cell::new(false) })
    }

    /// The shard they are of.
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// One more.
    #[must_use]
    pub(crate) fn add(self: &Rc<Self>, connection: Rc<dyn Served>) -> Registered {
        let id = self.next_id.replace(self.next_id.get() + 1);
        if self.stopping.get() {
            connection.stop();
        }
        self.all.borrow_mut().insert(id, connection);
        Registered { connections: self.clone(), id }
    }

    fn all(&self) -> Vec<Rc<dyn Served>> {
        self.all.borrow().values().cloned().collect()
    }

    /// Tells every peer that the broker goes, and answers what is under way.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.all().iter().for_each(|connection| connection.stop());
    }

    /// Ends all at once.
    pub(crate) fn close(&self) {
        self.all().iter().for_each(|connection| connection.close());
    }
}

/// Closes connections that do not say who they are, stop in the middle of a frame, or take nothing; takes buffers back from idle
/// ones. One timer for all of them.
pub(crate) async fn run_sweeper(connections: Rc<Connections>) {
    let shard = &connections.shard;
    while !shard.services.is_closing() {
        future::or(clock::sleep(limits::SWEEP_INTERVAL), shard.services.closing()).await;
        for connection in connections.all() {
            sweep(shard, &*connection);
        }
    }
}

fn sweep(shard: &Shard, connection: &dyn Served) {
    let link = connection.link();
    let now = clock::now();
    let silent = now.since(link.received_at.get());
    let reason = if !connection.has_session() && now.since(link.accepted_at) > shard.config.handshake_timeout
    {
        "no Hello came in time"
    } else if let Some(reason) = receives_too_slowly(shard, link, now) {
        reason
    } else if let Some(reason) = takes_too_slowly(shard, link, now) {
        reason
    } else {
        // One that is in the middle of a frame keeps what it needs.
        let is_wanted = shard.receive_waiting.any() && link.holds_receive_memory.get();
        if (silent > limits::RECEIVE_IDLE || is_wanted) && !link.give_back.get() {
            link.give_back.set(true);
            connection.rest();
            link.reader.raise();
        }
        return;
    };
    if let Some(left_out) = shard.said.closed.due() {
        tracing::info!(peer = %link.peer, reason, left_out, "connection closed");
    }
    shard.metrics.connections_closed_for_errors.add(1);
    connection.close();
}

/// Why a connection that is in the middle of a frame is not waited for any longer.
fn receives_too_slowly(shard: &Shard, link: &Link, now: Instant) -> Option<&'static str> {
    let progress = &link.progress;
    let timeout = shard.config.receive_stall_timeout;
    if link.life() != Life::Open {
        None
    } else if progress.is_stalled(now, timeout) {
        Some("a frame stopped in its middle")
    } else if progress.is_slow(now, timeout, limits::RECEIVE_RATE_MIN) {
        Some("a frame comes too slowly")
    } else if shard.receive_waiting.any() && link.holds_receive_memory.get() && progress.yields_to_others(now)
    {
        Some("a frame comes too slowly while others wait for its memory")
    } else {
        None
    }
}

/// Why a connection is not waited for any longer that does not take what is sent to it.
fn takes_too_slowly(shard: &Shard, link: &Link, now: Instant) -> Option<&'static str> {
    let sending = now.since(link.sending_since.get()?);
    if sending > shard.config.send_stall_timeout {
        Some("the peer takes nothing of what is sent")
    } else if shard.outgoing_waiting.any()
        && link.outgoing.used() > 0
        && sending > limits::SEND_STALL_TIMEOUT_CONTENDED
    {
        Some("the peer takes nothing of what is sent while others wait for its memory")
    } else {
        None
    }
}
