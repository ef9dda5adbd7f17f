//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup: the life of a member of a classic group.

use bytes::Bytes;

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// Enters, or stays in, a group; answered when its next generation begins.
pub struct JoinGroup;

impl Api for JoinGroup {
    const KEY: ApiKey = ApiKey::JoinGroup;
    type Request = JoinGroupRequest;
    type Response = JoinGroupResponse;
}

/// Hands over what the leader assigned, and learns one's own part.
pub struct SyncGroup;

impl Api for SyncGroup {
    const KEY: ApiKey = ApiKey::SyncGroup;
    type Request = SyncGroupRequest;
    type Response = SyncGroupResponse;
}

/// Says that a member lives; learns of a rebalance.
pub struct Heartbeat;

impl Api for Heartbeat {
    const KEY: ApiKey = ApiKey::Heartbeat;
    type Request = HeartbeatRequest;
    type Response = HeartbeatResponse;
}

/// Leaves.
pub struct LeaveGroup;

impl Api for LeaveGroup {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    type Request = LeaveGroupRequest;
    type Response = LeaveGroupResponse;
}

message! {
    /// Who enters.
    pub struct JoinGroupRequest {
        group_id: Text, 0..;
        session_timeout_ms: i32, 0..;
        /// Before version 1 the session's.
        rebalance_timeout_ms: i32, 1.. => -1;
        /// Empty: a new member.
        member_id: Text, 0..;
        /// Of a static member.
        group_instance_id: Option<Text>, 5..;
        protocol_type: Text, 0..;
        protocols: Vec<JoinGroupProtocol>, 0..;
        reason: Option<Text>, 8..;
    }

    /// A way to assign that the member knows, its favourite first.
    pub struct JoinGroupProtocol {
        name: Text, 0..;
        metadata: Bytes, 0..;
    }

    /// The generation; its leader gets the members, too.
    pub struct JoinGroupResponse {
        throttle_time_ms: i32, 2..;
        error_code: i16, 0..;
        generation_id: i32, 0.. => -1;
        protocol_type: Option<Text>, 7..;
        /// May be null from version 7 on.
        protocol_name: Option<Text>, 0..;
        leader: Text, 0..;
        /// The leader has nothing to assign.
        skip_assignment: bool, 9..;
        member_id: Text, 0..;
        members: Vec<JoinGroupMember>, 0..;
    }

    /// What a member said of itself.
    pub struct JoinGroupMember {
        member_id: Text, 0..;
        group_instance_id: Option<Text>, 5..;
        metadata: Bytes, 0..;
    }

    /// A member, and of the leader what each is assigned.
    pub struct SyncGroupRequest {
        group_id: Text, 0..;
        generation_id: i32, 0..;
        member_id: Text, 0..;
        group_instance_id: Option<Text>, 3..;
        protocol_type: Option<Text>, 5..;
        protocol_name: Option<Text>, 5..;
        assignments: Vec<SyncGroupAssignment>, 0..;
    }

    /// A member's part.
    pub struct SyncGroupAssignment {
        member_id: Text, 0..;
        assignment: Bytes, 0..;
    }

    /// One's own part.
    pub struct SyncGroupResponse {
        throttle_time_ms: i32, 1..;
        error_code: i16, 0..;
        protocol_type: Option<Text>, 5..;
        protocol_name: Option<Text>, 5..;
        assignment: Bytes, 0..;
    }

    /// Who lives.
    pub struct HeartbeatRequest {
        group_id: Text, 0..;
        generation_id: i32, 0..;
        member_id: Text, 0..;
        group_instance_id: Option<Text>, 3..;
    }

    /// Whether the generation goes on.
    pub struct HeartbeatResponse {
        throttle_time_ms: i32, 1..;
        error_code: i16, 0..;
    }

    /// Who leaves.
    pub struct LeaveGroupRequest {
        group_id: Text, 0..;
        member_id: Text, ..=2;
        members: Vec<LeavingMember>, 3..;
    }

    /// One who leaves, or is removed.
    pub struct LeavingMember {
        member_id: Text, 3..;
        group_instance_id: Option<Text>, 3..;
        reason: Option<Text>, 5..;
    }

    /// Who has left.
    pub struct LeaveGroupResponse {
        throttle_time_ms: i32, 1..;
        error_code: i16, 0..;
        members: Vec<LeftMember>, 3..;
    }

    /// One who has left, or why not.
    pub struct LeftMember {
        member_id: Text, 3..;
        group_instance_id: Option<Text>, 3..;
        error_code: i16, 3..;
    }
}
