//! The one request of a consumer group's members: they enter, live, say what they have, hear what they are to have, and leave.

use std::collections::BTreeMap;

use super::assignors::{self, ASSIGNORS, SizedTopic, Wish};
use super::member::{AWAY, ConsumerMember, Pattern};
use super::reconcile::is_within;
use super::{Consumer, Parts, Topics};
use crate::groups::action::{Actions, Moment, Then, Waiter};
use crate::groups::error::GroupError;
use crate::groups::record::{ConsumerRecord, GroupRecord};
use crate::groups::request::{ConsumerHeartbeat, ConsumerReply, GroupReply};
use crate::limits;
use wire::kafka::ConsumerTargetValue;

/// Epochs that mean something else: a member enters, or leaves.
const ENTERS: i32 = 0;
const LEAVES: i32 = -1;

impl Consumer {
    /// See the module.
    pub(in crate::groups) fn heartbeat(
        &mut self,
        request: ConsumerHeartbeat,
        topics: &dyn Topics,
        to: Waiter,
        at: Moment,
        out: &mut Actions,
    ) {
        let answered = match request.epoch {
            LEAVES | AWAY => self.leave(&request, at),
            _ => self.live(request, topics, at),
        };
        match answered {
            Err(error) => out.refuse(to, error),
            Ok((reply, records)) => {
                let reply = GroupReply::Assigned(reply);
                match records.is_empty() {
                    true => out.answer(to, reply),
                    false => out.write(records, Then::Answer { to, reply }),
                }
            }
        }
    }

    fn leave(
        &mut self,
        request: &ConsumerHeartbeat,
        at: Moment,
    ) -> Result<(ConsumerReply, Vec<GroupRecord>), GroupError> {
        let member_id = match &request.instance_id {
            // A static member may be sent away by its instance alone.
            Some(instance) if request.member_id.is_empty() => {
                self.instances.get(instance).ok_or(GroupError::UnknownMember)?.clone()
            }
            _ => request.member_id.clone(),
        };
        let member = self.members.get_mut(&member_id).ok_or(GroupError::UnknownMember)?;
        if request.instance_id.is_some() && request.instance_id != member.instance_id {
            return Err(GroupError::FencedInstance);
        }
        let records = if request.epoch == AWAY && member.instance_id.is_some() {
            member.epoch = AWAY;
            let current = member.current();
            vec![self.record(ConsumerRecord::Current(member_id.clone(), Some(current)))]
        } else {
            self.remove(std::slice::from_ref(&member_id), at)
        };
        let reply = ConsumerReply { member_id, epoch: request.epoch, assignment: None };
        Ok((reply, records))
    }

