//! Producers whose every record can be known again: its value follows from who sent it as which number.
//!
//! Every second one speaks Kafka's protocol. They are idempotent, and at times drop their connection with requests under way: what was not answered is sent again,
//! in its order. A retry that is stored twice shows as a record that comes twice.
//!
//! What was refused is given up, and its partition goes on under the producer's next epoch. The number of a refused batch
//! must not be used again: where it had been sent on a dropped connection as well, that first try may still be stored, and
//! another batch of the same number would be taken for its retry.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use uuid::Uuid;
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};
use wire::native::Produce;

use super::connection::Connection;
use super::producing::{Outcome, Producing, Refusal};
use crate::clock::{now_ns, wall_ms};
use crate::seed::Seed;

const IN_FLIGHT_MAX: usize = 16;
/// A broker knows a retry as one of the last five batches of its producer in the partition.
pub(super) const REMEMBERED_BATCHES: usize = 5;
/// Of a thousand batches, so many are followed by a connection that is dropped with requests under way.
const DROPS_PER_MILLE: u64 = 5;
/// Behind all ids that a connection gives.
const UNSENT_FROM: u64 = 1 << 60;
/// No test's producers have an id that the broker gave.
const PRODUCER_IDS_FROM: i64 = 1 << 40;
/// 16 bytes of identity, then noise.
const IDENTITY_BYTES: usize = 16;

/// A partition of a topic.
type Place = (Uuid, u32);

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

/// A batch that was sent, to be sent again.
#[derive(Clone)]
pub(crate) struct SentBatch {
    /// Without an offset while it is not answered.
    pub(crate) entry: Acknowledged,
    pub(crate) bytes: Bytes,
    /// It was sent on a connection that was dropped: what is answered to the retry does not speak for the first try.
    outcome_unknown: bool,
}

impl SentBatch {
    pub(super) fn place(&self) -> Place {
        (self.entry.topic_id, self.entry.partition)
    }

    pub(super) fn send(&self, connection: &mut Connection) -> Result<u64> {
        let Acknowledged { topic_id, partition, .. } = self.entry;
        connection.send(&Produce { topic_id, partition, deadline_ms: 0, acknowledge: true }, &self.bytes)
    }
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
    pub(crate) first_refusal: Option<String>,
    /// Refused at the only try: (producer, sequence) of records that must never be read.
    pub(crate) not_stored: Vec<(u64, u64)>,
    /// The last acknowledged batches of each producer in each partition.
    pub(crate) recent: Vec<SentBatch>,
    /// What was under way when the broker went, in its order.
    pub(crate) unanswered: Vec<SentBatch>,
    pub(crate) reconnects: u64,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    producers: Vec<JoinHandle<Sent>>,
}

impl Load {
    pub(crate) fn start(options: &LoadOptions) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let producers = (0..options.producers)
            .map(|index| {
                let (options, stop, acknowledged) = (options.clone(), stop.clone(), acknowledged.clone());
                let number = options.first_producer + index;
                spawn(move || Producer::run(&options, number, &stop, &acknowledged))
            })
            .collect();
        Self { stop, acknowledged, producers }
    }

    /// Resolves when so many records are acknowledged.
    pub(crate) fn wait_for(&self, records: u64) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(60);
        let started = Instant::now();
        while self.acknowledged.load(Ordering::Relaxed) < records {
            let found = self.acknowledged.load(Ordering::Relaxed);
            ensure!(started.elapsed() < LIMIT, "{found} of {records} records acknowledged in {LIMIT:?}");
            sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Ends the load, whether the broker still lives or not.
    pub(crate) fn stop(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for producer in self.producers {
            let sent = producer.join().ok().context("a producer panicked")?;
            all.acknowledged.extend(sent.acknowledged);
            all.refused += sent.refused;
            all.first_refusal = all.first_refusal.or(sent.first_refusal);
            all.not_stored.extend(sent.not_stored);
            all.recent.extend(sent.recent);
            all.unanswered.extend(sent.unanswered);
            all.reconnects += sent.reconnects;
        }
        Ok(all)
    }
}

struct Producer<'a> {
    number: u64,
    next_sequence: u64,
    seed: Seed,
    /// By request, so in the order of sending.
    in_flight: BTreeMap<u64, SentBatch>,
    /// The epoch and the sequence of each partition's next batch, as the broker counts.
    next_stamp: HashMap<Place, (i16, i32)>,
    /// Refused at some batch: nothing is sent before all that was under way is answered.
    refused: HashSet<Place>,
    recent: HashMap<Place, VecDeque<SentBatch>>,
    sent: Sent,
    acknowledged: &'a AtomicU64,
}

impl<'a> Producer<'a> {
    fn run(options: &LoadOptions, number: u64, stop: &AtomicBool, acknowledged: &'a AtomicU64) -> Sent {
        let mut this = Self {
            number,
            next_sequence: 0,
            seed: options.seed.fork(number),
            in_flight: BTreeMap::new(),
            next_stamp: HashMap::new(),
            refused: HashSet::new(),
            recent: HashMap::new(),
            sent: Sent::default(),
            acknowledged,
        };
        // The connection breaks for good when the broker is killed: what was acknowledged until then counts.
        let _broken = this.produce(options, stop);
        this.sent.unanswered = this.in_flight.into_values().collect();
        this.sent.recent = this.recent.into_values().flatten().collect();
        this.sent
    }

