//! The table of topic settings: Kafka's names, what each may hold, what it is when nobody gave it, and whether this
//! version acts on it. A setting that does not act yet is taken and kept all the same: tools that create topics with
//! `flush.ms` must not fail, and the value is there when a later version acts on it.

use std::collections::BTreeMap;

use thiserror::Error;

use super::setting_range::SettingRange;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SettingRule {
    /// Kafka's name; ours begin with `corelog.`.
    pub name: &'static str,
    pub range: SettingRange,
    /// As text, as it would be given.
    pub default: &'static str,
    /// False: kept, without effect in this version.
    pub acts: bool,
}

/// `segment.bytes`: when the log begins a new segment.
pub const SEGMENT_BYTES: &str = "segment.bytes";
/// `max.message.bytes`: the largest batch taken.
pub const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// `retention.ms`: how long records are kept; -1 for ever.
pub(super) const RETENTION_MS: &str = "retention.ms";
/// `retention.bytes`: how much of a partition is kept; -1 all.
pub(super) const RETENTION_BYTES: &str = "retention.bytes";
/// `segment.ms`: when the log begins a new segment, however short this one is.
pub(super) const SEGMENT_MS: &str = "segment.ms";
/// `cleanup.policy`: only with `delete` in it is anything deleted.
pub(super) const CLEANUP_POLICY: &str = "cleanup.policy";

/// `min.compaction.lag.ms` and `max.compaction.lag.ms`: no record may have to stay longer than it may.
const COMPACTION_LAG_MS_MIN: &str = "min.compaction.lag.ms";
const COMPACTION_LAG_MS_MAX: &str = "max.compaction.lag.ms";
/// `remote.storage.enable`: `true` is refused.
const REMOTE_STORAGE: &str = "remote.storage.enable";

/// `message.timestamp.type`: whose time a record has.
pub(super) const TIMESTAMP_TYPE: &str = "message.timestamp.type";
/// Its value for the broker's.
pub(super) const LOG_APPEND_TIME: &str = "LogAppendTime";
/// How far a producer's time may lie before now, and after it.
pub(super) const TIMESTAMP_BEFORE_MS_MAX: &str = "message.timestamp.before.max.ms";
pub(super) const TIMESTAMP_AFTER_MS_MAX: &str = "message.timestamp.after.max.ms";

/// The longest value kept, as it is kept: the longest number takes 20 bytes, `cleanup.policy` with all its words 14. Lists of
/// replicas could be far longer; nothing is replicated here, and a catalog of very many topics has to fit into one record.
const SETTING_VALUE_BYTES_MAX: usize = 256;

const fn long(name: &'static str, min: i64, default: &'static str, acts: bool) -> SettingRule {
    SettingRule { name, range: SettingRange::Long { min, max: i64::MAX }, default, acts }
}

const fn int(name: &'static str, min: i64, max: i64, default: &'static str, acts: bool) -> SettingRule {
    SettingRule { name, range: SettingRange::Int { min, max }, default, acts }
}

const fn word(
    name: &'static str,
    words: &'static [&'static str],
    default: &'static str,
    acts: bool,
) -> SettingRule {
    SettingRule { name, range: SettingRange::Word(words), default, acts }
}

const fn idle(name: &'static str, range: SettingRange, default: &'static str) -> SettingRule {
    SettingRule { name, range, default, acts: false }
}

const fn flag(name: &'static str, default: &'static str) -> SettingRule {
    idle(name, SettingRange::Flag, default)
}

const INT_MAX: i64 = i32::MAX as i64;
const COMPRESSIONS: &[&str] = &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];

/// Every setting, in the order of their names: the 33 of Kafka 4.1.
pub const SETTINGS: &[SettingRule] = &[
    SettingRule {
        name: CLEANUP_POLICY,
        range: SettingRange::Words(&["delete", "compact"]),
        default: "delete",
        acts: true,
    },
    idle("compression.gzip.level", SettingRange::GzipLevel, "-1"),
    int("compression.lz4.level", 1, 17, "9", false),
    word("compression.type", COMPRESSIONS, "producer", false),
    int("compression.zstd.level", -131_072, 22, "3", false),
    long("delete.retention.ms", 0, "86400000", false),
    long("file.delete.delay.ms", 0, "60000", false),
    long("flush.messages", 1, "9223372036854775807", false),
    long("flush.ms", 0, "9223372036854775807", false),
    idle("follower.replication.throttled.replicas", SettingRange::Replicas, ""),
    int("index.interval.bytes", 0, INT_MAX, "4096", false),
    idle("leader.replication.throttled.replicas", SettingRange::Replicas, ""),
    long("local.retention.bytes", -2, "-2", false),
    long("local.retention.ms", -2, "-2", false),
    long(COMPACTION_LAG_MS_MAX, 1, "9223372036854775807", false),
    int(MAX_MESSAGE_BYTES, 0, INT_MAX, "8388608", true),
    long(TIMESTAMP_AFTER_MS_MAX, 0, "3600000", true),
    long(TIMESTAMP_BEFORE_MS_MAX, 0, "9223372036854775807", true),
    word(TIMESTAMP_TYPE, &["CreateTime", LOG_APPEND_TIME], "CreateTime", true),
    idle("min.cleanable.dirty.ratio", SettingRange::Ratio, "0.5"),
    long(COMPACTION_LAG_MS_MIN, 0, "0", false),
    int("min.insync.replicas", 1, INT_MAX, "1", false),
    flag("preallocate", "false"),
    flag("remote.log.copy.disable", "false"),
    flag("remote.log.delete.on.disable", "false"),
    flag(REMOTE_STORAGE, "false"),
    // Any negative number is all, as in Kafka.
    long(RETENTION_BYTES, i64::MIN, "-1", true),
    long(RETENTION_MS, -1, "604800000", true),
    int(SEGMENT_BYTES, 1 << 20, 1 << 40, "1073741824", true),
    int("segment.index.bytes", 4, INT_MAX, "10485760", false),
    long("segment.jitter.ms", 0, "0", false),
    long(SEGMENT_MS, 1, "604800000", true),
    flag("unclean.leader.election.enable", "false"),
];

