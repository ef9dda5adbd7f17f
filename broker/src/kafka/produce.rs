//! Produce: one batch a partition, each to its log; one answer when all of them are kept or refused. Hot path.
//!
//! A batch is a part of the request's frame, uncopied. Its token names the request's place in the outbox and the batch's own
//! number within the request.

use std::rc::Rc;

use bytes::Bytes;
use runtime::clock::{self, Instant};
use storage::{AppendError, Appended};
use wire::batch::{BatchHeader, Compression};
use wire::codes::ErrorCode;
use wire::kafka::{
    self, ErrorCode as KafkaError, ProduceRequest, ProduceResponse, ProducedPartition, ProducedTopic,
    RecordError, encode_response,
};

use super::connection::Connection;
use super::errors::kafka_code;
use super::outbox::Answer;
use super::serve::Call;
use crate::connection::Life;
use crate::handlers;
use crate::request::{PartitionName, ProduceRequest as Append, append_code};
use crate::shard::AckError;

/// What a request under way takes for each of its partitions.
const PARTITION_BYTES: usize = size_of::<ProducedPartition>();
/// The first version that may carry zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// A request whose batches are under way.
pub(super) struct Produced {
    version: i16,
    correlation_id: i32,
    /// False: nobody wants to know.
    acknowledge: bool,
    received_at: Instant,
    /// The answer, as far as it is known.
    topics: Vec<ProducedTopic>,
    partitions: usize,
    /// Batches without an outcome.
    left: usize,
    failed: bool,
    bytes: usize,
    overhead: usize,
}

/// Why a batch is not kept, as its client is told.
struct Refusal {
    code: KafkaError,
    /// Nothing where the code says it all.
    message: Option<String>,
    /// What is wrong with single records, where it is they for which the batch is refused.
    records: Vec<RecordError>,
}

impl From<KafkaError> for Refusal {
    fn from(code: KafkaError) -> Self {
        Self { code, message: None, records: Vec::new() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { message: Some(code.to_string()), ..kafka_code(code).into() }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let records = match &error {
            AppendError::NoKey { records } => records.iter().map(|place| without_key(*place)).collect(),
            _ => Vec::new(),
        };
        let code = kafka_code(append_code(&error));
        Self { code, message: Some(error.to_string()), records }
    }
}

fn without_key(place: u32) -> RecordError {
    let message = Some("a record of a compacted topic needs a key".into());
    RecordError { batch_index: i32::try_from(place).unwrap_or(i32::MAX), message }
}

/// Begins a request. Outcomes come through the connection's queues; what is refused at once has its outcome already.
pub(super) async fn start(
    connection: &Rc<Connection>,
    call: &Call<'_>,
    request: ProduceRequest,
    overhead: usize,
    received_at: Instant,
) {
    let shard = connection.shard();
    shard.metrics.produce_requests.add(1);
    let refused = refusal_of_all(&request);
    let partitions: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
    let bytes = batch_bytes(&request);
    shard.metrics.produce_bytes.add(bytes as u64);
    let overhead = overhead + partitions * PARTITION_BYTES;
    connection.count_in_flight(bytes as isize, overhead as isize);
    let number = connection.outbox.borrow().next_number() as u32;
    connection.outbox.borrow_mut().push_produced(Produced {
        version: call.version,
        correlation_id: call.correlation_id,
        acknowledge: request.acks != 0,
        received_at,
        topics: request.topics.iter().map(unanswered).collect(),
        partitions,
        left: partitions,
        failed: false,
        bytes,
        overhead,
    });
    if partitions == 0 {
        settle(connection, number);
        return;
    }
    let mut token = u64::from(number) << 32;
    for topic in request.topics {
        let id = match call.version {
            ..=12 => shard.catalog().topic(topic.name.as_str()).map(|topic| topic.id),
            _ => Some(topic.topic_id).filter(|id| shard.catalog().topic_by_id(id).is_some()),
        };
        let unknown = match call.version {
            ..=12 => KafkaError::UnknownTopicOrPartition,
            _ => KafkaError::UnknownTopicId,
        };
        for partition in topic.partitions {
            let refused = refused.or(if id.is_none() { Some(unknown) } else { None });
            let batch = refused.map_or_else(|| one_batch(partition.records, call.version), Err);
            match (batch, id, u32::try_from(partition.index)) {
                (Ok(batch), Some(topic_id), Ok(index)) => {
                    let partition = PartitionName { topic_id, partition: index };
                    append(connection, call, Append { partition, batch }, token).await;
                }
                (Err(code), ..) => refuse(connection, token, code),
                _ => refuse(connection, token, KafkaError::UnknownTopicOrPartition),
            }
            token += 1;
        }
    }
}

/// Why nothing of the request is taken.
fn refusal_of_all(request: &ProduceRequest) -> Option<KafkaError> {
    if !(-1..=1).contains(&request.acks) {
        return Some(KafkaError::InvalidRequiredAcks);
    }
    // No such producer was given an id.
    request.transactional_id.as_ref().map(|_| KafkaError::InvalidTxnState)
}

fn batch_bytes(request: &ProduceRequest) -> usize {
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.filter_map(|partition| partition.records.as_ref()).map(Bytes::len).sum()
}

fn unanswered(topic: &kafka::ProduceTopic) -> ProducedTopic {
    let partition = |partition: &kafka::ProducePartition| ProducedPartition {
        index: partition.index,
        ..Default::default()
    };
    ProducedTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(partition).collect(),
    }
}

