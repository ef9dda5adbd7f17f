//! What may be asked of the catalog, and which records that makes. Pure: ids and time are given.

use storage::PartitionUid;
use thiserror::Error;
use uuid::Uuid;

use super::placement::ShardLoads;
use super::record::{Change, PartitionMove, PartitionPlace};
use super::settings::{self, SettingError};
use super::state::{Catalog, Topic};
use super::topic_name::OFFSETS_TOPIC;
use super::topic_name::{TopicNameError, check_topic_name};
use crate::limits;

/// A change that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    CreateTopic {
        name: String,
        /// 0: the default.
        partitions: u32,
        settings: Vec<(String, String)>,
        /// Chosen by who asks; never nil.
        id: Uuid,
        validate_only: bool,
    },
    DeleteTopic {
        name: String,
    },
    AlterTopic {
        name: String,
        /// The number wanted, never fewer than there are.
        partitions: Option<u32>,
        /// `None` puts a setting back to its default.
        settings: Vec<(String, Option<String>)>,
    },
    /// So many producer ids, never given before.
    ReserveProducerIds {
        count: u32,
    },
    /// Everything is in its place.
    Stop,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Nil where it was only validated.
    Created {
        id: Uuid,
    },
    /// The first of the block.
    ProducerIds {
        first: i64,
    },
}

/// The changes a command makes (none, or one) and what is answered once they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub change: Option<Change>,
    pub outcome: Outcome,
}

/// Why a command is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    #[error(transparent)]
    Name(#[from] TopicNameError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("topic {name:?} is there already")]
    TopicExists { name: String },
    // Kafka's words, which its tools look for.
    #[error("Topic '{name}' collides with existing topic: {other}")]
    Collides { name: String, other: String },
    #[error("there is no topic {name:?}")]
    UnknownTopic { name: String },
    #[error("a topic has at most {limit} partitions, {wanted} are asked for", limit = limits::PARTITIONS_PER_TOPIC_MAX)]
    TooManyPartitions { wanted: u32 },
    #[error("the broker has {found} partitions and takes at most {limit}", limit = limits::PARTITIONS_MAX)]
    PartitionsFull { found: usize },
    #[error("topic {name:?} keeps the consumer groups: its partitions are neither removed nor added to")]
    Internal { name: String },
    #[error("topic {name:?} has {found} partitions, which cannot become {wanted}: they are never taken away")]
    FewerPartitions { name: String, found: usize, wanted: u32 },
    #[error("too many changes wait for the catalog")]
    Busy,
    #[error("the broker stops")]
    Stopping,
    #[error("no space is left for the catalog: {reason}")]
    StorageFull { reason: String },
    #[error("the catalog cannot be written any more ({reason}): restart the broker")]
    StorageFailed { reason: String },
}

/// Which change the command makes to this state.
pub fn plan(command: &Command, catalog: &Catalog) -> Result<Planned, CommandError> {
    match command {
        Command::CreateTopic { name, partitions, settings, id, validate_only } => {
            let change = create_topic(catalog, name, *partitions, settings, *id)?;
            Ok(match validate_only {
                true => Planned { change: None, outcome: Outcome::Created { id: Uuid::nil() } },
                false => Planned { change: Some(change), outcome: Outcome::Created { id: *id } },
            })
        }
        Command::DeleteTopic { name } => {
            let id = known(catalog, name)?.id;
            refuse_internal(name)?;
            Ok(Planned { change: Some(Change::TopicDeleted { id }), outcome: Outcome::Done })
        }
        Command::AlterTopic { name, partitions, settings } => {
            let topic = known(catalog, name)?;
            let change = alter_topic(catalog, topic, *partitions, settings)?;
            Ok(Planned { change, outcome: Outcome::Done })
        }
        Command::ReserveProducerIds { count } => {
            let first = catalog.next_producer_id;
            let change = Change::ProducerIdsReserved { next_producer_id: first + i64::from(*count) };
            Ok(Planned { change: Some(change), outcome: Outcome::ProducerIds { first } })
        }
        Command::Stop => Ok(Planned { change: Some(Change::Stopped), outcome: Outcome::Done }),
    }
}

