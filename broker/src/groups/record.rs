//! What a coordinator keeps on the log, and its form there: Kafka's own.

use bytes::Bytes;
use thiserror::Error;
use wire::batch::{BatchBuilder, BuildError, Compression, ProducerStamp, RecordRef};
use wire::kafka::{
    ConsumerCurrentValue, ConsumerGroupValue, ConsumerMemberKey, ConsumerMemberValue,
    ConsumerTargetMemberValue, ConsumerTargetValue, DecodeError, GroupMetadataKey, GroupMetadataMember,
    GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, OffsetsKey, OffsetsValue, Text,
};

use super::request::{CommittedOffset, TopicPartition};

/// One change that outlives the broker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GroupRecord {
    /// `None`: forgotten.
    Offset { group: String, at: TopicPartition, offset: Option<CommittedOffset> },
    /// The group as its last rebalance left it; `None`: it is gone.
    Group { group: String, value: Option<GroupMetadataValue> },
    /// Of a group whose partitions the coordinator assigns.
    Consumer { group: String, record: ConsumerRecord },
}

/// One change of such a group; `None`: it is gone. Some are of a member, by its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ConsumerRecord {
    Group(Option<ConsumerGroupValue>),
    Member(String, Option<ConsumerMemberValue>),
    Target(Option<ConsumerTargetValue>),
    TargetMember(String, Option<ConsumerTargetMemberValue>),
    Current(String, Option<ConsumerCurrentValue>),
}

/// A record of the offsets topic that cannot be read.
#[derive(Debug, Error)]
pub(crate) enum RecordError {
    #[error("its key: {0}")]
    Key(DecodeError),
    #[error("its value: {0}")]
    Value(DecodeError),
    #[error("it has no key")]
    NoKey,
}

impl GroupRecord {
    fn key(&self) -> OffsetsKey {
        match self {
            Self::Offset { group, at, .. } => OffsetsKey::Offset(OffsetCommitKey {
                group: group.as_str().into(),
                topic: at.topic.as_str().into(),
                partition: at.partition,
            }),
            Self::Group { group, .. } => OffsetsKey::Group(group_key(group)),
            Self::Consumer { group, record } => match record {
                ConsumerRecord::Group(_) => OffsetsKey::ConsumerGroup(group_key(group)),
                ConsumerRecord::Target(_) => OffsetsKey::ConsumerTarget(group_key(group)),
                ConsumerRecord::Member(member_id, _) => {
                    OffsetsKey::ConsumerMember(member_key(group, member_id))
                }
                ConsumerRecord::TargetMember(member_id, _) => {
                    OffsetsKey::ConsumerTargetMember(member_key(group, member_id))
                }
                ConsumerRecord::Current(member_id, _) => {
                    OffsetsKey::ConsumerCurrent(member_key(group, member_id))
                }
            },
        }
    }

    fn value(&self) -> Option<Bytes> {
        match self {
            Self::Offset { offset, .. } => offset.as_ref().map(|offset| {
                let value = OffsetCommitValue {
                    offset: offset.offset,
                    leader_epoch: offset.leader_epoch,
                    metadata: offset.metadata.as_str().into(),
                    commit_timestamp: offset.committed_ms,
                    expire_timestamp: offset.expires_ms.unwrap_or(-1),
                };
                value.encode()
            }),
            Self::Group { value, .. } => value.as_ref().map(OffsetsValue::encode),
            Self::Consumer { record, .. } => match record {
                ConsumerRecord::Group(value) => value.as_ref().map(OffsetsValue::encode),
                ConsumerRecord::Member(_, value) => value.as_ref().map(OffsetsValue::encode),
                ConsumerRecord::Target(value) => value.as_ref().map(OffsetsValue::encode),
                ConsumerRecord::TargetMember(_, value) => value.as_ref().map(OffsetsValue::encode),
                ConsumerRecord::Current(_, value) => value.as_ref().map(OffsetsValue::encode),
            },
        }
    }

