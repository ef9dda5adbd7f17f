//! CreateTopics, CreatePartitions, DeleteTopics.

use std::collections::BTreeMap;

use uuid::Uuid;
use wire::kafka::{
    CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsResult, CreatePartitionsTopic, CreateTopicsRequest, CreateTopicsResponse, CreatedTopic,
    CreatedTopicConfig, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse, DeletedTopic, ErrorCode,
};

use super::errors::kafka_code;
use super::serve::Call;
use crate::catalog::{Command, CommandError, SETTINGS, SettingRule, Topic, plan, read_settings};
use crate::handlers;
use crate::request::Refusal;

/// For a number of partitions or replicas: the broker's default.
const DEFAULT: i32 = -1;
/// Where a setting's value comes from, by Kafka's numbers.
pub(super) const FROM_TOPIC: i8 = 1;
pub(super) const FROM_DEFAULTS: i8 = 5;

/// Why a topic is not made, changed or removed: the code, and why for people.
pub(super) type Refused = (ErrorCode, String);

fn refused(refusal: Refusal) -> Refused {
    (kafka_code(refusal.code), refusal.message)
}

pub(super) async fn create(call: &Call<'_>, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for topic in &request.topics {
        *times.entry(topic.name.to_string()).or_default() += 1;
    }
    let mut topics = Vec::with_capacity(times.len());
    for topic in &request.topics {
        // Which of two was meant nobody knows: each name is answered once.
        let Some(times) = times.remove(topic.name.as_str()) else { continue };
        let created = match times {
            1 => create_one(call, topic, request.validate_only).await,
            _ => Err((ErrorCode::InvalidRequest, "the topic is named more than once".to_owned())),
        };
        topics.push(created.unwrap_or_else(|(code, message)| CreatedTopic {
            name: topic.name.clone(),
            error_code: code.number(),
            error_message: Some(message.into()),
            ..Default::default()
        }));
    }
    CreateTopicsResponse { topics, ..Default::default() }
}

async fn create_one(
    call: &Call<'_>,
    asked: &CreatableTopic,
    validate_only: bool,
) -> Result<CreatedTopic, Refused> {
    let shard = call.shard();
    if !asked.assignments.is_empty() {
        return Err(assigned());
    }
    let replication = i32::from(asked.replication_factor);
    if !(replication == DEFAULT || replication == 1 || shard.config.kafka_replication_any && replication > 0)
    {
        let message = format!(
            "replication factor {replication}: the cluster has 1 node (its cores do not count). \
             `--kafka-replication-factor any` takes every factor as 1"
        );
        return Err((ErrorCode::InvalidReplicationFactor, message));
    }
    let partitions = match asked.num_partitions {
        DEFAULT => shard.config.num_partitions,
        number => u32::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| {
            (ErrorCode::InvalidPartitions, format!("{number} partitions: a topic has at least one"))
        })?,
    };
    let settings = given_settings(asked)?;
    let name = asked.name.to_string();
    let kept = read_settings(&settings);
    let created =
        handlers::create_topic(shard, call.session(), name.clone(), partitions, settings, validate_only);
    let id = created.await.map_err(refused)?;
    let settings = kept.map_err(|error| refused(CommandError::from(error).into()))?;
    let topic = Topic { id, name, settings, partitions: Vec::new() };
    Ok(CreatedTopic {
        name: asked.name.clone(),
        topic_id: id,
        num_partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        replication_factor: 1,
        configs: Some(SETTINGS.iter().map(|rule| config(&topic, rule)).collect()),
        ..Default::default()
    })
}

fn given_settings(asked: &CreatableTopic) -> Result<Vec<(String, String)>, Refused> {
    let given = |config: &CreatableTopicConfig| match &config.value {
        Some(value) => Ok((config.name.to_string(), value.to_string())),
        // Kafka's words.
        None => Err((
            ErrorCode::InvalidConfig,
            format!("Null value not supported for topic configs: {}", config.name),
        )),
    };
    asked.configs.iter().map(given).collect()
}

