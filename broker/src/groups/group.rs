//! One group: who its members are, in either of two ways, and what it has committed.

use std::collections::BTreeSet;
use std::time::Duration;

use runtime::clock::Instant;

use super::action::{Actions, Moment};
use super::classic::Classic;
use super::consumer::Consumer;
use super::error::GroupError;
use super::offsets::Offsets;
use super::record::GroupRecord;
use super::request::{CommittedOffset, GroupKind, GroupState, ListedGroup, MemberName, TopicPartition};
use crate::limits;

/// What a group takes beside its members and offsets.
const GROUP_BYTES: usize = 512;

/// Who assigns: the members themselves, or the coordinator.
#[derive(Debug)]
pub(super) enum Membership {
    /// Boxed: it is the larger one.
    Classic(Box<Classic>),
    Consumer(Consumer),
}

/// See the module.
pub(super) struct Group {
    pub(super) membership: Membership,
    pub(super) offsets: Offsets,
    /// Its place among the deadlines.
    pub(super) deadline: Option<Instant>,
    /// What is counted of it.
    pub(super) bytes: usize,
}

impl Group {
    /// A group that nobody has joined.
    pub(super) fn new(id: String, first_members_wait: Duration, at: Moment) -> Self {
        let membership = Membership::Classic(Box::new(Classic::new(id, first_members_wait, at)));
        Self { membership, offsets: Offsets::default(), deadline: None, bytes: 0 }
    }

    pub(super) fn id(&self) -> &str {
        match &self.membership {
            Membership::Classic(classic) => &classic.id,
            Membership::Consumer(consumer) => &consumer.id,
        }
    }

    /// Without members, and without any that come.
    pub(super) fn is_empty(&self) -> bool {
        match &self.membership {
            Membership::Classic(classic) => classic.is_empty(),
            Membership::Consumer(consumer) => consumer.is_empty(),
        }
    }

    /// Nobody has ever been a member, nor is about to be: of its membership nothing is kept.
    pub(super) fn was_never_joined(&self) -> bool {
        match &self.membership {
            Membership::Classic(classic) => classic.was_never_joined(),
            Membership::Consumer(consumer) => consumer.is_empty() && consumer.epoch == 0,
        }
    }

    /// There is nothing to be known about it.
    pub(super) fn is_gone(&self) -> bool {
        self.was_never_joined() && self.offsets.is_empty()
    }

    pub(super) fn state(&self) -> GroupState {
        match &self.membership {
            Membership::Classic(classic) => classic.state(),
            Membership::Consumer(consumer) => consumer.state(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.membership {
            Membership::Classic(classic) => classic.deadline(),
            Membership::Consumer(consumer) => consumer.deadline(),
        }
    }

    pub(super) fn expire(&mut self, at: Moment, out: &mut Actions) {
        match &mut self.membership {
            Membership::Classic(classic) => classic.expire(at, out),
            Membership::Consumer(consumer) => consumer.expire(at, out),
        }
    }

    /// About what it takes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let members = match &self.membership {
            Membership::Classic(classic) => classic.bytes(),
            Membership::Consumer(consumer) => consumer.bytes(),
        };
        GROUP_BYTES + members + self.offsets.bytes()
    }

    pub(super) fn may_commit(&mut self, name: &MemberName, at: Moment) -> Result<(), GroupError> {
        match &mut self.membership {
            Membership::Classic(classic) => classic.may_commit(name, at),
            Membership::Consumer(consumer) => consumer.may_commit(name),
        }
    }

    /// The topics that its members read; `None` where that is not known.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        match &self.membership {
            _ if self.is_empty() => Some(BTreeSet::new()),
            Membership::Classic(classic) => classic.subscribed_topics(),
            Membership::Consumer(consumer) => Some(consumer.subscribed_topics()),
        }
    }

    pub(super) fn refuse_all(&mut self, error: &GroupError, out: &mut Actions) {
        if let Membership::Classic(classic) = &mut self.membership {
            classic.refuse_all(error, out);
        }
    }

    pub(super) fn listed(&self) -> ListedGroup {
        let (kind, protocol_type) = match &self.membership {
            Membership::Classic(classic) => {
                (GroupKind::Classic, classic.protocol_type.clone().unwrap_or_default())
            }
            Membership::Consumer(_) => (GroupKind::Consumer, "consumer".to_owned()),
        };
        ListedGroup { group: self.id().to_owned(), kind, protocol_type, state: self.state() }
    }

    /// Everything that is kept of it.
    pub(super) fn records(&self) -> Vec<GroupRecord> {
        let group = self.id();
        let offset = |(at, offset): (TopicPartition, &CommittedOffset)| GroupRecord::Offset {
            group: group.to_owned(),
            at,
            offset: Some(offset.clone()),
        };
        let mut records: Vec<GroupRecord> = self.offsets.iter().map(offset).collect();
        match &self.membership {
            _ if self.was_never_joined() => {}
            Membership::Classic(classic) => {
                let value = classic.kept.clone();
                records.extend(
                    value.map(|value| GroupRecord::Group { group: group.to_owned(), value: Some(value) }),
                );
            }
            Membership::Consumer(consumer) => records.extend(consumer.records()),
        }
        records
    }

    /// The records that end its membership.
    pub(super) fn tombstones(&self) -> Vec<GroupRecord> {
        match &self.membership {
            Membership::Classic(classic) => {
                vec![GroupRecord::Group { group: classic.id.clone(), value: None }]
            }
            Membership::Consumer(consumer) => consumer.tombstones(),
        }
    }

    /// The offsets that nobody needs any more, and how many others there are. A simple consumer's live for a while from their
    /// commit on, a group's from when its last member has left. While a group reads, what it does not read any more goes.
    pub(super) fn expired_and_kept(&self, wall_ms: i64) -> (Vec<TopicPartition>, usize) {
        let retention_ms = i64::try_from(limits::OFFSETS_RETENTION.as_millis()).unwrap_or(i64::MAX);
        let is_old = |since_ms: i64| since_ms.saturating_add(retention_ms) <= wall_ms;
        let is_empty = self.is_empty();
        let subscribed = self.subscribed_topics();
        let since_ms = match &self.membership {
            _ if self.was_never_joined() => None,
            Membership::Classic(classic) => Some(classic.since_ms),
            Membership::Consumer(consumer) => Some(consumer.since_ms),
        };
        let is_expired = |at: &TopicPartition, offset: &CommittedOffset| {
            if !is_empty {
                let is_read = subscribed.as_ref().is_none_or(|topics| topics.contains(&at.topic));
                return !is_read && is_old(offset.committed_ms);
            }
            match (offset.expires_ms, since_ms) {
                (Some(expires_ms), _) => expires_ms <= wall_ms,
                (None, Some(since_ms)) => is_old(since_ms.max(offset.committed_ms)),
                (None, None) => is_old(offset.committed_ms),
            }
        };
        let (mut expired, mut kept) = (Vec::new(), 0);
        for (at, offset) in self.offsets.iter() {
            match is_expired(&at, offset) {
                true => expired.push(at),
                false => kept += 1,
            }
        }
        (expired, kept)
    }
}
