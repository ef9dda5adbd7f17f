//! Batches in: every version, many partitions, order, refusals, idempotence.

use bytes::Bytes;
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};
use wire::kafka::{
    self, ErrorCode, InitProducerIdRequest, MetadataRequest, ProducePartition, ProduceRequest, ProduceTopic,
};

use crate::fixture::{
    DataFolder, KafkaClient, RunningBroker, batch_of, config, fetch_from, fetched, produce_to, produced,
    records_of,
};

#[test]
fn every_version_keeps_a_batch_through_the_right_core_and_the_wrong_one() {
    let data = DataFolder::new("kafka-produce-versions");
    let broker = RunningBroker::start(config(&data));
    let id = KafkaClient::connect(broker.shared()).create_topic("versions", 2);
    let mut next = [0; 2];
    for shard in &broker.ready.shards {
        let mut client = KafkaClient::connect(*shard);
        for version in 3..=13 {
            for partition in 0..2 {
                let mut request = produce_to("versions", partition, batch_of(&["a", "b"]));
                request.topics[0].topic_id = id;
                let response = client.ask::<kafka::Produce>(version, &request);
                let next = &mut next[partition as usize];
                assert_eq!(produced(&response), (ErrorCode::None, *next), "version {version}");
                *next += 2;
            }
        }
    }
    let mut client = KafkaClient::connect(broker.shared());
    for partition in 0..2 {
        let response = client.ask::<kafka::Fetch>(12, &fetch_from("versions", partition, 0));
        let offsets: Vec<i64> = records_of(&fetched(&response).1).iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (0..next[partition as usize]).collect::<Vec<_>>());
    }
    broker.stop();
}

