//! Metadata: which topics there are, and where their partitions are served.

use uuid::Uuid;

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// The API.
pub struct Metadata;

impl Api for Metadata {
    const KEY: ApiKey = ApiKey::Metadata;
    type Request = MetadataRequest;
    type Response = MetadataResponse;
}

message! {
    /// Asks.
    pub struct MetadataRequest {
        /// Null: all; in version 0 an empty list is all.
        topics: Option<Vec<MetadataRequestTopic>>, 0..;
        allow_auto_topic_creation: bool, 4.. => true;
        include_cluster_authorized_operations: bool, 8..=10;
        include_topic_authorized_operations: bool, 8..;
    }

    /// One topic, by name or by id.
    pub struct MetadataRequestTopic {
        topic_id: Uuid, 10..;
        /// Null where the id tells.
        name: Option<Text>, 0..;
    }

    /// Tells.
    pub struct MetadataResponse {
        throttle_time_ms: i32, 3..;
        brokers: Vec<MetadataBroker>, 0..;
        cluster_id: Option<Text>, 2..;
        controller_id: i32, 1.. => -1;
        topics: Vec<MetadataTopic>, 0..;
        cluster_authorized_operations: i32, 8..=10 => i32::MIN;
        error_code: i16, 13..;
    }

    /// A broker, and where it is reached.
    pub struct MetadataBroker {
        node_id: i32, 0..;
        host: Text, 0..;
        port: i32, 0..;
        rack: Option<Text>, 1..;
    }

    /// A topic.
    pub struct MetadataTopic {
        error_code: i16, 0..;
        name: Option<Text>, 0..;
        topic_id: Uuid, 10..;
        is_internal: bool, 1..;
        partitions: Vec<MetadataPartition>, 0..;
        topic_authorized_operations: i32, 8.. => i32::MIN;
    }

    /// A partition.
    pub struct MetadataPartition {
        error_code: i16, 0..;
        partition_index: i32, 0..;
        leader_id: i32, 0..;
        leader_epoch: i32, 7.. => -1;
        replica_nodes: Vec<i32>, 0..;
        isr_nodes: Vec<i32>, 0..;
        offline_replicas: Vec<i32>, 5..;
    }
}
