//! What the catalog's log holds: one change a record.

use std::collections::BTreeMap;

use runtime::executor::ShardId;
use storage::PartitionUid;
use uuid::Uuid;

use super::codec::{CatalogFormatError, Decoder, Encoder};

/// One record. Indexes follow each other without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log, from 1.
    pub index: u64,
    /// Of the leader that wrote it; 0 while one machine does.
    pub term: u64,
    /// When it was written, ms since 1970.
    pub time_ms: i64,
    pub change: Change,
}

/// A new partition and where it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionPlace {
    pub uid: PartitionUid,
    pub shard: ShardId,
}

/// A partition that another shard serves from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMove {
    pub uid: PartitionUid,
    pub shard: ShardId,
}

/// What a record changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The broker started. A greater `leader_epoch` than before is taken by every partition after an unclean stop, else
    /// by those that move.
    Started { shards: u16, leader_epoch: i32, unclean: bool, moves: Vec<PartitionMove> },
    /// The broker stopped with everything in its place: the next start need not raise the leader epoch.
    Stopped,
    /// A topic was made. Its partitions take the current leader epoch.
    TopicCreated {
        id: Uuid,
        name: String,
        settings: BTreeMap<String, String>,
        partitions: Vec<PartitionPlace>,
    },
    /// A topic was removed with its partitions.
    TopicDeleted { id: Uuid },
    /// `settings` are now all that were given; the topic grew by `added`, which take the current leader epoch.
    TopicAltered { id: Uuid, settings: BTreeMap<String, String>, added: Vec<PartitionPlace> },
    /// Producer ids below this are given out, or lost.
    ProducerIdsReserved { next_producer_id: i64 },
}

// Numbers of changes in the log. Never reused.
const STARTED: u16 = 1;
const STOPPED: u16 = 2;
const TOPIC_CREATED: u16 = 3;
const TOPIC_DELETED: u16 = 4;
const TOPIC_ALTERED: u16 = 5;
const PRODUCER_IDS_RESERVED: u16 = 6;

/// Bytes of one [`PartitionPlace`] or [`PartitionMove`].
const PLACE_BYTES: usize = 8 + 2;

impl Change {
    /// Number and fields, little-endian.
    pub(super) fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Started { shards, leader_epoch, unclean, moves } => {
                out.u16(STARTED);
                out.u16(*shards);
                out.i32(*leader_epoch);
                out.flag(*unclean);
                out.list(moves, |out, moved| encode_place(out, moved.uid, moved.shard));
            }
            Self::Stopped => out.u16(STOPPED),
            Self::TopicCreated { id, name, settings, partitions } => {
                out.u16(TOPIC_CREATED);
                out.uuid(*id);
                out.text(name);
                out.settings(settings);
                out.list(partitions, |out, place| encode_place(out, place.uid, place.shard));
            }
            Self::TopicDeleted { id } => {
                out.u16(TOPIC_DELETED);
                out.uuid(*id);
            }
            Self::TopicAltered { id, settings, added } => {
                out.u16(TOPIC_ALTERED);
                out.uuid(*id);
                out.settings(settings);
                out.list(added, |out, place| encode_place(out, place.uid, place.shard));
            }
            Self::ProducerIdsReserved { next_producer_id } => {
                out.u16(PRODUCER_IDS_RESERVED);
                out.i64(*next_producer_id);
            }
        }
    }

    /// Reads what [`Change::encode`] wrote.
    pub(super) fn decode(from: &mut Decoder<'_>) -> Result<Self, CatalogFormatError> {
        Ok(match from.u16("change")? {
            STARTED => Self::Started {
                shards: from.u16("shards")?,
                leader_epoch: from.i32("leader epoch")?,
                unclean: from.flag("unclean")?,
                moves: from.list("moves", PLACE_BYTES, |from| {
                    decode_place(from).map(|(uid, shard)| PartitionMove { uid, shard })
                })?,
            },
            STOPPED => Self::Stopped,
            TOPIC_CREATED => Self::TopicCreated {
                id: from.uuid("topic id")?,
                name: from.text("topic name")?,
                settings: from.settings()?,
                partitions: decode_places(from)?,
            },
            TOPIC_DELETED => Self::TopicDeleted { id: from.uuid("topic id")? },
            TOPIC_ALTERED => Self::TopicAltered {
                id: from.uuid("topic id")?,
                settings: from.settings()?,
                added: decode_places(from)?,
            },
            PRODUCER_IDS_RESERVED => {
                Self::ProducerIdsReserved { next_producer_id: from.i64("next producer id")? }
            }
            found => return Err(from.invalid("change", u64::from(found))),
        })
    }
}

fn encode_place(out: &mut Encoder, uid: PartitionUid, shard: ShardId) {
    out.u64(uid.0);
    out.u16(shard.0);
}

fn decode_place(from: &mut Decoder<'_>) -> Result<(PartitionUid, ShardId), CatalogFormatError> {
    Ok((PartitionUid(from.u64("partition uid")?), ShardId(from.u16("shard")?)))
}

fn decode_places(from: &mut Decoder<'_>) -> Result<Vec<PartitionPlace>, CatalogFormatError> {
    from.list("partitions", PLACE_BYTES, |from| {
        decode_place(from).map(|(uid, shard)| PartitionPlace { uid, shard })
    })
}
