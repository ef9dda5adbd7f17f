//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: groups whose partitions the broker assigns (KIP-848).

use uuid::Uuid;

use super::api::{Api, ApiKey};
use super::field::{Nullable, Text};
use super::message::message;

/// Enters, lives in and leaves a group, and learns what one is assigned.
pub struct ConsumerGroupHeartbeat;

impl Api for ConsumerGroupHeartbeat {
    const KEY: ApiKey = ApiKey::ConsumerGroupHeartbeat;
    type Request = ConsumerGroupHeartbeatRequest;
    type Response = ConsumerGroupHeartbeatResponse;
}

/// What such groups are made of.
pub struct ConsumerGroupDescribe;

impl Api for ConsumerGroupDescribe {
    const KEY: ApiKey = ApiKey::ConsumerGroupDescribe;
    type Request = ConsumerGroupDescribeRequest;
    type Response = ConsumerGroupDescribeResponse;
}

message! {
    /// A member.
    pub struct ConsumerGroupHeartbeatRequest {
        group_id: Text, 0..;
        member_id: Text, 0..;
        /// 0: enters, -1: leaves, -2: a static member leaves for a while.
        member_epoch: i32, 0..;
        instance_id: Option<Text>, 0..;
        rack_id: Option<Text>, 0..;
        /// -1: as before.
        rebalance_timeout_ms: i32, 0.. => -1;
        /// Null: as before.
        subscribed_topic_names: Option<Vec<Text>>, 0..;
        subscribed_topic_regex: Option<Text>, 1..;
        server_assignor: Option<Text>, 0..;
        /// What it has; null: as before.
        topic_partitions: Option<Vec<AssignedPartitions>>, 0..;
    }

    /// Partitions of a topic.
    pub struct AssignedPartitions {
        topic_id: Uuid, 0..;
        partitions: Vec<i32>, 0..;
    }

    /// What it is to do.
    pub struct ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<Text>, 0..;
        member_id: Option<Text>, 0..;
        member_epoch: i32, 0..;
        heartbeat_interval_ms: i32, 0..;
        /// Null: as before.
        assignment: Nullable<ConsumerGroupAssignment>, 0..;
    }

    /// What a member is to have.
    pub struct ConsumerGroupAssignment {
        topic_partitions: Vec<AssignedPartitions>, 0..;
    }

    /// Which groups.
    pub struct ConsumerGroupDescribeRequest {
        group_ids: Vec<Text>, 0..;
        include_authorized_operations: bool, 0..;
    }

    /// As they stand.
    pub struct ConsumerGroupDescribeResponse {
        throttle_time_ms: i32, 0..;
        groups: Vec<DescribedConsumerGroup>, 0..;
    }

    /// A group as it stands.
    pub struct DescribedConsumerGroup {
        error_code: i16, 0..;
        error_message: Option<Text>, 0..;
        group_id: Text, 0..;
        group_state: Text, 0..;
        group_epoch: i32, 0..;
        assignment_epoch: i32, 0..;
        assignor_name: Text, 0..;
        members: Vec<DescribedConsumer>, 0..;
        authorized_operations: i32, 0.. => i32::MIN;
    }

    /// A member as it stands.
    pub struct DescribedConsumer {
        member_id: Text, 0..;
        instance_id: Option<Text>, 0..;
        rack_id: Option<Text>, 0..;
        member_epoch: i32, 0..;
        client_id: Text, 0..;
        client_host: Text, 0..;
        subscribed_topic_names: Vec<Text>, 0..;
        subscribed_topic_regex: Option<Text>, 0..;
        assignment: DescribedAssignment, 0..;
        target_assignment: DescribedAssignment, 0..;
        /// 0: a classic member, 1: one of this protocol, -1: not known.
        member_type: i8, 1.. => -1;
    }

    /// What a member has, or is to have.
    pub struct DescribedAssignment {
        topic_partitions: Vec<DescribedPartitions>, 0..;
    }

    /// Partitions of a topic.
    pub struct DescribedPartitions {
        topic_id: Uuid, 0..;
        topic_name: Text, 0..;
        partitions: Vec<i32>, 0..;
    }
}
