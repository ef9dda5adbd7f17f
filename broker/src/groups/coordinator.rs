//! The groups of one partition of the offsets topic: requests, outcomes of writes and the time come in, answers and writes
//! go out. It knows no log, no connection and no clock.
//!
//! Invariants:
//! - An offset is seen when it is durable: what [`GroupRequest::Committed`] tells is never taken back.
//! - Read back from its records a coordinator tells the same offsets, and knows the members of the last durable assignment.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use runtime::clock::Instant;

use super::action::{Actions, Moment, Then, Waiter, Write};
use super::classic::Classic;
use super::consumer::{Consumer, Topics};
use super::error::GroupError;
use super::group::{Group, Membership};
use super::outside::{committed, delete, forget, forgotten, write_in_pieces};
use super::record::{ConsumerRecord, GroupRecord};
use super::request::{Commit, ConsumerHeartbeat, GroupReply, GroupRequest, Join, ListedGroup};
use crate::limits;

/// Memory of all groups of a shard.
#[derive(Debug)]
pub(crate) struct GroupMemory {
    used: Cell<usize>,
    bytes_max: usize,
}

impl GroupMemory {
    pub(crate) fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self { used: Cell::new(0), bytes_max })
    }

    /// About how many bytes all groups take.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// The limit, which new members and offsets must not pass.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn is_full(&self) -> bool {
        self.used.get() >= self.bytes_max
    }
}

/// See the module.
pub(crate) struct Coordinator {
    groups: BTreeMap<String, Group>,
    deadlines: BTreeSet<(Instant, String)>,
    /// When offsets are looked over for those that nobody needs any more.
    look_over_at: Instant,
    first_members_wait: Duration,
    memory: Rc<GroupMemory>,
    topics: Rc<dyn Topics>,
}

impl Coordinator {
    pub(crate) fn new(
        first_members_wait: Duration,
        memory: Rc<GroupMemory>,
        topics: Rc<dyn Topics>,
        at: Moment,
    ) -> Self {
        Self {
            groups: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            look_over_at: at.now + limits::OFFSETS_LOOKED_OVER_EVERY,
            first_members_wait,
            memory,
            topics,
        }
    }

    /// Acts on a request; its answer comes now, or out of a later event.
    pub(crate) fn handle(
        &mut self,
        group_id: &str,
        request: GroupRequest,
        to: Waiter,
        at: Moment,
        out: &mut Actions,
    ) {
        match request {
            GroupRequest::Join(join) => self.join(group_id, join, to, at, out),
            GroupRequest::ConsumerHeartbeat(request) => self.live(group_id, request, to, at, out),
            GroupRequest::Commit(commit) => self.commit(group_id, commit, to, at, out),
            GroupRequest::Committed(asked) => {
                out.reply(to, committed(self.groups.get(group_id), asked).map(GroupReply::Offsets));
            }
            GroupRequest::Heartbeat(name) => {
                // Comes all the time, and never brings a deadline forward.
                let alive = self.classic(group_id).and_then(|classic| classic.heartbeat(&name, at));
                out.reply(to, alive.map(|()| GroupReply::Alive));
            }
            GroupRequest::Sync(sync) => {
                match self.classic(group_id) {
                    Ok(classic) => classic.sync(sync, to, at, out),
                    Err(error) => out.refuse(to, error),
                }
                self.settle(group_id);
            }
            GroupRequest::Leave(leaving) => {
                let left = match self.classic(group_id) {
                    Ok(classic) => classic.leave(&leaving, at, out),
                    Err(error) => leaving.iter().map(|_| Err(error.clone())).collect(),
                };
                out.answer(to, GroupReply::Left(left));
                self.settle(group_id);
            }
            request => self.handle_from_outside(group_id, request, to, out),
        }
    }

