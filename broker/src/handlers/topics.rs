//! Topics made, removed, changed, described; producer ids.

use uuid::Uuid;
use wire::codes::ErrorCode;

use super::partitions;
use crate::catalog::{Command, Outcome, Topic};
use crate::catalog_writer::change;
use crate::request::{PartitionStanding, Refusal};
use crate::session::{Action, Resource, Session, authorize};
use crate::shard::Shard;

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
    let all = topic.partitions.iter().map(|partition| (partition.shard, partition.uid));
    let standing = partitions::standing(shard, all).await?;
    let partitions: Option<Vec<_>> =
        topic.partitions.iter().map(|partition| standing.get(&partition.uid).copied()).collect();
    // Deleted while its shards were asked.
    let partitions = partitions.ok_or_else(|| Refusal::of(ErrorCode::UnknownTopic))?;
    Ok(TopicDescription { topic, partitions })
}
