//! Records that are deleted from the beginning of a partition.

use std::time::{Duration, Instant};

use broker::Config;
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};
use wire::kafka::{
    self, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, DeleteRecordsPartition,
    DeleteRecordsRequest, DeleteRecordsTopic, EARLIEST_TIMESTAMP, ErrorCode, ListOffsetsPartition,
    ListOffsetsRequest, ListOffsetsTopic,
};

use crate::fixture::{
    DataFolder, KafkaClient, RunningBroker, batch_of, config, fetch_from, fetched, produce_to, produced,
};

/// Without any time to wait for followers: librdkafka's 0081_admin asks so, and was told that the time was over.
fn delete(client: &mut KafkaClient, topic: &str, cuts: &[(i32, i64)]) -> Vec<(i64, ErrorCode)> {
    let cut = |(partition_index, offset): &(i32, i64)| DeleteRecordsPartition {
        partition_index: *partition_index,
        offset: *offset,
    };
    let topic = DeleteRecordsTopic { name: topic.into(), partitions: cuts.iter().map(cut).collect() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 0 };
    let deleted = client.ask::<kafka::DeleteRecords>(2, &request).topics.remove(0);
    let outcome = |partition: &kafka::DeletedRecordsPartition| {
        (partition.low_watermark, ErrorCode::from_number(partition.error_code).unwrap())
    };
    deleted.partitions.iter().map(outcome).collect()
}

fn earliest(client: &mut KafkaClient, topic: &str, partition_index: i32) -> i64 {
    let partition =
        ListOffsetsPartition { partition_index, timestamp: EARLIEST_TIMESTAMP, current_leader_epoch: -1 };
    let topic = ListOffsetsTopic { name: topic.into(), partitions: vec![partition] };
    let request = ListOffsetsRequest { topics: vec![topic], replica_id: -1, ..Default::default() };
    client.ask::<kafka::ListOffsets>(7, &request).topics[0].partitions[0].offset
}

/// By the shared port: one of the partitions is on another shard than the connection.
#[test]
fn deleted_records_are_gone_on_every_shard_and_after_a_restart() {
    let data = DataFolder::new("kafka-delete-records");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("cut", 2);
    for partition in [0, 1] {
        for n in 0..4 {
            let response =
                client.ask::<kafka::Produce>(9, &produce_to("cut", partition, batch_of(&["a"; 5])));
            assert_eq!(produced(&response), (ErrorCode::None, 5 * n));
        }
    }
    assert_eq!(delete(&mut client, "cut", &[(0, 7), (1, -1)]), [(7, ErrorCode::None), (20, ErrorCode::None)]);
    // A second time, and below what is gone already.
    assert_eq!(delete(&mut client, "cut", &[(0, 7), (1, 3)]), [(7, ErrorCode::None), (20, ErrorCode::None)]);
    assert_eq!((earliest(&mut client, "cut", 0), earliest(&mut client, "cut", 1)), (7, 20));
    let out_of_range = [(-1, ErrorCode::OffsetOutOfRange); 2];
    assert_eq!(delete(&mut client, "cut", &[(0, 21), (1, -2)]), out_of_range);
    let unknown = [(-1, ErrorCode::UnknownTopicOrPartition)];
    assert_eq!(delete(&mut client, "cut", &[(2, 0)]), unknown);
    assert_eq!(delete(&mut client, "absent", &[(0, 0)]), unknown);
    broker.stop();

    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    assert_eq!((earliest(&mut client, "cut", 0), earliest(&mut client, "cut", 1)), (7, 20));
    let response = client.ask::<kafka::Fetch>(12, &fetch_from("cut", 0, 6));
    assert_eq!(fetched(&response).0, ErrorCode::OffsetOutOfRange);
    // The batch that the start cuts comes whole.
    let (code, bytes) = fetched(&client.ask::<kafka::Fetch>(12, &fetch_from("cut", 0, 7)));
    let first = wire::batch::BatchHeader::parse(&bytes).unwrap();
    assert_eq!((code, first.base_offset), (ErrorCode::None, 5));
    let response = client.ask::<kafka::Produce>(9, &produce_to("cut", 1, batch_of(&["a"])));
    assert_eq!(produced(&response), (ErrorCode::None, 20));
    broker.stop();
}

/// A topic that is only to be compacted keeps everything, whatever else it says.
#[test]
fn what_is_beyond_retention_goes_where_the_policy_deletes() {
    let data = DataFolder::new("kafka-retention");
    let config = Config { retention_interval: Duration::from_millis(20), ..config(&data) };
    let broker = RunningBroker::start(config);
    let mut client = KafkaClient::connect(broker.shared());
    for (name, policy) in [("kept", "compact"), ("cut", "delete")] {
        let setting = |(name, value): (&str, &str)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
        };
        let settings = [("segment.bytes", "1048576"), ("retention.bytes", "0"), ("cleanup.policy", policy)];
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 2,
            replication_factor: -1,
            configs: settings.into_iter().map(setting).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        assert_eq!(client.ask::<kafka::CreateTopics>(7, &request).topics[0].error_code, 0);
        for partition in [0, 1] {
            for _ in 0..4 {
                let mut builder = BatchBuilder::new(Compression::None);
                let record =
                    RecordRef { key: Some(b"k"), value: Some(&[7; 600_000]), ..RecordRef::default() };
                builder.append(&record).unwrap();
                let request = produce_to(name, partition, builder.finish(ProducerStamp::NONE).unwrap());
                assert_eq!(produced(&client.ask::<kafka::Produce>(9, &request)).0, ErrorCode::None);
            }
        }
    }
    let until = Instant::now() + Duration::from_secs(60);
    for partition in [0, 1] {
        // Each segment holds one batch; the last stays.
        while earliest(&mut client, "cut", partition) < 3 {
            assert!(Instant::now() < until, "nothing is deleted of partition {partition}");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(earliest(&mut client, "kept", partition), 0);
    }
    broker.stop();
}

#[test]
fn what_a_topic_keeps_for_good_is_not_deleted_by_hand() {
    let data = DataFolder::new("kafka-delete-kept");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    let compact = CreatableTopic {
        name: "kept".into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![CreatableTopicConfig { name: "cleanup.policy".into(), value: Some("compact".into()) }],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![compact], ..Default::default() };
    assert_eq!(client.ask::<kafka::CreateTopics>(7, &request).topics[0].error_code, 0);
    let refused = [(-1, ErrorCode::PolicyViolation)];
    assert_eq!(delete(&mut client, "kept", &[(0, 0)]), refused);
    let group = kafka::FindCoordinatorRequest { key: "group".into(), ..Default::default() };
    client.ask::<kafka::FindCoordinator>(3, &group);
    assert_eq!(delete(&mut client, "__consumer_offsets", &[(7, 0)]), refused);
    broker.stop();
}
