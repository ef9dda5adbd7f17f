//! DescribeCluster, DescribeTopicPartitions, ListPartitionReassignments.

use wire::kafka::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, DescribedTopic, DescribedTopicPartition, ErrorCode,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, Nullable, TopicPartitionCursor,
};

use super::metadata::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS, broker_id, brokers};
use super::serve::Call;
use crate::catalog::Topic;
use crate::shard::Shard;

/// The endpoints that are described: brokers, by Kafka's number.
const BROKERS: i8 = 1;
/// Partitions of one page at most, whatever is asked: as in Kafka.
const PAGE_PARTITIONS_MAX: usize = 2_000;

pub(super) async fn describe(call: &Call<'_>, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let shard = call.shard();
    let cluster_id = shard.meta.cluster_id.to_string().into();
    if request.endpoint_type != BROKERS {
        return DescribeClusterResponse {
            error_code: ErrorCode::UnsupportedEndpointType.number(),
            error_message: Some("this broker describes brokers; it has no separate controllers".into()),
            endpoint_type: request.endpoint_type,
            cluster_id,
            ..Default::default()
        };
    }
    let broker = |broker: wire::kafka::MetadataBroker| DescribeClusterBroker {
        broker_id: broker.node_id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        is_fenced: false,
    };
    DescribeClusterResponse {
        cluster_id,
        controller_id: broker_id(shard, 0),
        brokers: brokers(call).into_iter().map(broker).collect(),
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => i32::MIN,
        },
        ..Default::default()
    }
}

/// One page: topics in the order of their names, from the cursor on.
pub(super) async fn describe_topic_partitions(
    call: &Call<'_>,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let shard = call.shard();
    let catalog = shard.catalog();
    let mut names: Vec<&str> = match request.topics.is_empty() {
        true => catalog.topics().map(|topic| topic.name.as_str()).collect(),
        false => request.topics.iter().map(|topic| topic.name.as_str()).collect(),
    };
    names.sort_unstable();
    names.dedup();
    let (from_topic, from_partition) = match &request.cursor.0 {
        Some(cursor) => (cursor.topic_name.as_str(), usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => ("", 0),
    };
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = asked.clamp(1, PAGE_PARTITIONS_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.into_iter().filter(|name| *name >= from_topic) {
        let Some(topic) = catalog.topic(name) else {
            response.topics.push(DescribedTopic {
                error_code: ErrorCode::UnknownTopicOrPartition.number(),
                name: Some(name.into()),
                ..Default::default()
            });
            continue;
        };
        let first = if name == from_topic { from_partition } else { 0 };
        let page = topic.partitions.len().saturating_sub(first).min(left);
        if page > 0 || topic.partitions.len() <= first {
            response.topics.push(described(shard, topic, first, page));
        }
        left -= page;
        if first + page < topic.partitions.len() {
            let partition_index = i32::try_from(first + page).unwrap_or(i32::MAX);
            let cursor = TopicPartitionCursor { topic_name: name.into(), partition_index };
            response.next_cursor = Nullable(Some(cursor));
            break;
        }
    }
    response
}

fn described(shard: &Shard, topic: &Topic, first: usize, count: usize) -> DescribedTopic {
    let partitions =
        (0..).zip(&topic.partitions).skip(first).take(count).map(|(partition_index, partition)| {
            let leader_id = broker_id(shard, partition.shard.0);
            DescribedTopicPartition {
                partition_index,
                leader_id,
                leader_epoch: partition.leader_epoch,
                replica_nodes: vec![leader_id],
                isr_nodes: vec![leader_id],
                // Null is allowed, and the Java client falls over it.
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                ..Default::default()
            }
        });
    DescribedTopic {
        name: Some(topic.name.as_str().into()),
        topic_id: topic.id,
        partitions: partitions.collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    }
}

/// Partitions move between cores at a start only, and never between nodes: nothing is ever under way.
pub(super) async fn reassignments(
    _call: &Call<'_>,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
