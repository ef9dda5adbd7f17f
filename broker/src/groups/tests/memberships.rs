//! Members that come, stay and go.

use super::*;

#[test]
fn members_that_come_together_share_one_generation() {
    let mut world = World::new();
    let first = world.ask(new_member("a"));
    world.pass(WAIT / 2);
    let second = world.ask(new_member("b"));
    world.pass(WAIT * 3 / 4);
    assert!(world.take(first).is_none(), "another one came: the wait begins anew");
    world.pass(WAIT);
    let (first, second) = (world.joined(first), world.joined(second));
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!((first.leader.as_str(), first.members.len()), ("a-1", 2));
    assert_eq!(
        (second.leader.as_str(), second.members.len()),
        ("a-1", 0),
        "the leader alone is told of the others"
    );
    assert_eq!(world.state(), GroupState::CompletingRebalance);
    world.sync_all(&[first.member_id, second.member_id], "a-1", 1);
}

#[test]
fn a_new_member_is_told_its_id_first_where_it_understands() {
    let mut world = World::new();
    let asked = world.ask(GroupRequest::Join(Join { knows_id_first: true, ..join("a") }));
    let GroupError::MemberIdRequired { member_id } = world.refused(asked) else { panic!() };
    let again = world.ask(old_member(&member_id));
    world.pass(WAIT);
    assert_eq!(world.joined(again).member_id, member_id);
    let invented = world.ask(old_member("nobody-gave-me-this"));
    assert_eq!(world.refused(invented), GroupError::UnknownMember);
}

#[test]
fn an_id_that_is_not_used_holds_the_others_up_no_longer_than_a_session() {
    let (mut world, ids, generation) = World::stable(&["a"]);
    let promised = world.ask(GroupRequest::Join(Join { knows_id_first: true, ..join("b") }));
    assert!(matches!(world.refused(promised), GroupError::MemberIdRequired { .. }));
    assert_eq!(world.heartbeat(&ids[0], generation), Ok(()), "nobody has joined yet");
    let waits = world.ask(old_member(&ids[0]));
    assert!(world.take(waits).is_none());
    world.pass(SESSION);
    assert_eq!(world.joined(waits).generation, generation + 1);
}

#[test]
fn a_member_that_comes_later_makes_the_others_join_again() {
    let (mut world, ids, generation) = World::stable(&["a"]);
    let late = world.ask(new_member("b"));
    assert_eq!(world.heartbeat(&ids[0], generation), Err(GroupError::RebalanceInProgress));
    let again = world.ask(old_member(&ids[0]));
    let (late, again) = (world.joined(late), world.joined(again));
    assert_eq!((late.generation, again.generation), (generation + 1, generation + 1));
    world.sync_all(&[again.member_id, late.member_id], &again.leader, generation + 1);
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::IllegalGeneration { found: generation + 1 })
    );
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let (mut world, ids, _) = World::stable(&["a", "b"]);
    let late = world.ask(new_member("c"));
    let again = world.ask(old_member(&ids[0]));
    // The other one lives, but does not come.
    for _ in 0..(REBALANCE.as_secs() / 5) {
        assert!(world.take(again).is_none());
        let _ = world.heartbeat(&ids[1], 1);
        world.pass(Duration::from_secs(5));
    }
    assert_eq!(world.joined(again).members.len(), 2);
    world.joined(late);
    assert_eq!(world.heartbeat(&ids[1], 2), Err(GroupError::UnknownMember));
}

#[test]
fn who_is_silent_for_a_session_is_out_and_the_others_are_told() {
    let (mut world, ids, generation) = World::stable(&["a", "b"]);
    for _ in 0..4 {
        world.pass(SESSION / 3);
        let _ = world.heartbeat(&ids[0], generation);
    }
    assert_eq!(world.heartbeat(&ids[0], generation), Err(GroupError::RebalanceInProgress));
    let again = world.ask(old_member(&ids[0]));
    assert_eq!(world.joined(again).members.len(), 1);
}

