//! The same in Kafka's protocol: noise, announcements, requests without measure, readers who take nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use uuid::Uuid;
use wire::kafka::{
    ApiKey, Fetch, FetchPartition, FetchRequest, FetchTopic, Metadata, MetadataRequest, encode_request,
};

use super::garbage::SILENCE_MAX;
use crate::seed::Seed;

/// Fetches that ask for batches and whose answers nobody takes.
const FETCHES: i32 = 200;
const DESCRIPTIONS: i32 = 500;
/// What a patient fetch asks for: about as many partitions as a broker of so little memory lets a request name.
const PARTITIONS: i32 = 3_000;
const FETCH_VERSION: i16 = 13;

/// A request of any API in any version with a random body. The broker closes, answers, or waits for more of it.
pub(super) fn noise(address: &str, seed: &mut Seed) -> Result<TcpStream> {
    let mut body = vec![0; seed.below(4000) as usize];
    seed.fill(&mut body);
    let keys = ApiKey::ALL;
    let key = keys[seed.below(keys.len() as u64) as usize];
    let mut frame = Vec::new();
    frame.extend_from_slice(&(10 + body.len() as i32 + seed.below(2) as i32).to_be_bytes());
    frame.extend_from_slice(&key.number().to_be_bytes());
    frame.extend_from_slice(&(seed.below(20) as i16).to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
    frame.extend_from_slice(&body);
    let mut stream = TcpStream::connect(address)?;
    // The broker may close while it is still being talked to.
    let _closed = stream.write_all(&frame);
    Ok(stream)
}

/// Announces more than is taken: closed at once.
pub(super) fn announce_too_much(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&90_000_000_i32.to_be_bytes())?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut byte = [0];
    let read = stream.read(&mut byte);
    ensure!(
        matches!(read, Ok(0)),
        "90 MB announced were answered with {read:?} and not with the end of the stream"
    );
    Ok(())
}

/// Announces a Produce request as large as is taken, and sends none of it.
pub(super) fn announce_largest(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    let length = i32::try_from(wire::limits::FRAME_BYTES_DEFAULT).context("the largest frame")?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&[0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff])?;
    Ok(stream)
}

/// Waits for as many partitions as a request may name, none of which has anything to read.
pub(super) fn patient(address: &str, topic_id: Uuid) -> Result<TcpStream> {
    // The end of a partition that nobody produces to: one that is unknown would be answered at once.
    let partition = FetchPartition { partition: 3, partition_max_bytes: 1 << 20, ..Default::default() };
    let partitions = vec![partition; PARTITIONS as usize];
    let topic = FetchTopic { topic_id, partitions, ..Default::default() };
    let request =
        FetchRequest { max_wait_ms: 60_000, min_bytes: 1, topics: vec![topic], ..Default::default() };
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&encode_request::<Fetch>(FETCH_VERSION, 1, "patient", &request).gathered)?;
    Ok(stream)
}

/// Asks for megabytes again and again, and takes none of them.
pub(super) fn reader(address: &str, topic_id: Uuid) -> Result<TcpStream> {
    let partition = FetchPartition { partition_max_bytes: 8 << 20, ..Default::default() };
    let topic = FetchTopic { topic_id, partitions: vec![partition], ..Default::default() };
    let fetch = FetchRequest { max_bytes: 8 << 20, topics: vec![topic], ..Default::default() };
    let mut stream = TcpStream::connect(address)?;
    // Requests that are not read stop us here.
    stream.set_nonblocking(true)?;
    let requests = (0..FETCHES).map(|id| encode_request::<Fetch>(FETCH_VERSION, id, "reader", &fetch)).chain(
        (0..DESCRIPTIONS).map(|id| encode_request::<Metadata>(12, id, "reader", &MetadataRequest::default())),
    );
    for request in requests {
        if stream.write_all(&request.gathered).is_err() {
            break;
        }
    }
    Ok(stream)
}
