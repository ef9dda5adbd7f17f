//! The native messages: one plain struct each, encoded to and decoded from the body of a frame.
//!
//! Hot path: [`Produce`], [`ProduceAcks`], [`Push`], [`Credit`]. They decode without allocating (acknowledgements through
//! [`ProduceAcks::read`]) and encode into a [`BodyBuilder`] that keeps its memory. The rest is the control path: owned
//! structs, no lifetimes.
//!
//! Invariants:
//! - A body is verified before a field of it is read: every offset, length, string and depth. Alignment is relative to the
//!   body's own beginning, so a body may lie anywhere in a receive buffer.
//! - The bytes visited are bounded by a multiple of the body's length ([`limits::BODY_EXPANSION_MAX`]): a flatbuffer may
//!   point to one string a thousand times, and each time would be a copy.
//! - A field nobody knows is ignored; an enum's number nobody knows is refused; a code nobody knows is
//!   [`ErrorCode::Unrecognized`](crate::codes::ErrorCode::Unrecognized).
//! - No flatbuffers type shows in the public API.

mod body;
mod consume;
mod description;
mod group_descriptions;
mod groups;
mod metadata;
mod produce;
mod session;
mod topics;

pub use body::{BodyBuilder, BodyError, Message};
pub use consume::{
    Credit, Fetch, FetchReply, ListOffsets, ListOffsetsReply, OffsetQuery, Push, StartPosition, Subscribe,
    SubscribeReply, Unsubscribe,
};
pub use description::{
    DescribeNode, DescribeNodeReply, DescribeTopic, DescribeTopicReply, PartitionState, Setting,
};
pub use group_descriptions::{DescribeGroupReply, GroupMember, ListGroups, ListGroupsReply, ListedGroup};
pub use groups::{
    CommitOffsets, CommitOffsetsReply, CommittedOffsets, CommittedOffsetsReply, DeleteGroup,
    DeleteGroupReply, DescribeGroup, GroupHeartbeat, GroupHeartbeatReply, GroupOffset, GroupPartitions,
};
pub use metadata::{
    CatalogChanged, Endpoint, Metadata, MetadataReply, PartitionMetadata, ShardEndpoint, TopicMetadata,
    TopicSelection,
};
pub use produce::{InitProducer, InitProducerReply, Produce, ProduceAck, ProduceAcks, ProduceAcksIter};
pub use session::{Authenticate, AuthenticateReply, Error, GoingAway, Hello, HelloReply, Ping, Pong};
pub use topics::{AlterTopic, AlterTopicReply, CreateTopic, CreateTopicReply, DeleteTopic, DeleteTopicReply};

#[cfg(doc)]
use crate::limits;

#[cfg(test)]
mod tests;
