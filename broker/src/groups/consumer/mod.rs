//! A consumer group (KIP-848): the coordinator assigns, and each member is brought to its part by itself, at its own pace.
//!
//! ```text
//!   group epoch          +1 when members, their subscriptions or the topics' partitions change
//!     ▼ an assignor
//!   target assignment    what each member is to have, of this epoch
//!     ▼ heartbeats
//!   member epoch         what each member has; it follows the target when nothing stands in its way
//!
//!   Stable ──▶ it has partitions to give up: Revoking ── it says that it has ──▶ next epoch
//!          ──▶ others have not given up its new ones yet: Waiting ── they have ──▶ Stable
//! ```
//!
//! Invariants:
//! - A partition is with one member at a time: it is given to the next only when the one before has said that it stopped, or is
//!   out of the group.
//! - Epochs only grow; a member of an older epoch is fenced and joins anew.
//!
//! Source: KIP-848, and Kafka's `CurrentAssignmentBuilder`.

mod assignors;
mod heartbeat;
mod member;
mod reconcile;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use runtime::clock::Instant;
use uuid::Uuid;
use wire::kafka::{AssignedPartitions, ConsumerGroupValue, ConsumerTargetMemberValue, ConsumerTargetValue};

pub(crate) use assignors::ASSIGNORS;
pub(super) use member::{ConsumerMember, MemberState};

use super::action::Moment;
use super::error::GroupError;
use super::record::{ConsumerRecord, GroupRecord};
use super::request::{ConsumerDescription, ConsumerMemberDescription, GroupState, MemberName};

/// Partitions by their topics' ids.
pub(crate) type Parts = BTreeMap<Uuid, BTreeSet<i32>>;

/// The topics as the coordinator sees them.
pub(crate) trait Topics {
    /// Grows with every change.
    fn revision(&self) -> u64;

    /// The id and the number of partitions.
    fn find(&self, name: &str) -> Option<(Uuid, i32)>;

    /// The names that are wanted.
    fn names(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<String>;
}

/// One group.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) id: String,
    pub(super) epoch: i32,
    /// Of which the target is.
    target_epoch: i32,
    target: BTreeMap<String, Parts>,
    pub(super) members: BTreeMap<String, ConsumerMember>,
    /// Static members by the name that outlives their sessions.
    instances: HashMap<String, String>,
    /// The topics that members read, as they were when the epoch was raised last.
    seen: BTreeMap<String, (Uuid, i32)>,
    seen_revision: u64,
    /// When its last member left, in milliseconds since 1970.
    pub(super) since_ms: i64,
}

