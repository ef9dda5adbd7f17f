//! What is committed, kept, and forgotten.

use super::*;

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.to_owned(), partition }
}

fn offset(offset: i64, committed_ms: i64) -> CommittedOffset {
    CommittedOffset { offset, leader_epoch: 1, metadata: String::new(), committed_ms, expires_ms: None }
}

impl World {
    fn commit_as(&mut self, member: MemberName, topic: &str, number: i64) -> Waiter {
        let offsets = vec![(at(topic, 0), offset(number, self.wall_ms))];
        self.ask_unwritten(GroupRequest::Commit(Commit { member, offsets }))
    }

    /// From outside.
    fn commit(&mut self, topic: &str, number: i64) {
        let waiter = self.commit_as(member("", -1), topic, number);
        self.flush();
        assert!(matches!(self.answer(waiter), Ok(GroupReply::Kept(kept)) if kept == [Ok(())]));
    }

    fn committed(&mut self, topic: &str) -> Option<i64> {
        let waiter = self
            .ask(GroupRequest::Committed(Committed { partitions: Some(vec![at(topic, 0)]), member: None }));
        match self.answer(waiter) {
            Ok(GroupReply::Offsets(offsets)) => offsets[0].1.as_ref().map(|offset| offset.offset),
            other => panic!("{other:?}"),
        }
    }

    fn exists(&mut self) -> bool {
        let waiter = self.ask(GroupRequest::Describe);
        self.answer(waiter).is_ok()
    }
}

#[test]
fn an_offset_is_seen_when_it_is_durable_and_after_a_restart() {
    let mut world = World::new();
    assert_eq!(world.committed("t"), None);
    let waiter = world.commit_as(member("", -1), "t", 5);
    assert!(world.take(waiter).is_none());
    let asked = world.ask_unwritten(GroupRequest::Committed(Committed { partitions: None, member: None }));
    assert!(matches!(world.answer(asked), Ok(GroupReply::Offsets(offsets)) if offsets.is_empty()));
    world.flush();
    world.answer(waiter).unwrap();
    assert_eq!(world.committed("t"), Some(5));
    world.commit("t", 7);
    assert_eq!(world.restarted().committed("t"), Some(7));
}

#[test]
fn an_offset_that_cannot_be_kept_is_refused_and_not_seen() {
    let mut world = World::new();
    world.commit("t", 5);
    let waiter = world.commit_as(member("", -1), "t", 6);
    world.fail();
    assert!(matches!(world.refused(waiter), GroupError::Storage(_)));
    assert_eq!(world.committed("t"), Some(5));
}

#[test]
fn members_commit_in_their_generation_and_nobody_else_does() {
    let (mut world, ids, generation) = World::stable(&["a"]);
    let outside = world.commit_as(member("", -1), "t", 1);
    assert_eq!(world.refused(outside), GroupError::UnknownMember);
    let stranger = world.commit_as(member("x", generation), "t", 1);
    assert_eq!(world.refused(stranger), GroupError::UnknownMember);
    let old = world.commit_as(member(&ids[0], generation - 1), "t", 1);
    assert_eq!(world.refused(old), GroupError::IllegalGeneration { found: generation });
    let good = world.commit_as(member(&ids[0], generation), "t", 1);
    world.flush();
    world.answer(good).unwrap();
    // While the others join it may still commit what it has read; once it has joined it has to know its part first.
    let late = world.ask(new_member("b"));
    let good = world.commit_as(member(&ids[0], generation), "t", 2);
    world.flush();
    world.answer(good).unwrap();
    let again = world.ask(old_member(&ids[0]));
    world.joined(late);
    world.joined(again);
    let early = world.commit_as(member(&ids[0], generation + 1), "t", 3);
    assert_eq!(world.refused(early), GroupError::RebalanceInProgress);
    assert_eq!(world.committed("t"), Some(2));
    let mut empty = World::new();
    let unknown = empty.commit_as(member("x", 3), "t", 1);
    assert_eq!(empty.refused(unknown), GroupError::GroupNotFound);
}

#[test]
fn a_long_text_is_refused_beside_others_that_are_kept() {
    let mut world = World::new();
    let long = CommittedOffset {
        metadata: "x".repeat(limits::OFFSET_METADATA_BYTES_MAX + 1),
        ..offset(1, world.wall_ms)
    };
    let offsets = vec![(at("t", 0), long), (at("t", 1), offset(2, world.wall_ms))];
    let waiter = world.ask(GroupRequest::Commit(Commit { member: member("", -1), offsets }));
    let Ok(GroupReply::Kept(kept)) = world.answer(waiter) else { panic!() };
    assert!(matches!(kept[0], Err(GroupError::OffsetMetadataTooLarge { .. })) && kept[1].is_ok());
    let waiter = world.ask(GroupRequest::Committed(Committed { partitions: None, member: None }));
    let Ok(GroupReply::Offsets(offsets)) = world.answer(waiter) else { panic!() };
    assert_eq!(offsets.len(), 1);
}

