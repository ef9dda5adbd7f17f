//! One producer: the closed loop (so many batches under way) or the open loop (so many records a second).
//!
//! Hot path.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corelog_client::{BatchProducer, Client, ClientError, ProducerOptions, QueuedDelivery, Record};
use runtime::{clock, task};

use crate::measure::{Shared, Tally, Window, now_ns};
use crate::options::{LoadOptions, Mode};
use crate::payload::{Stamp, Template, noise, stamped_batch};

/// How long the last answers are waited for.
const DRAIN: Duration = Duration::from_secs(60);
/// Records the open loop sends between two looks at the answers.
const BURST_RECORDS: usize = 256;

pub(crate) struct ProducerRun {
    pub(crate) options: Arc<LoadOptions>,
    pub(crate) shared: Arc<Shared>,
    /// Of this run, among all: 0, 1, ...
    pub(crate) number: usize,
    pub(crate) run_id: u32,
}

/// What the sending and the collecting task of one producer share.
struct Progress {
    tally: RefCell<Tally>,
    under_way: Cell<usize>,
    sending_ended: Cell<bool>,
}

impl ProducerRun {
    pub(crate) async fn connect(&self, client: &Client) -> Result<BatchProducer, ClientError> {
        let options = &self.options;
        let open_loop = options.rate.is_some();
        let batch = options.batch_bytes.max(options.record_size + 128);
        let producer = ProducerOptions {
            batch_bytes: options.batch_bytes,
            linger: options.linger,
            // The closed loop is bounded by its batches under way, not by bytes.
            buffer_bytes: if open_loop { 256 << 20 } else { (options.in_flight + 1) * batch * 2 },
            in_flight_bytes: usize::MAX,
            compression: options.compression,
            idempotent: options.idempotent,
            ..ProducerOptions::default()
        };
        client.batch_producer(&options.topic, producer).await
    }

    pub(crate) async fn run(self, producer: BatchProducer, window: Window) -> Tally {
        let producer = Rc::new(producer);
        let progress = Rc::new(Progress {
            tally: RefCell::new(Tally::default()),
            under_way: Cell::new(0),
            sending_ended: Cell::new(false),
        });
        let collector = Collector {
            producer: producer.clone(),
            progress: progress.clone(),
            shared: self.shared.clone(),
            window,
            ends_ns: window.ends_ns(self.options.duration),
            records: if self.options.rate.is_some() { 1 } else { self.options.records_of_a_batch() as u64 },
            record_size: self.options.record_size as u64,
            counts: self.options.mode == Mode::Produce,
        };
        let result = if self.options.rate.is_some() {
            let collecting = task::spawn(collector.collect_all());
            let result = self.open_loop(&producer, &progress, window).await;
            progress.sending_ended.set(true);
            producer.flush().await;
            collecting.await;
            result
        } else {
            self.closed_loop(&producer, &progress, collector, window).await
        };
        self.shared.producers_ended.fetch_add(1, Ordering::AcqRel);
        if let Err(error) = result {
            progress.tally.borrow_mut().fail(0, &error);
        }
        progress.tally.take()
    }

    /// This producer's part of a count.
    fn share(&self) -> u64 {
        let producers = self.options.producers as u64;
        let share = |count: u64| count / producers + u64::from(count % producers > self.number as u64);
        self.options.count.map_or(u64::MAX, share)
    }

    async fn closed_loop(
        &self,
        producer: &BatchProducer,
        progress: &Progress,
        collector: Collector,
        window: Window,
    ) -> Result<(), ClientError> {
        let options = &self.options;
        let records = options.records_of_a_batch();
        let seed = u64::from(self.run_id) << 32 | self.number as u64;
        let template = Template::new(records, options.record_size, options.stamps(), seed);
        let filler = noise(options.record_size, seed);
        let partitions = producer.partition_count();
        let mut sequences = vec![0_u64; partitions as usize];
        let ends_ns = window.ends_ns(options.duration);
        // Producers begin at different partitions.
        let mut partition = (self.number as u32) % partitions;
        let (mut left, mut answers) = (self.share(), VecDeque::new());
        loop {
            let now = now_ns();
            if now >= ends_ns || left == 0 || self.shared.failed() {
                break;
            }
            if progress.under_way.get() >= options.in_flight {
                producer.deliveries().take_all(&mut answers).await;
                collector.settle(&mut answers);
                continue;
            }
            let sequence = &mut sequences[partition as usize];
            let stamp = Stamp {
                run: self.run_id,
                producer: self.number as u32,
                sequence: *sequence,
                intended_ns: now,
            };
            let batch = if options.verify {
                stamped_batch(&filler, records, stamp, clock::wall_ms())
            } else {
                template.batch(clock::wall_ms(), &stamp)
            };
            *sequence += records as u64;
            producer.send_batch(partition, batch, now).await?;
            progress.under_way.set(progress.under_way.get() + 1);
            progress.tally.borrow_mut().sent += records as u64;
            left = left.saturating_sub(records as u64);
            partition = (partition + 1) % partitions;
        }
        progress.sending_ended.set(true);
        collector.collect_all().await;
        Ok(())
    }

