//! Requests that are not produced batches: decoded here, run as tasks, answered when they are done.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;
use runtime::clock;
use runtime::sync::Permit;
use wire::codes::ErrorCode;
use wire::frame::MessageKind;
use wire::native::{
    AlterTopic, AlterTopicReply, BodyError, CommitOffsets, CommittedOffsets, CreateTopic, CreateTopicReply,
    DeleteGroup, DeleteTopic, DeleteTopicReply, DescribeGroup, DescribeNode, DescribeNodeReply,
    DescribeTopic, DescribeTopicReply, Fetch, FetchReply, GroupHeartbeat, InitProducer, InitProducerReply,
    ListGroups, ListOffsets, ListOffsetsReply, Message, Metadata, PartitionState, Setting, Subscribe,
};

use super::connection::Connection;
use super::frames::Frame;
use super::serve::refuse;
use super::{groups, metadata, subscription};
use crate::catalog::{SETTINGS, Topic};
use crate::connection::Life;
use crate::handlers::{self, TopicDescription};
use crate::limits;
use crate::request::{FetchRequest, Fetched, FoundOffset, OffsetQuery, PartitionName, Refusal};
use crate::session::Session;
use crate::shard::Reservation;

/// Acts on a frame of the control path, or of the reading half of the data path.
pub(super) fn start(connection: &Rc<Connection>, frame: &Frame) -> Result<(), BodyError> {
    let (id, body) = (frame.header.correlation_id, &frame.body);
    connection.shard().metrics.control_requests.add(1);
    match frame.header.kind {
        MessageKind::Metadata => metadata::answer(connection, id, &Metadata::decode(body)?),
        MessageKind::Fetch => run(connection, id, fetch(connection.clone(), id, Fetch::decode(body)?)),
        MessageKind::Subscribe => subscription::subscribe(connection, id, &Subscribe::decode(body)?),
        MessageKind::ListOffsets => {
            run(connection, id, list_offsets(connection.clone(), id, ListOffsets::decode(body)?));
        }
        MessageKind::CreateTopic => {
            run(connection, id, create_topic(connection.clone(), id, CreateTopic::decode(body)?));
        }
        MessageKind::DeleteTopic => {
            run(connection, id, delete_topic(connection.clone(), id, DeleteTopic::decode(body)?));
        }
        MessageKind::AlterTopic => {
            run(connection, id, alter_topic(connection.clone(), id, AlterTopic::decode(body)?));
        }
        MessageKind::DescribeTopic => {
            run(connection, id, describe_topic(connection.clone(), id, DescribeTopic::decode(body)?));
        }
        MessageKind::DescribeNode => {
            DescribeNode::decode(body)?;
            run(connection, id, describe_node(connection.clone(), id));
        }
        MessageKind::InitProducer => {
            run(connection, id, init_producer(connection.clone(), id, InitProducer::decode(body)?));
        }
        MessageKind::GroupHeartbeat => {
            run(connection, id, groups::heartbeat(connection.clone(), id, GroupHeartbeat::decode(body)?));
        }
        MessageKind::CommitOffsets => {
            run(connection, id, groups::commit(connection.clone(), id, CommitOffsets::decode(body)?));
        }
        MessageKind::CommittedOffsets => {
            run(connection, id, groups::committed(connection.clone(), id, CommittedOffsets::decode(body)?));
        }
        MessageKind::ListGroups => {
            ListGroups::decode(body)?;
            run(connection, id, groups::list(connection.clone(), id));
        }
        MessageKind::DescribeGroup => {
            run(connection, id, groups::describe(connection.clone(), id, DescribeGroup::decode(body)?));
        }
        MessageKind::DeleteGroup => {
            run(connection, id, groups::delete(connection.clone(), id, DeleteGroup::decode(body)?));
        }
        kind => {
            let message = format!("{kind:?} is nothing a client asks of this broker");
            refuse(connection, id, ErrorCode::InvalidRequest, message);
        }
    }
    Ok(())
}

/// Runs a request as a task; refuses it where the connection has too many.
fn run(connection: &Rc<Connection>, correlation_id: u64, request: impl Future<Output = ()> + 'static) {
    if connection.tasks.get() >= limits::TASKS_PER_CONNECTION_MAX {
        let message = format!("{} requests wait already", connection.tasks.get());
        refuse(connection, correlation_id, ErrorCode::LimitReached, message);
        return;
    }
    let waiting = Waiting::new(connection, size_of_val(&request));
    let task = connection.shard().requests.spawn(async move {
        let _waiting = waiting;
        request.await;
    });
    if task.is_err() {
        refuse(connection, correlation_id, ErrorCode::NotServing, "the broker stops".to_owned());
    }
}

