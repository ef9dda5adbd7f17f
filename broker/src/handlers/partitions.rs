//! Looks into partitions, wherever they live: how they stand, where a leader epoch ended, which producers they know.

use std::collections::BTreeMap;

use runtime::executor::ShardId;
use storage::{EpochEnd, Log, PartitionUid, ProducerStanding};
use wire::codes::ErrorCode;

use super::owner::at_owner;
use crate::request::{PartitionName, PartitionStanding, Refusal, read_code};
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{Ask, Shard, Told};

/// Where a leader epoch of a partition ended; `None` for one that is not reached yet.
pub(crate) async fn end_of_epoch(
    shard: &Shard,
    session: &Session,
    partition: &PartitionName,
    leader_epoch: i32,
) -> Result<Option<EpochEnd>, ErrorCode> {
    at_owner(
        shard,
        session,
        Action::Describe,
        partition,
        async |log| end_in_log(log, leader_epoch).await,
        |uid| Ask::EndOfEpoch { uid, leader_epoch },
        |told| if let Told::EndOfEpoch(found) = told { Some(found) } else { None },
    )
    .await
}

/// [`end_of_epoch`] in a log of this shard.
pub(super) async fn end_in_log(log: &Log, leader_epoch: i32) -> Result<Option<EpochEnd>, ErrorCode> {
    log.end_of_epoch(leader_epoch).await.map_err(|error| read_code(&error))
}

/// The idempotent producers that a partition remembers.
pub(crate) async fn describe_producers(
    shard: &Shard,
    session: &Session,
    partition: &PartitionName,
) -> Result<Vec<ProducerStanding>, ErrorCode> {
    at_owner(
        shard,
        session,
        Action::Read,
        partition,
        async |log| producers_of_log(log).await,
        |uid| Ask::Producers { uid },
        |told| if let Told::Producers(found) = told { Some(found) } else { None },
    )
    .await
}

/// [`describe_producers`] of a log of this shard.
pub(super) async fn producers_of_log(log: &Log) -> Result<Vec<ProducerStanding>, ErrorCode> {
    log.producers().await.map_err(|error| read_code(&error))
}

/// How partitions of any shards stand, by their uids; those that went meanwhile are left out.
pub(crate) async fn describe_partitions(
    shard: &Shard,
    session: &Session,
    partitions: impl Iterator<Item = (ShardId, PartitionUid)>,
) -> Result<BTreeMap<PartitionUid, PartitionStanding>, Refusal> {
    authorize(session, Action::Describe, Resource::Cluster)?;
    standing(shard, partitions).await
}

/// [`describe_partitions`] for who has authorized it.
pub(super) async fn standing(
    shard: &Shard,
    partitions: impl Iterator<Item = (ShardId, PartitionUid)>,
) -> Result<BTreeMap<PartitionUid, PartitionStanding>, Refusal> {
    let mut by_shard: BTreeMap<ShardId, Vec<PartitionUid>> = BTreeMap::new();
    for (at, uid) in partitions {
        by_shard.entry(at).or_default().push(uid);
    }
    let mut standing = BTreeMap::new();
    for (at, uids) in by_shard {
        let told = if at == shard.id {
            standing_here(shard, &uids).await
        } else {
            match shard.lanes.ask(at, Ask::Standing { uids: uids.clone() }).await {
                Some(Told::Standing(told)) => told,
                Some(_) => panic!("shard {at} answered a description with something else"),
                None => return Err(Refusal::of(ErrorCode::NotServing)),
            }
        };
        standing.extend(uids.into_iter().zip(told).filter_map(|(uid, told)| Some((uid, told?))));
    }
    Ok(standing)
}

/// The state of this shard's partitions; `None` for those it does not have (any more).
pub(super) async fn standing_here(shard: &Shard, uids: &[PartitionUid]) -> Vec<Option<PartitionStanding>> {
    let mut standing = Vec::with_capacity(uids.len());
    for uid in uids {
        let Some(log) = shard.store.log(*uid) else {
            standing.push(None);
            continue;
        };
        // What cannot be looked at is described as empty: the rest of the description is still worth having.
        let segment_count = log.segment_count().await.unwrap_or(0);
        standing.push(Some(PartitionStanding {
            offsets: log.offsets(),
            leader_epoch: log.leader_epoch(),
            segment_count: u32::try_from(segment_count).unwrap_or(u32::MAX),
            bytes: log.bytes().await.unwrap_or(0),
        }));
    }
    standing
}