    /// Looks at a group that has to be there, or removes of it.
    fn handle_from_outside(&self, group_id: &str, request: GroupRequest, to: Waiter, out: &mut Actions) {
        let Some(group) = self.groups.get(group_id) else { return out.refuse(to, GroupError::GroupNotFound) };
        match (request, &group.membership) {
            (GroupRequest::Describe, Membership::Classic(classic)) => {
                out.answer(to, GroupReply::Described(classic.describe()));
            }
            (GroupRequest::DescribeConsumers, Membership::Consumer(consumer)) => {
                out.answer(to, GroupReply::DescribedConsumers(consumer.describe(&*self.topics)));
            }
            (GroupRequest::Describe | GroupRequest::DescribeConsumers, _) => {
                out.refuse(to, GroupError::GroupNotFound);
            }
            (GroupRequest::Forget(asked), _) => forget(group, asked, to, out),
            (GroupRequest::Delete, _) => delete(group, to, out),
            (request, _) => unreachable!("{request:?} is a member's"),
        }
    }

    /// A group whose members assign, for a member of it.
    fn classic(&mut self, group_id: &str) -> Result<&mut Classic, GroupError> {
        match self.groups.get_mut(group_id).map(|group| &mut group.membership) {
            Some(Membership::Classic(classic)) => Ok(classic),
            _ => Err(GroupError::UnknownMember),
        }
    }

    fn live(
        &mut self,
        group_id: &str,
        request: ConsumerHeartbeat,
        to: Waiter,
        at: Moment,
        out: &mut Actions,
    ) {
        let enters = request.epoch == 0;
        if enters && self.memory.is_full() {
            return out.refuse(to, GroupError::NoMemory);
        }
        if !enters && !self.groups.contains_key(group_id) {
            return out.refuse(to, GroupError::UnknownMember);
        }
        let topics = self.topics.clone();
        let group = self.enter_group(group_id, at);
        if let Membership::Classic(classic) = &group.membership {
            if !classic.is_empty() || !enters {
                return out.refuse(to, GroupError::NotAConsumerGroup);
            }
            // Its members have gone: it goes on as the other kind.
            if !classic.was_never_joined() {
                out.write(group.tombstones(), Then::Nothing);
            }
            group.membership = Membership::Consumer(Consumer::new(group_id.to_owned(), at));
        }
        let Membership::Consumer(consumer) = &mut group.membership else {
            unreachable!("it was just made one")
        };
        consumer.heartbeat(request, &*topics, to, at, out);
        self.settle(group_id);
    }

    fn join(&mut self, group_id: &str, join: Join, to: Waiter, at: Moment, out: &mut Actions) {
        let session = join.session_timeout;
        if !(limits::SESSION_TIMEOUT_MIN..=limits::SESSION_TIMEOUT_MAX).contains(&session) {
            let found_ms = i64::try_from(session.as_millis()).unwrap_or(i64::MAX);
            return out.refuse(to, GroupError::InvalidSessionTimeout { found_ms });
        }
        let is_new = join.member_id.is_empty();
        if is_new && self.memory.is_full() {
            return out.refuse(to, GroupError::NoMemory);
        }
        if !self.groups.contains_key(group_id) {
            if !is_new {
                return out.refuse(to, GroupError::UnknownMember);
            }
            self.enter_group(group_id, at);
        }
        let wait = self.first_members_wait;
        let group = self.groups.get_mut(group_id).expect("it is there, or was just made");
        if let Membership::Consumer(consumer) = &group.membership {
            if !consumer.is_empty() {
                return out.refuse(to, GroupError::InconsistentProtocol);
            }
            // Its members have gone: it goes on as the other kind.
            out.write(group.tombstones(), Then::Nothing);
            group.membership = Membership::Classic(Box::new(Classic::new(group_id.to_owned(), wait, at)));
        }
        let Membership::Classic(classic) = &mut group.membership else {
            unreachable!("it was just made one")
        };
        classic.join(join, to, at, out);
        self.settle(group_id);
    }

    fn enter_group(&mut self, group_id: &str, at: Moment) -> &mut Group {
        let wait = self.first_members_wait;
        self.groups.entry(group_id.to_owned()).or_insert_with(|| Group::new(group_id.to_owned(), wait, at))
    }

