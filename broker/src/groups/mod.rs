//! Consumer groups: who is a member, who reads which partition, how far each group has come.
//!
//! ```text
//!   request ─▶ handlers::groups ─▶ the shard of the group's partition of `__consumer_offsets`
//!                                       │
//!                                  partition ─▶ coordinator: events in, actions out
//!                                    │   ▲          classic: members, generations
//!                       records ──▶ log ─┘ durable  offsets: what is committed
//!                                    │
//!                   read back at the start
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `keeper` | the partitions of a shard; which partition has a group |
//! | `partition` | one partition at work: log, clock, who waits |
//! | `coordinator` | the groups of a partition, as a pure state machine |
//! | `group` | one group: its membership, of either kind, and its offsets |
//! | `classic`, `joining`, `rebalance`, `member` | a group whose members assign |
//! | `consumer` | a group whose partitions the coordinator assigns (KIP-848) |
//! | `offsets`, `outside` | what a group has committed; how it is told and forgotten |
//! | `record` | what is kept, in Kafka's own format |
//! | `request`, `error`, `action` | what goes in, what comes out |
//!
//! Invariants:
//! - An answer that says something is kept comes after it is durable.
//! - A group has one coordinator, for clients of every protocol: the owner of its partition of the log.
//!
//! Source: Kafka's `GroupCoordinator` and KIP-62, 345, 394, 814 for what each request means in each state.

mod action;
mod classic;
mod consumer;
mod coordinator;
mod error;
mod group;
mod joining;
mod keeper;
mod member;
mod offsets;
mod outside;
mod partition;
mod rebalance;
mod record;
mod request;

pub(crate) use consumer::{ASSIGNORS, Parts, Topics};
pub(crate) use error::GroupError;
pub(crate) use keeper::OFFSETS_PARTITIONS;
pub(crate) use keeper::{Groups, partition_of};
pub(crate) use partition::GroupPartition;
pub(crate) use request::{
    Answer, Commit, Committed, CommittedOffset, ConsumerDescription, ConsumerHeartbeat,
    ConsumerMemberDescription, Description, GroupKind, GroupReply, GroupRequest, Join, Joined, JoinedMember,
    Leaving, ListedGroup, MemberDescription, MemberName, NamedParts, Sync, TopicPartition,
};

#[cfg(test)]
mod tests;
