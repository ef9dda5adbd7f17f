//! What a client learns of the cluster: versions, brokers, topics.

use broker::config::KafkaAdvertise;
use broker::kafka::SERVED;
use broker::{Config, Protocols};
use wire::kafka::{
    self, ApiKey, ApiVersionsRequest, CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
    CreateTopicsRequest, DeleteTopicState, DeleteTopicsRequest, ErrorCode, MetadataRequest,
    MetadataRequestTopic, MetadataResponse,
};

use wire::native::{CreateTopic, CreateTopicReply, Metadata, MetadataReply, TopicSelection};

use crate::fixture::{DataFolder, KafkaClient, RawClient, RunningBroker, config};

fn metadata_of(name: &str, may_create: bool) -> MetadataRequest {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: may_create, ..Default::default() }
}

fn code(number: i16) -> ErrorCode {
    ErrorCode::from_number(number).unwrap()
}

#[test]
fn versions_are_told_in_every_form_and_an_unknown_one_gets_the_oldest() {
    let data = DataFolder::new("kafka-versions");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    let software =
        ApiVersionsRequest { client_software_name: "tests".into(), client_software_version: "1.0".into() };
    for version in 0..=4 {
        let told = client.ask::<kafka::ApiVersions>(version, &software);
        assert_eq!(told.error_code, 0);
        assert_eq!(told.api_keys.len(), SERVED.len());
        let produce = told.api_keys.iter().find(|api| api.api_key == ApiKey::Produce.number()).unwrap();
        assert_eq!(produce.min_version, 0, "librdkafka would not compress");
    }
    // Version 99 is laid out as the newest is; its answer as the oldest.
    use std::io::Write;
    client.stream.write_all(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 77, 0xff, 0xff, 0]).unwrap();
    let (id, told) = client.receive::<kafka::ApiVersions>(0);
    assert_eq!((id, code(told.error_code)), (77, ErrorCode::UnsupportedVersion));
    assert_eq!(told.api_keys.len(), SERVED.len());
    let nameless = ApiVersionsRequest { client_software_name: "a b".into(), ..software };
    let told = client.ask::<kafka::ApiVersions>(3, &nameless);
    assert_eq!(code(told.error_code), ErrorCode::InvalidRequest);
    broker.stop();
}

fn brokers(metadata: &MetadataResponse) -> Vec<(i32, String, u16)> {
    metadata
        .brokers
        .iter()
        .map(|broker| (broker.node_id, broker.host.to_string(), broker.port as u16))
        .collect()
}

#[test]
fn each_core_is_a_broker_unless_the_node_has_one_door() {
    let data = DataFolder::new("kafka-brokers");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("spread", 8);
    let metadata = client.ask::<kafka::Metadata>(12, &metadata_of("spread", false));
    let shards: Vec<_> =
        (0..).zip(&broker.ready.shards).map(|(id, own)| (id, "127.0.0.1".to_owned(), own.port())).collect();
    assert_eq!(brokers(&metadata), shards);
    let topic = &metadata.topics[0];
    assert!(!topic.topic_id.is_nil());
    assert_eq!(topic.partitions.len(), 8);
    for id in 0..2 {
        assert!(topic.partitions.iter().any(|partition| partition.leader_id == id), "nothing on {id}");
    }
    let by_id = MetadataRequestTopic { topic_id: topic.topic_id, name: None };
    let by_id = MetadataRequest { topics: Some(vec![by_id]), ..Default::default() };
    assert_eq!(client.ask::<kafka::Metadata>(12, &by_id).topics, metadata.topics);
    broker.stop();

    let one_door = Config {
        kafka_advertise: KafkaAdvertise::Node,
        advertise: Some("broker.example".to_owned()),
        ..config(&data)
    };
    let broker = RunningBroker::start(one_door);
    let mut client = KafkaClient::connect(broker.shared());
    let metadata = client.ask::<kafka::Metadata>(12, &metadata_of("spread", false));
    assert_eq!(brokers(&metadata), [(0, "broker.example".to_owned(), broker.shared().port())]);
    assert!(metadata.topics[0].partitions.iter().all(|partition| partition.leader_id == 0));
    broker.stop();
}

/// librdkafka 2.12 ends its request for all topics with three bytes too many.
#[test]
fn bytes_behind_a_request_are_let_be() {
    use std::io::Write;
    let data = DataFolder::new("kafka-behind");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("there", 1);
    let request = [0, 0, 0, 18, 0, 3, 0, 13, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 0, 0];
    client.stream.write_all(&request).unwrap();
    let (id, metadata) = client.receive::<kafka::Metadata>(13);
    assert_eq!((id, metadata.topics.len()), (7, 1));
    broker.stop();
}

