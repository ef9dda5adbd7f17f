//! FindCoordinator: the broker that keeps a group.

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// The API.
pub struct FindCoordinator;

impl Api for FindCoordinator {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    type Request = FindCoordinatorRequest;
    type Response = FindCoordinatorResponse;
}

message! {
    /// Of which group.
    pub struct FindCoordinatorRequest {
        key: Text, ..=3;
        /// 0: a group, 1: a transaction, 2: a share group.
        key_type: i8, 1..;
        coordinator_keys: Vec<Text>, 4..;
    }

    /// Which broker.
    pub struct FindCoordinatorResponse {
        throttle_time_ms: i32, 1..;
        error_code: i16, ..=3;
        error_message: Option<Text>, 1..=3;
        node_id: i32, ..=3;
        host: Text, ..=3;
        port: i32, ..=3;
        coordinators: Vec<Coordinator>, 4..;
    }

    /// Of one key.
    pub struct Coordinator {
        key: Text, 4..;
        node_id: i32, 4..;
        host: Text, 4..;
        port: i32, 4..;
        error_code: i16, 4..;
        error_message: Option<Text>, 4..;
    }
}
