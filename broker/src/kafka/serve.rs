//! A connection's reader: requests in their order, each handled to its end before the next; produce requests only begun.

use std::rc::Rc;

use futures_lite::future;
use runtime::clock::{self, Instant};
use runtime::task;
use wire::kafka::{
    self, Api, ApiKey, ErrorCode, Reader, RequestHeader, Text, decode_request, encode_response,
};

use super::connection::Connection;
use super::frames::{self, Ended, Frame};
use super::outbox::Answer;
use super::{
    KafkaService, api_versions, cluster, committed, configs, consumer_groups, coordinator, elements_max,
    fetch, groups, membership, metadata, offsets, partitions, produce, producer_ids, records, send, topics,
};
use crate::connection::{ConnectionEnds, Life, Link, Receiver};
use crate::request::PartitionName;
use crate::session::{Principal, Session, shortened};
use crate::shard::{Reservation, Shard};

/// Requests between two looks at whether others wait for the executor.
const REQUESTS_PER_TURN: u32 = 64;

/// One request that is being handled.
pub(super) struct Call<'a> {
    pub(super) connection: &'a Rc<Connection>,
    session: Rc<Session>,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
}

impl Call<'_> {
    pub(super) fn shard(&self) -> &Rc<Shard> {
        self.connection.shard()
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// A partition by its topic's name, and its leader epoch.
    pub(super) fn partition(&self, topic: &str, index: i32) -> Result<(PartitionName, i32), ErrorCode> {
        let catalog = self.shard().catalog();
        let topic = catalog.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let number = u32::try_from(index).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
        let found = topic.partitions.get(number as usize).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok((PartitionName { topic_id: topic.id, partition: number }, found.leader_epoch))
    }
}

/// Serves one connection until it ends.
pub(crate) async fn serve_connection(service: Rc<KafkaService>, ends: ConnectionEnds) {
    let shard = service.connections.shard();
    let link = Link::new(shard.clone(), &ends);
    let ConnectionEnds { read, write, received, peer, .. } = ends;
    let connection = &Connection::new(link);
    let _registered = service.connections.add(connection.clone());
    let Ok(writer) = shard.requests.spawn(send::run(connection.clone(), write)) else {
        return;
    };
    let mut receiver = Receiver::new(read, received);
    let refused = match serve(connection, &mut receiver).await {
        Ended::Over => None,
        Ended::NoMemory => Some("the broker has no memory to receive this".to_owned()),
        Ended::Refused(reason) => Some(reason),
    };
    if let Some(reason) = refused {
        // The protocol has no answer for it; the log alone can tell.
        shard.metrics.connections_closed_for_errors.add(1);
        if let Some(left_out) = shard.said.kafka_refused.due() {
            tracing::warn!(%peer, reason, left_out, "Kafka connection closed");
        }
    }
    connection.drain();
    if connection.life() != Life::Closed {
        receiver.linger().await;
    }
    writer.await;
    // Of these nobody will hear any more.
    let (bytes, overhead) = (connection.in_flight_bytes.get(), connection.overhead_bytes.get());
    connection.count_in_flight(-(bytes as isize), -(overhead as isize));
}

async fn serve(connection: &Rc<Connection>, receiver: &mut Receiver) -> Ended {
    loop {
        let received_at = clock::now();
        match serve_received(connection, receiver, received_at).await {
            Ok(0) => {}
            Ok(produced) => {
                let metrics = &connection.shard().metrics;
                metrics.received_to_appended.record_many(received_at.elapsed(), produced);
            }
            Err(ended) => return ended,
        }
        if let Err(ended) = receiver.receive(connection).await {
            return ended.into();
        }
    }
}

/// Serves the requests that are here; how many were produced batches.
async fn serve_received(
    connection: &Rc<Connection>,
    receiver: &mut Receiver,
    received_at: Instant,
) -> Result<u64, Ended> {
    let (mut produced, mut requests) = (0, 0_u32);
    loop {
        if !connection.may_serve() {
            wait_to_serve(connection).await?;
        }
        let Some(frame) = frames::next(connection, receiver).await? else { return Ok(produced) };
        connection.is_handling.set(true);
        let handled = handle(connection, frame, received_at).await;
        connection.is_handling.set(false);
        // A writer that drains may wait for just this.
        connection.writer.raise();
        produced += handled?;
        requests += 1;
        if requests.is_multiple_of(REQUESTS_PER_TURN) {
            task::yield_if_needed().await;
        }
    }
}

