//! Peers that break the protocol, or the patience of others, beside one that keeps it and must not notice.
//!
//! Each act is one kind of them. After it the broker's memory is held against the bound of docs/memory.md, and the
//! witness against being refused; how long it waited is printed. Last come loads that break nothing, held to the same bound.

mod batches;
mod garbage;
mod kafka;
mod load;
mod slow;
mod witness;

use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use crate::broker::{BrokerProcess, Connection};
use crate::host::WorkFolder;
use crate::seed::Seed;
use witness::Witness;

const NOISY_CONNECTIONS: u64 = 300;
const HALF_FRAMES: u64 = 300;
const GREEDY_CONNECTIONS: u64 = 500;
const SLOW_READERS: u64 = 50;
const PATIENT_READERS: u64 = 50;
const SLOW_WRITERS: u64 = 100;
/// What the slow readers do not take.
const UNREAD_BATCHES: usize = 64;

/// What the broker is told. The rest of the bound of docs/memory.md: [`memory_bytes_max`].
const MEMORY_FLAG: &str = "256M";
const MEMORY_BYTES: u64 = 256 << 20;

/// What docs/memory.md allows a broker that was told so much: with a share for each core, as it starts by default.
fn memory_bytes_max(memory_bytes: u64, connections: u64) -> u64 {
    const PROCESS_BYTES: u64 = 64 << 20;
    const SHARD_BYTES: u64 = 24 << 20;
    const KEPT_BYTES_MAX: u64 = 32 << 20;
    const READ_MEMORY_BYTES_MAX: u64 = 16 << 20;
    const CONNECTION_BYTES: u64 = 24 << 10;
    let shards = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let share = memory_bytes / shards;
    let of_a_shard = SHARD_BYTES + (share / 8).min(KEPT_BYTES_MAX) + (share / 16).min(READ_MEMORY_BYTES_MAX);
    memory_bytes + PROCESS_BYTES + shards * of_a_shard + connections * CONNECTION_BYTES
}

/// A broker under attack.
struct Stage {
    broker: BrokerProcess,
    witness: Witness,
    topic_id: Uuid,
    /// Connections that stay open, so that each act comes on top of those before it.
    held: Vec<TcpStream>,
    connections: u64,
}

pub(crate) fn run(parent: Option<&Path>, program: &Path, seed: u64, idle: u64) -> Result<()> {
    let folder = WorkFolder::create(parent, "bad-input")?;
    let mut seed = Seed::new(seed);
    let data = folder.path().join("data");
    let broker = BrokerProcess::start_with(program, &data, folder.path(), &["--memory", MEMORY_FLAG])?;
    let mut connection = Connection::open(broker.address())?;
    let topic_id = connection.create_topic("attacked", 4)?;
    for _ in 0..UNREAD_BATCHES {
        let batch = batches::batch_of(&["y".repeat(1 << 20).as_str()])?;
        ensure!(batches::produce(&mut connection, topic_id, &batch)?.is_none(), "the broker is not well");
    }
    let witness = Witness::start(broker.address(), topic_id);
    let mut stage = Stage { broker, witness, topic_id, held: Vec::new(), connections: 2 };
    std::thread::sleep(std::time::Duration::from_secs(1));
    stage.end_of_act("nobody else")?;
    stage.act_all(&mut seed, idle)?;
    let Stage { broker, witness, held, .. } = stage;
    drop(held);
    witness.stop()?;
    ensure!(!broker.words().contains("panicked"), "a panic:\n{}", broker.words());
    broker.stop()?;
    load::run(parent, program)
}

impl Stage {
    fn act_all(&mut self, seed: &mut Seed, idle: u64) -> Result<()> {
        let address = self.broker.address().to_owned();
        self.hold("random bytes", NOISY_CONNECTIONS, || garbage::noise(&address, seed))?;
        self.hold("half frames", HALF_FRAMES, || garbage::half_frame(&address, seed))?;
        for _ in 0..GREEDY_CONNECTIONS {
            garbage::announce_gigabytes(&address)?;
        }
        self.end_of_act("4 GiB announced by each of 500, one after the other")?;
        self.hold("8 MiB announced by each of 500 at once", GREEDY_CONNECTIONS, || {
            garbage::announce_largest(&address)
        })?;
        garbage::wrong_versions(&address)?;
        self.end_of_act("wrong versions")?;
        for _ in 0..50 {
            garbage::malformed_bodies(&address, seed)?;
        }
        self.end_of_act("malformed bodies of every kind")?;
        for _ in 0..20 {
            batches::run(&address, self.topic_id)?;
        }
        self.end_of_act("wrong CRCs, counts, lengths, codecs, versions of batches")?;
        let topic_id = self.topic_id;
        self.hold("50 that ask for megabytes and take none", SLOW_READERS, || {
            slow::reader(&address, topic_id)
        })?;
        self.slow_writers(&address)?;
        self.act_kafka(&address, seed)?;
        self.hold("idle connections", idle, || TcpStream::connect(&address).context("an idle connection"))
    }

    fn act_kafka(&mut self, address: &str, seed: &mut Seed) -> Result<()> {
        let topic_id = self.topic_id;
        self.hold("Kafka: random requests", NOISY_CONNECTIONS, || kafka::noise(address, seed))?;
        for _ in 0..GREEDY_CONNECTIONS {
            kafka::announce_too_much(address)?;
        }
        self.end_of_act("Kafka: 90 MB announced by each of 500, one after the other")?;
        self.hold("Kafka: 16 MiB announced by each of 500 at once", GREEDY_CONNECTIONS, || {
            kafka::announce_largest(address)
        })?;
        self.hold("Kafka: 50 that wait for 3,000 partitions", PATIENT_READERS, || {
            kafka::patient(address, topic_id)
        })?;
        self.hold("Kafka: 50 that ask for megabytes and take none", SLOW_READERS, || {
            kafka::reader(address, topic_id)
        })
    }

    fn hold(&mut self, act: &str, count: u64, mut one: impl FnMut() -> Result<TcpStream>) -> Result<()> {
        for _ in 0..count {
            self.held.push(one().with_context(|| act.to_owned())?);
        }
        self.connections += count;
        std::thread::sleep(std::time::Duration::from_secs(2));
        self.end_of_act(&format!("{act} ({count})"))
    }

    /// They hold memory that the witness's large batches need, until the broker has enough of them.
    fn slow_writers(&mut self, address: &str) -> Result<()> {
        let writers = slow::Writers::start(address, SLOW_WRITERS)?;
        self.connections += SLOW_WRITERS;
        std::thread::sleep(std::time::Duration::from_secs(15));
        self.end_of_act("100 that send large batches a byte at a time")?;
        let left = writers.stop()?;
        println!("  of these the broker closed {}", SLOW_WRITERS as usize - left);
        Ok(())
    }

    fn end_of_act(&self, act: &str) -> Result<()> {
        let peak = self.broker.memory_bytes_peak()?;
        let bound = memory_bytes_max(MEMORY_BYTES, self.connections);
        let waits = self.witness.report().with_context(|| format!("beside {act}"))?;
        println!("{act}\n  resident at most {} MiB of {} MiB; {waits}", peak >> 20, bound >> 20);
        ensure!(peak <= bound, "{peak} bytes resident after {act}: above the bound of {bound}");
        Ok(())
    }
}
