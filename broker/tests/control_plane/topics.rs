//! Topics made, changed, described and removed, and how others hear of it.

use crate::fixture::{DataFolder, RawClient, RunningBroker, batch_of, config};
use wire::codes::ErrorCode;
use wire::frame::MessageKind;
use wire::native::{
    AlterTopic, AlterTopicReply, CreateTopic, CreateTopicReply, DeleteTopic, DeleteTopicReply, DescribeNode,
    DescribeNodeReply, DescribeTopic, DescribeTopicReply, InitProducer, InitProducerReply, Metadata,
    MetadataReply, TopicSelection,
};

fn describe(client: &mut RawClient, name: &str) -> DescribeTopicReply {
    client.ask(&DescribeTopic { name: name.to_owned() }).decode()
}

#[test]
fn a_topic_that_was_answered_is_known_at_every_port() {
    let data = DataFolder::new("known");
    let broker = RunningBroker::start(config(&data));
    let mut clients = [broker.connect_to_shard(0), broker.connect_to_shard(1)];
    for round in 0..20 {
        let id = clients[round % 2].create_topic(&format!("t{round}"), 3);
        let reply = clients[(round + 1) % 2].metadata();
        let topic = reply.topics.iter().find(|topic| topic.id == id).expect("it was answered");
        assert_eq!(topic.partitions.len(), 3);
        assert_eq!(reply.shards.len(), 2);
        assert_eq!(reply.shared.host, "127.0.0.1");
    }
}

#[test]
fn followers_are_told_of_changes_wherever_they_are_made() {
    let data = DataFolder::new("followers");
    let broker = RunningBroker::start(config(&data));
    let mut followers = [broker.connect_to_shard(0), broker.connect_to_shard(1)];
    let mut revision = 0;
    for follower in &mut followers {
        let answer = follower.ask(&Metadata { topics: TopicSelection::All, follow: true });
        revision = answer.header.catalog_revision;
        assert!(answer.decode::<MetadataReply>().topics.is_empty());
    }
    broker.connect_to_shard(1).create_topic("t", 1);
    for follower in &mut followers {
        let pushed = follower.receive();
        assert_eq!(pushed.header.kind, MessageKind::CatalogChanged);
        assert!(pushed.header.catalog_revision > revision);
    }
}

