//! InitProducerId: an id for an idempotent producer.

use super::api::{Api, ApiKey};
use super::field::Text;
use super::message::message;

/// The API.
pub struct InitProducerId;

impl Api for InitProducerId {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;
}

message! {
    /// Asks.
    pub struct InitProducerIdRequest {
        /// Of transactions; else null.
        transactional_id: Option<Text>, 0..;
        transaction_timeout_ms: i32, 0..;
        producer_id: i64, 3.. => -1;
        producer_epoch: i16, 3.. => -1;
    }

    /// Gives.
    pub struct InitProducerIdResponse {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        producer_id: i64, 0.. => -1;
        producer_epoch: i16, 0..;
    }
}
