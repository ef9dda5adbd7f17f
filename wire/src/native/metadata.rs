//! Where partitions live.

use flatbuffers::{FlatBufferBuilder, WIPOffset};
use uuid::Uuid;

use super::body::{
    BodyBuilder, BodyError, Message, checked_len, from_texts, from_uuid, root, to_texts, to_uuid,
    to_uuid_or_nil,
};
use crate::codes::ErrorCode;
use crate::frame::MessageKind;
use crate::generated as schema;
use crate::limits;

/// Which topics are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicSelection {
    All,
    /// At most [`limits::TOPICS_PER_REQUEST_MAX`].
    Names(Vec<String>),
    /// At most [`limits::TOPICS_PER_REQUEST_MAX`].
    Ids(Vec<Uuid>),
}

/// Asks for topics, their partitions and the ports that lead to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub topics: TopicSelection,
    /// Send [`CatalogChanged`] on this connection from now on.
    pub follow: bool,
}

impl Message for Metadata {
    const KIND: MessageKind = MessageKind::Metadata;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            let mut arguments = schema::MetadataArgs { follow_changes: self.follow, ..Default::default() };
            match &self.topics {
                TopicSelection::All => {}
                TopicSelection::Names(names) => {
                    arguments.selection = schema::TopicSelectionKind::Names;
                    arguments.names = Some(from_texts(flatbuffer, names));
                }
                TopicSelection::Ids(ids) => {
                    arguments.selection = schema::TopicSelectionKind::Ids;
                    arguments.ids = Some(flatbuffer.create_vector_from_iter(ids.iter().map(from_uuid)));
                }
            }
            schema::Metadata::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::Metadata<'_>>(Self::KIND, body)?;
        let limit = limits::TOPICS_PER_REQUEST_MAX;
        let topics = match table.selection() {
            schema::TopicSelectionKind::All => TopicSelection::All,
            schema::TopicSelectionKind::Names => {
                TopicSelection::Names(to_texts("names", table.names(), limit)?)
            }
            schema::TopicSelectionKind::Ids => {
                let ids = table.ids();
                checked_len("ids", ids.map_or(0, |ids| ids.len()), limit)?;
                TopicSelection::Ids(ids.iter().flatten().map(to_uuid).collect())
            }
            unknown => {
                return Err(BodyError::UnknownValue { field: "selection", found: unknown.0.into() });
            }
        };
        Ok(Self { topics, follow: table.follow_changes() })
    }
}

/// An address clients can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

/// The port that leads to one shard without crossing cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardEndpoint {
    pub shard: u16,
    pub host: String,
    pub port: u16,
}

/// Where one partition lives; its number is its place in [`TopicMetadata::partitions`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionMetadata {
    pub shard: u16,
    /// Only grows. Metadata with a lower epoch than seen before is stale.
    pub leader_epoch: i32,
}

/// One topic, or why it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicMetadata {
    pub code: ErrorCode,
    pub name: String,
    pub id: Uuid,
    pub partitions: Vec<PartitionMetadata>,
}

/// The answer to [`Metadata`], true at the catalog revision in the frame's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataReply {
    pub cluster_id: Uuid,
    pub node_id: u32,
    /// Any shard answers there.
    pub shared: Endpoint,
    pub shards: Vec<ShardEndpoint>,
    pub topics: Vec<TopicMetadata>,
}

impl Message for MetadataReply {
    const KIND: MessageKind = MessageKind::MetadataReply;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        let cluster_id = from_uuid(&self.cluster_id);
        builder.build(|flatbuffer| {
            let topics: Vec<_> = self.topics.iter().map(|topic| write_topic(flatbuffer, topic)).collect();
            let topics = flatbuffer.create_vector(&topics);
            let shards: Vec<_> = self.shards.iter().map(|shard| write_shard(flatbuffer, shard)).collect();
            let shards = flatbuffer.create_vector(&shards);
            let host = Some(flatbuffer.create_string(&self.shared.host));
            let shared =
                schema::Endpoint::create(flatbuffer, &schema::EndpointArgs { host, port: self.shared.port });
            let arguments = schema::MetadataReplyArgs {
                cluster_id: Some(&cluster_id),
                node_id: self.node_id,
                shared: Some(shared),
                shards: Some(shards),
                topics: Some(topics),
            };
            schema::MetadataReply::create(flatbuffer, &arguments)
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let table = root::<schema::MetadataReply<'_>>(Self::KIND, body)?;
        let shared = table.shared();
        let read_shard = |shard: schema::ShardEndpoint<'_>| ShardEndpoint {
            shard: shard.shard(),
            host: shard.host().to_owned(),
            port: shard.port(),
        };
        Ok(Self {
            cluster_id: to_uuid(table.cluster_id()),
            node_id: table.node_id(),
            shared: Endpoint { host: shared.host().to_owned(), port: shared.port() },
            shards: table.shards().iter().flatten().map(read_shard).collect(),
            topics: table.topics().iter().flatten().map(read_topic).collect(),
        })
    }
}

fn write_shard(
    flatbuffer: &mut FlatBufferBuilder<'static>,
    shard: &ShardEndpoint,
) -> WIPOffset<schema::ShardEndpoint<'static>> {
    let host = Some(flatbuffer.create_string(&shard.host));
    let arguments = schema::ShardEndpointArgs { shard: shard.shard, host, port: shard.port };
    schema::ShardEndpoint::create(flatbuffer, &arguments)
}

fn write_topic(
    flatbuffer: &mut FlatBufferBuilder<'static>,
    topic: &TopicMetadata,
) -> WIPOffset<schema::TopicMetadata<'static>> {
    let id = from_uuid(&topic.id);
    let name = Some(flatbuffer.create_string(&topic.name));
    let partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|&PartitionMetadata { shard, leader_epoch }| {
            let arguments = schema::PartitionMetadataArgs { shard, leader_epoch };
            schema::PartitionMetadata::create(flatbuffer, &arguments)
        })
        .collect();
    let partitions = Some(flatbuffer.create_vector(&partitions));
    let arguments = schema::TopicMetadataArgs { code: topic.code.number(), name, id: Some(&id), partitions };
    schema::TopicMetadata::create(flatbuffer, &arguments)
}

fn read_topic(topic: schema::TopicMetadata<'_>) -> TopicMetadata {
    let partitions = topic.partitions();
    TopicMetadata {
        code: ErrorCode::from_number(topic.code()),
        name: topic.name().to_owned(),
        id: to_uuid_or_nil(topic.id()),
        partitions: partitions
            .iter()
            .flatten()
            .map(|partition| PartitionMetadata {
                shard: partition.shard(),
                leader_epoch: partition.leader_epoch(),
            })
            .collect(),
    }
}

/// The catalog moved to the revision in the frame's header: metadata read before may be stale. Pushed, correlation id 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogChanged {}

impl Message for CatalogChanged {
    const KIND: MessageKind = MessageKind::CatalogChanged;

    fn encode<'b>(&self, builder: &'b mut BodyBuilder) -> &'b [u8] {
        builder.build(|flatbuffer| {
            schema::CatalogChanged::create(flatbuffer, &schema::CatalogChangedArgs::default())
        })
    }

    fn decode(body: &[u8]) -> Result<Self, BodyError> {
        root::<schema::CatalogChanged<'_>>(Self::KIND, body)?;
        Ok(Self {})
    }
}
