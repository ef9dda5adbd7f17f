//! Finds an offset by position or time.

use storage::Log;
use wire::codes::ErrorCode;

use crate::request::{FoundOffset, OffsetQuery, PartitionName, read_code};
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{Ask, Route, Shard, Told};

/// The offset asked for; -1 where no record matches.
pub(crate) async fn find_offset(
    shard: &Shard,
    session: &Session,
    partition: &PartitionName,
    query: OffsetQuery,
) -> Result<FoundOffset, ErrorCode> {
    authorize(session, Action::Read, Resource::TopicId(&partition.topic_id))
        .map_err(|_| ErrorCode::NotAuthorized)?;
    let route = shard.routes().find(partition)?.clone();
    match route {
        Route::Local(log) => find_in_log(&log, query).await,
        Route::Remote { shard: to, uid } => {
            shard.metrics.forwarded_requests.add(1);
            match shard.lanes.ask(to, Ask::FindOffset { uid, query }).await {
                Some(Told::Offset(found)) => found,
                Some(_) => panic!("shard {to} answered a search with something else"),
                None => Err(ErrorCode::NotServing),
            }
        }
    }
}

/// [`find_offset`] in a log of this shard.
pub(super) async fn find_in_log(log: &Log, query: OffsetQuery) -> Result<FoundOffset, ErrorCode> {
    let offsets = log.offsets();
    let found = match query {
        OffsetQuery::Earliest => Ok(Some((offsets.log_start, -1))),
        OffsetQuery::Latest => Ok(Some((offsets.high_watermark, -1))),
        OffsetQuery::MaxTimestamp => log.offset_of_max_timestamp().await,
        OffsetQuery::Time(timestamp_ms) => log.offset_at_time(timestamp_ms).await,
    };
    let (offset, timestamp_ms) = found.map_err(|error| read_code(&error))?.unwrap_or((-1, -1));
    Ok(FoundOffset { offset, timestamp_ms })
}
