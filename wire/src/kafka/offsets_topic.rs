//! The records of `__consumer_offsets`, by which groups and what they committed outlive the broker.
//!
//! ```text
//!   key:   | version 2 | fields |      the version is the kind of record
//!   value: | version 2 | fields |      none: it is gone
//! ```
//!
//! They are Kafka's own, so that tools which read the topic can read this one. Written are the versions that Kafka 4.1 writes;
//! read are all that it reads.
//!
//! Source: `group-coordinator/src/main/resources/common/message` of Apache Kafka 4.1.

use bytes::Bytes;

use super::consumer_groups::AssignedPartitions;
use super::field::{Field, Form, Text};
use super::message::message;
use super::read::{DecodeError, Problem, Reader};
use super::write::Writer;

/// The kinds, as they stand in front of a key. Version 0 of an offset's key is laid out as version 1.
const OFFSET_COMMIT_OLD: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;
const CONSUMER_GROUP: i16 = 3;
const CONSUMER_MEMBER: i16 = 5;
const CONSUMER_TARGET: i16 = 6;
const CONSUMER_TARGET_MEMBER: i16 = 7;
const CONSUMER_CURRENT: i16 = 8;

/// The only version of an offset that says when it ends.
const OFFSET_VALUE_THAT_EXPIRES: i16 = 1;

message! {
    /// A partition that a group commits offsets of.
    pub struct OffsetCommitKey {
        group: Text, 0..;
        topic: Text, 0..;
        partition: i32, 0..;
    }

    /// How far the group has come.
    pub struct OffsetCommitValue {
        offset: i64, 0..;
        leader_epoch: i32, 3.. => -1;
        metadata: Text, 0..;
        commit_timestamp: i64, 0..;
        /// -1: the broker's retention.
        expire_timestamp: i64, 1..=1 => -1;
    }

    /// A group.
    pub struct GroupMetadataKey {
        group: Text, 0..;
    }

    /// A classic group as its last rebalance left it.
    pub struct GroupMetadataValue {
        protocol_type: Text, 0..;
        generation: i32, 0..;
        protocol: Option<Text>, 0..;
        leader: Option<Text>, 0..;
        current_state_timestamp: i64, 2.. => -1;
        members: Vec<GroupMetadataMember>, 0..;
    }

    /// One of its members.
    pub struct GroupMetadataMember {
        member_id: Text, 0..;
        group_instance_id: Option<Text>, 3..;
        client_id: Text, 0..;
        client_host: Text, 0..;
        /// Before version 1 the session's.
        rebalance_timeout: i32, 1.. => -1;
        session_timeout: i32, 0..;
        subscription: Bytes, 0..;
        assignment: Bytes, 0..;
    }

    /// A member of a group whose partitions the broker assigns (KIP-848).
    pub struct ConsumerMemberKey {
        group: Text, 0..;
        member_id: Text, 0..;
    }

    /// Such a group.
    pub struct ConsumerGroupValue {
        epoch: i32, 0..;
    }

    /// What a member said of itself.
    pub struct ConsumerMemberValue {
        instance_id: Option<Text>, 0..;
        rack_id: Option<Text>, 0..;
        client_id: Text, 0..;
        client_host: Text, 0..;
        subscribed_topic_names: Vec<Text>, 0..;
        subscribed_topic_regex: Option<Text>, 0..;
        rebalance_timeout_ms: i32, 0.. => -1;
        server_assignor: Option<Text>, 0..;
    }

    /// The group's epoch from which what each member is to have was reckoned.
    pub struct ConsumerTargetValue {
        assignment_epoch: i32, 0..;
    }

    /// What a member is to have.
    pub struct ConsumerTargetMemberValue {
        topic_partitions: Vec<AssignedPartitions>, 0..;
    }

    /// What a member has.
    pub struct ConsumerCurrentValue {
        member_epoch: i32, 0..;
        previous_member_epoch: i32, 0..;
        /// 0: stable, 1: it has partitions to give up, 2: it waits for some that others have.
        state: i8, 0..;
        assigned_partitions: Vec<AssignedPartitions>, 0..;
        partitions_pending_revocation: Vec<AssignedPartitions>, 0..;
    }
}

/// What a record of the topic is about.
#[derive(Clone, Debug, PartialEq)]
pub enum OffsetsKey {
    Offset(OffsetCommitKey),
    Group(GroupMetadataKey),
    ConsumerGroup(GroupMetadataKey),
    ConsumerMember(ConsumerMemberKey),
    ConsumerTarget(GroupMetadataKey),
    ConsumerTargetMember(ConsumerMemberKey),
    ConsumerCurrent(ConsumerMemberKey),
    /// Of a kind that this version does not know.
    Unknown(i16),
}

