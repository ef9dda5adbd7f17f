//! The client's documented example, and more of its promises, against a real broker.

mod live_broker;

use corelog_client::{
    Client, ClientError, ClientOptions, Compression, ConsumerOptions, ErrorCode, ProducerOptions, Record,
    StartAt,
};
use live_broker::LiveBroker;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_crate_documentation_shows_works() {
    let broker = LiveBroker::start("client-example");
    let client = Client::connect(ClientOptions::new(broker.server.clone())).unwrap();
    client.admin().create_topic("greetings", 4, &[], false).await.unwrap();
    let again = client.admin().create_topic("greetings", 4, &[], false).await.unwrap_err();
    assert!(matches!(again, ClientError::Refused { code: ErrorCode::TopicExists, .. }), "{again}");

    let producer = client.producer("greetings", ProducerOptions::default()).await.unwrap();
    let delivery = producer.send(Record::new("hello").key("world")).await.unwrap();
    let stored = delivery.await.unwrap();
    assert_eq!(stored.offset, 0);

    let options = ConsumerOptions { start: StartAt::Earliest, stop_at_end: true, ..Default::default() };
    let mut consumer = client.consumer("greetings", options).await.unwrap();
    let mut seen = Vec::new();
    while let Some(batch) = consumer.next_batch().await {
        seen.extend(batch.unwrap().records().unwrap());
    }
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].key.as_deref(), seen[0].value.as_deref()),
        (Some(&b"world"[..]), Some(&b"hello"[..]))
    );
    producer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_come_back_in_order_while_they_are_sent() {
    let broker = LiveBroker::start("client-order");
    let client = Client::connect(ClientOptions::new(broker.server.clone())).unwrap();
    client.admin().create_topic("numbers", 3, &[], false).await.unwrap();
    let options = ConsumerOptions { start: StartAt::Earliest, ..Default::default() };
    let mut consumer = client.consumer("numbers", options).await.unwrap();
    let producer = client
        .producer("numbers", ProducerOptions { batch_bytes: 2_000, ..Default::default() })
        .await
        .unwrap();
    let sending = tokio::spawn(async move {
        let mut deliveries = Vec::new();
        for number in 0..5_000_i64 {
            for partition in 0..3 {
                let record = Record::new(number.to_string()).partition(partition);
                deliveries.push((number, producer.send(record).await.unwrap()));
            }
        }
        for (number, delivery) in deliveries {
            assert_eq!(delivery.await.unwrap().offset, number);
        }
    });
    let mut next = [0_i64; 3];
    while next.iter().sum::<i64>() < 15_000 {
        let batch = consumer.next_batch().await.unwrap().unwrap();
        for record in batch.records().unwrap() {
            let next = &mut next[batch.partition as usize];
            assert_eq!(
                (record.offset, record.value.unwrap().to_vec()),
                (*next, next.to_string().into_bytes())
            );
            *next += 1;
        }
    }
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_starts_at_a_time_begins_with_the_record_of_that_time() {
    let broker = LiveBroker::start("client-time");
    let client = Client::connect(ClientOptions::new(broker.server.clone())).unwrap();
    for compression in [Compression::None, Compression::Zstd] {
        let topic = format!("times-{compression}");
        client.admin().create_topic(&topic, 1, &[], false).await.unwrap();
        let options = ProducerOptions { compression, ..Default::default() };
        let producer = client.producer(&topic, options).await.unwrap();
        // Three batches of ten; times need not grow.
        for batch in 0..3_i64 {
            let mut deliveries = Vec::new();
            for number in 0..10 {
                let record = Record::new("x").timestamp_ms(1_000 * batch + 10 * number);
                deliveries.push(producer.send(record).await.unwrap());
            }
            for delivery in deliveries {
                delivery.await.unwrap();
            }
        }
        for (time_ms, first) in [(0, 0), (1, 1), (45, 5), (91, 10), (1_031, 14), (2_090, 29)] {
            let start = StartAt::Time(time_ms);
            let options = ConsumerOptions { start, stop_at_end: true, ..Default::default() };
            let mut consumer = client.consumer(&topic, options).await.unwrap();
            let mut offsets = Vec::new();
            while let Some(batch) = consumer.next_batch().await {
                offsets.extend(batch.unwrap().records().unwrap().into_iter().map(|record| record.offset));
            }
            assert_eq!(offsets, (first..30).collect::<Vec<_>>(), "{compression} from {time_ms}");
        }
        producer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_consumer_skips_on_its_way_to_a_time_gives_its_credit_back() {
    let broker = LiveBroker::start("client-skip");
    let client = Client::connect(ClientOptions::new(broker.server.clone())).unwrap();
    client.admin().create_topic("skipped", 1, &[], false).await.unwrap();
    let producer = client.producer("skipped", ProducerOptions::default()).await.unwrap();
    // In the future: all that comes before is dropped on arrival.
    let options = ConsumerOptions { start: StartAt::Time(5_000), buffer_bytes: 1, ..Default::default() };
    let mut consumer = client.consumer("skipped", options).await.unwrap();
    let value = vec![7_u8; 100_000];
    for time_ms in (0..100).chain([5_000]) {
        let record = Record::new(value.clone()).timestamp_ms(time_ms);
        producer.send(record).await.unwrap().await.unwrap();
    }
    let batch = consumer.next_batch().await.unwrap().unwrap();
    assert_eq!(batch.first_offset(), 100);
    producer.close().await;
}
