//! What is asked of a group's coordinator, and what it answers, without a protocol. Nothing in it keeps a receive buffer.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::consumer::Parts;
use super::error::GroupError;

/// What comes of a request.
pub(crate) type Answer = Result<GroupReply, GroupError>;

/// One request to one group.
#[derive(Clone, Debug)]
pub(crate) enum GroupRequest {
    Join(Join),
    Sync(Sync),
    Heartbeat(MemberName),
    Leave(Vec<Leaving>),
    ConsumerHeartbeat(ConsumerHeartbeat),
    Commit(Commit),
    Committed(Committed),
    /// Forgets offsets.
    Forget(Vec<TopicPartition>),
    Describe,
    DescribeConsumers,
    Delete,
}

/// The answer to each, in the same order.
#[derive(Clone, Debug)]
pub(crate) enum GroupReply {
    Joined(Joined),
    Synced(Synced),
    Alive,
    Assigned(ConsumerReply),
    Left(Vec<Result<(), GroupError>>),
    /// In the order of the request.
    Kept(Vec<Result<(), GroupError>>),
    Offsets(Vec<(TopicPartition, Option<CommittedOffset>)>),
    Described(Description),
    DescribedConsumers(ConsumerDescription),
    Deleted,
}

/// A partition by its topic's name: committed offsets outlive topics, and ids do not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicPartition {
    pub(crate) topic: String,
    pub(crate) partition: i32,
}

/// How far a group has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    pub(crate) offset: i64,
    /// Of the record before it; -1: not told.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    pub(crate) committed_ms: i64,
    /// Where the client said itself how long to keep it.
    pub(crate) expires_ms: Option<i64>,
}

/// A member that enters, or enters again.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Empty: it has none yet.
    pub(crate) member_id: String,
    /// What it is called then; never used before.
    pub(crate) fresh_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    /// Its favourite first.
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// A new member is told its id first (KIP-394).
    pub(crate) knows_id_first: bool,
    /// A leader may be told to assign nothing (KIP-814).
    pub(crate) knows_skipping: bool,
}

/// A member's place in a generation.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    /// Of its leader alone: everybody.
    pub(crate) members: Vec<JoinedMember>,
    pub(crate) skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Clone, Debug)]
pub(crate) struct JoinedMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) metadata: Bytes,
}

/// A member of a generation.
#[derive(Clone, Debug)]
pub(crate) struct MemberName {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
}

/// A member that waits for its part; of the leader, what each gets.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) member: MemberName,
    /// As the member understood them; `None`: it does not say.
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// A member's part.
#[derive(Clone, Debug)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

/// One who leaves, by either name.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

/// Offsets to be kept.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// A generation below 0 and no name: from outside the group.
    pub(crate) member: MemberName,
    pub(crate) offsets: Vec<(TopicPartition, CommittedOffset)>,
}

/// Offsets that are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    /// `None`: everything the group has committed.
    pub(crate) partitions: Option<Vec<TopicPartition>>,
    /// A member and its epoch, where it says them: it wants to know whether they are still right.
    pub(crate) member: Option<(String, i32)>,
}

/// What a member of a consumer group says; `None`: as before.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerHeartbeat {
    pub(crate) member_id: String,
    /// What it is called if it has no id yet; never used before.
    pub(crate) fresh_id: String,
    /// 0: it enters, -1: it leaves, -2: a static member leaves for a while.
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) topics: Option<Vec<String>>,
    /// Topics by their names; empty: none.
    pub(crate) pattern: Option<String>,
    pub(crate) assignor: Option<String>,
    pub(crate) owned: Option<Parts>,
}

/// What a member of a consumer group is told.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerReply {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// `None`: as before.
    pub(crate) assignment: Option<Parts>,
}

/// A consumer group as it stands.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerDescription {
    pub(crate) state: GroupState,
    pub(crate) epoch: i32,
    pub(crate) target_epoch: i32,
    pub(crate) assignor: String,
    pub(crate) members: Vec<ConsumerMemberDescription>,
}

/// Partitions by their topic's id and name.
pub(crate) type NamedParts = Vec<(Uuid, String, Vec<i32>)>;

/// A member of it.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerMemberDescription {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) epoch: i32,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) topics: Vec<String>,
    pub(crate) pattern: Option<String>,
    pub(crate) assigned: NamedParts,
    pub(crate) target: NamedParts,
}

/// A group as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) state: GroupState,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: Vec<MemberDescription>,
}

/// A member as it stands.
#[derive(Clone, Debug)]
pub(crate) struct MemberDescription {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// A group in a list.
#[derive(Clone, Debug)]
pub(crate) struct ListedGroup {
    pub(crate) group: String,
    pub(crate) kind: GroupKind,
    pub(crate) protocol_type: String,
    pub(crate) state: GroupState,
}

/// Who assigns: the members themselves, or the coordinator (KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupKind {
    Classic,
    Consumer,
}

impl GroupKind {
    /// Kafka's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// What a group is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Assigning,
    Reconciling,
}

impl GroupState {
    /// Kafka's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
        }
    }
}
