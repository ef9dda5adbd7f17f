//! The mesh: one bounded lane from every shard to every other, the only way between shards.
//!
//! Messages are owned data (`Send`), nothing is shared. One lane keeps its order; lanes do not order each other.
//! Receiving is woken by the sender, there is no polling and an idle mesh costs nothing.
//!
//! **Invariant**: a handler of a message never sends another and waits for its answer: two shards that did so to each
//! other over full lanes would wait for ever. Answers go through [`Mesh::try_send`], or [`Mesh::send`] in a task of
//! their own.

use std::fmt;

pub use crate::backend::mesh::{Mesh, MeshPlan};

/// A mesh for `shards` shards whose lanes hold `capacity` messages each. Each shard calls [`MeshPlan::join`] on a
/// clone of the plan, once.
pub fn plan<M: Send + 'static>(shards: usize, capacity: usize) -> MeshPlan<M> {
    assert!(shards > 0, "a mesh of no shards");
    assert!(capacity > 0, "a lane of no messages would never send");
    MeshPlan::new(shards, capacity)
}

/// Why a message was not sent; it is handed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<M> {
    /// The lane is full: the other shard is behind.
    Full(M),
    /// The other shard has left the mesh.
    Closed(M),
}

impl<M> SendError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            SendError::Full(message) | SendError::Closed(message) => message,
        }
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SendError::Full(_) => "Full",
            SendError::Closed(_) => "Closed",
        })
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SendError::Full(_) => "the lane to the shard is full",
            SendError::Closed(_) => "the shard has left the mesh",
        })
    }
}

impl<M> std::error::Error for SendError<M> {}

/// The other shard has left the mesh; the message is handed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<M>(pub M);

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Closed")
    }
}

impl<M> fmt::Display for Closed<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the shard has left the mesh")
    }
}

impl<M> std::error::Error for Closed<M> {}
