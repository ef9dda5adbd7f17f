//! How a load's batches go out and what comes back: by the native protocol or by Kafka's.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use wire::codes::ErrorCode;
use wire::frame::MessageKind;
use wire::kafka::{
    Api, ErrorCode as KafkaError, ProducePartition, ProduceRequest, ProduceTopic, decode_response,
    encode_request,
};
use wire::native::ProduceAcks;

use super::connection::{Connection, SILENCE_MAX};
use super::load::SentBatch;

/// The version that names topics by their ids.
const PRODUCE_VERSION: i16 = 13;

/// What became of a batch.
pub(super) struct Outcome {
    /// As the batch was sent.
    pub(super) id: u64,
    pub(super) result: Result<i64, Refusal>,
}

/// Why a batch was refused.
pub(super) struct Refusal {
    pub(super) reason: String,
    /// Nobody knows before the next start.
    pub(super) may_be_stored: bool,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { reason: code.to_string(), may_be_stored: code == ErrorCode::StorageFailed }
    }
}

/// A connection to produce on.
pub(super) enum Producing {
    Native(Connection),
    Kafka(KafkaConnection),
}

impl Producing {
    pub(super) fn open(address: &str, kafka: bool) -> Result<Self> {
        Ok(match kafka {
            true => Self::Kafka(KafkaConnection::connect(address)?),
            false => Self::Native(Connection::open(address)?),
        })
    }

    /// Sends without waiting; the id tells the answer.
    pub(super) fn send(&mut self, batch: &SentBatch) -> Result<u64> {
        match self {
            Self::Native(connection) => batch.send(connection),
            Self::Kafka(connection) => connection.send(batch),
        }
    }

    /// The next outcomes; none where the broker said something else.
    pub(super) fn receive(&mut self) -> Result<Vec<Outcome>> {
        match self {
            Self::Native(connection) => receive_native(connection),
            Self::Kafka(connection) => Ok(vec![connection.receive()?]),
        }
    }
}

fn receive_native(connection: &mut Connection) -> Result<Vec<Outcome>> {
    let frame = connection.receive()?;
    match frame.header.kind {
        MessageKind::Error => {
            let result = Err(ErrorCode::Internal.into());
            Ok(vec![Outcome { id: frame.header.correlation_id, result }])
        }
        MessageKind::ProduceAcks => {
            let acks = ProduceAcks::read(&frame.body)?;
            let outcome = |ack: wire::native::ProduceAck| Outcome {
                id: ack.correlation_id,
                result: if ack.code.is_none() { Ok(ack.base_offset) } else { Err(ack.code.into()) },
            };
            Ok(acks.into_iter().map(outcome).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// A bare connection that produces by Kafka's protocol.
pub(super) struct KafkaConnection {
    stream: TcpStream,
    next_id: i32,
    /// Of the next answer: they come in the order of the requests.
    next_answer: i32,
}

impl KafkaConnection {
    pub(super) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(Self { stream, next_id: 0, next_answer: 0 })
    }

    fn send(&mut self, batch: &SentBatch) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let (topic_id, partition) = batch.place();
        let partition =
            ProducePartition { index: partition.cast_signed(), records: Some(batch.bytes.clone()) };
        let topic = ProduceTopic { topic_id, partitions: vec![partition], ..Default::default() };
        let request = ProduceRequest { acks: -1, topics: vec![topic], ..Default::default() };
        let frame = encode_request::<wire::kafka::Produce>(PRODUCE_VERSION, id, "crash", &request);
        self.stream.write_all(&frame.gathered)?;
        Ok(u64::from(id.cast_unsigned()))
    }

    /// Asks, and waits for the answer; nothing else may be under way.
    pub(super) fn ask<A: Api>(&mut self, version: i16, request: &A::Request) -> Result<A::Response> {
        let frame = encode_request::<A>(version, self.next_id, "crash", request);
        self.next_id += 1;
        self.stream.write_all(&frame.gathered)?;
        Ok(self.receive_answer::<A>(version)?.1)
    }

    fn receive_answer<A: Api>(&mut self, version: i16) -> Result<(i32, A::Response)> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).context("an answer's length")?];
        self.stream.read_exact(&mut frame)?;
        let (id, response) = decode_response::<A>(frame.into(), version)?;
        ensure!(id == self.next_answer, "answer {id} came where {} was due", self.next_answer);
        self.next_answer += 1;
        Ok((id, response))
    }

    fn receive(&mut self) -> Result<Outcome> {
        let (id, response) = self.receive_answer::<wire::kafka::Produce>(PRODUCE_VERSION)?;
        let partition = response.topics.first().and_then(|topic| topic.partitions.first());
        let partition = partition.context("an answer without a partition")?;
        let code = KafkaError::from_number(partition.error_code).context("an unknown error code")?;
        let result = match code {
            KafkaError::None => Ok(partition.base_offset),
            code => Err(Refusal {
                reason: format!("{code:?}"),
                may_be_stored: code == KafkaError::KafkaStorageError,
            }),
        };
        Ok(Outcome { id: u64::from(id.cast_unsigned()), result })
    }
}