#[test]
fn who_leaves_is_out_at_once_and_a_group_without_members_is_empty() {
    let (mut world, ids, generation) = World::stable(&["a", "b"]);
    let leave = |member_id: &str| {
        GroupRequest::Leave(vec![Leaving { member_id: member_id.to_owned(), instance_id: None }])
    };
    let left = world.ask(leave(&ids[1]));
    assert!(matches!(world.answer(left), Ok(GroupReply::Left(left)) if left == [Ok(())]));
    assert_eq!(world.heartbeat(&ids[0], generation), Err(GroupError::RebalanceInProgress));
    let left = world.ask(leave(&ids[0]));
    world.answer(left).unwrap();
    assert_eq!(world.state(), GroupState::Empty);
    let again = world.ask(leave(&ids[0]));
    assert!(
        matches!(world.answer(again), Ok(GroupReply::Left(left)) if left == [Err(GroupError::UnknownMember)])
    );
    // A restarted broker knows it as empty, too.
    let mut world = world.restarted();
    assert_eq!(world.state(), GroupState::Empty);
    assert!(world.describe().members.is_empty());
}

#[test]
fn a_leader_that_dies_before_it_assigns_is_replaced() {
    let mut world = World::new();
    let (first, second) = (world.ask(new_member("a")), world.ask(new_member("b")));
    world.pass(WAIT * 2);
    let (first, second) = (world.joined(first), world.joined(second));
    assert_eq!(first.leader, first.member_id);
    let waits = world.sync(&second.member_id, 1, &[]);
    world.pass(SESSION);
    assert_eq!(world.refused(waits), GroupError::RebalanceInProgress);
    let again = world.ask(old_member(&second.member_id));
    let again = world.joined(again);
    assert_eq!((again.generation, again.leader), (2, second.member_id));
}

#[test]
fn a_member_that_never_asks_for_its_part_is_out() {
    let mut world = World::new();
    let (first, second) = (world.ask(new_member("a")), world.ask(new_member("b")));
    world.pass(WAIT * 2);
    let (first, second) = (world.joined(first), world.joined(second));
    let leads = world.sync(&first.member_id, 1, &[(&first.member_id, "all")]);
    assert_eq!(world.assignment(leads), "all");
    for _ in 0..(REBALANCE.as_secs() / 5 + 1) {
        world.pass(Duration::from_secs(5));
        let _ = world.heartbeat(&first.member_id, 1);
        let _ = world.heartbeat(&second.member_id, 1);
    }
    assert_eq!(world.heartbeat(&second.member_id, 1), Err(GroupError::UnknownMember));
    assert_eq!(world.heartbeat(&first.member_id, 1), Err(GroupError::RebalanceInProgress));
}

#[test]
fn an_assignment_is_told_when_it_is_durable_and_not_before() {
    let mut world = World::new();
    let (first, second) = (world.ask(new_member("a")), world.ask(new_member("b")));
    world.pass(WAIT * 2);
    let (first, second) = (world.joined(first), world.joined(second));
    let follows = world.sync(&second.member_id, 1, &[]);
    let parts = vec![(second.member_id.clone(), Bytes::from_static(b"part"))];
    let leads = world.ask_unwritten(GroupRequest::Sync(Sync {
        member: member(&first.member_id, 1),
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        assignments: parts,
    }));
    assert!(world.take(leads).is_none() && world.take(follows).is_none());
    world.flush();
    assert_eq!(
        (world.assignment(leads), world.assignment(follows)),
        (Bytes::new(), Bytes::from_static(b"part"))
    );
}

#[test]
fn an_assignment_that_cannot_be_kept_makes_everybody_join_again() {
    let mut world = World::new();
    let only = world.ask(new_member("a"));
    world.pass(WAIT);
    let only = world.joined(only);
    let leads = world.ask_unwritten(GroupRequest::Sync(Sync {
        member: member(&only.member_id, 1),
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    }));
    world.fail();
    assert!(matches!(world.refused(leads), GroupError::Storage(_)));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let again = world.ask(old_member(&only.member_id));
    assert_eq!(world.joined(again).generation, 2);
}

#[test]
fn what_another_generation_assigned_is_not_told_to_this_one() {
    let (mut world, ids, generation) = World::stable(&["a"]);
    let again = world.ask(old_member(&ids[0]));
    world.joined(again);
    let leads = world.ask_unwritten(GroupRequest::Sync(Sync {
        member: member(&ids[0], generation + 1),
        protocol_type: None,
        protocol: None,
        assignments: vec![(ids[0].clone(), Bytes::from_static(b"old"))],
    }));
    // Before it is durable somebody comes.
    let late = world.ask_unwritten(new_member("b"));
    assert_eq!(world.refused(leads), GroupError::RebalanceInProgress);
    world.flush();
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let again = world.ask(old_member(&ids[0]));
    let (again, late) = (world.joined(again), world.joined(late));
    world.sync_all(&[again.member_id, late.member_id], &again.leader, generation + 2);
}

