//! TCP on a shard.
//!
//! - A stream is split into two halves, one for the task that reads and one for the task that writes; each half is
//!   used by one task at a time. The connection ends when both are dropped.
//! - `SO_NODELAY` is on: who sends gathers its bytes into one call instead of waiting for Nagle's timer.
//! - Reading is cancellation-safe: a dropped read has taken no bytes. Writing is not: after a dropped write nobody
//!   knows how much of it was sent, and the stream is good for closing only.
//! - A listener shares its port with other listeners that ask for the same one (`SO_REUSEPORT`), so that each shard
//!   can listen on the broker's port. So a second process could take the port in silence: lock the data folder and
//!   call [`check_port_is_free`] once first.

pub use crate::backend::net::{ReadHalf, TcpListener, TcpStream, WriteHalf, check_port_is_free, resolve};

/// What [`ReadHalf::read_into`] reserves when it is handed a buffer without spare capacity.
pub const READ_RESERVE_BYTES: usize = 16 * 1024;