    /// Sends each record at its time, or as soon after as it can: it still counts from its time.
    async fn open_loop(
        &self,
        producer: &BatchProducer,
        progress: &Progress,
        window: Window,
    ) -> Result<(), ClientError> {
        let options = &self.options;
        let rate = options.rate.unwrap_or(1.0) / options.producers as f64;
        let seed = u64::from(self.run_id) << 32 | self.number as u64;
        let filler = noise(options.record_size, seed);
        let template = bytes::Bytes::from(filler.clone());
        let partitions = producer.partition_count();
        let mut sequences: HashMap<u32, u64> = HashMap::new();
        let ends_ns = window.ends_ns(options.duration);
        // Producers are out of step, so that they do not send in bursts.
        let first_ns = now_ns() as f64 + 1e9 / rate * self.number as f64 / options.producers as f64;
        let share = self.share();
        let mut index = 0_u64;
        while index < share && !self.shared.failed() {
            let intended_ns = (first_ns + index as f64 * 1e9 / rate) as u64;
            if intended_ns >= ends_ns {
                break;
            }
            let now = now_ns();
            if intended_ns > now {
                clock::sleep(Duration::from_nanos(intended_ns - now)).await;
            } else if index.is_multiple_of(BURST_RECORDS as u64) {
                task::yield_if_needed().await;
            }
            let partition = ((index + self.number as u64) % u64::from(partitions)) as u32;
            let value = if options.stamps() {
                let sequence = sequences.entry(partition).or_insert(0);
                let stamp = Stamp {
                    run: self.run_id,
                    producer: self.number as u32,
                    sequence: *sequence,
                    intended_ns,
                };
                *sequence += 1;
                let mut value = filler.clone();
                stamp.write(&mut value, options.verify);
                bytes::Bytes::from(value)
            } else {
                template.clone()
            };
            producer.send(&Record::new(value).partition(partition), intended_ns).await?;
            progress.under_way.set(progress.under_way.get() + 1);
            progress.tally.borrow_mut().sent += 1;
            index += 1;
        }
        Ok(())
    }
}

/// Takes answers and counts them.
struct Collector {
    producer: Rc<BatchProducer>,
    progress: Rc<Progress>,
    shared: Arc<Shared>,
    window: Window,
    ends_ns: u64,
    /// Of each answer.
    records: u64,
    record_size: u64,
    /// Throughput and latency are those of acknowledgements.
    counts: bool,
}

impl Collector {
    /// Until everything sent is answered, or the answers do not come any more.
    async fn collect_all(self) {
        let mut answers = VecDeque::new();
        loop {
            if self.progress.sending_ended.get() && self.progress.under_way.get() == 0 {
                return;
            }
            let wait = if self.progress.sending_ended.get() { DRAIN } else { Duration::from_millis(100) };
            let taken = clock::timeout(wait, self.producer.deliveries().take_all(&mut answers)).await;
            if taken.is_err() && self.progress.sending_ended.get() && wait == DRAIN {
                return;
            }
            self.settle(&mut answers);
        }
    }

    /// The token of an answer is the time its latency counts from.
    fn settle(&self, answers: &mut VecDeque<QueuedDelivery>) {
        let now = now_ns();
        let mut tally = self.progress.tally.borrow_mut();
        let under_way = self.progress.under_way.get();
        self.progress.under_way.set(under_way.saturating_sub(answers.len()));
        let mut acknowledged = 0;
        for QueuedDelivery { token, result } in answers.drain(..) {
            if let Err(error) = result {
                tally.fail(self.records, &error);
                continue;
            }
            acknowledged += self.records;
            if self.counts && token >= self.window.begins_ns {
                tally.record_latency(token, now, self.records);
            }
        }
        tally.acknowledged += acknowledged;
        self.shared.acknowledged.fetch_add(acknowledged, Ordering::Relaxed);
        self.shared.last_ns.fetch_max(now, Ordering::Relaxed);
        if self.counts && now >= self.window.begins_ns && now < self.ends_ns {
            tally.records += acknowledged;
            tally.bytes += acknowledged * self.record_size;
        }
    }
}
