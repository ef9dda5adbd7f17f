//! Consumer groups by the native protocol: the same groups and coordinators as Kafka's clients have.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;
use runtime::clock;
use wire::codes::ErrorCode;
use wire::kafka::{ConsumerAssignment, ConsumerMessage};
use wire::native::{
    CommitOffsets, CommitOffsetsReply, CommittedOffsets, CommittedOffsetsReply, DeleteGroup,
    DeleteGroupReply, DescribeGroup, DescribeGroupReply, GroupHeartbeat, GroupHeartbeatReply, GroupMember,
    GroupOffset, GroupPartitions, ListGroupsReply, ListedGroup,
};

use super::connection::Connection;
use super::control::session;
use crate::groups::{
    Commit, Committed, CommittedOffset, ConsumerDescription, ConsumerHeartbeat, Description, GroupError,
    GroupReply, GroupRequest, MemberName, NamedParts, Parts, TopicPartition,
};
use crate::handlers;
use crate::limits;

/// What a coordinator refuses, as this protocol's clients see it.
fn code_of(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::InvalidGroupId => ErrorCode::InvalidGroup,
        GroupError::GroupNotFound => ErrorCode::UnknownGroup,
        GroupError::UnknownMember
        | GroupError::IllegalGeneration { .. }
        | GroupError::FencedInstance
        | GroupError::FencedMemberEpoch { .. }
        | GroupError::StaleMemberEpoch { .. }
        | GroupError::UnreleasedInstance => ErrorCode::MemberFenced,
        GroupError::GroupNotEmpty | GroupError::GroupSubscribed => ErrorCode::GroupNotEmpty,
        GroupError::NotAConsumerGroup | GroupError::InconsistentProtocol => ErrorCode::GroupKind,
        GroupError::GroupFull | GroupError::NoMemory => ErrorCode::GroupFull,
        GroupError::UnknownPartition => ErrorCode::UnknownPartition,
        GroupError::Loading | GroupError::NotCoordinator => ErrorCode::NotServing,
        GroupError::Storage(error) => crate::request::append_code(error),
        GroupError::TooLarge => ErrorCode::BatchTooLarge,
        GroupError::NotAuthorized => ErrorCode::NotAuthorized,
        GroupError::InvalidSessionTimeout { .. }
        | GroupError::MemberIdRequired { .. }
        | GroupError::RebalanceInProgress
        | GroupError::OffsetMetadataTooLarge { .. }
        | GroupError::UnsupportedAssignor
        | GroupError::InvalidPattern
        | GroupError::InvalidRequest(_) => ErrorCode::InvalidRequest,
    }
}

fn refusal(error: &GroupError) -> (ErrorCode, String) {
    (code_of(error), error.to_string())
}

/// Asks the coordinator. A native client has not asked who that is: what keeps the groups is made here.
async fn ask(connection: &Connection, group: &str, request: GroupRequest) -> Result<GroupReply, GroupError> {
    if group.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let (shard, session) = (connection.shard(), session(connection));
    handlers::ensure_offsets_topic(shard, &session).await.map_err(|_| GroupError::NotCoordinator)?;
    handlers::ask_group(shard, &session, group, request).await
}

fn as_parts(parts: &[GroupPartitions]) -> Parts {
    let mut found = Parts::new();
    for part in parts {
        let partitions = part.partitions.iter().filter_map(|number| i32::try_from(*number).ok());
        found.entry(part.topic_id).or_default().extend(partitions);
    }
    found
}

fn numbers(partitions: impl IntoIterator<Item = i32>) -> Vec<u32> {
    partitions.into_iter().filter_map(|number| u32::try_from(number).ok()).collect()
}

