//! CreatePartitions, DeleteRecords, OffsetForLeaderEpoch and ListPartitionReassignments.

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// Gives topics more partitions.
pub struct CreatePartitions;

impl Api for CreatePartitions {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    type Request = CreatePartitionsRequest;
    type Response = CreatePartitionsResponse;
}

/// Moves the beginning of partitions forward.
pub struct DeleteRecords;

impl Api for DeleteRecords {
    const KEY: ApiKey = ApiKey::DeleteRecords;
    type Request = DeleteRecordsRequest;
    type Response = DeleteRecordsResponse;
}

/// Where a leader epoch ended: a consumer learns whether its log was cut.
pub struct OffsetForLeaderEpoch;

impl Api for OffsetForLeaderEpoch {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Request = OffsetForLeaderEpochRequest;
    type Response = OffsetForLeaderEpochResponse;
}

/// Which partitions are being moved.
pub struct ListPartitionReassignments;

impl Api for ListPartitionReassignments {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    type Request = ListPartitionReassignmentsRequest;
    type Response = ListPartitionReassignmentsResponse;
}

message! {
    /// Which topics.
    pub struct CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic>, 0..;
        timeout_ms: i32, 0..;
        validate_only: bool, 0..;
    }

    /// A topic.
    pub struct CreatePartitionsTopic {
        name: Text, 0..;
        /// How many it is to have.
        count: i32, 0..;
        /// Of the new ones; null: the broker's choice.
        assignments: Option<Vec<CreatePartitionsAssignment>>, 0..;
    }

    /// Where a partition is to be.
    pub struct CreatePartitionsAssignment {
        broker_ids: Vec<i32>, 0..;
    }

    /// What became of it.
    pub struct CreatePartitionsResponse {
        throttle_time_ms: i32, 0..;
        results: Vec<CreatePartitionsResult>, 0..;
    }

    /// What became of a topic's.
    pub struct CreatePartitionsResult {
        name: Text, 0..;
        error_code: i16, 0..;
        error_message: Option<Text>, 0..;
    }

    /// Of which partitions.
    pub struct DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic>, 0..;
        timeout_ms: i32, 0..;
    }

    /// Of a topic.
    pub struct DeleteRecordsTopic {
        name: Text, 0..;
        partitions: Vec<DeleteRecordsPartition>, 0..;
    }

    /// Of a partition.
    pub struct DeleteRecordsPartition {
        partition_index: i32, 0..;
        /// The first that stays; -1: none of what is there.
        offset: i64, 0..;
    }

    /// What became of it.
    pub struct DeleteRecordsResponse {
        throttle_time_ms: i32, 0..;
        topics: Vec<DeletedRecordsTopic>, 0..;
    }

    /// What became of a topic's.
    pub struct DeletedRecordsTopic {
        name: Text, 0..;
        partitions: Vec<DeletedRecordsPartition>, 0..;
    }

    /// What became of a partition's.
    pub struct DeletedRecordsPartition {
        partition_index: i32, 0..;
        low_watermark: i64, 0..;
        error_code: i16, 0..;
    }

    /// Of which partitions.
    pub struct OffsetForLeaderEpochRequest {
        /// -2: a debugging consumer, -1: a consumer.
        replica_id: i32, 3.. => -2;
        topics: Vec<OffsetForLeaderTopic>, 0..;
    }

    /// Of a topic.
    pub struct OffsetForLeaderTopic {
        topic: Text, 0..;
        partitions: Vec<OffsetForLeaderPartition>, 0..;
    }

    /// Of a partition.
    pub struct OffsetForLeaderPartition {
        partition: i32, 0..;
        current_leader_epoch: i32, 2.. => -1;
        leader_epoch: i32, 0..;
    }

    /// Where they ended.
    pub struct OffsetForLeaderEpochResponse {
        throttle_time_ms: i32, 2..;
        topics: Vec<LeaderEpochEndTopic>, 0..;
    }

    /// Of a topic.
    pub struct LeaderEpochEndTopic {
        topic: Text, 0..;
        partitions: Vec<LeaderEpochEnd>, 0..;
    }

    /// Of a partition.
    pub struct LeaderEpochEnd {
        error_code: i16, 0..;
        partition: i32, 0..;
        leader_epoch: i32, 1.. => -1;
        end_offset: i64, 0.. => -1;
    }

    /// Of which partitions.
    pub struct ListPartitionReassignmentsRequest {
        timeout_ms: i32, 0.. => 60_000;
        /// Null: all.
        topics: Option<Vec<ListPartitionReassignmentsTopic>>, 0..;
    }

    /// Of a topic.
    pub struct ListPartitionReassignmentsTopic {
        name: Text, 0..;
        partition_indexes: Vec<i32>, 0..;
    }

    /// These.
    pub struct ListPartitionReassignmentsResponse {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<Text>, 0..;
        topics: Vec<OngoingTopicReassignment>, 0..;
    }

    /// Of a topic.
    pub struct OngoingTopicReassignment {
        name: Text, 0..;
        partitions: Vec<OngoingPartitionReassignment>, 0..;
    }

    /// Of a partition.
    pub struct OngoingPartitionReassignment {
        partition_index: i32, 0..;
        replicas: Vec<i32>, 0..;
        adding_replicas: Vec<i32>, 0..;
        removing_replicas: Vec<i32>, 0..;
    }
}
