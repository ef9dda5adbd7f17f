//! What one group has committed.

use std::collections::BTreeMap;

use super::request::{CommittedOffset, TopicPartition};

/// What an offset takes beside its texts: its places in two maps.
const OFFSET_BYTES: usize = 160;

/// Offsets by topic and partition.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, CommittedOffset>>,
    bytes: usize,
}

fn bytes_of(topic: &str, offset: &CommittedOffset) -> usize {
    OFFSET_BYTES + topic.len() + offset.metadata.len()
}

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, at: &TopicPartition) -> Option<&CommittedOffset> {
        self.topics.get(&at.topic)?.get(&at.partition)
    }

    pub(super) fn set(&mut self, at: &TopicPartition, offset: CommittedOffset) {
        self.bytes += bytes_of(&at.topic, &offset);
        if !self.topics.contains_key(&at.topic) {
            self.topics.insert(at.topic.clone(), BTreeMap::new());
        }
        let partitions = self.topics.get_mut(&at.topic).expect("it was just put in");
        if let Some(before) = partitions.insert(at.partition, offset) {
            self.bytes -= bytes_of(&at.topic, &before);
        }
    }

    pub(super) fn remove(&mut self, at: &TopicPartition) {
        let Some(partitions) = self.topics.get_mut(&at.topic) else { return };
        if let Some(before) = partitions.remove(&at.partition) {
            self.bytes -= bytes_of(&at.topic, &before);
        }
        if partitions.is_empty() {
            self.topics.remove(&at.topic);
        }
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TopicPartition, &CommittedOffset)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, offset)| {
                (TopicPartition { topic: topic.clone(), partition: *partition }, offset)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_goes_with_what_is_removed() {
        let mut offsets = Offsets::default();
        let at = |topic: &str, partition| TopicPartition { topic: topic.to_owned(), partition };
        let offset = |metadata: &str| CommittedOffset {
            offset: 1,
            leader_epoch: -1,
            metadata: metadata.to_owned(),
            committed_ms: 0,
            expires_ms: None,
        };
        offsets.set(&at("a", 0), offset("first"));
        let one = offsets.bytes();
        offsets.set(&at("a", 0), offset("other"));
        assert_eq!(offsets.bytes(), one);
        offsets.set(&at("b", 0), offset(""));
        assert_eq!(offsets.iter().count(), 2);
        offsets.remove(&at("b", 1));
        offsets.remove(&at("b", 0));
        offsets.remove(&at("a", 0));
        assert!(offsets.is_empty() && offsets.bytes() == 0);
    }
}