    /// Reads a record; `None` of a kind that this version does not know.
    pub(crate) fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Self>, RecordError> {
        let key = OffsetsKey::decode(key.ok_or(RecordError::NoKey)?).map_err(RecordError::Key)?;
        Ok(Some(match key {
            OffsetsKey::Offset(key) => {
                let offset = read::<OffsetCommitValue>(value)?.map(|value| CommittedOffset {
                    offset: value.offset,
                    leader_epoch: value.leader_epoch,
                    metadata: value.metadata.to_string(),
                    committed_ms: value.commit_timestamp,
                    expires_ms: (value.expire_timestamp >= 0).then_some(value.expire_timestamp),
                });
                let at = TopicPartition { topic: key.topic.to_string(), partition: key.partition };
                Self::Offset { group: key.group.to_string(), at, offset }
            }
            OffsetsKey::Group(key) => {
                // What it holds of the batch is held for as long as the group.
                Self::Group { group: key.group.to_string(), value: read(value)?.map(owned) }
            }
            OffsetsKey::ConsumerGroup(key) => consumer(&key.group, ConsumerRecord::Group(read(value)?)),
            OffsetsKey::ConsumerTarget(key) => consumer(&key.group, ConsumerRecord::Target(read(value)?)),
            OffsetsKey::ConsumerMember(ConsumerMemberKey { group, member_id }) => {
                consumer(&group, ConsumerRecord::Member(member_id.to_string(), read(value)?))
            }
            OffsetsKey::ConsumerTargetMember(ConsumerMemberKey { group, member_id }) => {
                consumer(&group, ConsumerRecord::TargetMember(member_id.to_string(), read(value)?))
            }
            OffsetsKey::ConsumerCurrent(ConsumerMemberKey { group, member_id }) => {
                consumer(&group, ConsumerRecord::Current(member_id.to_string(), read(value)?))
            }
            OffsetsKey::Unknown(_) => return Ok(None),
        }))
    }
}

fn group_key(group: &str) -> GroupMetadataKey {
    GroupMetadataKey { group: group.into() }
}

fn member_key(group: &str, member_id: &str) -> ConsumerMemberKey {
    ConsumerMemberKey { group: group.into(), member_id: member_id.into() }
}

fn consumer(group: &Text, record: ConsumerRecord) -> GroupRecord {
    GroupRecord::Consumer { group: group.to_string(), record }
}

fn read<V: OffsetsValue>(value: Option<Bytes>) -> Result<Option<V>, RecordError> {
    value.map(V::decode).transpose().map_err(RecordError::Value)
}

/// The same without a share in the buffer that it was read from.
fn owned(value: GroupMetadataValue) -> GroupMetadataValue {
    let text = |text: &wire::kafka::Text| text.as_str().into();
    let member = |member: GroupMetadataMember| GroupMetadataMember {
        member_id: text(&member.member_id),
        group_instance_id: member.group_instance_id.as_ref().map(text),
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
        subscription: Bytes::copy_from_slice(&member.subscription),
        assignment: Bytes::copy_from_slice(&member.assignment),
        ..member
    };
    GroupMetadataValue {
        protocol_type: text(&value.protocol_type),
        protocol: value.protocol.as_ref().map(text),
        leader: value.leader.as_ref().map(text),
        members: value.members.into_iter().map(member).collect(),
        ..value
    }
}

/// The records as one batch.
pub(crate) fn batch_of<'a>(
    records: impl IntoIterator<Item = &'a GroupRecord>,
    wall_ms: i64,
) -> Result<Bytes, BuildError> {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in records {
        let (key, value) = (record.key().encode(), record.value());
        builder.append(&RecordRef {
            timestamp_ms: wall_ms,
            key: Some(&key),
            value: value.as_deref(),
            headers: &[],
        })?;
    }
    builder.finish(ProducerStamp::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let at = TopicPartition { topic: "t".to_owned(), partition: 4 };
        let offset = CommittedOffset {
            offset: 9,
            leader_epoch: 3,
            metadata: "m".to_owned(),
            committed_ms: 77,
            expires_ms: None,
        };
        let group = "g".to_owned();
        let value =
            GroupMetadataValue { generation: 3, protocol_type: "consumer".into(), ..Default::default() };
        let records = [
            GroupRecord::Offset { group: group.clone(), at: at.clone(), offset: Some(offset) },
            GroupRecord::Offset { group: group.clone(), at, offset: None },
            GroupRecord::Group { group: group.clone(), value: Some(value) },
            GroupRecord::Group { group, value: None },
        ];
        let batch = batch_of(&records, 5).unwrap();
        wire::batch::validate(&batch).unwrap();
        let read: Vec<GroupRecord> = wire::batch::records(&batch)
            .unwrap()
            .map(|record| record.unwrap())
            .map(|record| GroupRecord::decode(record.key, record.value).unwrap().unwrap())
            .collect();
        assert_eq!(read, records);
        let unknown = Bytes::from_static(b"\0\x63");
        assert!(matches!(GroupRecord::decode(Some(unknown), None), Ok(None)));
        assert!(GroupRecord::decode(None, None).is_err());
    }
}
