//! The table of topic settings: Kafka's names, what each may hold, what it is when nobody gave it, and whether this
//! version acts on it. A setting that does not act yet is taken and kept all the same: tools that create topics with
//! `retention.ms` must not fail, and the value is there when a later version acts on it.

use thiserror::Error;

/// What a setting may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingRange {
    /// A whole number within the bounds, both included.
    Number { min: i64, max: i64 },
    /// A fraction between 0 and 1.
    Ratio,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words with commas between; at least one.
    Words(&'static [&'static str]),
}

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

/// `message.timestamp.type`: whose time a record has.
pub(super) const TIMESTAMP_TYPE: &str = "message.timestamp.type";
/// Its value for the broker's.
pub(super) const LOG_APPEND_TIME: &str = "LogAppendTime";
/// How far a producer's time may lie before now, and after it.
pub(super) const TIMESTAMP_BEFORE_MS_MAX: &str = "message.timestamp.before.max.ms";
pub(super) const TIMESTAMP_AFTER_MS_MAX: &str = "message.timestamp.after.max.ms";

/// The longest value kept: `cleanup.policy` with all its words takes 14 bytes, the longest number 20.
const SETTING_VALUE_BYTES_MAX: usize = 256;

const fn number(name: &'static str, min: i64, max: i64, default: &'static str, acts: bool) -> SettingRule {
    SettingRule { name, range: SettingRange::Number { min, max }, default, acts }
}

const fn word(
    name: &'static str,
    words: &'static [&'static str],
    default: &'static str,
    acts: bool,
) -> SettingRule {
    SettingRule { name, range: SettingRange::Word(words), default, acts }
}

const fn flag(name: &'static str, default: &'static str) -> SettingRule {
    SettingRule { name, range: SettingRange::Flag, default, acts: false }
}

const MAX: i64 = i64::MAX;
const COMPRESSIONS: &[&str] = &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];

/// Every setting, in the order of their names.
pub const SETTINGS: &[SettingRule] = &[
    SettingRule {
        name: CLEANUP_POLICY,
        range: SettingRange::Words(&["delete", "compact"]),
        default: "delete",
        acts: true,
    },
    word("compression.type", COMPRESSIONS, "producer", false),
    number("delete.retention.ms", 0, MAX, "86400000", false),
    number("file.delete.delay.ms", 0, MAX, "60000", false),
    number("flush.messages", 1, MAX, "9223372036854775807", false),
    number("flush.ms", 0, MAX, "9223372036854775807", false),
    number("index.interval.bytes", 0, i32::MAX as i64, "4096", false),
    number("max.compaction.lag.ms", 1, MAX, "9223372036854775807", false),
    number(MAX_MESSAGE_BYTES, 1_024, wire::limits::BATCH_BYTES_MAX as i64, "8388608", true),
    number(TIMESTAMP_AFTER_MS_MAX, 0, MAX, "3600000", true),
    number(TIMESTAMP_BEFORE_MS_MAX, 0, MAX, "9223372036854775807", true),
    word(TIMESTAMP_TYPE, &["CreateTime", LOG_APPEND_TIME], "CreateTime", true),
    SettingRule {
        name: "min.cleanable.dirty.ratio",
        range: SettingRange::Ratio,
        default: "0.5",
        acts: false,
    },
    number("min.compaction.lag.ms", 0, MAX, "0", false),
    number("min.insync.replicas", 1, i32::MAX as i64, "1", false),
    flag("preallocate", "false"),
    number(RETENTION_BYTES, -1, MAX, "-1", true),
    number(RETENTION_MS, -1, MAX, "604800000", true),
    number(SEGMENT_BYTES, 1 << 20, 1 << 40, "1073741824", true),
    number("segment.index.bytes", 4, i32::MAX as i64, "10485760", false),
    number("segment.jitter.ms", 0, MAX, "0", false),
    number(SEGMENT_MS, 1, MAX, "604800000", true),
    flag("unclean.leader.election.enable", "false"),
];

/// A setting that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    #[error("there is no setting {name:?}")]
    Unknown { name: String },
    #[error("{name} = {value:?}: {expected}")]
    Value { name: &'static str, value: String, expected: String },
}

/// The row of a setting.
pub fn rule(name: &str) -> Result<&'static SettingRule, SettingError> {
    SETTINGS
        .binary_search_by(|rule| rule.name.cmp(name))
        .map(|at| &SETTINGS[at])
        .map_err(|_| SettingError::Unknown { name: name.to_owned() })
}

impl SettingRule {
    /// Whether the value is one the setting may hold.
    pub fn check(&self, value: &str) -> Result<(), SettingError> {
        let fits = match self.range {
            SettingRange::Number { min, max } => {
                value.parse::<i64>().is_ok_and(|number| (min..=max).contains(&number))
            }
            SettingRange::Ratio => value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
            SettingRange::Flag => matches!(value, "true" | "false"),
            SettingRange::Word(words) => words.contains(&value),
            SettingRange::Words(words) => value.split(',').all(|word| words.contains(&word.trim())),
        };
        if fits && value.len() <= SETTING_VALUE_BYTES_MAX {
            return Ok(());
        }
        let shown: String = value.chars().take(SETTING_VALUE_BYTES_MAX).collect();
        Err(SettingError::Value { name: self.name, value: shown, expected: self.expected() })
    }

    /// What the setting takes, as a sentence's end.
    pub fn expected(&self) -> String {
        match self.range {
            SettingRange::Number { min, max: MAX } => format!("a whole number from {min} on"),
            SettingRange::Number { min, max } => format!("a whole number from {min} to {max}"),
            SettingRange::Ratio => "a number from 0 to 1".to_owned(),
            SettingRange::Flag => "true or false".to_owned(),
            SettingRange::Word(words) => format!("one of {}", words.join(", ")),
            SettingRange::Words(words) => format!("one or more of {}, with commas", words.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_fit() {
        assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
        for rule in SETTINGS {
            assert_eq!(rule.check(rule.default), Ok(()), "{}", rule.name);
            assert_eq!(super::rule(rule.name), Ok(rule));
        }
    }

    #[test]
    fn values_outside_their_range_are_refused_with_what_is_expected() {
        let refused =
            [("segment.bytes", "1"), ("segment.bytes", "x"), ("preallocate", "yes"), ("cleanup.policy", "")];
        for (name, value) in refused {
            let error = rule(name).unwrap().check(value).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert_eq!(rule("cleanup.policy").unwrap().check("compact,delete"), Ok(()));
        assert!(matches!(rule("segment.byte"), Err(SettingError::Unknown { .. })));
    }
}
