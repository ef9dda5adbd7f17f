//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: topic settings by Kafka's names. Those of brokers and groups can be
//! looked at, and no more; brokers' loggers and clients' metrics have none.

use std::collections::HashSet;

use wire::kafka::{
    AlterConfigsRequest, AlterConfigsResponse, Alteration, AlteredResource, ConfigSynonym,
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse, DescribedConfig,
    DescribedResource, ErrorCode, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    IncrementalAlteration, MetadataBroker, Text,
};

use super::fixed_settings::{self, FixedSetting};
use super::metadata::brokers;
use super::serve::Call;
use super::topics::{FROM_DEFAULTS, FROM_TOPIC, Refused, alter};
use crate::catalog::{SETTINGS, SettingRange, SettingRule, Topic, elements, rule};

/// Resources, by Kafka's numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
/// Types of values, by Kafka's numbers.
pub(super) const BOOLEAN: i8 = 1;
pub(super) const STRING: i8 = 2;
pub(super) const INT: i8 = 3;
pub(super) const SHORT: i8 = 4;
pub(super) const LONG: i8 = 5;
const DOUBLE: i8 = 6;
pub(super) const LIST: i8 = 7;
/// What is done to a setting, by Kafka's numbers.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// A setting that is given a value, or (`None`) its default again.
type Change = (String, Option<String>);

pub(super) async fn describe(call: &Call<'_>, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let describe = |resource: &DescribeConfigsResource| {
        let wanted = |name: &str| match &resource.configuration_keys {
            Some(names) if !names.is_empty() => names.iter().any(|wanted| wanted.as_str() == name),
            _ => true,
        };
        let described = match resource.resource_type {
            TOPIC => of_topic(call, &resource.resource_name, &request),
            kind => of_another(call, kind, resource.resource_name.as_str())
                .map(|settings| settings.into_iter().map(|setting| fixed(setting, &request)).collect()),
        };
        let mut answer = DescribedResource {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
        match described {
            Ok(configs) => {
                answer.configs = configs.into_iter().filter(|config| wanted(config.name.as_str())).collect();
            }
            Err((code, message)) => {
                answer.error_code = code.number();
                answer.error_message = Some(message.into());
            }
        }
        answer
    };
    // Each is described once, however often it is asked for: an answer is much larger than its question.
    let mut described = HashSet::new();
    let resources = request.resources.iter();
    let resources =
        resources.filter(|resource| described.insert((resource.resource_type, &resource.resource_name)));
    let results = resources.map(describe).collect();
    DescribeConfigsResponse { results, ..Default::default() }
}

fn of_topic(
    call: &Call<'_>,
    name: &Text,
    request: &DescribeConfigsRequest,
) -> Result<Vec<DescribedConfig>, Refused> {
    let catalog = call.shard().catalog();
    let topic = catalog.topic(name.as_str()).ok_or_else(|| unknown(name))?;
    let describe = |rule: &SettingRule| DescribedConfig {
        name: rule.name.into(),
        value: Some(topic.setting(rule).into()),
        config_source: source(topic, rule),
        synonyms: if request.include_synonyms { synonyms(topic, rule) } else { Vec::new() },
        config_type: config_type(rule),
        documentation: request.include_documentation.then(|| documentation(rule).into()),
        ..Default::default()
    };
    Ok(SETTINGS.iter().map(describe).collect())
}

fn unknown(name: &Text) -> Refused {
    (ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}"))
}

fn source(topic: &Topic, rule: &SettingRule) -> i8 {
    if topic.settings.contains_key(rule.name) { FROM_TOPIC } else { FROM_DEFAULTS }
}

/// Where the value is set, the place that counts first.
fn synonyms(topic: &Topic, rule: &SettingRule) -> Vec<ConfigSynonym> {
    let given = topic.settings.get(rule.name).map(|value| (value.as_str(), FROM_TOPIC));
    let all = given.into_iter().chain([(rule.default, FROM_DEFAULTS)]);
    all.map(|(value, source)| ConfigSynonym { name: rule.name.into(), value: Some(value.into()), source })
        .collect()
}

pub(super) fn config_type(rule: &SettingRule) -> i8 {
    match rule.range {
        SettingRange::Flag => BOOLEAN,
        SettingRange::Word(_) => STRING,
        SettingRange::Int { .. } | SettingRange::GzipLevel => INT,
        SettingRange::Long { .. } => LONG,
        SettingRange::Ratio => DOUBLE,
        SettingRange::Words(_) | SettingRange::Replicas => LIST,
    }
}

fn documentation(rule: &SettingRule) -> String {
    let acts = if rule.acts { "" } else { " Kept, without effect in this version." };
    format!("Takes {}.{acts}", rule.expected())
}

/// The settings of what is no topic.
fn of_another(call: &Call<'_>, kind: i8, name: &str) -> Result<Vec<FixedSetting>, Refused> {
    match kind {
        // The cluster's own, which hold for brokers that say nothing else: there are none.
        BROKER if name.is_empty() => Ok(Vec::new()),
        BROKER => broker(call, name).map(|broker| fixed_settings::of_broker(call, &broker)),
        BROKER_LOGGER => broker(call, name).map(|_| Vec::new()),
        CLIENT_METRICS => named(name, "clients' metrics").map(|()| Vec::new()),
        GROUP => named(name, "a group").map(|()| fixed_settings::of_group()),
        _ => Err((ErrorCode::InvalidRequest, format!("{} are not described", in_words(kind)))),
    }
}