async fn wait_to_serve(connection: &Connection) -> Result<(), Ended> {
    connection.shard().metrics.stalls_for_connection.add(1);
    while !connection.may_serve() {
        if connection.life() != Life::Open {
            return Err(Ended::Over);
        }
        // The writer raises it whenever it has sent something.
        connection.reader.wait().await;
    }
    Ok(())
}

/// One request, to its end; a produce request to where all its batches are with their logs. How many batches there were.
async fn handle(connection: &Rc<Connection>, frame: Frame, received_at: Instant) -> Result<u64, Ended> {
    let Frame { bytes, overhead, held } = frame;
    let mut from = Reader::with_elements_max(bytes, elements_max(&connection.shard().config));
    let header = RequestHeader::read(&mut from).map_err(refused)?;
    let known = ApiKey::from_number(header.key).filter(|key| api_versions::is_served(*key, header.version));
    let Some(key) = known else {
        if header.key == ApiKey::ApiVersions.number() {
            let frame = api_versions::unknown_version(header.correlation_id);
            connection.answer(Answer::of(frame));
            return Ok(0);
        }
        let (key, version) = (header.key, header.version);
        return Err(Ended::Refused(format!("API {key} in version {version} is not served")));
    };
    if key == ApiKey::Produce {
        if !connection.shard().store.has_room() {
            connection.wait_for_storage().await?;
        }
        // From here on the storage counts it.
        drop(held);
        let request = decode_request::<kafka::Produce>(&mut from, header.version).map_err(refused)?;
        let session = session(connection, header.client_id.as_ref(), None);
        let (version, correlation_id) = (header.version, header.correlation_id);
        let call = Call { connection, session, version, correlation_id };
        let batches = request.topics.iter().map(|topic| topic.partitions.len() as u64).sum();
        produce::start(connection, &call, request, overhead, received_at).await;
        return Ok(batches);
    }
    connection.shard().metrics.control_requests.add(1);
    // Boxed: a connection that produces, or is idle, has no room for what the others need.
    let answer = Box::pin(answer(connection, key, header, from, held)).await?;
    connection.answer(answer);
    Ok(0)
}

fn refused(error: kafka::DecodeError) -> Ended {
    Ended::Refused(error.to_string())
}

async fn answer(
    connection: &Rc<Connection>,
    key: ApiKey,
    header: RequestHeader,
    mut from: Reader,
    held: Option<Reservation>,
) -> Result<Answer, Ended> {
    let RequestHeader { version, correlation_id, client_id, .. } = header;
    if key == ApiKey::ApiVersions {
        let request = decode_request::<kafka::ApiVersions>(&mut from, version).map_err(refused)?;
        let session = session(connection, client_id.as_ref(), Some(&request));
        let call = Call { connection, session, version, correlation_id };
        let response = api_versions::answer(&request, version);
        return Ok(encoded::<kafka::ApiVersions>(&call, &response));
    }
    let session = session(connection, client_id.as_ref(), None);
    let call = &Call { connection, session, version, correlation_id };
    match key {
        ApiKey::Fetch => {
            let request = decode_request::<kafka::Fetch>(&mut from, version).map_err(refused)?;
            drop(from);
            Ok(fetch::fetch(connection, call, request, held).await)
        }
        ApiKey::ListOffsets => reply::<kafka::ListOffsets>(call, from, offsets::list).await,
        ApiKey::Metadata => reply::<kafka::Metadata>(call, from, metadata::answer).await,
        ApiKey::CreateTopics => reply::<kafka::CreateTopics>(call, from, topics::create).await,
        ApiKey::DeleteTopics => reply::<kafka::DeleteTopics>(call, from, topics::delete).await,
        ApiKey::DeleteRecords => reply::<kafka::DeleteRecords>(call, from, records::delete).await,
        ApiKey::DescribeConfigs => reply::<kafka::DescribeConfigs>(call, from, configs::describe).await,
        ApiKey::AlterConfigs => reply::<kafka::AlterConfigs>(call, from, configs::replace).await,
        ApiKey::IncrementalAlterConfigs => {
            reply::<kafka::IncrementalAlterConfigs>(call, from, configs::alter_incrementally).await
        }
        ApiKey::CreatePartitions => {
            reply::<kafka::CreatePartitions>(call, from, topics::create_partitions).await
        }
        ApiKey::DescribeCluster => reply::<kafka::DescribeCluster>(call, from, cluster::describe).await,
        ApiKey::DescribeTopicPartitions => {
            reply::<kafka::DescribeTopicPartitions>(call, from, cluster::describe_topic_partitions).await
        }
        ApiKey::ListPartitionReassignments => {
            reply::<kafka::ListPartitionReassignments>(call, from, cluster::reassignments).await
        }
        ApiKey::InitProducerId => reply::<kafka::InitProducerId>(call, from, producer_ids::init).await,
        ApiKey::OffsetForLeaderEpoch => {
            reply::<kafka::OffsetForLeaderEpoch>(call, from, partitions::ends_of_epochs).await
        }
        ApiKey::DescribeLogDirs => {
            reply::<kafka::DescribeLogDirs>(call, from, partitions::describe_log_dirs).await
        }
        ApiKey::DescribeProducers => {
            reply::<kafka::DescribeProducers>(call, from, partitions::describe_producers).await
        }
        key => answer_group(call, key, from).await,
    }
}

