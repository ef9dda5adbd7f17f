//! One example of every message, shared by the golden files, the properties and the allocation tests.

#![allow(dead_code, reason = "each test binary uses its own part")]

use uuid::Uuid;
use wire::codes::ErrorCode;
use wire::frame::MessageKind;
use wire::native::*;

pub(crate) const TOPIC_ID: Uuid = Uuid::from_u128(0x0197_2c1e_7c4a_7d00_9a51_0242_ac12_0002);
pub(crate) const CLUSTER_ID: Uuid = Uuid::from_u128(0x6f1d_a0b2_5c3e_4f48_8d79_1234_5678_9abc);

/// What a caller does with one message, whatever its type.
pub(crate) trait Visitor {
    fn visit<M: Message + Clone + PartialEq + std::fmt::Debug>(&mut self, example: M);
}

/// Shows `visitor` an example of every kind, in the order of their numbers.
pub(crate) fn for_each_message(visitor: &mut impl Visitor) {
    session(visitor);
    produce(visitor);
    consume(visitor);
    metadata(visitor);
    topics(visitor);
    groups(visitor);
}

/// Decodes `body` as the message that `kind` says, whatever comes of it.
pub(crate) fn decode_as(kind: MessageKind, body: &[u8]) {
    struct Decoder<'a>(MessageKind, &'a [u8]);
    impl Visitor for Decoder<'_> {
        fn visit<M: Message + Clone + PartialEq + std::fmt::Debug>(&mut self, _: M) {
            if M::KIND == self.0 {
                let _ = M::decode(self.1);
            }
        }
    }
    for_each_message(&mut Decoder(kind, body));
}

fn session(visitor: &mut impl Visitor) {
    visitor.visit(Hello {
        protocol_min: 1,
        protocol_max: 3,
        features: 5,
        client_id: "orders".into(),
        client_name: "corelog-rust".into(),
        client_version: "0.1.0".into(),
        cluster_id: Some(CLUSTER_ID),
    });
    visitor.visit(HelloReply {
        code: ErrorCode::None,
        message: String::new(),
        protocol: 1,
        features: 1,
        cluster_id: CLUSTER_ID,
        node_id: 0,
        shard: 1,
        server_version: "0.1.0".into(),
        frame_bytes_max: 16_842_752,
        batch_bytes_max: 8_388_608,
        in_flight_bytes_max: 33_554_432,
        mechanisms: vec!["SCRAM-SHA-256".into(), "PLAIN".into()],
    });
    visitor.visit(Authenticate { mechanism: "PLAIN".into(), token: b"\0user\0secret".to_vec() });
    visitor.visit(AuthenticateReply { complete: true, token: vec![1, 2, 3], ..Default::default() });
    visitor.visit(Ping { sent_at_us: 123_456 });
    visitor.visit(Pong { sent_at_us: 123_456 });
    visitor.visit(GoingAway { code: ErrorCode::NotServing, message: "stopping".into(), drain_ms: 5_000 });
    visitor.visit(Error { code: ErrorCode::UnknownKind, message: "unknown message kind 999".into() });
}

fn produce(visitor: &mut impl Visitor) {
    visitor.visit(Produce { topic_id: TOPIC_ID, partition: 7, deadline_ms: 30_000, acknowledge: true });
    visitor.visit(ProduceAcks {
        acks: vec![
            ProduceAck { correlation_id: 1, code: ErrorCode::None, base_offset: 100, log_append_time_ms: -1 },
            ProduceAck {
                correlation_id: 2,
                code: ErrorCode::StorageFull,
                base_offset: -1,
                log_append_time_ms: -1,
            },
        ],
    });
    visitor.visit(InitProducer { transactional_id: String::new() });
    visitor.visit(InitProducerReply { code: ErrorCode::None, producer_id: 4_000, producer_epoch: 0 });
}

fn consume(visitor: &mut impl Visitor) {
    visitor.visit(Fetch {
        topic_id: TOPIC_ID,
        partition: 7,
        offset: 42,
        bytes_max: 1_048_576,
        bytes_min: 1,
        wait_ms_max: 500,
    });
    visitor.visit(FetchReply {
        code: ErrorCode::None,
        high_watermark: 100,
        log_start_offset: 10,
        log_end_offset: 101,
    });
    visitor.visit(Subscribe {
        topic_id: TOPIC_ID,
        partition: 7,
        start: StartPosition::Time(1_700_000_000_000),
        credit_bytes: 4_194_304,
    });
    visitor.visit(SubscribeReply { code: ErrorCode::None, start_offset: 42, high_watermark: 100 });
    visitor.visit(Push { high_watermark: 100, end_code: ErrorCode::None });
    visitor.visit(Credit { subscription: 9, bytes: 1_048_576 });
    visitor.visit(Unsubscribe { subscription: 9 });
    visitor.visit(ListOffsets { topic_id: TOPIC_ID, partition: 7, at: OffsetQuery::Time(1_700_000_000_000) });
    visitor.visit(ListOffsetsReply { code: ErrorCode::None, offset: 42, timestamp_ms: 1_700_000_000_001 });
}

