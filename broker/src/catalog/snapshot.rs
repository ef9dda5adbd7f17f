//! The whole state in one record: what a rewritten catalog log begins with.

use std::collections::BTreeMap;

use runtime::executor::ShardId;
use storage::PartitionUid;

use super::codec::{CatalogFormatError, Decoder, Encoder};
use super::state::{Catalog, Partition, Topic};
use super::topic_name::CollidingNames;

/// Bytes of one partition.
const PARTITION_BYTES: usize = 8 + 2 + 4;
/// An id and three empty lists.
const TOPIC_BYTES_MIN: usize = 16 + 3 * 4;

/// Everything but the revision, which the record around it carries as its index.
pub(super) fn encode(catalog: &Catalog) -> Vec<u8> {
    let mut out = Encoder::default();
    out.u16(catalog.shards);
    out.i32(catalog.leader_epoch);
    out.u64(catalog.next_uid);
    out.i64(catalog.next_producer_id);
    out.flag(catalog.stopped);
    let topics: Vec<&Topic> = catalog.topics.values().collect();
    out.list(&topics, |out, topic| {
        out.uuid(topic.id);
        out.text(&topic.name);
        out.settings(&topic.settings);
        out.list(&topic.partitions, |out, partition| {
            out.u64(partition.uid.0);
            out.u16(partition.shard.0);
            out.i32(partition.leader_epoch);
        });
    });
    out.into_bytes()
}

/// The state as it was at `revision`.
pub(super) fn decode(bytes: &[u8], revision: u64) -> Result<Catalog, CatalogFormatError> {
    let mut from = Decoder::new(bytes);
    let shards = from.u16("shards")?;
    let leader_epoch = from.i32("leader epoch")?;
    let next_uid = from.u64("next partition uid")?;
    let next_producer_id = from.i64("next producer id")?;
    let stopped = from.flag("stopped")?;
    let topics = from.list("topics", TOPIC_BYTES_MIN, |from| decode_topic(from, shards, next_uid))?;
    from.end()?;
    let names = topics.iter().map(|topic| (topic.id, topic.name.clone())).collect();
    let mut colliding = CollidingNames::default();
    topics.iter().for_each(|topic| colliding.insert(&topic.name));
    let topics: BTreeMap<String, Topic> =
        topics.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
    Ok(Catalog {
        revision,
        shards,
        leader_epoch,
        next_uid,
        next_producer_id,
        stopped,
        topics,
        names,
        colliding,
    })
}

fn decode_topic(from: &mut Decoder<'_>, shards: u16, next_uid: u64) -> Result<Topic, CatalogFormatError> {
    Ok(Topic {
        id: from.uuid("topic id")?,
        name: from.text("topic name")?,
        settings: from.settings()?,
        partitions: from.list("partitions", PARTITION_BYTES, |from| {
            let uid = from.u64("partition uid")?;
            if uid >= next_uid {
                return Err(from.invalid("partition uid", uid));
            }
            let shard = from.u16("shard")?;
            if shard >= shards {
                return Err(from.invalid("shard", shard.into()));
            }
            let leader_epoch = from.i32("leader epoch")?;
            Ok(Partition { uid: PartitionUid(uid), shard: ShardId(shard), leader_epoch })
        })?,
    })
}
