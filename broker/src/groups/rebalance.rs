//! How a classic group's generations begin, and how members go.

use std::time::Duration;

use super::action::{Actions, Moment, Then};
use super::classic::{Classic, FirstMembers, State};
use super::error::GroupError;
use super::request::{GroupReply, Leaving};
use crate::limits;

impl Classic {
    /// Somebody came, went, or changed: everybody joins anew.
    pub(super) fn rebalance(&mut self, at: Moment, out: &mut Actions) {
        match self.state {
            State::Preparing { .. } => {}
            State::Empty => {
                let (complete_at, ends_at) =
                    (at.now + self.first_members_wait, at.now + self.longest_rebalance());
                let first = Some(FirstMembers { ends_at, more_came: false });
                self.enter(State::Preparing { complete_at, first }, at);
            }
            State::Completing { .. } | State::Stable => {
                for member in self.members.values_mut() {
                    if let Some(to) = member.syncing.take() {
                        out.refuse(to, GroupError::RebalanceInProgress);
                        member.lives(at.now);
                    }
                }
                let complete_at = at.now + self.longest_rebalance();
                self.enter(State::Preparing { complete_at, first: None }, at);
                self.sync_by = None;
            }
        }
        self.complete_if_all_joined(at, out);
    }

    /// Never nothing: such a time would be over again and again.
    fn longest_rebalance(&self) -> Duration {
        let longest = self.members.values().map(|member| member.rebalance_timeout).max();
        longest.unwrap_or_default().max(limits::REBALANCE_TIMEOUT_MIN)
    }

    fn complete_if_all_joined(&mut self, at: Moment, out: &mut Actions) {
        let State::Preparing { first, .. } = &self.state else { return };
        // A group that was empty waits for more members; without one there is nothing to wait for.
        let waits_for_more = first.is_some() && !self.members.is_empty();
        let all_joined = self.members.values().all(|member| member.joining.is_some());
        if !waits_for_more && all_joined && self.promised.is_empty() {
            self.complete(at, out);
        }
    }

    /// The next generation begins with those who have joined, and with static members, whose sessions decide.
    fn complete(&mut self, at: Moment, out: &mut Actions) {
        let gone: Vec<String> = self
            .members
            .values()
            .filter(|member| member.joining.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        gone.iter().for_each(|member_id| self.take_out(member_id, out));
        if self.members.is_empty() {
            self.generation = next_generation(self.generation);
            self.protocol = None;
            self.enter(State::Empty, at);
            out.write(vec![self.keep(None)], Then::Nothing);
            return;
        }
        if !self.elect_leader() {
            // Only static members are left, and none has joined: their sessions end first.
            let complete_at = at.now + self.longest_rebalance();
            self.state = State::Preparing { complete_at, first: None };
            return;
        }
        self.generation = next_generation(self.generation);
        self.protocol = self.elect_protocol();
        self.enter(State::Completing { assigned: None }, at);
        self.sync_by = Some(at.now + self.longest_rebalance());
        let mut joined = Vec::new();
        for member in self.members.values_mut() {
            member.has_synced = false;
            member.lives(at.now);
            joined.extend(member.joining.take().map(|to| (to, member.id.clone())));
        }
        for (to, member_id) in joined {
            out.answer(to, GroupReply::Joined(self.joined(&member_id)));
        }
    }

    /// A leader that has joined; false where nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined =
            |member_id: &String| self.members.get(member_id).is_some_and(|member| member.joining.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        match self.members.values().find(|member| member.joining.is_some()) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Takes a member out; the group does not act on it yet.
    fn take_out(&mut self, member_id: &str, out: &mut Actions) {
        let Some(member) = self.members.remove(member_id) else { return };
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        for to in [member.joining, member.syncing].into_iter().flatten() {
            out.refuse(to, GroupError::UnknownMember);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// A member is gone: the others share what it had.
    fn remove(&mut self, member_id: &str, at: Moment, out: &mut Actions) {
        self.take_out(member_id, out);
        if !self.is_empty() {
            self.rebalance(at, out);
        }
    }

    /// Members leave, or are sent away.
    pub(super) fn leave(
        &mut self,
        leaving: &[Leaving],
        at: Moment,
        out: &mut Actions,
    ) -> Vec<Result<(), GroupError>> {
        leaving.iter().map(|who| self.leave_one(who, at, out)).collect()
    }

    fn leave_one(&mut self, who: &Leaving, at: Moment, out: &mut Actions) -> Result<(), GroupError> {
        if self.promised.remove(&who.member_id).is_some() {
            self.complete_if_all_joined(at, out);
            return Ok(());
        }
        // An administrator knows an instance without the id it has at the moment.
        let member_id = match &who.instance_id {
            Some(instance) if who.member_id.is_empty() => {
                self.instances.get(instance).ok_or(GroupError::UnknownMember)?.clone()
            }
            _ => who.member_id.clone(),
        };
        self.check_name(&member_id, who.instance_id.as_deref())?;
        self.remove(&member_id, at, out);
        Ok(())
    }

    /// Acts on what is due.
    pub(super) fn expire(&mut self, at: Moment, out: &mut Actions) {
        self.promised.retain(|_, until| *until > at.now);
        let is_due = |member: &&super::member::Member| !member.waits() && member.expires_at <= at.now;
        let mut gone: Vec<String> =
            self.members.values().filter(is_due).map(|member| member.id.clone()).collect();
        if self.sync_by.is_some_and(|by| by <= at.now) {
            self.sync_by = None;
            let late = self.members.values().filter(|member| !member.has_synced);
            gone.extend(late.map(|member| member.id.clone()));
        }
        for member_id in gone {
            if self.members.contains_key(&member_id) {
                self.remove(&member_id, at, out);
            }
        }
        self.complete_if_all_joined(at, out);
        let State::Preparing { complete_at, first } = &mut self.state else { return };
        if *complete_at > at.now {
            return;
        }
        match first {
            Some(first) if first.more_came && at.now < first.ends_at => {
                first.more_came = false;
                *complete_at = (at.now + self.first_members_wait).min(first.ends_at);
            }
            _ => self.complete(at, out),
        }
    }
}

/// Generations below 0 mean none.
fn next_generation(generation: i32) -> i32 {
    generation.checked_add(1).unwrap_or(1)
}
