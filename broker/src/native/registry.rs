//! The native connections of a shard, and the one task that looks them over.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_lite::future;
use runtime::clock::{self, Instant};
use wire::codes::ErrorCode;
use wire::native::{BodyBuilder, GoingAway, ProduceAck};

use super::connection::{Connection, Life};
use crate::limits;
use crate::session::Listener;
use crate::shard::Shard;

/// What the native connections of a shard share.
pub(crate) struct NativeService {
    pub(super) shard: Rc<Shard>,
    /// Bodies are built here, within one step of one task.
    pub(super) builder: RefCell<BodyBuilder>,
    /// Acknowledgements are gathered here, within one step of one task.
    pub(super) acks: RefCell<Vec<ProduceAck>>,
    connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    next_id: Cell<u64>,
    draining: Cell<bool>,
}

/// A connection in its service's list, until dropped. Service and connection hold each other, so it leaves the list also
/// where its task is dropped with all others of the shard.
pub(super) struct Registered(pub(super) Rc<Connection>);

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.service.connections.borrow_mut().remove(&self.0.id);
    }
}

impl NativeService {
    /// The service of a shard.
    pub(crate) fn new(shard: Rc<Shard>) -> Rc<Self> {
        Rc::new(Self {
            shard,
            builder: RefCell::default(),
            acks: RefCell::default(),
            connections: RefCell::default(),
            next_id: Cell::new(0),
            draining: Cell::new(false),
        })
    }

    /// The shard it serves.
    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    pub(super) fn add(
        self: &Rc<Self>,
        listener: Listener,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Registered {
        let id = self.next_id.replace(self.next_id.get() + 1);
        let connection = Connection::new(self.clone(), id, listener, peer, local);
        self.connections.borrow_mut().insert(id, connection.clone());
        if self.draining.get() {
            connection.drain();
        }
        Registered(connection)
    }

    fn all(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().values().cloned().collect()
    }

    /// Tells every peer that the broker goes, and answers what is under way.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for connection in self.all() {
            if connection.life() == Life::Open && connection.session.get().is_some() {
                let message = "the broker stops".to_owned();
                let drain_ms = limits::DRAIN_TIMEOUT.as_millis() as u32;
                connection.answer(0, &GoingAway { code: ErrorCode::NotServing, message, drain_ms });
            }
            connection.drain();
        }
    }

    /// Ends all at once.
    pub(crate) fn close(&self) {
        self.all().iter().for_each(|connection| connection.close());
    }
}

/// Closes connections that say no Hello, stop in the middle of a frame, or take nothing; takes buffers back from idle
/// ones. One timer for all of them.
pub(crate) async fn run_sweeper(service: Rc<NativeService>) {
    while !service.shard.services.is_closing() {
        future::or(clock::sleep(limits::SWEEP_INTERVAL), service.shard.services.closing()).await;
        for connection in service.all() {
            sweep(&service, &connection);
        }
    }
}

fn sweep(service: &NativeService, connection: &Connection) {
    let now = clock::now();
    let config = &service.shard.config;
    let silent = now.since(connection.received_at.get());
    let reason = if connection.session.get().is_none()
        && now.since(connection.accepted_at) > config.handshake_timeout
    {
        "no Hello came in time"
    } else if let Some(reason) = receives_too_slowly(service, connection, now) {
        reason
    } else if let Some(reason) = takes_too_slowly(service, connection, now) {
        reason
    } else {
        // One that is in the middle of a frame keeps what it needs.
        let is_wanted = service.shard.receive_waiting.any() && connection.holds_receive_memory.get();
        if (silent > limits::RECEIVE_IDLE || is_wanted) && !connection.give_back.get() {
            connection.give_back.set(true);
            connection.in_flight.borrow_mut().shrink();
            connection.reader.raise();
        }
        return;
    };
    if let Some(left_out) = service.shard.said.closed.due() {
        tracing::info!(peer = %connection.peer, reason, left_out, "connection closed");
    }
    service.shard.metrics.connections_closed_for_errors.add(1);
    connection.close();
}

/// Why a connection that is in the middle of a frame is not waited for any longer.
fn receives_too_slowly(
    service: &NativeService,
    connection: &Connection,
    now: Instant,
) -> Option<&'static str> {
    let progress = &connection.progress;
    let timeout = service.shard.config.receive_stall_timeout;
    if connection.life() != Life::Open {
        None
    } else if progress.is_stalled(now, timeout) {
        Some("a frame stopped in its middle")
    } else if progress.is_slow(now, timeout, limits::RECEIVE_RATE_MIN) {
        Some("a frame comes too slowly")
    } else if service.shard.receive_waiting.any()
        && connection.holds_receive_memory.get()
        && progress.yields_to_others(now)
    {
        Some("a frame comes too slowly while others wait for its memory")
    } else {
        None
    }
}

/// Why a connection is not waited for any longer that does not take what is sent to it.
fn takes_too_slowly(service: &NativeService, connection: &Connection, now: Instant) -> Option<&'static str> {
    let sending = now.since(connection.sending_since.get()?);
    if sending > service.shard.config.send_stall_timeout {
        Some("the peer takes nothing of what is sent")
    } else if service.shard.outgoing_waiting.any()
        && connection.outgoing.used() > 0
        && sending > limits::SEND_STALL_TIMEOUT_CONTENDED
    {
        Some("the peer takes nothing of what is sent while others wait for its memory")
    } else {
        None
    }
}