#[test]
fn a_restarted_broker_knows_the_members_of_the_last_assignment() {
    let (world, ids, generation) = World::stable(&["a", "b"]);
    let mut world = world.restarted();
    assert_eq!(world.state(), GroupState::Stable);
    assert_eq!(world.heartbeat(&ids[0], generation), Ok(()));
    let synced = world.sync(&ids[1], generation, &[]);
    assert_eq!(world.assignment(synced), ids[1]);
    // Whoever does not come back is out after its session.
    for _ in 0..4 {
        world.pass(SESSION / 3);
        let _ = world.heartbeat(&ids[0], generation);
    }
    assert_eq!(world.heartbeat(&ids[1], generation), Err(GroupError::UnknownMember));
}

#[test]
fn what_lives_is_written_without_a_generation_that_has_no_assignment() {
    let (mut world, ids, generation) = World::stable(&["a", "b"]);
    let late = world.ask(new_member("c"));
    for id in &ids {
        world.ask(old_member(id));
    }
    world.joined(late);
    assert_eq!(world.state(), GroupState::CompletingRebalance);
    let mut world = World { log: world.coordinator.records().collect(), ..world }.restarted();
    // The members are those of the last assignment; who has gone on joins anew, and nobody is left without a part.
    assert_eq!(world.heartbeat(&ids[0], generation), Ok(()));
    let refused = world.heartbeat(&ids[0], generation + 1);
    assert_eq!(refused, Err(GroupError::IllegalGeneration { found: generation }));
    let synced = world.sync(&ids[1], generation, &[]);
    assert_eq!(world.assignment(synced), ids[1]);
}

fn static_member(name: &str) -> Join {
    Join { instance_id: Some(name.to_owned()), ..join(name) }
}

#[test]
fn a_static_member_that_starts_again_has_its_part_without_a_rebalance() {
    let mut world = World::new();
    let waiters: Vec<Waiter> =
        ["a", "b"].map(|name| world.ask(GroupRequest::Join(static_member(name)))).to_vec();
    world.pass(WAIT * 2);
    let joined: Vec<Joined> = waiters.into_iter().map(|waiter| world.joined(waiter)).collect();
    let ids: Vec<String> = joined.iter().map(|joined| joined.member_id.clone()).collect();
    world.sync_all(&ids, &joined[0].leader, 1);
    let again = world.ask(GroupRequest::Join(Join { fresh_id: "b-2".to_owned(), ..static_member("b") }));
    let again = world.joined(again);
    assert_eq!((again.member_id.as_str(), again.generation, again.leader), ("b-2", 1, ids[0].clone()));
    let synced = world.sync("b-2", 1, &[]);
    assert_eq!(world.assignment(synced), ids[1]);
    // The one that it replaced is fenced off.
    let old = MemberName { instance_id: Some("b".to_owned()), ..member(&ids[1], 1) };
    let old = world.ask(GroupRequest::Heartbeat(old));
    assert_eq!(world.refused(old), GroupError::FencedInstance);
    // A leader that starts again is told to leave the assignment as it is.
    let again = world.ask(GroupRequest::Join(Join { fresh_id: "a-2".to_owned(), ..static_member("a") }));
    let again = world.joined(again);
    assert!(again.skip_assignment && again.leader == "a-2" && again.members.len() == 2);
    // Where it would not understand, it is not told that it leads.
    let old = Join { fresh_id: "a-3".to_owned(), knows_skipping: false, ..static_member("a") };
    let again = world.ask(GroupRequest::Join(old));
    let again = world.joined(again);
    assert!(!again.skip_assignment && again.leader == "a-2" && again.members.is_empty());
    let mut world = world.restarted();
    assert_eq!(world.heartbeat("a-3", 1), Ok(()));
}

#[test]
fn a_static_member_is_sent_away_by_its_instance() {
    let mut world = World::new();
    let joined = world.ask(GroupRequest::Join(static_member("a")));
    world.pass(WAIT);
    let joined = world.joined(joined);
    world.sync_all(std::slice::from_ref(&joined.member_id), &joined.leader, 1);
    let leaving = Leaving { member_id: String::new(), instance_id: Some("a".to_owned()) };
    let left = world.ask(GroupRequest::Leave(vec![leaving]));
    assert!(matches!(world.answer(left), Ok(GroupReply::Left(left)) if left == [Ok(())]));
    assert_eq!(world.state(), GroupState::Empty);
}

