//! Produce and its acknowledgements.

use crate::fixture::{DataFolder, RunningBroker, batch_of, config, records_of};
use wire::codes::ErrorCode;

#[test]
fn what_was_acknowledged_is_read_back_at_its_offset() {
    let data = DataFolder::new("acknowledged");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 4);
    for partition in 0..4 {
        let ack = client.produce(topic, partition, &batch_of(&["a", "b"]));
        assert_eq!((ack.code, ack.base_offset), (ErrorCode::None, 0));
        let ack = client.produce(topic, partition, &batch_of(&["c"]));
        assert_eq!((ack.code, ack.base_offset), (ErrorCode::None, 2));
        let (reply, run) = client.fetch(topic, partition, 0);
        assert_eq!((reply.code, reply.high_watermark), (ErrorCode::None, 3));
        let values: Vec<_> =
            records_of(&run).into_iter().map(|(offset, value)| (offset, value.to_vec())).collect();
        assert_eq!(values, [(0, b"a".to_vec()), (1, b"b".to_vec()), (2, b"c".to_vec())]);
    }
    broker.stop();
}

#[test]
fn a_clean_stop_and_a_start_with_other_shards_keep_everything() {
    let data = DataFolder::new("restart");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 5);
    for partition in 0..5 {
        client.produce(topic, partition, &batch_of(&[format!("value {partition}")]));
    }
    let cluster = broker.ready.cluster_id;
    drop(client);
    broker.stop();
    for cores in [vec![0], vec![0, 1]] {
        let broker = RunningBroker::start(broker::Config { cores, ..config(&data) });
        assert!(broker.ready.was_clean);
        assert_eq!(broker.ready.cluster_id, cluster);
        let mut client = broker.connect();
        assert_eq!(client.metadata().topics[0].id, topic);
        for partition in 0..5 {
            let (reply, run) = client.fetch(topic, partition, 0);
            assert_eq!(reply.code, ErrorCode::None);
            assert_eq!(records_of(&run)[0].1, format!("value {partition}"));
        }
        drop(client);
        broker.stop();
    }
}

#[test]
fn pipelined_batches_are_acknowledged_in_the_order_of_their_partition() {
    let data = DataFolder::new("pipelined");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 2);
    let sent: Vec<u64> = (0..500).map(|n| client.send_batch(topic, n % 2, &batch_of(&["x"]))).collect();
    let mut acks = Vec::new();
    while acks.len() < sent.len() {
        acks.extend(client.receive_acks());
    }
    for first_sent in &sent[..2] {
        let of_partition = acks.iter().filter(|ack| ack.correlation_id % 2 == first_sent % 2);
        let offsets: Vec<i64> = of_partition.map(|ack| ack.base_offset).collect();
        assert_eq!(offsets, (0..250).collect::<Vec<_>>());
    }
}

#[test]
fn a_large_batch_goes_through_whichever_shard_it_is_sent_to() {
    let data = DataFolder::new("large");
    let broker = RunningBroker::start(config(&data));
    let value = vec![7_u8; 3 << 20];
    let topic = broker.connect().create_topic("t", 2);
    for shard in 0..2 {
        let mut client = broker.connect_to_shard(shard);
        for partition in 0..2 {
            let ack = client.produce(topic, partition, &batch_of(&[&value]));
            assert_eq!(ack.code, ErrorCode::None);
            let (_, run) = client.fetch(topic, partition, ack.base_offset);
            let records = records_of(&run);
            assert_eq!((records[0].0, records[0].1.len()), (ack.base_offset, value.len()));
        }
    }
}

#[test]
fn a_bad_batch_is_refused_alone() {
    let data = DataFolder::new("bad-batch");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 1);
    let good = batch_of(&["good"]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(client.produce(topic, 0, &flipped).code, ErrorCode::CorruptBatch);
    assert_eq!(client.produce(topic, 0, &good[..10]).code, ErrorCode::InvalidBatch);
    assert_eq!(client.produce(topic, 9, &good).code, ErrorCode::UnknownPartition);
    assert_eq!(client.produce(uuid::Uuid::from_u128(1), 0, &good).code, ErrorCode::UnknownTopic);
    let ack = client.produce(topic, 0, &good);
    assert_eq!((ack.code, ack.base_offset), (ErrorCode::None, 0));
}
