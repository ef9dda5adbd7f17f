//! CreateTopics and DeleteTopics.

use uuid::Uuid;

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// Makes topics.
pub struct CreateTopics;

impl Api for CreateTopics {
    const KEY: ApiKey = ApiKey::CreateTopics;
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;
}

/// Removes topics.
pub struct DeleteTopics;

impl Api for DeleteTopics {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    type Request = DeleteTopicsRequest;
    type Response = DeleteTopicsResponse;
}

message! {
    /// Which topics.
    pub struct CreateTopicsRequest {
        topics: Vec<CreatableTopic>, 0..;
        timeout_ms: i32, 0.. => 60_000;
        validate_only: bool, 1..;
    }

    /// One topic.
    pub struct CreatableTopic {
        name: Text, 0..;
        /// -1: the broker's default, or as `assignments` say.
        num_partitions: i32, 0..;
        /// -1: the broker's default, or as `assignments` say.
        replication_factor: i16, 0..;
        assignments: Vec<CreatableReplicaAssignment>, 0..;
        configs: Vec<CreatableTopicConfig>, 0..;
    }

    /// Where a partition is to be.
    pub struct CreatableReplicaAssignment {
        partition_index: i32, 0..;
        broker_ids: Vec<i32>, 0..;
    }

    /// A setting.
    pub struct CreatableTopicConfig {
        name: Text, 0..;
        value: Option<Text>, 0..;
    }

    /// What became of it.
    pub struct CreateTopicsResponse {
        throttle_time_ms: i32, 2..;
        topics: Vec<CreatedTopic>, 0..;
    }

    /// What became of one topic.
    pub struct CreatedTopic {
        name: Text, 0..;
        topic_id: Uuid, 7..;
        error_code: i16, 0..;
        error_message: Option<Text>, 1..;
        num_partitions: i32, 5.. => -1;
        replication_factor: i16, 5.. => -1;
        configs: Option<Vec<CreatedTopicConfig>>, 5..;
    } tagged {
        0 => topic_config_error_code: i16, 5..;
    }

    /// A setting as it stands.
    pub struct CreatedTopicConfig {
        name: Text, 5..;
        value: Option<Text>, 5..;
        read_only: bool, 5..;
        config_source: i8, 5.. => -1;
        is_sensitive: bool, 5..;
    }

    /// Which topics.
    pub struct DeleteTopicsRequest {
        topics: Vec<DeleteTopicState>, 6..;
        topic_names: Vec<Text>, ..=5;
        timeout_ms: i32, 0..;
    }

    /// One topic, by name or by id.
    pub struct DeleteTopicState {
        name: Option<Text>, 6..;
        topic_id: Uuid, 6..;
    }

    /// What became of it.
    pub struct DeleteTopicsResponse {
        throttle_time_ms: i32, 1..;
        responses: Vec<DeletedTopic>, 0..;
    }

    /// What became of one topic.
    pub struct DeletedTopic {
        name: Option<Text>, 0..;
        topic_id: Uuid, 6..;
        error_code: i16, 0..;
        error_message: Option<Text>, 5..;
    }
}
