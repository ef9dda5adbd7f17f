//! What clients in the field rely on, found by running them: requests of more than 16 MiB, batches as large as their topic allows,
//! producers that were forgotten, ids without names, times that a batch has wrong.

use bytes::Bytes;
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef, stamp_max_timestamp};
use wire::kafka::{
    self, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, DeleteTopicsRequest, ErrorCode,
    FindCoordinatorRequest, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, MetadataRequest,
    MetadataRequestTopic, ProducePartition, ProduceRequest, ProduceTopic,
};

use crate::fixture::{
    DataFolder, KafkaClient, RunningBroker, batch_of, config, fetch_from, fetched, produce_to, produced,
};

const MIB: usize = 1 << 20;

fn create_with(client: &mut KafkaClient, name: &str, setting: &str, value: &str) {
    let config = CreatableTopicConfig { name: setting.into(), value: Some(value.into()) };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![config],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let created = client.ask::<kafka::CreateTopics>(7, &request).topics.remove(0);
    assert_eq!(created.error_code, 0, "{:?}", created.error_message);
}

/// franz-go puts all that waits for a broker into one request, and never gives up one that the broker does not take.
#[test]
fn a_request_of_more_than_a_frame_is_taken_where_there_is_memory() {
    let data = DataFolder::new("kafka-large-request");
    let broker = RunningBroker::start(broker::Config { memory_bytes: Some(1 << 30), ..config(&data) });
    let mut client = KafkaClient::connect(broker.shared());
    const PARTITIONS: i32 = 40;
    client.create_topic("wide", PARTITIONS);
    let batch = batch_of(&["x".repeat(MIB)]);
    let partitions = (0..PARTITIONS).map(|index| ProducePartition { index, records: Some(batch.clone()) });
    let topic = ProduceTopic { name: "wide".into(), partitions: partitions.collect(), ..Default::default() };
    let request = ProduceRequest { acks: -1, topics: vec![topic], ..Default::default() };
    for round in 0..2 {
        let answer = client.ask::<kafka::Produce>(9, &request);
        let partitions = &answer.topics[0].partitions;
        assert_eq!(partitions.len(), PARTITIONS as usize);
        assert!(
            partitions.iter().all(|partition| (partition.error_code, partition.base_offset) == (0, round))
        );
    }
    broker.stop();
}

/// Through the core that has the partition and through the other one.
#[test]
fn a_batch_may_be_as_large_as_its_topic_says() {
    let data = DataFolder::new("kafka-large-batch");
    let broker = RunningBroker::start(broker::Config { memory_bytes: Some(1 << 30), ..config(&data) });
    let mut client = KafkaClient::connect(broker.shared());
    create_with(&mut client, "large", "max.message.bytes", "20971520");
    client.create_topic("usual", 1);
    let batch = batch_of(&["x".repeat(15 * MIB)]);
    for (offset, shard) in (0..).zip(&broker.ready.shards) {
        let mut client = KafkaClient::connect(*shard);
        let answer = client.ask::<kafka::Produce>(9, &produce_to("usual", 0, batch.clone()));
        assert_eq!(produced(&answer).0, ErrorCode::MessageTooLarge);
        let answer = client.ask::<kafka::Produce>(9, &produce_to("large", 0, batch.clone()));
        assert_eq!(produced(&answer), (ErrorCode::None, offset));
        let answer = client.ask::<kafka::Fetch>(11, &fetch_from("large", 0, offset));
        let (code, read) = fetched(&answer);
        assert_eq!(code, ErrorCode::None);
        assert!(read[61..] == batch[61..], "{} of {} bytes", read.len(), batch.len());
    }
    let larger = batch_of(&["x".repeat(21 * MIB)]);
    let answer = client.ask::<kafka::Produce>(9, &produce_to("large", 0, larger));
    assert_eq!(produced(&answer).0, ErrorCode::MessageTooLarge);
    broker.stop();
}

/// Its topic was deleted and made again: for librdkafka a refusal is the end of the producer.
#[test]
fn an_idempotent_producer_goes_on_where_nobody_remembers_it() {
    let data = DataFolder::new("kafka-forgotten-producer");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    for _ in 0..2 {
        client.create_topic("again", 1);
        for (offset, sequence) in [(0, 7), (1, 8), (0, 7), (2, 9)] {
            let stamp = ProducerStamp { producer_id: 5, producer_epoch: 0, base_sequence: sequence };
            let mut builder = BatchBuilder::new(Compression::None);
            builder.append(&RecordRef { value: Some(b"x"), ..RecordRef::default() }).unwrap();
            let request = produce_to("again", 0, builder.finish(stamp).unwrap());
            let answer = client.ask::<kafka::Produce>(9, &request);
            assert_eq!(produced(&answer), (ErrorCode::None, offset), "sequence {sequence}");
        }
        let request = DeleteTopicsRequest { topic_names: vec!["again".into()], ..Default::default() };
        assert_eq!(client.ask::<kafka::DeleteTopics>(5, &request).responses[0].error_code, 0);
    }
    broker.stop();
}

/// The Java client does, and a consumer whose topics the broker chooses by a pattern knows only ids.
#[test]
fn a_topic_is_described_by_its_id_also_beside_an_empty_name() {
    let data = DataFolder::new("kafka-metadata-by-id");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    let topic_id = client.create_topic("known", 3);
    let unknown = uuid::Uuid::from_u128(7);
    for name in [None, Some("".into())] {
        let asked = |topic_id| MetadataRequestTopic { topic_id, name: name.clone() };
        let request =
            MetadataRequest { topics: Some(vec![asked(topic_id), asked(unknown)]), ..Default::default() };
        let topics = client.ask::<kafka::Metadata>(12, &request).topics;
        assert_eq!(topics[0].name.as_ref().unwrap().as_str(), "known");
        assert_eq!((topics[0].error_code, topics[0].partitions.len()), (0, 3));
        assert_eq!(topics[1].error_code, ErrorCode::UnknownTopicId.number());
        assert_eq!((&topics[1].name, topics[1].topic_id), (&None, unknown));
    }
    broker.stop();
}

