//! Moves the beginning of a partition forward.

use storage::{Log, StartError};
use wire::codes::ErrorCode;

use crate::request::PartitionName;
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{Ask, Route, Shard, Told};

/// Deletes the records below an offset, or all for -1. Resolves when that is durable, with where the log begins then.
pub(crate) async fn delete_records(
    shard: &Shard,
    session: &Session,
    partition: &PartitionName,
    offset: i64,
) -> Result<i64, ErrorCode> {
    authorize(session, Action::Delete, Resource::TopicId(&partition.topic_id))
        .map_err(|_| ErrorCode::NotAuthorized)?;
    let route = shard.routes().find(partition)?.clone();
    match route {
        Route::Local(log) => raise_start(&log, offset).await,
        Route::Remote { shard: to, uid } => {
            shard.metrics.forwarded_requests.add(1);
            match shard.lanes.ask(to, Ask::RaiseStart { uid, offset }).await {
                Some(Told::Start(raised)) => raised,
                Some(_) => panic!("shard {to} answered a deletion of records with something else"),
                None => Err(ErrorCode::NotServing),
            }
        }
    }
}

/// [`delete_records`] in a log of this shard.
pub(super) async fn raise_start(log: &Log, offset: i64) -> Result<i64, ErrorCode> {
    log.raise_start(offset).await.map_err(|error| match error {
        StartError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        StartError::Unavailable { .. } => ErrorCode::StorageFailed,
        StartError::Removed => ErrorCode::TopicDeleted,
        StartError::Stopping => ErrorCode::NotServing,
    })
}