impl Consumer {
    pub(super) fn new(id: String, at: Moment) -> Self {
        Self {
            id,
            epoch: 0,
            target_epoch: 0,
            target: BTreeMap::new(),
            members: BTreeMap::new(),
            instances: HashMap::new(),
            seen: BTreeMap::new(),
            seen_revision: 0,
            since_ms: at.wall_ms,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn state(&self) -> GroupState {
        let is_there = |member: &ConsumerMember| {
            member.state == MemberState::Stable && member.epoch == self.target_epoch
        };
        match self.members.is_empty() {
            true => GroupState::Empty,
            false if self.epoch > self.target_epoch => GroupState::Assigning,
            false if self.members.values().all(is_there) => GroupState::Stable,
            false => GroupState::Reconciling,
        }
    }

    /// Whether offsets of this member are taken, or, while nobody is inside, of somebody outside, named or not.
    pub(super) fn may_commit(&self, name: &MemberName) -> Result<(), GroupError> {
        if name.generation < 0 && self.is_empty() {
            return Ok(());
        }
        self.check_epoch(&name.member_id, name.generation)
    }

    /// Whether there is such a member, at this epoch.
    pub(super) fn check_epoch(&self, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        match self.members.get(member_id) {
            None => Err(GroupError::UnknownMember),
            Some(member) if member.epoch != epoch => {
                Err(GroupError::StaleMemberEpoch { found: member.epoch })
            }
            Some(_) => Ok(()),
        }
    }

    /// The topics that are read here.
    pub(super) fn subscribed_topics(&self) -> BTreeSet<String> {
        self.seen.keys().cloned().collect()
    }

    /// When [`Consumer::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.members.values().map(ConsumerMember::deadline).min()
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let targets = self.target.values().map(bytes_of);
        self.id.len()
            + targets.sum::<usize>()
            + self.members.values().map(ConsumerMember::bytes).sum::<usize>()
    }

    fn record(&self, record: ConsumerRecord) -> GroupRecord {
        GroupRecord::Consumer { group: self.id.clone(), record }
    }

    fn epoch_record(&self) -> GroupRecord {
        self.record(ConsumerRecord::Group(Some(ConsumerGroupValue { epoch: self.epoch })))
    }

    /// Everything that it is, as records.
    pub(super) fn records(&self) -> Vec<GroupRecord> {
        let mut records = vec![self.epoch_record()];
        for member in self.members.values() {
            records.push(self.record(ConsumerRecord::Member(member.id.clone(), Some(member.value()))));
        }
        let target = ConsumerTargetValue { assignment_epoch: self.target_epoch };
        records.push(self.record(ConsumerRecord::Target(Some(target))));
        for (member_id, parts) in &self.target {
            records.push(self.target_record(member_id, parts));
        }
        for member in self.members.values() {
            records.push(self.record(ConsumerRecord::Current(member.id.clone(), Some(member.current()))));
        }
        records
    }

    fn target_record(&self, member_id: &str, parts: &Parts) -> GroupRecord {
        let value = ConsumerTargetMemberValue { topic_partitions: as_wire(parts) };
        self.record(ConsumerRecord::TargetMember(member_id.to_owned(), Some(value)))
    }

    /// The records that make all of it gone.
    pub(super) fn tombstones(&self) -> Vec<GroupRecord> {
        let mut records: Vec<GroupRecord> =
            self.members.keys().flat_map(|member_id| self.member_tombstones(member_id)).collect();
        records.push(self.record(ConsumerRecord::Target(None)));
        records.push(self.record(ConsumerRecord::Group(None)));
        records
    }

    fn member_tombstones(&self, member_id: &str) -> [GroupRecord; 3] {
        let member_id = member_id.to_owned();
        [
            self.record(ConsumerRecord::Current(member_id.clone(), None)),
            self.record(ConsumerRecord::TargetMember(member_id.clone(), None)),
            self.record(ConsumerRecord::Member(member_id, None)),
        ]
    }

    /// Takes a record as it stands on the log.
    pub(super) fn apply(&mut self, record: ConsumerRecord, at: Moment) {
        match record {
            ConsumerRecord::Group(Some(value)) => self.epoch = value.epoch,
            ConsumerRecord::Target(Some(value)) => self.target_epoch = value.assignment_epoch,
            ConsumerRecord::Group(None) | ConsumerRecord::Target(None) => {}
            ConsumerRecord::Member(member_id, Some(value)) => {
                if let Some(instance) = &value.instance_id {
                    self.instances.insert(instance.to_string(), member_id.clone());
                }
                let before = self.members.remove(&member_id);
                self.members
                    .insert(member_id.clone(), ConsumerMember::restored(member_id, &value, before, at));
            }
            ConsumerRecord::Member(member_id, None) => self.take_out(&member_id),
            ConsumerRecord::TargetMember(member_id, Some(value)) => {
                self.target.insert(member_id, from_wire(&value.topic_partitions));
            }
            ConsumerRecord::TargetMember(member_id, None) => drop(self.target.remove(&member_id)),
            ConsumerRecord::Current(member_id, Some(value)) => {
                if let Some(member) = self.members.get_mut(&member_id) {
                    member.restore_current(&value);
                }
            }
            ConsumerRecord::Current(member_id, None) => {
                if let Some(member) = self.members.get_mut(&member_id) {
                    member.has_nothing();
                }
            }
        }
    }

    fn take_out(&mut self, member_id: &str) {
        self.target.remove(member_id);
        let Some(member) = self.members.remove(member_id) else { return };
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance).is_some_and(|holder| holder == member_id)
        {
            self.instances.remove(instance);
        }
    }

    /// As it stands, for people.
    pub(super) fn describe(&self, topics: &dyn Topics) -> ConsumerDescription {
        let names: HashMap<Uuid, String> =
            self.seen.keys().filter_map(|name| Some((topics.find(name)?.0, name.clone()))).collect();
        let named = |parts: &Parts| -> Vec<(Uuid, String, Vec<i32>)> {
            let one = |(id, partitions): (&Uuid, &BTreeSet<i32>)| {
                (*id, names.get(id).cloned().unwrap_or_default(), partitions.iter().copied().collect())
            };
            parts.iter().map(one).collect()
        };
        let nothing = Parts::new();
        let member = |member: &ConsumerMember| ConsumerMemberDescription {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: member.topics.iter().cloned().collect(),
            pattern: member.pattern.as_ref().map(|pattern| pattern.text().to_owned()),
            assigned: named(&member.assigned),
            target: named(self.target.get(&member.id).unwrap_or(&nothing)),
        };
        ConsumerDescription {
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor().to_owned(),
            members: self.members.values().map(member).collect(),
        }
    }
}

fn bytes_of(parts: &Parts) -> usize {
    parts.values().map(|partitions| 64 + 8 * partitions.len()).sum()
}

pub(super) fn as_wire(parts: &Parts) -> Vec<AssignedPartitions> {
    parts
        .iter()
        .map(|(topic_id, partitions)| AssignedPartitions {
            topic_id: *topic_id,
            partitions: partitions.iter().copied().collect(),
        })
        .collect()
}

pub(super) fn from_wire(parts: &[AssignedPartitions]) -> Parts {
    let mut found = Parts::new();
    for part in parts {
        found.entry(part.topic_id).or_default().extend(&part.partitions);
    }
    found.retain(|_, partitions| !partitions.is_empty());
    found
}