/// A request that runs as a task, counted until dropped.
struct Waiting {
    connection: Rc<Connection>,
    _bytes: Reservation,
}

impl Waiting {
    /// The task of a request of so many bytes has room for it as it is captured and as it is awaited. Another shard may have one
    /// like it to answer this one.
    fn new(connection: &Rc<Connection>, future_bytes: usize) -> Self {
        let bytes = connection.shard().request_budget.overdraw(4 * future_bytes + limits::TASK_BYTES);
        connection.tasks.set(connection.tasks.get() + 1);
        Self { connection: connection.clone(), _bytes: bytes }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.connection.tasks.set(self.connection.tasks.get() - 1);
        self.connection.writer.raise();
        self.connection.reader.raise();
    }
}

/// Who it is; nothing is served before that is known.
pub(super) fn session(connection: &Connection) -> Rc<Session> {
    connection.session.get().expect("nothing is served before Hello").clone()
}

async fn fetch(connection: Rc<Connection>, id: u64, request: Fetch) {
    let shard = connection.shard();
    shard.metrics.fetch_requests.add(1);
    let wait = Duration::from_millis(request.wait_ms_max.into()).min(limits::FETCH_WAIT_MAX);
    let mut request = FetchRequest {
        partition: PartitionName { topic_id: request.topic_id, partition: request.partition },
        offset: request.offset,
        bytes_max: (request.bytes_max as usize).min(limits::FETCH_BYTES_MAX),
        bytes_min: request.bytes_min as usize,
        wait,
    };
    // Waits for data without holding memory for it; another shard's partition waits there.
    let session = session(&connection);
    let deadline = clock::now() + wait;
    if let Ok(reader) = handlers::PartitionReader::open(shard, &session, &request.partition, request.offset)
        && request.bytes_min > 0
    {
        let readable = async {
            future::or(reader.readable(shard), clock::sleep_until(deadline)).await;
        };
        future::or(readable, connection.ended()).await;
    }
    let (mut held, bytes_max) = connection.reserve_outgoing(request.bytes_max).await;
    if connection.life() == Life::Closed {
        // Nobody to answer. The hundreds that waited for this one's memory would all start to read at once.
        return;
    }
    request.bytes_max = bytes_max;
    request.wait = deadline.since(clock::now());
    let stopped = async {
        connection.ended().await;
        Fetched::refused(ErrorCode::NotServing)
    };
    // Boxed: requests that wait for data or for memory have no room for a read yet.
    let fetched = future::or(Box::pin(handlers::fetch(shard, &session, &request)), stopped).await;
    let Fetched { code, offsets, run, .. } = fetched;
    held.settle(run.len());
    shard.metrics.fetch_bytes.add(run.len() as u64);
    let reply = FetchReply {
        code,
        high_watermark: offsets.high_watermark,
        log_start_offset: offsets.log_start,
        log_end_offset: offsets.log_end,
    };
    connection.send_batches(id, &reply, run, held);
}

async fn list_offsets(connection: Rc<Connection>, id: u64, request: ListOffsets) {
    let partition = PartitionName { topic_id: request.topic_id, partition: request.partition };
    let query = match request.at {
        wire::native::OffsetQuery::Earliest => OffsetQuery::Earliest,
        wire::native::OffsetQuery::Latest => OffsetQuery::Latest,
        wire::native::OffsetQuery::MaxTimestamp => OffsetQuery::MaxTimestamp,
        wire::native::OffsetQuery::Time(time_ms) => OffsetQuery::Time(time_ms),
    };
    let found = handlers::find_offset(connection.shard(), &session(&connection), &partition, query).await;
    let reply = match found {
        Ok(FoundOffset { offset, timestamp_ms }) => {
            ListOffsetsReply { code: ErrorCode::None, offset, timestamp_ms }
        }
        Err(code) => ListOffsetsReply { code, offset: -1, timestamp_ms: -1 },
    };
    connection.answer(id, &reply);
}

