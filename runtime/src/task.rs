//! Tasks of a shard: futures that run on the executor they were spawned on and never leave it.
//!
//! - A spawned task is queued, never run inside `spawn`: a caller may hold a borrow while it spawns.
//! - Dropping a [`JoinHandle`] detaches the task, it does not cancel it. Tasks that must be waited for at a stop
//!   belong to a [`Gate`](crate::gate::Gate).
//! - A task spawned by a background task is a background task too.
//! - A panic in any task stops the whole process: a broker with a dead shard is worse than a dead broker.

pub use crate::backend::task::{
    JoinHandle, run_blocking, spawn, spawn_background, yield_if_needed, yield_now,
};
