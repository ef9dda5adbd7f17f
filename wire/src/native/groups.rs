//! Consumer groups: members, and what is committed. `group_descriptions` is groups seen from outside.
//!
//! A member is one request, sent again and again: [`GroupHeartbeat`]. The broker may keep it for a while before it answers, so
//! that a client needs no timer of its own.

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, WIPOffset};
use uuid::Uuid;

use super::body::{
    BodyBuilder, BodyError, Message, checked_len, from_text, from_texts, from_uuid, root, to_text, to_texts,
    to_uuid,
};
use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;
use crate::limits;

type Flatbuffer = FlatBufferBuilder<'static>;
type Tables<'a, T> = Vector<'a, ForwardsUOffset<T>>;

/// Partitions of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<u32>,
}

/// A member enters a group, lives in it, and leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupHeartbeat {
    pub group: String,
    /// Empty: it has none yet.
    pub member_id: String,
    /// 0: it enters, -1: it leaves; else as it was told.
    pub epoch: i32,
    /// Of a static member.
    pub instance_id: String,
    /// How long it may take to give a partition up.
    pub rebalance_timeout_ms: u32,
    /// The broker takes so long before it looks and answers.
    pub wait_ms: u32,
    /// What it reads, by name; empty: as before.
    pub topics: Vec<String>,
    /// What it reads at the moment.
    pub owned: Vec<GroupPartitions>,
}

impl Message for GroupHeartbeat {
    const KIND: MessageKind = MessageKind::GroupHeartbeat;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::GroupHeartbeatArgs {
                group: Some(flatbuffer.create_string(&self.group)),
                member_id: from_text(flatbuffer, &self.member_id),
                epoch: self.epoch,
                instance_id: from_text(flatbuffer, &self.instance_id),
                rebalance_timeout_ms: self.rebalance_timeout_ms,
                wait_ms: self.wait_ms,
                topics: Some(from_texts(flatbuffer, &self.topics)),
                owned: Some(from_partitions(flatbuffer, &self.owned)),
            };
            schema::GroupHeartbeat::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::GroupHeartbeat<'_>>(Self::KIND, body)?;
        Ok(Self {
            group: table.group().to_owned(),
            member_id: to_text(table.member_id()),
            epoch: table.epoch(),
            instance_id: to_text(table.instance_id()),
            rebalance_timeout_ms: table.rebalance_timeout_ms(),
            wait_ms: table.wait_ms(),
            topics: to_texts("topics", table.topics(), limits::TOPICS_PER_REQUEST_MAX)?,
            owned: to_partitions("owned", table.owned())?,
        })
    }
}

/// What a member is to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupHeartbeatReply {
    pub code: ErrorCode,
    pub message: String,
    pub member_id: String,
    pub epoch: i32,
    /// `None`: as before.
    pub assignment: Option<Vec<GroupPartitions>>,
}

impl Message for GroupHeartbeatReply {
    const KIND: MessageKind = MessageKind::GroupHeartbeatReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::GroupHeartbeatReplyArgs {
                code: self.code.number(),
                message: from_text(flatbuffer, &self.message),
                member_id: from_text(flatbuffer, &self.member_id),
                epoch: self.epoch,
                is_new: self.assignment.is_some(),
                assignment: self.assignment.as_ref().map(|parts| from_partitions(flatbuffer, parts)),
            };
            schema::GroupHeartbeatReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::GroupHeartbeatReply<'_>>(Self::KIND, body)?;
        let assignment = to_partitions("assignment", table.assignment())?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            member_id: to_text(table.member_id()),
            epoch: table.epoch(),
            assignment: table.is_new().then_some(assignment),
        })
    }
}

/// How far a group has come in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupOffset {
    pub topic: String,
    pub partition: u32,
    /// The next to be read.
    pub offset: i64,
    /// Of the record before it; -1: not told.
    pub leader_epoch: i32,
    pub metadata: String,
}

/// Keeps offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOffsets {
    pub group: String,
    pub member_id: String,
    /// Below 0: from outside the group, which has no members.
    pub epoch: i32,
    pub offsets: Vec<GroupOffset>,
}

impl Message for CommitOffsets {
    const KIND: MessageKind = MessageKind::CommitOffsets;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::CommitOffsetsArgs {
                group: Some(flatbuffer.create_string(&self.group)),
                member_id: from_text(flatbuffer, &self.member_id),
                epoch: self.epoch,
                offsets: Some(from_offsets(flatbuffer, &self.offsets)),
            };
            schema::CommitOffsets::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::CommitOffsets<'_>>(Self::KIND, body)?;
        Ok(Self {
            group: table.group().to_owned(),
            member_id: to_text(table.member_id()),
            epoch: table.epoch(),
            offsets: to_offsets(table.offsets())?,
        })
    }
}

/// Everything that a group has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedOffsetsReply {
    pub code: ErrorCode,
    pub message: String,
    pub offsets: Vec<GroupOffset>,
}

