//! One member's next step towards its target: what it gives up, what it gets, what it waits for.

use std::collections::HashSet;

use uuid::Uuid;

use super::member::{ConsumerMember, MemberState};
use super::{Consumer, Parts};
use crate::groups::action::Moment;

impl Consumer {
    /// Brings the member a step on; `owned`: what it says it has. True if anything of it is different.
    pub(super) fn reconcile(&mut self, member_id: &str, owned: Option<&Parts>, at: Moment) -> bool {
        let member = &self.members[member_id];
        match member.state {
            MemberState::Stable if member.epoch == self.target_epoch => return false,
            // It says nothing, or has some of it still.
            MemberState::Revoking if owned.is_none_or(|owned| intersects(owned, &member.revoking)) => {
                return false;
            }
            _ => {}
        }
        let next = self.next_of(member, owned, at);
        let member = self.members.get_mut(member_id).expect("it was just looked at");
        let is_other = (next.epoch, next.state) != (member.epoch, member.state)
            || next.assigned != member.assigned
            || next.revoking != member.revoking;
        *member = next;
        is_other
    }

    fn next_of(&self, member: &ConsumerMember, owned: Option<&Parts>, at: Moment) -> ConsumerMember {
        let nothing = Parts::new();
        let target = self.target.get(&member.id).unwrap_or(&nothing);
        let kept = common(&member.assigned, target);
        let to_revoke = without(&member.assigned, &kept);
        let mut next = member.clone();
        next.revoke_by = None;
        let has_some = owned.is_none_or(|owned| intersects(owned, &to_revoke));
        if !to_revoke.is_empty() && has_some {
            next.state = MemberState::Revoking;
            next.assigned = kept;
            next.revoking = to_revoke;
            next.revoke_by = Some(at.now + member.rebalance_timeout);
            return next;
        }
        let taken = self.taken_by_others(&member.id);
        let (mut assigned, mut waits) = (kept, false);
        for (topic, partitions) in target {
            for partition in partitions {
                match taken.contains(&(*topic, *partition)) {
                    true => waits = true,
                    false => drop(assigned.entry(*topic).or_default().insert(*partition)),
                }
            }
        }
        next.state = if waits { MemberState::Waiting } else { MemberState::Stable };
        next.assigned = assigned;
        next.revoking.clear();
        if next.epoch != self.target_epoch {
            next.previous_epoch = next.epoch;
            next.epoch = self.target_epoch;
        }
        next
    }

    /// What other members have, or have not said yet that they gave up.
    fn taken_by_others(&self, member_id: &str) -> HashSet<(Uuid, i32)> {
        let others = self.members.values().filter(|member| member.id != member_id);
        let parts = others.flat_map(|member| [&member.assigned, &member.revoking]).flatten();
        parts
            .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
            .collect()
    }
}

pub(super) fn intersects(some: &Parts, others: &Parts) -> bool {
    some.iter()
        .any(|(topic, partitions)| others.get(topic).is_some_and(|others| !partitions.is_disjoint(others)))
}

/// Whether all of the first is in the second.
pub(super) fn is_within(some: &Parts, others: &Parts) -> bool {
    some.iter().all(|(topic, partitions)| {
        partitions.is_empty() || others.get(topic).is_some_and(|others| partitions.is_subset(others))
    })
}

fn common(some: &Parts, others: &Parts) -> Parts {
    let mut common = Parts::new();
    for (topic, partitions) in some {
        let both = others.get(topic).into_iter().flat_map(|others| partitions.intersection(others));
        let both: std::collections::BTreeSet<i32> = both.copied().collect();
        if !both.is_empty() {
            common.insert(*topic, both);
        }
    }
    common
}

fn without(some: &Parts, others: &Parts) -> Parts {
    let mut left = some.clone();
    for (topic, partitions) in others {
        if let Some(found) = left.get_mut(topic) {
            found.retain(|partition| !partitions.contains(partition));
        }
    }
    left.retain(|_, partitions| !partitions.is_empty());
    left
}
