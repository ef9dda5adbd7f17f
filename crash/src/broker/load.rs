//! Producers whose every record can be known again: its value follows from who sent it as which number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use uuid::Uuid;
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};
use wire::frame::MessageKind;
use wire::native::{Produce, ProduceAcks};

use super::connection::Connection;
use crate::clock::now_ns;
use crate::seed::Seed;

const IN_FLIGHT_MAX: usize = 16;
/// 16 bytes of identity, then noise.
const IDENTITY_BYTES: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) topic_id: Uuid,
    pub(crate) partition: u32,
    pub(crate) base_offset: i64,
    pub(crate) count: u32,
    pub(crate) producer: u64,
    pub(crate) first_sequence: u64,
    pub(crate) at_ns: u64,
}

#[derive(Clone)]
pub(crate) struct LoadOptions {
    pub(crate) address: String,
    /// Topics and their number of partitions.
    pub(crate) topics: Vec<(Uuid, u32)>,
    pub(crate) producers: u64,
    /// Numbers are never used twice on one data folder.
    pub(crate) first_producer: u64,
    pub(crate) seed: Seed,
}

#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) refused: u64,
    pub(crate) last_refusal: Option<String>,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    producers: Vec<JoinHandle<Sent>>,
}

impl Load {
    pub(crate) fn start(options: &LoadOptions) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let producers = (0..options.producers)
            .map(|index| {
                let (options, stop) = (options.clone(), Arc::clone(&stop));
                let number = options.first_producer + index;
                spawn(move || Producer::run(&options, number, &stop))
            })
            .collect();
        Self { stop, producers }
    }

    /// Ends the load, whether the broker still lives or not.
    pub(crate) fn stop(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for producer in self.producers {
            let sent = producer.join().ok().context("a producer panicked")?;
            all.acknowledged.extend(sent.acknowledged);
            all.refused += sent.refused;
            all.last_refusal = sent.last_refusal.or(all.last_refusal);
        }
        Ok(all)
    }
}

struct Producer {
    number: u64,
    next_sequence: u64,
    seed: Seed,
    in_flight: HashMap<u64, Acknowledged>,
    sent: Sent,
}

impl Producer {
    fn run(options: &LoadOptions, number: u64, stop: &AtomicBool) -> Sent {
        let seed = options.seed.fork(number);
        let mut this =
            Self { number, next_sequence: 0, seed, in_flight: HashMap::new(), sent: Sent::default() };
        // The connection breaks when the broker is killed: what was acknowledged until then counts.
        let _broken = this.produce(options, stop);
        this.sent
    }

    fn produce(&mut self, options: &LoadOptions, stop: &AtomicBool) -> Result<()> {
        let mut connection = Connection::open(&options.address)?;
        while !stop.load(Ordering::Relaxed) {
            let (topic_id, partitions) =
                options.topics[self.seed.below(options.topics.len() as u64) as usize];
            let partition = self.seed.below(u64::from(partitions)) as u32;
            let (batch, count) = self.next_batch()?;
            let produce = Produce { topic_id, partition, deadline_ms: 0, acknowledge: true };
            let id = connection.send(&produce, &batch)?;
            let first_sequence = self.next_sequence - u64::from(count);
            let producer = self.number;
            let pending = Acknowledged {
                topic_id,
                partition,
                base_offset: -1,
                count,
                producer,
                first_sequence,
                at_ns: 0,
            };
            self.in_flight.insert(id, pending);
            while self.in_flight.len() >= IN_FLIGHT_MAX {
                self.receive(&mut connection)?;
            }
            if self.seed.chance(5) {
                sleep(Duration::from_millis(self.seed.below(20)));
            }
        }
        while !self.in_flight.is_empty() {
            self.receive(&mut connection)?;
        }
        Ok(())
    }

    fn receive(&mut self, connection: &mut Connection) -> Result<()> {
        let frame = connection.receive()?;
        let at_ns = now_ns();
        if frame.header.kind == MessageKind::Error {
            self.in_flight.remove(&frame.header.correlation_id);
            self.sent.refused += 1;
            return Ok(());
        }
        if frame.header.kind != MessageKind::ProduceAcks {
            return Ok(());
        }
        for ack in ProduceAcks::read(&frame.body)? {
            let pending = self.in_flight.remove(&ack.correlation_id);
            let mut pending = pending.context("an acknowledgement of nothing")?;
            if ack.code.is_none() {
                pending.base_offset = ack.base_offset;
                pending.at_ns = at_ns;
                self.sent.acknowledged.push(pending);
            } else {
                self.sent.refused += 1;
                self.sent.last_refusal = Some(ack.code.to_string());
                // A broker without room is asked again, but not at full speed.
                sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// Mostly a few small records; at times one large enough to go round the journal.
    fn next_batch(&mut self) -> Result<(Bytes, u32)> {
        let mut builder = BatchBuilder::new(Compression::None);
        let large = self.seed.chance(1);
        let count = if large { 1 } else { 1 + self.seed.below(20) as u32 };
        for _ in 0..count {
            let bytes = if large { 300_000 + self.seed.below(400_000) } else { self.seed.below(2000) };
            let value = value(self.number, self.next_sequence, bytes as usize);
            self.next_sequence += 1;
            let record =
                RecordRef { timestamp_ms: 1_700_000_000_000, key: None, value: Some(&value), headers: &[] };
            builder.append(&record)?;
        }
        Ok((builder.finish(ProducerStamp::NONE)?, count))
    }
}

fn value(producer: u64, sequence: u64, noise_bytes: usize) -> Vec<u8> {
    let mut value = vec![0; IDENTITY_BYTES + noise_bytes];
    value[..8].copy_from_slice(&producer.to_le_bytes());
    value[8..IDENTITY_BYTES].copy_from_slice(&sequence.to_le_bytes());
    Seed::new(producer).fork(sequence).fill(&mut value[IDENTITY_BYTES..]);
    value
}

/// Who sent this value as which number; an error where the content is not what that sender sent.
pub(crate) fn identify(found: &[u8]) -> Result<(u64, u64)> {
    ensure!(found.len() >= IDENTITY_BYTES, "a value of {} bytes was never sent", found.len());
    let number = |start: usize| u64::from_le_bytes(found[start..start + 8].try_into().expect("8 bytes"));
    let (producer, sequence) = (number(0), number(8));
    let sent = value(producer, sequence, found.len() - IDENTITY_BYTES);
    ensure!(found == sent, "record {sequence} of producer {producer} has other content than was sent");
    Ok((producer, sequence))
}
