//! A classic group: its members meet at the coordinator, one of them assigns.
//!
//! ```text
//!            a member joins                     all have joined, or the time is up
//!   Empty ────────────────▶ PreparingRebalance ─────────────────▶ CompletingRebalance
//!     ▲                        ▲   │    ▲                                  │
//!     └── nobody has joined ───┼───┘    └── joins, leaves, expires ────────┤ the leader's assignment is durable
//!                              │                                           ▼
//!                              └──────── joins, leaves, expires ──────── Stable
//! ```
//!
//! This file is what a group is and what it says of itself; `joining` is how members come, `rebalance` how generations
//! begin and how members go.
//!
//! Invariants:
//! - Who waits (`joining`, `syncing`) is answered once.
//! - An assignment is told to nobody before it is durable: after a crash the members that go on are those of the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use runtime::clock::Instant;
use wire::kafka::{CONSUMER_PROTOCOL_TYPE, ConsumerMessage, ConsumerSubscription, GroupMetadataValue};

use super::action::{Actions, Moment, Waiter};
use super::error::GroupError;
use super::member::Member;
use super::record::GroupRecord;
use super::request::{Description, GroupState, Joined, MemberName, Synced};
use crate::limits;

/// What a group is at, with what belongs to it.
#[derive(Debug)]
pub(super) enum State {
    Empty,
    Preparing {
        complete_at: Instant,
        /// A group that was empty waits for more members, but not beyond this.
        first: Option<FirstMembers>,
    },
    Completing {
        /// What the leader assigned, while it is written.
        assigned: Option<HashMap<String, Bytes>>,
    },
    Stable,
}

/// A group's first generation begins when no member has come for a while.
#[derive(Debug)]
pub(super) struct FirstMembers {
    pub(super) ends_at: Instant,
    pub(super) more_came: bool,
}

/// One group.
#[derive(Debug)]
pub(super) struct Classic {
    pub(super) id: String,
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Static members by the name that outlives their sessions.
    pub(super) instances: HashMap<String, String>,
    /// Ids that were given to members which have not come back with them, and until when they may.
    pub(super) promised: BTreeMap<String, Instant>,
    /// Members that have not asked for their part by then are out.
    pub(super) sync_by: Option<Instant>,
    /// When it became what it is, in milliseconds since 1970.
    pub(super) since_ms: i64,
    pub(super) first_members_wait: Duration,
    /// What the log has of it, or is about to have. A generation that has no assignment yet is not there.
    pub(super) kept: Option<GroupMetadataValue>,
}

impl Classic {
    pub(super) fn new(id: String, first_members_wait: Duration, at: Moment) -> Self {
        Self {
            id,
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            promised: BTreeMap::new(),
            sync_by: None,
            since_ms: at.wall_ms,
            first_members_wait,
            kept: None,
        }
    }

    /// A group as the log has it. Sessions begin anew: who lives says so within its time-out.
    pub(super) fn restored(
        id: String,
        kept: &GroupMetadataValue,
        first_members_wait: Duration,
        at: Moment,
    ) -> Self {
        let mut group = Self::new(id, first_members_wait, at);
        let protocol = kept.protocol.as_ref().map(ToString::to_string);
        for member in &kept.members {
            let member = Member::restored(member, protocol.as_deref().unwrap_or_default(), at.now);
            if let Some(instance) = &member.instance_id {
                group.instances.insert(instance.clone(), member.id.clone());
            }
            group.members.insert(member.id.clone(), member);
        }
        group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
        group.generation = kept.generation;
        group.kept = Some(kept.clone());
        group.protocol_type = Some(kept.protocol_type.to_string()).filter(|name| !name.is_empty());
        group.protocol = protocol;
        group.leader = kept.leader.as_ref().map(ToString::to_string);
        if kept.current_state_timestamp >= 0 {
            group.since_ms = kept.current_state_timestamp;
        }
        group
    }

