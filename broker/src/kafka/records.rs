//! DeleteRecords: the beginning of partitions moves forward. The request's time-out is for followers, of which there are
//! none: what a partition's own broker does is waited for, as in Kafka.

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
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let (low_watermark, error_code) = match delete_from(call, topic.name.as_str(), partition).await {
                Ok(start) => (start, ErrorCode::None.number()),
                Err(code) => (NO_OFFSET, code),
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
