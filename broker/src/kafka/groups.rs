//! ListGroups, DescribeGroups, DeleteGroups: groups seen from outside.

use wire::kafka::{
    DeleteGroupsRequest, DeleteGroupsResponse, DeletedGroup, DescribeGroupsRequest, DescribeGroupsResponse,
    DescribedGroup, DescribedMember, ErrorCode, ListGroupsRequest, ListGroupsResponse, ListedGroup, Text,
};

use super::errors::{group_code, group_number};
use super::membership::ask;
use super::serve::Call;
use crate::config::KafkaAdvertise;
use crate::groups::{Description, GroupError, GroupReply, GroupRequest};
use crate::handlers;

/// From this version on a group that is not there is an error; before it is a dead one.
const NOT_FOUND_FROM: i16 = 6;
/// What a client may do with a group, one bit each by Kafka's numbers: read 3, delete 6, describe 8, describe and alter
/// configs 10 and 11.
pub(super) const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

/// Of this broker's own groups: clients ask every broker. Where the node is one broker, of all.
pub(super) async fn list(call: &Call<'_>, request: ListGroupsRequest) -> ListGroupsResponse {
    let everywhere = call.shard().config.kafka_advertise == KafkaAdvertise::Node;
    let groups = match handlers::list_groups(call.shard(), call.session(), everywhere).await {
        Ok(groups) => groups,
        Err(error) => {
            return ListGroupsResponse { error_code: group_number(&error), ..Default::default() };
        }
    };
    let wants = |filter: &[Text], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.as_str().eq_ignore_ascii_case(name))
    };
    let groups = groups
        .into_iter()
        .filter(|group| wants(&request.states_filter, group.state.name()))
        .filter(|group| wants(&request.types_filter, group.kind.name()))
        .map(|group| ListedGroup {
            group_id: group.group.into(),
            protocol_type: group.protocol_type.into(),
            group_state: group.state.name().into(),
            group_type: group.kind.name().into(),
        });
    ListGroupsResponse { groups: groups.collect(), ..Default::default() }
}

pub(super) async fn describe(call: &Call<'_>, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group_id in request.groups {
        let mut described = match ask(call, &group_id, GroupRequest::Describe).await {
            Ok(GroupReply::Described(description)) => described(description),
            Ok(other) => panic!("a description is answered {other:?}"),
            Err(error) => undescribed(call.version, &error),
        };
        described.group_id = group_id;
        if request.include_authorized_operations {
            described.authorized_operations = GROUP_OPERATIONS;
        }
        groups.push(described);
    }
    DescribeGroupsResponse { groups, ..Default::default() }
}

fn described(description: Description) -> DescribedGroup {
    let member = |member: crate::groups::MemberDescription| DescribedMember {
        member_id: member.member_id.into(),
        group_instance_id: member.instance_id.map(Into::into),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    };
    DescribedGroup {
        group_state: description.state.name().into(),
        protocol_type: description.protocol_type.into(),
        protocol_data: description.protocol.into(),
        members: description.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn undescribed(version: i16, error: &GroupError) -> DescribedGroup {
    let code = match (error, version) {
        (GroupError::GroupNotFound, ..NOT_FOUND_FROM) => ErrorCode::None,
        _ => group_code(error),
    };
    let group_state = if matches!(error, GroupError::GroupNotFound) { "Dead" } else { "" };
    DescribedGroup {
        error_code: code.number(),
        error_message: Some(error.to_string().into()),
        group_state: group_state.into(),
        ..Default::default()
    }
}

pub(super) async fn delete(call: &Call<'_>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let error_code = match ask(call, &group_id, GroupRequest::Delete).await {
            Ok(_) => 0,
            Err(error) => group_number(&error),
        };
        results.push(DeletedGroup { group_id, error_code });
    }
    DeleteGroupsResponse { results, ..Default::default() }
}
