//! The simulator: the other back end. One thread, one seed, virtual time.
//!
//! A [`World`] holds processes, each with shards whose tasks are polled in an order drawn from the seed; a disk in memory
//! that on a crash loses, keeps or tears what was not flushed; a network in memory. The broker and its clients run in it
//! unchanged, a million times, and a seed that fails runs the same way again.
//!
//! **Invariants**: nothing here asks the real machine for time, randomness or addresses. Wherever an order matters it comes
//! from an ordered map or from the seed.
//!
//! What it does not model: a process's memory limit, CPU time (polling takes no time), reordering between connections.

pub(crate) mod buffer;
pub(crate) mod clock;
mod disk;
pub(crate) mod file;
// Wakers and lock-free rings, nothing of a back end: the simulator runs the real mesh.
#[path = "uring/mesh.rs"]
pub(crate) mod mesh;
pub(crate) mod net;
pub(crate) mod random;
pub(crate) mod task;
mod world;

pub use disk::crash::{UnderWay, Unflushed};
pub use disk::{Disk, Fault, FaultKind, Snapshot};
pub use world::{ProcessId, World};
