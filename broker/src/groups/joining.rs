//! How members come into a classic group, and get their part of it.

use std::collections::HashMap;

use super::action::{Actions, Moment, Then, Waiter};
use super::classic::{Classic, State};
use super::error::GroupError;
use super::member::Member;
use super::request::{GroupReply, Join, Sync};
use crate::limits;

impl Classic {
    /// A member enters, or enters again; it is answered when the next generation begins.
    pub(super) fn join(&mut self, request: Join, to: Waiter, at: Moment, out: &mut Actions) {
        if !self.takes(&request) {
            return out.refuse(to, GroupError::InconsistentProtocol);
        }
        if request.member_id.is_empty() {
            return self.join_anew(request, to, at, out);
        }
        let member_id = request.member_id.clone();
        if self.promised.remove(&member_id).is_some() {
            return self.add(member_id, request, to, at, out);
        }
        if let Err(error) = self.check_name(&member_id, request.instance_id.as_deref()) {
            return out.refuse(to, error);
        }
        let is_as_before = self.members[&member_id].protocols == request.protocols;
        match self.state {
            State::Empty => out.refuse(to, GroupError::UnknownMember),
            // It may have missed its answer.
            State::Completing { .. } if is_as_before => self.join_again(&member_id, to, at, out),
            // A leader that joins again has found new partitions to assign.
            State::Stable if is_as_before && !self.is_leader(&member_id) => {
                self.join_again(&member_id, to, at, out);
            }
            _ => {
                let member = self.members.get_mut(&member_id).expect("it was just looked for");
                member.update(request);
                if let Some(before) = member.joining.replace(to) {
                    out.refuse(before, GroupError::RebalanceInProgress);
                }
                self.rebalance(at, out);
            }
        }
    }

    /// Whether the member can understand the others.
    fn takes(&self, request: &Join) -> bool {
        let says_something = !request.protocol_type.is_empty() && !request.protocols.is_empty();
        if self.members.is_empty() {
            return says_something;
        }
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && request.protocols.iter().any(|(name, _)| self.all_know(name))
    }

