//! The catalog's state and how records change it. Pure: no clock, no I/O.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use runtime::executor::ShardId;
use storage::{LogSettings, PartitionSpec, PartitionUid};
use thiserror::Error;
use uuid::Uuid;
use wire::limits::BATCH_BYTES_MAX;

use super::placement::ShardLoads;
use super::record::{Change, PartitionMove, PartitionPlace, Record};
use super::settings;
use super::topic_name::{CollidingNames, OFFSETS_TOPIC};

/// One partition of a topic; its number is its place in [`Topic::partitions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number for all its life, never given again.
    pub uid: PartitionUid,
    /// Who serves it.
    pub shard: ShardId,
    pub leader_epoch: i32,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: Uuid,
    pub name: String,
    /// What was given; the rest is the table's default.
    pub settings: BTreeMap<String, String>,
    pub partitions: Vec<Partition>,
}

impl Topic {
    /// A setting as it stands.
    pub fn setting(&self, rule: &settings::SettingRule) -> &str {
        rule.value_in(&self.settings)
    }

    fn number(&self, name: &str) -> i64 {
        settings::number_in(&self.settings, name)
    }

    /// Whether records may go before the topic does (`cleanup.policy`; an empty one has no `delete` in it). What keeps the groups is shortened by them alone.
    pub fn deletes(&self) -> bool {
        self.name != OFFSETS_TOPIC && self.has_policy("delete")
    }

    fn has_policy(&self, policy: &str) -> bool {
        let rule = settings::rule(settings::CLEANUP_POLICY).expect("the table has a policy");
        self.setting(rule).split(',').any(|word| word.trim() == policy)
    }

    /// What the storage is told.
    pub fn log_settings(&self) -> LogSettings {
        let timestamps = settings::rule(settings::TIMESTAMP_TYPE).expect("the table has one");
        let deletes = self.deletes();
        // Kafka takes any number, and so it is kept; no batch is larger than the wire allows.
        let batch_bytes_max =
            self.number(settings::MAX_MESSAGE_BYTES).clamp(0, BATCH_BYTES_MAX as i64) as u32;
        LogSettings {
            segment_bytes_max: u64::try_from(self.number(settings::SEGMENT_BYTES)).unwrap_or(u64::MAX),
            batch_bytes_max,
            retention_ms: Some(self.number(settings::RETENTION_MS)).filter(|ms| deletes && *ms >= 0),
            retention_bytes: u64::try_from(self.number(settings::RETENTION_BYTES)).ok().filter(|_| deletes),
            segment_ms: Some(self.number(settings::SEGMENT_MS)),
            needs_keys: self.has_policy("compact"),
            log_append_time: self.setting(timestamps) == settings::LOG_APPEND_TIME,
            timestamp_before_ms_max: Some(self.number(settings::TIMESTAMP_BEFORE_MS_MAX)),
            timestamp_after_ms_max: Some(self.number(settings::TIMESTAMP_AFTER_MS_MAX)),
        }
    }

    /// One partition as the storage is told of it.
    pub fn partition_spec(&self, number: usize) -> PartitionSpec {
        let partition = self.partitions[number];
        PartitionSpec {
            uid: partition.uid,
            folder: partition_folder(&self.name, number, partition.uid),
            shard: partition.shard,
            leader_epoch: partition.leader_epoch,
            settings: self.log_settings(),
        }
    }
}

/// Where a partition's files are, within the data folder.
fn partition_folder(topic: &str, number: usize, uid: PartitionUid) -> PathBuf {
    ["topics", topic, &format!("{number}-{uid}")].iter().collect()
}

/// A record that does not follow the state: the log is not this catalog's, or there is a bug.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    #[error("record {found} follows record {revision}")]
    Index { revision: u64, found: u64 },
    #[error("record {index} concerns topic {id}, which is not there")]
    UnknownTopic { index: u64, id: Uuid },
    #[error("record {index} makes topic {name:?} ({id}), which is there already")]
    TopicExists { index: u64, name: String, id: Uuid },
    #[error("record {index} concerns partition {uid}, which is not there")]
    UnknownPartition { index: u64, uid: PartitionUid },
    #[error("record {index} gives partition uid {uid} again: the next one is {next}")]
    UidReused { index: u64, uid: PartitionUid, next: u64 },
    #[error("record {index} places a partition on shard {shard} of {shards}")]
    Shard { index: u64, shard: ShardId, shards: u16 },
    #[error("record {index} lowers {counter} from {from} to {to}")]
    Lowered { index: u64, counter: &'static str, from: i64, to: i64 },
}

/// Topics, placement and counters at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// Index of the last record applied; 0: none.
    pub(super) revision: u64,
    /// Shards of the last start.
    pub(super) shards: u16,
    pub(super) leader_epoch: i32,
    pub(super) next_uid: u64,
    pub(super) next_producer_id: i64,
    /// The last record of a life was [`Change::Stopped`].
    pub(super) stopped: bool,
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) names: HashMap<Uuid, String>,
    /// The names of all topics that another's could collide with.
    pub(super) colliding: CollidingNames,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            revision: 0,
            shards: 1,
            leader_epoch: 0,
            // 0 is left free, so that a zeroed field is no partition.
            next_uid: 1,
            next_producer_id: 0,
            // Nothing was ever written, so nothing can have been cut off.
            stopped: true,
            topics: BTreeMap::new(),
            names: HashMap::new(),
            colliding: CollidingNames::default(),
        }
    }
}

impl Catalog {
    /// Index of the last record applied.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many journal rings the last finished start left; none where there was no start.
    pub fn rings_before(&self) -> u16 {
        if self.revision == 0 { 0 } else { self.shards }
    }

