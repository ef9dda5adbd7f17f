//! The coordinator, without a log and without a clock: each test plays both.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use runtime::clock::Instant;
use uuid::Uuid;
use wire::kafka::{ConsumerMessage, ConsumerSubscription};

use super::action::{Actions, Moment, Waiter, Write};
use super::consumer::Topics;
use super::coordinator::{Coordinator, GroupMemory};
use super::error::GroupError;
use super::record::GroupRecord;
use super::request::{
    Answer, Commit, Committed, CommittedOffset, Description, GroupReply, GroupRequest, GroupState, Join,
    Joined, Leaving, MemberName, Sync, TopicPartition,
};
use crate::limits;

mod consumers;
mod memberships;
mod offsets;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(3);

/// Topics, which change when a test says so.
#[derive(Default)]
struct FewTopics {
    revision: Cell<u64>,
    topics: RefCell<BTreeMap<String, (Uuid, i32)>>,
}

impl FewTopics {
    /// `t` with four partitions, `u` with two.
    fn new() -> Rc<Self> {
        let topics = Rc::new(Self::default());
        topics.set("t", 4);
        topics.set("u", 2);
        topics
    }

    fn id(name: &str) -> Uuid {
        Uuid::from_u128(u128::from(name.as_bytes()[0]))
    }

    fn set(&self, name: &str, partitions: i32) {
        self.topics.borrow_mut().insert(name.to_owned(), (Self::id(name), partitions));
        self.revision.set(self.revision.get() + 1);
    }
}

impl Topics for FewTopics {
    fn revision(&self) -> u64 {
        self.revision.get()
    }

    fn find(&self, name: &str) -> Option<(Uuid, i32)> {
        self.topics.borrow().get(name).copied()
    }

    fn names(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
        self.topics.borrow().keys().filter(|name| wanted(name)).cloned().collect()
    }
}

/// One partition of the offsets topic, its log and its clock.
struct World {
    coordinator: Coordinator,
    now: Instant,
    wall_ms: i64,
    next: u64,
    answers: Vec<(Waiter, Answer)>,
    /// Asked for and not durable yet.
    writes: Vec<Write>,
    /// Durable.
    log: Vec<GroupRecord>,
}

impl World {
    fn new() -> Self {
        Self::at(Instant::from_nanos(1 << 40), 1_700_000_000_000)
    }

    fn at(now: Instant, wall_ms: i64) -> Self {
        let memory = GroupMemory::new(1 << 30);
        Self {
            coordinator: Coordinator::new(WAIT, memory, FewTopics::new(), Moment { now, wall_ms }),
            now,
            wall_ms,
            next: 0,
            answers: Vec::new(),
            writes: Vec::new(),
            log: Vec::new(),
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, wall_ms: self.wall_ms }
    }

    fn act(&mut self, event: impl FnOnce(&mut Coordinator, Moment, &mut Actions)) {
        let (at, mut out) = (self.moment(), Actions::default());
        event(&mut self.coordinator, at, &mut out);
        self.answers.extend(out.answers);
        self.writes.extend(out.writes);
    }

    /// Asks without making anything durable.
    fn ask_unwritten(&mut self, request: GroupRequest) -> Waiter {
        let waiter = Waiter(self.next);
        self.next += 1;
        self.act(|coordinator, at, out| coordinator.handle("group", request, waiter, at, out));
        waiter
    }

    fn ask(&mut self, request: GroupRequest) -> Waiter {
        let waiter = self.ask_unwritten(request);
        self.flush();
        waiter
    }

    /// Everything that waits for the log becomes durable.
    fn flush(&mut self) {
        while !self.writes.is_empty() {
            let write = self.writes.remove(0);
            self.log.extend(write.records.clone());
            self.act(|coordinator, at, out| coordinator.written(write, Ok(()), at, out));
        }
    }

    /// The oldest write fails.
    fn fail(&mut self) {
        let write = self.writes.remove(0);
        let error = GroupError::Storage(storage::AppendError::DiskFull);
        self.act(|coordinator, at, out| coordinator.written(write, Err(error), at, out));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        // As the partition's task does: at each deadline.
        while self.coordinator.deadline() <= until {
            let at = self.coordinator.deadline().max(self.now);
            self.wall_ms += at.since(self.now).as_millis() as i64;
            self.now = at;
            self.act(|coordinator, at, out| coordinator.expire(at, out));
            self.flush();
        }
        self.wall_ms += until.since(self.now).as_millis() as i64;
        self.now = until;
    }

