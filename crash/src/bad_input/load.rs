//! Peers that keep the protocol and send as fast as they may: what they send must not pass the bound either.
//!
//! Each load has a broker of its own, because a peak stays. Small batches one at a time are journaled each in pages of its
//! own; large ones from several producers fill every stage at once. How durable an acknowledgement is does not matter here, so
//! the cache is filled in seconds.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::scope;

use anyhow::{Result, anyhow, ensure};
use uuid::Uuid;
use wire::codes::ErrorCode;
use wire::frame::MessageKind;
use wire::native::{Produce, ProduceAcks};

use super::{batches, memory_bytes_max};
use crate::broker::{BrokerProcess, Connection};
use crate::host::WorkFolder;

const PARTITIONS: u32 = 4;

struct Load {
    name: &'static str,
    memory_flag: &'static str,
    memory_bytes: u64,
    value_bytes: usize,
    /// Batches of each producer; one producer a partition.
    count: usize,
    in_flight: usize,
}

const LOADS: [Load; 3] = [
    Load {
        // With two shards a cache of 12 MiB each. If each kept its two pages, these would keep 1.2 GiB.
        name: "100 B batches of 4 producers, one in flight",
        memory_flag: "64M",
        memory_bytes: 64 << 20,
        value_bytes: 100,
        count: 40_000,
        in_flight: 1,
    },
    Load {
        name: "1 MiB batches of 4 producers, 16 in flight",
        memory_flag: "256M",
        memory_bytes: 256 << 20,
        value_bytes: 1 << 20,
        count: 150,
        in_flight: 16,
    },
    Load {
        // Near the largest batch, of which each stage holds one more than it should; half of them come to the wrong shard.
        name: "7 MiB batches of 4 producers, 16 in flight",
        memory_flag: "256M",
        memory_bytes: 256 << 20,
        value_bytes: 7 << 20,
        count: 24,
        in_flight: 16,
    },
];

/// Runs each load and holds the broker's memory against the bound.
pub(super) fn run(parent: Option<&Path>, program: &Path) -> Result<()> {
    for load in &LOADS {
        let folder = WorkFolder::create(parent, "load")?;
        let data = folder.path().join("data");
        let arguments = ["--memory", load.memory_flag, "--durability", "written"];
        let broker = BrokerProcess::start_with(program, &data, folder.path(), &arguments)?;
        let topic_id = Connection::open(broker.address())?.create_topic("loaded", PARTITIONS)?;
        let batch = batches::batch_of(&["z".repeat(load.value_bytes).as_str()])?;
        scope(|scope| {
            let (address, batch) = (broker.address(), &batch[..]);
            let producers: Vec<_> = (0..PARTITIONS)
                .map(|partition| scope.spawn(move || load.produce(address, topic_id, partition, batch)))
                .collect();
            producers
                .into_iter()
                .try_for_each(|producer| producer.join().map_err(|_| anyhow!("a producer panicked"))?)
        })?;
        let peak = broker.memory_bytes_peak()?;
        let bound = memory_bytes_max(load.memory_bytes, u64::from(PARTITIONS) + 1);
        println!("{}\n  resident at most {} MiB of {} MiB", load.name, peak >> 20, bound >> 20);
        ensure!(peak <= bound, "{peak} bytes resident after {}: above the bound of {bound}", load.name);
        broker.stop()?;
    }
    Ok(())
}

impl Load {
    fn produce(&self, address: &str, topic_id: Uuid, partition: u32, batch: &[u8]) -> Result<()> {
        let mut connection = Connection::open(address)?;
        let produce = Produce { topic_id, partition, deadline_ms: 0, acknowledge: true };
        let (mut sent, mut under_way) = (0, BTreeSet::new());
        while sent < self.count || !under_way.is_empty() {
            if sent < self.count && under_way.len() < self.in_flight {
                under_way.insert(connection.send(&produce, batch)?);
                sent += 1;
                continue;
            }
            let frame = connection.receive()?;
            ensure!(frame.header.kind != MessageKind::Error, "a batch was refused");
            if frame.header.kind != MessageKind::ProduceAcks {
                continue;
            }
            for ack in ProduceAcks::read(&frame.body)? {
                ensure!(ack.code == ErrorCode::None, "a batch was answered {}", ack.code);
                under_way.remove(&ack.correlation_id);
            }
        }
        Ok(())
    }
}
