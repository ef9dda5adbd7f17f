//! A blocking native connection: plain enough that a fault of the real client cannot hide one of the broker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use uuid::Uuid;
use wire::codes::ErrorCode;
use wire::frame::{FRAME_HEADER_BYTES, FrameHeader, MessageKind, encode_message, verify};
use wire::native::{
    BodyBuilder, CreateTopic, CreateTopicReply, Fetch, FetchReply, Hello, HelloReply, Message, Metadata,
    MetadataReply, TopicMetadata, TopicSelection,
};

/// A broker that says nothing for so long hangs.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(20);
const FETCH_BYTES: u32 = 4 << 20;

pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    pub(crate) body: Bytes,
    pub(crate) payload: Bytes,
}

/// The broker answered a fetch with an error.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) code: ErrorCode,
}

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fetch of partition {} at {}: {}", self.partition, self.offset, self.code)
    }
}

pub(crate) struct Connection {
    stream: TcpStream,
    builder: BodyBuilder,
    next_id: u64,
}

impl Connection {
    /// Connected, and nothing said.
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(Self { stream, builder: BodyBuilder::new(), next_id: 1 })
    }

    pub(crate) fn open(address: &str) -> Result<Self> {
        let mut this = Self::connect(address)?;
        let hello = Hello {
            protocol_min: 1,
            protocol_max: 1,
            client_id: "crash".into(),
            client_name: "corelog-crash".into(),
            client_version: env!("CARGO_PKG_VERSION").into(),
            ..Hello::default()
        };
        let (reply, _) = this.call::<_, HelloReply>(&hello)?;
        ensure!(reply.code.is_none(), "Hello refused: {}", reply.message);
        Ok(this)
    }

    /// Sends without waiting; the id tells the answer.
    pub(crate) fn send<M: Message>(&mut self, message: &M, payload: &[u8]) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let mut frame = BytesMut::new();
        encode_message(&mut frame, &mut self.builder, message, id, 0, payload.len());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)?;
        Ok(id)
    }

    /// Sends what may be no frame.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(crate) fn receive(&mut self) -> Result<Frame> {
        let mut head = [0; FRAME_HEADER_BYTES];
        self.stream.read_exact(&mut head)?;
        let header = FrameHeader::decode(&head)?;
        let mut body = vec![0; header.body_length as usize];
        self.stream.read_exact(&mut body)?;
        verify(&head, &body)?;
        let mut payload = vec![0; header.payload_length as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame { header, body: body.into(), payload: payload.into() })
    }

    pub(crate) fn call<M: Message, R: Message>(&mut self, message: &M) -> Result<(R, Bytes)> {
        let id = self.send(message, &[])?;
        loop {
            let frame = self.receive()?;
            if frame.header.correlation_id != id {
                continue;
            }
            if frame.header.kind == MessageKind::Error {
                let error = wire::native::Error::decode(&frame.body)?;
                bail!("{:?} refused: {} {}", M::KIND, error.code, error.message);
            }
            ensure!(frame.header.kind == R::KIND, "{:?} was answered with {:?}", M::KIND, frame.header.kind);
            return Ok((R::decode(&frame.body)?, frame.payload));
        }
    }

    pub(crate) fn create_topic(&mut self, name: &str, partitions: u32) -> Result<Uuid> {
        self.create_topic_with(name, partitions, &[])
    }

    pub(crate) fn create_topic_with(
        &mut self,
        name: &str,
        partitions: u32,
        settings: &[(&str, &str)],
    ) -> Result<Uuid> {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let message = CreateTopic { name: name.into(), partitions, settings, validate_only: false };
        let (reply, _) = self.call::<_, CreateTopicReply>(&message)?;
        ensure!(reply.code.is_none(), "cannot create {name}: {} {}", reply.code, reply.message);
        Ok(reply.topic_id)
    }

    pub(crate) fn topics(&mut self) -> Result<Vec<TopicMetadata>> {
        let (reply, _) =
            self.call::<_, MetadataReply>(&Metadata { topics: TopicSelection::All, follow: false })?;
        Ok(reply.topics)
    }

    /// Whole batches from the one that holds `offset`, and the high watermark.
    pub(crate) fn fetch(&mut self, topic_id: Uuid, partition: u32, offset: i64) -> Result<(i64, Bytes)> {
        let message =
            Fetch { topic_id, partition, offset, bytes_max: FETCH_BYTES, bytes_min: 0, wait_ms_max: 0 };
        let (reply, payload) = self.call::<_, FetchReply>(&message)?;
        if reply.code != ErrorCode::None {
            return Err(Refused { partition, offset, code: reply.code }.into());
        }
        Ok((reply.high_watermark, payload))
    }
}
