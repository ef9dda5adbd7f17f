//! The client on tokio against a broker that loses connections, refuses, and hides ports.

mod fake_broker;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelog_client::{
    Client, ClientError, ClientOptions, Compression, ConsumerOptions, Delivery, ErrorCode, Notices,
    ProducerOptions, Record, StartAt,
};
use fake_broker::FakeBroker;

fn connect(broker: &FakeBroker) -> Client {
    Client::connect(ClientOptions::new(broker.shared.to_string())).unwrap()
}

fn small_batches() -> ProducerOptions {
    ProducerOptions { batch_bytes: 300, ..ProducerOptions::default() }
}

/// Sends `count` numbered records to each partition; all are acknowledged at the offset of their number.
async fn send_numbers(client: &Client, options: ProducerOptions, partitions: u32, count: usize) {
    let producer = client.producer("t", options).await.unwrap();
    let mut deliveries: Vec<(usize, Delivery)> = Vec::new();
    for number in 0..count {
        for partition in 0..partitions {
            let record = Record::new(number.to_string()).partition(partition);
            deliveries.push((number, producer.send(record).await.unwrap()));
        }
    }
    producer.flush().await;
    for (number, delivery) in deliveries {
        assert_eq!(delivery.await.unwrap().offset, number as i64);
    }
}

fn assert_numbers(broker: &FakeBroker, count: usize) {
    for log in &broker.state().partitions {
        let expected: Vec<Vec<u8>> = (0..count).map(|number| number.to_string().into_bytes()).collect();
        assert_eq!(log.values(), expected);
    }
}

#[tokio::test]
async fn records_are_stored_in_order_on_the_shards_that_own_them() {
    let broker = FakeBroker::start(4);
    for compression in [Compression::None, Compression::Lz4] {
        *broker.state() = fresh(&broker, 4);
        let options = ProducerOptions { compression, linger: Duration::from_millis(2), ..small_batches() };
        send_numbers(&connect(&broker), options, 4, 500).await;
        assert_numbers(&broker, 500);
        assert!(broker.state().produced_on_shards > 0);
    }
}

fn fresh(broker: &FakeBroker, partitions: usize) -> fake_broker::State {
    let mut state = std::mem::take(&mut *broker.state());
    state.partitions.clear();
    state.partitions.resize_with(partitions, Default::default);
    state
}

#[tokio::test]
async fn a_connection_cut_before_the_acknowledgement_stores_nothing_twice_and_nothing_out_of_order() {
    let broker = FakeBroker::start(2);
    let cutter = broker.clone();
    let stop = Arc::new(AtomicUsize::new(0));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        while stopped.load(Ordering::Relaxed) == 0 {
            cutter.state().cut_after = Some(7);
            std::thread::sleep(Duration::from_millis(30));
        }
    });
    send_numbers(&connect(&broker), small_batches(), 2, 2_000).await;
    stop.store(1, Ordering::Relaxed);
    thread.join().unwrap();
    assert_numbers(&broker, 2_000);
}

/// A producer was dropped with a batch under way. Its bytes stayed counted on the connection, and its answer, which found
/// nobody, never took them off: the connection had less room for everybody, in the end none.
#[tokio::test]
async fn a_producer_that_is_gone_leaves_its_room_to_the_next() {
    let broker = FakeBroker::start(1);
    let client = connect(&broker);
    let options = || ProducerOptions { in_flight_bytes: 1_000, ..small_batches() };
    broker.state().hold = true;
    let first = client.producer("t", options()).await.unwrap();
    let abandoned = first.send(Record::new(vec![1; 700])).await.unwrap();
    // Its identity comes before the batch, on another connection: it is under way once the other side holds it.
    while broker.state().held == 0 {
        tokio::task::yield_now().await;
    }
    drop(first);
    assert!(abandoned.await.unwrap_err().may_be_stored());
    let second = client.producer("t", options()).await.unwrap();
    let delivery = second.send(Record::new(vec![2; 700])).await.unwrap();
    broker.state().hold = false;
    broker.state.1.notify_all();
    assert_eq!(delivery.await.unwrap().offset, 1);
}

#[tokio::test]
async fn refused_batches_are_sent_again_in_order() {
    let broker = FakeBroker::start(1);
    broker.state().refuse =
        [ErrorCode::Overloaded, ErrorCode::NotServing, ErrorCode::StorageFull, ErrorCode::Overloaded].into();
    send_numbers(&connect(&broker), small_batches(), 1, 300).await;
    assert_numbers(&broker, 300);
}

#[tokio::test]
async fn a_batch_refused_for_good_fails_alone_and_the_rest_goes_on() {
    let broker = FakeBroker::start(1);
    let client = connect(&broker);
    let producer =
        client.producer("t", ProducerOptions { batch_bytes: 70, ..Default::default() }).await.unwrap();
    producer.send_and_wait(Record::new("before")).await.unwrap();
    broker.state().refuse = [ErrorCode::InvalidTimestamp].into();
    let mut deliveries = Vec::new();
    for number in 0..20 {
        deliveries.push(producer.send(Record::new(number.to_string())).await.unwrap());
    }
    let mut failed = Vec::new();
    for delivery in deliveries {
        if let Err(error) = delivery.await {
            assert!(!error.is_retriable() && !error.may_be_stored(), "{error}");
            failed.push(error);
        }
    }
    assert_eq!(failed, [ClientError::Refused { code: ErrorCode::InvalidTimestamp, message: String::new() }]);
    let expected: Vec<Vec<u8>> =
        std::iter::once(b"before".to_vec()).chain((1..20).map(|n: u32| n.to_string().into_bytes())).collect();
    assert_eq!(broker.state().partitions[0].values(), expected);
}

