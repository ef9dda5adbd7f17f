//! Every API at every version, in both directions, against another implementation; and noise.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as oracle;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::*;

mod any;

pub(super) use any::{Any, Random};

const ROUNDS: u64 = 40;

fn written<T: Field>(message: &T, form: Form) -> Bytes {
    let mut to = Writer::default();
    message.write(&mut to, form);
    to.into_gathered().freeze()
}

fn read<T: Field>(bytes: &Bytes, form: Form) -> Result<T, DecodeError> {
    let mut from = Reader::new(bytes.clone());
    let message = T::read(&mut from, form)?;
    from.finish()?;
    Ok(message)
}

/// What we write the other reads, and writes again as the same bytes; these we read and write again as they were.
fn agrees<T, O>(key: ApiKey)
where
    T: Field + Any,
    O: Decodable + Encodable,
{
    let (min, max) = key.versions();
    for version in min..=max {
        let form = key.form(version);
        for seed in 1..=ROUNDS {
            let bytes = written(&T::any(&mut Random::new(seed)), form);
            let mut theirs = bytes.clone();
            let message = O::decode(&mut theirs, version)
                .unwrap_or_else(|error| panic!("{key:?} {version}, seed {seed}: {error}"));
            assert!(theirs.is_empty(), "{key:?} {version}, seed {seed}: {} bytes left", theirs.len());
            let mut again = BytesMut::new();
            message
                .encode(&mut again, version)
                .unwrap_or_else(|error| panic!("{key:?} {version}, seed {seed}: {error}"));
            assert_eq!(again, bytes, "{key:?} {version}, seed {seed}");
            let ours: T =
                read(&bytes, form).unwrap_or_else(|error| panic!("{key:?} {version}, seed {seed}: {error}"));
            assert_eq!(written(&ours, form), bytes, "{key:?} {version}, seed {seed}");
            noise::<T>(&bytes, form, seed);
        }
    }
}

/// Cut short it is an error; with bits turned it is one, or another message.
fn noise<T: Field>(bytes: &Bytes, form: Form, seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..20 {
        let cut = bytes.slice(..random.next() as usize % bytes.len().max(1));
        if cut.len() < bytes.len() {
            // A message whose last bytes are a later field's may still be one: what counts is that nothing panics.
            let _ = read::<T>(&cut, form);
        }
        let mut turned = bytes.to_vec();
        if let Some(byte) = turned.get_mut(random.next() as usize % bytes.len().max(1)) {
            *byte ^= 1 << (random.next() % 8);
        }
        let _ = read::<T>(&turned.into(), form);
    }
}

macro_rules! agreement {
    ($($test:ident: $api:ident, $request:ident, $response:ident;)*) => {$(
        #[test]
        fn $test() {
            agrees::<<$api as Api>::Request, oracle::$request>($api::KEY);
            agrees::<<$api as Api>::Response, oracle::$response>($api::KEY);
        }
    )*};
}

agreement! {
    produce_agrees: Produce, ProduceRequest, ProduceResponse;
    fetch_agrees: Fetch, FetchRequest, FetchResponse;
    list_offsets_agrees: ListOffsets, ListOffsetsRequest, ListOffsetsResponse;
    metadata_agrees: Metadata, MetadataRequest, MetadataResponse;
    api_versions_agrees: ApiVersions, ApiVersionsRequest, ApiVersionsResponse;
    create_topics_agrees: CreateTopics, CreateTopicsRequest, CreateTopicsResponse;
    delete_topics_agrees: DeleteTopics, DeleteTopicsRequest, DeleteTopicsResponse;
    offset_commit_agrees: OffsetCommit, OffsetCommitRequest, OffsetCommitResponse;
    offset_fetch_agrees: OffsetFetch, OffsetFetchRequest, OffsetFetchResponse;
    offset_delete_agrees: OffsetDelete, OffsetDeleteRequest, OffsetDeleteResponse;
    find_coordinator_agrees: FindCoordinator, FindCoordinatorRequest, FindCoordinatorResponse;
    join_group_agrees: JoinGroup, JoinGroupRequest, JoinGroupResponse;
    sync_group_agrees: SyncGroup, SyncGroupRequest, SyncGroupResponse;
    heartbeat_agrees: Heartbeat, HeartbeatRequest, HeartbeatResponse;
    leave_group_agrees: LeaveGroup, LeaveGroupRequest, LeaveGroupResponse;
    list_groups_agrees: ListGroups, ListGroupsRequest, ListGroupsResponse;
    describe_groups_agrees: DescribeGroups, DescribeGroupsRequest, DescribeGroupsResponse;
    delete_groups_agrees: DeleteGroups, DeleteGroupsRequest, DeleteGroupsResponse;
    create_partitions_agrees: CreatePartitions, CreatePartitionsRequest, CreatePartitionsResponse;
    delete_records_agrees: DeleteRecords, DeleteRecordsRequest, DeleteRecordsResponse;
    offset_for_leader_epoch_agrees: OffsetForLeaderEpoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    list_partition_reassignments_agrees: ListPartitionReassignments, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    describe_configs_agrees: DescribeConfigs, DescribeConfigsRequest, DescribeConfigsResponse;
    incremental_alter_configs_agrees: IncrementalAlterConfigs, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    alter_configs_agrees: AlterConfigs, AlterConfigsRequest, AlterConfigsResponse;
    describe_cluster_agrees: DescribeCluster, DescribeClusterRequest, DescribeClusterResponse;
    describe_log_dirs_agrees: DescribeLogDirs, DescribeLogDirsRequest, DescribeLogDirsResponse;
    describe_producers_agrees: DescribeProducers, DescribeProducersRequest, DescribeProducersResponse;
    describe_topic_partitions_agrees: DescribeTopicPartitions, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
    consumer_group_heartbeat_agrees: ConsumerGroupHeartbeat, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    consumer_group_describe_agrees: ConsumerGroupDescribe, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    init_producer_id_agrees: InitProducerId, InitProducerIdRequest, InitProducerIdResponse;
}