pub(super) async fn heartbeat(connection: Rc<Connection>, id: u64, request: GroupHeartbeat) {
    let wait = Duration::from_millis(request.wait_ms.into()).min(limits::GROUP_HEARTBEAT_WAIT_MAX);
    future::or(clock::sleep(wait), connection.ended()).await;
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let client = session(&connection);
    let heartbeat = ConsumerHeartbeat {
        member_id: request.member_id,
        fresh_id: runtime::random::uuid().to_string(),
        epoch: request.epoch,
        instance_id: text(request.instance_id),
        rack_id: None,
        client_id: client.client_id.clone(),
        client_host: format!("/{}", client.peer.ip()),
        rebalance_timeout: Some(Duration::from_millis(request.rebalance_timeout_ms.into())),
        topics: Some(request.topics).filter(|topics| !topics.is_empty()),
        pattern: None,
        assignor: None,
        owned: Some(as_parts(&request.owned)),
    };
    let reply = match ask(&connection, &request.group, GroupRequest::ConsumerHeartbeat(heartbeat)).await {
        Ok(GroupReply::Assigned(reply)) => GroupHeartbeatReply {
            code: ErrorCode::None,
            message: String::new(),
            member_id: reply.member_id,
            epoch: reply.epoch,
            assignment: reply.assignment.map(|parts| {
                let part =
                    |(topic_id, partitions)| GroupPartitions { topic_id, partitions: numbers(partitions) };
                parts.into_iter().map(part).collect()
            }),
        },
        Ok(other) => panic!("a member that lives is answered {other:?}"),
        Err(error) => {
            let (code, message) = refusal(&error);
            GroupHeartbeatReply { code, message, ..Default::default() }
        }
    };
    connection.answer(id, &reply);
}

pub(super) async fn commit(connection: Rc<Connection>, id: u64, request: CommitOffsets) {
    let (code, message) = match commit_all(&connection, request).await {
        Ok(()) => (ErrorCode::None, String::new()),
        Err(error) => refusal(&error),
    };
    connection.answer(id, &CommitOffsetsReply { code, message });
}

async fn commit_all(connection: &Connection, request: CommitOffsets) -> Result<(), GroupError> {
    let committed_ms = clock::wall_ms();
    let mut offsets = Vec::with_capacity(request.offsets.len());
    for GroupOffset { topic, partition, offset, leader_epoch, metadata } in request.offsets {
        let catalog = connection.shard().catalog();
        let partitions = catalog.topic(&topic).map_or(0, |topic| topic.partitions.len());
        if partition as usize >= partitions {
            return Err(GroupError::UnknownPartition);
        }
        let partition = i32::try_from(partition).map_err(|_| GroupError::UnknownPartition)?;
        let offset = CommittedOffset { offset, leader_epoch, metadata, committed_ms, expires_ms: None };
        offsets.push((TopicPartition { topic, partition }, offset));
    }
    let member = MemberName { member_id: request.member_id, instance_id: None, generation: request.epoch };
    match ask(connection, &request.group, GroupRequest::Commit(Commit { member, offsets })).await {
        Ok(GroupReply::Kept(kept)) => kept.into_iter().collect(),
        Ok(other) => panic!("a commit is answered {other:?}"),
        // It was a member of a group that is gone: it begins anew, as any that is out.
        Err(GroupError::GroupNotFound) => Err(GroupError::UnknownMember),
        Err(error) => Err(error),
    }
}

pub(super) async fn committed(connection: Rc<Connection>, id: u64, request: CommittedOffsets) {
    let asked = GroupRequest::Committed(Committed { partitions: None, member: None });
    let reply = match ask(&connection, &request.group, asked).await {
        Ok(GroupReply::Offsets(offsets)) => CommittedOffsetsReply {
            code: ErrorCode::None,
            message: String::new(),
            offsets: offsets.into_iter().filter_map(|(at, offset)| group_offset(at, offset?)).collect(),
        },
        Ok(other) => panic!("a question for offsets is answered {other:?}"),
        Err(error) => {
            let (code, message) = refusal(&error);
            CommittedOffsetsReply { code, message, ..Default::default() }
        }
    };
    connection.answer(id, &reply);
}

fn group_offset(at: TopicPartition, offset: CommittedOffset) -> Option<GroupOffset> {
    Some(GroupOffset {
        topic: at.topic,
        partition: u32::try_from(at.partition).ok()?,
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: offset.metadata,
    })
}

