//! Batches out: limits, waiting, errors, offsets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;
use wire::kafka::{
    self, EARLIEST_TIMESTAMP, ErrorCode, FetchPartition, FetchRequest, FetchTopic, LATEST_TIMESTAMP,
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, MAX_TIMESTAMP, Records,
};

use crate::fixture::{
    DataFolder, KafkaClient, RunningBroker, batch_of, config, fetch_from, fetched, produce_to, produced,
    records_of,
};

fn fill(client: &mut KafkaClient, topic: &str, partition: i32, batches: usize, bytes: usize) {
    for number in 0..batches {
        let value = format!("{number:0bytes$}");
        let response = client.ask::<kafka::Produce>(9, &produce_to(topic, partition, batch_of(&[value])));
        assert_eq!(produced(&response), (ErrorCode::None, number as i64));
    }
}

fn bytes_of(records: &Records) -> Bytes {
    let Records::Here(bytes) = records else { panic!("an answer holds its records") };
    bytes.clone()
}

#[test]
fn every_version_reads_through_the_right_core_and_the_wrong_one() {
    let data = DataFolder::new("kafka-fetch-versions");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    let id = client.create_topic("read", 2);
    fill(&mut client, "read", 0, 10, 100);
    fill(&mut client, "read", 1, 10, 100);
    for shard in &broker.ready.shards {
        let mut client = KafkaClient::connect(*shard);
        for version in 4..=17 {
            for partition in 0..2 {
                let mut request = fetch_from("read", partition, 4);
                request.topics[0].topic_id = id;
                let response = client.ask::<kafka::Fetch>(version, &request);
                let (code, run) = fetched(&response);
                let offsets: Vec<i64> = records_of(&run).iter().map(|(offset, _)| *offset).collect();
                assert_eq!((code, offsets), (ErrorCode::None, (4..10).collect()), "version {version}");
                assert_eq!(response.topics[0].partitions[0].high_watermark, 10);
            }
        }
    }
    broker.stop();
}

#[test]
fn limits_hold_but_for_one_batch() {
    let data = DataFolder::new("kafka-fetch-limits");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("limits", 3);
    (0..3).for_each(|partition| fill(&mut client, "limits", partition, 10, 1_000));
    let fetch = |client: &mut KafkaClient, partition_max_bytes, max_bytes| -> Vec<usize> {
        let partition = |partition| FetchPartition { partition, partition_max_bytes, ..Default::default() };
        let partitions = (0..3).map(partition).collect();
        let topic = FetchTopic { topic: "limits".into(), partitions, ..Default::default() };
        let request = FetchRequest { max_bytes, min_bytes: 1, topics: vec![topic], ..Default::default() };
        let response = client.ask::<kafka::Fetch>(11, &request);
        let partitions = &response.topics[0].partitions;
        // Of a partition that there was no room to read, and that another core has, nothing is known at first.
        assert!(partitions.iter().all(|partition| matches!(partition.high_watermark, 10 | -1)));
        partitions.iter().map(|partition| records_of(&bytes_of(&partition.records)).len()).collect()
    };
    assert_eq!(fetch(&mut client, 1 << 20, 1 << 20), [10, 10, 10]);
    assert_eq!(fetch(&mut client, 2_500, 1 << 20), [2, 2, 2]);
    // One batch, also where it is too large: the client turns the order of its partitions.
    assert_eq!(fetch(&mut client, 1, 1 << 20), [1, 0, 0]);
    assert_eq!(fetch(&mut client, 1 << 20, 1), [1, 0, 0]);
    let all = fetch(&mut client, 1 << 20, 15_000);
    assert!(all[0] == 10 && (3..=5).contains(&all[1]) && all[2] == 0, "{all:?}");
    broker.stop();
}

#[test]
fn a_fetch_waits_for_what_it_wants_and_no_longer_than_it_says() {
    let data = DataFolder::new("kafka-fetch-waits");
    let broker = RunningBroker::start(config(&data));
    for (shard, partition) in broker.ready.shards.iter().flat_map(|shard| [(shard, 0), (shard, 1)]) {
        let (mut client, mut other) = (KafkaClient::connect(*shard), KafkaClient::connect(*shard));
        let topic = format!("waits-{}-{partition}", shard.port());
        client.create_topic(&topic, 2);
        // Both partitions, one of which another core has.
        let wanted =
            |partition| FetchPartition { partition, partition_max_bytes: 1 << 20, ..Default::default() };
        let request = |max_wait_ms, min_bytes| {
            let partitions = vec![wanted(0), wanted(1)];
            let topic = FetchTopic { topic: topic.as_str().into(), partitions, ..Default::default() };
            FetchRequest { max_wait_ms, min_bytes, topics: vec![topic], ..Default::default() }
        };
        let lengths = |response: &kafka::FetchResponse| -> Vec<usize> {
            let partitions = &response.topics[0].partitions;
            partitions.iter().map(|partition| bytes_of(&partition.records).len()).collect()
        };
        let mut produce = |partition| {
            let request = produce_to(&topic, partition, batch_of(&["news"]));
            assert_eq!(produced(&other.ask::<kafka::Produce>(9, &request)), (ErrorCode::None, 0));
        };
        let began = Instant::now();
        assert_eq!(lengths(&client.ask::<kafka::Fetch>(11, &request(300, 1))), [0, 0]);
        assert!(began.elapsed() >= Duration::from_millis(300));
        client.send::<kafka::Fetch>(11, &request(60_000, 1));
        produce(partition);
        let found = lengths(&client.receive::<kafka::Fetch>(11).1);
        assert!(found[partition as usize] > 0 && found[1 - partition as usize] == 0, "{found:?}");
        // One batch is not enough: both are there when it is.
        client.send::<kafka::Fetch>(11, &request(60_000, 100));
        produce(1 - partition);
        let found = lengths(&client.receive::<kafka::Fetch>(11).1);
        assert!(found.iter().all(|length| *length > 0), "{found:?}");
    }
    broker.stop();
}

