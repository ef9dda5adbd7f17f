//! DeleteRecords: the beginning of partitions moves forward.

use std::time::Duration;

use runtime::clock;
use wire::kafka::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeletedRecordsPartition,
    DeletedRecordsTopic, ErrorCode,
};

use super::errors::number;
use super::serve::Call;
use crate::handlers;

/// What stands in the place of an offset where there is none to tell.
const NO_OFFSET: i64 = -1;

pub(super) async fn delete(call: &Call<'_>, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let until = clock::now() + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let deleting = delete_from(call, topic.name.as_str(), partition);
            let left = until.since(clock::now());
            // What is not done in time goes on all the same, as in Kafka.
            let (low_watermark, error_code) = match clock::timeout(left, deleting).await {
                Ok(Ok(start)) => (start, ErrorCode::None.number()),
                Ok(Err(code)) => (NO_OFFSET, code),
                Err(_) => (NO_OFFSET, ErrorCode::RequestTimedOut.number()),
            };
            let partition_index = partition.partition_index;
            partitions.push(DeletedRecordsPartition { partition_index, low_watermark, error_code });
        }
        topics.push(DeletedRecordsTopic { name: topic.name, partitions });
    }
    DeleteRecordsResponse { topics, ..Default::default() }
}

async fn delete_from(call: &Call<'_>, topic: &str, request: &DeleteRecordsPartition) -> Result<i64, i16> {
    let (partition, _) = call.partition(topic, request.partition_index).map_err(ErrorCode::number)?;
    let deleted = handlers::delete_records(call.shard(), call.session(), &partition, request.offset).await;
    deleted.map_err(number)
}