    fn produce(&mut self, options: &LoadOptions, stop: &AtomicBool) -> Result<()> {
        let mut connection = self.connect(&options.address)?;
        while !stop.load(Ordering::Relaxed) {
            let (topic_id, partitions) =
                options.topics[self.seed.below(options.topics.len() as u64) as usize];
            let place = (topic_id, self.seed.below(u64::from(partitions)) as u32);
            while self.must_wait(place) {
                self.receive(&mut connection)?;
            }
            let batch = self.next_batch(place)?;
            let id = connection.send(&batch)?;
            self.in_flight.insert(id, batch);
            if self.seed.below(1000) < DROPS_PER_MILLE {
                drop(connection);
                connection = self.connect_again(&options.address)?;
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

    fn must_wait(&mut self, place: Place) -> bool {
        let under_way = self.in_flight.values().filter(|batch| batch.place() == place).count();
        if under_way == 0 && self.refused.remove(&place) {
            let (epoch, base_sequence) = self.next_stamp.entry(place).or_default();
            (*epoch, *base_sequence) = (*epoch + 1, 0);
            // Batches of an older epoch are refused whether they were stored or not.
            self.recent.remove(&place);
        }
        self.in_flight.len() >= IN_FLIGHT_MAX
            || under_way >= REMEMBERED_BATCHES
            || self.refused.contains(&place)
    }

    fn connect(&self, address: &str) -> Result<Producing> {
        Producing::open(address, self.number % 2 == 1)
    }

    /// A new connection on which everything unanswered is sent once more.
    fn connect_again(&mut self, address: &str) -> Result<Producing> {
        let mut connection = self.connect(address)?;
        self.sent.reconnects += 1;
        let batches: Vec<SentBatch> = std::mem::take(&mut self.in_flight).into_values().collect();
        let mut outcome = Ok(());
        for (id_if_unsent, mut batch) in (UNSENT_FROM..).zip(batches) {
            batch.outcome_unknown = true;
            // When the broker is gone in the middle of it, the rest is not forgotten.
            let sent = outcome.as_ref().ok().map(|()| connection.send(&batch));
            let id = match sent {
                Some(Ok(id)) => id,
                Some(Err(error)) => {
                    outcome = Err(error);
                    id_if_unsent
                }
                None => id_if_unsent,
            };
            self.in_flight.insert(id, batch);
        }
        outcome?;
        Ok(connection)
    }

    fn receive(&mut self, connection: &mut Producing) -> Result<()> {
        let outcomes = connection.receive()?;
        let at_ns = now_ns();
        for Outcome { id, result } in outcomes {
            let mut batch = self.in_flight.remove(&id).context("an outcome of nothing")?;
            let base_offset = match result {
                Ok(base_offset) => base_offset,
                Err(refusal) => {
                    self.refuse(&batch, refusal);
                    continue;
                }
            };
            batch.entry.base_offset = base_offset;
            batch.entry.at_ns = at_ns;
            self.sent.acknowledged.push(batch.entry);
            self.acknowledged.fetch_add(u64::from(batch.entry.count), Ordering::Relaxed);
            let recent = self.recent.entry(batch.place()).or_default();
            recent.push_back(batch);
            if recent.len() > REMEMBERED_BATCHES {
                recent.pop_front();
            }
        }
        Ok(())
    }

    fn refuse(&mut self, batch: &SentBatch, refusal: Refusal) {
        self.sent.refused += 1;
        self.sent.first_refusal.get_or_insert(refusal.reason);
        if !batch.outcome_unknown && !refusal.may_be_stored {
            let Acknowledged { producer, first_sequence, count, .. } = batch.entry;
            let records = first_sequence..first_sequence + u64::from(count);
            self.sent.not_stored.extend(records.map(|sequence| (producer, sequence)));
        }
        self.refused.insert(batch.place());
        // A broker without room is asked again, but not at full speed.
        sleep(Duration::from_millis(2));
    }

    /// Mostly a few small records; at times one large enough to go round the journal.
    fn next_batch(&mut self, place: Place) -> Result<SentBatch> {
        let mut builder = BatchBuilder::new(Compression::None);
        let large = self.seed.chance(1);
        let count = if large { 1 } else { 1 + self.seed.below(20) as u32 };
        let first_sequence = self.next_sequence;
        for _ in 0..count {
            let bytes = if large { 300_000 + self.seed.below(700_000) } else { self.seed.below(2000) };
            let value = value(self.number, self.next_sequence, bytes as usize);
            self.next_sequence += 1;
            let record = RecordRef { timestamp_ms: wall_ms(), key: None, value: Some(&value), headers: &[] };
            builder.append(&record)?;
        }
        let (producer_epoch, next) = self.next_stamp.entry(place).or_default();
        let (producer_epoch, base_sequence) = (*producer_epoch, *next);
        *next += count as i32;
        let producer_id = PRODUCER_IDS_FROM + self.number.cast_signed();
        let bytes = builder.finish(ProducerStamp { producer_id, producer_epoch, base_sequence })?;
        let (topic_id, partition) = place;
        let producer = self.number;
        let entry =
            Acknowledged { topic_id, partition, base_offset: -1, count, producer, first_sequence, at_ns: 0 };
        Ok(SentBatch { entry, bytes, outcome_unknown: false })
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