#[test]
fn one_request_for_many_partitions_has_an_outcome_for_each() {
    let data = DataFolder::new("kafka-produce-many");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("one", 3);
    client.create_topic("two", 3);
    let mut damaged = batch_of(&["damaged"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut old = batch_of(&["old"]).to_vec();
    old[16] = 1;
    let two = [batch_of(&["x"]), batch_of(&["y"])].concat();
    let topic = |name: &str, batches: Vec<(i32, Option<Bytes>)>| ProduceTopic {
        name: name.into(),
        partitions: batches.into_iter().map(|(index, records)| ProducePartition { index, records }).collect(),
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: 1,
        topics: vec![
            topic(
                "one",
                vec![(0, Some(batch_of(&["0"]))), (1, Some(damaged.into())), (7, Some(old.clone().into()))],
            ),
            topic("absent", vec![(0, Some(batch_of(&["no"])))]),
            topic(
                "two",
                vec![
                    (0, None),
                    (1, Some(old.into())),
                    (2, Some(batch_of(&["2"]))),
                    (-1, Some(two.clone().into())),
                ],
            ),
            topic("one", vec![(2, Some(two.into()))]),
        ],
        ..Default::default()
    };
    let response = client.ask::<kafka::Produce>(9, &request);
    let outcomes: Vec<Vec<(i32, ErrorCode, i64)>> = response
        .topics
        .iter()
        .map(|topic| {
            let outcome = |partition: &kafka::ProducedPartition| {
                let code = ErrorCode::from_number(partition.error_code).unwrap();
                (partition.index, code, partition.base_offset)
            };
            topic.partitions.iter().map(outcome).collect()
        })
        .collect();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(
        outcomes,
        [
            vec![(0, ErrorCode::None, 0), (1, ErrorCode::CorruptMessage, -1), (7, unknown, -1)],
            vec![(0, unknown, -1)],
            vec![
                (0, ErrorCode::InvalidRecord, -1),
                (1, ErrorCode::InvalidRecord, -1),
                (2, ErrorCode::None, 0),
                (-1, unknown, -1)
            ],
            vec![(2, ErrorCode::InvalidRecord, -1)],
        ]
    );
    let empty = ProduceRequest { acks: 1, ..Default::default() };
    assert_eq!(client.ask::<kafka::Produce>(9, &empty).topics.len(), 0);
    broker.stop();
}

#[test]
fn answers_come_in_the_order_of_the_requests_however_long_each_takes() {
    let data = DataFolder::new("kafka-produce-order");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("order", 2);
    let refused = produce_to("absent", 0, batch_of(&["no"]));
    let mut sent = Vec::new();
    for round in 0..200 {
        // Kept by a core, refused at once, answered by the catalog.
        sent.push((
            client.send::<kafka::Produce>(9, &produce_to("order", round % 2, batch_of(&["yes"]))),
            true,
        ));
        sent.push((client.send::<kafka::Produce>(9, &refused), true));
        let metadata = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
        sent.push((client.send::<kafka::Metadata>(9, &metadata), false));
    }
    let mut offsets = [0; 2];
    for (at, (id, is_produce)) in sent.into_iter().enumerate() {
        if !is_produce {
            assert_eq!(client.receive::<kafka::Metadata>(9).0, id);
            continue;
        }
        let (answered, response) = client.receive::<kafka::Produce>(9);
        assert_eq!(answered, id);
        if at % 3 == 0 {
            let next = &mut offsets[at / 3 % 2];
            assert_eq!(produced(&response), (ErrorCode::None, *next));
            *next += 1;
        } else {
            assert_eq!(produced(&response).0, ErrorCode::UnknownTopicOrPartition);
        }
    }
    broker.stop();
}

#[test]
fn without_acknowledgement_nothing_is_answered_and_an_error_ends_the_connection() {
    let data = DataFolder::new("kafka-produce-silent");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("silent", 1);
    let silent = |topic: &str| ProduceRequest { acks: 0, ..produce_to(topic, 0, batch_of(&["s"])) };
    for _ in 0..10 {
        client.send::<kafka::Produce>(9, &silent("silent"));
    }
    // The next answer is that of the next request which has one.
    let response = client.ask::<kafka::Produce>(9, &produce_to("silent", 0, batch_of(&["loud"])));
    assert_eq!(produced(&response), (ErrorCode::None, 10));
    let strange = ProduceRequest { acks: 2, ..produce_to("silent", 0, batch_of(&["s"])) };
    let response = client.ask::<kafka::Produce>(9, &strange);
    assert_eq!(produced(&response).0, ErrorCode::InvalidRequiredAcks);
    client.send::<kafka::Produce>(9, &silent("absent"));
    assert!(client.try_receive().is_none(), "the client would never hear of the error");
    broker.stop();
}

fn idempotent(stamp: ProducerStamp, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        let value = Some(value.as_bytes());
        builder.append(&RecordRef { timestamp_ms: 1, key: None, value, headers: &[] }).unwrap();
    }
    builder.finish(stamp).unwrap()
}

#[test]
fn a_batch_sent_again_is_answered_with_its_first_offset_also_after_a_restart() {
    let data = DataFolder::new("kafka-idempotence");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("once", 1);
    let given = client.ask::<kafka::InitProducerId>(4, &InitProducerIdRequest::default());
    assert_eq!((given.error_code, given.producer_epoch), (0, 0));
    let stamp = |sequence| ProducerStamp {
        producer_id: given.producer_id,
        producer_epoch: 0,
        base_sequence: sequence,
    };
    let send = |client: &mut KafkaClient, sequence, values: &[&str]| {
        let request = produce_to("once", 0, idempotent(stamp(sequence), values));
        produced(&client.ask::<kafka::Produce>(9, &request))
    };
    assert_eq!(send(&mut client, 0, &["a", "b"]), (ErrorCode::None, 0));
    assert_eq!(send(&mut client, 2, &["c"]), (ErrorCode::None, 2));
    assert_eq!(send(&mut client, 0, &["a", "b"]), (ErrorCode::None, 0));
    assert_eq!(send(&mut client, 9, &["gap"]).0, ErrorCode::OutOfOrderSequenceNumber);
    let transactional = InitProducerIdRequest { transactional_id: Some("t".into()), ..Default::default() };
    let refused = client.ask::<kafka::InitProducerId>(4, &transactional);
    assert_eq!(refused.error_code, ErrorCode::UnsupportedVersion.number());
    broker.stop();

    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    assert_eq!(send(&mut client, 2, &["c"]), (ErrorCode::None, 2));
    assert_eq!(send(&mut client, 3, &["d"]), (ErrorCode::None, 3));
    let mut values = Vec::new();
    while values.len() < 4 {
        let from = fetch_from("once", 0, values.len() as i64);
        let (code, run) = fetched(&client.ask::<kafka::Fetch>(11, &from));
        assert!(code == ErrorCode::None && !run.is_empty(), "{code:?} at {}", values.len());
        values.extend(records_of(&run).into_iter().map(|(_, value)| value));
    }
    assert_eq!(values, ["a", "b", "c", "d"].map(Bytes::from));
    broker.stop();
}

#[test]
fn zstd_comes_in_versions_that_know_it() {
    let data = DataFolder::new("kafka-zstd");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("packed", 1);
    let mut builder = BatchBuilder::new(Compression::Zstd);
    let value = Some(&[b'z'; 1000][..]);
    builder.append(&RecordRef { timestamp_ms: 1, key: None, value, headers: &[] }).unwrap();
    let request = produce_to("packed", 0, builder.finish(ProducerStamp::NONE).unwrap());
    for (version, code) in [(6, ErrorCode::UnsupportedCompressionType), (7, ErrorCode::None)] {
        assert_eq!(produced(&client.ask::<kafka::Produce>(version, &request)).0, code, "{version}");
    }
    broker.stop();
}

#[test]
fn a_topic_says_whose_time_records_have_and_how_far_it_may_be_from_now() {
    let data = DataFolder::new("kafka-timestamps");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("theirs", 1);
    let ours = kafka::CreatableTopic {
        name: "ours".into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![kafka::CreatableTopicConfig {
            name: "message.timestamp.type".into(),
            value: Some("LogAppendTime".into()),
        }],
        ..Default::default()
    };
    let request = kafka::CreateTopicsRequest { topics: vec![ours], ..Default::default() };
    assert_eq!(client.ask::<kafka::CreateTopics>(7, &request).topics[0].error_code, 0);
    let now_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let at = |timestamp_ms| {
        let mut builder = BatchBuilder::new(Compression::Lz4);
        builder.append(&RecordRef { timestamp_ms, value: Some(b"x"), ..Default::default() }).unwrap();
        builder.finish(ProducerStamp::NONE).unwrap()
    };
    const HOUR_MS: i64 = 3_600_000;
    let answer = client.ask::<kafka::Produce>(9, &produce_to("theirs", 0, at(now_ms + 2 * HOUR_MS)));
    assert_eq!(produced(&answer).0, ErrorCode::InvalidTimestamp, "Kafka's default is one hour");
    let answer = client.ask::<kafka::Produce>(9, &produce_to("theirs", 0, at(now_ms + HOUR_MS / 2)));
    assert_eq!(produced(&answer), (ErrorCode::None, 0));
    assert_eq!(answer.topics[0].partitions[0].log_append_time_ms, -1);
    let answer = client.ask::<kafka::Produce>(9, &produce_to("ours", 0, at(5)));
    assert_eq!(produced(&answer), (ErrorCode::None, 0));
    let append_time_ms = answer.topics[0].partitions[0].log_append_time_ms;
    assert!(append_time_ms >= now_ms, "{append_time_ms}");
    let (_, batches) = fetched(&client.ask::<kafka::Fetch>(11, &fetch_from("ours", 0, 0)));
    let record = wire::batch::records(&batches).unwrap().next().unwrap().unwrap();
    assert_eq!(record.timestamp_ms, append_time_ms);
    broker.stop();
}
