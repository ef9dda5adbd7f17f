//! Settings of topics, more partitions, and how the cluster is described to admin tools.

use wire::kafka::{
    self, AlterConfigsRequest, AlterConfigsResource, Alteration, CreatePartitionsRequest,
    CreatePartitionsTopic, DescribeClusterRequest, DescribeConfigsRequest, DescribeConfigsResource,
    DescribeTopicPartitionsRequest, DescribedConfig, ErrorCode, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource, IncrementalAlteration, Nullable,
};

use crate::fixture::{DataFolder, KafkaClient, RunningBroker, config};

fn code(number: i16) -> ErrorCode {
    ErrorCode::from_number(number).unwrap()
}

fn described(client: &mut KafkaClient, kind: i8, name: &str) -> (ErrorCode, Vec<DescribedConfig>) {
    let resource =
        DescribeConfigsResource { resource_type: kind, resource_name: name.into(), configuration_keys: None };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    let mut result = client.ask::<kafka::DescribeConfigs>(4, &request).results;
    let result = result.remove(0);
    (code(result.error_code), result.configs)
}

fn value(client: &mut KafkaClient, name: &str) -> (String, i8) {
    let (code, configs) = described(client, 2, "set");
    assert_eq!(code, ErrorCode::None);
    let config = configs.into_iter().find(|config| config.name.as_str() == name).unwrap();
    assert_eq!(config.synonyms[0].source, config.config_source, "{config:?}");
    (config.value.unwrap().to_string(), config.config_source)
}

fn incrementally(
    client: &mut KafkaClient,
    changes: &[(&str, i8, Option<&str>)],
    only_ask: bool,
) -> ErrorCode {
    let change = |(name, operation, value): &(&str, i8, Option<&str>)| IncrementalAlteration {
        name: (*name).into(),
        config_operation: *operation,
        value: value.map(Into::into),
    };
    let resource = IncrementalAlterConfigsResource {
        resource_type: 2,
        resource_name: "set".into(),
        configs: changes.iter().map(change).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: only_ask };
    code(client.ask::<kafka::IncrementalAlterConfigs>(1, &request).responses[0].error_code)
}

#[test]
fn settings_are_set_added_to_taken_back_and_refused() {
    const TOPIC: i8 = 1;
    const DEFAULT: i8 = 5;
    let data = DataFolder::new("kafka-settings");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("set", 1);
    let client = &mut client;
    assert_eq!(value(client, "retention.ms"), ("604800000".to_owned(), DEFAULT));
    assert_eq!(incrementally(client, &[("retention.ms", 0, Some("5"))], true), ErrorCode::None);
    assert_eq!(value(client, "retention.ms").1, DEFAULT, "it was only asked whether that could be done");
    let set = [("retention.ms", 0, Some("5")), ("cleanup.policy", 2, Some("compact"))];
    assert_eq!(incrementally(client, &set, false), ErrorCode::None);
    assert_eq!(value(client, "retention.ms"), ("5".to_owned(), TOPIC));
    assert_eq!(value(client, "cleanup.policy"), ("delete,compact".to_owned(), TOPIC));
    let take = [("cleanup.policy", 3, Some("delete")), ("retention.ms", 1, None)];
    assert_eq!(incrementally(client, &take, false), ErrorCode::None);
    assert_eq!(value(client, "cleanup.policy").0, "compact");
    assert_eq!(value(client, "retention.ms").1, DEFAULT);
    for (change, refusal) in [
        (("retention.ms", 0, Some("soon")), ErrorCode::InvalidConfig),
        (("no.such.setting", 0, Some("1")), ErrorCode::InvalidConfig),
        (("retention.ms", 2, Some("1")), ErrorCode::InvalidConfig),
        (("retention.ms", 0, None), ErrorCode::InvalidRequest),
        (("retention.ms", 9, Some("1")), ErrorCode::InvalidRequest),
    ] {
        for only_ask in [true, false] {
            assert_eq!(incrementally(client, &[change], only_ask), refusal, "{change:?}");
        }
    }
    // The older API replaces all.
    let alteration = Alteration { name: "segment.bytes".into(), value: Some("1048576".into()) };
    let resource =
        AlterConfigsResource { resource_type: 2, resource_name: "set".into(), configs: vec![alteration] };
    let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(client.ask::<kafka::AlterConfigs>(2, &request).responses[0].error_code, 0);
    assert_eq!(value(client, "segment.bytes"), ("1048576".to_owned(), TOPIC));
    assert_eq!(value(client, "cleanup.policy").1, DEFAULT);

    assert_eq!(described(client, 2, "absent").0, ErrorCode::UnknownTopicOrPartition);
    // And takes no null, which could be taken for a default.
    let alteration = Alteration { name: "segment.bytes".into(), value: None };
    let resource =
        AlterConfigsResource { resource_type: 2, resource_name: "set".into(), configs: vec![alteration] };
    let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
    let refused = client.ask::<kafka::AlterConfigs>(2, &request).responses.remove(0);
    assert_eq!(code(refused.error_code), ErrorCode::InvalidRequest);
    assert_eq!(value(client, "segment.bytes"), ("1048576".to_owned(), TOPIC));
    broker.stop();
}

