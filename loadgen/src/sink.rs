//! A server that acknowledges at once and keeps nothing: what the generator reaches against it is the generator's own
//! ceiling, on the same cores.
//!
//! It speaks as much of the native protocol as a producer needs: Hello, metadata, one topic, InitProducer, Produce.
//! Payloads are received and dropped, unchecked.

use std::net::SocketAddr;

use bytes::BytesMut;
use runtime::net::{TcpListener, TcpStream, WriteHalf};
use runtime::task;
use uuid::Uuid;
use wire::codes::ErrorCode;
use wire::frame::{self, FRAME_HEADER_BYTES, FrameHeader, MessageKind};
use wire::limits;
use wire::native::{
    BodyBuilder, CreateTopic, CreateTopicReply, DescribeTopic, DescribeTopicReply, Endpoint, HelloReply,
    InitProducerReply, Message, Metadata, MetadataReply, PartitionMetadata, PartitionState, Pong, ProduceAck,
    ProduceAcks, TopicMetadata, TopicSelection,
};

/// The most that is received at once.
const READ_BYTES: usize = 1024 * 1024;

/// Serves connections for ever, on the shard that calls it. Every topic exists and has `partitions` partitions.
pub async fn serve(listener: TcpListener, partitions: u32) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    loop {
        let stream = listener.accept().await?;
        drop(task::spawn(async move {
            // A client that leaves ends its connection, nothing else.
            let _ = Connection::new(address, partitions).serve(stream).await;
        }));
    }
}

struct Connection {
    address: SocketAddr,
    partitions: u32,
    builder: BodyBuilder,
    outgoing: BytesMut,
    acks: Vec<ProduceAck>,
}

impl Connection {
    fn new(address: SocketAddr, partitions: u32) -> Self {
        Self { address, partitions, builder: BodyBuilder::new(), outgoing: BytesMut::new(), acks: Vec::new() }
    }

    async fn serve(mut self, stream: TcpStream) -> std::io::Result<()> {
        let (mut reading, mut writing) = stream.split();
        let mut received = BytesMut::with_capacity(READ_BYTES);
        // Bytes of a payload still to come, to be dropped unseen.
        let mut skip = 0_usize;
        loop {
            received.reserve(READ_BYTES - received.len().min(READ_BYTES));
            if reading.read_into(&mut received).await? == 0 {
                return Ok(());
            }
            loop {
                let dropped = skip.min(received.len());
                bytes::Buf::advance(&mut received, dropped);
                skip -= dropped;
                if received.len() < FRAME_HEADER_BYTES {
                    break;
                }
                let header = FrameHeader::decode(&received).map_err(std::io::Error::other)?;
                let head = FRAME_HEADER_BYTES + header.body_length as usize;
                if received.len() < head {
                    break;
                }
                let frame = received.split_to(head);
                skip = header.payload_length as usize;
                self.answer(&header, &frame[FRAME_HEADER_BYTES..]);
            }
            self.write(&mut writing).await?;
            task::yield_if_needed().await;
        }
    }

    async fn write(&mut self, writing: &mut WriteHalf) -> std::io::Result<()> {
        if !self.acks.is_empty() {
            let body = ProduceAcks::write(&mut self.builder, &self.acks);
            frame::encode(&mut self.outgoing, MessageKind::ProduceAcks, 0, 1, body, 0);
            self.acks.clear();
        }
        if !self.outgoing.is_empty() {
            writing.write_all(&self.outgoing).await?;
            self.outgoing.clear();
        }
        Ok(())
    }

    fn answer(&mut self, header: &FrameHeader, body: &[u8]) {
        let id = header.correlation_id;
        match header.kind {
            MessageKind::Produce => self.acks.push(ProduceAck {
                correlation_id: id,
                code: ErrorCode::None,
                base_offset: 0,
                log_append_time_ms: -1,
            }),
            MessageKind::Hello => self.reply(id, &hello()),
            MessageKind::Metadata => {
                let names = match Metadata::decode(body).map(|message| message.topics) {
                    Ok(TopicSelection::Names(names)) => names,
                    _ => Vec::new(),
                };
                let reply = self.metadata(names);
                self.reply(id, &reply);
            }
            MessageKind::CreateTopic => {
                let topic_id =
                    CreateTopic::decode(body).map_or(Uuid::nil(), |message| topic_id(&message.name));
                self.reply(id, &CreateTopicReply { code: ErrorCode::None, message: String::new(), topic_id });
            }
            MessageKind::DescribeTopic => {
                let name = DescribeTopic::decode(body).map_or(String::new(), |message| message.name);
                let reply = self.description(&name);
                self.reply(id, &reply);
            }
            MessageKind::InitProducer => {
                let reply = InitProducerReply { code: ErrorCode::None, producer_id: 1, producer_epoch: 0 };
                self.reply(id, &reply);
            }
            MessageKind::Ping => self.reply(id, &Pong { sent_at_us: 0 }),
            _ => {
                let message = "the sink only takes batches".to_owned();
                self.reply(id, &wire::native::Error { code: ErrorCode::UnknownKind, message });
            }
        }
    }

    fn reply<M: Message>(&mut self, id: u64, message: &M) {
        frame::encode_message(&mut self.outgoing, &mut self.builder, message, id, 1, 0);
    }

    fn metadata(&self, names: Vec<String>) -> MetadataReply {
        let partition = PartitionMetadata { shard: 0, leader_epoch: 0 };
        let topic = |name: String| TopicMetadata {
            code: ErrorCode::None,
            id: topic_id(&name),
            name,
            partitions: vec![partition; self.partitions as usize],
        };
        MetadataReply {
            cluster_id: Uuid::from_u128(1),
            node_id: 0,
            shared: Endpoint { host: self.address.ip().to_string(), port: self.address.port() },
            shards: Vec::new(),
            topics: names.into_iter().map(topic).collect(),
        }
    }

    fn description(&self, name: &str) -> DescribeTopicReply {
        let state = |partition| PartitionState {
            partition,
            shard: 0,
            leader_epoch: 0,
            log_start_offset: 0,
            high_watermark: 0,
            log_end_offset: 0,
            segment_count: 0,
            bytes: 0,
        };
        DescribeTopicReply {
            code: ErrorCode::None,
            message: String::new(),
            id: topic_id(name),
            settings: Vec::new(),
            partitions: (0..self.partitions).map(state).collect(),
        }
    }
}

/// Any id will do, as long as a name keeps its own.
fn topic_id(name: &str) -> Uuid {
    let sum = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Uuid::from_u128(u128::from(sum) | 1 << 127)
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
        server_version: "sink".into(),
        frame_bytes_max: limits::FRAME_BYTES_DEFAULT as u32,
        batch_bytes_max: limits::BATCH_BYTES_DEFAULT as u32,
        in_flight_bytes_max: 0,
        mechanisms: Vec::new(),
    }
}
