//! Bytes that are no frames, and frames that are not what they say.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use wire::codes::ErrorCode;
use wire::frame::{FRAME_HEADER_BYTES, MessageKind, encode};
use wire::native::{Error, Hello, HelloReply, Message, Ping, Pong, Produce};

use crate::broker::Connection;
use crate::seed::Seed;

/// In the frame's header: docs/wire-format.md.
const VERSION: usize = 4;
const PAYLOAD_LENGTH: usize = 28;
const CRC: usize = 36;

/// Longer than an honest answer takes beside 500 other connections; a broker that is silent for longer hangs.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(20);

/// The requests a client may send.
const REQUESTS: [MessageKind; 12] = [
    MessageKind::Produce,
    MessageKind::InitProducer,
    MessageKind::Fetch,
    MessageKind::Subscribe,
    MessageKind::Credit,
    MessageKind::ListOffsets,
    MessageKind::Metadata,
    MessageKind::CreateTopic,
    MessageKind::DeleteTopic,
    MessageKind::AlterTopic,
    MessageKind::DescribeTopic,
    MessageKind::Ping,
];

/// Random bytes, or a frame in which one bit is not what it was. The broker closes, or waits for more of it.
pub(super) fn noise(address: &str, seed: &mut Seed) -> Result<TcpStream> {
    let mut noise = vec![0; 1 + seed.below(4000) as usize];
    seed.fill(&mut noise);
    let mut bytes = BytesMut::new();
    if seed.chance(50) {
        bytes.extend_from_slice(&noise);
    } else {
        let kind = REQUESTS[seed.below(REQUESTS.len() as u64) as usize];
        encode(&mut bytes, kind, seed.next(), 0, &noise, 0);
        let at = seed.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << seed.below(8);
    }
    let mut stream = TcpStream::connect(address)?;
    // The broker may close while it is still being talked to.
    let _closed = stream.write_all(&bytes);
    Ok(stream)
}

/// A session whose next frame stops somewhere.
pub(super) fn half_frame(address: &str, seed: &mut Seed) -> Result<TcpStream> {
    let mut body = vec![0; 1 + seed.below(4000) as usize];
    seed.fill(&mut body);
    let mut bytes = BytesMut::new();
    encode(&mut bytes, MessageKind::Fetch, 1, 0, &body, 0);
    bytes.truncate(1 + seed.below(bytes.len() as u64 - 1) as usize);
    let mut stream = Connection::open(address)?.into_stream();
    stream.write_all(&bytes)?;
    Ok(stream)
}

/// A session that announces almost 4 GiB. The answer says that this is too large, and the connection ends.
pub(super) fn announce_gigabytes(address: &str) -> Result<()> {
    let frame = altered(&produce_frame(0), |header| {
        header[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    });
    is_closed_with(Connection::open(address)?, &frame, ErrorCode::FrameTooLarge)
}

/// A session that announces the largest batch that is taken, and sends none of it.
pub(super) fn announce_largest(address: &str) -> Result<TcpStream> {
    let mut stream = Connection::open(address)?.into_stream();
    stream.write_all(&produce_frame(wire::limits::BATCH_BYTES_DEFAULT))?;
    Ok(stream)
}

/// A frame, and a Hello, of versions that do not exist.
pub(super) fn wrong_versions(address: &str) -> Result<()> {
    let frame = altered(&produce_frame(0), |header| header[VERSION] = 9);
    is_closed_with(Connection::open(address)?, &frame, ErrorCode::UnsupportedVersion)?;
    let hello = Hello { protocol_min: 7, protocol_max: 9, ..Hello::default() };
    let (reply, _): (HelloReply, _) = Connection::connect(address)?.call(&hello)?;
    ensure!(reply.code == ErrorCode::UnsupportedVersion, "protocol 7 was answered with {}", reply.code);
    Ok(())
}

/// Bodies of every kind that are no flatbuffers, in frames that are right: each is answered, and the session goes on.
pub(super) fn malformed_bodies(address: &str, seed: &mut Seed) -> Result<u64> {
    let mut connection = Connection::open(address)?;
    let mut refused = 0;
    for kind in REQUESTS {
        let mut body = vec![0; 4 + seed.below(200) as usize];
        seed.fill(&mut body);
        // A root beyond the end: noise alone might be a table without fields, which is a request like another.
        body[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut frame = BytesMut::new();
        encode(&mut frame, kind, 7, 0, &body, 0);
        connection.send_raw(&frame)?;
        let answer = connection.receive()?;
        ensure!(answer.header.kind == MessageKind::Error, "a broken {kind:?}: {:?}", answer.header.kind);
        let error = Error::decode(&answer.body)?;
        ensure!(error.code == ErrorCode::MalformedBody, "a broken {kind:?} was answered with {}", error.code);
        refused += 1;
    }
    let (pong, _): (Pong, _) = connection.call(&Ping { sent_at_us: 5 })?;
    ensure!(pong.sent_at_us == 5, "the session did not go on");
    Ok(refused)
}

/// A produce to a topic that is not there, whose payload is still to come.
pub(super) fn produce_frame(payload_length: usize) -> Bytes {
    let produce =
        Produce { topic_id: uuid::Uuid::from_u128(1), partition: 0, deadline_ms: 0, acknowledge: true };
    let mut bytes = BytesMut::new();
    let mut builder = wire::native::BodyBuilder::new();
    wire::frame::encode_message(&mut bytes, &mut builder, &produce, 1, 0, payload_length);
    bytes.freeze()
}

/// The frame with another header, whose checksum is right.
fn altered(frame: &[u8], alter: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut frame = frame.to_vec();
    alter(&mut frame[..CRC]);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..CRC]);
    hasher.update(&frame[FRAME_HEADER_BYTES..]);
    frame[CRC..FRAME_HEADER_BYTES].copy_from_slice(&hasher.finalize().to_le_bytes());
    frame
}

fn is_closed_with(mut connection: Connection, frame: &[u8], code: ErrorCode) -> Result<()> {
    connection.send_raw(frame)?;
    let answer = connection.receive().with_context(|| format!("the answer {code} did not come"))?;
    ensure!(answer.header.kind == MessageKind::Error, "{code} was expected, not {:?}", answer.header.kind);
    let error = Error::decode(&answer.body)?;
    ensure!(error.code == code, "{code} was expected, not {} {}", error.code, error.message);
    let mut stream = connection.into_stream();
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let after = stream.read(&mut [0; 1]).context("the connection was not closed")?;
    ensure!(after == 0, "more came after {code}");
    Ok(())
}
