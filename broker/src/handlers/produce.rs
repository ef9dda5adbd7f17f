//! Appends one batch. Hot path.

use std::rc::Rc;

use runtime::executor::ShardId;
use storage::AckQueue;
use wire::batch;
use wire::codes::ErrorCode;

use crate::request::ProduceRequest;
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{AckInbox, Ask, Route, Shard};

/// A batch whose partition lives elsewhere and cannot be forwarded at once: it is, after a wait for the bytes under way.
pub(crate) struct Forwarding {
    to: ShardId,
    ask: Ask,
    bytes: usize,
}

/// Hands the batch to its log; the outcome comes with `token` through `acks` (or `inbox`, where another shard has the
/// partition). An error is the outcome, and nothing else comes.
#[inline]
pub(crate) fn produce(
    shard: &Shard,
    session: &Session,
    request: ProduceRequest,
    acks: &AckQueue,
    token: u64,
) -> Result<Option<Forwarding>, ErrorCode> {
    let ProduceRequest { partition, batch } = request;
    authorize(session, Action::Write, Resource::TopicId(&partition.topic_id))
        .map_err(|_| ErrorCode::NotAuthorized)?;
    let routes = shard.routes();
    if routes.is_internal(&partition.topic_id) {
        return Err(ErrorCode::InvalidTopicName);
    }
    let route = routes.find(&partition)?;
    if batch.len() > shard.config.topic_batch_bytes_max() {
        return Err(ErrorCode::BatchTooLarge);
    }
    let header = batch::validate(&batch).map_err(|error| {
        tracing::trace!(%error, "a batch was refused");
        error.code()
    })?;
    match route {
        Route::Local(log) => {
            log.append(batch, header, acks, token);
            Ok(None)
        }
        Route::Remote { shard: to, uid } => {
            let bytes = batch.len();
            Ok(Some(Forwarding { to: *to, ask: Ask::Produce { uid: *uid, batch, header }, bytes }))
        }
    }
}

impl Forwarding {
    /// Sends the batch on, waiting while too much is under way. Batches forwarded one after the other stay in order.
    pub(crate) async fn send(self, shard: &Shard, inbox: &Rc<AckInbox>, token: u64) {
        shard.metrics.forwarded_requests.add(1);
        let held = shard.lanes.forwarded.reserve(self.bytes).await;
        shard.lanes.forward_produce(self.to, self.ask, held, inbox, token);
    }
}