pub(super) async fn list(connection: Rc<Connection>, id: u64) {
    let listed = handlers::list_groups(connection.shard(), &session(&connection), true).await;
    let reply = match listed {
        Ok(groups) => {
            let one = |group: crate::groups::ListedGroup| ListedGroup {
                group: group.group,
                kind: group.kind.name().to_owned(),
                state: group.state.name().to_owned(),
            };
            let mut groups: Vec<ListedGroup> = groups.into_iter().map(one).collect();
            groups.sort_by(|a, b| a.group.cmp(&b.group));
            ListGroupsReply { code: ErrorCode::None, message: String::new(), groups }
        }
        Err(error) => {
            let (code, message) = refusal(&error);
            ListGroupsReply { code, message, ..Default::default() }
        }
    };
    connection.answer(id, &reply);
}

pub(super) async fn describe(connection: Rc<Connection>, id: u64, request: DescribeGroup) {
    let group = &request.group;
    let described = match ask(&connection, group, GroupRequest::DescribeConsumers).await {
        // It is of the other kind, or not there.
        Err(GroupError::GroupNotFound) => ask(&connection, group, GroupRequest::Describe).await,
        described => described,
    };
    let reply = match described {
        Ok(GroupReply::DescribedConsumers(description)) => consumers(description),
        Ok(GroupReply::Described(description)) => classic(&connection, description),
        Ok(other) => panic!("a description is answered {other:?}"),
        Err(error) => {
            let (code, message) = refusal(&error);
            DescribeGroupReply { code, message, ..Default::default() }
        }
    };
    connection.answer(id, &reply);
}

fn consumers(description: ConsumerDescription) -> DescribeGroupReply {
    let parts = |parts: NamedParts| {
        let part = |(topic_id, _, partitions)| GroupPartitions { topic_id, partitions: numbers(partitions) };
        parts.into_iter().map(part).collect()
    };
    let members = description.members.into_iter().map(|member| GroupMember {
        member_id: member.member_id,
        instance_id: member.instance_id.unwrap_or_default(),
        client_id: member.client_id,
        client_host: member.client_host,
        epoch: member.epoch,
        assignment: parts(member.assigned),
    });
    DescribeGroupReply {
        code: ErrorCode::None,
        message: String::new(),
        kind: crate::groups::GroupKind::Consumer.name().to_owned(),
        state: description.state.name().to_owned(),
        epoch: description.epoch,
        assignor: description.assignor,
        members: members.collect(),
    }
}

fn classic(connection: &Connection, description: Description) -> DescribeGroupReply {
    let catalog = connection.shard().catalog();
    // What members of other kinds of protocol are assigned only they can read.
    let parts = |assignment: bytes::Bytes| {
        let read = ConsumerAssignment::decode(assignment, limits::SUBSCRIBED_TOPICS_MAX).unwrap_or_default();
        let part = |part: wire::kafka::ConsumerPartitions| {
            let topic_id = catalog.topic(part.topic.as_str())?.id;
            Some(GroupPartitions { topic_id, partitions: numbers(part.partitions) })
        };
        read.assigned_partitions.into_iter().filter_map(part).collect()
    };
    let members = description.members.into_iter().map(|member| GroupMember {
        member_id: member.member_id,
        instance_id: member.instance_id.unwrap_or_default(),
        client_id: member.client_id,
        client_host: member.client_host,
        epoch: -1,
        assignment: parts(member.assignment),
    });
    DescribeGroupReply {
        code: ErrorCode::None,
        message: String::new(),
        kind: crate::groups::GroupKind::Classic.name().to_owned(),
        state: description.state.name().to_owned(),
        epoch: description.generation,
        assignor: description.protocol,
        members: members.collect(),
    }
}

pub(super) async fn delete(connection: Rc<Connection>, id: u64, request: DeleteGroup) {
    let (code, message) = match ask(&connection, &request.group, GroupRequest::Delete).await {
        Ok(_) => (ErrorCode::None, String::new()),
        Err(error) => refusal(&error),
    };
    connection.answer(id, &DeleteGroupReply { code, message });
}
