//! A frame read as the request its header names. What is read is written and read again: the same message.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wire::kafka::*;

fn round_trip<A: Api>(mut from: Reader, version: i16)
where
    A::Request: PartialEq + std::fmt::Debug,
{
    if let Ok(request) = decode_request::<A>(&mut from, version) {
        let frame = encode_request::<A>(version, 1, "", &request);
        let mut again = Reader::new(frame.gathered.slice(4..));
        RequestHeader::read(&mut again).expect("it was just written");
        assert_eq!(decode_request::<A>(&mut again, version).as_ref(), Ok(&request));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut from = Reader::new(Bytes::copy_from_slice(bytes));
    let Ok(header) = RequestHeader::read(&mut from) else { return };
    let Some(key) = ApiKey::from_number(header.key) else { return };
    match key {
        ApiKey::Produce => round_trip::<Produce>(from, header.version),
        ApiKey::Fetch => round_trip::<Fetch>(from, header.version),
        ApiKey::ListOffsets => round_trip::<ListOffsets>(from, header.version),
        ApiKey::Metadata => round_trip::<Metadata>(from, header.version),
        ApiKey::ApiVersions => round_trip::<ApiVersions>(from, header.version),
        ApiKey::CreateTopics => round_trip::<CreateTopics>(from, header.version),
        ApiKey::DeleteTopics => round_trip::<DeleteTopics>(from, header.version),
        ApiKey::OffsetCommit => round_trip::<OffsetCommit>(from, header.version),
        ApiKey::OffsetFetch => round_trip::<OffsetFetch>(from, header.version),
        ApiKey::OffsetDelete => round_trip::<OffsetDelete>(from, header.version),
        ApiKey::FindCoordinator => round_trip::<FindCoordinator>(from, header.version),
        ApiKey::JoinGroup => round_trip::<JoinGroup>(from, header.version),
        ApiKey::SyncGroup => round_trip::<SyncGroup>(from, header.version),
        ApiKey::Heartbeat => round_trip::<Heartbeat>(from, header.version),
        ApiKey::LeaveGroup => round_trip::<LeaveGroup>(from, header.version),
        ApiKey::ListGroups => round_trip::<ListGroups>(from, header.version),
        ApiKey::DescribeGroups => round_trip::<DescribeGroups>(from, header.version),
        ApiKey::DeleteGroups => round_trip::<DeleteGroups>(from, header.version),
        ApiKey::CreatePartitions => round_trip::<CreatePartitions>(from, header.version),
        ApiKey::DeleteRecords => round_trip::<DeleteRecords>(from, header.version),
        ApiKey::OffsetForLeaderEpoch => round_trip::<OffsetForLeaderEpoch>(from, header.version),
        ApiKey::ListPartitionReassignments => round_trip::<ListPartitionReassignments>(from, header.version),
        ApiKey::DescribeConfigs => round_trip::<DescribeConfigs>(from, header.version),
        ApiKey::IncrementalAlterConfigs => round_trip::<IncrementalAlterConfigs>(from, header.version),
        ApiKey::AlterConfigs => round_trip::<AlterConfigs>(from, header.version),
        ApiKey::DescribeCluster => round_trip::<DescribeCluster>(from, header.version),
        ApiKey::DescribeLogDirs => round_trip::<DescribeLogDirs>(from, header.version),
        ApiKey::DescribeProducers => round_trip::<DescribeProducers>(from, header.version),
        ApiKey::DescribeTopicPartitions => round_trip::<DescribeTopicPartitions>(from, header.version),
        ApiKey::ConsumerGroupHeartbeat => round_trip::<ConsumerGroupHeartbeat>(from, header.version),
        ApiKey::ConsumerGroupDescribe => round_trip::<ConsumerGroupDescribe>(from, header.version),
        ApiKey::InitProducerId => round_trip::<InitProducerId>(from, header.version),
    }
});