#[tokio::test]
async fn without_idempotence_a_lost_answer_is_an_error_that_says_so() {
    let broker = FakeBroker::start(1);
    broker.state().cut_after = Some(1);
    let client = connect(&broker);
    let options = ProducerOptions { idempotent: false, ..Default::default() };
    let producer = client.producer("t", options).await.unwrap();
    let error = producer.send_and_wait(Record::new("x")).await.unwrap_err();
    assert!(error.may_be_stored(), "{error}");
    assert_eq!(producer.send_and_wait(Record::new("y")).await.unwrap().offset, 1);
}

#[tokio::test]
async fn a_hidden_shard_port_is_said_once_and_the_shared_port_serves() {
    let broker = FakeBroker::start(2);
    broker.state().hide_shards = true;
    let said = Arc::new(AtomicUsize::new(0));
    let counter = said.clone();
    let notices = Notices::to(move |text| {
        assert!(text.contains("does not answer"), "{text}");
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let options = ClientOptions { notices, ..ClientOptions::new(broker.shared.to_string()) };
    let client = Client::connect(options).unwrap();
    send_numbers(&client, small_batches(), 2, 200).await;
    assert_numbers(&broker, 200);
    let options = ConsumerOptions { start: StartAt::Earliest, stop_at_end: true, ..Default::default() };
    let mut consumer = client.consumer("t", options).await.unwrap();
    let mut count = 0;
    while let Some(batch) = consumer.next_batch().await {
        count += batch.unwrap().record_count();
    }
    assert_eq!((count, said.load(Ordering::Relaxed)), (400, 2), "once for each of two shards");
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_stood_when_connections_are_cut() {
    let broker = FakeBroker::start(3);
    let client = connect(&broker);
    let options = ConsumerOptions { start: StartAt::Earliest, buffer_bytes: 1, ..Default::default() };
    let mut consumer = client.consumer("t", options).await.unwrap();
    let sender = connect(&broker);
    let sending = tokio::spawn(async move { send_numbers(&sender, small_batches(), 3, 3_000).await });
    let mut next = [0_i64; 3];
    let mut batches = 0;
    while next.iter().sum::<i64>() < 9_000 {
        let batch = consumer.next_batch().await.unwrap().unwrap();
        for record in batch.records().unwrap() {
            assert_eq!(record.offset, next[batch.partition as usize]);
            assert_eq!(record.value.unwrap(), record.offset.to_string());
            next[batch.partition as usize] += 1;
        }
        batches += 1;
        if batches % 40 == 0 {
            broker.cut_all();
        }
    }
    sending.await.unwrap();
    assert_eq!(next, [3_000; 3]);
}

#[tokio::test]
async fn a_consumer_seeks_and_begins_inside_a_batch() {
    let broker = FakeBroker::start(1);
    let client = connect(&broker);
    send_numbers(&client, small_batches(), 1, 200).await;
    let options = ConsumerOptions { start: StartAt::Offset(150), ..Default::default() };
    let mut consumer = client.consumer("t", options).await.unwrap();
    let first = consumer.next_batch().await.unwrap().unwrap();
    assert_eq!((first.first_offset(), first.records().unwrap()[0].offset), (150, 150));
    consumer.seek(0, StartAt::Offset(3)).unwrap();
    let first = consumer.next_batch().await.unwrap().unwrap();
    assert_eq!(first.records().unwrap()[0].offset, 3);
    let out_of_range = ConsumerOptions { start: StartAt::Offset(900), ..Default::default() };
    let mut consumer = client.consumer("t", out_of_range).await.unwrap();
    let error = consumer.next_batch().await.unwrap().unwrap_err();
    let message = "partition 0, offset 900".to_owned();
    assert_eq!(error, ClientError::Refused { code: ErrorCode::OffsetOutOfRange, message });
}

#[tokio::test]
async fn send_waits_for_room_and_a_closed_client_fails_what_waits() {
    let broker = FakeBroker::start(1);
    let client = connect(&broker);
    let options =
        ProducerOptions { buffer_bytes: 1_000, linger: Duration::from_secs(3_600), ..Default::default() };
    let producer = client.producer("t", options).await.unwrap();
    let held = producer.send(Record::new(vec![0; 800])).await.unwrap();
    let mut second = Box::pin(producer.send(Record::new(vec![0; 800])));
    let early = tokio::time::timeout(Duration::from_millis(20), &mut second).await;
    assert!(early.is_err(), "there is no room for it");
    client.close();
    assert_eq!(second.await.unwrap_err(), ClientError::Closed { may_be_stored: false });
    assert_eq!(held.await.unwrap_err(), ClientError::Closed { may_be_stored: false });
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_an_error_by_name() {
    let broker = FakeBroker::start(1);
    let client = connect(&broker);
    let error = client.producer("nowhere", ProducerOptions::default()).await.unwrap_err();
    assert_eq!(error, ClientError::NoSuchTopic { name: "nowhere".into() });
    assert_eq!(client.admin().describe_node().await.unwrap(), "{\"pid\":1}");
}

#[tokio::test]
async fn records_overdue_without_a_broker_fail_and_are_not_stored() {
    let broker = FakeBroker::start(1);
    let client = connect(&broker);
    let options = ProducerOptions { delivery_timeout: Duration::from_millis(300), ..Default::default() };
    let producer = client.producer("t", options).await.unwrap();
    broker.state().refuse = std::iter::repeat_n(ErrorCode::Overloaded, 1_000).collect();
    let error = producer.send_and_wait(Record::new("x")).await.unwrap_err();
    assert!(error.is_retriable() && !error.may_be_stored(), "{error}");
    broker.state().refuse.clear();
    assert_eq!(producer.send_and_wait(Record::new("y")).await.unwrap().offset, 0);
}
