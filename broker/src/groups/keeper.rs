//! The groups that one shard keeps: those of its partitions of the offsets topic.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use runtime::gate::Gate;
use storage::Log;

use super::consumer::Topics;
use super::coordinator::GroupMemory;
use super::partition::GroupPartition;

/// Partitions of the offsets topic: Kafka's default. Which of them has a group depends on this number, so that it is never changed.
pub(crate) const OFFSETS_PARTITIONS: u32 = 50;

/// Which of so many partitions keeps a group, as Kafka chooses it: by Java's hash of the id.
pub(crate) fn partition_of(group: &str, partitions: u32) -> u32 {
    let hash =
        group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) as u32 % partitions.max(1)
}

/// See the module.
pub(crate) struct Groups {
    partitions: RefCell<BTreeMap<u32, Rc<GroupPartition>>>,
    first_members_wait: Duration,
    memory: Rc<GroupMemory>,
    topics: Rc<dyn Topics>,
}

impl Groups {
    pub(crate) fn new(first_members_wait: Duration, bytes_max: usize, topics: Rc<dyn Topics>) -> Self {
        let memory = GroupMemory::new(bytes_max);
        Self { partitions: RefCell::default(), first_members_wait, memory, topics }
    }

    /// The partition with its groups, which are read back from its log if nobody has asked for them yet.
    pub(crate) fn partition(&self, number: u32, log: &Log, gate: &Gate) -> Rc<GroupPartition> {
        let mut partitions = self.partitions.borrow_mut();
        let partition = partitions.entry(number).or_insert_with(|| {
            let (memory, topics) = (self.memory.clone(), self.topics.clone());
            let partition = GroupPartition::new(log.clone(), self.first_members_wait, memory, topics);
            // A closing gate: it never serves, and who asks waits no longer than for a slow load.
            drop(gate.spawn(partition.clone().run(gate.clone())));
            partition
        });
        partition.clone()
    }

    /// Those that somebody has asked for. The others have no groups, or have them on the log.
    pub(crate) fn opened(&self) -> Vec<Rc<GroupPartition>> {
        self.partitions.borrow().values().cloned().collect()
    }

    /// What all groups take, and may take.
    pub(crate) fn memory(&self) -> &GroupMemory {
        &self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Java: `(group.hashCode() & 0x7fffffff) % 50`.
    #[test]
    fn a_group_is_where_kafka_puts_it() {
        for (group, partition) in [("", 0), ("a", 47), ("my-group", 36), ("console-consumer-12345", 6)] {
            assert_eq!(partition_of(group, OFFSETS_PARTITIONS), partition, "{group:?}");
        }
    }
}