/// The change a start makes: a new deal where the number of shards is another, a higher leader epoch where something
/// moves or the last stop was not clean.
pub fn plan_start(catalog: &Catalog, shards: u16) -> Change {
    let mut moves = Vec::new();
    if shards != catalog.shards {
        let total = catalog.partition_count();
        let mut loads = ShardLoads::new(shards);
        for topic in catalog.topics() {
            let placed: Vec<_> = topic.partitions.iter().map(|partition| partition.shard).collect();
            let dealt = loads.deal_again(&placed, total);
            let moved = topic.partitions.iter().zip(dealt).filter(|(partition, to)| partition.shard != *to);
            moves.extend(moved.map(|(partition, shard)| PartitionMove { uid: partition.uid, shard }));
        }
    }
    let unclean = !catalog.stopped;
    let raise = i32::from(unclean || !moves.is_empty());
    let leader_epoch = catalog.leader_epoch.checked_add(raise).expect("2^31 unclean starts");
    Change::Started { shards, leader_epoch, unclean, moves }
}

/// What keeps the groups must stay as it is: a group's partition is found by their number.
fn refuse_internal(name: &str) -> Result<(), CommandError> {
    match name == OFFSETS_TOPIC {
        true => Err(CommandError::Internal { name: name.to_owned() }),
        false => Ok(()),
    }
}

/// What keeps the groups must come about, whatever others are called.
fn refuse_colliding(catalog: &Catalog, name: &str) -> Result<(), CommandError> {
    match catalog.colliding(name) {
        Some(other) if name != OFFSETS_TOPIC => {
            Err(CommandError::Collides { name: name.to_owned(), other: other.to_owned() })
        }
        _ => Ok(()),
    }
}

fn known<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Topic, CommandError> {
    catalog.topic(name).ok_or_else(|| CommandError::UnknownTopic { name: name.to_owned() })
}

fn create_topic(
    catalog: &Catalog,
    name: &str,
    partitions: u32,
    settings: &[(String, String)],
    id: Uuid,
) -> Result<Change, CommandError> {
    check_topic_name(name)?;
    if catalog.topic(name).is_some() {
        return Err(CommandError::TopicExists { name: name.to_owned() });
    }
    refuse_colliding(catalog, name)?;
    let wanted = if partitions == 0 { limits::PARTITIONS_DEFAULT } else { partitions };
    let settings = settings::read_settings(settings)?;
    assert!(!id.is_nil() && !id.is_max(), "topic id {id} is reserved");
    let partitions = new_places(catalog, &[], wanted)?;
    Ok(Change::TopicCreated { id, name: name.to_owned(), settings, partitions })
}

/// Settings and partitions together are one change: it happens whole or not at all.
fn alter_topic(
    catalog: &Catalog,
    topic: &Topic,
    partitions: Option<u32>,
    settings: &[(String, Option<String>)],
) -> Result<Option<Change>, CommandError> {
    let mut given = topic.settings.clone();
    for (name, value) in settings {
        let rule = settings::rule(name)?;
        match value {
            Some(value) => {
                given.insert(name.clone(), rule.read(value)?);
            }
            None => drop(given.remove(name)),
        }
    }
    if !settings.is_empty() {
        settings::check_together(&given)?;
    }
    if partitions.is_some() {
        refuse_internal(&topic.name)?;
    }
    let found = topic.partitions.len();
    let wanted = partitions.unwrap_or(0) as usize;
    if partitions.is_some() && wanted < found {
        let wanted = partitions.unwrap_or(0);
        return Err(CommandError::FewerPartitions { name: topic.name.clone(), found, wanted });
    }
    let added = match wanted > found {
        true => new_places(catalog, &topic.partitions, (wanted - found) as u32)?,
        false => Vec::new(),
    };
    let id = topic.id;
    if added.is_empty() && given == topic.settings {
        return Ok(None);
    }
    Ok(Some(Change::TopicAltered { id, settings: given, added }))
}

fn new_places(
    catalog: &Catalog,
    placed: &[super::state::Partition],
    count: u32,
) -> Result<Vec<PartitionPlace>, CommandError> {
    let wanted = u32::try_from(placed.len()).unwrap_or(u32::MAX).saturating_add(count);
    if wanted > limits::PARTITIONS_PER_TOPIC_MAX {
        return Err(CommandError::TooManyPartitions { wanted });
    }
    let found = catalog.partition_count();
    if found + count as usize > limits::PARTITIONS_MAX {
        return Err(CommandError::PartitionsFull { found });
    }
    let placed: Vec<_> = placed.iter().map(|partition| partition.shard).collect();
    let shards = catalog.loads().deal(&placed, count as usize);
    let uids = (catalog.next_uid..).map(PartitionUid);
    Ok(uids.zip(shards).map(|(uid, shard)| PartitionPlace { uid, shard }).collect())
}
