//! DescribeCluster, DescribeLogDirs, DescribeProducers and DescribeTopicPartitions.

use uuid::Uuid;

use super::api::{Api, ApiKey};
use super::field::{Nullable, Text};
use super::message::message;

/// Which brokers there are.
pub struct DescribeCluster;

impl Api for DescribeCluster {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    type Request = DescribeClusterRequest;
    type Response = DescribeClusterResponse;
}

/// What the disks hold.
pub struct DescribeLogDirs;

impl Api for DescribeLogDirs {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    type Request = DescribeLogDirsRequest;
    type Response = DescribeLogDirsResponse;
}

/// Which idempotent producers partitions know.
pub struct DescribeProducers;

impl Api for DescribeProducers {
    const KEY: ApiKey = ApiKey::DescribeProducers;
    type Request = DescribeProducersRequest;
    type Response = DescribeProducersResponse;
}

/// Where partitions are served, a page at a time.
pub struct DescribeTopicPartitions;

impl Api for DescribeTopicPartitions {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    type Request = DescribeTopicPartitionsRequest;
    type Response = DescribeTopicPartitionsResponse;
}

message! {
    /// How much is wanted.
    pub struct DescribeClusterRequest {
        include_cluster_authorized_operations: bool, 0..;
        /// 1: brokers, 2: controllers.
        endpoint_type: i8, 1.. => 1;
        include_fenced_brokers: bool, 2..;
    }

    /// The cluster.
    pub struct DescribeClusterResponse {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<Text>, 0..;
        endpoint_type: i8, 1.. => 1;
        cluster_id: Text, 0..;
        controller_id: i32, 0.. => -1;
        brokers: Vec<DescribeClusterBroker>, 0..;
        cluster_authorized_operations: i32, 0.. => i32::MIN;
    }

    /// A broker.
    pub struct DescribeClusterBroker {
        broker_id: i32, 0..;
        host: Text, 0..;
        port: i32, 0..;
        rack: Option<Text>, 0..;
        is_fenced: bool, 2..;
    }

    /// Of what.
    pub struct DescribeLogDirsRequest {
        /// Null: all.
        topics: Option<Vec<DescribableLogDirTopic>>, 0..;
    }

    /// Of a topic.
    pub struct DescribableLogDirTopic {
        topic: Text, 0..;
        partitions: Vec<i32>, 0..;
    }

    /// The folders.
    pub struct DescribeLogDirsResponse {
        throttle_time_ms: i32, 0..;
        error_code: i16, 3..;
        results: Vec<DescribedLogDir>, 0..;
    }

    /// A folder.
    pub struct DescribedLogDir {
        error_code: i16, 0..;
        log_dir: Text, 0..;
        topics: Vec<DescribedLogDirTopic>, 0..;
        /// Of its file system.
        total_bytes: i64, 4.. => -1;
        usable_bytes: i64, 4.. => -1;
    }

    /// A topic in it.
    pub struct DescribedLogDirTopic {
        name: Text, 0..;
        partitions: Vec<DescribedLogDirPartition>, 0..;
    }

    /// A partition in it.
    pub struct DescribedLogDirPartition {
        partition_index: i32, 0..;
        partition_size: i64, 0..;
        offset_lag: i64, 0..;
        is_future_key: bool, 1..;
    }

    /// Of which partitions.
    pub struct DescribeProducersRequest {
        topics: Vec<DescribeProducersTopic>, 0..;
    }

    /// Of a topic.
    pub struct DescribeProducersTopic {
        name: Text, 0..;
        partition_indexes: Vec<i32>, 0..;
    }

    /// The producers.
    pub struct DescribeProducersResponse {
        throttle_time_ms: i32, 0..;
        topics: Vec<DescribedProducersTopic>, 0..;
    }

    /// Of a topic.
    pub struct DescribedProducersTopic {
        name: Text, 0..;
        partitions: Vec<DescribedProducersPartition>, 0..;
    }

    /// Of a partition.
    pub struct DescribedProducersPartition {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<Text>, 0..;
        active_producers: Vec<ProducerState>, 0..;
    }

    /// A producer.
    pub struct ProducerState {
        producer_id: i64, 0..;
        producer_epoch: i32, 0..;
        last_sequence: i32, 0.. => -1;
        last_timestamp: i64, 0.. => -1;
        coordinator_epoch: i32, 0..;
        current_txn_start_offset: i64, 0.. => -1;
    }

    /// Of which topics, and from where on.
    pub struct DescribeTopicPartitionsRequest {
        topics: Vec<DescribeTopicPartitionsTopic>, 0..;
        response_partition_limit: i32, 0.. => 2_000;
        cursor: Nullable<TopicPartitionCursor>, 0..;
    }

    /// A topic.
    pub struct DescribeTopicPartitionsTopic {
        name: Text, 0..;
    }

    /// The first partition of a page.
    pub struct TopicPartitionCursor {
        topic_name: Text, 0..;
        partition_index: i32, 0..;
    }

    /// A page.
    pub struct DescribeTopicPartitionsResponse {
        throttle_time_ms: i32, 0..;
        topics: Vec<DescribedTopic>, 0..;
        /// Null: it was the last page.
        next_cursor: Nullable<TopicPartitionCursor>, 0..;
    }

    /// A topic.
    pub struct DescribedTopic {
        error_code: i16, 0..;
        name: Option<Text>, 0..;
        topic_id: Uuid, 0..;
        is_internal: bool, 0..;
        partitions: Vec<DescribedTopicPartition>, 0..;
        topic_authorized_operations: i32, 0.. => i32::MIN;
    }

    /// A partition.
    pub struct DescribedTopicPartition {
        error_code: i16, 0..;
        partition_index: i32, 0..;
        leader_id: i32, 0..;
        leader_epoch: i32, 0.. => -1;
        replica_nodes: Vec<i32>, 0..;
        isr_nodes: Vec<i32>, 0..;
        eligible_leader_replicas: Option<Vec<i32>>, 0..;
        last_known_elr: Option<Vec<i32>>, 0..;
        offline_replicas: Vec<i32>, 0..;
    }
}
