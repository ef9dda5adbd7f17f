//! OffsetForLeaderEpoch, DescribeProducers and DescribeLogDirs: what single partitions hold.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use runtime::executor::ShardId;
use runtime::file;
use storage::{PartitionUid, ProducerStanding};
use wire::kafka::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest,
    DescribeProducersResponse, DescribedLogDir, DescribedLogDirPartition, DescribedLogDirTopic,
    DescribedProducersPartition, DescribedProducersTopic, ErrorCode, LeaderEpochEnd, LeaderEpochEndTopic,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, ProducerState,
};

use super::errors::number;
use super::offsets::check_epoch;
use super::serve::Call;
use crate::config::KafkaAdvertise;
use crate::handlers;

/// Producers of one answer at most, 4 MiB of them: every partition may know 4,096. What is over is refused, to be asked for by
/// itself.
const PRODUCERS_PER_ANSWER_MAX: usize = 100_000;

pub(super) async fn ends_of_epochs(
    call: &Call<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            partitions.push(end_of_epoch(call, topic.topic.as_str(), partition).await);
        }
        topics.push(LeaderEpochEndTopic { topic: topic.topic, partitions });
    }
    OffsetForLeaderEpochResponse { topics, ..Default::default() }
}

async fn end_of_epoch(call: &Call<'_>, topic: &str, request: &OffsetForLeaderPartition) -> LeaderEpochEnd {
    let partition = request.partition;
    let refused = |error_code| LeaderEpochEnd { partition, error_code, ..Default::default() };
    let (name, leader_epoch) = match call.partition(topic, partition) {
        Ok(found) => found,
        Err(code) => return refused(code.number()),
    };
    if let Err(code) = check_epoch(request.current_leader_epoch, leader_epoch) {
        return refused(code.number());
    }
    // Epochs are not below 0: -1 is nobody's, and nowhere did it end.
    if request.leader_epoch < 0 {
        return refused(0);
    }
    match handlers::end_of_epoch(call.shard(), call.session(), &name, request.leader_epoch).await {
        Ok(Some(found)) => LeaderEpochEnd {
            partition,
            leader_epoch: found.leader_epoch,
            end_offset: found.end_offset,
            ..Default::default()
        },
        Ok(None) => refused(0),
        Err(code) => refused(number(code)),
    }
}

pub(super) async fn describe_producers(
    call: &Call<'_>,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    // What one answer holds may be large.
    let _turn = call.shard().descriptions.acquire(1).await;
    let mut left = PRODUCERS_PER_ANSWER_MAX;
    let mut topics = Vec::with_capacity(request.topics.len());
    // Each is told once, however often it is asked for: a partition may know thousands of producers.
    let mut told = HashSet::new();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in &topic.partition_indexes {
            if told.insert((topic.name.as_str(), *index)) {
                partitions.push(producers(call, topic.name.as_str(), *index, &mut left).await);
            }
        }
        topics.push(DescribedProducersTopic { name: topic.name.clone(), partitions });
    }
    DescribeProducersResponse { topics, ..Default::default() }
}

async fn producers(
    call: &Call<'_>,
    topic: &str,
    partition_index: i32,
    left: &mut usize,
) -> DescribedProducersPartition {
    let refused =
        |error_code| DescribedProducersPartition { partition_index, error_code, ..Default::default() };
    let partition = match call.partition(topic, partition_index) {
        Ok((partition, _)) => partition,
        Err(code) => return refused(code.number()),
    };
    match handlers::describe_producers(call.shard(), call.session(), &partition).await {
        Ok(found) if found.len() > *left => DescribedProducersPartition {
            error_message: Some("too many producers for one answer: ask for fewer partitions".into()),
            ..refused(ErrorCode::ThrottlingQuotaExceeded.number())
        },
        Ok(found) => {
            *left -= found.len();
            let active_producers = found.iter().map(told_producer).collect();
            DescribedProducersPartition { partition_index, active_producers, ..Default::default() }
        }
        Err(code) => refused(number(code)),
    }
}

/// There are no transactions: no coordinator, and none begun.
fn told_producer(producer: &ProducerStanding) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch.into(),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp_ms,
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    }
}

/// A partition of a log dir: its topic, its number, where it lives.
struct Kept {
    topic: String,
    index: i32,
    shard: ShardId,
    uid: PartitionUid,
}

/// One dir: the data folder, with the partitions of the broker that is asked. Where each core is one a client asks them all.
pub(super) async fn describe_log_dirs(
    call: &Call<'_>,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let shard = call.shard();
    // What one answer holds may be large.
    let _turn = shard.descriptions.acquire(1).await;
    let kept = kept_partitions(call, request.topics.as_deref());
    let wanted = kept.iter().map(|kept| (kept.shard, kept.uid));
    let standing = match handlers::describe_partitions(shard, call.session(), wanted).await {
        Ok(standing) => standing,
        Err(refusal) => {
            return DescribeLogDirsResponse { error_code: number(refusal.code), ..Default::default() };
        }
    };
    let mut topics: BTreeMap<&str, Vec<DescribedLogDirPartition>> = BTreeMap::new();
    for Kept { topic, index, uid, .. } in &kept {
        let Some(standing) = standing.get(uid) else { continue };
        topics.entry(topic).or_default().push(DescribedLogDirPartition {
            partition_index: *index,
            partition_size: i64::try_from(standing.bytes).unwrap_or(i64::MAX),
            ..Default::default()
        });
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| DescribedLogDirTopic { name: name.into(), partitions })
        .collect();
    let (total_bytes, usable_bytes) = match file::space_of(&shard.config.data).await {
        Ok(space) => (as_told(space.total_bytes), as_told(space.free_bytes)),
        Err(_) => (-1, -1),
    };
    let log_dir = shard.config.data.to_string_lossy().as_ref().into();
    let results = vec![DescribedLogDir { error_code: 0, log_dir, topics, total_bytes, usable_bytes }];
    DescribeLogDirsResponse { results, ..Default::default() }
}

fn as_told(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Those asked for (without a list: all) that this broker has, each once. What there is not is left out, as in Kafka.
fn kept_partitions(call: &Call<'_>, asked: Option<&[DescribableLogDirTopic]>) -> Vec<Kept> {
    let shard = call.shard();
    let catalog = shard.catalog();
    let wanted: Option<BTreeSet<(&str, i32)>> = asked.map(|topics| {
        topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.as_str(), *index)))
            .collect()
    });
    let is_here = |at: ShardId| match shard.config.kafka_advertise {
        KafkaAdvertise::Shards => at == shard.id,
        KafkaAdvertise::Node => true,
    };
    let mut kept = Vec::new();
    for topic in catalog.topics() {
        for (index, partition) in (0..).zip(&topic.partitions) {
            let is_wanted =
                wanted.as_ref().is_none_or(|wanted| wanted.contains(&(topic.name.as_str(), index)));
            if is_wanted && is_here(partition.shard) {
                let (shard, uid) = (partition.shard, partition.uid);
                kept.push(Kept { topic: topic.name.clone(), index, shard, uid });
            }
        }
    }
    kept
}