#[test]
fn headers_agree() {
    for &key in ApiKey::ALL {
        let (min, max) = key.versions();
        for version in min..=max {
            let theirs = oracle::ApiKey::try_from(key.number()).unwrap();
            let mut header = oracle::RequestHeader::default();
            header.request_api_key = key.number();
            header.request_api_version = version;
            header.correlation_id = 77;
            header.client_id = Some(kafka_protocol::protocol::StrBytes::from_static_str("me"));
            let mut bytes = BytesMut::new();
            header.encode(&mut bytes, theirs.request_header_version(version)).unwrap();
            let mut from = Reader::new(bytes.freeze());
            let ours = RequestHeader::read(&mut from).unwrap();
            assert_eq!((ours.key, ours.version, ours.correlation_id), (key.number(), version, 77));
            assert_eq!(ours.client_id, Some("me".into()));
            assert_eq!(from.left(), 0, "{key:?} {version}");
        }
    }
}

/// The response header has tags from the first flexible version on, but for ApiVersions, which never has.
#[test]
fn response_frames_agree() {
    fn agrees<A: Api>(version: i16)
    where
        A::Response: Default + PartialEq + std::fmt::Debug,
    {
        let frame = encode_response::<A>(version, 9, &A::Response::default());
        let length = i32::from_be_bytes(*frame.gathered.first_chunk().unwrap());
        assert_eq!(length as usize, frame.gathered.len() - 4);
        let body = frame.gathered.slice(4..);
        let theirs = oracle::ApiKey::try_from(A::KEY.number()).unwrap();
        let mut rest = body.clone();
        let header =
            oracle::ResponseHeader::decode(&mut rest, theirs.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 9);
        assert_eq!(rest, written(&A::Response::default(), A::KEY.form(version)));
        assert_eq!(decode_response::<A>(body, version).unwrap(), (9, A::Response::default()));
    }
    for version in 0..=4 {
        agrees::<ApiVersions>(version);
    }
    for version in 3..=13 {
        agrees::<Produce>(version);
    }
    for version in 0..=13 {
        agrees::<Metadata>(version);
    }
}

#[test]
fn six_bytes_that_announce_two_thousand_million_elements_are_refused() {
    let body = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 0]);
    let error = read::<MetadataRequest>(&body, ApiKey::Metadata.form(1)).unwrap_err();
    assert!(matches!(error.problem, Problem::Count { found: 0x7fff_ffff, .. }), "{error}");
    let compact = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    let error = read::<MetadataRequest>(&compact, ApiKey::Metadata.form(9)).unwrap_err();
    assert!(matches!(error.problem, Problem::Count { .. }), "{error}");
    let negative = Bytes::from_static(&[0xff, 0xff, 0xff, 0xfe, 0, 0]);
    assert!(read::<MetadataRequest>(&negative, ApiKey::Metadata.form(1)).is_err());
}

#[test]
fn tags_nobody_knows_are_passed_over_and_wrong_ones_refused() {
    let form = ApiKey::InitProducerId.form(4);
    let bytes = written(&InitProducerIdRequest::default(), form);
    let tagged = |tags: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.pop();
        bytes.extend_from_slice(tags);
        Bytes::from(bytes)
    };
    let known = read::<InitProducerIdRequest>(&tagged(&[2, 5, 1, 0xaa, 9, 0]), form);
    assert_eq!(known.unwrap(), InitProducerIdRequest::default());
    let problem = |tags: &[u8]| read::<InitProducerIdRequest>(&tagged(tags), form).unwrap_err().problem;
    assert_eq!(problem(&[2, 5, 0, 5, 0]), Problem::TagOrder { before: 5, found: 5 });
    assert!(matches!(problem(&[1, 5, 9, 0]), Problem::Short { needed: 9, left: 1 }));
    assert!(matches!(problem(&[0, 7]), Problem::Trailing { left: 1 }));
    assert!(matches!(problem(&[0xff; 6]), Problem::Varint { .. }));
}

#[test]
fn records_kept_elsewhere_leave_a_gap_of_their_size() {
    let partition = |records| FetchedPartition { records, ..Default::default() };
    let response = |records| FetchResponse {
        topics: vec![FetchedTopic {
            topic: "t".into(),
            partitions: vec![partition(records), partition(Records::Here(Bytes::from_static(b"xyz")))],
            ..Default::default()
        }],
        ..Default::default()
    };
    for version in [4, 12, 13] {
        let kept = Bytes::from_static(b"0123456789");
        let frame = encode_response::<Fetch>(version, 1, &response(Records::Elsewhere(kept.len())));
        let [gap] = frame.gaps.as_slice() else { panic!("{:?}", frame.gaps) };
        assert_eq!(gap.bytes, kept.len());
        let whole =
            [&frame.gathered[..gap.position], kept.as_ref(), &frame.gathered[gap.position..]].concat();
        let here = encode_response::<Fetch>(version, 1, &response(Records::Here(kept)));
        assert_eq!(whole, here.gathered);
    }
}

#[test]
fn a_version_nobody_reads_is_refused_with_the_range() {
    let error = decode_request::<Produce>(&mut Reader::new(Bytes::new()), 2).unwrap_err();
    assert_eq!(error.problem, Problem::Version { found: 2, min: 3, max: 13 });
}