/// The partition's batch, in a codec that the request's version knows. That it is one, and whole, is checked where it is appended.
fn one_batch(records: Option<Bytes>, version: i16) -> Result<Bytes, KafkaError> {
    let batch = records.filter(|records| !records.is_empty()).ok_or(KafkaError::InvalidRecord)?;
    let is_zstd = |batch: &Bytes| {
        BatchHeader::parse(batch).and_then(|header| header.attributes.compression()) == Ok(Compression::Zstd)
    };
    if version < ZSTD_FROM && is_zstd(&batch) {
        return Err(KafkaError::UnsupportedCompressionType);
    }
    Ok(batch)
}

async fn append(connection: &Rc<Connection>, call: &Call<'_>, request: Append, token: u64) {
    let shard = connection.shard();
    match handlers::produce(shard, call.session(), request, &connection.acks, token) {
        Ok(None) => {}
        Ok(Some(forwarding)) => forwarding.send(shard, &connection.inbox, token).await,
        Err(code) => connection.inbox.push(token, Err(AckError::Refused(code))),
    }
}

fn refuse(connection: &Connection, token: u64, code: KafkaError) {
    connection.shard().metrics.produce_errors.add(1);
    take_outcome(connection, token, Err(code.into()));
}

/// Takes the outcomes that are there.
pub(super) fn take_outcomes(connection: &Connection) {
    let errors = &connection.shard().metrics.produce_errors;
    while let Some(ack) = connection.acks.pop() {
        let outcome = ack.result.map_err(Refusal::from);
        errors.add(u64::from(outcome.is_err()));
        take_outcome(connection, ack.token, outcome);
    }
    for (token, outcome) in connection.inbox.take() {
        let outcome = outcome.map_err(|error| match error {
            AckError::Refused(code) => Refusal::from(code),
            AckError::Append(error) => Refusal::from(error),
        });
        errors.add(u64::from(outcome.is_err()));
        take_outcome(connection, token, outcome);
    }
}

fn take_outcome(connection: &Connection, token: u64, outcome: Result<Appended, Refusal>) {
    let (number, mut at) = ((token >> 32) as u32, token as u32 as usize);
    let mut outbox = connection.outbox.borrow_mut();
    let produced = outbox.produced(number);
    for topic in &mut produced.topics {
        let Some(partition) = topic.partitions.get_mut(at) else {
            at -= topic.partitions.len();
            continue;
        };
        match outcome {
            Ok(appended) => {
                partition.base_offset = appended.base_offset;
                partition.log_append_time_ms = appended.log_append_time_ms;
                partition.log_start_offset = appended.log_start;
            }
            Err(Refusal { code, message, records }) => {
                partition.error_code = code.number();
                partition.base_offset = -1;
                (partition.error_message, partition.record_errors) = (message.map(Into::into), records);
                produced.failed = true;
            }
        }
        break;
    }
    produced.left -= 1;
    if produced.left == 0 {
        drop(outbox);
        settle(connection, number);
    }
}

/// All outcomes of a request are in.
fn settle(connection: &Connection, number: u32) {
    let mut outbox = connection.outbox.borrow_mut();
    let produced = outbox.produced(number);
    let now = clock::now();
    let count = produced.partitions as u64;
    connection.shard().metrics.received_to_durable.record_many(now.since(produced.received_at), count);
    connection.count_in_flight(-(produced.bytes as isize), -(produced.overhead as isize));
    if connection.life() == Life::Closed {
        outbox.settle(number, None);
    } else if !produced.acknowledge {
        // Nobody waits for an answer; Kafka lets such a client know of an error by closing the connection.
        if produced.failed {
            connection.drain();
        }
        outbox.settle(number, None);
    } else {
        let response = ProduceResponse { topics: std::mem::take(&mut produced.topics), ..Default::default() };
        let frame = encode_response::<kafka::Produce>(produced.version, produced.correlation_id, &response);
        let mut answer = Answer::of(frame);
        answer.produced = Some((count, now));
        connection.answer_waits(answer.bytes());
        outbox.settle(number, Some(answer));
    }
    drop(outbox);
    connection.writer.raise();
}