fn metadata(visitor: &mut impl Visitor) {
    visitor.visit(Metadata {
        topics: TopicSelection::Names(vec!["orders".into(), "payments".into()]),
        follow: true,
    });
    visitor.visit(MetadataReply {
        cluster_id: CLUSTER_ID,
        node_id: 0,
        shared: Endpoint { host: "127.0.0.1".into(), port: 9_092 },
        shards: vec![
            ShardEndpoint { shard: 0, host: "127.0.0.1".into(), port: 7_401 },
            ShardEndpoint { shard: 1, host: "127.0.0.1".into(), port: 7_402 },
        ],
        topics: vec![
            TopicMetadata {
                code: ErrorCode::None,
                name: "orders".into(),
                id: TOPIC_ID,
                partitions: vec![
                    PartitionMetadata { shard: 0, leader_epoch: 3 },
                    PartitionMetadata { shard: 1, leader_epoch: 4 },
                ],
            },
            TopicMetadata { code: ErrorCode::UnknownTopic, name: "payments".into(), ..Default::default() },
        ],
    });
    visitor.visit(CatalogChanged {});
}

fn topics(visitor: &mut impl Visitor) {
    visitor.visit(CreateTopic {
        name: "orders".into(),
        partitions: 8,
        settings: vec![("retention.ms".into(), "604800000".into())],
        validate_only: false,
    });
    visitor.visit(CreateTopicReply { topic_id: TOPIC_ID, ..Default::default() });
    visitor.visit(DeleteTopic { name: "orders".into() });
    visitor.visit(DeleteTopicReply { code: ErrorCode::UnknownTopic, message: "no topic orders".into() });
    visitor.visit(AlterTopic {
        name: "orders".into(),
        partitions: Some(16),
        settings: vec![("retention.ms".into(), None), ("segment.bytes".into(), Some("1048576".into()))],
    });
    visitor.visit(AlterTopicReply::default());
    visitor.visit(DescribeTopic { name: "orders".into() });
    visitor.visit(DescribeTopicReply {
        id: TOPIC_ID,
        settings: vec![Setting {
            name: "segment.bytes".into(),
            value: "1073741824".into(),
            is_default: true,
            acts: true,
        }],
        partitions: vec![PartitionState {
            partition: 0,
            shard: 1,
            leader_epoch: 3,
            log_start_offset: 0,
            high_watermark: 100,
            log_end_offset: 101,
            segment_count: 1,
            bytes: 4_096,
        }],
        ..Default::default()
    });
    visitor.visit(DescribeNode {});
    visitor.visit(DescribeNodeReply { json: "{\"shards\":2}".into(), ..Default::default() });
}

fn groups(visitor: &mut impl Visitor) {
    let parts = vec![GroupPartitions { topic_id: TOPIC_ID, partitions: vec![0, 3] }];
    let offset = GroupOffset {
        topic: "orders".into(),
        partition: 3,
        offset: 77,
        leader_epoch: 2,
        metadata: "by hand".into(),
    };
    visitor.visit(GroupHeartbeat {
        group: "billing".into(),
        member_id: "m-1".into(),
        epoch: 4,
        instance_id: "host-1".into(),
        rebalance_timeout_ms: 60_000,
        wait_ms: 1_000,
        topics: vec!["orders".into()],
        owned: parts.clone(),
    });
    visitor.visit(GroupHeartbeatReply {
        code: ErrorCode::None,
        message: String::new(),
        member_id: "m-1".into(),
        epoch: 5,
        assignment: Some(parts.clone()),
    });
    visitor.visit(CommitOffsets {
        group: "billing".into(),
        member_id: "m-1".into(),
        epoch: 5,
        offsets: vec![offset.clone()],
    });
    visitor.visit(CommitOffsetsReply { code: ErrorCode::MemberFenced, message: "epoch 6".into() });
    visitor.visit(CommittedOffsets { group: "billing".into() });
    visitor.visit(CommittedOffsetsReply { offsets: vec![offset], ..Default::default() });
    visitor.visit(ListGroups {});
    let listed = ListedGroup { group: "billing".into(), kind: "consumer".into(), state: "Stable".into() };
    visitor.visit(ListGroupsReply { groups: vec![listed], ..Default::default() });
    visitor.visit(DescribeGroup { group: "billing".into() });
    visitor.visit(DescribeGroupReply {
        code: ErrorCode::None,
        message: String::new(),
        kind: "consumer".into(),
        state: "Stable".into(),
        epoch: 5,
        assignor: "uniform".into(),
        members: vec![GroupMember {
            member_id: "m-1".into(),
            instance_id: "host-1".into(),
            client_id: "app".into(),
            client_host: "/127.0.0.1".into(),
            epoch: 5,
            assignment: parts,
        }],
    });
    visitor.visit(DeleteGroup { group: "billing".into() });
    visitor.visit(DeleteGroupReply { code: ErrorCode::GroupNotEmpty, message: "1 member".into() });
}