    /// Number of shards partitions are dealt to.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// What a new partition takes.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// No uid from here on was ever given.
    pub fn next_uid(&self) -> u64 {
        self.next_uid
    }

    /// The broker stopped in good order, and did not start since.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The topics in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// A topic by its id.
    pub fn topic_by_id(&self, id: &Uuid) -> Option<&Topic> {
        self.topics.get(self.names.get(id)?)
    }

    /// A topic whose name Kafka's metrics could not tell from this one.
    pub(super) fn colliding(&self, name: &str) -> Option<&str> {
        self.colliding.find(name)
    }

    /// How many partitions all topics have.
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    /// How many partitions each shard serves.
    pub fn loads(&self) -> ShardLoads {
        let mut loads = ShardLoads::new(self.shards);
        for partition in self.topics.values().flat_map(|topic| &topic.partitions) {
            loads.add(partition.shard);
        }
        loads
    }

    /// Every partition as the storage is told of it.
    pub fn partition_specs(&self) -> Vec<PartitionSpec> {
        let specs = |topic| move |number| Topic::partition_spec(topic, number);
        self.topics.values().flat_map(|topic| (0..topic.partitions.len()).map(specs(topic))).collect()
    }

    /// Applies the next record. After an error the state may be half changed and is not to be used any more.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyError> {
        let index = record.index;
        if index != self.revision + 1 {
            return Err(ApplyError::Index { revision: self.revision, found: index });
        }
        self.revision = index;
        self.stopped = record.change == Change::Stopped;
        match &record.change {
            Change::Started { shards, leader_epoch, unclean, moves } => {
                self.apply_start(index, *shards, *leader_epoch, *unclean, moves)
            }
            Change::Stopped => Ok(()),
            Change::TopicCreated { id, name, settings, partitions } => {
                if self.topics.contains_key(name) || self.names.contains_key(id) {
                    return Err(ApplyError::TopicExists { index, name: name.clone(), id: *id });
                }
                let partitions = self.new_partitions(index, partitions)?;
                let topic = Topic { id: *id, name: name.clone(), settings: settings.clone(), partitions };
                self.names.insert(*id, name.clone());
                self.colliding.insert(name);
                self.topics.insert(name.clone(), topic);
                Ok(())
            }
            Change::TopicDeleted { id } => {
                let name = self.names.remove(id).ok_or(ApplyError::UnknownTopic { index, id: *id })?;
                self.topics.remove(&name);
                self.colliding.remove(&name);
                Ok(())
            }
            Change::TopicAltered { id, settings, added } => {
                let added = self.new_partitions(index, added)?;
                let topic = self.topic_mut(index, id)?;
                topic.settings.clone_from(settings);
                topic.partitions.extend(added);
                Ok(())
            }
            Change::ProducerIdsReserved { next_producer_id } => {
                check_grows(index, "the next producer id", self.next_producer_id, *next_producer_id)?;
                self.next_producer_id = *next_producer_id;
                Ok(())
            }
        }
    }

    fn apply_start(
        &mut self,
        index: u64,
        shards: u16,
        leader_epoch: i32,
        unclean: bool,
        moves: &[PartitionMove],
    ) -> Result<(), ApplyError> {
        check_grows(index, "the leader epoch", self.leader_epoch.into(), leader_epoch.into())?;
        self.shards = shards;
        self.leader_epoch = leader_epoch;
        let moves: HashMap<PartitionUid, ShardId> =
            moves.iter().map(|moved| (moved.uid, moved.shard)).collect();
        let mut moved = 0;
        for partition in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            let to = moves.get(&partition.uid);
            moved += usize::from(to.is_some());
            partition.shard = *to.unwrap_or(&partition.shard);
            if unclean || to.is_some() {
                partition.leader_epoch = leader_epoch;
            }
            if partition.shard.0 >= shards {
                return Err(ApplyError::Shard { index, shard: partition.shard, shards });
            }
        }
        if moved < moves.len() {
            let known = |uid: &&PartitionUid| {
                self.topics.values().flat_map(|topic| &topic.partitions).all(|known| known.uid != **uid)
            };
            let uid = *moves.keys().find(known).expect("fewer were moved than are named");
            return Err(ApplyError::UnknownPartition { index, uid });
        }
        Ok(())
    }

    fn new_partitions(
        &mut self,
        index: u64,
        places: &[PartitionPlace],
    ) -> Result<Vec<Partition>, ApplyError> {
        let mut partitions = Vec::with_capacity(places.len());
        for &PartitionPlace { uid, shard } in places {
            if uid.0 < self.next_uid {
                return Err(ApplyError::UidReused { index, uid, next: self.next_uid });
            }
            if shard.0 >= self.shards {
                return Err(ApplyError::Shard { index, shard, shards: self.shards });
            }
            self.next_uid = uid.0 + 1;
            partitions.push(Partition { uid, shard, leader_epoch: self.leader_epoch });
        }
        Ok(partitions)
    }

    fn topic_mut(&mut self, index: u64, id: &Uuid) -> Result<&mut Topic, ApplyError> {
        let name = self.names.get(id).ok_or(ApplyError::UnknownTopic { index, id: *id })?;
        Ok(self.topics.get_mut(name).expect("names and topics hold the same topics"))
    }
}

fn check_grows(index: u64, counter: &'static str, from: i64, to: i64) -> Result<(), ApplyError> {
    if to < from { Err(ApplyError::Lowered { index, counter, from, to }) } else { Ok(()) }
}
