//! What single partitions hold: where leader epochs ended, producers, bytes on the disk.

use broker::Config;
use broker::config::KafkaAdvertise;
use bytes::Bytes;
use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};
use wire::kafka::{
    self, DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest,
    DescribeProducersTopic, ErrorCode, LeaderEpochEnd, MetadataRequest, MetadataRequestTopic,
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::fixture::{DataFolder, KafkaClient, RunningBroker, batch_of, config, produce_to, produced};

fn epoch_of(client: &mut KafkaClient, topic: &str, partition: usize) -> i32 {
    let topic = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    let told = client.ask::<kafka::Metadata>(12, &request).topics.remove(0);
    told.partitions.iter().find(|told| told.partition_index == partition as i32).unwrap().leader_epoch
}

fn end_of(
    client: &mut KafkaClient,
    version: i16,
    (topic, partition): (&str, i32),
    current_leader_epoch: i32,
    leader_epoch: i32,
) -> LeaderEpochEnd {
    let partition = OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch };
    let topic = OffsetForLeaderTopic { topic: topic.into(), partitions: vec![partition] };
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] };
    client.ask::<kafka::OffsetForLeaderEpoch>(version, &request).topics.remove(0).partitions.remove(0)
}

/// A partition that moves between cores gets a new epoch each time.
#[test]
fn the_end_of_every_epoch_is_told_through_the_right_core_and_the_wrong_one() {
    let data = DataFolder::new("kafka-epochs");
    let mut written = [Vec::new(), Vec::new()];
    for cores in [vec![0, 1], vec![0], vec![0, 1]] {
        let broker = RunningBroker::start(Config { cores, ..config(&data) });
        let mut client = KafkaClient::connect(broker.shared());
        if written[0].is_empty() {
            client.create_topic("epochs", 2);
        }
        for partition in 0..2 {
            let records = batch_of(&["a", "b", "c"]);
            let response = client.ask::<kafka::Produce>(9, &produce_to("epochs", partition, records));
            let (code, offset) = produced(&response);
            assert_eq!(code, ErrorCode::None);
            let epoch = epoch_of(&mut client, "epochs", partition as usize);
            written[partition as usize].push((epoch, offset + 3));
        }
        broker.stop();
    }
    assert!(
        written.iter().any(|ends| ends[0].0 < ends[2].0),
        "no partition moved, and nothing is tested: {written:?}"
    );

    let broker = RunningBroker::start(config(&data));
    for shard in &broker.ready.shards {
        let mut client = KafkaClient::connect(*shard);
        for (partition, written) in (0..).zip(&written) {
            let current = epoch_of(&mut client, "epochs", partition as usize);
            assert_eq!(written[2].0, current, "a clean restart on the same cores changes nothing");
            for version in 2..=4 {
                let mut ask = |asked| {
                    let told = end_of(&mut client, version, ("epochs", partition), current, asked);
                    assert_eq!((told.error_code, told.partition), (0, partition));
                    (told.leader_epoch, told.end_offset)
                };
                for asked in 0..=current {
                    let ended = written.iter().rfind(|(epoch, _)| *epoch <= asked);
                    let expected = ended.copied().unwrap_or((asked, 0));
                    assert_eq!(ask(asked), expected, "epoch {asked} of {written:?}");
                }
                assert_eq!(ask(current + 1), (-1, -1));
                assert_eq!(ask(-1), (-1, -1));
                if current > 0 {
                    let told = end_of(&mut client, version, ("epochs", partition), current - 1, current);
                    assert_eq!(told.error_code, ErrorCode::FencedLeaderEpoch.number());
                }
            }
        }
    }
    broker.stop();
}

