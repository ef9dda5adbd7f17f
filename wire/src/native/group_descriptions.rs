//! Consumer groups seen from outside: which there are, and what each is made of.

use super::body::{BodyBuilder, BodyError, Message, from_text, root, to_text};
use super::groups::{GroupPartitions, from_partitions, to_partitions};
use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;

/// Asks which groups there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListGroups {}

impl Message for ListGroups {
    const KIND: MessageKind = MessageKind::ListGroups;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| schema::ListGroups::create(flatbuffer, &schema::ListGroupsArgs {}))
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        root::<schema::ListGroups<'_>>(Self::KIND, body)?;
        Ok(Self {})
    }
}

/// One group of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedGroup {
    pub group: String,
    /// `classic`: its members assign; `consumer`: the broker does.
    pub kind: String,
    /// In Kafka's words.
    pub state: String,
}

/// All groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroupsReply {
    pub code: ErrorCode,
    pub message: String,
    pub groups: Vec<ListedGroup>,
}

impl Message for ListGroupsReply {
    const KIND: MessageKind = MessageKind::ListGroupsReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let mut groups = Vec::with_capacity(self.groups.len());
            for listed in &self.groups {
                let arguments = schema::ListedGroupArgs {
                    group: Some(flatbuffer.create_string(&listed.group)),
                    kind: from_text(flatbuffer, &listed.kind),
                    state: from_text(flatbuffer, &listed.state),
                };
                groups.push(schema::ListedGroup::create(flatbuffer, &arguments));
            }
            let arguments = schema::ListGroupsReplyArgs {
                code: self.code.number(),
                message: from_text(flatbuffer, &self.message),
                groups: Some(flatbuffer.create_vector(&groups)),
            };
            schema::ListGroupsReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::ListGroupsReply<'_>>(Self::KIND, body)?;
        let listed = |group: schema::ListedGroup<'_>| ListedGroup {
            group: group.group().to_owned(),
            kind: to_text(group.kind()),
            state: to_text(group.state()),
        };
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            groups: table.groups().iter().flatten().map(listed).collect(),
        })
    }
}

/// A member of a group, described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    pub instance_id: String,
    pub client_id: String,
    pub client_host: String,
    /// -1 in a classic group.
    pub epoch: i32,
    pub assignment: Vec<GroupPartitions>,
}

/// A group, described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeGroupReply {
    pub code: ErrorCode,
    pub message: String,
    pub kind: String,
    pub state: String,
    /// Its epoch, or generation.
    pub epoch: i32,
    pub assignor: String,
    pub members: Vec<GroupMember>,
}

impl Message for DescribeGroupReply {
    const KIND: MessageKind = MessageKind::DescribeGroupReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let mut members = Vec::with_capacity(self.members.len());
            for member in &self.members {
                let arguments = schema::GroupMemberArgs {
                    member_id: Some(flatbuffer.create_string(&member.member_id)),
                    instance_id: from_text(flatbuffer, &member.instance_id),
                    client_id: from_text(flatbuffer, &member.client_id),
                    client_host: from_text(flatbuffer, &member.client_host),
                    epoch: member.epoch,
                    assignment: Some(from_partitions(flatbuffer, &member.assignment)),
                };
                members.push(schema::GroupMember::create(flatbuffer, &arguments));
            }
            let arguments = schema::DescribeGroupReplyArgs {
                code: self.code.number(),
                message: from_text(flatbuffer, &self.message),
                kind: from_text(flatbuffer, &self.kind),
                state: from_text(flatbuffer, &self.state),
                epoch: self.epoch,
                assignor: from_text(flatbuffer, &self.assignor),
                members: Some(flatbuffer.create_vector(&members)),
            };
            schema::DescribeGroupReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::DescribeGroupReply<'_>>(Self::KIND, body)?;
        let member = |member: schema::GroupMember<'_>| -> Result<GroupMember, BodyError> {
            Ok(GroupMember {
                member_id: member.member_id().to_owned(),
                instance_id: to_text(member.instance_id()),
                client_id: to_text(member.client_id()),
                client_host: to_text(member.client_host()),
                epoch: member.epoch(),
                assignment: to_partitions("assignment", member.assignment())?,
            })
        };
        Ok(Self {
            code: ErrorCode::from_number(table.code()),
            message: to_text(table.message()),
            kind: to_text(table.kind()),
            state: to_text(table.state()),
            epoch: table.epoch(),
            assignor: to_text(table.assignor()),
            members: table.members().iter().flatten().map(member).collect::<Result<_, _>>()?,
        })
    }
}
