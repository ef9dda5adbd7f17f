//! Finds an offset by position or time.

use storage::Log;
use wire::codes::ErrorCode;

use super::owner::at_owner;
use crate::request::{FoundOffset, OffsetQuery, PartitionName, read_code};
use crate::session::{Action, Session};
use crate::shard::{Ask, Shard, Told};

/// The offset asked for; -1 where no record matches.
pub(crate) async fn find_offset(
    shard: &Shard,
    session: &Session,
    partition: &PartitionName,
    query: OffsetQuery,
) -> Result<FoundOffset, ErrorCode> {
    at_owner(
        shard,
        session,
        Action::Read,
        partition,
        async |log| find_in_log(log, query).await,
        |uid| Ask::FindOffset { uid, query },
        |told| if let Told::Offset(found) = told { Some(found) } else { None },
    )
    .await
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