#[test]
fn an_epoch_is_not_told_to_who_knows_another_leader() {
    let data = DataFolder::new("kafka-epochs-fenced");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("fenced", 1);
    let current = epoch_of(&mut client, "fenced", 0);
    let mut code = |topic: &str, partition, known| {
        let told = end_of(&mut client, 4, (topic, partition), known, current);
        if told.error_code != 0 {
            assert_eq!((told.leader_epoch, told.end_offset), (-1, -1));
        }
        ErrorCode::from_number(told.error_code).unwrap()
    };
    assert_eq!(code("fenced", 0, -1), ErrorCode::None);
    assert_eq!(code("fenced", 0, current), ErrorCode::None);
    assert_eq!(code("fenced", 0, current + 1), ErrorCode::UnknownLeaderEpoch);
    assert_eq!(code("fenced", 1, -1), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(code("absent", 0, -1), ErrorCode::UnknownTopicOrPartition);
    broker.stop();
}

fn stamped(producer_id: i64, base_sequence: i32, times: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for timestamp_ms in times {
        let record = RecordRef { timestamp_ms: *timestamp_ms, key: None, value: Some(b"v"), headers: &[] };
        builder.append(&record).unwrap();
    }
    builder.finish(ProducerStamp { producer_id, producer_epoch: 3, base_sequence }).unwrap()
}

#[test]
fn producers_are_told_through_the_right_core_and_the_wrong_one() {
    let data = DataFolder::new("kafka-producers");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("known", 2);
    for (partition, batch) in [
        (0, stamped(7_000, 0, &[10, 30, 20])),
        (0, stamped(7_000, 3, &[40, 41])),
        (0, stamped(8_000, 0, &[5])),
        (1, batch_of(&["by nobody"])),
    ] {
        let response = client.ask::<kafka::Produce>(9, &produce_to("known", partition, batch));
        assert_eq!(produced(&response).0, ErrorCode::None);
    }
    let asked =
        |name: &str, partition_indexes| DescribeProducersTopic { name: name.into(), partition_indexes };
    let request = DescribeProducersRequest {
        topics: vec![asked("known", vec![0, 1, 2, 0, 0]), asked("absent", vec![0])],
    };
    let check = |client: &mut KafkaClient| {
        let topics = client.ask::<kafka::DescribeProducers>(0, &request).topics;
        let known = &topics[0].partitions;
        let codes: Vec<_> = known.iter().map(|told| (told.partition_index, told.error_code)).collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.number();
        assert_eq!(codes, [(0, 0), (1, 0), (2, unknown)]);
        assert_eq!(topics[1].partitions[0].error_code, unknown);
        let told = |told: &kafka::ProducerState| {
            (told.producer_id, told.producer_epoch, told.last_sequence, told.last_timestamp)
        };
        let producers: Vec<_> = known[0].active_producers.iter().map(told).collect();
        assert_eq!(producers, [(7_000, 3, 4, 41), (8_000, 3, 0, 5)]);
        assert_eq!(known[0].active_producers[0].current_txn_start_offset, -1);
        assert_eq!(known[1].active_producers, []);
    };
    for shard in &broker.ready.shards {
        check(&mut KafkaClient::connect(*shard));
    }
    broker.stop();
    let broker = RunningBroker::start(config(&data));
    for shard in &broker.ready.shards {
        check(&mut KafkaClient::connect(*shard));
    }
    broker.stop();
}

/// Each partition that is told: topic, number, size.
fn sizes(response: &DescribeLogDirsResponse) -> Vec<(String, i32, i64)> {
    assert_eq!((response.error_code, response.results.len(), response.results[0].error_code), (0, 1, 0));
    let topics = &response.results[0].topics;
    let partitions = topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|told| (topic.name.to_string(), told.partition_index, told.partition_size))
    });
    partitions.collect()
}

#[test]
fn a_log_dir_holds_the_partitions_of_the_broker_that_is_asked() {
    let data = DataFolder::new("kafka-log-dirs");
    let batch = batch_of(&["some", "records"]);
    let bytes = batch.len() as i64;
    let all: Vec<_> = (0..4).map(|partition| ("full".to_owned(), partition, bytes)).collect();
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("full", 4);
    client.create_topic("empty", 1);
    for partition in 0..4 {
        let response = client.ask::<kafka::Produce>(9, &produce_to("full", partition, batch.clone()));
        assert_eq!(produced(&response).0, ErrorCode::None);
    }
    let of_topic = |topic: &str, partitions| DescribableLogDirTopic { topic: topic.into(), partitions };
    let full = DescribeLogDirsRequest {
        topics: Some(vec![of_topic("full", vec![0, 1, 2, 3, 4, 0]), of_topic("absent", vec![0])]),
    };
    let everything = DescribeLogDirsRequest { topics: None };
    let (mut found, mut found_in_all) = (Vec::new(), Vec::new());
    for shard in &broker.ready.shards {
        let mut client = KafkaClient::connect(*shard);
        for version in 1..=4 {
            let response = client.ask::<kafka::DescribeLogDirs>(version, &full);
            let here = sizes(&response);
            assert!(!here.is_empty() && here.len() < 4, "{here:?}");
            let dir = &response.results[0];
            assert_eq!(dir.log_dir.as_str(), data.path().to_str().unwrap());
            if version == 4 {
                assert!(0 < dir.usable_bytes && dir.usable_bytes <= dir.total_bytes);
                found.extend(here);
            }
        }
        found_in_all.extend(sizes(&client.ask::<kafka::DescribeLogDirs>(4, &everything)));
    }
    found.sort();
    assert_eq!(found, all, "each partition is told by one broker");
    assert!(
        found_in_all.contains(&("empty".to_owned(), 0, 0)) && found_in_all.len() == 5,
        "{found_in_all:?}"
    );
    broker.stop();

    let broker = RunningBroker::start(Config { kafka_advertise: KafkaAdvertise::Node, ..config(&data) });
    for shard in &broker.ready.shards {
        let mut client = KafkaClient::connect(*shard);
        assert_eq!(sizes(&client.ask::<kafka::DescribeLogDirs>(4, &full)), all);
    }
    broker.stop();
}
