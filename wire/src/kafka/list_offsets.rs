//! ListOffsets: an offset by position or by time.

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// The API.
pub struct ListOffsets;

impl Api for ListOffsets {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Request = ListOffsetsRequest;
    type Response = ListOffsetsResponse;
}

/// As a timestamp: the end of what may be read.
pub const LATEST_TIMESTAMP: i64 = -1;
/// As a timestamp: the first that is kept.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// As a timestamp: the record with the largest timestamp.
pub const MAX_TIMESTAMP: i64 = -3;

message! {
    /// Which offsets.
    pub struct ListOffsetsRequest {
        replica_id: i32, 0..;
        isolation_level: i8, 2..;
        topics: Vec<ListOffsetsTopic>, 0..;
        timeout_ms: i32, 10..;
    }

    /// Of a topic.
    pub struct ListOffsetsTopic {
        name: Text, 0..;
        partitions: Vec<ListOffsetsPartition>, 0..;
    }

    /// Of a partition.
    pub struct ListOffsetsPartition {
        partition_index: i32, 0..;
        current_leader_epoch: i32, 4.. => -1;
        /// Milliseconds since 1970, or one of the constants.
        timestamp: i64, 0..;
    }

    /// The offsets.
    pub struct ListOffsetsResponse {
        throttle_time_ms: i32, 2..;
        topics: Vec<ListedTopic>, 0..;
    }

    /// Of a topic.
    pub struct ListedTopic {
        name: Text, 0..;
        partitions: Vec<ListedPartition>, 0..;
    }

    /// Of a partition.
    pub struct ListedPartition {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        timestamp: i64, 1.. => -1;
        offset: i64, 1.. => -1;
        leader_epoch: i32, 4.. => -1;
    }
}
