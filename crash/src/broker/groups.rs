//! Consumer groups through crashes, by Kafka's protocol: what was committed is there and never goes back, and a member whose
//! part was told is a member still.
//!
//! Offsets are numbers that grow, so that the one that is found tells by itself whether it was promised, or at least sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use wire::kafka::{
    self, ErrorCode, FindCoordinatorRequest, HeartbeatRequest, JoinGroupProtocol, JoinGroupRequest,
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic, OffsetFetchGroup, OffsetFetchRequest,
    SyncGroupAssignment, SyncGroupRequest,
};

use super::producing::KafkaConnection;
use crate::seed::Seed;

/// Groups that commit; their partitions of the offsets topic are many.
const GROUPS: u64 = 12;
const PARTITIONS: i32 = 4;
const COMMIT_VERSION: i16 = 8;
const FETCH_VERSION: i16 = 8;
/// The last in which a new member is not told its id first.
const JOIN_VERSION: i16 = 3;
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
/// Long enough for any start in between.
const SESSION_MS: i32 = 120_000;

/// Offsets by group and partition: what was promised, and what was sent last.
type Commits = BTreeMap<(String, i32), Committed>;

#[derive(Clone, Copy, Debug)]
struct Committed {
    promised: Option<i64>,
    sent: i64,
}

/// A member whose part was told.
struct Member {
    group: String,
    member_id: String,
    generation: i32,
    part: Bytes,
}

/// What groups were promised, over all rounds.
#[derive(Default)]
pub(crate) struct GroupLedger {
    commits: Commits,
    /// Of the last round.
    member: Option<Member>,
    next_number: i64,
}

/// Groups under load.
pub(crate) struct GroupLoad {
    stop: Arc<AtomicBool>,
    committer: JoinHandle<(Commits, i64)>,
    member: Option<Member>,
}

impl GroupLedger {
    /// Begins to commit offsets of `topic`, and has one member join.
    pub(crate) fn start(&mut self, address: &str, topic: &str, seed: Seed, round: u64) -> Result<GroupLoad> {
        let member = join(address, round).context("a member joins")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (address, topic, stops) = (address.to_owned(), topic.to_owned(), stop.clone());
        let (mut commits, mut number) = (std::mem::take(&mut self.commits), self.next_number);
        let committer = spawn(move || {
            // The connection breaks for good when the broker is killed: what was promised until then counts.
            let _broken = commit(&address, &topic, seed, &stops, &mut commits, &mut number);
            (commits, number)
        });
        Ok(GroupLoad { stop, committer, member: Some(member) })
    }

    /// Ends the load, whether the broker still lives or not.
    pub(crate) fn take(&mut self, load: GroupLoad) -> Result<()> {
        load.stop.store(true, Ordering::Relaxed);
        (self.commits, self.next_number) = load.committer.join().ok().context("the committer panicked")?;
        self.member = load.member;
        Ok(())
    }

    /// Looks for everything that was promised; how many offsets were found.
    pub(crate) fn check(&mut self, address: &str, topic: &str) -> Result<usize> {
        if self.commits.is_empty() && self.member.is_none() {
            return Ok(0);
        }
        let mut connection = KafkaConnection::connect(address)?;
        for ((group, partition), committed) in &mut self.commits {
            let found = fetch(&mut connection, group, topic, *partition)?;
            let least = committed.promised.unwrap_or(-1);
            ensure!(
                (least..=committed.sent).contains(&found),
                "LOST: group {group} partition {partition} is at {found}; {committed:?}"
            );
            // What was read stays.
            committed.promised = Some(found).filter(|found| *found >= 0);
        }
        if let Some(member) = self.member.take() {
            check_member(&mut connection, &member)
                .with_context(|| format!("member {} of group {}", member.member_id, member.group))?;
        }
        Ok(self.commits.len())
    }
}

fn code(number: i16) -> Result<ErrorCode> {
    ErrorCode::from_number(number).context("an unknown error code")
}

/// Has the offsets topic made, and waits until it can be written.
fn find_coordinator(connection: &mut KafkaConnection, group: &str) -> Result<()> {
    let request = FindCoordinatorRequest { key: group.into(), ..Default::default() };
    let found = connection.ask::<kafka::FindCoordinator>(2, &request)?;
    ensure!(found.error_code == 0, "no coordinator: {:?}", code(found.error_code)?);
    Ok(())
}

