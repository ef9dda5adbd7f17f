//! Consumer groups: members, offsets, both kinds, and what a restart leaves of them.

use std::time::Duration;

use broker::Config;
use bytes::Bytes;
use wire::kafka::{
    self, AssignedPartitions, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DescribeGroupsRequest,
    ErrorCode, FetchedOffset, FindCoordinatorRequest, HeartbeatRequest, JoinGroupProtocol, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeavingMember, ListGroupsRequest, OffsetCommitPartition,
    OffsetCommitRequest, OffsetCommitTopic, OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteTopic,
    OffsetFetchGroup, OffsetFetchRequest, OffsetFetchTopic, SyncGroupAssignment, SyncGroupRequest,
};

use crate::fixture::{DataFolder, KafkaClient, RunningBroker, batch_of, config, produce_to, produced};

fn quick(data: &DataFolder) -> Config {
    Config { first_members_wait: Duration::from_millis(20), ..config(data) }
}

fn served(data: &DataFolder) -> (RunningBroker, KafkaClient) {
    let broker = RunningBroker::start(quick(data));
    let client = KafkaClient::connect(broker.shared());
    (broker, client)
}

fn started(name: &str) -> (DataFolder, RunningBroker, KafkaClient) {
    let data = DataFolder::new(name);
    let (broker, client) = served(&data);
    (data, broker, client)
}

fn code(number: i16) -> ErrorCode {
    ErrorCode::from_number(number).unwrap()
}

impl KafkaClient {
    /// The core that keeps the group; made what keeps it, if need be.
    fn coordinator(&mut self, group: &str) -> (ErrorCode, i32) {
        let request = FindCoordinatorRequest { key: group.into(), ..Default::default() };
        let found = self.ask::<kafka::FindCoordinator>(3, &request);
        (code(found.error_code), found.node_id)
    }

    fn commit(
        &mut self,
        version: i16,
        group: &str,
        member: (&str, i32),
        topic: &str,
        offset: i64,
    ) -> ErrorCode {
        let partition = OffsetCommitPartition {
            committed_offset: offset,
            committed_metadata: Some("text".into()),
            ..Default::default()
        };
        let topic = OffsetCommitTopic { name: topic.into(), partitions: vec![partition] };
        let request = OffsetCommitRequest {
            group_id: group.into(),
            member_id: member.0.into(),
            generation_id_or_member_epoch: member.1,
            topics: vec![topic],
            ..Default::default()
        };
        let answer = self.ask::<kafka::OffsetCommit>(version, &request);
        code(answer.topics[0].partitions[0].error_code)
    }

    fn committed(&mut self, version: i16, group: &str, topic: &str) -> FetchedOffset {
        let topics = Some(vec![OffsetFetchTopic { name: topic.into(), partition_indexes: vec![0] }]);
        let request = match version {
            8.. => {
                let group = OffsetFetchGroup { group_id: group.into(), topics, ..Default::default() };
                OffsetFetchRequest { groups: vec![group], ..Default::default() }
            }
            _ => OffsetFetchRequest { group_id: group.into(), topics, ..Default::default() },
        };
        let mut answer = self.ask::<kafka::OffsetFetch>(version, &request);
        let topics = match version {
            8.. => &mut answer.groups[0].topics,
            _ => &mut answer.topics,
        };
        topics[0].partitions.remove(0)
    }

