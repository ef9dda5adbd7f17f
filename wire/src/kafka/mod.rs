//! Kafka's protocol: requests and answers, one file an API, each a table of fields with the versions that have them.
//!
//! | module | what it holds |
//! |---|---|
//! | `api` | the APIs, their versions, the headers, frames |
//! | `message` | the table form: from it both directions of the codec |
//! | `field` | the types of fields |
//! | `read`, `write` | a frame's bytes |
//! | `error` | error numbers |
//! | the others | the messages |
//!
//! ```text
//!   | length 4 | header: key 2, version 2, correlation id 4, client id, (tags) | request  |
//!   | length 4 | header: correlation id 4, (tags)                              | response |
//! ```
//!
//! All numbers are big-endian. What is in brackets only flexible versions have (KIP-482): they also write lengths as varints,
//! one larger than they are, so that 0 is null.
//!
//! Invariants:
//! - Every length and count is compared with the bytes that are left before memory is taken for it.
//! - Tags nobody knows are passed over, and so is what follows a request; bytes after the end of an answer are refused.
//! - Texts and records are slices of the frame. Records that are answered need not be copied: see [`Records::Elsewhere`].
//!
//! Source: <https://kafka.apache.org/protocol>. Each table is tested in both directions against the kafka-protocol crate, at
//! every version.

mod api;
mod api_versions;
mod cluster;
mod committed_offsets;
mod configs;
mod consumer_groups;
mod consumer_protocol;
mod coordinator;
mod error;
mod fetch;
mod field;
mod groups;
mod init_producer_id;
mod list_offsets;
mod membership;
mod message;
mod metadata;
mod offsets_topic;
mod partitions;
mod produce;
mod read;
mod topics;
mod write;

pub use api::{Api, ApiKey, RequestHeader, decode_request, decode_response, encode_request, encode_response};
pub use api_versions::{
    ApiVersion, ApiVersions, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeature, SupportedFeature,
};
pub use cluster::{
    DescribableLogDirTopic, DescribeCluster, DescribeClusterBroker, DescribeClusterRequest,
    DescribeClusterResponse, DescribeLogDirs, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeProducers, DescribeProducersRequest, DescribeProducersResponse, DescribeProducersTopic,
    DescribeTopicPartitions, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsTopic, DescribedLogDir, DescribedLogDirPartition, DescribedLogDirTopic,
    DescribedProducersPartition, DescribedProducersTopic, DescribedTopic, DescribedTopicPartition,
    ProducerState, TopicPartitionCursor,
};
pub use committed_offsets::{
    CommittedPartition, CommittedTopic, FetchedOffset, FetchedOffsetGroup, FetchedOffsetTopic, OffsetCommit,
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse, OffsetCommitTopic, OffsetDelete,
    OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteTopic, OffsetDeletedTopic,
    OffsetFetch, OffsetFetchGroup, OffsetFetchRequest, OffsetFetchResponse, OffsetFetchTopic,
};
pub use configs::{
    AlterConfigs, AlterConfigsRequest, AlterConfigsResource, AlterConfigsResponse, Alteration,
    AlteredResource, ConfigSynonym, DescribeConfigs, DescribeConfigsRequest, DescribeConfigsResource,
    DescribeConfigsResponse, DescribedConfig, DescribedResource, IncrementalAlterConfigs,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource, IncrementalAlterConfigsResponse,
    IncrementalAlteration,
};
pub use consumer_groups::{
    AssignedPartitions, ConsumerGroupAssignment, ConsumerGroupDescribe, ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse, ConsumerGroupHeartbeat, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DescribedAssignment, DescribedConsumer, DescribedConsumerGroup,
    DescribedPartitions,
};
pub use consumer_protocol::{
    CONSUMER_PROTOCOL_TYPE, ConsumerAssignment, ConsumerMessage, ConsumerPartitions, ConsumerSubscription,
};
pub use coordinator::{Coordinator, FindCoordinator, FindCoordinatorRequest, FindCoordinatorResponse};
pub use error::ErrorCode;
pub use fetch::{
    AbortedTransaction, EpochEndOffset, Fetch, FetchPartition, FetchRequest, FetchResponse, FetchTopic,
    FetchedPartition, FetchedTopic, ForgottenTopic, LeaderIdAndEpoch, ReplicaState, SnapshotId,
};
pub use field::{Field, Form, Nullable, Records, Text};
pub use groups::{
    DeleteGroups, DeleteGroupsRequest, DeleteGroupsResponse, DeletedGroup, DescribeGroups,
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedMember, ListGroups,
    ListGroupsRequest, ListGroupsResponse, ListedGroup,
};
pub use init_producer_id::{InitProducerId, InitProducerIdRequest, InitProducerIdResponse};
pub use list_offsets::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsets, ListOffsetsPartition, ListOffsetsRequest,
    ListOffsetsResponse, ListOffsetsTopic, ListedPartition, ListedTopic, MAX_TIMESTAMP,
};
pub use membership::{
    Heartbeat, HeartbeatRequest, HeartbeatResponse, JoinGroup, JoinGroupMember, JoinGroupProtocol,
    JoinGroupRequest, JoinGroupResponse, LeaveGroup, LeaveGroupRequest, LeaveGroupResponse, LeavingMember,
    LeftMember, SyncGroup, SyncGroupAssignment, SyncGroupRequest, SyncGroupResponse,
};
pub use metadata::{
    Metadata, MetadataBroker, MetadataPartition, MetadataRequest, MetadataRequestTopic, MetadataResponse,
    MetadataTopic,
};
pub use offsets_topic::{
    ConsumerCurrentValue, ConsumerGroupValue, ConsumerMemberKey, ConsumerMemberValue,
    ConsumerTargetMemberValue, ConsumerTargetValue, GroupMetadataKey, GroupMetadataMember,
    GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, OffsetsKey, OffsetsValue,
};
pub use partitions::{
    CreatePartitions, CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsResult, CreatePartitionsTopic, DeleteRecords, DeleteRecordsPartition,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic, DeletedRecordsPartition,
    DeletedRecordsTopic, LeaderEpochEnd, LeaderEpochEndTopic, ListPartitionReassignments,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, ListPartitionReassignmentsTopic,
    OffsetForLeaderEpoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopic, OngoingPartitionReassignment, OngoingTopicReassignment,
};
pub use produce::{
    CurrentLeader, NodeEndpoint, Produce, ProducePartition, ProduceRequest, ProduceResponse, ProduceTopic,
    ProducedPartition, ProducedTopic, RecordError,
};
pub use read::{DecodeError, Problem, Reader};
pub use topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopics, CreateTopicsRequest,
    CreateTopicsResponse, CreatedTopic, CreatedTopicConfig, DeleteTopicState, DeleteTopics,
    DeleteTopicsRequest, DeleteTopicsResponse, DeletedTopic,
};
pub use write::{Gap, Writer, WrittenFrame};

#[cfg(test)]
mod tests;
