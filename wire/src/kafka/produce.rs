//! Produce: batches for many partitions.

use bytes::Bytes;
use uuid::Uuid;

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// The API.
pub struct Produce;

impl Api for Produce {
    const KEY: ApiKey = ApiKey::Produce;
    type Request = ProduceRequest;
    type Response = ProduceResponse;
}

message! {
    /// Appends.
    pub struct ProduceRequest {
        /// Of transactions; else null.
        transactional_id: Option<Text>, 3..;
        /// 0: no answer; 1 or -1: when it is kept.
        acks: i16, 0..;
        timeout_ms: i32, 0..;
        topics: Vec<ProduceTopic>, 0..;
    }

    /// A topic's batches.
    pub struct ProduceTopic {
        name: Text, ..=12;
        topic_id: Uuid, 13..;
        partitions: Vec<ProducePartition>, 0..;
    }

    /// A partition's batches.
    pub struct ProducePartition {
        index: i32, 0..;
        records: Option<Bytes>, 0..;
    }

    /// What became of them.
    pub struct ProduceResponse {
        topics: Vec<ProducedTopic>, 0..;
        throttle_time_ms: i32, 1..;
    } tagged {
        /// Where the partitions are served, if not here.
        0 => node_endpoints: Vec<NodeEndpoint>, 10..;
    }

    /// What became of a topic's batches.
    pub struct ProducedTopic {
        name: Text, ..=12;
        topic_id: Uuid, 13..;
        partitions: Vec<ProducedPartition>, 0..;
    }

    /// What became of a partition's batches.
    pub struct ProducedPartition {
        index: i32, 0..;
        error_code: i16, 0..;
        base_offset: i64, 0..;
        /// When the broker stamps; else -1.
        log_append_time_ms: i64, 2.. => -1;
        log_start_offset: i64, 5.. => -1;
        /// The records that the whole batch was refused for.
        record_errors: Vec<RecordError>, 8..;
        error_message: Option<Text>, 8..;
    } tagged {
        0 => current_leader: CurrentLeader, 10..;
    }

    /// A record that is refused.
    pub struct RecordError {
        batch_index: i32, 0..;
        message: Option<Text>, 0..;
    }

    /// Who serves a partition now.
    pub struct CurrentLeader {
        leader_id: i32, 0.. => -1;
        leader_epoch: i32, 0.. => -1;
    }

    /// Where a broker is reached.
    pub struct NodeEndpoint {
        node_id: i32, 0..;
        host: Text, 0..;
        port: i32, 0..;
        rack: Option<Text>, 0..;
    }
}
