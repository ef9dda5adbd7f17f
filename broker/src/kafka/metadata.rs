//! Metadata: each shard is a broker of the cluster, at an address that this client can reach.

use std::collections::HashSet;

use wire::kafka::{
    ErrorCode, MetadataBroker, MetadataPartition, MetadataRequest, MetadataRequestTopic, MetadataResponse,
    MetadataTopic, Text,
};

use super::errors::kafka_code;
use super::serve::Call;
use crate::catalog::{OFFSETS_TOPIC, Partition, Topic};
use crate::config::KafkaAdvertise;
use crate::handlers;
use crate::session::{Action, Resource, authorize};
use crate::shard::Shard;

/// Versions before this one take an empty list for all topics.
const EMPTY_IS_NONE_FROM: i16 = 1;
/// The operations that a client may do with a topic, one bit each by Kafka's numbers: read 3, write 4, create 5, delete 6,
/// alter 7, describe 8, describe and alter configs 10 and 11.
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The same with the cluster: create, alter, describe, cluster action 9, configs, idempotent write 12.
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

pub(super) async fn answer(call: &Call<'_>, request: MetadataRequest) -> MetadataResponse {
    let shard = call.shard();
    if authorize(call.session(), Action::Describe, Resource::Cluster).is_err() {
        let error_code = ErrorCode::ClusterAuthorizationFailed.number();
        return MetadataResponse { error_code, ..Default::default() };
    }
    let asks_all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && call.version < EMPTY_IS_NONE_FROM,
    };
    let mut topics = if asks_all {
        shard.catalog().topics().map(|topic| described(shard, topic)).collect()
    } else {
        let mut topics = Vec::new();
        // Each is told once, however often it is asked for: a topic may have thousands of partitions.
        let mut told = HashSet::new();
        for asked in request.topics.iter().flatten() {
            if !told.insert((&asked.name, asked.topic_id)) {
                continue;
            }
            topics.push(one(call, asked, request.allow_auto_topic_creation).await);
        }
        topics
    };
    if request.include_topic_authorized_operations {
        topics.iter_mut().for_each(|topic| topic.topic_authorized_operations = TOPIC_OPERATIONS);
    }
    MetadataResponse {
        brokers: brokers(call),
        cluster_id: Some(shard.meta.cluster_id.to_string().into()),
        controller_id: broker_id(shard, 0),
        topics,
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => i32::MIN,
        },
        ..Default::default()
    }
}

/// The id under which clients know a shard. With one door the node is one broker.
pub(super) fn broker_id(shard: &Shard, number: u16) -> i32 {
    match shard.config.kafka_advertise {
        KafkaAdvertise::Shards => i32::from(number),
        KafkaAdvertise::Node => 0,
    }
}

/// The brokers that this client is told of.
pub(super) fn brokers(call: &Call<'_>) -> Vec<MetadataBroker> {
    let shard = call.shard();
    let host: Text = match &shard.config.advertise {
        Some(host) => host.as_str().into(),
        // What this client has just reached, which is never a wildcard.
        None => call.connection.local.ip().to_string().into(),
    };
    let broker = |number: u16, port: u16| MetadataBroker {
        node_id: broker_id(shard, number),
        host: host.clone(),
        port: port.into(),
        rack: None,
    };
    match shard.config.kafka_advertise {
        KafkaAdvertise::Shards => (0..)
            .zip(&shard.addresses.shards)
            .map(|(number, address)| broker(number, address.port()))
            .collect(),
        KafkaAdvertise::Node => vec![broker(0, shard.addresses.shared.port())],
    }
}

async fn one(call: &Call<'_>, asked: &MetadataRequestTopic, may_create: bool) -> MetadataTopic {
    let shard = call.shard();
    let refused = |code: ErrorCode| MetadataTopic {
        error_code: code.number(),
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        ..Default::default()
    };
    // Who asks by an id may give an empty name beside it: the Java client does.
    let name = asked.name.as_ref().filter(|_| asked.topic_id.is_nil());
    let Some(name) = name else {
        return match shard.catalog().topic_by_id(&asked.topic_id) {
            Some(topic) => described(shard, topic),
            None => MetadataTopic { name: None, ..refused(ErrorCode::UnknownTopicId) },
        };
    };
    if let Some(topic) = shard.catalog().topic(name.as_str()) {
        return described(shard, topic);
    }
    if !may_create || !shard.config.auto_create_topics {
        return refused(match crate::catalog::check_topic_name(name.as_str()) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        });
    }
    let created = match name.as_str() == OFFSETS_TOPIC {
        true => handlers::ensure_offsets_topic(shard, call.session()).await,
        false => {
            let (name, partitions) = (name.to_string(), shard.config.num_partitions);
            let created =
                handlers::create_topic(shard, call.session(), name, partitions, Vec::new(), false).await;
            created.map(drop)
        }
    };
    match (created, shard.catalog().topic(name.as_str())) {
        // Somebody else may have made it meanwhile, which is as good.
        (_, Some(topic)) => described(shard, topic),
        (Ok(()), None) => refused(ErrorCode::LeaderNotAvailable),
        (Err(refusal), None) => refused(kafka_code(refusal.code)),
    }
}

fn described(shard: &Shard, topic: &Topic) -> MetadataTopic {
    let partition = |(index, partition): (i32, &Partition)| {
        let leader_id = broker_id(shard, partition.shard.0);
        MetadataPartition {
            partition_index: index,
            leader_id,
            leader_epoch: partition.leader_epoch,
            replica_nodes: vec![leader_id],
            isr_nodes: vec![leader_id],
            ..Default::default()
        }
    };
    MetadataTopic {
        name: Some(topic.name.as_str().into()),
        topic_id: topic.id,
        is_internal: topic.name == OFFSETS_TOPIC,
        partitions: (0..).zip(&topic.partitions).map(partition).collect(),
        ..Default::default()
    }
}