/// A setting that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    #[error("there is no setting {name:?}")]
    Unknown { name: String },
    #[error("{name} = {value:?}: {expected}")]
    Value { name: &'static str, value: String, expected: String },
    #[error(
        "{COMPACTION_LAG_MS_MIN} ({min}) is above {COMPACTION_LAG_MS_MAX} ({max}): \
         a record would have to stay longer than it may"
    )]
    CompactionLags { min: i64, max: i64 },
    // Kafka's words, which its tools and their documentation quote.
    #[error(
        "Tiered Storage functionality is disabled in the broker. \
         Topic cannot be configured with remote log storage."
    )]
    RemoteStorage,
}

/// The row of a setting.
pub fn rule(name: &str) -> Result<&'static SettingRule, SettingError> {
    SETTINGS
        .binary_search_by(|rule| rule.name.cmp(name))
        .map(|at| &SETTINGS[at])
        .map_err(|_| SettingError::Unknown { name: name.to_owned() })
}

impl SettingRule {
    /// The value in the form in which it is kept, if the setting may hold it.
    pub(super) fn read(&self, value: &str) -> Result<String, SettingError> {
        let kept = self.range.read(value).filter(|kept| kept.len() <= SETTING_VALUE_BYTES_MAX);
        kept.ok_or_else(|| {
            let shown: String = value.chars().take(SETTING_VALUE_BYTES_MAX).collect();
            SettingError::Value { name: self.name, value: shown, expected: self.expected() }
        })
    }

    /// What the setting takes, as a sentence's end.
    pub fn expected(&self) -> String {
        self.range.expected()
    }

    /// Its value among those that were given, or its default.
    pub(super) fn value_in<'a>(&self, given: &'a BTreeMap<String, String>) -> &'a str {
        given.get(self.name).map_or(self.default, String::as_str)
    }
}

/// A setting that is a number, among those that were given.
pub(super) fn number_in(given: &BTreeMap<String, String>, name: &str) -> i64 {
    let rule = rule(name).expect("a setting this program names is in the table");
    let default = rule.default.parse().expect("the table's defaults fit their own range");
    // A value of an older version whose range was wider does not stop the start: the default holds.
    rule.value_in(given).parse().unwrap_or(default)
}

/// The settings of a new topic, in the form in which they are kept.
pub fn read_settings(given: &[(String, String)]) -> Result<BTreeMap<String, String>, SettingError> {
    let read = |(name, value): &(String, String)| Ok((name.clone(), rule(name)?.read(value)?));
    let settings = given.iter().map(read).collect::<Result<_, _>>()?;
    check_together(&settings)?;
    Ok(settings)
}

/// Whether a topic may have these settings, each of which is one it may hold.
pub(super) fn check_together(given: &BTreeMap<String, String>) -> Result<(), SettingError> {
    if given.get(REMOTE_STORAGE).is_some_and(|value| value == "true") {
        return Err(SettingError::RemoteStorage);
    }
    let [min, max] = [COMPACTION_LAG_MS_MIN, COMPACTION_LAG_MS_MAX].map(|name| number_in(given, name));
    if min > max { Err(SettingError::CompactionLags { min, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_as_they_would_be_kept() {
        assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
        for rule in SETTINGS {
            assert_eq!(rule.read(rule.default).as_deref(), Ok(rule.default), "{}", rule.name);
            assert_eq!(super::rule(rule.name), Ok(rule));
        }
        assert_eq!(SETTINGS.len(), 33, "Kafka 4.1 has so many");
        assert_eq!(check_together(&BTreeMap::new()), Ok(()));
    }

    #[test]
    fn values_outside_their_range_are_refused_with_what_is_expected() {
        for (name, value) in [
            ("segment.bytes", "1"),
            ("segment.bytes", "x"),
            ("preallocate", "yes"),
            ("max.message.bytes", "-1"),
            ("max.message.bytes", "2147483648"),
            ("compression.lz4.level", "18"),
            ("compression.zstd.level", "23"),
            ("compression.zstd.level", "-131073"),
            ("local.retention.ms", "-3"),
        ] {
            let error = rule(name).unwrap().read(value).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let long_list = vec!["100:100"; 100].join(",");
        assert!(rule("leader.replication.throttled.replicas").unwrap().read(&long_list).is_err());
        assert!(matches!(rule("segment.byte"), Err(SettingError::Unknown { .. })));
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let given = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let lags = |min, max| given(&[("min.compaction.lag.ms", min), ("max.compaction.lag.ms", max)]);
        assert_eq!(check_together(&lags("5", "5")), Ok(()));
        let error = SettingError::CompactionLags { min: 6, max: 5 };
        assert_eq!(check_together(&lags("6", "5")), Err(error));
        assert_eq!(check_together(&given(&[("remote.storage.enable", "false")])), Ok(()));
        let remote = given(&[("remote.storage.enable", "true")]);
        assert_eq!(check_together(&remote), Err(SettingError::RemoteStorage));
    }
}