fn broker(call: &Call<'_>, name: &str) -> Result<MetadataBroker, Refused> {
    // In this spelling alone: `01` and `+1` would be told each as another, and an answer is much larger than its question.
    let found = brokers(call).into_iter().find(|broker| broker.node_id.to_string() == name);
    found.ok_or_else(|| (ErrorCode::InvalidRequest, format!("there is no broker {name:?}")))
}

fn named(name: &str, what: &str) -> Result<(), Refused> {
    match name {
        "" => {
            Err((ErrorCode::InvalidRequest, format!("the settings of {what} are asked for without a name")))
        }
        _ => Ok(()),
    }
}

/// As its kind of resource is called to people.
fn in_words(kind: i8) -> &'static str {
    match kind {
        TOPIC => "topics' settings",
        BROKER => "brokers' settings",
        BROKER_LOGGER => "brokers' loggers",
        CLIENT_METRICS => "clients' metrics",
        GROUP => "consumer groups' settings",
        _ => "settings of what this broker does not know",
    }
}

fn fixed(setting: FixedSetting, request: &DescribeConfigsRequest) -> DescribedConfig {
    let config_source = setting.source();
    DescribedConfig {
        name: setting.name.into(),
        synonyms: if request.include_synonyms { setting.synonyms() } else { Vec::new() },
        value: Some(setting.value.into()),
        read_only: true,
        config_source,
        config_type: setting.config_type,
        documentation: request.include_documentation.then(|| setting.documentation.into()),
        ..Default::default()
    }
}

/// Sets what is named, and everything else to its default.
pub(super) async fn replace(call: &Call<'_>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let changes = topic(call, kind, &name).and_then(|topic| replaced(&topic, &resource.configs));
        responses.push(altered(call, kind, name, changes, request.validate_only).await);
    }
    AlterConfigsResponse { responses, ..Default::default() }
}

fn replaced(topic: &Topic, configs: &[Alteration]) -> Result<Vec<Change>, Refused> {
    let is_named = |name: &String| configs.iter().any(|config| config.name.as_str() == name);
    let left_out = topic.settings.keys().filter(|name| !is_named(name)).map(|name| Ok((name.clone(), None)));
    let named = configs.iter().map(|config| match &config.value {
        Some(value) => Ok((config.name.to_string(), Some(value.to_string()))),
        // As in Kafka: what is to have its default is left out.
        None => Err((ErrorCode::InvalidRequest, format!("{} is named without a value", config.name))),
    });
    left_out.chain(named).collect()
}

/// Changes what is named, and nothing else.
pub(super) async fn alter_incrementally(
    call: &Call<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let changes = topic(call, kind, &name)
            .and_then(|topic| resource.configs.iter().map(|config| changed(&topic, config)).collect());
        responses.push(altered(call, kind, name, changes, request.validate_only).await);
    }
    IncrementalAlterConfigsResponse { responses, ..Default::default() }
}

fn changed(topic: &Topic, config: &IncrementalAlteration) -> Result<Change, Refused> {
    let name = config.name.to_string();
    let rule = rule(&name).map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))?;
    let value = config.value.as_ref().map(ToString::to_string);
    let is_list = rule.range.is_list();
    match (config.config_operation, value) {
        (DELETE, _) => Ok((name, None)),
        (SET, Some(value)) => Ok((name, Some(value))),
        (APPEND | SUBTRACT, Some(value)) if is_list => {
            let (words, mut list) = (elements(&value), elements(topic.setting(rule)));
            list.retain(|word| !words.contains(word));
            if config.config_operation == APPEND {
                list.extend(words);
            }
            Ok((name, Some(list.join(","))))
        }
        (APPEND | SUBTRACT, Some(_)) => Err((
            ErrorCode::InvalidConfig,
            format!("{name} is no list: it is set, and nothing is added to it"),
        )),
        (operation, _) => {
            let message = format!("operation {operation} on {name}, which takes a value");
            Err((ErrorCode::InvalidRequest, message))
        }
    }
}

fn topic(call: &Call<'_>, kind: i8, name: &Text) -> Result<Topic, Refused> {
    if kind != TOPIC {
        let message = format!("{} cannot be altered here, topics' alone can", in_words(kind));
        return Err((ErrorCode::InvalidRequest, message));
    }
    call.shard().catalog().topic(name.as_str()).cloned().ok_or_else(|| unknown(name))
}

async fn altered(
    call: &Call<'_>,
    resource_type: i8,
    resource_name: Text,
    changes: Result<Vec<Change>, Refused>,
    validate_only: bool,
) -> AlteredResource {
    let name = resource_name.to_string();
    let outcome = match changes {
        Ok(changes) => alter(call, name, None, changes, validate_only).await,
        Err(refused) => Err(refused),
    };
    let (code, message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err((code, message)) => (code, Some(message.into())),
    };
    AlteredResource { error_code: code.number(), error_message: message, resource_type, resource_name }
}
