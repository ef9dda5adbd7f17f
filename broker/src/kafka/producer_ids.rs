//! InitProducerId: ids for idempotent producers. Transactions are not served.

use wire::kafka::{ErrorCode, InitProducerIdRequest, InitProducerIdResponse};

use super::errors::number;
use super::serve::Call;
use crate::handlers;

/// A fresh id. Who asks again, because its sequences are lost, gets another: an epoch is never raised.
pub(super) async fn init(call: &Call<'_>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let refused = |error_code| InitProducerIdResponse { error_code, ..Default::default() };
    let transactional_id = request.transactional_id.as_ref().map_or("", |id| id.as_str());
    if request.transactional_id.is_some() && transactional_id.is_empty() {
        return refused(ErrorCode::InvalidRequest.number());
    }
    match handlers::init_producer(call.shard(), call.session(), transactional_id).await {
        Ok(producer_id) => InitProducerIdResponse { producer_id, ..Default::default() },
        Err(refusal) => refused(number(refusal.code)),
    }
}
