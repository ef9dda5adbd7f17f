//! The native protocol: frames to requests, outcomes to frames.
//!
//! ```text
//!   socket -> frames -> serve -> handlers -> log
//!                          |                    | acknowledgements (one queue a connection)
//!   socket <- send <- outbox (answers first, then batches)  <- subscriptions, fetches
//! ```
//!
//! A connection is two tasks: `frames` and `serve` are the reader, `send` the writer. A produce request has no task and no
//! allocation of its own; its batch is a part of the receive buffer. Requests that wait, and subscriptions, are tasks.
//!
//! Invariants:
//! - Nothing but Hello is served first.
//! - A peer that takes no answers is not read: what a connection holds is bounded ([`limits`](crate::limits)).
//! - Bad input is answered with a typed error where the end of the frame is known, else the connection is closed.

mod connection;
mod control;
mod frames;
mod groups;
mod in_flight;
mod metadata;
mod send;
mod serve;
mod subscription;

use std::cell::RefCell;
use std::rc::Rc;

use wire::native::{BodyBuilder, ProduceAck};

use crate::connection::Connections;

pub(crate) use serve::serve_connection;

/// The first byte of every frame, by which a shared port knows the protocol.
pub(crate) const FIRST_BYTE: u8 = wire::frame::FRAME_MAGIC[0];

/// What the native connections of a shard share.
pub(crate) struct NativeService {
    connections: Rc<Connections>,
    /// Bodies are built here, within one step of one task.
    builder: RefCell<BodyBuilder>,
    /// Acknowledgements are gathered here, within one step of one task.
    acks: RefCell<Vec<ProduceAck>>,
}

impl NativeService {
    /// The service of a shard.
    pub(crate) fn new(connections: Rc<Connections>) -> Rc<Self> {
        Rc::new(Self { connections, builder: RefCell::default(), acks: RefCell::default() })
    }
}