impl Message for CommittedOffsetsReply {
    const KIND: MessageKind = MessageKind::CommittedOffsetsReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let arguments = schema::CommittedOffsetsReplyArgs {
                code: self.code.number(),
                message: from_text(flatbuffer, &self.message),
                offsets: Some(from_offsets(flatbuffer, &self.offsets)),
            };
            schema::CommittedOffsetsReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::CommittedOffsetsReply<'_>>(Self::KIND, body)?;
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            offsets: to_offsets(table.offsets())?,
        })
    }
}

/// Messages that name a group and nothing else.
macro_rules! of_a_group {
    ($($(#[$doc:meta])* $name:ident, $arguments:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            pub group: String,
        }

        impl Message for $name {
            const KIND: MessageKind = MessageKind::$name;

            fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
                builder.build(|flatbuffer| {
                    let group = Some(flatbuffer.create_string(&self.group));
                    schema::$name::create(flatbuffer, &schema::$arguments { group })
                })
            }

            fn decode(body: &[u8]) -> Result<Self, BodyError> {
                let table = root::<schema::$name<'_>>(Self::KIND, body)?;
                Ok(Self { group: table.group().to_owned() })
            }
        }
    )*};
}

of_a_group! {
    /// Asks what a group has committed.
    CommittedOffsets, CommittedOffsetsArgs;
    /// Asks what a group is made of.
    DescribeGroup, DescribeGroupArgs;
    /// Removes a group without members, and what it has committed.
    DeleteGroup, DeleteGroupArgs;
}

/// Answers that say only how it went.
macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident, $arguments:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            pub code: ErrorCode,
            pub message: String,
        }

        impl Message for $name {
            const KIND: MessageKind = MessageKind::$name;

            fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
                builder.build(|flatbuffer| {
                    let message = from_text(flatbuffer, &self.message);
                    schema::$name::create(flatbuffer, &schema::$arguments { code: self.code.number(), message })
                })
            }

            fn decode(body: &[u8]) -> Result<Self, BodyError> {
                let table = root::<schema::$name<'_>>(Self::KIND, body)?;
                let message = to_text(table.message());
                Ok(Self { code: ErrorCode::from_number(table.code()), message })
            }
        }
    )*};
}

outcomes! {
    /// Whether all of the offsets are kept, which is on the disk.
    CommitOffsetsReply, CommitOffsetsReplyArgs;
    /// Whether the group is gone.
    DeleteGroupReply, DeleteGroupReplyArgs;
}

pub(super) fn from_partitions(
    flatbuffer: &mut Flatbuffer,
    parts: &[GroupPartitions],
) -> WIPOffset<Tables<'static, schema::GroupPartitions<'static>>> {
    let mut tables = Vec::with_capacity(parts.len());
    for part in parts {
        let topic_id = from_uuid(&part.topic_id);
        let partitions = Some(flatbuffer.create_vector(&part.partitions));
        let arguments = schema::GroupPartitionsArgs { topic_id: Some(&topic_id), partitions };
        tables.push(schema::GroupPartitions::create(flatbuffer, &arguments));
    }
    flatbuffer.create_vector(&tables)
}

pub(super) fn to_partitions(
    field: &'static str,
    parts: Option<Tables<'_, schema::GroupPartitions<'_>>>,
) -> Result<Vec<GroupPartitions>, BodyError> {
    checked_len(field, parts.map_or(0, |parts| parts.len()), limits::TOPICS_PER_REQUEST_MAX)?;
    let part = |part: schema::GroupPartitions<'_>| GroupPartitions {
        topic_id: to_uuid(part.topic_id()),
        partitions: part.partitions().iter().flatten().collect(),
    };
    Ok(parts.iter().flatten().map(part).collect())
}

fn from_offsets(
    flatbuffer: &mut Flatbuffer,
    offsets: &[GroupOffset],
) -> WIPOffset<Tables<'static, schema::GroupOffset<'static>>> {
    let mut tables = Vec::with_capacity(offsets.len());
    for offset in offsets {
        let arguments = schema::GroupOffsetArgs {
            topic: Some(flatbuffer.create_string(&offset.topic)),
            partition: offset.partition,
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: from_text(flatbuffer, &offset.metadata),
        };
        tables.push(schema::GroupOffset::create(flatbuffer, &arguments));
    }
    flatbuffer.create_vector(&tables)
}

fn to_offsets(offsets: Option<Tables<'_, schema::GroupOffset<'_>>>) -> Result<Vec<GroupOffset>, BodyError> {
    let found = offsets.map_or(0, |offsets| offsets.len());
    checked_len("offsets", found, limits::GROUP_OFFSETS_PER_MESSAGE_MAX)?;
    let offset = |offset: schema::GroupOffset<'_>| GroupOffset {
        topic: offset.topic().to_owned(),
        partition: offset.partition(),
        offset: offset.offset(),
        leader_epoch: offset.leader_epoch(),
        metadata: to_text(offset.metadata()),
    };
    Ok(offsets.iter().flatten().map(offset).collect())
}