#[test]
fn a_topic_is_made_by_naming_it_where_that_is_wanted() {
    let data = DataFolder::new("kafka-auto");
    let broker = RunningBroker::start(Config { num_partitions: 3, ..config(&data) });
    let mut client = KafkaClient::connect(broker.shared());
    for version in [0, 1, 4, 9, 13] {
        let name = format!("made-by-{version}");
        let found = client.ask::<kafka::Metadata>(version, &metadata_of(&name, true)).topics.remove(0);
        assert_eq!((found.error_code, found.partitions.len()), (0, 3), "version {version}");
    }
    let asked = client.ask::<kafka::Metadata>(9, &metadata_of("not-made", false)).topics.remove(0);
    assert_eq!(code(asked.error_code), ErrorCode::UnknownTopicOrPartition);
    let asked = client.ask::<kafka::Metadata>(9, &metadata_of("no/name", true)).topics.remove(0);
    assert_eq!(code(asked.error_code), ErrorCode::InvalidTopicException);
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(client.ask::<kafka::Metadata>(9, &all).topics.len(), 5);
    let none = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    assert_eq!(client.ask::<kafka::Metadata>(9, &none).topics.len(), 0);
    assert_eq!(client.ask::<kafka::Metadata>(0, &none).topics.len(), 5, "in version 0 an empty list is all");
    broker.stop();

    let broker = RunningBroker::start(Config { auto_create_topics: false, ..config(&data) });
    let mut client = KafkaClient::connect(broker.shared());
    let asked = client.ask::<kafka::Metadata>(9, &metadata_of("never-made", true)).topics.remove(0);
    assert_eq!(code(asked.error_code), ErrorCode::UnknownTopicOrPartition);
    broker.stop();
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions, replication_factor, ..Default::default() }
}

#[test]
fn topics_are_made_as_asked_or_refused_each_with_its_reason() {
    let data = DataFolder::new("kafka-topics");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    let config_of =
        |name: &str, value: &str| CreatableTopicConfig { name: name.into(), value: Some(value.into()) };
    let assignment = CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![0] };
    let request = CreateTopicsRequest {
        topics: vec![
            CreatableTopic { configs: vec![config_of("retention.ms", "1000")], ..topic("good", 4, 1) },
            topic("by-default", -1, -1),
            topic("replicated", 1, 3),
            topic("none", 0, 1),
            CreatableTopic { assignments: vec![assignment], ..topic("placed", -1, -1) },
            CreatableTopic { configs: vec![config_of("retention.ms", "x")], ..topic("set", 1, 1) },
            topic("a/b", 1, 1),
            topic("twice", 1, 1),
            topic("twice", 2, 1),
        ],
        ..Default::default()
    };
    let validated =
        client.ask::<kafka::CreateTopics>(5, &CreateTopicsRequest { validate_only: true, ..request.clone() });
    let created = client.ask::<kafka::CreateTopics>(5, &request);
    let codes = |topics: &[kafka::CreatedTopic]| -> Vec<(String, ErrorCode)> {
        topics.iter().map(|topic| (topic.name.to_string(), code(topic.error_code))).collect()
    };
    let expected = [
        ("good", ErrorCode::None),
        ("by-default", ErrorCode::None),
        ("replicated", ErrorCode::InvalidReplicationFactor),
        ("none", ErrorCode::InvalidPartitions),
        ("placed", ErrorCode::InvalidReplicaAssignment),
        ("set", ErrorCode::InvalidConfig),
        ("a/b", ErrorCode::InvalidTopicException),
        ("twice", ErrorCode::InvalidRequest),
    ]
    .map(|(name, code)| (name.to_owned(), code));
    assert_eq!(codes(&validated.topics), expected);
    assert_eq!(codes(&created.topics), expected);
    assert_eq!((created.topics[0].num_partitions, created.topics[0].replication_factor), (4, 1));
    let configs = created.topics[0].configs.as_ref().unwrap();
    let retention = configs.iter().find(|config| config.name.as_str() == "retention.ms").unwrap();
    assert_eq!(retention.value.as_ref().unwrap().as_str(), "1000");
    let refused = created.topics.iter().filter(|topic| topic.error_code != 0);
    assert!(refused.clone().count() == 6 && refused.clone().all(|topic| topic.error_message.is_some()));
    let again = client.ask::<kafka::CreateTopics>(5, &request);
    assert_eq!(code(again.topics[0].error_code), ErrorCode::TopicAlreadyExists);

    let id = client.create_topic("by-id", 1);
    let request = DeleteTopicsRequest {
        topics: vec![
            DeleteTopicState { name: Some("good".into()), ..Default::default() },
            DeleteTopicState { name: None, topic_id: id },
            DeleteTopicState { name: Some("absent".into()), ..Default::default() },
            DeleteTopicState { name: None, topic_id: uuid::Uuid::from_u128(7) },
        ],
        ..Default::default()
    };
    let deleted = client.ask::<kafka::DeleteTopics>(6, &request).responses;
    let codes: Vec<_> = deleted.iter().map(|topic| code(topic.error_code)).collect();
    let unknown = [ErrorCode::UnknownTopicOrPartition, ErrorCode::UnknownTopicId];
    assert_eq!(codes, [ErrorCode::None, ErrorCode::None, unknown[0], unknown[1]]);
    assert_eq!(deleted[1].name.as_ref().unwrap().as_str(), "by-id");
    let by_name = DeleteTopicsRequest { topic_names: vec!["by-default".into()], ..Default::default() };
    assert_eq!(client.ask::<kafka::DeleteTopics>(1, &by_name).responses[0].error_code, 0);
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(client.ask::<kafka::Metadata>(9, &all).topics.len(), 0);
    broker.stop();

    let broker = RunningBroker::start(Config { kafka_replication_any: true, ..config(&data) });
    let mut client = KafkaClient::connect(broker.shared());
    let request = CreateTopicsRequest { topics: vec![topic("replicated", 1, 3)], ..Default::default() };
    let created = client.ask::<kafka::CreateTopics>(7, &request).topics.remove(0);
    assert_eq!((created.error_code, created.replication_factor), (0, 1));
    broker.stop();
}