#[test]
fn a_group_with_members_is_not_deleted_and_one_without_is_with_all_it_had() {
    let (mut world, ids, generation) = World::stable(&["a"]);
    let good = world.commit_as(member(&ids[0], generation), "t", 1);
    world.flush();
    world.answer(good).unwrap();
    let refused = world.ask(GroupRequest::Delete);
    assert_eq!(world.refused(refused), GroupError::GroupNotEmpty);
    world.pass(SESSION * 2);
    let deleted = world.ask(GroupRequest::Delete);
    world.answer(deleted).unwrap();
    assert!(!world.exists() && world.committed("t").is_none());
    let mut again = world.restarted();
    assert!(!again.exists() && again.committed("t").is_none());
    let refused = world.ask(GroupRequest::Delete);
    assert_eq!(world.refused(refused), GroupError::GroupNotFound);
}

#[test]
fn a_member_that_comes_while_its_group_is_deleted_stays() {
    let mut world = World::new();
    world.commit("t", 1);
    let deleted = world.ask_unwritten(GroupRequest::Delete);
    let joins = world.ask_unwritten(new_member("a"));
    world.flush();
    world.answer(deleted).unwrap();
    world.pass(WAIT);
    assert_eq!(world.joined(joins).generation, 1);
    assert_eq!(world.committed("t"), None);
}

#[test]
fn what_a_member_reads_is_not_forgotten_under_its_hands() {
    let (mut world, ids, generation) = World::stable(&["a"]);
    for topic in ["t", "other"] {
        let good = world.commit_as(member(&ids[0], generation), topic, 1);
        world.flush();
        world.answer(good).unwrap();
    }
    let forget = world.ask(GroupRequest::Forget(vec![at("t", 0), at("other", 0)]));
    let Ok(GroupReply::Kept(kept)) = world.answer(forget) else { panic!() };
    assert_eq!(kept, [Err(GroupError::GroupSubscribed), Ok(())]);
    assert_eq!((world.committed("t"), world.committed("other")), (Some(1), None));
    assert_eq!(world.restarted().committed("other"), None);
}

#[test]
fn offsets_that_nobody_uses_go_after_their_time_and_the_group_with_them() {
    let mut world = World::new();
    world.commit("t", 1);
    world.pass(limits::OFFSETS_RETENTION / 2);
    world.commit("young", 1);
    world.pass(limits::OFFSETS_RETENTION / 2 + limits::OFFSETS_LOOKED_OVER_EVERY);
    assert_eq!((world.committed("t"), world.committed("young")), (None, Some(1)));
    world.pass(limits::OFFSETS_RETENTION);
    assert!(!world.exists());
    assert!(!world.restarted().exists());
}

#[test]
fn a_group_that_reads_keeps_its_offsets_and_loses_those_of_topics_it_has_left() {
    let (mut world, ids, generation) = World::stable(&["a"]);
    for topic in ["t", "left"] {
        let good = world.commit_as(member(&ids[0], generation), topic, 1);
        world.flush();
        world.answer(good).unwrap();
    }
    let mut passed = Duration::ZERO;
    while passed < limits::OFFSETS_RETENTION + limits::OFFSETS_LOOKED_OVER_EVERY {
        world.pass(SESSION / 2);
        passed += SESSION / 2;
        world.heartbeat(&ids[0], generation).unwrap();
    }
    assert_eq!((world.committed("t"), world.committed("left")), (Some(1), None));
    // From when its last member has gone it has the whole time.
    world.pass(limits::OFFSETS_RETENTION / 2);
    assert_eq!(world.committed("t"), Some(1));
    world.pass(limits::OFFSETS_RETENTION);
    assert!(!world.exists());
}

#[test]
fn a_topic_that_is_deleted_takes_its_offsets_along() {
    let mut world = World::new();
    world.commit("t", 1);
    world.commit("u", 2);
    world.act(|coordinator, _, out| coordinator.forget_topic("t", out));
    world.flush();
    assert_eq!((world.committed("t"), world.committed("u")), (None, Some(2)));
}

#[test]
fn the_records_of_what_lives_are_enough() {
    let (mut world, ids, generation) = World::stable(&["a", "b"]);
    let good = world.commit_as(member(&ids[0], generation), "t", 9);
    world.flush();
    world.answer(good).unwrap();
    let mut world = World { log: world.coordinator.records().collect(), ..world }.restarted();
    assert_eq!(world.committed("t"), Some(9));
    assert_eq!(world.heartbeat(&ids[1], generation), Ok(()));
}
