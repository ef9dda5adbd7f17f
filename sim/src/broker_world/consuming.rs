//! Consumers: each follows a topic for a while from somewhere, seeks, and shows the ledger all it is given.

use std::collections::BTreeMap;
use std::time::Duration;

use corelog_client::{Client, ClientError, Consumer, ConsumerOptions, ReceivedBatch, StartAt};
use runtime::{clock, random};
use uuid::Uuid;

use super::clients::{Outside, is_explained, list_topics, new_client};

/// A consumer looks up from its topic after this long without a batch.
const PATIENCE: Duration = Duration::from_millis(30);

pub(super) async fn live(outside: Outside) {
    let client = new_client();
    while !(outside.is_over() && outside.writing.get() == 0) {
        let Some((topic, name, _)) = outside.draw_topic(&client).await else {
            clock::sleep(PATIENCE).await;
            continue;
        };
        let start = if random::below(4) == 0 { StartAt::Latest } else { StartAt::Earliest };
        if let Some(mut reader) = Reader::open(&outside, &client, topic, &name, start, false).await {
            reader.follow().await;
        }
    }
    read_to_the_end(&outside, &client).await;
}

/// Once nothing is written any more a consumer must come to the end of all that was acknowledged.
async fn read_to_the_end(outside: &Outside, client: &Client) {
    let topics = list_topics(client).await.unwrap_or_else(|error| panic!("no metadata at the end: {error}"));
    for (topic, name, partitions) in topics {
        let Some(mut reader) = Reader::open(outside, client, topic, &name, StartAt::Earliest, false).await
        else {
            assert!(outside.ledger.borrow().may_be_deleted(topic), "no reader of {name} at the end");
            continue;
        };
        for place in (0..partitions).map(|partition| (topic, partition)) {
            while reader.next(place.1) < outside.ledger.borrow().end(place) && reader.take_one().await {}
        }
    }
}

/// One reader of one topic, from one start on.
pub(super) struct Reader {
    outside: Outside,
    topic: Uuid,
    consumer: Consumer,
    /// Where each partition goes on, once that is known.
    positions: BTreeMap<u32, i64>,
}

impl Reader {
    pub(super) async fn open(
        outside: &Outside,
        client: &Client,
        topic: Uuid,
        name: &str,
        start: StartAt,
        stop_at_end: bool,
    ) -> Option<Reader> {
        let options = ConsumerOptions { start, stop_at_end, buffer_bytes: 1 << 16, ..Default::default() };
        let consumer = match client.consumer(name, options).await {
            Ok(consumer) => consumer,
            Err(error) => {
                assert!(is_explained(&error), "no consumer of {name}: {error}");
                return None;
            }
        };
        let reader = Reader { outside: outside.clone(), topic, consumer, positions: BTreeMap::new() };
        outside.is_still(client, topic, name).await.then_some(reader)
    }

    /// Where a partition that was read from its beginning goes on.
    fn next(&self, partition: u32) -> i64 {
        self.positions.get(&partition).copied().unwrap_or(0)
    }

    async fn follow(&mut self) {
        for _ in 0..1 + random::below(40) {
            if self.outside.is_over() && self.outside.writing.get() == 0 || !self.take_one().await {
                return;
            }
            if random::below(20) == 0 {
                self.seek();
            }
        }
    }

    /// Takes one batch if one comes. False when this reader is done.
    async fn take_one(&mut self) -> bool {
        match clock::timeout(PATIENCE, self.consumer.next_batch()).await {
            Err(_) => true,
            Ok(None) => false,
            Ok(Some(Ok(batch))) => {
                self.take(&batch);
                true
            }
            Ok(Some(Err(error))) => {
                self.explain(&error);
                false
            }
        }
    }

    /// To the end, where the consumer was told to stop there; the offsets of each partition.
    pub(super) async fn read_all(mut self) -> BTreeMap<u32, Vec<i64>> {
        let mut offsets: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        while let Some(batch) = self.consumer.next_batch().await {
            let batch = batch.unwrap_or_else(|error| panic!("topic {}: {error}", self.topic));
            offsets.entry(batch.partition).or_default().extend(self.take(&batch));
        }
        offsets
    }

    /// Shows the ledger a batch; the offsets of its records.
    fn take(&mut self, batch: &ReceivedBatch) -> Vec<i64> {
        let place = (self.topic, batch.partition);
        let records = batch.records().unwrap_or_else(|error| panic!("{place:?}: {error}"));
        let mut ledger = self.outside.ledger.borrow_mut();
        ledger.see_high_watermark(place, batch.high_watermark);
        for record in &records {
            let next = self.positions.entry(batch.partition).or_insert(record.offset);
            assert_eq!(record.offset, *next, "{place:?}: a consumer was given a gap or a double");
            *next += 1;
            ledger.see(place, record.offset, record.value.as_deref().unwrap_or_default());
        }
        records.iter().map(|record| record.offset).collect()
    }

    /// A topic that is deleted ends its readers. Nothing else may: above all no position beyond the end, as what was read
    /// once is never lost.
    fn explain(&self, error: &ClientError) {
        let may_be_deleted = self.outside.ledger.borrow().may_be_deleted(self.topic);
        assert!(may_be_deleted && is_explained(error), "topic {}: {error}", self.topic);
    }

    fn seek(&mut self) {
        let Some(partition) =
            self.positions.keys().next_back().map(|last| random::below(u64::from(last + 1)) as u32)
        else {
            return;
        };
        let end = self.outside.ledger.borrow().end((self.topic, partition));
        let to = random::below(end as u64 + 1) as i64;
        if self.consumer.seek(partition, StartAt::Offset(to)).is_ok() {
            self.positions.insert(partition, to);
        }
    }
}
