//! A broker of a few hundred lines for the client's tests: logs in memory, blocking sockets, a thread each. It keeps the
//! rules a client relies on (sequences of idempotent producers, credit) and breaks connections when told to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use uuid::Uuid;
use wire::batch::{self, BatchHeader};
use wire::codes::ErrorCode;
use wire::frame::{self, FRAME_HEADER_BYTES, FrameHeader, MessageKind};
use wire::native::*;

/// The last five batches (sequence, offset) and the next sequence.
type Sequences = (VecDeque<(i32, i64)>, i32);

#[derive(Default)]
pub(crate) struct PartitionLog {
    /// Whole batches with their offsets.
    pub(crate) batches: Vec<(BatchHeader, Vec<u8>)>,
    pub(crate) end: i64,
    /// By producer and epoch.
    producers: HashMap<(i64, i16), Sequences>,
}

impl PartitionLog {
    /// Values in the order of their offsets.
    pub(crate) fn values(&self) -> Vec<Vec<u8>> {
        let records = |bytes: &Vec<u8>| batch::records(&bytes.clone().into()).unwrap();
        self.batches
            .iter()
            .flat_map(|(_, bytes)| records(bytes))
            .map(|record| record.unwrap().value.unwrap().to_vec())
            .collect()
    }

    fn append(&mut self, mut bytes: Vec<u8>) -> Result<i64, ErrorCode> {
        let header = batch::validate(&bytes).map_err(|error| error.code())?;
        if header.is_idempotent() {
            let known = self.producers.entry((header.producer_id, header.producer_epoch)).or_default();
            if let Some((_, offset)) = known.0.iter().find(|(sequence, _)| *sequence == header.base_sequence)
            {
                return Ok(*offset);
            }
            if known.1 != header.base_sequence {
                return Err(ErrorCode::OutOfOrderSequence);
            }
            known.1 = header.last_sequence() + 1;
            known.0.push_back((header.base_sequence, self.end));
            if known.0.len() > 5 {
                known.0.pop_front();
            }
        }
        let base = self.end;
        batch::assign(&mut bytes, base, 1);
        let header = BatchHeader::parse(&bytes).unwrap();
        self.end = header.next_offset();
        self.batches.push((header, bytes));
        Ok(base)
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) partitions: Vec<PartitionLog>,
    /// Answers for the next produces, instead of storing them.
    pub(crate) refuse: VecDeque<ErrorCode>,
    /// After so many stored batches the connection is cut instead of acknowledging.
    pub(crate) cut_after: Option<u32>,
    /// Produces are neither stored nor answered until this is false again; whoever changes it notifies.
    pub(crate) hold: bool,
    /// How many produces have been held so far.
    pub(crate) held: u32,
    /// Metadata names ports where nobody listens.
    pub(crate) hide_shards: bool,
    /// Produces taken on a shard's own port.
    pub(crate) produced_on_shards: u32,
    pub(crate) connections: Vec<TcpStream>,
    next_producer: i64,
    names: BTreeMap<String, Uuid>,
}

pub(crate) struct FakeBroker {
    pub(crate) shared: SocketAddr,
    pub(crate) shards: Vec<SocketAddr>,
    pub(crate) state: Arc<(Mutex<State>, Condvar)>,
}

