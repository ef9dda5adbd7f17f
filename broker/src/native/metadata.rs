//! Metadata: where partitions live, told with addresses this client can reach.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;

use wire::codes::ErrorCode;
use wire::native::{
    CatalogChanged, Endpoint, Metadata, MetadataReply, PartitionMetadata, ShardEndpoint, TopicMetadata,
    TopicSelection,
};

use super::connection::Connection;
use super::serve::refuse;
use crate::catalog::Topic;
use crate::session::{Action, Resource, authorize};
use crate::shard::Follower;

/// Answers at once: this shard's copy of the catalog knows all.
pub(super) fn answer(connection: &Rc<Connection>, correlation_id: u64, request: &Metadata) {
    let session = connection.session.get().expect("nothing is served before Hello");
    if authorize(session, Action::Describe, Resource::Cluster).is_err() {
        refuse(connection, correlation_id, ErrorCode::NotAuthorized, "not authorized".to_owned());
        return;
    }
    if request.follow {
        connection.follower.get_or_init(|| {
            let follower = Rc::new(Follower { changed: Cell::new(false), wakeup: connection.writer.clone() });
            connection.shard().follow(&follower);
            follower
        });
    }
    let reply = reply(connection, request);
    connection.answer(correlation_id, &reply);
}

fn reply(connection: &Connection, request: &Metadata) -> MetadataReply {
    let shard = connection.shard();
    let catalog = shard.catalog();
    // Each is told once, however often it is asked for: a topic may have thousands of partitions.
    let topics = match &request.topics {
        TopicSelection::All => catalog.topics().map(topic_metadata).collect(),
        TopicSelection::Names(names) => {
            let mut told = BTreeSet::new();
            let found = |name: &String| match catalog.topic(name) {
                Some(topic) => topic_metadata(topic),
                None => {
                    TopicMetadata { code: ErrorCode::UnknownTopic, name: name.clone(), ..Default::default() }
                }
            };
            names.iter().filter(|name| told.insert(*name)).map(found).collect()
        }
        TopicSelection::Ids(ids) => {
            let mut told = BTreeSet::new();
            let found = |id: &uuid::Uuid| match catalog.topic_by_id(id) {
                Some(topic) => topic_metadata(topic),
                None => TopicMetadata { code: ErrorCode::UnknownTopic, id: *id, ..Default::default() },
            };
            ids.iter().filter(|id| told.insert(**id)).map(found).collect()
        }
    };
    let host = reachable_host(connection);
    let shared = &shard.addresses.shared;
    let endpoint = |(number, address): (u16, &SocketAddr)| ShardEndpoint {
        shard: number,
        host: host.clone(),
        port: address.port(),
    };
    MetadataReply {
        cluster_id: shard.meta.cluster_id,
        node_id: shard.meta.node_id,
        shared: Endpoint { host: host.clone(), port: shared.port() },
        shards: (0..).zip(&shard.addresses.shards).map(endpoint).collect(),
        topics,
    }
}

fn topic_metadata(topic: &Topic) -> TopicMetadata {
    let partition = |partition: &crate::catalog::Partition| PartitionMetadata {
        shard: partition.shard.0,
        leader_epoch: partition.leader_epoch,
    };
    TopicMetadata {
        code: ErrorCode::None,
        name: topic.name.clone(),
        id: topic.id,
        partitions: topic.partitions.iter().map(partition).collect(),
    }
}

/// What is advertised; else the address this client has just reached, which is never a wildcard.
fn reachable_host(connection: &Connection) -> String {
    match &connection.shard().config.advertise {
        Some(host) => host.clone(),
        None => connection.local.ip().to_string(),
    }
}

/// Tells a following client that the catalog moved on, once for any number of changes it has not been told of.
pub(super) fn push_change(connection: &Connection) {
    if let Some(follower) = connection.follower.get()
        && follower.changed.replace(false)
    {
        connection.answer(0, &CatalogChanged {});
    }
}
