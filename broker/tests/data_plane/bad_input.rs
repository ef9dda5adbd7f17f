//! What no client of ours sends. Whatever one connection does, another goes on.

use std::io::{Read, Write};

use crate::fixture::{DataFolder, PATIENCE, RawClient, RunningBroker, batch_of, config};
use wire::codes::ErrorCode;
use wire::frame::{FRAME_HEADER_BYTES, FRAME_MAGIC, MessageKind};
use wire::native::{
    Authenticate, BodyBuilder, DescribeNode, DescribeNodeReply, Error, Hello, HelloReply, InitProducer,
    InitProducerReply, Metadata, Ping, Pong, Produce, ProduceAcks, TopicSelection,
};

fn header(kind: u16, body_length: u32, payload_length: u32) -> [u8; FRAME_HEADER_BYTES] {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    bytes[..4].copy_from_slice(&FRAME_MAGIC);
    bytes[4] = 1;
    bytes[6..8].copy_from_slice(&kind.to_le_bytes());
    bytes[8..16].copy_from_slice(&77_u64.to_le_bytes());
    bytes[24..28].copy_from_slice(&body_length.to_le_bytes());
    bytes[28..32].copy_from_slice(&payload_length.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..36]);
    bytes[36..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn closes_with(mut client: RawClient, code: ErrorCode) {
    assert_eq!(client.receive().decode::<Error>().code, code);
    assert!(client.try_receive().is_none(), "the connection is closed after it");
}

#[test]
fn nothing_is_served_before_hello() {
    let data = DataFolder::new("before-hello");
    let broker = RunningBroker::start(config(&data));
    let mut client = RawClient::connect(broker.shared());
    client.send(&Metadata { topics: TopicSelection::All, follow: false }, &[]);
    closes_with(client, ErrorCode::HandshakeRequired);
    let mut client = RawClient::connect(broker.shared());
    let reply: HelloReply = client.hello(&Hello { protocol_min: 7, protocol_max: 9, ..Hello::default() });
    assert_eq!(reply.code, ErrorCode::UnsupportedVersion);
    assert!(client.try_receive().is_none());
    let cluster_id = Some(uuid::Uuid::from_u128(5));
    let other = Hello { protocol_min: 1, protocol_max: 1, cluster_id, ..Hello::default() };
    assert_eq!(RawClient::connect(broker.shared()).hello(&other).code, ErrorCode::WrongCluster);
}

#[test]
fn what_no_session_has_is_refused_by_name_and_the_connection_goes_on() {
    let data = DataFolder::new("refused-by-name");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let again = client.ask(&Hello { protocol_min: 1, protocol_max: 1, ..Hello::default() });
    assert_eq!(again.decode::<Error>().code, ErrorCode::HandshakeRequired);
    let step = client.ask(&Authenticate { mechanism: "PLAIN".to_owned(), token: vec![1] });
    assert_eq!(step.decode::<Error>().code, ErrorCode::InvalidRequest);
    let transactional = client.ask(&InitProducer { transactional_id: "t".to_owned() });
    assert_eq!(transactional.decode::<InitProducerReply>().code, ErrorCode::UnsupportedFeature);
    client.metadata();
}

/// A batch of a hundred bytes behind many other frames keeps the receive buffer that all of them came in.
#[test]
fn what_batches_keep_of_receive_buffers_is_given_back_when_they_are_answered_or_their_connection_is_gone() {
    let data = DataFolder::new("overhead");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic_id = client.create_topic("overhead", 2);
    let batch = batch_of(&["value"]);
    for partition in 0..2 {
        for _ in 0..2_000 {
            client.send(&Ping { sent_at_us: 1 }, &[]);
        }
        client.send_batch(topic_id, partition, &batch);
    }
    let (mut pongs, mut acks) = (0, 0);
    while pongs < 4_000 || acks < 2 {
        match client.receive() {
            answer if answer.header.kind == MessageKind::ProduceAcks => {
                acks += ProduceAcks::read(&answer.body).unwrap().len();
            }
            answer => pongs += usize::from(answer.header.kind == MessageKind::Pong),
        }
    }
    let overhead = |of: &mut RawClient| -> u64 {
        let node: DescribeNodeReply = of.ask(&DescribeNode {}).decode();
        let node: serde_json::Value = serde_json::from_str(&node.json).unwrap();
        let shards = node["shards"].as_array().unwrap().iter();
        shards.map(|shard| shard["queues"]["overhead_bytes"]["used"].as_u64().unwrap()).sum()
    };
    assert_eq!(overhead(&mut client), 0, "all are answered");
    let mut gone = broker.connect();
    for _ in 0..1_000 {
        gone.send_batch(topic_id, 0, &batch);
    }
    drop(gone);
    let until = std::time::Instant::now() + PATIENCE;
    while overhead(&mut client) > 0 {
        assert!(std::time::Instant::now() < until, "a connection that is gone still counts");
    }
}

#[test]
fn other_protocols_are_closed_without_a_word() {
    let data = DataFolder::new("protocols");
    let broker = RunningBroker::start(config(&data));
    for first in [&b"\x00\x00\x00\x10"[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut client = RawClient::connect(broker.shared());
        client.stream.write_all(first).unwrap();
        let mut bytes = Vec::new();
        // Closed with unread bytes may arrive as a reset.
        let _ = client.stream.read_to_end(&mut bytes);
        assert!(bytes.is_empty());
    }
    broker.connect().metadata();
}

#[test]
fn a_frame_nobody_understands_is_skipped_where_its_end_is_known() {
    let data = DataFolder::new("skipped");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    client.stream.write_all(&header(999, 3, 100_000)).unwrap();
    client.stream.write_all(&vec![9; 100_003]).unwrap();
    let answer = client.receive();
    assert_eq!(answer.header.correlation_id, 77);
    assert_eq!(answer.decode::<Error>().code, ErrorCode::UnknownKind);
    assert_eq!(client.ask(&Ping { sent_at_us: 3 }).decode::<Pong>().sent_at_us, 3);
    // A body that is none is answered too.
    client.stream.write_all(&header(64, 0, 0)).unwrap();
    assert_eq!(client.receive().decode::<Error>().code, ErrorCode::MalformedBody);
    client.metadata();
}

#[test]
fn a_stream_that_is_lost_is_closed_with_the_reason() {
    let data = DataFolder::new("lost");
    let broker = RunningBroker::start(config(&data));
    let mut checksum = header(64, 0, 0);
    checksum[36] ^= 1;
    let mut version = header(64, 0, 0);
    version[4] = 9;
    let cases = [
        (checksum, ErrorCode::MalformedFrame),
        (version, ErrorCode::UnsupportedVersion),
        (header(16, 5_000, 0), ErrorCode::FrameTooLarge),
        (header(16, 50, 60 << 20), ErrorCode::FrameTooLarge),
    ];
    for (bytes, code) in cases {
        let mut client = broker.connect();
        client.stream.write_all(&bytes).unwrap();
        closes_with(client, code);
    }
}

#[test]
fn five_hundred_announcements_of_eight_megabytes_take_no_memory() {
    let data = DataFolder::new("announced");
    let broker = RunningBroker::start(config(&data));
    let mut clients: Vec<RawClient> = (0..500).map(|_| broker.connect()).collect();
    let before = resident_bytes();
    for client in &mut clients {
        client.stream.write_all(&header(16, 48, 8 << 20)).unwrap();
        client.stream.write_all(&[0; 20]).unwrap();
    }
    let mut client = broker.connect();
    let topic = client.create_topic("t", 1);
    assert_eq!(client.produce(topic, 0, &batch_of(&["undisturbed"])).code, ErrorCode::None);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for headers of 500 batches");
}

/// A byte now and then kept its memory for as long as it pleased: only silence was looked for.
#[test]
fn a_frame_that_drips_is_given_up() {
    let data = DataFolder::new("dripping");
    let receive_stall_timeout = std::time::Duration::from_secs(1);
    let broker = RunningBroker::start(broker::Config { receive_stall_timeout, ..config(&data) });
    let mut client = broker.connect();
    client.stream.write_all(&header(16, 48, 8 << 20)).unwrap();
    // Far below the silence that is allowed, until the broker has enough of it.
    while client.stream.write_all(&[0]).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Four announcements took all of a small shard's receive memory, and who had a large batch to send was closed.
#[test]
fn who_sends_slowly_makes_way_for_those_who_do_not() {
    let data = DataFolder::new("make-way");
    let broker = RunningBroker::start(broker::Config { memory_bytes: Some(64 << 20), ..config(&data) });
    let mut greedy: Vec<RawClient> = (0..50).map(|_| broker.connect_to_shard(0)).collect();
    for client in &mut greedy {
        client.stream.write_all(&announcement(8 << 20)).unwrap();
        client.stream.write_all(&vec![0; 200 << 10]).unwrap();
    }
    let mut good = broker.connect_to_shard(0);
    let topic = good.create_topic("t", 1);
    let large = "x".repeat(3 << 20);
    for _ in 0..5 {
        assert_eq!(good.produce(topic, 0, &batch_of(&[&large])).code, ErrorCode::None);
    }
}

/// Each connection was allowed megabytes of answers it does not take, whatever all of them held together.
#[test]
fn answers_that_nobody_takes_are_bounded_for_all_together() {
    let data = DataFolder::new("answers");
    let memory_bytes = 64 << 20;
    let broker = RunningBroker::start(broker::Config { memory_bytes: Some(memory_bytes), ..config(&data) });
    let mut good = broker.connect_to_shard(0);
    good.create_topic("wide", 2000);
    let answer_bytes = good.ask(&Metadata { topics: TopicSelection::All, follow: false }).body.len();
    let mut deaf: Vec<RawClient> = (0..20).map(|_| broker.connect_to_shard(0)).collect();
    for client in &mut deaf {
        // More than the sockets between take.
        for _ in 0..(24 << 20) / answer_bytes {
            client.send(&Metadata { topics: TopicSelection::All, follow: false }, &[]);
        }
    }
    let limit = memory_bytes / 2 / 32;
    // One more each, which was begun while there was room, and one under way.
    let allowed = limit + 2 * deaf.len() * (answer_bytes + FRAME_HEADER_BYTES) + (64 << 10);
    let mut used = 0;
    while used < limit {
        used = answer_bytes_of_first_shard(&mut good);
        assert!(used <= allowed, "{used} bytes of answers where {allowed} are allowed");
    }
    // Served all the while, and whoever takes the answers gets them.
    let mut last = deaf.pop().unwrap();
    for _ in 0..(24 << 20) / answer_bytes {
        assert_eq!(last.receive().body.len(), answer_bytes);
    }
}

fn answer_bytes_of_first_shard(client: &mut RawClient) -> usize {
    let description: DescribeNodeReply = client.ask(&DescribeNode {}).decode();
    let node: serde_json::Value = serde_json::from_str(&description.json).unwrap();
    node["shards"][0]["queues"]["answer_bytes"]["used"].as_u64().unwrap() as usize
}

/// A produce request whose payload is still to come.
fn announcement(payload_length: usize) -> Vec<u8> {
    let produce =
        Produce { topic_id: uuid::Uuid::from_u128(1), partition: 0, deadline_ms: 0, acknowledge: true };
    let mut bytes = bytes::BytesMut::new();
    wire::frame::encode_message(&mut bytes, &mut BodyBuilder::new(), &produce, 1, 0, payload_length);
    bytes.to_vec()
}

#[test]
fn noise_closes_its_own_connection_only() {
    let data = DataFolder::new("noise");
    let broker = RunningBroker::start(config(&data));
    let mut seed = 1_u64;
    for round in 0..200 {
        let mut client = if round % 2 == 0 { RawClient::connect(broker.shared()) } else { broker.connect() };
        let mut noise: Vec<u8> = (0..200 + round)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        noise[..4].copy_from_slice(&FRAME_MAGIC);
        // It may be refused before all of it was taken.
        let _ = client.stream.write_all(&noise);
    }
    broker.connect().metadata();
}

#[test]
fn a_connection_that_says_nothing_is_closed_in_time() {
    let data = DataFolder::new("silent");
    let handshake_timeout = std::time::Duration::from_millis(50);
    let broker = RunningBroker::start(broker::Config { handshake_timeout, ..config(&data) });
    for first in [&b""[..], &FRAME_MAGIC] {
        let mut client = RawClient::connect(broker.shared());
        client.stream.write_all(first).unwrap();
        assert_eq!(client.stream.read(&mut [0; 8]).unwrap(), 0, "the end of the stream");
    }
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
