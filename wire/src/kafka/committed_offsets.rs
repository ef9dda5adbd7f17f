//! OffsetCommit, OffsetFetch and OffsetDelete: how far a group has come.

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// Keeps offsets.
pub struct OffsetCommit;

impl Api for OffsetCommit {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    type Request = OffsetCommitRequest;
    type Response = OffsetCommitResponse;
}

/// Tells what is kept.
pub struct OffsetFetch;

impl Api for OffsetFetch {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    type Request = OffsetFetchRequest;
    type Response = OffsetFetchResponse;
}

/// Forgets offsets.
pub struct OffsetDelete;

impl Api for OffsetDelete {
    const KEY: ApiKey = ApiKey::OffsetDelete;
    type Request = OffsetDeleteRequest;
    type Response = OffsetDeleteResponse;
}

message! {
    /// Who commits what.
    pub struct OffsetCommitRequest {
        group_id: Text, 0..;
        /// The generation, or a member's epoch; -1 from who is no member.
        generation_id_or_member_epoch: i32, 1.. => -1;
        member_id: Text, 1..;
        group_instance_id: Option<Text>, 7..;
        /// -1: the broker's.
        retention_time_ms: i64, 2..=4 => -1;
        topics: Vec<OffsetCommitTopic>, 0..;
    }

    /// Of a topic.
    pub struct OffsetCommitTopic {
        name: Text, 0..;
        partitions: Vec<OffsetCommitPartition>, 0..;
    }

    /// Of a partition.
    pub struct OffsetCommitPartition {
        partition_index: i32, 0..;
        committed_offset: i64, 0..;
        committed_leader_epoch: i32, 6.. => -1;
        committed_metadata: Option<Text>, 0..;
    }

    /// What is kept.
    pub struct OffsetCommitResponse {
        throttle_time_ms: i32, 3..;
        topics: Vec<CommittedTopic>, 0..;
    }

    /// Of a topic.
    pub struct CommittedTopic {
        name: Text, 0..;
        partitions: Vec<CommittedPartition>, 0..;
    }

    /// Of a partition.
    pub struct CommittedPartition {
        partition_index: i32, 0..;
        error_code: i16, 0..;
    }

    /// Of which group and partitions.
    pub struct OffsetFetchRequest {
        group_id: Text, ..=7;
        /// Null, from version 2 on: all.
        topics: Option<Vec<OffsetFetchTopic>>, ..=7;
        groups: Vec<OffsetFetchGroup>, 8..;
        require_stable: bool, 7..;
    }

    /// Of one group.
    pub struct OffsetFetchGroup {
        group_id: Text, 8..;
        member_id: Option<Text>, 9..;
        member_epoch: i32, 9.. => -1;
        /// Null: all.
        topics: Option<Vec<OffsetFetchTopic>>, 8..;
    }

    /// Of a topic.
    pub struct OffsetFetchTopic {
        name: Text, 0..;
        partition_indexes: Vec<i32>, 0..;
    }

    /// What is kept.
    pub struct OffsetFetchResponse {
        throttle_time_ms: i32, 3..;
        topics: Vec<FetchedOffsetTopic>, ..=7;
        error_code: i16, 2..=7;
        groups: Vec<FetchedOffsetGroup>, 8..;
    }

    /// Of one group.
    pub struct FetchedOffsetGroup {
        group_id: Text, 8..;
        topics: Vec<FetchedOffsetTopic>, 8..;
        error_code: i16, 8..;
    }

    /// Of a topic.
    pub struct FetchedOffsetTopic {
        name: Text, 0..;
        partitions: Vec<FetchedOffset>, 0..;
    }

    /// Of a partition; -1 where nothing is kept.
    pub struct FetchedOffset {
        partition_index: i32, 0..;
        committed_offset: i64, 0.. => -1;
        committed_leader_epoch: i32, 5.. => -1;
        metadata: Option<Text>, 0..;
        error_code: i16, 0..;
    }

    /// Of which group and partitions.
    pub struct OffsetDeleteRequest {
        group_id: Text, 0..;
        topics: Vec<OffsetDeleteTopic>, 0..;
    }

    /// Of a topic.
    pub struct OffsetDeleteTopic {
        name: Text, 0..;
        partitions: Vec<OffsetDeletePartition>, 0..;
    }

    /// Of a partition.
    pub struct OffsetDeletePartition {
        partition_index: i32, 0..;
    }

    /// What is forgotten.
    pub struct OffsetDeleteResponse {
        error_code: i16, 0..;
        throttle_time_ms: i32, 0..;
        topics: Vec<OffsetDeletedTopic>, 0..;
    }

    /// Of a topic.
    pub struct OffsetDeletedTopic {
        name: Text, 0..;
        partitions: Vec<CommittedPartition>, 0..;
    }
}
