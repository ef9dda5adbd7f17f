//! Groups as those outside see them: what they have committed, and how it is forgotten.

use super::action::{Actions, Then, Waiter};
use super::error::GroupError;
use super::group::{Group, Membership};
use super::offsets::Offsets;
use super::record::GroupRecord;
use super::request::{Committed, CommittedOffset, GroupReply, TopicPartition};
use crate::limits;

/// What a group has committed; who says which member it is hears whether that is right.
pub(super) fn committed(
    group: Option<&Group>,
    asked: Committed,
) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, GroupError> {
    if let (Some((member_id, epoch)), Some(Group { membership: Membership::Consumer(consumer), .. })) =
        (&asked.member, group)
    {
        consumer.check_epoch(member_id, *epoch)?;
    }
    let nothing = Offsets::default();
    let offsets = group.map_or(&nothing, |group| &group.offsets);
    Ok(match asked.partitions {
        None => offsets.iter().map(|(at, offset)| (at, Some(offset.clone()))).collect(),
        Some(asked) => asked.into_iter().map(|at| (at.clone(), offsets.get(&at).cloned())).collect(),
    })
}

/// Records that make offsets forgotten.
pub(super) fn forgotten(group: &str, partitions: Vec<TopicPartition>) -> Vec<GroupRecord> {
    let record = |at| GroupRecord::Offset { group: group.to_owned(), at, offset: None };
    partitions.into_iter().map(record).collect()
}

/// Batches of bounded size; what follows, follows the last.
pub(super) fn write_in_pieces(mut records: Vec<GroupRecord>, then: Then, out: &mut Actions) {
    while records.len() > limits::GROUP_RECORDS_PER_BATCH_MAX {
        let rest = records.split_off(limits::GROUP_RECORDS_PER_BATCH_MAX);
        out.write(std::mem::replace(&mut records, rest), Then::Nothing);
    }
    if !records.is_empty() {
        out.write(records, then);
    }
}

/// Forgets offsets. What a member reads is not forgotten under its hands.
pub(super) fn forget(group: &Group, asked: Vec<TopicPartition>, to: Waiter, out: &mut Actions) {
    let Some(subscribed) = group.subscribed_topics() else {
        return out.refuse(to, GroupError::GroupNotEmpty);
    };
    let outcome = |at: &TopicPartition| match subscribed.contains(&at.topic) {
        true => Err(GroupError::GroupSubscribed),
        false => Ok(()),
    };
    let reply = GroupReply::Kept(asked.iter().map(outcome).collect());
    let known = asked
        .into_iter()
        .filter(|at| !subscribed.contains(&at.topic) && group.offsets.get(at).is_some())
        .collect();
    match forgotten(group.id(), known) {
        records if records.is_empty() => out.answer(to, reply),
        records => write_in_pieces(records, Then::Answer { to, reply }, out),
    }
}

/// Removes a group that nobody is in, and what it has committed.
pub(super) fn delete(group: &Group, to: Waiter, out: &mut Actions) {
    if !group.is_empty() {
        return out.refuse(to, GroupError::GroupNotEmpty);
    }
    let mut records = forgotten(group.id(), group.offsets.iter().map(|(at, _)| at).collect());
    records.extend(group.tombstones());
    write_in_pieces(records, Then::Answer { to, reply: GroupReply::Deleted }, out);
}
