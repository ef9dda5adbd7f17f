//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: members of classic groups.

use std::time::Duration;

use bytes::Bytes;
use wire::kafka::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupMember, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, LeavingMember, LeftMember, SyncGroupRequest, SyncGroupResponse,
    Text,
};

use super::errors::group_number;
use super::serve::Call;
use crate::groups::{GroupError, GroupReply, GroupRequest, Join, Joined, Leaving, MemberName, Sync};
use crate::handlers;

/// From this version on a new member is told its id before it joins (KIP-394).
const KNOWS_ID_FIRST_FROM: i16 = 4;
/// From this version on a leader may be told to assign nothing (KIP-814).
const KNOWS_SKIPPING_FROM: i16 = 9;
/// From this version on a name may be null; before it nothing is the empty text.
const NULL_PROTOCOL_FROM: i16 = 7;
/// From this version on many members leave at once.
const MANY_LEAVE_FROM: i16 = 3;

/// Texts and bytes of a request are slices of its frame, which a group must not hold on to.
pub(super) fn owned(text: &Text) -> String {
    text.as_str().to_owned()
}

fn owned_bytes(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn milliseconds(time: i32) -> Duration {
    Duration::from_millis(u64::try_from(time).unwrap_or(0))
}

/// Asks the coordinator of a group that has a name.
pub(super) async fn ask(
    call: &Call<'_>,
    group: &Text,
    request: GroupRequest,
) -> Result<GroupReply, GroupError> {
    if group.as_str().is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    handlers::ask_group(call.shard(), call.session(), group.as_str(), request).await
}

pub(super) async fn join(call: &Call<'_>, request: JoinGroupRequest) -> JoinGroupResponse {
    let asked_as = request.member_id.clone();
    let client_id = call.session().client_id.clone();
    let unique = runtime::random::uuid();
    let fresh_id = match &request.group_instance_id {
        Some(instance) => format!("{instance}-{unique}"),
        None => format!("{client_id}-{unique}"),
    };
    let rebalance_timeout = match request.rebalance_timeout_ms {
        ..0 => request.session_timeout_ms,
        given => given,
    };
    let join = Join {
        member_id: owned(&request.member_id),
        fresh_id,
        instance_id: request.group_instance_id.as_ref().map(owned),
        client_id,
        client_host: format!("/{}", call.connection.peer.ip()),
        session_timeout: milliseconds(request.session_timeout_ms),
        rebalance_timeout: milliseconds(rebalance_timeout),
        protocol_type: owned(&request.protocol_type),
        protocols: request
            .protocols
            .iter()
            .map(|protocol| (owned(&protocol.name), owned_bytes(&protocol.metadata)))
            .collect(),
        knows_id_first: call.version >= KNOWS_ID_FIRST_FROM,
        knows_skipping: call.version >= KNOWS_SKIPPING_FROM,
    };
    match ask(call, &request.group_id, GroupRequest::Join(join)).await {
        Ok(GroupReply::Joined(joined)) => joined_response(joined),
        Ok(other) => panic!("a member that joins is answered {other:?}"),
        Err(error) => {
            let nothing = if call.version < NULL_PROTOCOL_FROM { Some("".into()) } else { None };
            JoinGroupResponse {
                error_code: group_number(&error),
                protocol_name: nothing,
                member_id: match error {
                    GroupError::MemberIdRequired { member_id } => member_id.into(),
                    _ => asked_as,
                },
                ..Default::default()
            }
        }
    }
}

fn joined_response(joined: Joined) -> JoinGroupResponse {
    let member = |member: crate::groups::JoinedMember| JoinGroupMember {
        member_id: member.member_id.into(),
        group_instance_id: member.instance_id.map(Into::into),
        metadata: member.metadata,
    };
    JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: Some(joined.protocol_type.into()),
        protocol_name: Some(joined.protocol.into()),
        leader: joined.leader.into(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id.into(),
        members: joined.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

pub(super) async fn sync(call: &Call<'_>, request: SyncGroupRequest) -> SyncGroupResponse {
    let sync = Sync {
        member: MemberName {
            member_id: owned(&request.member_id),
            instance_id: request.group_instance_id.as_ref().map(owned),
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type.as_ref().map(owned),
        protocol: request.protocol_name.as_ref().map(owned),
        assignments: request
            .assignments
            .iter()
            .map(|part| (owned(&part.member_id), owned_bytes(&part.assignment)))
            .collect(),
    };
    match ask(call, &request.group_id, GroupRequest::Sync(sync)).await {
        Ok(GroupReply::Synced(synced)) => SyncGroupResponse {
            protocol_type: Some(synced.protocol_type.into()),
            protocol_name: Some(synced.protocol.into()),
            assignment: synced.assignment,
            ..Default::default()
        },
        Ok(other) => panic!("a member that syncs is answered {other:?}"),
        Err(error) => SyncGroupResponse { error_code: group_number(&error), ..Default::default() },
    }
}

pub(super) async fn heartbeat(call: &Call<'_>, request: HeartbeatRequest) -> HeartbeatResponse {
    let member = MemberName {
        member_id: owned(&request.member_id),
        instance_id: request.group_instance_id.as_ref().map(owned),
        generation: request.generation_id,
    };
    let error_code = match ask(call, &request.group_id, GroupRequest::Heartbeat(member)).await {
        Ok(_) => 0,
        Err(error) => group_number(&error),
    };
    HeartbeatResponse { error_code, ..Default::default() }
}

pub(super) async fn leave(call: &Call<'_>, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let members = match call.version {
        ..MANY_LEAVE_FROM => {
            vec![LeavingMember { member_id: request.member_id, ..Default::default() }]
        }
        _ => request.members,
    };
    let leaving = |member: &LeavingMember| Leaving {
        member_id: owned(&member.member_id),
        instance_id: member.group_instance_id.as_ref().map(owned),
    };
    let leaving = GroupRequest::Leave(members.iter().map(leaving).collect());
    let outcomes = match ask(call, &request.group_id, leaving).await {
        Ok(GroupReply::Left(outcomes)) => outcomes,
        Ok(other) => panic!("a member that leaves is answered {other:?}"),
        Err(error) => {
            return LeaveGroupResponse { error_code: group_number(&error), ..Default::default() };
        }
    };
    let number = |outcome: &Result<(), GroupError>| outcome.as_ref().err().map_or(0, group_number);
    if call.version < MANY_LEAVE_FROM {
        let error_code = outcomes.first().map_or(0, number);
        return LeaveGroupResponse { error_code, ..Default::default() };
    }
    let left = |(member, outcome): (LeavingMember, Result<(), GroupError>)| LeftMember {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: number(&outcome),
    };
    LeaveGroupResponse {
        members: members.into_iter().zip(outcomes).map(left).collect(),
        ..Default::default()
    }
}