    fn commit(&mut self, group_id: &str, commit: Commit, to: Waiter, at: Moment, out: &mut Actions) {
        let may_commit = match self.groups.get_mut(group_id) {
            Some(group) => group.may_commit(&commit.member, at),
            // From outside, with a group of its own making.
            None if commit.member.generation < 0 => Ok(()),
            None => Err(GroupError::GroupNotFound),
        };
        if let Err(error) = may_commit {
            return out.refuse(to, error);
        }
        let known = self.groups.get(group_id).map(|group| &group.offsets);
        let (mut kept, mut records) = (Vec::new(), Vec::new());
        for (at, offset) in commit.offsets {
            let is_new = known.is_none_or(|known| known.get(&at).is_none());
            kept.push(match offset.metadata.len() {
                found if found > limits::OFFSET_METADATA_BYTES_MAX => {
                    Err(GroupError::OffsetMetadataTooLarge { found })
                }
                _ if is_new && self.memory.is_full() => Err(GroupError::NoMemory),
                _ => {
                    records.push(GroupRecord::Offset {
                        group: group_id.to_owned(),
                        at,
                        offset: Some(offset),
                    });
                    Ok(())
                }
            });
        }
        let reply = GroupReply::Kept(kept);
        match records.is_empty() {
            true => out.answer(to, reply),
            false => out.write(records, Then::Answer { to, reply }),
        }
    }

    /// Records are durable, or failed to become so.
    pub(crate) fn written(
        &mut self,
        write: Write,
        outcome: Result<(), GroupError>,
        at: Moment,
        out: &mut Actions,
    ) {
        if outcome.is_ok() {
            for record in write.records {
                // Members are ahead of their records; offsets, and groups that are removed, follow them.
                match &record {
                    GroupRecord::Offset { .. } => self.apply(record, at),
                    GroupRecord::Group { group, value: None }
                    | GroupRecord::Consumer { group, record: ConsumerRecord::Group(None) } => {
                        let group = group.clone();
                        self.forget_membership(&group, &record, at);
                    }
                    _ => {}
                }
            }
        }
        match (write.then, outcome) {
            (Then::Nothing, _) => {}
            (Then::Answer { to, reply }, Ok(())) => out.answer(to, reply),
            (Then::Answer { to, .. }, Err(error)) => out.refuse(to, error),
            (Then::Assigned { group, generation }, outcome) => {
                if let Ok(classic) = self.classic(&group) {
                    classic.assigned(generation, outcome, at, out);
                    self.settle(&group);
                }
            }
        }
    }

    /// Takes a record as it stands on the log.
    pub(crate) fn apply(&mut self, record: GroupRecord, at: Moment) {
        let group_id = match record {
            GroupRecord::Offset { group, at: partition, offset: Some(offset) } => {
                self.enter_group(&group, at).offsets.set(&partition, offset);
                group
            }
            GroupRecord::Offset { group, at: partition, offset: None } => {
                if let Some(found) = self.groups.get_mut(&group) {
                    found.offsets.remove(&partition);
                }
                group
            }
            GroupRecord::Group { group, value: Some(value) } => {
                let wait = self.first_members_wait;
                let restored = Classic::restored(group.clone(), &value, wait, at);
                self.enter_group(&group, at).membership = Membership::Classic(Box::new(restored));
                group
            }
            GroupRecord::Group { ref group, value: None }
            | GroupRecord::Consumer { ref group, record: ConsumerRecord::Group(None) } => {
                self.forget_membership(group, &record, at);
                return;
            }
            GroupRecord::Consumer { group, record } => {
                self.apply_to_consumers(&group, record, at);
                group
            }
        };
        self.settle(&group_id);
    }

    fn apply_to_consumers(&mut self, group_id: &str, record: ConsumerRecord, at: Moment) {
        // The first record of such a group is its epoch; what comes without is what is left of one that is gone.
        let begins = matches!(record, ConsumerRecord::Group(_));
        if !begins && !self.groups.contains_key(group_id) {
            return;
        }
        let group = self.enter_group(group_id, at);
        if let Membership::Classic(_) = group.membership {
            if !begins {
                return;
            }
            group.membership = Membership::Consumer(Consumer::new(group_id.to_owned(), at));
        }
        if let Membership::Consumer(consumer) = &mut group.membership {
            consumer.apply(record, at);
        }
    }

