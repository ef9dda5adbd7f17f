//! ListGroups, DescribeGroups and DeleteGroups: groups seen from outside.

use bytes::Bytes;

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// Which groups there are.
pub struct ListGroups;

impl Api for ListGroups {
    const KEY: ApiKey = ApiKey::ListGroups;
    type Request = ListGroupsRequest;
    type Response = ListGroupsResponse;
}

/// What classic groups are made of.
pub struct DescribeGroups;

impl Api for DescribeGroups {
    const KEY: ApiKey = ApiKey::DescribeGroups;
    type Request = DescribeGroupsRequest;
    type Response = DescribeGroupsResponse;
}

/// Removes groups without members.
pub struct DeleteGroups;

impl Api for DeleteGroups {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    type Request = DeleteGroupsRequest;
    type Response = DeleteGroupsResponse;
}

message! {
    /// Which.
    pub struct ListGroupsRequest {
        /// Empty: all.
        states_filter: Vec<Text>, 4..;
        /// Empty: all.
        types_filter: Vec<Text>, 5..;
    }

    /// These.
    pub struct ListGroupsResponse {
        throttle_time_ms: i32, 1..;
        error_code: i16, 0..;
        groups: Vec<ListedGroup>, 0..;
    }

    /// One group.
    pub struct ListedGroup {
        group_id: Text, 0..;
        protocol_type: Text, 0..;
        group_state: Text, 4..;
        group_type: Text, 5..;
    }

    /// Which groups.
    pub struct DescribeGroupsRequest {
        groups: Vec<Text>, 0..;
        include_authorized_operations: bool, 3..;
    }

    /// As they stand.
    pub struct DescribeGroupsResponse {
        throttle_time_ms: i32, 1..;
        groups: Vec<DescribedGroup>, 0..;
    }

    /// A group as it stands.
    pub struct DescribedGroup {
        error_code: i16, 0..;
        error_message: Option<Text>, 6..;
        group_id: Text, 0..;
        group_state: Text, 0..;
        protocol_type: Text, 0..;
        /// The way of assigning that was chosen.
        protocol_data: Text, 0..;
        members: Vec<DescribedMember>, 0..;
        authorized_operations: i32, 3.. => i32::MIN;
    }

    /// A member as it stands.
    pub struct DescribedMember {
        member_id: Text, 0..;
        group_instance_id: Option<Text>, 4..;
        client_id: Text, 0..;
        client_host: Text, 0..;
        member_metadata: Bytes, 0..;
        member_assignment: Bytes, 0..;
    }

    /// Which groups.
    pub struct DeleteGroupsRequest {
        groups_names: Vec<Text>, 0..;
    }

    /// What became of them.
    pub struct DeleteGroupsResponse {
        throttle_time_ms: i32, 0..;
        results: Vec<DeletedGroup>, 0..;
    }

    /// What became of one.
    pub struct DeletedGroup {
        group_id: Text, 0..;
        error_code: i16, 0..;
    }
}