/// sarama before 1.45: without the time of its records a batch would never be found by time, nor ever grow too old.
#[test]
fn a_batch_that_does_not_know_its_latest_time_is_found_by_time() {
    let data = DataFolder::new("kafka-wrong-times");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("timed", 1);
    for codec in [Compression::None, Compression::Snappy] {
        let mut builder = BatchBuilder::new(codec);
        for timestamp_ms in [1_000, 2_000] {
            builder.append(&RecordRef { timestamp_ms, value: Some(b"x"), ..RecordRef::default() }).unwrap();
        }
        let mut batch = builder.finish(ProducerStamp::NONE).unwrap().to_vec();
        stamp_max_timestamp(&mut batch, -1);
        let answer = client.ask::<kafka::Produce>(9, &produce_to("timed", 0, batch.into()));
        assert_eq!(produced(&answer).0, ErrorCode::None, "{codec:?}");
    }
    for (timestamp, expected) in [(1_000, 0), (1_001, 1), (-3, 1)] {
        let partition = ListOffsetsPartition { timestamp, ..Default::default() };
        let topic = ListOffsetsTopic { name: "timed".into(), partitions: vec![partition] };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let answer = client.ask::<kafka::ListOffsets>(7, &request);
        assert_eq!(answer.topics[0].partitions[0].offset, expected, "at {timestamp}");
    }
    broker.stop();
}

#[test]
fn a_compacted_topic_takes_no_record_without_a_key() {
    let data = DataFolder::new("kafka-no-key");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    create_with(&mut client, "compacted", "cleanup.policy", "compact");
    for codec in [Compression::None, Compression::Lz4] {
        for (key, expected) in [(None, ErrorCode::InvalidRecord), (Some(&b"k"[..]), ErrorCode::None)] {
            let mut builder = BatchBuilder::new(codec);
            builder.append(&RecordRef { key, value: Some(b"x"), ..RecordRef::default() }).unwrap();
            let batch: Bytes = builder.finish(ProducerStamp::NONE).unwrap();
            let answer = client.ask::<kafka::Produce>(9, &produce_to("compacted", 0, batch));
            assert_eq!(produced(&answer).0, expected, "{codec:?}, key {key:?}");
        }
    }
    // Which they are, for clients that tell each record's sender its own fate.
    let mut builder = BatchBuilder::new(Compression::None);
    for key in [None, Some(&b"k"[..]), None] {
        builder.append(&RecordRef { key, ..RecordRef::default() }).unwrap();
    }
    let batch: Bytes = builder.finish(ProducerStamp::NONE).unwrap();
    let refused = client.ask::<kafka::Produce>(9, &produce_to("compacted", 0, batch.clone()));
    let partition = &refused.topics[0].partitions[0];
    let places: Vec<i32> = partition.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(places, [0, 2]);
    let message = partition.error_message.as_ref().unwrap().as_str();
    assert!(message.contains("compacted") && message.ends_with("0, 2"), "{message}");
    // The oldest versions have no room for words.
    let refused = client.ask::<kafka::Produce>(7, &produce_to("compacted", 0, batch));
    assert_eq!(produced(&refused).0, ErrorCode::InvalidRecord);
    broker.stop();
}

/// librdkafka asks again for ever after any error that is not a refusal of its transactional id.
#[test]
fn who_wants_transactions_is_told_that_there_are_none() {
    let data = DataFolder::new("kafka-no-transactions");
    let broker = RunningBroker::start(config(&data));
    for (software, version, expected) in [
        ("librdkafka", "2.12.1", ErrorCode::TransactionalIdAuthorizationFailed),
        ("confluent-kafka-python", "2.12.1-rdkafka-2.12.1", ErrorCode::TransactionalIdAuthorizationFailed),
        ("apache-kafka-java", "4.1.2", ErrorCode::UnsupportedVersion),
    ] {
        let mut client = KafkaClient::connect(broker.shared());
        let hello = kafka::ApiVersionsRequest {
            client_software_name: software.into(),
            client_software_version: version.into(),
        };
        client.ask::<kafka::ApiVersions>(3, &hello);
        let request =
            FindCoordinatorRequest { key_type: 1, coordinator_keys: vec!["t".into()], ..Default::default() };
        let found = client.ask::<kafka::FindCoordinator>(4, &request).coordinators.remove(0);
        assert_eq!(found.error_code, expected.number(), "{software}");
        assert_eq!(found.error_message.unwrap().as_str(), "transactions are not supported");
    }
    broker.stop();
}

#[test]
fn a_produce_answer_says_where_the_log_begins() {
    let data = DataFolder::new("kafka-log-start");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("cut", 1);
    let mut start = |expected| {
        let answer = client.ask::<kafka::Produce>(9, &produce_to("cut", 0, batch_of(&["x"])));
        assert_eq!(answer.topics[0].partitions[0].log_start_offset, expected);
    };
    start(0);
    start(0);
    let partition = kafka::DeleteRecordsPartition { partition_index: 0, offset: 1 };
    let topic = kafka::DeleteRecordsTopic { name: "cut".into(), partitions: vec![partition] };
    let request = kafka::DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1_000 };
    KafkaClient::connect(broker.shared()).ask::<kafka::DeleteRecords>(2, &request);
    start(1);
    broker.stop();
}