    fn take(&mut self, waiter: Waiter) -> Option<Answer> {
        let at = self.answers.iter().position(|(to, _)| *to == waiter)?;
        Some(self.answers.remove(at).1)
    }

    fn answer(&mut self, waiter: Waiter) -> Answer {
        self.take(waiter).expect("it waits still")
    }

    fn refused(&mut self, waiter: Waiter) -> GroupError {
        self.answer(waiter).expect_err("it was served")
    }

    fn joined(&mut self, waiter: Waiter) -> Joined {
        match self.answer(waiter) {
            Ok(GroupReply::Joined(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }

    fn assignment(&mut self, waiter: Waiter) -> Bytes {
        match self.answer(waiter) {
            Ok(GroupReply::Synced(synced)) => synced.assignment,
            other => panic!("{other:?}"),
        }
    }

    fn describe(&mut self) -> Description {
        let waiter = self.ask(GroupRequest::Describe);
        match self.answer(waiter) {
            Ok(GroupReply::Described(description)) => description,
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self) -> GroupState {
        self.describe().state
    }

    fn heartbeat(&mut self, member_id: &str, generation: i32) -> Result<(), GroupError> {
        let waiter = self.ask(GroupRequest::Heartbeat(member(member_id, generation)));
        self.answer(waiter).map(drop)
    }

    fn sync(&mut self, member_id: &str, generation: i32, parts: &[(&str, &str)]) -> Waiter {
        let assignments =
            parts.iter().map(|(id, part)| ((*id).to_owned(), Bytes::copy_from_slice(part.as_bytes())));
        let member = member(member_id, generation);
        let (protocol_type, protocol) = (None, None);
        self.ask(GroupRequest::Sync(Sync {
            member,
            protocol_type,
            protocol,
            assignments: assignments.collect(),
        }))
    }

    /// These members, in a stable group; the first is its leader. Each has its own id as its part.
    fn stable(names: &[&str]) -> (Self, Vec<String>, i32) {
        let mut world = Self::new();
        let waiters: Vec<Waiter> = names.iter().map(|name| world.ask(new_member(name))).collect();
        world.pass(WAIT * 3);
        let joined: Vec<Joined> = waiters.into_iter().map(|waiter| world.joined(waiter)).collect();
        let ids: Vec<String> = joined.iter().map(|joined| joined.member_id.clone()).collect();
        let generation = joined[0].generation;
        let leader = joined[0].leader.clone();
        world.sync_all(&ids, &leader, generation);
        (world, ids, generation)
    }

    fn sync_all(&mut self, ids: &[String], leader: &str, generation: i32) {
        let parts: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
        let followers: Vec<(String, Waiter)> = ids
            .iter()
            .filter(|id| *id != leader)
            .map(|id| (id.clone(), self.sync(id, generation, &[])))
            .collect();
        let leads = self.sync(leader, generation, &parts);
        assert_eq!(self.assignment(leads), leader);
        for (id, waiter) in followers {
            assert_eq!(self.assignment(waiter), id);
        }
        assert_eq!(self.state(), GroupState::Stable);
    }

    /// The broker ends without a word, and another reads the log.
    fn restarted(&self) -> Self {
        let mut world = Self::at(self.now, self.wall_ms);
        for record in &self.log {
            world.coordinator.apply(record.clone(), world.moment());
        }
        world.log = self.log.clone();
        world.next = self.next;
        world
    }
}

fn member(member_id: &str, generation: i32) -> MemberName {
    MemberName { member_id: member_id.to_owned(), instance_id: None, generation }
}

fn subscription(topics: &[&str]) -> Bytes {
    let topics = topics.iter().map(|topic| (*topic).into()).collect();
    ConsumerSubscription { topics, ..Default::default() }.encode(1)
}

/// What a consumer says that reads topic `t` and has never been a member.
fn join(name: &str) -> Join {
    Join {
        member_id: String::new(),
        fresh_id: format!("{name}-1"),
        instance_id: None,
        client_id: name.to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), subscription(&["t"]))],
        knows_id_first: false,
        knows_skipping: true,
    }
}

fn new_member(name: &str) -> GroupRequest {
    GroupRequest::Join(join(name))
}

fn old_member(member_id: &str) -> GroupRequest {
    GroupRequest::Join(Join { member_id: member_id.to_owned(), ..join("old") })
}