#[test]
fn what_cannot_be_read_says_why() {
    let data = DataFolder::new("kafka-fetch-errors");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("errors", 1);
    fill(&mut client, "errors", 0, 3, 10);
    let ask = |client: &mut KafkaClient, version, request: &FetchRequest| {
        fetched(&client.ask::<kafka::Fetch>(version, request)).0
    };
    // A wait that would hide an error is not begun.
    let patient = |request: FetchRequest| FetchRequest { max_wait_ms: 60_000, ..request };
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(ask(&mut client, 11, &patient(fetch_from("absent", 0, 0))), unknown);
    assert_eq!(ask(&mut client, 11, &patient(fetch_from("errors", 1, 0))), unknown);
    assert_eq!(ask(&mut client, 11, &patient(fetch_from("errors", -1, 0))), unknown);
    for offset in [4, -1, i64::MAX] {
        let request = patient(fetch_from("errors", 0, offset));
        assert_eq!(ask(&mut client, 11, &request), ErrorCode::OffsetOutOfRange, "{offset}");
    }
    let mut by_id = patient(fetch_from("", 0, 0));
    by_id.topics[0].topic_id = Uuid::from_u128(9);
    assert_eq!(ask(&mut client, 13, &by_id), ErrorCode::UnknownTopicId);
    let mut epoch = patient(fetch_from("errors", 0, 0));
    epoch.topics[0].partitions[0].current_leader_epoch = 1_000;
    assert_eq!(ask(&mut client, 11, &epoch), ErrorCode::UnknownLeaderEpoch);
    let session = FetchRequest { session_id: 5, session_epoch: 1, ..fetch_from("errors", 0, 0) };
    let response = client.ask::<kafka::Fetch>(11, &session);
    assert_eq!(response.error_code, ErrorCode::FetchSessionIdNotFound.number());
    // The Java client asks for nothing at its end.
    let nothing = FetchRequest { max_wait_ms: 60_000, min_bytes: 1, ..Default::default() };
    assert_eq!(client.ask::<kafka::Fetch>(13, &nothing).topics.len(), 0);
    // A session that is asked for is declined.
    let session = FetchRequest { session_epoch: 0, ..fetch_from("errors", 0, 0) };
    let response = client.ask::<kafka::Fetch>(11, &session);
    assert_eq!((response.error_code, response.session_id), (0, 0));
    assert_eq!(records_of(&fetched(&response).1).len(), 3);
    broker.stop();
}

#[test]
fn offsets_are_found_by_place_and_by_time() {
    let data = DataFolder::new("kafka-offsets");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("times", 2);
    for partition in 0..2 {
        // Records have the times 1,000 and 1,001.
        for _ in 0..5 {
            client.ask::<kafka::Produce>(9, &produce_to("times", partition, batch_of(&["a", "b"])));
        }
    }
    let find = |client: &mut KafkaClient, version, partition_index, timestamp| {
        let partition = ListOffsetsPartition { partition_index, timestamp, ..Default::default() };
        let topic = ListOffsetsTopic { name: "times".into(), partitions: vec![partition] };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let listed =
            client.ask::<kafka::ListOffsets>(version, &request).topics.remove(0).partitions.remove(0);
        (ErrorCode::from_number(listed.error_code).unwrap(), listed.offset)
    };
    for version in 1..=10 {
        for partition in 0..2 {
            for (timestamp, offset) in [
                (EARLIEST_TIMESTAMP, 0),
                (LATEST_TIMESTAMP, 10),
                (MAX_TIMESTAMP, 1),
                (-4, 0),
                (-5, -1),
                (0, 0),
                (1_001, 1),
                (1_002, -1),
            ] {
                let found = find(&mut client, version, partition, timestamp);
                assert_eq!(found, (ErrorCode::None, offset), "{timestamp} in version {version}");
            }
        }
    }
    let unknown = (ErrorCode::UnknownTopicOrPartition, -1);
    assert_eq!(find(&mut client, 5, 9, LATEST_TIMESTAMP), unknown);
    assert_eq!(find(&mut client, 5, 0, -9).0, ErrorCode::InvalidRequest);
    broker.stop();
}
