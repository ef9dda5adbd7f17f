//! The way to the shard that owns a partition.

use storage::{Log, PartitionUid};
use wire::codes::ErrorCode;

use crate::request::PartitionName;
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{Ask, Route, Shard, Told};

/// Does `here` to the partition's log where it is this shard's; else asks its owner, whose answer `told` knows.
pub(super) async fn at_owner<T>(
    shard: &Shard,
    session: &Session,
    action: Action,
    partition: &PartitionName,
    here: impl AsyncFnOnce(&Log) -> Result<T, ErrorCode>,
    ask: impl FnOnce(PartitionUid) -> Ask,
    told: impl FnOnce(Told) -> Option<Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    authorize(session, action, Resource::TopicId(&partition.topic_id))
        .map_err(|_| ErrorCode::NotAuthorized)?;
    let route = shard.routes().find(partition)?.clone();
    match route {
        Route::Local(log) => here(&log).await,
        Route::Remote { shard: to, uid } => {
            shard.metrics.forwarded_requests.add(1);
            match shard.lanes.ask(to, ask(uid)).await {
                Some(answer) => told(answer)
                    .unwrap_or_else(|| panic!("shard {to} answered for partition {uid} with something else")),
                None => Err(ErrorCode::NotServing),
            }
        }
    }
}
