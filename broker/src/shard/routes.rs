//! From a partition's name to its log, or to the shard that has it. Hot path.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use runtime::executor::ShardId;
use storage::{Log, PartitionUid, Store};
use uuid::Uuid;
use wire::codes::ErrorCode;

use crate::catalog::{OFFSETS_TOPIC, Partition, Topic};
use crate::request::PartitionName;

/// Where a partition is served.
#[derive(Clone)]
pub(crate) enum Route {
    Local(Log),
    Remote { shard: ShardId, uid: PartitionUid },
}

/// Topic ids are random, or were chosen by who made the topic: their low bits spread well enough without a hash.
#[derive(Default)]
pub(crate) struct IdHasher {
    hash: u64,
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// The routes of every partition.
#[derive(Default)]
pub(crate) struct Routes {
    topics: HashMap<Uuid, Vec<Route>, BuildHasherDefault<IdHasher>>,
    /// The topic that only this broker writes.
    internal: Option<Uuid>,
}

impl Routes {
    /// Where the partition is.
    #[inline]
    pub(crate) fn find(&self, name: &PartitionName) -> Result<&Route, ErrorCode> {
        let partitions = self.topics.get(&name.topic_id).ok_or(ErrorCode::UnknownTopic)?;
        partitions.get(name.partition as usize).ok_or(ErrorCode::UnknownPartition)
    }

    /// Whether only this broker writes to the topic.
    #[inline]
    pub(crate) fn is_internal(&self, topic_id: &Uuid) -> bool {
        self.internal.as_ref() == Some(topic_id)
    }

    /// Routes of the topic's partitions from `first` on. A local one is in the store already (`recovered`), or is begun.
    pub(super) fn add(&mut self, own: ShardId, store: &Store, topic: &Topic, first: usize) {
        if topic.name == OFFSETS_TOPIC {
            self.internal = Some(topic.id);
        }
        let routes = self.topics.entry(topic.id).or_default();
        assert_eq!(routes.len(), first, "routes of topic {} have a gap", topic.name);
        for (number, partition) in topic.partitions.iter().enumerate().skip(first) {
            routes.push(route(own, store, topic, number, partition));
        }
    }

    /// Forgets a topic.
    pub(super) fn remove(&mut self, id: &Uuid) {
        self.topics.remove(id);
    }
}

fn route(own: ShardId, store: &Store, topic: &Topic, number: usize, partition: &Partition) -> Route {
    let uid = partition.uid;
    if partition.shard != own {
        return Route::Remote { shard: partition.shard, uid };
    }
    Route::Local(store.log(uid).unwrap_or_else(|| store.add_partition(topic.partition_spec(number))))
}