fn join(address: &str, round: u64) -> Result<Member> {
    let mut connection = KafkaConnection::connect(address)?;
    let group = format!("members-{round}");
    find_coordinator(&mut connection, &group)?;
    let protocol = JoinGroupProtocol { name: "range".into(), metadata: Bytes::from_static(b"metadata") };
    let request = JoinGroupRequest {
        group_id: group.as_str().into(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: SESSION_MS,
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    };
    let joined = connection.ask::<kafka::JoinGroup>(JOIN_VERSION, &request)?;
    ensure!(joined.error_code == 0, "not joined: {:?}", code(joined.error_code)?);
    let (member_id, generation) = (joined.member_id.to_string(), joined.generation_id);
    let part = Bytes::from(format!("part of round {round}"));
    let assignment = SyncGroupAssignment { member_id: joined.member_id.clone(), assignment: part.clone() };
    let request = sync_request(&group, &member_id, generation, vec![assignment]);
    let synced = connection.ask::<kafka::SyncGroup>(SYNC_VERSION, &request)?;
    ensure!(synced.error_code == 0, "not synced: {:?}", code(synced.error_code)?);
    ensure!(synced.assignment == part, "another part was told: {:?}", synced.assignment);
    Ok(Member { group, member_id, generation, part })
}

fn sync_request(
    group: &str,
    member_id: &str,
    generation_id: i32,
    assignments: Vec<SyncGroupAssignment>,
) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: group.into(),
        generation_id,
        member_id: member_id.into(),
        assignments,
        ..Default::default()
    }
}

fn check_member(connection: &mut KafkaConnection, member: &Member) -> Result<()> {
    let Member { group, member_id, generation, part } = member;
    let request = HeartbeatRequest {
        group_id: group.as_str().into(),
        generation_id: *generation,
        member_id: member_id.as_str().into(),
        ..Default::default()
    };
    let alive = connection.ask::<kafka::Heartbeat>(HEARTBEAT_VERSION, &request)?;
    ensure!(alive.error_code == 0, "LOST: it is no member any more: {:?}", code(alive.error_code)?);
    let request = sync_request(group, member_id, *generation, Vec::new());
    let synced = connection.ask::<kafka::SyncGroup>(SYNC_VERSION, &request)?;
    ensure!(
        synced.error_code == 0 && synced.assignment == *part,
        "LOST: its part is {:?}",
        synced.assignment
    );
    Ok(())
}

fn commit(
    address: &str,
    topic: &str,
    mut seed: Seed,
    stop: &AtomicBool,
    commits: &mut Commits,
    number: &mut i64,
) -> Result<()> {
    let mut connection = KafkaConnection::connect(address)?;
    while !stop.load(Ordering::Relaxed) {
        let group = format!("commits-{}", seed.below(GROUPS));
        let partition_index = seed.below(PARTITIONS as u64) as i32;
        *number += 1;
        let place = (group.clone(), partition_index);
        let committed = commits.entry(place).or_insert(Committed { promised: None, sent: -1 });
        committed.sent = *number;
        // Long texts make the log long, so that it is written anew.
        let committed_metadata = Some("x".repeat(seed.below(4_000) as usize).into());
        let partition = OffsetCommitPartition {
            partition_index,
            committed_offset: *number,
            committed_metadata,
            ..Default::default()
        };
        let topic = OffsetCommitTopic { name: topic.into(), partitions: vec![partition] };
        let request =
            OffsetCommitRequest { group_id: group.into(), topics: vec![topic], ..Default::default() };
        let answer = connection.ask::<kafka::OffsetCommit>(COMMIT_VERSION, &request)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        match code(partition.context("an answer without a partition")?.error_code)? {
            ErrorCode::None => committed.promised = Some(*number),
            code => {
                ensure!(code.is_retriable(), "a commit was refused: {code:?}");
                sleep(Duration::from_millis(2));
            }
        }
    }
    Ok(())
}

fn fetch(connection: &mut KafkaConnection, group: &str, topic: &str, partition: i32) -> Result<i64> {
    let topic = kafka::OffsetFetchTopic { name: topic.into(), partition_indexes: vec![partition] };
    let group = OffsetFetchGroup { group_id: group.into(), topics: Some(vec![topic]), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let answer = connection.ask::<kafka::OffsetFetch>(FETCH_VERSION, &request)?;
    let group = answer.groups.first().context("an answer without a group")?;
    ensure!(group.error_code == 0, "offsets are not told: {:?}", code(group.error_code)?);
    let partition = group.topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition.context("an answer without a partition")?.committed_offset)
}