#[test]
fn static_members_alone_keep_their_group_until_their_sessions_end() {
    let mut world = World::new();
    let joined = world.ask(GroupRequest::Join(static_member("a")));
    world.pass(WAIT);
    let joined = world.joined(joined);
    world.sync_all(std::slice::from_ref(&joined.member_id), &joined.leader, 1);
    world.pass(SESSION / 2);
    assert_eq!(world.state(), GroupState::Stable);
    world.pass(SESSION);
    assert_eq!(world.state(), GroupState::Empty);
}

/// The coordinator looked at such a group again and again, and at nothing else.
#[test]
fn a_static_member_that_gives_a_rebalance_no_time_does_not_stop_the_others() {
    let mut world = World::new();
    let hasty = |join: Join| GroupRequest::Join(Join { rebalance_timeout: Duration::ZERO, ..join });
    let joined = world.ask(hasty(static_member("a")));
    world.pass(WAIT);
    let joined = world.joined(joined);
    let synced = world.sync(&joined.member_id, 1, &[(&joined.member_id, "all")]);
    world.answer(synced).unwrap();
    let other = world.ask(hasty(static_member("b")));
    let leaving = Leaving { member_id: String::new(), instance_id: Some("b".to_owned()) };
    let left = world.ask(GroupRequest::Leave(vec![leaving]));
    world.answer(left).unwrap();
    assert_eq!(world.refused(other), GroupError::UnknownMember);
    world.pass(SESSION * 3);
    assert_eq!(world.state(), GroupState::Empty);
}

#[test]
fn members_that_cannot_understand_each_other_do_not_meet() {
    let (mut world, _, _) = World::stable(&["a"]);
    let other = Join { protocols: vec![("sticky".to_owned(), Bytes::new())], ..join("b") };
    let other = world.ask(GroupRequest::Join(other));
    assert_eq!(world.refused(other), GroupError::InconsistentProtocol);
    let connect = world.ask(GroupRequest::Join(Join { protocol_type: "connect".to_owned(), ..join("c") }));
    assert_eq!(world.refused(connect), GroupError::InconsistentProtocol);
    let nothing = world.ask(GroupRequest::Join(Join { protocols: Vec::new(), ..join("d") }));
    assert_eq!(world.refused(nothing), GroupError::InconsistentProtocol);
}

#[test]
fn the_protocol_is_the_favourite_of_most_that_all_know() {
    let mut world = World::new();
    let with = |name: &str, protocols: &[&str]| {
        let protocols = protocols.iter().map(|name| ((*name).to_owned(), Bytes::new())).collect();
        GroupRequest::Join(Join { protocols, ..join(name) })
    };
    let waiters = [
        world.ask(with("a", &["sticky", "range", "roundrobin"])),
        world.ask(with("b", &["roundrobin", "range"])),
        world.ask(with("c", &["range", "roundrobin"])),
        world.ask(with("d", &["sticky", "roundrobin", "range"])),
    ];
    world.pass(WAIT * 4);
    for waiter in waiters {
        assert_eq!(
            world.joined(waiter).protocol,
            "range",
            "sticky is not known to all; two each like the others best"
        );
    }
}

#[test]
fn sessions_are_bounded() {
    let mut world = World::new();
    for session_timeout in [limits::SESSION_TIMEOUT_MIN / 2, limits::SESSION_TIMEOUT_MAX * 2] {
        let asked = world.ask(GroupRequest::Join(Join { session_timeout, ..join("a") }));
        assert!(matches!(world.refused(asked), GroupError::InvalidSessionTimeout { .. }));
    }
    let asked = world.ask(GroupRequest::Describe);
    assert_eq!(world.refused(asked), GroupError::GroupNotFound, "nothing is left of who was refused");
}

#[test]
fn members_take_memory_which_has_a_limit() {
    let memory = GroupMemory::new(4_096);
    let mut world = World::new();
    world.coordinator = Coordinator::new(WAIT, memory.clone(), FewTopics::new(), world.moment());
    let mut refused = 0;
    for number in 0..10 {
        let waiter = world.ask(new_member(&format!("m{number}")));
        refused += usize::from(matches!(world.take(waiter), Some(Err(GroupError::NoMemory))));
    }
    assert!((1..9).contains(&refused), "{refused}");
    assert!(memory.used() >= 4_096);
    drop(world);
    assert_eq!(memory.used(), 0, "what is gone is not counted");
}
