//! What the client knows of the cluster: topics, where their partitions are served, and the ports that lead there.
//!
//! Invariant: a topic's partition never goes back to a lower leader epoch, so an answer that was overtaken by a newer
//! one does no harm.

use std::collections::BTreeMap;

use uuid::Uuid;
use wire::codes::ErrorCode;
use wire::native::{MetadataReply, TopicMetadata};

/// Which shard serves a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) shard: u16,
    pub(crate) leader_epoch: i32,
}

/// One topic as last described.
#[derive(Clone, Debug)]
pub(crate) struct TopicView {
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<Placement>,
}

/// The last metadata, merged.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    topics: BTreeMap<String, TopicView>,
    /// "host:port" of each shard's own port.
    shards: BTreeMap<u16, String>,
    /// The catalog revision of the last answer.
    pub(crate) revision: u64,
}

impl Cluster {
    pub(crate) fn topic(&self, name: &str) -> Option<&TopicView> {
        self.topics.get(name)
    }

    /// The shard's own port; `None` when it has none.
    pub(crate) fn shard_address(&self, shard: u16) -> Option<&str> {
        self.shards.get(&shard).map(String::as_str)
    }

    /// Takes over a metadata answer. Returns the topics that do not exist.
    pub(crate) fn merge(&mut self, reply: MetadataReply, revision: u64) -> Vec<String> {
        self.revision = self.revision.max(revision);
        self.shards = reply
            .shards
            .into_iter()
            .filter(|shard| shard.port != 0)
            .map(|shard| (shard.shard, address(&shard.host, shard.port)))
            .collect();
        let mut missing = Vec::new();
        for topic in reply.topics {
            if topic.code == ErrorCode::None && !topic.partitions.is_empty() {
                self.merge_topic(topic);
            } else {
                self.topics.remove(&topic.name);
                missing.push(topic.name);
            }
        }
        missing
    }

    fn merge_topic(&mut self, topic: TopicMetadata) {
        let known = self.topics.get(&topic.name).filter(|known| known.id == topic.id);
        let partitions = topic.partitions.iter().enumerate().map(|(index, found)| {
            let placement = Placement { shard: found.shard, leader_epoch: found.leader_epoch };
            match known.and_then(|known| known.partitions.get(index)) {
                Some(known) if known.leader_epoch > placement.leader_epoch => *known,
                _ => placement,
            }
        });
        let view = TopicView { id: topic.id, partitions: partitions.collect() };
        self.topics.insert(topic.name, view);
    }
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::native::{Endpoint, PartitionMetadata, ShardEndpoint};

    fn reply(id: u128, placements: &[(u16, i32)], code: ErrorCode) -> MetadataReply {
        MetadataReply {
            cluster_id: Uuid::from_u128(1),
            node_id: 0,
            shared: Endpoint { host: "h".into(), port: 9092 },
            shards: vec![
                ShardEndpoint { shard: 0, host: "::1".into(), port: 7401 },
                ShardEndpoint { shard: 1, host: "h".into(), port: 0 },
            ],
            topics: vec![TopicMetadata {
                code,
                name: "t".into(),
                id: Uuid::from_u128(id),
                partitions: placements
                    .iter()
                    .map(|&(shard, leader_epoch)| PartitionMetadata { shard, leader_epoch })
                    .collect(),
            }],
        }
    }

    #[test]
    fn a_lower_leader_epoch_is_ignored_and_a_new_topic_id_starts_afresh() {
        let mut cluster = Cluster::default();
        assert!(cluster.merge(reply(1, &[(1, 5)], ErrorCode::None), 10).is_empty());
        cluster.merge(reply(1, &[(0, 4), (0, 6)], ErrorCode::None), 9);
        let topic = cluster.topic("t").unwrap();
        assert_eq!(topic.partitions[0], Placement { shard: 1, leader_epoch: 5 });
        assert_eq!((topic.partitions.len(), cluster.revision), (2, 10));
        cluster.merge(reply(2, &[(0, 1)], ErrorCode::None), 11);
        assert_eq!(cluster.topic("t").unwrap().partitions, [Placement { shard: 0, leader_epoch: 1 }]);
        assert_eq!(cluster.merge(reply(2, &[], ErrorCode::UnknownTopic), 12), ["t"]);
        assert!(cluster.topic("t").is_none());
    }

    #[test]
    fn a_shard_without_a_port_of_its_own_has_no_address() {
        let mut cluster = Cluster::default();
        cluster.merge(reply(1, &[(1, 5)], ErrorCode::None), 1);
        assert_eq!((cluster.shard_address(0), cluster.shard_address(1)), (Some("[::1]:7401"), None));
    }
}
