//! Producers: idempotent or not, one after the other, each pipelining records into all partitions of one topic.

use std::time::Duration;

use corelog_client::{Client, ClientError, Compression, Delivered, Producer, ProducerOptions, Record};
use runtime::gate::Gate;
use runtime::{clock, random};
use uuid::Uuid;

use super::clients::{Outside, is_explained, new_client};
use super::ledger::{ProducerRef, Serial};

/// Records without an answer that a producer has at most.
const UNANSWERED_MAX: usize = 24;

pub(super) async fn live(outside: Outside) {
    let client = new_client();
    while !outside.is_over() {
        match open(&outside, &client).await {
            Some((topic, reference, producer)) => produce(&outside, topic, reference, producer).await,
            None => clock::sleep(Duration::from_millis(1 + random::below(20))).await,
        }
    }
}

async fn open(outside: &Outside, client: &Client) -> Option<(Uuid, ProducerRef, Producer)> {
    let (topic, name, _) = outside.draw_topic(client).await?;
    let options = options();
    let reference = outside.ledger.borrow_mut().producer(options.idempotent);
    let producer = match client.producer(&name, options).await {
        Ok(producer) => producer,
        Err(error) => {
            assert!(is_explained(&error), "no producer for {name}: {error}");
            return None;
        }
    };
    outside.is_still(client, topic, &name).await.then_some((topic, reference, producer))
}

fn options() -> ProducerOptions {
    let compression = match random::below(8) {
        0 => Compression::Lz4,
        1 => Compression::Zstd,
        _ => Compression::None,
    };
    ProducerOptions {
        linger: Duration::from_millis(random::below(2)),
        batch_bytes: if random::below(2) == 0 { 2_000 } else { 64 << 10 },
        delivery_timeout: Duration::from_millis(if random::below(4) == 0 { 300 } else { 60_000 }),
        idempotent: random::below(4) > 0,
        compression,
        ..ProducerOptions::default()
    }
}

async fn produce(outside: &Outside, topic: Uuid, reference: ProducerRef, producer: Producer) {
    let answers = Gate::new();
    let records = 1 + random::below(outside.plan.records_per_producer);
    let mut unanswered = Vec::new();
    for _ in 0..records {
        if outside.is_over() {
            break;
        }
        let partition = random::below(u64::from(producer.partition_count().max(1))) as u32;
        let place = (topic, partition);
        let longest = if random::below(4) == 0 { outside.plan.value_bytes_max } else { 200 };
        let length = 8 + random::below(longest) as usize;
        let (serial, value) = outside.ledger.borrow_mut().send(reference, place, length);
        match producer.send(Record::new(value).partition(partition)).await {
            Ok(delivery) => unanswered.push(answers.spawn(note(outside.clone(), serial, delivery))),
            Err(error) => {
                answered(outside, serial, Err(error));
                break;
            }
        }
        if unanswered.len() >= UNANSWERED_MAX || random::below(12) == 0 {
            for answer in unanswered.drain(..).flatten() {
                answer.await;
            }
        }
        if random::below(3) == 0 {
            clock::sleep(Duration::from_micros(random::below(4_000))).await;
        }
    }
    producer.close().await;
    answers.close().await;
}

async fn note(outside: Outside, serial: Serial, delivery: corelog_client::Delivery) {
    let result = delivery.await;
    answered(&outside, serial, result);
}

fn answered(outside: &Outside, serial: Serial, result: Result<Delivered, ClientError>) {
    let mut ledger = outside.ledger.borrow_mut();
    match result {
        Ok(Delivered { partition, offset }) => ledger.acknowledge(serial, partition, offset),
        Err(error) => {
            assert!(is_explained(&error), "record {serial}: {error}");
            if !error.may_be_stored() {
                ledger.refuse(serial, &error.to_string());
            }
        }
    }
}