/// `a.b` and `a_b` were both made, and a setting without a value was left out silently.
#[test]
fn names_that_collide_and_settings_without_a_value_are_refused() {
    let data = DataFolder::new("kafka-collide");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("a.b", 1);
    let nothing = CreatableTopicConfig { name: "retention.ms".into(), value: None };
    let blanks = CreatableTopicConfig { name: "retention.ms".into(), value: Some(" 1000 ".into()) };
    let request = CreateTopicsRequest {
        topics: vec![
            topic("a_b", 1, 1),
            CreatableTopic { configs: vec![nothing], ..topic("null", 1, 1) },
            CreatableTopic { configs: vec![blanks], ..topic("blanks", 1, 1) },
        ],
        ..Default::default()
    };
    for validate_only in [true, false] {
        let request = CreateTopicsRequest { validate_only, ..request.clone() };
        let topics = client.ask::<kafka::CreateTopics>(7, &request).topics;
        let codes: Vec<_> = topics.iter().map(|topic| code(topic.error_code)).collect();
        assert_eq!(codes, [ErrorCode::InvalidTopicException, ErrorCode::InvalidConfig, ErrorCode::None]);
        let message = topics[0].error_message.as_ref().unwrap();
        assert_eq!(message.as_str(), "Topic 'a_b' collides with existing topic: a.b");
        let configs = topics[2].configs.as_ref().unwrap();
        let retention = configs.iter().find(|config| config.name.as_str() == "retention.ms").unwrap();
        assert_eq!(retention.value.as_ref().unwrap().as_str(), "1000");
    }
    let named = client.ask::<kafka::Metadata>(9, &metadata_of("a_b", true)).topics.remove(0);
    assert_eq!(code(named.error_code), ErrorCode::InvalidTopicException);
    let request =
        CreateTopic { name: "a_b".to_owned(), partitions: 1, settings: Vec::new(), validate_only: false };
    let reply: CreateTopicReply = broker.connect().ask(&request).decode();
    assert_eq!(reply.code, wire::codes::ErrorCode::InvalidTopicName);
    broker.stop();
}

#[test]
fn every_port_speaks_the_protocols_it_is_told_to() {
    let data = DataFolder::new("kafka-protocols");
    let ask = |broker: &RunningBroker| {
        let mut client = KafkaClient::connect(broker.ready.shards[1]);
        client.send::<kafka::ApiVersions>(0, &ApiVersionsRequest::default());
        client.try_receive().is_some()
    };
    let both = RunningBroker::start(config(&data));
    assert!(ask(&both));
    drop(RawClient::greeted(both.ready.shards[1]));
    both.stop();
    let native = Protocols { native: true, kafka: false };
    let native = RunningBroker::start(Config { protocols: native, ..config(&data) });
    assert!(!ask(&native));
    drop(native.connect());
    native.stop();
    let kafka = Protocols { native: false, kafka: true };
    let kafka = RunningBroker::start(Config { protocols: kafka, ..config(&data) });
    assert!(ask(&kafka));
    kafka.stop();
}

/// A topic of many partitions that is asked for thousands of times would be told in gigabytes.
#[test]
fn what_is_asked_for_many_times_is_told_once() {
    let data = DataFolder::new("kafka-told-once");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    let id = client.create_topic("many", 100);
    let by_name = MetadataRequestTopic { name: Some("many".into()), ..Default::default() };
    let by_id = MetadataRequestTopic { topic_id: id, name: None };
    for topic in [by_name, by_id] {
        let request = MetadataRequest { topics: Some(vec![topic; 1_000]), ..Default::default() };
        assert_eq!(client.ask::<kafka::Metadata>(12, &request).topics.len(), 1);
    }
    let resource = kafka::DescribeConfigsResource {
        resource_type: 2,
        resource_name: "many".into(),
        configuration_keys: None,
    };
    let request = kafka::DescribeConfigsRequest { resources: vec![resource; 1_000], ..Default::default() };
    assert_eq!(client.ask::<kafka::DescribeConfigs>(4, &request).results.len(), 1);
    let names = TopicSelection::Names(vec!["many".to_owned(); 1_000]);
    let ids = TopicSelection::Ids(vec![id; 1_000]);
    for topics in [names, ids] {
        let reply: MetadataReply = broker.connect().ask(&Metadata { topics, follow: false }).decode();
        assert_eq!(reply.topics.len(), 1);
    }
    broker.stop();
}
