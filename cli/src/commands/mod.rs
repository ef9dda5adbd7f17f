//! One file a family of commands. Each turns arguments into calls of a library, and what comes back into text or JSON.

pub(crate) mod bench;
pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod group;
pub(crate) mod log;
pub(crate) mod node;
pub(crate) mod produce;
pub(crate) mod serve;
pub(crate) mod topic;
pub(crate) mod tune;
