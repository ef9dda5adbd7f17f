//! The settings of brokers and of groups, by Kafka's names. They can be looked at and not altered: a broker's are its flags and
//! its limits, and every group has the same.
//!
//! Invariant: only what holds here is told. A setting of Kafka's that has no meaning here is not in the list.

use std::net::SocketAddr;
use std::time::Duration;

use wire::kafka::{ConfigSynonym, MetadataBroker};

use super::configs::{BOOLEAN, INT, LIST, LONG, SHORT, STRING, config_type};
use super::serve::Call;
use super::topics::FROM_DEFAULTS;
use crate::catalog::rule;
use crate::config::{Config, KafkaAdvertise};
use crate::groups::{ASSIGNORS, OFFSETS_PARTITIONS};
use crate::limits;

/// Set in a broker's file or flags, by Kafka's number.
const FROM_BROKER: i8 = 4;

/// What a new topic has, as brokers' settings of Kafka say it: the broker's name for it, the topic's.
const OF_NEW_TOPICS: [(&str, &str); 11] = [
    ("compression.type", "compression.type"),
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.message.timestamp.after.max.ms", "message.timestamp.after.max.ms"),
    ("log.message.timestamp.before.max.ms", "message.timestamp.before.max.ms"),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.retention.ms", "retention.ms"),
    ("log.roll.ms", "segment.ms"),
    ("log.segment.bytes", "segment.bytes"),
    ("message.max.bytes", "max.message.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
];
/// The same in hours, which is what older tools look for.
const OF_NEW_TOPICS_HOURS: [(&str, &str); 2] =
    [("log.retention.hours", "retention.ms"), ("log.roll.hours", "segment.ms")];

/// A setting that nobody alters.
pub(super) struct FixedSetting {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// What it is unless a flag says otherwise. `None`: there is no such thing, as with an address.
    default: Option<String>,
    pub(super) config_type: i8,
    pub(super) documentation: String,
}

impl FixedSetting {
    pub(super) fn source(&self) -> i8 {
        if self.default.as_ref() == Some(&self.value) { FROM_DEFAULTS } else { FROM_BROKER }
    }

    /// Where the value is set, the place that counts first.
    pub(super) fn synonyms(&self) -> Vec<ConfigSynonym> {
        let said = (self.source() == FROM_BROKER).then_some((&self.value, FROM_BROKER));
        let all = said.into_iter().chain(self.default.iter().map(|default| (default, FROM_DEFAULTS)));
        all.map(|(value, source)| ConfigSynonym {
            name: self.name.into(),
            value: Some(value.as_str().into()),
            source,
        })
        .collect()
    }
}

/// In the order of their names.
pub(super) fn of_broker(call: &Call<'_>, broker: &MetadataBroker) -> Vec<FixedSetting> {
    let mut settings = addresses(call, broker);
    settings.extend(flags(&call.shard().config));
    settings.extend(of_new_topics());
    settings.extend(of_all_groups());
    settings.extend(limits_and_more());
    settings.sort_unstable_by_key(|setting| setting.name);
    settings
}

/// What KIP-848 lets a group have of its own, and what acts here for all.
pub(super) fn of_group() -> Vec<FixedSetting> {
    vec![
        always(
            "consumer.heartbeat.interval.ms",
            INT,
            ms(limits::CONSUMER_HEARTBEAT_INTERVAL),
            "How often a member says that it lives. The same for every group.",
        ),
        always(
            "consumer.session.timeout.ms",
            INT,
            ms(limits::CONSUMER_SESSION_TIMEOUT),
            "How long a member that says nothing stays one. The same for every group.",
        ),
    ]
}

/// What no flag changes.
fn always(
    name: &'static str,
    config_type: i8,
    value: impl ToString,
    documentation: impl Into<String>,
) -> FixedSetting {
    said(name, config_type, value.to_string(), Some(value.to_string()), documentation)
}

fn said(
    name: &'static str,
    config_type: i8,
    value: impl ToString,
    default: Option<String>,
    documentation: impl Into<String>,
) -> FixedSetting {
    let (value, documentation) = (value.to_string(), documentation.into());
    FixedSetting { name, value, default, config_type, documentation }
}

fn ms(time: Duration) -> u128 {
    time.as_millis()
}

fn addresses(call: &Call<'_>, broker: &MetadataBroker) -> Vec<FixedSetting> {
    let shard = call.shard();
    let own = usize::try_from(broker.node_id).ok().and_then(|id| shard.addresses.shards.get(id));
    let shared = shard.addresses.shared;
    let listeners: Vec<String> = match (shard.config.kafka_advertise, own) {
        (KafkaAdvertise::Shards, Some(own)) => vec![listener(own), listener(&shared)],
        _ => vec![listener(&shared)],
    };
    let host = match broker.host.as_str() {
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let advertised = format!("PLAINTEXT://{host}:{}", broker.port);
    let id = broker.node_id;
    vec![
        said("advertised.listeners", STRING, advertised, None, "The address that this client is told."),
        said("broker.id", INT, id, None, "The number of the core, or 0 where the node is one broker."),
        said(
            "listeners",
            STRING,
            listeners.join(","),
            None,
            "The core's own port and the one that all share, or that alone where the node is one broker.",
        ),
        said(
            "log.dirs",
            STRING,
            shard.config.data.to_string_lossy(),
            None,
            "The data folder, which all cores share (`--data`).",
        ),
        said("node.id", INT, id, None, "The same as broker.id."),
    ]
}

fn listener(address: &SocketAddr) -> String {
    format!("PLAINTEXT://{address}")
}

fn flags(config: &Config) -> Vec<FixedSetting> {
    let defaults = Config::default();
    vec![
        said(
            "auto.create.topics.enable",
            BOOLEAN,
            config.auto_create_topics,
            Some(defaults.auto_create_topics.to_string()),
            "Whether a topic is made that a client names and that is not there (`--auto-create-topics`).",
        ),
        said(
            "group.initial.rebalance.delay.ms",
            INT,
            ms(config.first_members_wait),
            Some(ms(defaults.first_members_wait).to_string()),
            "How long a group that was empty waits for more members (`--group-initial-rebalance-delay`).",
        ),
        said(
            "log.retention.check.interval.ms",
            LONG,
            ms(config.retention_interval),
            Some(ms(defaults.retention_interval).to_string()),
            "How often is looked for what topics need not keep any more.",
        ),
        said(
            "num.partitions",
            INT,
            config.num_partitions,
            Some(defaults.num_partitions.to_string()),
            "Partitions of a topic that is made without saying how many (`--num-partitions`).",
        ),
        said(
            "socket.request.max.bytes",
            INT,
            config.produce_request_bytes_max(),
            Some(limits::PRODUCE_REQUEST_BYTES_MAX.to_string()),
            "The largest Produce request taken: less where there is little memory (`--memory`).",
        ),
    ]
}

fn of_new_topics() -> Vec<FixedSetting> {
    let of_topic = |name: &str| rule(name).expect("a setting this program names is in the table");
    let told = OF_NEW_TOPICS.map(|(name, topics)| {
        let rule = of_topic(topics);
        let idle = if rule.acts { "" } else { " Without effect in this version." };
        always(
            name,
            config_type(rule),
            rule.default,
            format!("What a topic has that is not told its {topics}.{idle}"),
        )
    });
    let in_hours = OF_NEW_TOPICS_HOURS.map(|(name, topics)| {
        let ms: u64 = of_topic(topics).default.parse().expect("the table's times are numbers");
        always(
            name,
            INT,
            ms / 3_600_000,
            format!("What a topic has that is not told its {topics}, in hours."),
        )
    });
    told.into_iter().chain(in_hours).collect()
}

fn of_all_groups() -> Vec<FixedSetting> {
    let members = "Members of a group; one more is refused.";
    vec![
        always("group.consumer.assignors", LIST, ASSIGNORS.join(","), "How partitions can be shared out."),
        always(
            "group.consumer.heartbeat.interval.ms",
            INT,
            ms(limits::CONSUMER_HEARTBEAT_INTERVAL),
            "How often a member of a group by KIP-848 says that it lives.",
        ),
        always("group.consumer.max.size", INT, limits::MEMBERS_PER_GROUP_MAX, members),
        always(
            "group.consumer.session.timeout.ms",
            INT,
            ms(limits::CONSUMER_SESSION_TIMEOUT),
            "How long a member of a group by KIP-848 that says nothing stays one.",
        ),
        always(
            "group.max.session.timeout.ms",
            INT,
            ms(limits::SESSION_TIMEOUT_MAX),
            "The longest session that a member of a classic group may have.",
        ),
        always("group.max.size", INT, limits::MEMBERS_PER_GROUP_MAX, members),
        always(
            "group.min.session.timeout.ms",
            INT,
            ms(limits::SESSION_TIMEOUT_MIN),
            "The shortest session that a member of a classic group may have.",
        ),
        always(
            "offset.metadata.max.bytes",
            INT,
            limits::OFFSET_METADATA_BYTES_MAX,
            "The longest text that is kept with a committed offset.",
        ),
        always(
            "offsets.retention.check.interval.ms",
            LONG,
            ms(limits::OFFSETS_LOOKED_OVER_EVERY),
            "How often offsets are looked over for those that nobody uses.",
        ),
        always(
            "offsets.retention.minutes",
            INT,
            limits::OFFSETS_RETENTION.as_secs() / 60,
            "How long offsets are kept that nobody uses.",
        ),
        always(
            "offsets.topic.num.partitions",
            INT,
            OFFSETS_PARTITIONS,
            "Partitions of the topic that keeps the groups.",
        ),
        always("offsets.topic.replication.factor", SHORT, 1, "The cluster has one node."),
    ]
}

fn limits_and_more() -> Vec<FixedSetting> {
    vec![
        always("default.replication.factor", INT, 1, "The cluster has one node: its cores do not count."),
        always("delete.topic.enable", BOOLEAN, true, "Topics can be removed."),
        always(
            "fetch.max.bytes",
            INT,
            limits::FETCH_BYTES_MAX,
            "The most that a fetch is answered with, or one batch.",
        ),
        always(
            "unclean.leader.election.enable",
            BOOLEAN,
            false,
            "A partition is served by who has its records, and by nobody else.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_memory() -> Config {
        Config { cores: vec![0], memory_bytes: Some(1 << 30), ..Config::default() }
    }

    fn all_but_addresses(config: &Config) -> Vec<FixedSetting> {
        [flags(config), of_new_topics(), of_all_groups(), limits_and_more(), of_group()]
            .into_iter()
            .flatten()
            .collect()
    }

    #[test]
    fn a_value_is_as_its_type_says_and_each_name_is_told_once() {
        let mut names = std::collections::HashSet::new();
        for setting in all_but_addresses(&with_memory()) {
            let FixedSetting { name, value, config_type, .. } = &setting;
            assert!(names.insert(*name), "{name} twice");
            match *config_type {
                INT => assert!(value.parse::<i32>().is_ok(), "{name} = {value}"),
                LONG => assert!(value.parse::<i64>().is_ok(), "{name} = {value}"),
                BOOLEAN => assert!(matches!(value.as_str(), "true" | "false"), "{name} = {value}"),
                SHORT | STRING | LIST => assert!(!value.is_empty(), "{name}"),
                other => panic!("{name} has the type {other}"),
            }
            assert_eq!(setting.source(), FROM_DEFAULTS, "{name}: nobody gave a flag");
        }
    }

    #[test]
    fn what_a_flag_says_comes_before_what_it_would_be_without() {
        let config = Config { num_partitions: 7, ..with_memory() };
        let said: Vec<_> = flags(&config)
            .into_iter()
            .filter(|setting| setting.source() == FROM_BROKER)
            .map(|setting| (setting.name, setting.synonyms()))
            .collect();
        let [(name, synonyms)] = &said[..] else { panic!("{} settings are said", said.len()) };
        let told: Vec<_> =
            synonyms.iter().map(|one| (one.value.as_ref().unwrap().as_str(), one.source)).collect();
        assert_eq!((*name, told), ("num.partitions", vec![("7", FROM_BROKER), ("1", FROM_DEFAULTS)]));
    }
}