impl OffsetsKey {
    /// Reads a record's key.
    pub fn decode(key: Bytes) -> Result<Self, DecodeError> {
        let mut from = Reader::new(key);
        let form = form_of(&mut from)?;
        let key = match form.version {
            OFFSET_COMMIT_OLD | OFFSET_COMMIT => Self::Offset(OffsetCommitKey::read(&mut from, form)?),
            GROUP_METADATA => Self::Group(GroupMetadataKey::read(&mut from, form)?),
            CONSUMER_GROUP => Self::ConsumerGroup(GroupMetadataKey::read(&mut from, form)?),
            CONSUMER_MEMBER => Self::ConsumerMember(ConsumerMemberKey::read(&mut from, form)?),
            CONSUMER_TARGET => Self::ConsumerTarget(GroupMetadataKey::read(&mut from, form)?),
            CONSUMER_TARGET_MEMBER => Self::ConsumerTargetMember(ConsumerMemberKey::read(&mut from, form)?),
            CONSUMER_CURRENT => Self::ConsumerCurrent(ConsumerMemberKey::read(&mut from, form)?),
            version => return Ok(Self::Unknown(version)),
        };
        from.finish()?;
        Ok(key)
    }

    /// A record's key. Of a kind nobody knows there is none.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Offset(key) => encoded(OFFSET_COMMIT, false, key),
            Self::Group(key) => encoded(GROUP_METADATA, false, key),
            Self::ConsumerGroup(key) => encoded(CONSUMER_GROUP, false, key),
            Self::ConsumerMember(key) => encoded(CONSUMER_MEMBER, false, key),
            Self::ConsumerTarget(key) => encoded(CONSUMER_TARGET, false, key),
            Self::ConsumerTargetMember(key) => encoded(CONSUMER_TARGET_MEMBER, false, key),
            Self::ConsumerCurrent(key) => encoded(CONSUMER_CURRENT, false, key),
            Self::Unknown(version) => Bytes::copy_from_slice(&version.to_be_bytes()),
        }
    }
}

/// A record's value.
pub trait OffsetsValue: Field {
    /// The version that is written.
    const WRITTEN: i16;
    /// The newest that is read.
    const READ_MAX: i16;
    /// The first flexible one.
    const FLEXIBLE_FROM: i16;

    /// Reads it.
    fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut from = Reader::new(value);
        let mut form = form_of(&mut from)?;
        let (min, max) = (0, Self::READ_MAX);
        if !(min..=max).contains(&form.version) {
            return Err(from.error(Problem::Version { found: form.version, min, max }));
        }
        form.flexible = form.version >= Self::FLEXIBLE_FROM;
        let value = Self::read(&mut from, form)?;
        from.finish()?;
        Ok(value)
    }

    /// Writes it.
    fn encode(&self) -> Bytes {
        encoded(Self::WRITTEN, Self::WRITTEN >= Self::FLEXIBLE_FROM, self)
    }
}

impl OffsetsValue for OffsetCommitValue {
    const WRITTEN: i16 = 3;
    const READ_MAX: i16 = 4;
    const FLEXIBLE_FROM: i16 = 4;

    /// Only the old version has room for a time to live; Kafka, too, gives up the epoch for it.
    fn encode(&self) -> Bytes {
        encoded(
            if self.expire_timestamp < 0 { Self::WRITTEN } else { OFFSET_VALUE_THAT_EXPIRES },
            false,
            self,
        )
    }
}

impl OffsetsValue for GroupMetadataValue {
    const WRITTEN: i16 = 3;
    const READ_MAX: i16 = 4;
    const FLEXIBLE_FROM: i16 = 4;
}

macro_rules! values_of_consumer_groups {
    ($($value:ty)*) => {$(
        impl OffsetsValue for $value {
            const WRITTEN: i16 = 0;
            const READ_MAX: i16 = 0;
            const FLEXIBLE_FROM: i16 = 0;
        }
    )*};
}

values_of_consumer_groups! {
    ConsumerGroupValue ConsumerMemberValue ConsumerTargetValue ConsumerTargetMemberValue ConsumerCurrentValue
}

fn form_of(from: &mut Reader) -> Result<Form, DecodeError> {
    from.enter("record of the offsets topic");
    Ok(Form { version: from.i16()?, flexible: false })
}

