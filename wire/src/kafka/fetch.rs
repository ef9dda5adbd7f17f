//! Fetch: batches of many partitions, waiting for them if need be.

use uuid::Uuid;

use super::api::{Api, ApiKey};
use super::field::{Records, Text};
use super::message::message;
use super::produce::NodeEndpoint;

/// The API.
pub struct Fetch;

impl Api for Fetch {
    const KEY: ApiKey = ApiKey::Fetch;
    type Request = FetchRequest;
    type Response = FetchResponse;
}

message! {
    /// Reads.
    pub struct FetchRequest {
        /// -1: a consumer.
        replica_id: i32, ..=14 => -1;
        max_wait_ms: i32, 0..;
        min_bytes: i32, 0..;
        max_bytes: i32, 3.. => i32::MAX;
        /// 0: read uncommitted, 1: read committed.
        isolation_level: i8, 4..;
        /// 0: none.
        session_id: i32, 7..;
        session_epoch: i32, 7.. => -1;
        topics: Vec<FetchTopic>, 0..;
        forgotten_topics: Vec<ForgottenTopic>, 7..;
        rack_id: Text, 11..;
    } tagged {
        0 => cluster_id: Option<Text>, 12..;
        1 => replica_state: ReplicaState, 15..;
    }

    /// Which replica asks.
    pub struct ReplicaState {
        replica_id: i32, 0.. => -1;
        replica_epoch: i64, 0.. => -1;
    }

    /// What is wanted of a topic.
    pub struct FetchTopic {
        topic: Text, ..=12;
        topic_id: Uuid, 13..;
        partitions: Vec<FetchPartition>, 0..;
    }

    /// What is wanted of a partition.
    pub struct FetchPartition {
        partition: i32, 0..;
        /// The epoch the consumer knows; -1: none.
        current_leader_epoch: i32, 9.. => -1;
        fetch_offset: i64, 0..;
        last_fetched_epoch: i32, 12.. => -1;
        log_start_offset: i64, 5.. => -1;
        partition_max_bytes: i32, 0..;
    } tagged {
        0 => replica_directory_id: Uuid, 17..;
    }

    /// Partitions that leave the session.
    pub struct ForgottenTopic {
        topic: Text, ..=12;
        topic_id: Uuid, 13..;
        partitions: Vec<i32>, 0..;
    }

    /// What was read.
    pub struct FetchResponse {
        throttle_time_ms: i32, 1..;
        error_code: i16, 7..;
        session_id: i32, 7..;
        topics: Vec<FetchedTopic>, 0..;
    } tagged {
        0 => node_endpoints: Vec<NodeEndpoint>, 16..;
    }

    /// What was read of a topic.
    pub struct FetchedTopic {
        topic: Text, ..=12;
        topic_id: Uuid, 13..;
        partitions: Vec<FetchedPartition>, 0..;
    }

    /// What was read of a partition.
    pub struct FetchedPartition {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        high_watermark: i64, 0..;
        last_stable_offset: i64, 4.. => -1;
        log_start_offset: i64, 5.. => -1;
        aborted_transactions: Option<Vec<AbortedTransaction>>, 4..;
        preferred_read_replica: i32, 11.. => -1;
        records: Records, 0..;
    } tagged {
        0 => diverging_epoch: EpochEndOffset, 12..;
        1 => current_leader: LeaderIdAndEpoch, 12..;
        2 => snapshot_id: SnapshotId, 12..;
    }

    /// Where a transaction began that came to nothing.
    pub struct AbortedTransaction {
        producer_id: i64, 0..;
        first_offset: i64, 0..;
    }

    /// Where logs part.
    pub struct EpochEndOffset {
        epoch: i32, 0.. => -1;
        end_offset: i64, 0.. => -1;
    }

    /// Who serves a partition now.
    pub struct LeaderIdAndEpoch {
        leader_id: i32, 0.. => -1;
        leader_epoch: i32, 0.. => -1;
    }

    /// A snapshot to be read instead.
    pub struct SnapshotId {
        end_offset: i64, 0.. => -1;
        epoch: i32, 0.. => -1;
    }
}