    fn join(&mut self, version: i16, group: &str, member_id: &str) -> JoinGroupResponse {
        let protocol = JoinGroupProtocol { name: "range".into(), metadata: Bytes::from_static(b"wish") };
        let request = JoinGroupRequest {
            group_id: group.into(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id: member_id.into(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        self.ask::<kafka::JoinGroup>(version, &request)
    }

    /// Joins to the end, whatever the version asks for first.
    fn join_whole(&mut self, version: i16, group: &str) -> JoinGroupResponse {
        let joined = self.join(version, group, "");
        match code(joined.error_code) {
            ErrorCode::MemberIdRequired => self.join(version, group, joined.member_id.as_str()),
            _ => joined,
        }
    }

    fn sync(&mut self, version: i16, group: &str, joined: &JoinGroupResponse, part: &'static str) -> Bytes {
        let assignment = SyncGroupAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(part.as_bytes()),
        };
        let request = SyncGroupRequest {
            group_id: group.into(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            assignments: if part.is_empty() { Vec::new() } else { vec![assignment] },
            ..Default::default()
        };
        let synced = self.ask::<kafka::SyncGroup>(version, &request);
        assert_eq!(code(synced.error_code), ErrorCode::None);
        synced.assignment
    }

    fn heartbeat(&mut self, version: i16, group: &str, joined: &JoinGroupResponse) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: group.into(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            ..Default::default()
        };
        code(self.ask::<kafka::Heartbeat>(version, &request).error_code)
    }

    fn leave(&mut self, version: i16, group: &str, joined: &JoinGroupResponse) -> ErrorCode {
        let member = LeavingMember { member_id: joined.member_id.clone(), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: group.into(),
            member_id: joined.member_id.clone(),
            members: vec![member],
        };
        let left = self.ask::<kafka::LeaveGroup>(version, &request);
        code(left.members.first().map_or(left.error_code, |member| member.error_code))
    }
}

#[test]
fn every_version_commits_and_tells_through_the_right_core_and_the_wrong_one() {
    let (_data, broker, mut client) = started("kafka-commit-versions");
    client.create_topic("read", 1);
    assert_eq!(client.coordinator("group").0, ErrorCode::None);
    let mut number = 0;
    for shard in &broker.ready.shards {
        let mut client = KafkaClient::connect(*shard);
        for version in 2..=9 {
            number += 1;
            assert_eq!(client.commit(version, "group", ("", -1), "read", number), ErrorCode::None);
            for version in 1..=9 {
                let found = client.committed(version, "group", "read");
                assert_eq!((found.committed_offset, found.metadata), (number, Some("text".into())));
                let nothing = client.committed(version, "another", "read");
                assert_eq!((nothing.committed_offset, nothing.error_code), (-1, 0), "version {version}");
            }
        }
    }
    assert_eq!(client.commit(8, "group", ("", -1), "nothing", 1), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(client.commit(8, "group", ("x", 7), "read", 1), ErrorCode::UnknownMemberId);
    broker.stop();
}

/// librdkafka's 0030_offset_commit, with assigned partitions and the consumer protocol: such a consumer commits by the name
/// that it gave itself, and was told from its second commit on that it is unknown.
#[test]
fn who_has_a_name_but_no_generation_commits_while_nobody_is_a_member() {
    let (_data, broker, mut client) = started("kafka-commit-outside");
    client.create_topic("read", 1);
    client.coordinator("group");
    for number in 1..=2 {
        assert_eq!(client.commit(9, "group", ("named", -1), "read", number), ErrorCode::None);
        assert_eq!(client.committed(9, "group", "read").committed_offset, number);
    }
    let joined = client.join_whole(5, "group");
    assert_eq!(client.commit(9, "group", ("named", -1), "read", 3), ErrorCode::UnknownMemberId);
    assert_eq!(client.leave(5, "group", &joined), ErrorCode::None);
    assert_eq!(client.commit(9, "group", ("named", -1), "read", 3), ErrorCode::None);
    broker.stop();
}

#[test]
fn groups_are_spread_over_the_cores_and_told_where_they_are() {
    let (_data, broker, mut client) = started("kafka-coordinators");
    let keys = (0..20).map(|number| format!("group-{number}").as_str().into()).collect();
    let request = FindCoordinatorRequest { coordinator_keys: keys, ..Default::default() };
    let found = client.ask::<kafka::FindCoordinator>(6, &request).coordinators;
    for coordinator in &found {
        assert_eq!(code(coordinator.error_code), ErrorCode::None);
        let port = broker.ready.shards[coordinator.node_id as usize].port();
        assert_eq!(coordinator.port, i32::from(port));
    }
    let on = |node| found.iter().filter(|coordinator| coordinator.node_id == node).count();
    assert!(on(0) > 3 && on(1) > 3, "{} and {}", on(0), on(1));
    let request = FindCoordinatorRequest { key: "t".into(), key_type: 1, ..Default::default() };
    let refused = client.ask::<kafka::FindCoordinator>(3, &request);
    assert_eq!(code(refused.error_code), ErrorCode::UnsupportedVersion);
    broker.stop();
}

#[test]
fn every_version_has_members() {
    let (_data, broker, mut client) = started("kafka-member-versions");
    client.coordinator("any");
    for (join, sync, heartbeat, leave) in (0..=9_i16).map(|v| (v, v.min(5), v.min(4), v.min(5))) {
        let group = format!("version-{join}");
        let joined = client.join_whole(join, &group);
        assert_eq!(code(joined.error_code), ErrorCode::None, "version {join}");
        assert_eq!((joined.generation_id, joined.members.len()), (1, 1));
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(client.sync(sync, &group, &joined, "part"), "part");
        assert_eq!(client.heartbeat(heartbeat, &group, &joined), ErrorCode::None);
        assert_eq!(client.leave(leave, &group, &joined), ErrorCode::None);
        assert_eq!(client.heartbeat(heartbeat, &group, &joined), ErrorCode::UnknownMemberId);
    }
    let none = client.join(5, "", "");
    assert_eq!(code(none.error_code), ErrorCode::InvalidGroupId);
    broker.stop();
}

#[test]
fn a_restart_keeps_members_their_parts_and_what_they_committed() {
    let (data, broker, mut client) = started("kafka-groups-restart");
    client.create_topic("read", 1);
    client.coordinator("group");
    let joined = client.join_whole(5, "group");
    client.sync(3, "group", &joined, "part");
    let member = (joined.member_id.as_str(), joined.generation_id);
    assert_eq!(client.commit(8, "group", member, "read", 41), ErrorCode::None);
    assert_eq!(client.commit(8, "group", (member.0, 9), "read", 99), ErrorCode::IllegalGeneration);
    assert_eq!(client.commit(8, "group", ("", -1), "read", 99), ErrorCode::UnknownMemberId);
    client.coordinator("gone");
    assert_eq!(client.commit(8, "gone", ("x", 3), "read", 99), ErrorCode::IllegalGeneration);
    assert_eq!(client.commit(9, "gone", ("x", 3), "read", 99), ErrorCode::GroupIdNotFound);
    broker.stop();

    let (broker, mut client) = served(&data);
    assert_eq!(client.committed(8, "group", "read").committed_offset, 41);
    assert_eq!(client.heartbeat(3, "group", &joined), ErrorCode::None);
    assert_eq!(client.sync(3, "group", &joined, ""), "part");
    assert_eq!(client.leave(3, "group", &joined), ErrorCode::None);
    broker.stop();
}

#[test]
fn a_member_that_waits_does_not_hold_up_the_stop() {
    let data = DataFolder::new("kafka-groups-stop");
    let broker =
        RunningBroker::start(Config { first_members_wait: Duration::from_secs(600), ..config(&data) });
    let mut client = KafkaClient::connect(broker.shared());
    client.coordinator("group");
    let request = JoinGroupRequest {
        group_id: "group".into(),
        session_timeout_ms: 1_000_000,
        rebalance_timeout_ms: 1_000_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupProtocol { name: "range".into(), metadata: Bytes::new() }],
        ..Default::default()
    };
    client.send::<kafka::JoinGroup>(3, &request);
    let started = std::time::Instant::now();
    broker.stop();
    assert!(started.elapsed() < Duration::from_secs(4), "it was waited for");
    let (_, answer) = client.receive::<kafka::JoinGroup>(3);
    assert_eq!(code(answer.error_code), ErrorCode::NotCoordinator);
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let (_data, broker, mut client) = started("kafka-groups-admin");
    client.create_topic("read", 1);
    client.coordinator("group");
    let joined = client.join_whole(5, "group");
    client.sync(3, "group", &joined, "part");
    client.commit(8, "simple", ("", -1), "read", 3);
    let mut listed = Vec::new();
    for shard in &broker.ready.shards {
        let answer = KafkaClient::connect(*shard).ask::<kafka::ListGroups>(5, &ListGroupsRequest::default());
        listed.extend(answer.groups);
    }
    let mut names: Vec<_> =
        listed.iter().map(|group| (group.group_id.as_str(), group.group_state.as_str())).collect();
    names.sort_unstable();
    assert_eq!(names, [("group", "Stable"), ("simple", "Empty")], "each core lists its own");
    let request =
        DescribeGroupsRequest { groups: vec!["group".into(), "nothing".into()], ..Default::default() };
    let described = client.ask::<kafka::DescribeGroups>(6, &request).groups;
    assert_eq!(described[0].members[0].member_assignment, "part");
    assert_eq!(described[0].members[0].client_host.as_str(), "/127.0.0.1");
    assert_eq!(code(described[1].error_code), ErrorCode::GroupIdNotFound);
    let delete = |client: &mut KafkaClient| {
        let request = DeleteGroupsRequest { groups_names: vec!["group".into(), "simple".into()] };
        let results = client.ask::<kafka::DeleteGroups>(2, &request).results;
        results.into_iter().map(|result| code(result.error_code)).collect::<Vec<_>>()
    };
    assert_eq!(delete(&mut client), [ErrorCode::NonEmptyGroup, ErrorCode::None]);
    client.leave(3, "group", &joined);
    assert_eq!(delete(&mut client), [ErrorCode::None, ErrorCode::GroupIdNotFound]);
    assert_eq!(client.committed(8, "simple", "read").committed_offset, -1);
    broker.stop();
}

#[test]
fn offsets_go_by_request_and_with_their_topic() {
    let (_data, broker, mut client) = started("kafka-offsets-go");
    client.create_topic("kept", 1);
    client.create_topic("gone", 1);
    client.coordinator("group");
    client.commit(8, "group", ("", -1), "kept", 1);
    client.commit(8, "group", ("", -1), "gone", 2);
    let topics = ["kept", "nothing"].map(|name| OffsetDeleteTopic {
        name: name.into(),
        partitions: vec![OffsetDeletePartition { partition_index: 0 }],
    });
    let request = OffsetDeleteRequest { group_id: "group".into(), topics: topics.to_vec() };
    let answer = client.ask::<kafka::OffsetDelete>(0, &request);
    let codes: Vec<ErrorCode> =
        answer.topics.iter().map(|topic| code(topic.partitions[0].error_code)).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(client.committed(8, "group", "kept").committed_offset, -1);
    let request = kafka::DeleteTopicsRequest { topic_names: vec!["gone".into()], ..Default::default() };
    client.ask::<kafka::DeleteTopics>(3, &request);
    let mut tries = 0;
    while client.committed(8, "group", "gone").committed_offset != -1 {
        tries += 1;
        assert!(tries < 1_000, "the offset of a deleted topic stays");
        std::thread::sleep(Duration::from_millis(5));
    }
    broker.stop();
}

#[test]
fn what_keeps_the_groups_is_nobodys_to_write_or_remove() {
    let (_data, broker, mut client) = started("kafka-offsets-topic");
    client.coordinator("group");
    let written = client.ask::<kafka::Produce>(9, &produce_to("__consumer_offsets", 0, batch_of(&["x"])));
    assert_eq!(produced(&written).0, ErrorCode::InvalidTopicException);
    let request =
        kafka::DeleteTopicsRequest { topic_names: vec!["__consumer_offsets".into()], ..Default::default() };
    let deleted = client.ask::<kafka::DeleteTopics>(5, &request);
    assert_eq!(code(deleted.responses[0].error_code), ErrorCode::InvalidTopicException);
    let asked = kafka::MetadataRequestTopic { name: Some("__consumer_offsets".into()), ..Default::default() };
    let request = kafka::MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
    let topic = client.ask::<kafka::Metadata>(12, &request).topics.remove(0);
    assert!(topic.is_internal && topic.partitions.len() == 50);
    broker.stop();
}

/// Long texts fill the log quickly.
#[test]
fn the_log_of_a_partition_is_kept_short_and_loses_nothing() {
    let (data, broker, mut client) = started("kafka-offsets-short");
    client.create_topic("read", 1);
    client.coordinator("group");
    client.commit(8, "group", ("", -1), "read", 7);
    let text = "x".repeat(4_000);
    for number in 0..900 {
        let partition = OffsetCommitPartition {
            committed_offset: number,
            committed_metadata: Some(text.as_str().into()),
            ..Default::default()
        };
        let topic = OffsetCommitTopic { name: "read".into(), partitions: vec![partition] };
        let request =
            OffsetCommitRequest { group_id: "long".into(), topics: vec![topic], ..Default::default() };
        let answer = client.ask::<kafka::OffsetCommit>(8, &request);
        assert_eq!(code(answer.topics[0].partitions[0].error_code), ErrorCode::None);
    }
    let starts = |client: &mut KafkaClient| -> i64 {
        let partitions = (0..50).map(|partition_index| kafka::ListOffsetsPartition {
            partition_index,
            timestamp: kafka::EARLIEST_TIMESTAMP,
            ..Default::default()
        });
        let topic =
            kafka::ListOffsetsTopic { name: "__consumer_offsets".into(), partitions: partitions.collect() };
        let request = kafka::ListOffsetsRequest { topics: vec![topic], ..Default::default() };
        let answer = client.ask::<kafka::ListOffsets>(5, &request);
        answer.topics[0].partitions.iter().map(|partition| partition.offset).sum()
    };
    let mut tries = 0;
    while starts(&mut client) < 200 {
        tries += 1;
        assert!(tries < 1_000, "the log begins at {} still", starts(&mut client));
        std::thread::sleep(Duration::from_millis(5));
    }
    broker.stop();
    let (broker, mut client) = served(&data);
    assert_eq!(client.committed(8, "long", "read").committed_offset, 899);
    assert_eq!(client.committed(8, "group", "read").committed_offset, 7);
    broker.stop();
}

#[test]
fn a_group_that_the_broker_assigns_shares_a_topic_out() {
    let (data, broker, mut client) = started("kafka-consumer-groups");
    let id = client.create_topic("read", 4);
    client.coordinator("group");
    let enters = |member_id: &str| ConsumerGroupHeartbeatRequest {
        group_id: "group".into(),
        member_id: member_id.into(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec!["read".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let first = client.ask::<kafka::ConsumerGroupHeartbeat>(1, &enters("a"));
    assert_eq!(code(first.error_code), ErrorCode::None);
    let parts = first.assignment.0.unwrap().topic_partitions;
    assert_eq!(parts, [AssignedPartitions { topic_id: id, partitions: vec![0, 1, 2, 3] }]);
    let second = client.ask::<kafka::ConsumerGroupHeartbeat>(1, &enters("b"));
    assert!(second.assignment.0.unwrap().topic_partitions.is_empty());
    let stale = client.commit(9, "group", ("a", first.member_epoch + 5), "read", 1);
    assert_eq!(stale, ErrorCode::StaleMemberEpoch);
    assert_eq!(client.commit(9, "group", ("a", first.member_epoch), "read", 1), ErrorCode::None);
    let request = kafka::ConsumerGroupDescribeRequest {
        group_ids: vec!["group".into(), "nothing".into()],
        ..Default::default()
    };
    let described = client.ask::<kafka::ConsumerGroupDescribe>(1, &request).groups;
    assert_eq!((described[0].members.len(), described[0].group_state.as_str()), (2, "Reconciling"));
    assert_eq!(code(described[1].error_code), ErrorCode::GroupIdNotFound);
    let joined = client.join(3, "group", "");
    assert_eq!(code(joined.error_code), ErrorCode::InconsistentGroupProtocol);
    broker.stop();
    // Both are members still.
    let (broker, mut client) = served(&data);
    let lives = ConsumerGroupHeartbeatRequest {
        group_id: "group".into(),
        member_id: "b".into(),
        member_epoch: second.member_epoch,
        ..Default::default()
    };
    let answer = client.ask::<kafka::ConsumerGroupHeartbeat>(1, &lives);
    assert_eq!(code(answer.error_code), ErrorCode::None);
    broker.stop();
}

/// franz-go's Test848RegexBrokerResolves waited for the internal topic in vain: patterns passed it over.
#[test]
fn a_pattern_that_the_broker_matches_has_its_own_topics_too() {
    let (_data, broker, mut client) = started("kafka-consumer-pattern");
    let read = client.create_topic("read", 1);
    client.coordinator("group");
    let enters = ConsumerGroupHeartbeatRequest {
        group_id: "group".into(),
        member_id: "a".into(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_regex: Some("read|__consumer_.*".into()),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let answer = client.ask::<kafka::ConsumerGroupHeartbeat>(1, &enters);
    assert_eq!(code(answer.error_code), ErrorCode::None);
    let parts = answer.assignment.0.unwrap().topic_partitions;
    assert!(parts.iter().any(|part| part.topic_id == read && part.partitions == [0]), "{parts:?}");
    assert!(parts.iter().any(|part| part.topic_id != read && part.partitions.len() == 50), "{parts:?}");
    broker.stop();
}