async fn create_topic(connection: Rc<Connection>, id: u64, request: CreateTopic) {
    let CreateTopic { name, partitions, settings, validate_only } = request;
    let session = session(&connection);
    let created =
        handlers::create_topic(connection.shard(), &session, name, partitions, settings, validate_only).await;
    let (topic_id, (code, message)) = match created {
        Ok(topic_id) => (topic_id, (ErrorCode::None, String::new())),
        Err(refusal) => (uuid::Uuid::nil(), (refusal.code, refusal.message)),
    };
    connection.answer(id, &CreateTopicReply { code, message, topic_id });
}

async fn delete_topic(connection: Rc<Connection>, id: u64, request: DeleteTopic) {
    let deleted = handlers::delete_topic(connection.shard(), &session(&connection), request.name).await;
    let (code, message) = outcome(deleted);
    connection.answer(id, &DeleteTopicReply { code, message });
}

async fn alter_topic(connection: Rc<Connection>, id: u64, request: AlterTopic) {
    let AlterTopic { name, partitions, settings } = request;
    let session = session(&connection);
    let altered = handlers::alter_topic(connection.shard(), &session, name, partitions, settings).await;
    let (code, message) = outcome(altered);
    connection.answer(id, &AlterTopicReply { code, message });
}

/// Descriptions may be large and are asked for by the thousand: each is made when the peer has taken those before it, and
/// a few at a time.
async fn turn_to_describe(connection: &Connection) -> Permit {
    loop {
        connection.room_to_answer().await;
        let turn = connection.shard().descriptions.acquire(1).await;
        if connection.may_answer() || connection.life() != Life::Open {
            return turn;
        }
    }
}

async fn describe_topic(connection: Rc<Connection>, id: u64, request: DescribeTopic) {
    let _turn = turn_to_describe(&connection).await;
    let described = handlers::describe_topic(connection.shard(), &session(&connection), &request.name).await;
    let reply = match described {
        Ok(description) => described_topic(&description),
        Err(Refusal { code, message }) => DescribeTopicReply { code, message, ..Default::default() },
    };
    connection.answer(id, &reply);
}

fn described_topic(description: &TopicDescription) -> DescribeTopicReply {
    let TopicDescription { topic, partitions } = description;
    let states = topic.partitions.iter().zip(partitions).zip(0..);
    let partitions = states
        .map(|((placed, standing), partition)| PartitionState {
            partition,
            shard: placed.shard.0,
            leader_epoch: standing.leader_epoch,
            log_start_offset: standing.offsets.log_start,
            high_watermark: standing.offsets.high_watermark,
            log_end_offset: standing.offsets.log_end,
            segment_count: standing.segment_count,
            bytes: standing.bytes,
        })
        .collect();
    DescribeTopicReply {
        code: ErrorCode::None,
        message: String::new(),
        id: topic.id,
        settings: settings_of(topic),
        partitions,
    }
}

fn settings_of(topic: &Topic) -> Vec<Setting> {
    let setting = |rule: &crate::catalog::SettingRule| Setting {
        name: rule.name.to_owned(),
        value: topic.setting(rule).to_owned(),
        is_default: !topic.settings.contains_key(rule.name),
        acts: rule.acts,
    };
    SETTINGS.iter().map(setting).collect()
}

async fn describe_node(connection: Rc<Connection>, id: u64) {
    let _turn = turn_to_describe(&connection).await;
    let reply = match handlers::describe_node(connection.shard(), &session(&connection)).await {
        Ok(json) => {
            DescribeNodeReply { code: ErrorCode::None, message: String::new(), json: json.to_string() }
        }
        Err(Refusal { code, message }) => DescribeNodeReply { code, message, json: String::new() },
    };
    connection.answer(id, &reply);
}

async fn init_producer(connection: Rc<Connection>, id: u64, request: InitProducer) {
    let session = session(&connection);
    let given = handlers::init_producer(connection.shard(), &session, &request.transactional_id).await;
    let reply = match given {
        Ok(producer_id) => InitProducerReply { code: ErrorCode::None, producer_id, producer_epoch: 0 },
        Err(refusal) => InitProducerReply { code: refusal.code, producer_id: -1, producer_epoch: -1 },
    };
    connection.answer(id, &reply);
}

fn outcome(done: Result<(), Refusal>) -> (ErrorCode, String) {
    match done {
        Ok(()) => (ErrorCode::None, String::new()),
        Err(Refusal { code, message }) => (code, message),
    }
}