/// What concerns consumer groups.
async fn answer_group(call: &Call<'_>, key: ApiKey, from: Reader) -> Result<Answer, Ended> {
    match key {
        ApiKey::OffsetCommit => reply::<kafka::OffsetCommit>(call, from, committed::commit).await,
        ApiKey::OffsetFetch => reply::<kafka::OffsetFetch>(call, from, committed::fetch).await,
        ApiKey::OffsetDelete => reply::<kafka::OffsetDelete>(call, from, committed::delete).await,
        ApiKey::FindCoordinator => reply::<kafka::FindCoordinator>(call, from, coordinator::find).await,
        ApiKey::JoinGroup => reply::<kafka::JoinGroup>(call, from, membership::join).await,
        ApiKey::SyncGroup => reply::<kafka::SyncGroup>(call, from, membership::sync).await,
        ApiKey::Heartbeat => reply::<kafka::Heartbeat>(call, from, membership::heartbeat).await,
        ApiKey::LeaveGroup => reply::<kafka::LeaveGroup>(call, from, membership::leave).await,
        ApiKey::ConsumerGroupHeartbeat => {
            reply::<kafka::ConsumerGroupHeartbeat>(call, from, consumer_groups::heartbeat).await
        }
        ApiKey::ConsumerGroupDescribe => {
            reply::<kafka::ConsumerGroupDescribe>(call, from, consumer_groups::describe).await
        }
        ApiKey::DescribeGroups => reply::<kafka::DescribeGroups>(call, from, groups::describe).await,
        ApiKey::ListGroups => reply::<kafka::ListGroups>(call, from, groups::list).await,
        ApiKey::DeleteGroups => reply::<kafka::DeleteGroups>(call, from, groups::delete).await,
        key => unreachable!("{key:?} is in the table of what is served, and nobody serves it"),
    }
}

/// Decodes a request, has it handled, encodes the answer. One that the connection does not outlive gets none.
async fn reply<A: Api>(
    call: &Call<'_>,
    mut from: Reader,
    handler: impl AsyncFnOnce(&Call<'_>, A::Request) -> A::Response,
) -> Result<Answer, Ended> {
    let request = decode_request::<A>(&mut from, call.version).map_err(refused)?;
    let handled = async { Ok(encoded::<A>(call, &handler(call, request).await)) };
    let closed = async {
        call.connection.closed().await;
        Err(Ended::Over)
    };
    future::or(handled, closed).await
}

fn encoded<A: Api>(call: &Call<'_>, response: &A::Response) -> Answer {
    Answer::of(encode_response::<A>(call.version, call.correlation_id, response))
}

/// The connection's session, which its first request begins: what the client says of itself later does not change it.
fn session(
    connection: &Connection,
    client_id: Option<&Text>,
    versions: Option<&kafka::ApiVersionsRequest>,
) -> Rc<Session> {
    let text = |text: &Text| shortened(text.as_str().to_owned());
    let session = connection.session.get_or_init(|| {
        Rc::new(Session {
            principal: Principal::Anonymous,
            client_id: client_id.map(text).unwrap_or_default(),
            software: versions.map(|versions| text(&versions.client_software_name)).unwrap_or_default(),
            software_version: versions
                .map(|versions| text(&versions.client_software_version))
                .unwrap_or_default(),
            listener: connection.listener,
            peer: connection.peer,
            local: connection.local,
            protocol: 0,
        })
    });
    session.clone()
}
