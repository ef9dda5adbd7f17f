//! One consumer: reads its share of the partitions, counts, and checks if told to.
//!
//! Hot path.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corelog_client::{Client, ClientError, Consumer, ConsumerOptions, ReceivedBatch, StartAt};
use runtime::{clock, task};
use wire::batch::BATCH_HEADER_BYTES;

use crate::measure::{Shared, Tally, Window, now_ns};
use crate::options::{LoadOptions, Mode};
use crate::payload::{Checker, Stamp};

/// How long what was acknowledged may take to arrive after the producers have ended.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
/// How often a consumer that gets nothing looks whether the run is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct ConsumerRun {
    pub(crate) options: Arc<LoadOptions>,
    pub(crate) shared: Arc<Shared>,
    /// Of this run, among all: 0, 1, ...
    pub(crate) number: usize,
    pub(crate) run_id: u32,
}

impl ConsumerRun {
    /// Subscribes to every n-th partition. `None` when there are more consumers than partitions.
    pub(crate) async fn connect(
        &self,
        client: &Client,
        partitions: u32,
    ) -> Result<Option<Consumer>, ClientError> {
        let share: Vec<u32> = (0..partitions)
            .filter(|&partition| partition as usize % self.options.consumers == self.number)
            .collect();
        if share.is_empty() {
            return Ok(None);
        }
        let end_to_end = self.options.mode == Mode::EndToEnd;
        let options = ConsumerOptions {
            partitions: share,
            start: if end_to_end { StartAt::Latest } else { StartAt::Earliest },
            stop_at_end: !end_to_end,
            ..ConsumerOptions::default()
        };
        let consumer = client.consumer(&self.options.topic, options).await?;
        // What is produced before a subscription stands would be missed.
        while consumer.positions().iter().any(|at| at.position.is_none()) && !self.shared.failed() {
            clock::sleep(Duration::from_millis(1)).await;
        }
        Ok(Some(consumer))
    }

    pub(crate) async fn run(self, consumer: Option<Consumer>, window: Window) -> Tally {
        let mut tally = Tally::default();
        let mut checker = Checker::default();
        if let Some(mut consumer) = consumer
            && let Err(error) = self.read(&mut consumer, window, &mut tally, &mut checker).await
        {
            tally.fail(0, &error);
            // Nobody counts on what cannot come any more.
            self.shared.failed.store(true, Ordering::Relaxed);
        }
        tally.wrong = checker.wrong;
        if tally.first_error.is_none() {
            tally.first_error = checker.first_wrong;
        }
        tally
    }

    async fn read(
        &self,
        consumer: &mut Consumer,
        window: Window,
        tally: &mut Tally,
        checker: &mut Checker,
    ) -> Result<(), ClientError> {
        let ends_ns = window.ends_ns(self.options.duration);
        let mut asked_ns = now_ns();
        loop {
            if self.is_over(ends_ns, asked_ns) {
                return Ok(());
            }
            let next = match clock::timeout(LOOK_INTERVAL, consumer.next_batch()).await {
                Ok(Some(batch)) => batch?,
                Ok(None) => return Ok(()),
                Err(_) => {
                    asked_ns = now_ns();
                    continue;
                }
            };
            let now = now_ns();
            self.count(&next, window, ends_ns, asked_ns, now, tally)?;
            if self.options.verify {
                for record in next.records()? {
                    checker.check(next.partition, record.offset, record.value.as_ref());
                }
            }
            asked_ns = now;
            task::yield_if_needed().await;
        }
    }

    fn is_over(&self, ends_ns: u64, now: u64) -> bool {
        if self.shared.failed() {
            return true;
        }
        let received = self.shared.received.load(Ordering::Relaxed);
        if self.options.mode == Mode::Consume {
            return now >= ends_ns || self.options.count.is_some_and(|count| received >= count);
        }
        let ended = self.shared.producers_ended.load(Ordering::Acquire) == self.options.producers;
        let last_ns = self.shared.last_ns.load(Ordering::Relaxed);
        let late = now.saturating_sub(last_ns) > ARRIVAL_MAX.as_nanos() as u64;
        ended && (late || received >= self.shared.acknowledged.load(Ordering::Relaxed))
    }

    fn count(
        &self,
        batch: &ReceivedBatch,
        window: Window,
        ends_ns: u64,
        asked_ns: u64,
        now: u64,
        tally: &mut Tally,
    ) -> Result<(), ClientError> {
        let records = batch.record_count();
        tally.received += records;
        self.shared.received.fetch_add(records, Ordering::Relaxed);
        self.shared.last_ns.fetch_max(now, Ordering::Relaxed);
        if now >= window.begins_ns && now < ends_ns {
            tally.records += records;
            tally.bytes += value_bytes(batch, self.options.record_size as u64 * records);
        }
        if self.options.mode == Mode::Consume {
            if now >= window.begins_ns {
                tally.record_latency(asked_ns, now, 1);
            }
            return Ok(());
        }
        if self.options.rate.is_none() {
            // Every record of the batch was meant to leave together.
            let intended = first_stamp(batch, self.options.record_size);
            self.record(intended, records, window, now, tally);
            return Ok(());
        }
        for record in batch.records()? {
            let stamp = record.value.as_deref().and_then(Stamp::read);
            self.record(stamp, 1, window, now, tally);
        }
        Ok(())
    }

    fn record(&self, stamp: Option<Stamp>, records: u64, window: Window, now: u64, tally: &mut Tally) {
        match stamp {
            Some(stamp) if stamp.run == self.run_id => {
                if stamp.intended_ns >= window.begins_ns {
                    tally.record_latency(stamp.intended_ns, now, records);
                }
            }
            _ => {
                tally.wrong += records;
                tally.first_error.get_or_insert_with(|| "a record of somebody else in the topic".to_owned());
            }
        }
    }
}

/// Bytes of values: what the records of this run hold, or, of a topic written by others, about what the batch holds.
fn value_bytes(batch: &ReceivedBatch, expected: u64) -> u64 {
    let whole = (batch.bytes().len() - BATCH_HEADER_BYTES) as u64;
    // Between the value and what it takes with its frame lie 7 to 30 bytes a record.
    let records = batch.record_count();
    if expected <= whole && whole - expected <= 30 * records { expected } else { whole }
}

/// The stamp of the first record, without unpacking the others. Its value is the last field but for one byte.
fn first_stamp(batch: &ReceivedBatch, record_size: usize) -> Option<Stamp> {
    let records = batch.bytes().get(BATCH_HEADER_BYTES..)?;
    // Before the value: length (1..5), attributes 1, time 1, offset 1, key 1, value length (1..5).
    (6..=14).find_map(|at| Stamp::read(records.get(at..at + record_size)?))
}
