//! What no client sends: the connection is closed, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;

use wire::kafka::{self, ApiVersionsRequest, ErrorCode};

use crate::fixture::{
    DataFolder, KafkaClient, PATIENCE, RunningBroker, batch_of, config, fetch_from, produce_to, produced,
};

/// True if the broker closes the connection without an answer.
fn is_refused(broker: &RunningBroker, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(broker.shared()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Refused already, perhaps, while it is being written.
    let _ = stream.write_all(bytes);
    matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
}

fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&(10 + body.len() as i32).to_be_bytes());
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
    frame.extend_from_slice(body);
    frame
}

#[test]
fn what_cannot_be_answered_closes_the_connection_and_disturbs_nobody() {
    let data = DataFolder::new("kafka-bad-input");
    let broker = RunningBroker::start(config(&data));
    let mut witness = KafkaClient::connect(broker.shared());
    witness.create_topic("watched", 1);
    let bad: [(&str, Vec<u8>); 8] = [
        ("a request shorter than its header", vec![0, 0, 0, 4, 0, 18, 0, 0]),
        ("90 MB announced", vec![5, 0x5d, 0x4a, 0x80, 0, 0]),
        ("an unknown API", request(999, 0, &[])),
        ("an API that is not served", request(17, 0, &[])),
        ("Produce 2", request(0, 2, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0])),
        ("Fetch 18", request(1, 18, &[])),
        ("a body that ends early", request(3, 1, &[0, 0, 0, 9])),
        ("a thousand million topics", request(3, 1, &[0x3b, 0x9a, 0xca, 0])),
    ];
    for (number, (what, bytes)) in bad.iter().enumerate() {
        assert!(is_refused(&broker, bytes), "{what} was answered");
        let response = witness.ask::<kafka::Produce>(9, &produce_to("watched", 0, batch_of(&["w"])));
        assert_eq!(produced(&response), (ErrorCode::None, number as i64), "beside {what}");
    }
    broker.stop();
}

#[test]
fn an_array_of_more_elements_than_any_client_has_is_refused() {
    let data = DataFolder::new("kafka-elements");
    let broker = RunningBroker::start(config(&data));
    // Metadata 1 for topics with empty names: two bytes each.
    let count = broker::kafka::ELEMENTS_PER_REQUEST_MAX as i32 + 1;
    let mut body = count.to_be_bytes().to_vec();
    body.extend(std::iter::repeat_n(0, 2 * count as usize));
    assert!(is_refused(&broker, &request(3, 1, &body)));
    broker.stop();
}

#[test]
fn noise_of_any_kind_leaves_the_broker_well() {
    let data = DataFolder::new("kafka-noise");
    let broker = RunningBroker::start(config(&data));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for key in (0..40).chain([60, 61, 68, 69, 75]) {
        for version in 0..4 {
            let body: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
            let mut stream = TcpStream::connect(broker.shared()).unwrap();
            stream.write_all(&request(key, version * 4, &body)).unwrap();
        }
    }
    let mut client = KafkaClient::connect(broker.shared());
    let told = client.ask::<kafka::ApiVersions>(0, &ApiVersionsRequest::default());
    assert_eq!(told.error_code, 0);
    broker.stop();
}

/// What connections hold is counted, and all of it is given back, however they end.
#[test]
fn connections_that_break_off_leave_nothing_counted() {
    let data = DataFolder::new("kafka-break-off");
    let broker = RunningBroker::start(config(&data));
    let mut client = KafkaClient::connect(broker.shared());
    client.create_topic("broken", 2);
    for partition in 0..2 {
        let request = produce_to("broken", partition, batch_of(&["x".repeat(100_000)]));
        assert_eq!(produced(&client.ask::<kafka::Produce>(9, &request)).0, ErrorCode::None);
    }
    for shard in broker.ready.shards.iter().cycle().take(40) {
        let mut client = KafkaClient::connect(*shard);
        for partition in 0..2 {
            for _ in 0..20 {
                // Answers that nobody reads, and one that is waited for when the connection ends.
                client.send::<kafka::Produce>(9, &produce_to("broken", partition, batch_of(&["y"])));
                client.send::<kafka::Fetch>(11, &fetch_from("broken", partition, 0));
                client.send::<kafka::Metadata>(9, &kafka::MetadataRequest::default());
            }
        }
        let many = (0..500).map(|_| fetch_from("broken", 0, 0).topics.remove(0).partitions.remove(0));
        let mut waits = fetch_from("broken", 0, 0);
        waits.topics[0].partitions =
            many.map(|partition| kafka::FetchPartition { fetch_offset: 1 << 40, ..partition }).collect();
        waits.max_wait_ms = 1_000;
        client.send::<kafka::Fetch>(11, &waits);
        // Announced, begun, and never finished.
        client.stream.write_all(&[0, 0x10, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 1]).unwrap();
    }
    drop(client);
    let held = |broker: &RunningBroker| -> Vec<String> {
        let json = broker.connect().describe_node();
        let shards = json["shards"].as_array().unwrap().clone();
        let queues = shards.iter().flat_map(|shard| shard["queues"].as_object().unwrap().clone());
        // Who asks holds a receive buffer, perhaps, and is a request that waits.
        const ASKING: u64 = 4 << 10;
        let counted = ["outgoing_bytes", "answer_bytes", "request_bytes", "overhead_bytes"];
        queues
            .filter(|(name, gauge)| counted.contains(&name.as_str()) && gauge["used"].as_u64() > Some(ASKING))
            .map(|(name, gauge)| format!("{name}: {}", gauge["used"]))
            .collect()
    };
    let began = std::time::Instant::now();
    loop {
        let held = held(&broker);
        if held.is_empty() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "still counted: {held:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    broker.stop();
}