/// Ten settings of Kafka 4.1 were refused, and whole numbers of 32 bits were told as such of 64.
#[test]
fn every_setting_of_kafkas_is_described_with_its_type_and_kept_as_kafka_keeps_it() {
    let data = DataFolder::new("kafka-all-settings");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("set", 1);
    let client = &mut client;
    let configs = described(client, 2, "set").1;
    assert_eq!(configs.len(), 33);
    for (name, config_type) in [
        ("preallocate", 1),
        ("remote.storage.enable", 1),
        ("compression.type", 2),
        ("compression.gzip.level", 3),
        ("compression.lz4.level", 3),
        ("compression.zstd.level", 3),
        ("index.interval.bytes", 3),
        ("max.message.bytes", 3),
        ("min.insync.replicas", 3),
        ("segment.bytes", 3),
        ("segment.index.bytes", 3),
        ("local.retention.ms", 5),
        ("retention.bytes", 5),
        ("min.cleanable.dirty.ratio", 6),
        ("cleanup.policy", 7),
        ("leader.replication.throttled.replicas", 7),
    ] {
        let found = configs.iter().find(|config| config.name.as_str() == name).unwrap();
        assert_eq!(found.config_type, config_type, "{name}");
    }
    for (name, given, kept) in [
        ("retention.ms", " 1000 ", "1000"),
        ("preallocate", "TRUE", "true"),
        ("cleanup.policy", "", ""),
        ("max.message.bytes", "0", "0"),
        ("max.message.bytes", "2147483647", "2147483647"),
        ("follower.replication.throttled.replicas", "*", "*"),
    ] {
        assert_eq!(incrementally(client, &[(name, 0, Some(given))], false), ErrorCode::None, "{name}");
        assert_eq!(value(client, name).0, kept, "{name} = {given:?}");
    }
    // Elements come to an empty list, and go until it is one.
    let throttled = "leader.replication.throttled.replicas";
    for (operation, given, kept) in [(2, "0:0", "0:0"), (2, "1:0", "0:0,1:0"), (3, "0:0,1:0", "")] {
        assert_eq!(incrementally(client, &[(throttled, operation, Some(given))], false), ErrorCode::None);
        assert_eq!(value(client, throttled).0, kept);
    }
    assert_eq!(incrementally(client, &[("cleanup.policy", 2, Some("compact"))], false), ErrorCode::None);
    assert_eq!(value(client, "cleanup.policy").0, "compact");
    let lags = [("max.compaction.lag.ms", 0, Some("5")), ("min.compaction.lag.ms", 0, Some("6"))];
    for refused in [&lags[..], &[("remote.storage.enable", 0, Some("true"))]] {
        for only_ask in [true, false] {
            assert_eq!(incrementally(client, refused, only_ask), ErrorCode::InvalidConfig, "{refused:?}");
        }
    }
    // Some clients send an empty list of names, and mean all.
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: "set".into(),
        configuration_keys: Some(Vec::new()),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    assert_eq!(client.ask::<kafka::DescribeConfigs>(4, &request).results[0].configs.len(), 33);
    broker.stop();
}

