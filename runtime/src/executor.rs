//! Executors: one pinned thread a core, each running one shard.

use std::fmt;

#[cfg(not(feature = "simulator"))]
pub use crate::backend::executor::{ExecutorOptions, StartError, run};

mod cores;

pub use cores::{CoreListError, affinity_cores, cpu_quota_cores, parse_core_list, pin_thread};

/// The number of a shard: from zero, in the order of the cores the executors were given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The number as an index of a list with an entry a shard.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
