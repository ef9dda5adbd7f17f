//! FindCoordinator: each shard is the broker that keeps some of the groups.

use wire::kafka::{Coordinator, ErrorCode, FindCoordinatorRequest, FindCoordinatorResponse, Text};

use super::errors::kafka_code;
use super::metadata::{broker_id, brokers};
use super::serve::Call;
use crate::handlers;
use crate::session::Session;

/// The kinds of key, by Kafka's numbers.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From this version on many keys are asked for at once.
const MANY_KEYS_FROM: i16 = 4;

pub(super) async fn find(call: &Call<'_>, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    if call.version >= MANY_KEYS_FROM {
        let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
        for key in request.coordinator_keys {
            coordinators.push(find_one(call, request.key_type, key).await);
        }
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let found = find_one(call, request.key_type, request.key).await;
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

async fn find_one(call: &Call<'_>, key_type: i8, key: Text) -> Coordinator {
    let shard = match coordinator_of(call, key_type, key.as_str()).await {
        Ok(shard) => shard,
        Err((code, message)) => {
            return Coordinator {
                key,
                node_id: -1,
                port: -1,
                error_code: code.number(),
                error_message: Some(message.into()),
                ..Default::default()
            };
        }
    };
    let node_id = broker_id(call.shard(), shard);
    let broker = brokers(call).into_iter().find(|broker| broker.node_id == node_id);
    let broker = broker.expect("every shard is one of the brokers");
    Coordinator { key, node_id, host: broker.host, port: broker.port, ..Default::default() }
}

/// librdkafka asks again for ever after any error but one that says it may not (`rdkafka_txnmgr.c`). It tells its own name, or is
/// told of beside a binding's version: `2.12.1-rdkafka-2.12.1`.
fn no_transactions(session: &Session) -> ErrorCode {
    let is_librdkafka =
        [&session.software, &session.software_version].iter().any(|told| told.contains("rdkafka"));
    match is_librdkafka {
        true => ErrorCode::TransactionalIdAuthorizationFailed,
        false => ErrorCode::UnsupportedVersion,
    }
}

async fn coordinator_of(call: &Call<'_>, key_type: i8, key: &str) -> Result<u16, (ErrorCode, String)> {
    match key_type {
        GROUP => {
            let found = handlers::coordinator_of(call.shard(), call.session(), key).await;
            found.map(|shard| shard.0).map_err(|refusal| match kafka_code(refusal.code) {
                code if code.is_retriable() => (ErrorCode::CoordinatorNotAvailable, refusal.message),
                code => (code, refusal.message),
            })
        }
        TRANSACTION => Err((no_transactions(call.session()), "transactions are not supported".to_owned())),
        other => Err((ErrorCode::InvalidRequest, format!("there are no coordinators of kind {other}"))),
    }
}