fn encoded(version: i16, flexible: bool, fields: &impl Field) -> Bytes {
    let mut to = Writer::default();
    version.write(&mut to, Form { version, flexible: false });
    fields.write(&mut to, Form { version, flexible });
    to.into_gathered().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are laid out by hand from Kafka's definitions.
    #[test]
    fn an_offset_is_written_as_kafka_writes_it() {
        let key = OffsetsKey::Offset(OffsetCommitKey { group: "g".into(), topic: "to".into(), partition: 3 });
        let bytes = b"\0\x01\0\x01g\0\x02to\0\0\0\x03";
        assert_eq!(&key.encode()[..], bytes);
        assert_eq!(OffsetsKey::decode(Bytes::from_static(bytes)), Ok(key));
        let value = OffsetCommitValue {
            offset: 5,
            leader_epoch: 2,
            metadata: "m".into(),
            commit_timestamp: 0x0102,
            expire_timestamp: -1,
        };
        let bytes = b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x02\0\x01m\0\0\0\0\0\0\x01\x02";
        assert_eq!(&value.encode()[..], bytes);
        assert_eq!(OffsetCommitValue::decode(Bytes::from_static(bytes)), Ok(value));
    }

    #[test]
    fn a_group_is_written_as_kafka_writes_it() {
        let key = OffsetsKey::Group(GroupMetadataKey { group: "g".into() });
        assert_eq!(&key.encode()[..], b"\0\x02\0\x01g");
        let member = GroupMetadataMember {
            member_id: "m".into(),
            group_instance_id: None,
            client_id: "c".into(),
            client_host: "h".into(),
            rebalance_timeout: 1,
            session_timeout: 2,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"as"),
        };
        let value = GroupMetadataValue {
            protocol_type: "p".into(),
            generation: 7,
            protocol: Some("r".into()),
            leader: None,
            current_state_timestamp: 9,
            members: vec![member],
        };
        let bytes = b"\0\x03\0\x01p\0\0\0\x07\0\x01r\xff\xff\0\0\0\0\0\0\0\x09\0\0\0\x01\
            \0\x01m\xff\xff\0\x01c\0\x01h\0\0\0\x01\0\0\0\x02\0\0\0\x01s\0\0\0\x02as";
        assert_eq!(&value.encode()[..], &bytes[..]);
        assert_eq!(GroupMetadataValue::decode(Bytes::from_static(bytes)), Ok(value));
    }

    #[test]
    fn older_and_newer_values_are_read_and_unknown_ones_refused() {
        let old = b"\0\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02";
        let value = OffsetCommitValue::decode(Bytes::from_static(old)).unwrap();
        assert_eq!((value.offset, value.commit_timestamp, value.expire_timestamp), (5, 1, 2));
        assert_eq!(&value.encode()[..], old, "the only version that says when it ends");
        // Version 4 is flexible and ends in tags: here the topic's id.
        let new = b"\0\x04\0\0\0\0\0\0\0\x05\0\0\0\x02\x02m\0\0\0\0\0\0\0\x01\x01\0\x10aaaaaaaaaaaaaaaa";
        let value = OffsetCommitValue::decode(Bytes::from_static(new)).unwrap();
        assert_eq!((value.offset, value.leader_epoch, value.metadata.as_str()), (5, 2, "m"));
        assert!(OffsetCommitValue::decode(Bytes::from_static(b"\0\x05")).is_err());
        assert!(OffsetsKey::decode(Bytes::from_static(b"\0")).is_err());
        assert_eq!(OffsetsKey::decode(Bytes::from_static(b"\0\x4dabc")), Ok(OffsetsKey::Unknown(77)));
    }

    #[test]
    fn a_consumer_group_is_written_as_kafka_writes_it() {
        let key = ConsumerMemberKey { group: "g".into(), member_id: "m".into() };
        let key = OffsetsKey::ConsumerCurrent(key);
        assert_eq!(&key.encode()[..], b"\0\x08\0\x01g\0\x01m");
        assert_eq!(OffsetsKey::decode(key.encode()), Ok(key));
        let topic_id = uuid::Uuid::from_bytes(*b"aaaaaaaaaaaaaaaa");
        let value = ConsumerCurrentValue {
            member_epoch: 4,
            previous_member_epoch: 3,
            state: 1,
            assigned_partitions: vec![AssignedPartitions { topic_id, partitions: vec![7] }],
            partitions_pending_revocation: Vec::new(),
        };
        let bytes = b"\0\0\0\0\0\x04\0\0\0\x03\x01\x02aaaaaaaaaaaaaaaa\x02\0\0\0\x07\0\x01\0";
        assert_eq!(&value.encode()[..], &bytes[..]);
        assert_eq!(ConsumerCurrentValue::decode(value.encode()), Ok(value));
        // Kafka 4.1 adds a tag, which is passed over.
        let tagged = b"\0\0\0\0\0\x04\x01\0\x08aaaaaaaa";
        let value = ConsumerGroupValue::decode(Bytes::from_static(tagged)).unwrap();
        assert_eq!(value.epoch, 4);
    }
}