    /// The record by which it is kept, with what each member is assigned.
    pub(super) fn keep(&mut self, assigned: Option<&HashMap<String, Bytes>>) -> GroupRecord {
        let protocol = self.protocol.as_deref();
        let member = |member: &Member| {
            let assignment = match assigned {
                Some(assigned) => assigned.get(&member.id).cloned().unwrap_or_default(),
                None => member.assignment.clone(),
            };
            member.record(protocol, assignment)
        };
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().into(),
            generation: self.generation,
            protocol: protocol.map(Into::into),
            leader: self.leader.as_deref().map(Into::into),
            current_state_timestamp: self.since_ms,
            members: self.members.values().map(member).collect(),
        };
        self.kept = Some(value.clone());
        GroupRecord::Group { group: self.id.clone(), value: Some(value) }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.state, State::Empty)
    }

    /// Nobody has ever been a member, nor is about to be.
    pub(super) fn was_never_joined(&self) -> bool {
        self.is_empty() && self.generation == 0 && self.promised.is_empty()
    }

    pub(super) fn state(&self) -> GroupState {
        match self.state {
            State::Empty => GroupState::Empty,
            State::Preparing { .. } => GroupState::PreparingRebalance,
            State::Completing { .. } => GroupState::CompletingRebalance,
            State::Stable => GroupState::Stable,
        }
    }

    pub(super) fn enter(&mut self, state: State, at: Moment) {
        self.state = state;
        self.since_ms = at.wall_ms;
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// The member, if what it says of itself is so.
    pub(super) fn check(&mut self, name: &MemberName) -> Result<&mut Member, GroupError> {
        self.check_name(&name.member_id, name.instance_id.as_deref())?;
        if name.generation != self.generation {
            return Err(GroupError::IllegalGeneration { found: self.generation });
        }
        Ok(self.members.get_mut(&name.member_id).expect("it was just looked for"))
    }

    /// Whether there is such a member, and nobody else has taken its instance id.
    pub(super) fn check_name(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.instances.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(holder) if holder != member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(GroupError::UnknownMember),
        }
    }

    /// Whether the generation goes on.
    pub(super) fn heartbeat(&mut self, name: &MemberName, at: Moment) -> Result<(), GroupError> {
        if self.is_empty() {
            return Err(GroupError::UnknownMember);
        }
        self.check(name)?.lives(at.now);
        match self.state {
            State::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether offsets of this member are taken, or, while nobody is inside, of somebody outside: who has no generation, but
    /// maybe a name, as a consumer of assigned partitions that named itself.
    pub(super) fn may_commit(&mut self, name: &MemberName, at: Moment) -> Result<(), GroupError> {
        if name.generation < 0 && self.is_empty() {
            return Ok(());
        }
        self.check(name)?.lives(at.now);
        match self.state {
            // It has its generation, but does not know its part yet.
            State::Completing { .. } => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// The protocol that most members like best, of those that all of them know.
    pub(super) fn elect_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let favourite = member.protocols.iter().find(|(name, _)| self.all_know(name));
            *votes.entry(&favourite?.0).or_default() += 1;
        }
        // Of two with as many votes the first by name: every time the same.
        votes.into_iter().rev().max_by_key(|(_, votes)| *votes).map(|(name, _)| name.to_owned())
    }

    pub(super) fn all_know(&self, protocol: &str) -> bool {
        self.members.values().all(|member| member.protocols.iter().any(|(name, _)| name == protocol))
    }

    /// The topics that consumers read here; `None` where that is not known.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(CONSUMER_PROTOCOL_TYPE) {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let metadata = member.metadata(self.protocol.as_deref());
            let subscription = ConsumerSubscription::decode(metadata, limits::SUBSCRIBED_TOPICS_MAX).ok()?;
            topics.extend(subscription.topics.iter().map(ToString::to_string));
        }
        Some(topics)
    }

    /// What a member is told when its generation has begun.
    pub(super) fn joined(&self, member_id: &str) -> Joined {
        let protocol = self.protocol.as_deref();
        let members = match self.is_leader(member_id) {
            true => self.members.values().map(|member| member.as_joined(protocol)).collect(),
            false => Vec::new(),
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            members,
            skip_assignment: false,
        }
    }

    pub(super) fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment,
        }
    }

    /// As it stands, for people.
    pub(super) fn describe(&self) -> Description {
        // Before a generation begins nothing of it is chosen.
        let protocol = match self.state {
            State::Stable => self.protocol.as_deref(),
            _ => None,
        };
        Description {
            state: self.state(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: self.members.values().map(|member| member.description(protocol)).collect(),
        }
    }

    /// When [`Classic::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let sessions = self.members.values().filter(|member| !member.waits()).map(|member| member.expires_at);
        let completes = match &self.state {
            State::Preparing { complete_at, .. } => Some(*complete_at),
            _ => None,
        };
        sessions.chain(self.promised.values().copied()).chain(completes).chain(self.sync_by).min()
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let promised: usize = self.promised.keys().map(|id| id.len() + 64).sum();
        self.id.len() + promised + self.members.values().map(Member::bytes).sum::<usize>()
    }

    /// Nobody who waits hears anything else.
    pub(super) fn refuse_all(&mut self, error: &GroupError, out: &mut Actions) {
        for member in self.members.values_mut() {
            let waiting: [Option<Waiter>; 2] = [member.joining.take(), member.syncing.take()];
            waiting.into_iter().flatten().for_each(|to| out.refuse(to, error.clone()));
        }
    }
}
