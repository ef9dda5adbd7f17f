//! Topics made, removed, changed, described; producer ids.

use std::collections::BTreeMap;

use runtime::executor::ShardId;
use storage::PartitionUid;
use uuid::Uuid;
use wire::codes::ErrorCode;

use crate::catalog::{Command, Outcome, Topic};
use crate::catalog_writer::change;
use crate::request::{PartitionStanding, Refusal};
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::{Ask, Shard, Told};

/// Makes a topic; its id, nil where it was only validated.
pub(crate) async fn create_topic(
    shard: &Shard,
    session: &Session,
    name: String,
    partitions: u32,
    settings: Vec<(String, String)>,
    validate_only: bool,
) -> Result<Uuid, Refusal> {
    authorize(session, Action::Create, Resource::Topic(&name))?;
    let id = runtime::random::uuid();
    match change(shard, Command::CreateTopic { name, partitions, settings, id, validate_only }).await? {
        Outcome::Created { id } => Ok(id),
        other => panic!("a creation came out as {other:?}"),
    }
}

/// Removes a topic and its data.
pub(crate) async fn delete_topic(shard: &Shard, session: &Session, name: String) -> Result<(), Refusal> {
    authorize(session, Action::Delete, Resource::Topic(&name))?;
    change(shard, Command::DeleteTopic { name }).await?;
    Ok(())
}

/// Adds partitions, or changes settings.
pub(crate) async fn alter_topic(
    shard: &Shard,
    session: &Session,
    name: String,
    partitions: Option<u32>,
    settings: Vec<(String, Option<String>)>,
) -> Result<(), Refusal> {
    authorize(session, Action::Alter, Resource::Topic(&name))?;
    change(shard, Command::AlterTopic { name, partitions, settings }).await?;
    Ok(())
}

/// An id for an idempotent producer.
pub(crate) async fn init_producer(
    shard: &Shard,
    session: &Session,
    transactional_id: &str,
) -> Result<i64, Refusal> {
    authorize(session, Action::Write, Resource::Cluster)?;
    if !transactional_id.is_empty() {
        let message = "transactions are not supported".to_owned();
        return Err(Refusal { code: ErrorCode::UnsupportedFeature, message });
    }
    Ok(shard.producer_ids.take(shard).await?)
}

/// A topic and the state of its partitions, in their order.
pub(crate) struct TopicDescription {
    pub(crate) topic: Topic,
    pub(crate) partitions: Vec<PartitionStanding>,
}

/// Describes a topic as it stands on all shards.
pub(crate) async fn describe_topic(
    shard: &Shard,
    session: &Session,
    name: &str,
) -> Result<TopicDescription, Refusal> {
    authorize(session, Action::Describe, Resource::Topic(name))?;
    let topic = shard.catalog().topic(name).cloned();
    let topic = topic.ok_or_else(|| Refusal::of(ErrorCode::UnknownTopic))?;
    let mut by_shard: BTreeMap<ShardId, Vec<PartitionUid>> = BTreeMap::new();
    for partition in &topic.partitions {
        by_shard.entry(partition.shard).or_default().push(partition.uid);
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
        standing.extend(uids.into_iter().zip(told));
    }
    let partitions: Option<Vec<_>> =
        topic.partitions.iter().map(|partition| standing.get(&partition.uid).copied().flatten()).collect();
    // Deleted while its shards were asked.
    let partitions = partitions.ok_or_else(|| Refusal::of(ErrorCode::UnknownTopic))?;
    Ok(TopicDescription { topic, partitions })
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
