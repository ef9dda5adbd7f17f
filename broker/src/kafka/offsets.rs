//! ListOffsets: offsets by position and by time.

use wire::kafka::{
    EARLIEST_TIMESTAMP, ErrorCode, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest,
    ListOffsetsResponse, ListedPartition, ListedTopic, MAX_TIMESTAMP,
};

use super::errors::number;
use super::serve::Call;
use crate::handlers;
use crate::request::OffsetQuery;

/// As a timestamp: the first offset that is kept on this broker's own disk (KIP-405), which is all that is kept.
const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
/// As a timestamp: the last offset in tiered storage, of which there is none.
const LATEST_TIERED_TIMESTAMP: i64 = -5;

pub(super) async fn list(call: &Call<'_>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            partitions.push(find(call, topic.name.as_str(), partition).await);
        }
        topics.push(ListedTopic { name: topic.name, partitions });
    }
    ListOffsetsResponse { topics, ..Default::default() }
}

async fn find(call: &Call<'_>, topic: &str, request: &ListOffsetsPartition) -> ListedPartition {
    let partition_index = request.partition_index;
    let refused = |error_code| ListedPartition { partition_index, error_code, ..Default::default() };
    let (partition, leader_epoch) = match call.partition(topic, partition_index) {
        Ok(found) => found,
        Err(code) => return refused(code.number()),
    };
    if let Err(code) = check_epoch(request.current_leader_epoch, leader_epoch) {
        return refused(code.number());
    }
    let query = match request.timestamp {
        LATEST_TIMESTAMP => OffsetQuery::Latest,
        EARLIEST_TIMESTAMP | EARLIEST_LOCAL_TIMESTAMP => OffsetQuery::Earliest,
        MAX_TIMESTAMP => OffsetQuery::MaxTimestamp,
        LATEST_TIERED_TIMESTAMP => return ListedPartition { partition_index, ..Default::default() },
        time if time >= 0 => OffsetQuery::Time(time),
        _ => return refused(ErrorCode::InvalidRequest.number()),
    };
    match handlers::find_offset(call.shard(), call.session(), &partition, query).await {
        Ok(found) => ListedPartition {
            partition_index,
            timestamp: found.timestamp_ms,
            offset: found.offset,
            leader_epoch: if found.offset < 0 { -1 } else { leader_epoch },
            ..Default::default()
        },
        Err(code) => refused(number(code)),
    }
}

/// Whether the epoch that a client knows (-1: none) is the one that holds (KIP-320).
pub(super) fn check_epoch(known: i32, holds: i32) -> Result<(), ErrorCode> {
    match known {
        -1 => Ok(()),
        known if known < holds => Err(ErrorCode::FencedLeaderEpoch),
        known if known > holds => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_that_is_not_the_leaders_is_refused_by_the_side_it_is_on() {
        assert_eq!(check_epoch(-1, 7), Ok(()));
        assert_eq!(check_epoch(7, 7), Ok(()));
        assert_eq!(check_epoch(6, 7), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(check_epoch(8, 7), Err(ErrorCode::UnknownLeaderEpoch));
    }
}
