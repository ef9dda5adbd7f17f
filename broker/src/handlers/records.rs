//! Moves the beginning of a partition forward.

use storage::{Log, StartError};
use wire::codes::ErrorCode;

use super::owner::at_owner;
use crate::catalog::Topic;
use crate::request::PartitionName;
use crate::session::{Action, Session};
use crate::shard::{Ask, Shard, Told};

/// Deletes the records below an offset, or all for -1. Resolves when that is durable, with where the log begins then.
pub(crate) async fn delete_records(
    shard: &Shard,
    session: &Session,
    partition: &PartitionName,
    offset: i64,
) -> Result<i64, ErrorCode> {
    // What a topic keeps for good is not deleted by hand either: above all the groups, of which the log is all there is.
    let deletes = shard.catalog().topic_by_id(&partition.topic_id).is_none_or(Topic::deletes);
    if !deletes {
        return Err(ErrorCode::PolicyViolation);
    }
    at_owner(
        shard,
        session,
        Action::Delete,
        partition,
        async |log| raise_start(log, offset).await,
        |uid| Ask::RaiseStart { uid, offset },
        |told| if let Told::Start(raised) = told { Some(raised) } else { None },
    )
    .await
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