impl FakeBroker {
    /// Two shards; the topic "t" with so many partitions exists.
    pub(crate) fn start(partitions: usize) -> Arc<Self> {
        let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let mut state = State::default();
        state.partitions.resize_with(partitions, PartitionLog::default);
        state.names.insert("t".into(), Uuid::from_u128(7));
        let broker = Arc::new(Self {
            shared: addresses[0],
            shards: addresses[1..].to_vec(),
            state: Arc::new((Mutex::new(state), Condvar::new())),
        });
        for (index, listener) in listeners.into_iter().enumerate() {
            let broker = broker.clone();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let broker = broker.clone();
                    broker.state().connections.push(stream.try_clone().unwrap());
                    thread::spawn(move || Connection::new(broker, stream, index > 0).serve());
                }
            });
        }
        broker
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    /// Cuts every connection there is.
    pub(crate) fn cut_all(&self) {
        for stream in std::mem::take(&mut self.state().connections) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

struct Connection {
    broker: Arc<FakeBroker>,
    reading: TcpStream,
    writing: Arc<Mutex<TcpStream>>,
    on_shard: bool,
    /// Credit by subscription; gone when it has ended.
    credit: Arc<Mutex<HashMap<u64, i64>>>,
}

fn send<M: Message>(stream: &Mutex<TcpStream>, id: u64, message: &M, payload: &[u8]) -> std::io::Result<()> {
    let mut out = BytesMut::new();
    frame::encode_message(&mut out, &mut BodyBuilder::new(), message, id, 1, payload.len());
    out.extend_from_slice(payload);
    stream.lock().unwrap().write_all(&out)
}

impl Connection {
    fn new(broker: Arc<FakeBroker>, stream: TcpStream, on_shard: bool) -> Self {
        let writing = Arc::new(Mutex::new(stream.try_clone().unwrap()));
        Self { broker, reading: stream, writing, on_shard, credit: Arc::default() }
    }

    fn serve(mut self) {
        while self.serve_one().is_ok() {}
        self.credit.lock().unwrap().clear();
        let _ = self.reading.shutdown(Shutdown::Both);
    }

    fn serve_one(&mut self) -> std::io::Result<()> {
        let mut head = [0; FRAME_HEADER_BYTES];
        self.reading.read_exact(&mut head)?;
        let header = FrameHeader::decode(&head).unwrap();
        let mut body = vec![0; header.body_length as usize];
        self.reading.read_exact(&mut body)?;
        frame::verify(&head, &body).unwrap();
        let mut payload = vec![0; header.payload_length as usize];
        self.reading.read_exact(&mut payload)?;
        self.answer(header.kind, header.correlation_id, &body, payload)
    }

    fn answer(&mut self, kind: MessageKind, id: u64, body: &[u8], payload: Vec<u8>) -> std::io::Result<()> {
        match kind {
            MessageKind::Hello => {
                Hello::decode(body).unwrap();
                self.reply(id, &hello())
            }
            MessageKind::Ping => self.reply(id, &Pong { sent_at_us: 0 }),
            MessageKind::Metadata => {
                let reply = self.metadata(&Metadata::decode(body).unwrap());
                self.reply(id, &reply)
            }
            MessageKind::InitProducer => {
                let mut state = self.broker.state();
                state.next_producer += 1;
                let producer_id = state.next_producer;
                drop(state);
                self.reply(id, &InitProducerReply { code: ErrorCode::None, producer_id, producer_epoch: 0 })
            }
            MessageKind::Produce => self.produce(id, Produce::decode(body).unwrap(), payload),
            MessageKind::Subscribe => self.subscribe(id, Subscribe::decode(body).unwrap()),
            MessageKind::Credit => {
                let credit = Credit::decode(body).unwrap();
                if let Some(left) = self.credit.lock().unwrap().get_mut(&credit.subscription) {
                    *left += i64::from(credit.bytes);
                }
                self.broker.state.1.notify_all();
                Ok(())
            }
            MessageKind::Unsubscribe => {
                self.credit.lock().unwrap().remove(&Unsubscribe::decode(body).unwrap().subscription);
                Ok(())
            }
            MessageKind::DescribeNode => {
                let json = "{\"pid\":1}".to_owned();
                self.reply(id, &DescribeNodeReply { code: ErrorCode::None, message: String::new(), json })
            }
            kind => {
                let message = format!("{kind:?} is not served");
                self.reply(id, &Error { code: ErrorCode::UnknownKind, message })
            }
        }
    }

    fn reply<M: Message>(&self, id: u64, message: &M) -> std::io::Result<()> {
        send(&self.writing, id, message, &[])
    }

    fn produce(&mut self, id: u64, message: Produce, payload: Vec<u8>) -> std::io::Result<()> {
        let mut state = self.broker.state();
        state.held += u32::from(state.hold);
        while state.hold {
            state = self.broker.state.1.wait(state).unwrap();
        }
        state.produced_on_shards += u32::from(self.on_shard);
        let result = match state.refuse.pop_front() {
            Some(code) => Err(code),
            None => state.partitions[message.partition as usize].append(payload),
        };
        if let Some(left) = &mut state.cut_after {
            *left -= 1;
            if *left == 0 {
                state.cut_after = None;
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
        }
        drop(state);
        self.broker.state.1.notify_all();
        let (code, base_offset) = match result {
            Ok(base_offset) => (ErrorCode::None, base_offset),
            Err(code) => (code, -1),
        };
        let ack = ProduceAck { correlation_id: id, code, base_offset, log_append_time_ms: -1 };
        self.reply(0, &ProduceAcks { acks: vec![ack] })
    }

    fn subscribe(&mut self, id: u64, message: Subscribe) -> std::io::Result<()> {
        let partition = message.partition as usize;
        let state = self.broker.state();
        let end = state.partitions[partition].end;
        drop(state);
        let start_offset = match message.start {
            StartPosition::Earliest => 0,
            StartPosition::Latest => end,
            StartPosition::Offset(offset) => offset,
            StartPosition::Time(_) => 0,
        };
        if start_offset > end {
            let code = ErrorCode::OffsetOutOfRange;
            return self.reply(id, &SubscribeReply { code, start_offset: -1, high_watermark: end });
        }
        self.reply(id, &SubscribeReply { code: ErrorCode::None, start_offset, high_watermark: end })?;
        self.credit.lock().unwrap().insert(id, i64::from(message.credit_bytes));
        let (broker, writing, credit) = (self.broker.clone(), self.writing.clone(), self.credit.clone());
        thread::spawn(move || push(&broker, &writing, &credit, id, partition, start_offset));
        Ok(())
    }

    fn metadata(&self, message: &Metadata) -> MetadataReply {
        let state = self.broker.state();
        let names: Vec<String> = match &message.topics {
            TopicSelection::Names(names) => names.clone(),
            _ => state.names.keys().cloned().collect(),
        };
        let partitions: Vec<PartitionMetadata> = (0..state.partitions.len())
            .map(|partition| PartitionMetadata { shard: (partition % 2) as u16, leader_epoch: 1 })
            .collect();
        let topic = |name: String| {
            let id = state.names.get(&name).copied();
            let code = if id.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopic };
            let partitions = if id.is_some() { partitions.clone() } else { Vec::new() };
            TopicMetadata { code, name, id: id.unwrap_or_default(), partitions }
        };
        let port = |shard: usize| if state.hide_shards { 1 } else { self.broker.shards[shard].port() };
        let shard =
            |shard: usize| ShardEndpoint { shard: shard as u16, host: "127.0.0.1".into(), port: port(shard) };
        MetadataReply {
            cluster_id: Uuid::from_u128(1),
            node_id: 0,
            shared: Endpoint { host: "127.0.0.1".into(), port: self.broker.shared.port() },
            shards: vec![shard(0), shard(1)],
            topics: names.into_iter().map(topic).collect(),
        }
    }
}

/// Pushes batch after batch while there is credit, until the subscription or the connection is gone.
fn push(
    broker: &FakeBroker,
    writing: &Mutex<TcpStream>,
    credit: &Mutex<HashMap<u64, i64>>,
    id: u64,
    partition: usize,
    mut offset: i64,
) {
    let mut state = broker.state();
    loop {
        let Some(left) = credit.lock().unwrap().get(&id).copied() else { return };
        let log = &state.partitions[partition];
        let next = log.batches.iter().find(|(header, _)| header.next_offset() > offset);
        if let (Some((header, bytes)), true) = (next, left > 0) {
            let (bytes, end) = (bytes.clone(), log.end);
            offset = header.next_offset();
            drop(state);
            let message = Push { high_watermark: end, end_code: ErrorCode::None };
            if send(writing, id, &message, &bytes).is_err() {
                return;
            }
            if let Some(left) = credit.lock().unwrap().get_mut(&id) {
                *left -= bytes.len() as i64;
            }
            state = broker.state();
        } else {
            // Also looks again by itself: an ended subscription notifies nobody.
            state = broker.state.1.wait_timeout(state, Duration::from_millis(20)).unwrap().0;
        }
    }
}

fn hello() -> HelloReply {
    HelloReply {
        code: ErrorCode::None,
        message: String::new(),
        protocol: 1,
        features: 0,
        cluster_id: Uuid::from_u128(1),
        node_id: 0,
        shard: 0,
        server_version: "fake".into(),
        frame_bytes_max: wire::limits::FRAME_BYTES_DEFAULT as u32,
        batch_bytes_max: wire::limits::BATCH_BYTES_DEFAULT as u32,
        in_flight_bytes_max: 0,
        mechanisms: Vec::new(),
    }
}
