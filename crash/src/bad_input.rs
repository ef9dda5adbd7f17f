//! Peers that break the protocol, beside one that keeps it and must not notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use wire::frame::{MessageKind, encode};
use wire::native::Produce;

use crate::broker::{BrokerProcess, Connection, Ledger, Load, LoadOptions, Required};
use crate::host::WorkFolder;
use crate::kill::create_topics;
use crate::seed::Seed;

const NOISY_CONNECTIONS: u64 = 300;
const GREEDY_CONNECTIONS: u64 = 500;
/// Well under the 3.9 GiB that the greedy ones announce.
const RSS_GROWTH_MAX: u64 = 512 << 20;

pub(crate) fn run(parent: Option<&Path>, program: &Path, seed: u64, idle: u64) -> Result<()> {
    let folder = WorkFolder::create(parent, "bad-input")?;
    let mut seed = Seed::new(seed);
    let mut ledger = Ledger::default();
    let broker = BrokerProcess::start(program, &folder.path().join("data"), folder.path())?;
    create_topics(broker.address(), &mut ledger)?;
    let before = broker.memory_bytes()?;
    let load = Load::start(&LoadOptions {
        address: broker.address().to_owned(),
        topics: ledger.topics(),
        producers: 1,
        first_producer: 0,
        seed: seed.fork(1),
    });
    let mut held = Vec::new();
    for _ in 0..NOISY_CONNECTIONS {
        held.push(send_noise(broker.address(), &mut seed)?);
    }
    for _ in 0..GREEDY_CONNECTIONS {
        held.push(announce_much(broker.address(), &ledger)?);
    }
    for _ in 0..idle {
        held.push(TcpStream::connect(broker.address()).context("an idle connection")?);
    }
    std::thread::sleep(Duration::from_secs(2));
    let during = broker.memory_bytes()?;
    let sent = load.stop()?;
    ensure!(sent.refused == 0, "the well-behaved producer was refused: {:?}", sent.last_refusal);
    ensure!(!sent.acknowledged.is_empty(), "the well-behaved producer was not served");
    ledger.add(sent);
    ledger.check(broker.address(), Required::All)?;
    drop(held);
    println!(
        "bad input: {NOISY_CONNECTIONS} noisy, {GREEDY_CONNECTIONS} greedy, {idle} idle connections; resident {} MiB \
         before, {} MiB during; {} records beside them",
        before >> 20,
        during >> 20,
        ledger.acknowledged_records()
    );
    ensure!(during < before + RSS_GROWTH_MAX, "memory was taken on a peer's word");
    ensure!(!broker.words().contains("panicked"), "a panic:\n{}", broker.words());
    broker.stop()
}

/// Random bytes, a broken valid frame, a frame of random body, or half a frame.
fn send_noise(address: &str, seed: &mut Seed) -> Result<TcpStream> {
    let mut noise = vec![0; 1 + seed.below(4000) as usize];
    seed.fill(&mut noise);
    let mut bytes = BytesMut::new();
    match seed.below(4) {
        0 => bytes.extend_from_slice(&noise),
        choice => {
            let kind = [MessageKind::Hello, MessageKind::Produce, MessageKind::Fetch][seed.below(3) as usize];
            encode(&mut bytes, kind, seed.next(), 0, &noise, 0);
            let at = seed.below(bytes.len() as u64) as usize;
            match choice {
                1 => bytes[at] ^= 1 << seed.below(8),
                2 => bytes.truncate(at),
                _ => {}
            }
        }
    }
    let mut stream = TcpStream::connect(address)?;
    // The broker may close while it is still being talked to.
    let _closed = stream.write_all(&bytes);
    stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    let _answer = stream.read(&mut noise);
    Ok(stream)
}

/// A session that opens properly, announces the largest batch the broker takes, and never sends it.
fn announce_much(address: &str, ledger: &Ledger) -> Result<TcpStream> {
    let (topic_id, _) = ledger.topics()[0];
    let produce = Produce { topic_id, partition: 0, deadline_ms: 0, acknowledge: true };
    Connection::open(address)?.announce(&produce, wire::limits::BATCH_BYTES_DEFAULT)
}
