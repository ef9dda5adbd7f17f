//! The native protocol: frames to requests, outcomes to frames.
//!
//! ```text
//!   socket -> receive -> serve -> handlers -> log
//!                          |                    | acknowledgements (one queue a connection)
//!   socket <- send <- outbox (answers first, then batches)  <- subscriptions, fetches
//! ```
//!
//! A connection is two tasks: `receive` and `serve` are the reader, `send` the writer. A produce request has no task and no
//! allocation of its own; its batch is a part of the receive buffer. Requests that wait, and subscriptions, are tasks.
//!
//! Invariants:
//! - Nothing but Hello is served first.
//! - A peer that takes no answers is not read: what a connection holds is bounded ([`limits`](crate::limits)).
//! - Bad input is answered with a typed error where the end of the frame is known, else the connection is closed.

mod connection;
mod control;
mod in_flight;
mod metadata;
mod progress;
mod receive;
mod registry;
mod send;
mod serve;
mod subscription;

pub(crate) use registry::{NativeService, run_sweeper};
pub(crate) use serve::{ConnectionEnds, serve_connection};

/// The first byte of every frame, by which a shared port knows the protocol.
pub(crate) const FIRST_BYTE: u8 = wire::frame::FRAME_MAGIC[0];
