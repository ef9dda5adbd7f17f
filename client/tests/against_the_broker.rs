//! The client's documented example, and more of its promises, against a real broker.

mod live_broker;

use corelog_client::{
    Client, ClientError, ClientOptions, ConsumerOptions, ErrorCode, ProducerOptions, Record, StartAt,
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