    fn join_again(&mut self, member_id: &str, to: Waiter, at: Moment, out: &mut Actions) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.lives(at.now);
        }
        out.answer(to, GroupReply::Joined(self.joined(member_id)));
    }

    fn join_anew(&mut self, request: Join, to: Waiter, at: Moment, out: &mut Actions) {
        let member_id = request.fresh_id.clone();
        let holder = request.instance_id.as_ref().and_then(|instance| self.instances.get(instance));
        if let Some(holder) = holder.cloned() {
            return self.replace(&holder, member_id, request, to, at, out);
        }
        if self.is_full() {
            return out.refuse(to, GroupError::GroupFull);
        }
        if request.instance_id.is_none() && request.knows_id_first {
            self.promised.insert(member_id.clone(), at.now + request.session_timeout);
            return out.refuse(to, GroupError::MemberIdRequired { member_id });
        }
        self.add(member_id, request, to, at, out);
    }

    fn is_full(&self) -> bool {
        self.members.len() + self.promised.len() >= limits::MEMBERS_PER_GROUP_MAX
    }

    fn add(&mut self, member_id: String, request: Join, to: Waiter, at: Moment, out: &mut Actions) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if let Some(instance) = &request.instance_id {
            self.instances.insert(instance.clone(), member_id.clone());
        }
        self.leader.get_or_insert_with(|| member_id.clone());
        let member = Member::new(member_id.clone(), request, Some(to), at.now);
        self.members.insert(member_id, member);
        if let State::Preparing { first: Some(first), .. } = &mut self.state {
            first.more_came = true;
        }
        self.rebalance(at, out);
    }

    /// A static member has started again, and takes its place. While the generation can go on as it is, it does.
    fn replace(
        &mut self,
        holder: &str,
        member_id: String,
        request: Join,
        to: Waiter,
        at: Moment,
        out: &mut Actions,
    ) {
        let mut member = self.members.remove(holder).expect("an instance's holder is a member");
        for waiting in [member.joining.take(), member.syncing.take()].into_iter().flatten() {
            out.refuse(waiting, GroupError::FencedInstance);
        }
        let leader_before = self.leader.clone();
        if self.is_leader(holder) {
            self.leader = Some(member_id.clone());
        }
        if let Some(instance) = &request.instance_id {
            self.instances.insert(instance.clone(), member_id.clone());
        }
        let knows_skipping = request.knows_skipping;
        member.id.clone_from(&member_id);
        member.update(request);
        member.lives(at.now);
        self.members.insert(member_id.clone(), member);
        if matches!(self.state, State::Stable) && self.elect_protocol() == self.protocol {
            let mut joined = self.joined(&member_id);
            if knows_skipping {
                joined.skip_assignment = self.is_leader(&member_id);
            } else {
                // It must not assign: to it the leader is still the one that it was.
                joined.leader = leader_before.unwrap_or_default();
                joined.members.clear();
            }
            let records = vec![self.keep(None)];
            return out.write(records, Then::Answer { to, reply: GroupReply::Joined(joined) });
        }
        let member = self.members.get_mut(&member_id).expect("it was just put in");
        member.joining = Some(to);
        self.rebalance(at, out);
    }

    /// A member asks for its part. The leader brings everybody's.
    pub(super) fn sync(&mut self, request: Sync, to: Waiter, at: Moment, out: &mut Actions) {
        let agrees = |said: &Option<String>, is: &Option<String>| said.is_none() || said == is;
        let agrees =
            agrees(&request.protocol_type, &self.protocol_type) && agrees(&request.protocol, &self.protocol);
        let member = match self.check(&request.member) {
            Ok(member) => member,
            Err(error) => return out.refuse(to, error),
        };
        if !agrees {
            return out.refuse(to, GroupError::InconsistentProtocol);
        }
        member.lives(at.now);
        match self.state {
            State::Empty => out.refuse(to, GroupError::UnknownMember),
            State::Preparing { .. } => out.refuse(to, GroupError::RebalanceInProgress),
            State::Stable => {
                let member = self.members.get_mut(&request.member.member_id).expect("it was just checked");
                member.has_synced = true;
                let assignment = member.assignment.clone();
                out.answer(to, GroupReply::Synced(self.synced(assignment)));
                self.forget_sync_deadline();
            }
            State::Completing { .. } => {
                member_waits(self, &request.member.member_id, to, out);
                self.forget_sync_deadline();
                if self.is_leader(&request.member.member_id) {
                    self.assign(request.assignments.into_iter().collect(), out);
                }
            }
        }
    }

    fn assign(&mut self, parts: HashMap<String, bytes::Bytes>, out: &mut Actions) {
        let State::Completing { assigned } = &mut self.state else { return };
        if assigned.is_some() {
            // It asks a second time; the first is being written.
            return;
        }
        *assigned = Some(parts.clone());
        let then = Then::Assigned { group: self.id.clone(), generation: self.generation };
        out.write(vec![self.keep(Some(&parts))], then);
    }

    /// The assignment of a generation is durable, or cannot be.
    pub(super) fn assigned(
        &mut self,
        generation: i32,
        outcome: Result<(), GroupError>,
        at: Moment,
        out: &mut Actions,
    ) {
        if generation != self.generation {
            return;
        }
        // Else the group rebalances already, and everybody was told.
        let State::Completing { assigned } = &mut self.state else { return };
        let mut assigned = assigned.take().unwrap_or_default();
        if let Err(error) = outcome {
            self.refuse_all(&error, out);
            return self.rebalance(at, out);
        }
        self.enter(State::Stable, at);
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            member.assignment = assigned.remove(&member.id).unwrap_or_default();
            if let Some(to) = member.syncing.take() {
                member.lives(at.now);
                waiting.push((to, member.assignment.clone()));
            }
        }
        for (to, assignment) in waiting {
            out.answer(to, GroupReply::Synced(self.synced(assignment)));
        }
    }

    fn forget_sync_deadline(&mut self) {
        if self.members.values().all(|member| member.has_synced) {
            self.sync_by = None;
        }
    }
}

fn member_waits(group: &mut Classic, member_id: &str, to: Waiter, out: &mut Actions) {
    let member = group.members.get_mut(member_id).expect("it was just checked");
    member.has_synced = true;
    if let Some(before) = member.syncing.replace(to) {
        out.refuse(before, GroupError::RebalanceInProgress);
    }
}