fn config(topic: &Topic, rule: &SettingRule) -> CreatedTopicConfig {
    CreatedTopicConfig {
        name: rule.name.into(),
        value: Some(topic.setting(rule).into()),
        read_only: false,
        config_source: if topic.settings.contains_key(rule.name) { FROM_TOPIC } else { FROM_DEFAULTS },
        is_sensitive: false,
    }
}

pub(super) async fn create_partitions(
    call: &Call<'_>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for asked in &request.topics {
        let (code, message) = match add_partitions(call, asked, request.validate_only).await {
            Ok(()) => (ErrorCode::None, None),
            Err((code, message)) => (code, Some(message.into())),
        };
        let name = asked.name.clone();
        results.push(CreatePartitionsResult { name, error_code: code.number(), error_message: message });
    }
    CreatePartitionsResponse { results, ..Default::default() }
}

async fn add_partitions(
    call: &Call<'_>,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refused> {
    if asked.assignments.is_some() {
        return Err(assigned());
    }
    let there = call.shard().catalog().topic(asked.name.as_str()).map(|topic| topic.partitions.len());
    let wanted = u32::try_from(asked.count).unwrap_or(0);
    if there.is_some_and(|there| wanted as usize <= there) {
        let message = format!("{} partitions: the topic has {} already", asked.count, there.unwrap_or(0));
        return Err((ErrorCode::InvalidPartitions, message));
    }
    alter(call, asked.name.to_string(), Some(wanted), Vec::new(), validate_only).await
}

fn assigned() -> Refused {
    let message = "this broker places partitions itself, on its cores: leave the assignment out";
    (ErrorCode::InvalidReplicaAssignment, message.to_owned())
}

/// Adds partitions or changes settings, or only says whether that could be done.
pub(super) async fn alter(
    call: &Call<'_>,
    name: String,
    partitions: Option<u32>,
    settings: Vec<(String, Option<String>)>,
    validate_only: bool,
) -> Result<(), Refused> {
    let shard = call.shard();
    if validate_only {
        let command = Command::AlterTopic { name, partitions, settings };
        return match plan(&command, &shard.catalog()) {
            Ok(_) => Ok(()),
            Err(error) => Err(refused(error.into())),
        };
    }
    handlers::alter_topic(shard, call.session(), name, partitions, settings).await.map_err(refused)
}

pub(super) async fn delete(call: &Call<'_>, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState { name: Some(name), topic_id: Uuid::nil() });
    let mut responses = Vec::new();
    for asked in by_name.chain(request.topics) {
        let mut answer = DeletedTopic { name: asked.name, topic_id: asked.topic_id, ..Default::default() };
        if let Err((code, message)) = delete_one(call, &mut answer).await {
            answer.error_code = code.number();
            answer.error_message = Some(message.into());
        }
        responses.push(answer);
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}

/// Removes the topic that the answer names, by name or by id, and fills in the other.
async fn delete_one(call: &Call<'_>, answer: &mut DeletedTopic) -> Result<(), Refused> {
    let shard = call.shard();
    let name = match (&answer.name, answer.topic_id) {
        (Some(_), id) if !id.is_nil() => {
            return Err((ErrorCode::InvalidRequest, "a topic by name and by id".to_owned()));
        }
        (Some(name), _) => {
            answer.topic_id = shard.catalog().topic(name.as_str()).map_or(Uuid::nil(), |topic| topic.id);
            name.to_string()
        }
        (None, id) => {
            let name = shard.catalog().topic_by_id(&id).map(|topic| topic.name.clone());
            let name = name.ok_or_else(|| (ErrorCode::UnknownTopicId, format!("there is no topic {id}")))?;
            answer.name = Some(name.as_str().into());
            name
        }
    };
    handlers::delete_topic(shard, call.session(), name).await.map_err(refused)
}