    /// Takes members out; the others share what they had as soon as they say that they live.
    fn remove(&mut self, member_ids: &[String], at: Moment) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        for member_id in member_ids {
            records.extend(self.member_tombstones(member_id));
            self.take_out(member_id);
        }
        self.epoch += 1;
        records.push(self.epoch_record());
        if self.members.is_empty() {
            self.since_ms = at.wall_ms;
        }
        records
    }

    fn live(
        &mut self,
        request: ConsumerHeartbeat,
        topics: &dyn Topics,
        at: Moment,
    ) -> Result<(ConsumerReply, Vec<GroupRecord>), GroupError> {
        check(&request)?;
        let (member_id, mut records, mut is_new_target) = match request.epoch {
            ENTERS => self.enter(&request, at)?,
            _ => (self.known(&request)?, Vec::new(), false),
        };
        let asks_for_all = request.epoch == ENTERS
            || request.rebalance_timeout.is_some()
                && (request.topics.is_some() || request.pattern.is_some())
                && request.owned.is_some();
        if self.update(&member_id, &request) {
            let value = self.members[&member_id].value();
            records.push(self.record(ConsumerRecord::Member(member_id.clone(), Some(value))));
            is_new_target = true;
        }
        is_new_target |= self.look_at_topics(topics, is_new_target);
        if is_new_target {
            self.epoch += 1;
            // In front: who reads the log back knows by it which kind of group this is.
            records.insert(0, self.epoch_record());
        }
        if self.epoch > self.target_epoch {
            records.extend(self.assign());
        }
        let assigned_before = self.members[&member_id].assigned.clone();
        let is_away = self.members[&member_id].epoch == AWAY;
        if self.reconcile(&member_id, request.owned.as_ref(), at) || is_away || request.epoch == ENTERS {
            let current = self.members[&member_id].current();
            records.push(self.record(ConsumerRecord::Current(member_id.clone(), Some(current))));
        }
        let member = self.members.get_mut(&member_id).expect("it was just looked at");
        member.expires_at = at.now + limits::CONSUMER_SESSION_TIMEOUT;
        let tells = asks_for_all || member.assigned != assigned_before;
        let assignment = tells.then(|| member.assigned.clone());
        Ok((ConsumerReply { member_id, epoch: member.epoch, assignment }, records))
    }

    /// A member that enters, new or once more: its id, the records of who went for it, and whether the group is another one.
    fn enter(
        &mut self,
        request: &ConsumerHeartbeat,
        at: Moment,
    ) -> Result<(String, Vec<GroupRecord>, bool), GroupError> {
        if request.topics.is_none() && request.pattern.is_none() {
            return Err(GroupError::InvalidRequest("a member that enters says what it reads"));
        }
        let member_id = match request.member_id.is_empty() {
            true => request.fresh_id.clone(),
            false => request.member_id.clone(),
        };
        let mut records = Vec::new();
        let holder = request.instance_id.as_ref().and_then(|instance| self.instances.get(instance)).cloned();
        if let Some(holder) = holder.filter(|holder| *holder != member_id) {
            if self.members[&holder].epoch != AWAY {
                return Err(GroupError::UnreleasedInstance);
            }
            // It takes over what the instance had.
            records.extend(self.member_tombstones(&holder));
            let target = self.target.remove(&holder);
            let mut member = self.members.remove(&holder).expect("an instance's holder is a member");
            member.id.clone_from(&member_id);
            (member.epoch, member.previous_epoch) = (0, -1);
            self.members.insert(member_id.clone(), member);
            let value = self.members[&member_id].value();
            records.push(self.record(ConsumerRecord::Member(member_id.clone(), Some(value))));
            if let Some(target) = target {
                records.push(self.target_record(&member_id, &target));
                self.target.insert(member_id.clone(), target);
            }
        }
        let is_new = !self.members.contains_key(&member_id);
        if is_new {
            if self.members.len() >= limits::MEMBERS_PER_GROUP_MAX {
                return Err(GroupError::GroupFull);
            }
            self.members.insert(member_id.clone(), ConsumerMember::new(member_id.clone(), at));
        } else {
            let member = self.members.get_mut(&member_id).expect("it is there");
            if member.epoch == AWAY {
                (member.epoch, member.previous_epoch) = (0, -1);
            }
        }
        if let Some(instance) = &request.instance_id {
            self.instances.insert(instance.clone(), member_id.clone());
        }
        Ok((member_id, records, is_new))
    }

    /// A member that is in the group and knows how far it is.
    fn known(&self, request: &ConsumerHeartbeat) -> Result<String, GroupError> {
        let member = self.members.get(&request.member_id).ok_or(GroupError::UnknownMember)?;
        if let Some(instance) = &request.instance_id
            && self.instances.get(instance) != Some(&request.member_id)
        {
            return Err(GroupError::FencedInstance);
        }
        // Its last answer may have been lost: then it has no more than that told it.
        let lost_an_answer = request.epoch == member.previous_epoch
            && request.owned.as_ref().is_some_and(|owned| is_within(owned, &member.assigned));
        match request.epoch == member.epoch || lost_an_answer {
            true => Ok(request.member_id.clone()),
            false => Err(GroupError::FencedMemberEpoch { found: member.epoch }),
        }
    }

    /// Takes what the member says of itself; true if anything is different.
    fn update(&mut self, member_id: &str, request: &ConsumerHeartbeat) -> bool {
        let before = &self.members[member_id];
        let mut member = before.clone();
        if let Some(instance) = &request.instance_id {
            member.instance_id = Some(instance.clone());
        }
        if let Some(rack) = &request.rack_id {
            member.rack_id = Some(rack.clone());
        }
        if let Some(topics) = &request.topics {
            member.topics = topics.iter().cloned().collect();
        }
        if let Some(text) = &request.pattern {
            let is_as_before = member.pattern.as_ref().is_some_and(|pattern| pattern.text() == text);
            if !is_as_before {
                member.pattern = Pattern::new(text).filter(|_| !text.is_empty());
            }
        }
        if let Some(assignor) = &request.assignor {
            member.assignor = Some(assignor.clone());
        }
        member.rebalance_timeout = request.rebalance_timeout.unwrap_or(member.rebalance_timeout);
        member.client_id.clone_from(&request.client_id);
        member.client_host.clone_from(&request.client_host);
        let is_other = member.value() != before.value();
        self.members.insert(member_id.to_owned(), member);
        is_other
    }

    /// Whether the topics that are read are others than before, or have other partitions.
    fn look_at_topics(&mut self, topics: &dyn Topics, is_sure_to_differ: bool) -> bool {
        if !is_sure_to_differ && self.seen_revision == topics.revision() {
            return false;
        }
        // After a start the log says what is shared out, and not by which numbers of partitions.
        let is_first_look = self.seen_revision == 0 && !self.target.is_empty();
        self.seen_revision = topics.revision();
        let mut seen: BTreeMap<String, SizedTopic> = BTreeMap::new();
        for member in self.members.values() {
            let matching = member.pattern.as_ref().map(|pattern| topics.names(&|name| pattern.matches(name)));
            let matching = matching.unwrap_or_default();
            for name in member.topics.iter().chain(&matching) {
                if let Some(found) = topics.find(name) {
                    seen.insert(name.clone(), found);
                }
            }
        }
        let is_other = if is_first_look { !self.shares_out(&seen) } else { seen != self.seen };
        self.seen = seen;
        is_other
    }

    /// Whether the target is of exactly these topics and partitions.
    fn shares_out(&self, topics: &BTreeMap<String, SizedTopic>) -> bool {
        let mut shared = Parts::new();
        for (topic, partitions) in self.target.values().flatten() {
            shared.entry(*topic).or_default().extend(partitions);
        }
        let all = topics.values().filter(|(_, partitions)| *partitions > 0);
        let all: Parts = all.map(|(topic, partitions)| (*topic, (0..*partitions).collect())).collect();
        shared == all
    }

    /// The assignor that most members ask for.
    pub(super) fn assignor(&self) -> &str {
        let votes = |name: &&&str| {
            self.members.values().filter(|member| member.assignor.as_deref() == Some(**name)).count()
        };
        // Of as many votes the first: the default.
        ASSIGNORS.iter().rev().max_by_key(votes).copied().unwrap_or(ASSIGNORS[0])
    }

    /// Reckons anew what each member is to have; the records of what is different.
    fn assign(&mut self) -> Vec<GroupRecord> {
        let reads = |member: &ConsumerMember| -> Vec<SizedTopic> {
            let is_read = |name: &str| {
                member.topics.contains(name)
                    || member.pattern.as_ref().is_some_and(|pattern| pattern.matches(name))
            };
            self.seen.iter().filter(|(name, _)| is_read(name)).map(|(_, topic)| *topic).collect()
        };
        let wishes: Vec<Wish<'_>> = self
            .members
            .values()
            .map(|member| Wish {
                member_id: &member.id,
                topics: reads(member),
                before: self.target.get(&member.id),
            })
            .collect();
        let target: BTreeMap<String, Parts> = assignors::assign(self.assignor(), &wishes);
        let mut records = Vec::new();
        for (member_id, parts) in &target {
            if self.target.get(member_id) != Some(parts) {
                records.push(self.target_record(member_id, parts));
            }
        }
        self.target = target;
        self.target_epoch = self.epoch;
        let value = ConsumerTargetValue { assignment_epoch: self.target_epoch };
        records.push(self.record(ConsumerRecord::Target(Some(value))));
        records
    }

    /// Sends away who is silent, or keeps what it was to give up.
    pub(in crate::groups) fn expire(&mut self, at: Moment, out: &mut Actions) {
        let is_due = |member: &&ConsumerMember| member.deadline() <= at.now;
        let gone: Vec<String> =
            self.members.values().filter(is_due).map(|member| member.id.clone()).collect();
        if !gone.is_empty() {
            let records = self.remove(&gone, at);
            out.write(records, Then::Nothing);
        }
    }
}

/// What is wrong whatever the group is at: before anything is changed.
fn check(request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    if request.epoch < ENTERS {
        return Err(GroupError::InvalidRequest("a member's epoch is 0 or more, or -1 or -2"));
    }
    if request.assignor.as_deref().is_some_and(|name| !ASSIGNORS.contains(&name)) {
        return Err(GroupError::UnsupportedAssignor);
    }
    let pattern = request.pattern.as_deref().filter(|text| !text.is_empty());
    match pattern.is_none_or(|text| Pattern::new(text).is_some()) {
        true => Ok(()),
        false => Err(GroupError::InvalidPattern),
    }
}
