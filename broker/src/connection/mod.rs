//! What a connection is in every protocol: a socket, a reader and a writer, and the limits both keep.
//!
//! ```text
//!   socket -> Receiver -> the protocol's reader -> handlers
//!                              |  Link (life, wakeups, memory held)
//!   socket <- send     <- the protocol's writer
//! ```
//!
//! Invariants:
//! - Memory for what is received, and for what is read to be sent, is reserved before it is taken.
//! - Nobody holds any of it by being slow: one task a shard, [`run_sweeper`], looks all connections over.

mod link;
mod progress;
mod receive;
mod registry;
mod send;

pub(crate) use link::{Held, Life, Link};
pub(crate) use receive::{Ended, Receiver};
pub(crate) use registry::{Connections, Served, run_sweeper};
pub(crate) use send::send;

use std::net::SocketAddr;

use bytes::BytesMut;
use runtime::net::{ReadHalf, WriteHalf};

use crate::session::Listener;

/// The socket of a connection, and what was received to tell its protocol.
pub(crate) struct ConnectionEnds {
    pub(crate) read: ReadHalf,
    pub(crate) write: WriteHalf,
    pub(crate) received: BytesMut,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) listener: Listener,
}
