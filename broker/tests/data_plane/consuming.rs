//! Fetches, subscriptions, offsets.

use crate::fixture::{DataFolder, RawClient, RunningBroker, batch_of, config, records_of};
use uuid::Uuid;
use wire::codes::ErrorCode;
use wire::frame::MessageKind;
use wire::native::{
    Credit, DeleteTopic, ListOffsets, ListOffsetsReply, OffsetQuery, Push, StartPosition, Subscribe,
    SubscribeReply, Unsubscribe,
};

fn subscribe(
    client: &mut RawClient,
    topic_id: Uuid,
    partition: u32,
    start: StartPosition,
) -> (u64, SubscribeReply) {
    let answer = client.ask(&Subscribe { topic_id, partition, start, credit_bytes: 1 << 20 });
    (answer.header.correlation_id, answer.decode())
}

#[test]
fn a_subscription_pushes_what_is_there_and_what_comes_at_any_shard() {
    let data = DataFolder::new("subscription");
    let broker = RunningBroker::start(config(&data));
    let mut producer = broker.connect();
    let topic = producer.create_topic("t", 2);
    for shard in 0..2 {
        for partition in 0..2 {
            let mut consumer = broker.connect_to_shard(shard);
            let before = producer.produce(topic, partition, &batch_of(&["before"])).base_offset;
            let (id, reply) = subscribe(&mut consumer, topic, partition, StartPosition::Offset(before));
            assert_eq!((reply.code, reply.start_offset), (ErrorCode::None, before));
            let push = consumer.receive();
            assert_eq!(push.header.correlation_id, id);
            assert_eq!(records_of(&push.payload)[0].1, "before");
            producer.produce(topic, partition, &batch_of(&["after"]));
            let push = consumer.receive();
            assert_eq!(push.decode::<Push>().end_code, ErrorCode::None);
            assert_eq!(records_of(&push.payload)[0], (before + 1, "after".into()));
            consumer.send(&Unsubscribe { subscription: id }, &[]);
            assert_eq!(consumer.receive().decode::<Push>().end_code, ErrorCode::Unsubscribed);
        }
    }
}

#[test]
fn no_more_is_pushed_than_credit_allows_but_for_one_batch() {
    let data = DataFolder::new("credit");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 1);
    for _ in 0..4 {
        client.produce(topic, 0, &batch_of(&[vec![1_u8; 1_000]]));
    }
    let request =
        Subscribe { topic_id: topic, partition: 0, start: StartPosition::Earliest, credit_bytes: 1 };
    let reply = client.ask(&request);
    let id = reply.header.correlation_id;
    assert_eq!(records_of(&client.receive().payload).len(), 1, "one batch, larger than the credit");
    // The debt is paid first; a metadata answer shows that nothing was pushed before.
    client.send(&Credit { subscription: id, bytes: 100 }, &[]);
    client.metadata();
    client.send(&Credit { subscription: id, bytes: 1 << 20 }, &[]);
    let (mut received, mut offsets) = (0, Vec::new());
    while received < 3 {
        let push = client.receive();
        offsets.extend(records_of(&push.payload).into_iter().map(|(offset, _)| offset));
        received = offsets.len();
    }
    assert_eq!(offsets, [1, 2, 3]);
}

#[test]
fn a_deleted_topic_ends_its_subscriptions() {
    let data = DataFolder::new("deleted");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 2);
    for partition in 0..2 {
        client.produce(topic, partition, &batch_of(&["x"]));
        let (_, reply) = subscribe(&mut client, topic, partition, StartPosition::Latest);
        assert_eq!((reply.code, reply.start_offset), (ErrorCode::None, 1));
    }
    client.send(&DeleteTopic { name: "t".to_owned() }, &[]);
    let mut ended = 0;
    while ended < 2 {
        let answer = client.receive();
        if answer.header.kind == MessageKind::Push {
            assert_eq!(answer.decode::<Push>().end_code, ErrorCode::TopicDeleted);
            ended += 1;
        }
    }
}

#[test]
fn a_waiting_fetch_is_answered_by_the_next_batch_and_an_idle_one_in_time() {
    let data = DataFolder::new("waiting");
    let broker = RunningBroker::start(config(&data));
    let mut producer = broker.connect();
    let topic = producer.create_topic("t", 2);
    for partition in 0..2 {
        let mut consumer = broker.connect_to_shard(0);
        let (reply, run) = consumer.fetch_waiting(topic, partition, 0, 1);
        assert_eq!((reply.code, reply.high_watermark, run.len()), (ErrorCode::None, 0, 0));
        let waiting = std::thread::spawn(move || consumer.fetch_waiting(topic, partition, 0, 20_000));
        producer.produce(topic, partition, &batch_of(&["now"]));
        let (_, run) = waiting.join().unwrap();
        assert_eq!(records_of(&run)[0].1, "now");
        let mut consumer = broker.connect_to_shard(1);
        assert_eq!(consumer.fetch(topic, partition, 7).0.code, ErrorCode::OffsetOutOfRange);
    }
}

#[test]
fn offsets_are_found_by_position_and_time() {
    let data = DataFolder::new("offsets");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 2);
    for partition in 0..2 {
        client.produce(topic, partition, &batch_of(&["at 1000", "at 1001"]));
        client.produce(topic, partition, &batch_of(&["at 1000", "at 1001", "at 1002"]));
        let mut find = |at| {
            let reply: ListOffsetsReply =
                client.ask(&ListOffsets { topic_id: topic, partition, at }).decode();
            assert_eq!(reply.code, ErrorCode::None);
            reply.offset
        };
        assert_eq!(find(OffsetQuery::Earliest), 0);
        assert_eq!(find(OffsetQuery::Latest), 5);
        assert_eq!(find(OffsetQuery::Time(0)), 0);
        assert_eq!(find(OffsetQuery::Time(1_001)), 1, "in the middle of the batch");
        assert_eq!(find(OffsetQuery::Time(1_002)), 4);
        assert_eq!(find(OffsetQuery::Time(1_003)), -1);
        assert_eq!(find(OffsetQuery::MaxTimestamp), 4);
        assert_eq!(find(OffsetQuery::Time(5_000)), -1);
    }
}