#[test]
fn settings_and_partitions_change_and_last() {
    let data = DataFolder::new("settings");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect_to_shard(1);
    let settings = vec![("retention.ms".to_owned(), "1000".to_owned())];
    let request = CreateTopic { name: "t".to_owned(), partitions: 2, settings, validate_only: false };
    assert_eq!(client.ask(&request).decode::<CreateTopicReply>().code, ErrorCode::None);
    let settings =
        vec![("max.message.bytes".to_owned(), Some("2000".to_owned())), ("retention.ms".to_owned(), None)];
    let request = AlterTopic { name: "t".to_owned(), partitions: Some(5), settings };
    assert_eq!(client.ask(&request).decode::<AlterTopicReply>().code, ErrorCode::None);
    let id = describe(&mut client, "t").id;
    let too_large = batch_of(&[vec![1_u8; 3_000]]);
    for partition in 0..5 {
        assert_eq!(client.produce(id, partition, &too_large).code, ErrorCode::BatchTooLarge);
        assert_eq!(client.produce(id, partition, &batch_of(&["fits"])).code, ErrorCode::None);
    }
    drop(client);
    broker.stop();
    let broker = RunningBroker::start(config(&data));
    let reply = describe(&mut broker.connect(), "t");
    assert_eq!((reply.code, reply.id, reply.partitions.len()), (ErrorCode::None, id, 5));
    assert!(reply.partitions.iter().all(|state| state.high_watermark == 1 && state.log_end_offset == 1));
    let setting = |name: &str| reply.settings.iter().find(|setting| setting.name == name).unwrap();
    assert_eq!(setting("max.message.bytes").value, "2000");
    assert!(setting("max.message.bytes").acts && !setting("max.message.bytes").is_default);
    assert!(setting("retention.ms").is_default && setting("retention.ms").acts);
    assert!(!setting("flush.ms").acts);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_code() {
    let data = DataFolder::new("refused");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect_to_shard(1);
    client.create_topic("t", 2);
    let mut create = |name: &str, settings: Vec<(String, String)>, validate_only| {
        let request = CreateTopic { name: name.to_owned(), partitions: 1, settings, validate_only };
        client.ask(&request).decode::<CreateTopicReply>()
    };
    assert_eq!(create("t", Vec::new(), false).code, ErrorCode::TopicExists);
    assert_eq!(create("../t", Vec::new(), false).code, ErrorCode::InvalidTopicName);
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    assert_eq!(create("u", pair("no.such", "1"), false).code, ErrorCode::UnknownSetting);
    let reply = create("u", pair("segment.bytes", "1"), false);
    assert_eq!(reply.code, ErrorCode::InvalidSetting);
    assert!(reply.message.contains("segment.bytes"), "{}", reply.message);
    let reply = create("u", Vec::new(), true);
    assert_eq!((reply.code, reply.topic_id), (ErrorCode::None, uuid::Uuid::nil()));
    assert_eq!(describe(&mut client, "u").code, ErrorCode::UnknownTopic);
    let fewer = AlterTopic { name: "t".to_owned(), partitions: Some(1), settings: Vec::new() };
    assert_eq!(client.ask(&fewer).decode::<AlterTopicReply>().code, ErrorCode::InvalidPartitionCount);
    let unknown = DeleteTopic { name: "v".to_owned() };
    assert_eq!(client.ask(&unknown).decode::<DeleteTopicReply>().code, ErrorCode::UnknownTopic);
}

#[test]
fn a_deleted_topic_is_gone_with_its_data_and_its_name_is_free() {
    let data = DataFolder::new("deleted-topic");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let first = client.create_topic("t", 2);
    for partition in 0..2 {
        client.produce(first, partition, &batch_of(&["old"]));
    }
    let request = DeleteTopic { name: "t".to_owned() };
    assert_eq!(client.ask(&request).decode::<DeleteTopicReply>().code, ErrorCode::None);
    assert_eq!(client.produce(first, 0, &batch_of(&["late"])).code, ErrorCode::UnknownTopic);
    let second = client.create_topic("t", 2);
    for partition in 0..2 {
        let (reply, run) = client.fetch(second, partition, 0);
        assert_eq!((reply.code, reply.high_watermark, run.len()), (ErrorCode::None, 0, 0));
    }
    drop(client);
    broker.stop();
    let left = std::fs::read_dir(data.path().join("topics").join("t")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the old partitions' folders are gone, the new ones were never written to");
}

#[test]
fn producer_ids_are_never_given_twice() {
    let data = DataFolder::new("producer-ids");
    let mut given = std::collections::HashSet::new();
    for _ in 0..2 {
        let broker = RunningBroker::start(config(&data));
        for shard in [0, 1, 0, 1] {
            let mut client = broker.connect_to_shard(shard);
            for _ in 0..5 {
                let reply: InitProducerReply = client.ask(&InitProducer::default()).decode();
                assert_eq!((reply.code, reply.producer_epoch), (ErrorCode::None, 0));
                assert!(given.insert(reply.producer_id), "{} twice", reply.producer_id);
            }
        }
        let transactional = InitProducer { transactional_id: "x".to_owned() };
        let reply: InitProducerReply = broker.connect().ask(&transactional).decode();
        assert_eq!(reply.code, ErrorCode::UnsupportedFeature);
        broker.stop();
    }
}

#[test]
fn the_node_is_described_with_counters_limits_and_stages() {
    let data = DataFolder::new("described");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 2);
    for partition in 0..2 {
        client.produce(topic, partition, &batch_of(&["x"]));
    }
    let reply: DescribeNodeReply = client.ask(&DescribeNode {}).decode();
    let node: serde_json::Value = serde_json::from_str(&reply.json).unwrap();
    let shards = node["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2);
    let sum =
        |path: &str| shards.iter().map(|shard| shard.pointer(path).unwrap().as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("/counters/produce_requests"), 2);
    assert_eq!(sum("/stages/received_to_durable/count"), 2);
    assert!(
        shards.iter().all(|shard| shard.pointer("/queues/pending_bytes/limit").unwrap().as_u64() > Some(0))
    );
}