#[test]
fn what_is_no_topic_is_described_and_not_altered() {
    let data = DataFolder::new("kafka-fixed-settings");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    let client = &mut client;
    let (found, configs) = described(client, 4, "1");
    assert_eq!(found, ErrorCode::None);
    let told = |name: &str| {
        let config = configs.iter().find(|config| config.name.as_str() == name);
        let config = config.unwrap_or_else(|| panic!("no {name}"));
        assert!(config.read_only && config.documentation.is_some(), "{config:?}");
        assert_eq!(config.synonyms[0].source, config.config_source, "{config:?}");
        config.value.as_ref().unwrap().to_string()
    };
    let own = broker.ready.shards[1];
    assert_eq!(told("advertised.listeners"), format!("PLAINTEXT://{own}"));
    assert_eq!(told("listeners"), format!("PLAINTEXT://{own},PLAINTEXT://{}", broker.shared()));
    for (name, value) in [
        ("broker.id", "1"),
        ("node.id", "1"),
        ("num.partitions", "1"),
        ("message.max.bytes", "8388608"),
        // What the test's share of memory has room for, where it would be 104857600.
        ("socket.request.max.bytes", "16842752"),
        ("delete.topic.enable", "true"),
        ("log.retention.ms", "604800000"),
        ("log.retention.hours", "168"),
        ("log.cleanup.policy", "delete"),
        ("offsets.topic.num.partitions", "50"),
        ("offsets.retention.minutes", "10080"),
    ] {
        assert_eq!(told(name), value, "{name}");
    }
    assert!(configs.is_sorted_by(|a, b| a.name.as_str() < b.name.as_str()));

    let (found, configs) = described(client, 32, "any");
    let told: Vec<_> = configs
        .iter()
        .map(|config| (config.name.as_str(), config.value.as_ref().unwrap().as_str(), config.config_type))
        .collect();
    let expected =
        [("consumer.heartbeat.interval.ms", "5000", 3), ("consumer.session.timeout.ms", "45000", 3)];
    assert_eq!((found, &told[..]), (ErrorCode::None, &expected[..]));
    for (kind, name) in [(4, ""), (8, "0"), (8, "1"), (16, "any")] {
        assert_eq!(described(client, kind, name), (ErrorCode::None, Vec::new()), "{kind} {name:?}");
    }
    for (kind, name) in [(4, "2"), (4, "01"), (4, "x"), (8, ""), (8, "2"), (16, ""), (32, ""), (99, "x")] {
        assert_eq!(described(client, kind, name).0, ErrorCode::InvalidRequest, "{kind} {name:?}");
    }
    let kinds = [(4, "", "brokers"), (4, "1", "brokers"), (8, "1", "loggers"), (16, "x", "metrics")];
    for (kind, name, word) in kinds.into_iter().chain([(32, "g", "consumer groups' settings"), (99, "x", "")])
    {
        let change = IncrementalAlteration {
            name: "consumer.session.timeout.ms".into(),
            config_operation: 0,
            value: Some("50000".into()),
        };
        let resource = IncrementalAlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: vec![change],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let refused = client.ask::<kafka::IncrementalAlterConfigs>(1, &request).responses.remove(0);
        let message = refused.error_message.unwrap().to_string();
        assert_eq!(code(refused.error_code), ErrorCode::InvalidRequest, "{message}");
        assert!(message.contains(word) && !message.contains(|c: char| c.is_ascii_digit()), "{message}");
    }
    broker.stop();
}

#[test]
fn partitions_are_added_and_described_page_by_page() {
    let data = DataFolder::new("kafka-partitions");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    for name in ["a", "b", "c"] {
        client.create_topic(name, 3);
    }
    let grow = |client: &mut KafkaClient, name: &str, count, validate_only| {
        let topic = CreatePartitionsTopic { name: name.into(), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1, validate_only };
        code(client.ask::<kafka::CreatePartitions>(3, &request).results[0].error_code)
    };
    assert_eq!(grow(&mut client, "b", 5, true), ErrorCode::None);
    assert_eq!(grow(&mut client, "b", 5, false), ErrorCode::None);
    for count in [5, 4, 0, -1] {
        assert_eq!(grow(&mut client, "b", count, false), ErrorCode::InvalidPartitions, "{count}");
    }
    assert_eq!(grow(&mut client, "absent", 5, false), ErrorCode::UnknownTopicOrPartition);

    let mut request = DescribeTopicPartitionsRequest { response_partition_limit: 4, ..Default::default() };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = client.ask::<kafka::DescribeTopicPartitions>(0, &request);
        pages += 1;
        for topic in &page.topics {
            assert!(!topic.partitions.is_empty());
            // Kafka's own client takes no null here.
            assert!(topic.partitions.iter().all(|partition| partition.eligible_leader_replicas.is_some()));
            let name = topic.name.as_ref().unwrap().to_string();
            found.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
        }
        if page.next_cursor.0.is_none() {
            break;
        }
        request.cursor = Nullable(page.next_cursor.0);
    }
    let all = [("a", 3), ("b", 5), ("c", 3)];
    let all: Vec<(String, i32)> =
        all.iter().flat_map(|(name, count)| (0..*count).map(|index| ((*name).to_owned(), index))).collect();
    assert_eq!((found, pages), (all, 3));

    let cluster = client.ask::<kafka::DescribeCluster>(1, &DescribeClusterRequest::default());
    assert_eq!((cluster.error_code, cluster.brokers.len(), cluster.controller_id), (0, 2, 0));
    let controllers = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
    let refused = client.ask::<kafka::DescribeCluster>(1, &controllers);
    assert_eq!(code(refused.error_code), ErrorCode::UnsupportedEndpointType);
    broker.stop();
}