    /// A group is removed, by the record of its kind. A member may have come since it was asked for.
    fn forget_membership(&mut self, group_id: &str, record: &GroupRecord, at: Moment) {
        let wait = self.first_members_wait;
        if let Some(group) = self.groups.get_mut(group_id) {
            let is_consumers = matches!(record, GroupRecord::Consumer { .. });
            let is_same_kind = matches!(group.membership, Membership::Consumer(_)) == is_consumers;
            if is_same_kind && group.is_empty() {
                let fresh = Classic::new(group_id.to_owned(), wait, at);
                group.membership = Membership::Classic(Box::new(fresh));
            }
        }
        self.settle(group_id);
    }

    /// When [`Coordinator::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Instant {
        let first = self.deadlines.first().map(|(deadline, _)| *deadline);
        first.map_or(self.look_over_at, |first| first.min(self.look_over_at))
    }

    /// Acts on what is due.
    pub(crate) fn expire(&mut self, at: Moment, out: &mut Actions) {
        while let Some((deadline, _)) = self.deadlines.first()
            && *deadline <= at.now
        {
            let (_, group_id) = self.deadlines.pop_first().expect("it was just looked at");
            let group = self.groups.get_mut(&group_id).expect("a deadline of a group that is gone");
            group.deadline = None;
            group.expire(at, out);
            self.settle(&group_id);
        }
        if self.look_over_at <= at.now {
            self.look_over_at = at.now + limits::OFFSETS_LOOKED_OVER_EVERY;
            self.look_over(at, out);
        }
    }

    /// Forgets offsets that nobody has needed for so long, and groups that have nothing left.
    fn look_over(&self, at: Moment, out: &mut Actions) {
        for (group_id, group) in &self.groups {
            let (expired, kept) = group.expired_and_kept(at.wall_ms);
            let mut records = forgotten(group_id, expired);
            if kept == 0 && group.is_empty() && !group.was_never_joined() {
                records.extend(group.tombstones());
            }
            write_in_pieces(records, Then::Nothing, out);
        }
    }

    /// A topic is deleted: what was committed of it goes, too.
    pub(crate) fn forget_topic(&self, topic: &str, out: &mut Actions) {
        for (group_id, group) in &self.groups {
            let of_topic = group.offsets.iter().map(|(at, _)| at).filter(|at| at.topic == topic).collect();
            write_in_pieces(forgotten(group_id, of_topic), Then::Nothing, out);
        }
    }

    /// Every group.
    pub(crate) fn list(&self) -> impl Iterator<Item = ListedGroup> {
        self.groups.values().map(Group::listed)
    }

    /// Everything that is durable, as records.
    pub(crate) fn records(&self) -> impl Iterator<Item = GroupRecord> {
        self.groups.values().flat_map(Group::records)
    }

    /// The coordinator ends: whoever waits asks the next one.
    pub(crate) fn refuse_all(&mut self, error: &GroupError, out: &mut Actions) {
        self.groups.values_mut().for_each(|group| group.refuse_all(error, out));
    }

    /// Counts a group anew and finds its place among the deadlines; one without anything goes.
    fn settle(&mut self, group_id: &str) {
        let Some(group) = self.groups.get_mut(group_id) else { return };
        let is_gone = group.is_gone();
        let deadline = if is_gone { None } else { group.next_deadline() };
        if deadline != group.deadline {
            if let Some(before) = std::mem::replace(&mut group.deadline, deadline) {
                self.deadlines.remove(&(before, group_id.to_owned()));
            }
            if let Some(deadline) = deadline {
                self.deadlines.insert((deadline, group_id.to_owned()));
            }
        }
        let bytes = if is_gone { 0 } else { group.memory_bytes() };
        let before = std::mem::replace(&mut group.bytes, bytes);
        self.memory.used.set(self.memory.used.get() + bytes - before);
        if is_gone {
            self.groups.remove(group_id);
        }
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let bytes: usize = self.groups.values().map(|group| group.bytes).sum();
        self.memory.used.set(self.memory.used.get() - bytes);
    }
}
