//! Groups whose partitions the coordinator assigns.

use std::collections::BTreeSet;

use super::super::consumer::Parts;
use super::super::request::{ConsumerDescription, ConsumerHeartbeat, ConsumerReply, GroupKind};
use super::*;

fn all_of(topics: &[(&str, &[i32])]) -> Parts {
    topics
        .iter()
        .filter(|(_, partitions)| !partitions.is_empty())
        .map(|(name, partitions)| {
            (FewTopics::id(name), partitions.iter().copied().collect::<BTreeSet<i32>>())
        })
        .collect()
}

fn lives(member_id: &str, epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: member_id.to_owned(),
        fresh_id: format!("{member_id}-fresh"),
        epoch,
        instance_id: None,
        rack_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: None,
        topics: None,
        pattern: None,
        assignor: None,
        owned: None,
    }
}

fn enters(member_id: &str, topics: &[&str]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        rebalance_timeout: Some(REBALANCE),
        topics: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        owned: Some(Parts::new()),
        ..lives(member_id, 0)
    }
}

/// A member as its client sees it: it does what it is told.
struct Client {
    id: String,
    epoch: i32,
    owned: Parts,
}

impl World {
    fn live(&mut self, heartbeat: ConsumerHeartbeat) -> Result<ConsumerReply, GroupError> {
        let waiter = self.ask(GroupRequest::ConsumerHeartbeat(heartbeat));
        match self.answer(waiter) {
            Ok(GroupReply::Assigned(reply)) => Ok(reply),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    }

    fn enter(&mut self, member_id: &str, topics: &[&str]) -> Client {
        let reply = self.live(enters(member_id, topics)).unwrap();
        let owned = reply.assignment.expect("who enters is told everything");
        Client { id: reply.member_id, epoch: reply.epoch, owned }
    }

    /// One heartbeat; what it is told it does, and says so in the next.
    fn beat(&mut self, client: &mut Client) {
        let heartbeat =
            ConsumerHeartbeat { owned: Some(client.owned.clone()), ..lives(&client.id, client.epoch) };
        let reply = self.live(heartbeat).unwrap();
        client.epoch = reply.epoch;
        if let Some(assignment) = reply.assignment {
            client.owned = assignment;
        }
    }

    fn beat_until_stable(&mut self, clients: &mut [Client]) {
        for _ in 0..10 {
            clients.iter_mut().for_each(|client| self.beat(client));
            self.check_owners(clients);
        }
        assert_eq!(self.consumers().state, GroupState::Stable);
    }

    /// No partition is with two members.
    fn check_owners(&self, clients: &[Client]) {
        let mut seen = BTreeSet::new();
        for client in clients {
            for (topic, partitions) in &client.owned {
                for partition in partitions {
                    assert!(seen.insert((*topic, *partition)), "{topic} {partition} is with two members");
                }
            }
        }
    }

    fn consumers(&mut self) -> ConsumerDescription {
        let waiter = self.ask(GroupRequest::DescribeConsumers);
        match self.answer(waiter) {
            Ok(GroupReply::DescribedConsumers(description)) => description,
            other => panic!("{other:?}"),
        }
    }
}

fn sizes(clients: &[Client]) -> Vec<usize> {
    let size = |client: &Client| client.owned.values().map(BTreeSet::len).sum();
    clients.iter().map(size).collect()
}

#[test]
fn a_member_alone_has_everything_at_once() {
    let mut world = World::new();
    let client = world.enter("a", &["t", "u", "unknown"]);
    assert_eq!(client.owned, all_of(&[("t", &[0, 1, 2, 3]), ("u", &[0, 1])]));
    assert_eq!((client.id.as_str(), client.epoch), ("a", 1));
    let reply = world.live(lives("a", 1)).unwrap();
    assert!(reply.assignment.is_none(), "nothing is new");
    let listed: Vec<_> = world.coordinator.list().collect();
    assert_eq!((listed[0].kind, listed[0].state), (GroupKind::Consumer, GroupState::Stable));
}

#[test]
fn a_partition_is_given_on_when_its_member_says_that_it_stopped() {
    let mut world = World::new();
    let mut first = world.enter("a", &["t"]);
    let mut second = world.enter("b", &["t"]);
    assert!(second.owned.is_empty(), "the first has all of it still");
    world.beat(&mut second);
    assert!(second.owned.is_empty());
    // The first is told to give up two, and the second must not have them before it says that it did.
    world.beat(&mut first);
    assert_eq!(first.owned.values().map(BTreeSet::len).sum::<usize>(), 2);
    world.beat(&mut second);
    assert!(second.owned.is_empty());
    world.beat(&mut first);
    world.beat(&mut second);
    let mut clients = [first, second];
    world.check_owners(&clients);
    assert_eq!(sizes(&clients), [2, 2]);
    world.beat_until_stable(&mut clients);
}

#[test]
fn members_come_and_go_and_no_partition_is_with_two() {
    let mut world = World::new();
    let mut clients = vec![world.enter("a", &["t", "u"])];
    for name in ["b", "c"] {
        clients.push(world.enter(name, &["t", "u"]));
        world.beat_until_stable(&mut clients);
    }
    assert_eq!(sizes(&clients), [2, 2, 2]);
    let gone = clients.remove(0);
    world.live(lives(&gone.id, -1)).unwrap();
    world.beat_until_stable(&mut clients);
    assert_eq!(sizes(&clients), [3, 3]);
    assert_eq!(world.live(lives(&gone.id, gone.epoch)).unwrap_err(), GroupError::UnknownMember);
}

#[test]
fn who_is_silent_is_out_and_who_keeps_what_it_was_to_give_up() {
    let mut world = World::new();
    let first = world.enter("a", &["t"]);
    let mut second = world.enter("b", &["t"]);
    // The first lives, but never says that it gave anything up.
    let mut passed = Duration::ZERO;
    let mut is_out = false;
    while passed < REBALANCE * 2 {
        world.pass(limits::CONSUMER_HEARTBEAT_INTERVAL);
        passed += limits::CONSUMER_HEARTBEAT_INTERVAL;
        is_out |= world.live(lives("a", first.epoch)).is_err();
        world.beat(&mut second);
    }
    assert!(is_out && second.owned == all_of(&[("t", &[0, 1, 2, 3])]));
    world.pass(limits::CONSUMER_SESSION_TIMEOUT);
    assert_eq!(world.consumers().state, GroupState::Empty);
}

#[test]
fn an_epoch_that_is_not_the_members_is_fenced_unless_its_answer_was_lost() {
    let mut world = World::new();
    world.enter("a", &["t"]);
    let mut second = world.enter("b", &["t"]);
    assert!(matches!(world.live(lives("b", second.epoch + 1)), Err(GroupError::FencedMemberEpoch { .. })));
    let epoch_before = second.epoch;
    world.live(lives("a", -1)).unwrap();
    let owned = second.owned.clone();
    world.beat(&mut second);
    assert!(second.epoch > epoch_before);
    // The same question again, as after a lost answer: it is told what it was told.
    let again = ConsumerHeartbeat { owned: Some(owned), ..lives("b", epoch_before) };
    let again =
        ConsumerHeartbeat { rebalance_timeout: Some(REBALANCE), topics: Some(vec!["t".to_owned()]), ..again };
    let reply = world.live(again).unwrap();
    assert_eq!((reply.epoch, reply.assignment), (second.epoch, Some(second.owned.clone())));
    assert!(matches!(world.live(lives("b", epoch_before)), Err(GroupError::FencedMemberEpoch { .. })));
}

#[test]
fn partitions_that_are_added_are_shared_out() {
    let mut world = World::new();
    let topics = FewTopics::new();
    world.coordinator = Coordinator::new(WAIT, GroupMemory::new(1 << 30), topics.clone(), world.moment());
    let mut client = world.enter("a", &["t"]);
    topics.set("t", 6);
    world.beat(&mut client);
    assert_eq!(client.owned, all_of(&[("t", &[0, 1, 2, 3, 4, 5])]));
    assert_eq!(client.epoch, 2);
}

#[test]
fn topics_by_a_pattern_are_matched_as_a_whole() {
    let mut world = World::new();
    let topics = FewTopics::new();
    topics.set("xt", 1);
    world.coordinator = Coordinator::new(WAIT, GroupMemory::new(1 << 30), topics.clone(), world.moment());
    let by_pattern = |text: &str| ConsumerHeartbeat { pattern: Some(text.to_owned()), ..enters("a", &[]) };
    let reply = world.live(by_pattern("t|u")).unwrap();
    assert_eq!(reply.assignment.unwrap().len(), 2);
    assert_eq!(world.live(by_pattern("(")).unwrap_err(), GroupError::InvalidPattern);
    assert_eq!(world.live(by_pattern("a)(b")).unwrap_err(), GroupError::InvalidPattern);
    let unknown = ConsumerHeartbeat { assignor: Some("best".to_owned()), ..enters("a", &["t"]) };
    assert_eq!(world.live(unknown).unwrap_err(), GroupError::UnsupportedAssignor);
}

#[test]
fn a_restarted_broker_knows_who_has_what() {
    let mut world = World::new();
    let mut clients = [world.enter("a", &["t"]), world.enter("b", &["t"])];
    // In the middle of it: the first has something to give up.
    world.beat(&mut clients[0]);
    let mut world = world.restarted();
    let before = clients[0].epoch;
    world.beat_until_stable(&mut clients);
    assert_eq!(sizes(&clients), [2, 2]);
    assert!(clients[0].epoch > before, "nobody had to join anew");
    // And so does one that reads the records of what lives.
    let epoch = clients[0].epoch;
    let mut world = World { log: world.coordinator.records().collect(), ..world }.restarted();
    assert!(world.live(lives("a", epoch)).unwrap().assignment.is_none());
    assert_eq!(world.consumers().state, GroupState::Stable);
}

#[test]
fn a_static_member_that_comes_back_has_what_it_had() {
    let mut world = World::new();
    let with =
        |heartbeat: ConsumerHeartbeat| ConsumerHeartbeat { instance_id: Some("i".to_owned()), ..heartbeat };
    let first = world.live(with(enters("a", &["t"]))).unwrap();
    let taken = world.live(with(enters("b", &["t"])));
    assert_eq!(taken.unwrap_err(), GroupError::UnreleasedInstance);
    world.live(with(lives("a", -2))).unwrap();
    let mut other = world.enter("c", &["t"]);
    let again = world.live(with(enters("b", &["t"]))).unwrap();
    let mut clients =
        [Client { id: "b".to_owned(), epoch: again.epoch, owned: again.assignment.unwrap() }, {
            world.beat(&mut other);
            other
        }];
    world.beat_until_stable(&mut clients);
    assert_eq!(sizes(&clients), [2, 2]);
    let had = first.assignment.unwrap();
    assert!(clients[0].owned.iter().all(|(topic, partitions)| partitions.is_subset(&had[topic])));
    assert_eq!(world.live(with(lives("a", 1))).unwrap_err(), GroupError::UnknownMember);
}

#[test]
fn members_commit_with_their_epoch() {
    let mut world = World::new();
    let client = world.enter("a", &["t"]);
    let offset = CommittedOffset {
        offset: 3,
        leader_epoch: -1,
        metadata: String::new(),
        committed_ms: world.wall_ms,
        expires_ms: None,
    };
    let commit = |epoch| {
        let at = TopicPartition { topic: "t".to_owned(), partition: 0 };
        GroupRequest::Commit(Commit { member: member("a", epoch), offsets: vec![(at, offset.clone())] })
    };
    let stale = world.ask(commit(client.epoch + 1));
    assert_eq!(world.refused(stale), GroupError::StaleMemberEpoch { found: client.epoch });
    let good = world.ask(commit(client.epoch));
    world.answer(good).unwrap();
    let asked = |member| GroupRequest::Committed(Committed { partitions: None, member });
    let stale = world.ask(asked(Some(("a".to_owned(), client.epoch + 1))));
    assert!(matches!(world.refused(stale), GroupError::StaleMemberEpoch { .. }));
    let good = world.ask(asked(Some(("a".to_owned(), client.epoch))));
    assert!(matches!(world.answer(good), Ok(GroupReply::Offsets(offsets)) if offsets.len() == 1));
}

#[test]
fn a_group_changes_its_kind_when_nobody_is_in_it() {
    let (mut world, ids, generation) = World::stable(&["a"]);
    assert_eq!(world.live(enters("x", &["t"])).unwrap_err(), GroupError::NotAConsumerGroup);
    let leaving = Leaving { member_id: ids[0].clone(), instance_id: None };
    let left = world.ask(GroupRequest::Leave(vec![leaving]));
    world.answer(left).unwrap();
    let client = world.enter("x", &["t"]);
    assert_eq!(client.owned.len(), 1);
    assert_eq!(world.heartbeat(&ids[0], generation), Err(GroupError::UnknownMember));
    let joins = world.ask(new_member("b"));
    assert_eq!(world.refused(joins), GroupError::InconsistentProtocol);
    let mut again = world.restarted();
    assert_eq!(again.consumers().members.len(), 1);
    world.live(lives("x", -1)).unwrap();
    let joins = world.ask(new_member("b"));
    world.pass(WAIT);
    world.joined(joins);
    assert_eq!(world.state(), GroupState::CompletingRebalance);
    assert!(world.restarted().coordinator.list().all(|group| group.kind == GroupKind::Classic));
}

#[test]
fn a_group_that_is_deleted_leaves_nothing_on_the_log() {
    let mut world = World::new();
    world.enter("a", &["t"]);
    let refused = world.ask(GroupRequest::Delete);
    assert_eq!(world.refused(refused), GroupError::GroupNotEmpty);
    world.live(lives("a", -1)).unwrap();
    let deleted = world.ask(GroupRequest::Delete);
    world.answer(deleted).unwrap();
    assert_eq!(world.coordinator.list().count(), 0);
    assert_eq!(world.restarted().coordinator.list().count(), 0);
}
