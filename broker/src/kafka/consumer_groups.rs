//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: groups whose partitions the coordinator assigns (KIP-848).

use std::time::Duration;

use wire::kafka::{
    AssignedPartitions, ConsumerGroupAssignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DescribedAssignment, DescribedConsumer,
    DescribedConsumerGroup, DescribedPartitions, Nullable, Text,
};

use super::errors::group_number;
use super::groups::GROUP_OPERATIONS;
use super::membership::{ask, owned};
use super::serve::Call;
use crate::groups::{
    ConsumerDescription, ConsumerHeartbeat, ConsumerMemberDescription, GroupReply, GroupRequest, NamedParts,
    Parts,
};
use crate::limits;

/// Of a member that was described: it is one of this protocol.
const CONSUMER_MEMBER: i8 = 1;

pub(super) async fn heartbeat(
    call: &Call<'_>,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let parts = |assigned: &Vec<AssignedPartitions>| {
        let mut parts = Parts::new();
        for part in assigned {
            parts.entry(part.topic_id).or_default().extend(&part.partitions);
        }
        parts
    };
    let rebalance_timeout = u64::try_from(request.rebalance_timeout_ms).ok();
    let heartbeat = ConsumerHeartbeat {
        member_id: owned(&request.member_id),
        fresh_id: runtime::random::uuid().to_string(),
        epoch: request.member_epoch,
        instance_id: request.instance_id.as_ref().map(owned),
        rack_id: request.rack_id.as_ref().map(owned),
        client_id: call.session().client_id.clone(),
        client_host: format!("/{}", call.connection.peer.ip()),
        rebalance_timeout: rebalance_timeout.map(Duration::from_millis),
        topics: request.subscribed_topic_names.as_ref().map(|names| names.iter().map(owned).collect()),
        pattern: request.subscribed_topic_regex.as_ref().map(owned),
        assignor: request.server_assignor.as_ref().map(owned),
        owned: request.topic_partitions.as_ref().map(parts),
    };
    match ask(call, &request.group_id, GroupRequest::ConsumerHeartbeat(heartbeat)).await {
        Ok(GroupReply::Assigned(reply)) => ConsumerGroupHeartbeatResponse {
            member_id: Some(reply.member_id.into()),
            member_epoch: reply.epoch,
            heartbeat_interval_ms: limits::CONSUMER_HEARTBEAT_INTERVAL.as_millis() as i32,
            assignment: Nullable(reply.assignment.map(|parts| {
                let topic_partitions = parts
                    .into_iter()
                    .map(|(topic_id, partitions)| AssignedPartitions {
                        topic_id,
                        partitions: partitions.into_iter().collect(),
                    })
                    .collect();
                ConsumerGroupAssignment { topic_partitions }
            })),
            ..Default::default()
        },
        Ok(other) => panic!("a member that lives is answered {other:?}"),
        Err(error) => ConsumerGroupHeartbeatResponse {
            error_code: group_number(&error),
            error_message: Some(error.to_string().into()),
            ..Default::default()
        },
    }
}

pub(super) async fn describe(
    call: &Call<'_>,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group_id in request.group_ids {
        let mut group = match ask(call, &group_id, GroupRequest::DescribeConsumers).await {
            Ok(GroupReply::DescribedConsumers(description)) => described(description),
            Ok(other) => panic!("a description is answered {other:?}"),
            Err(error) => DescribedConsumerGroup {
                error_code: group_number(&error),
                error_message: Some(error.to_string().into()),
                ..Default::default()
            },
        };
        group.group_id = group_id;
        if request.include_authorized_operations {
            group.authorized_operations = GROUP_OPERATIONS;
        }
        groups.push(group);
    }
    ConsumerGroupDescribeResponse { groups, ..Default::default() }
}

fn described(description: ConsumerDescription) -> DescribedConsumerGroup {
    DescribedConsumerGroup {
        group_state: description.state.name().into(),
        group_epoch: description.epoch,
        assignment_epoch: description.target_epoch,
        assignor_name: description.assignor.into(),
        members: description.members.into_iter().map(described_member).collect(),
        ..Default::default()
    }
}

fn described_member(member: ConsumerMemberDescription) -> DescribedConsumer {
    let named = |parts: NamedParts| DescribedAssignment {
        topic_partitions: parts
            .into_iter()
            .map(|(topic_id, name, partitions)| DescribedPartitions {
                topic_id,
                topic_name: name.into(),
                partitions,
            })
            .collect(),
    };
    let text = |text: Option<String>| text.map(Text::from);
    DescribedConsumer {
        member_id: member.member_id.into(),
        instance_id: text(member.instance_id),
        rack_id: text(member.rack_id),
        member_epoch: member.epoch,
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        subscribed_topic_names: member.topics.into_iter().map(Text::from).collect(),
        subscribed_topic_regex: text(member.pattern),
        assignment: named(member.assigned),
        target_assignment: named(member.target),
        member_type: CONSUMER_MEMBER,
    }
}
