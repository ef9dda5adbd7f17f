//! What a topic's setting may hold, how a value of it is read, and in which form it is kept. Pure.
//!
//! Values are read as Kafka reads them, and kept as it describes them afterwards: blanks around a value or an element of a list
//! are gone, a flag is in small letters, `+5` is 5.

/// What a setting may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingRange {
    /// A whole number within the bounds, both included. In Kafka it has 32 bits, and Kafka's clients are told so, also where
    /// more is taken here (`segment.bytes`).
    Int { min: i64, max: i64 },
    /// The same with 64 bits.
    Long { min: i64, max: i64 },
    /// 1 to 9, or -1: what the codec takes for the best.
    GzipLevel,
    /// A fraction between 0 and 1.
    Ratio,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words with commas between; it may be empty.
    Words(&'static [&'static str]),
    /// A list of `partition:broker` with commas between, which may be empty, or `*`.
    Replicas,
}

impl SettingRange {
    /// The value in the form in which it is kept, if the setting may hold it.
    pub(super) fn read(self, value: &str) -> Option<String> {
        let value = value.trim();
        let as_it_is = |fits: bool| fits.then(|| value.to_owned());
        match self {
            Self::Int { min, max } | Self::Long { min, max } => {
                whole(value, |number| (min..=max).contains(&number))
            }
            Self::GzipLevel => whole(value, |level| level == -1 || (1..=9).contains(&level)),
            Self::Ratio => as_it_is(value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))),
            Self::Flag => {
                ["true", "false"].into_iter().find(|word| word.eq_ignore_ascii_case(value)).map(str::to_owned)
            }
            Self::Word(words) => as_it_is(words.contains(&value)),
            Self::Words(words) => list(value, |word| words.contains(&word)),
            Self::Replicas if value == "*" => as_it_is(true),
            Self::Replicas => list(value, is_replica),
        }
    }

    /// Whether elements can be added to a value, and taken from it.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Words(_) | Self::Replicas)
    }

    /// What the setting takes, as a sentence's end.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Int { min: i64::MIN, .. } | Self::Long { min: i64::MIN, .. } => "a whole number".to_owned(),
            Self::Long { min, max: i64::MAX } => format!("a whole number from {min} on"),
            Self::Int { min, max } | Self::Long { min, max } => {
                format!("a whole number from {min} to {max}")
            }
            Self::GzipLevel => "-1, or a whole number from 1 to 9".to_owned(),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("any of {}, with commas, or nothing", words.join(", ")),
            Self::Replicas => "a short list of partition:broker, with commas, or *, or nothing".to_owned(),
        }
    }
}

/// The elements of a list as it is given or kept. An empty text is a list of none.
pub fn elements(list: &str) -> Vec<&str> {
    match list.trim() {
        "" => Vec::new(),
        list => list.split(',').map(str::trim).collect(),
    }
}

fn whole(value: &str, fits: impl Fn(i64) -> bool) -> Option<String> {
    value.parse().ok().filter(|number| fits(*number)).map(|number| number.to_string())
}

fn list(value: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
    let elements = elements(value);
    elements.iter().all(|element| fits(element)).then(|| elements.join(","))
}

fn is_replica(element: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    element.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: SettingRange = SettingRange::Words(&["delete", "compact"]);

    #[test]
    fn values_are_read_as_kafka_reads_them_and_kept_as_it_describes_them() {
        let number = SettingRange::Int { min: -1, max: 10 };
        for (range, given, kept) in [
            (number, " 7\t", "7"),
            (number, "+5", "5"),
            (number, "-1", "-1"),
            (SettingRange::Flag, "TRUE", "true"),
            (SettingRange::Flag, " False ", "false"),
            (SettingRange::Ratio, " 0.25 ", "0.25"),
            (SettingRange::Word(&["a"]), " a ", "a"),
            (WORDS, "", ""),
            (WORDS, "  ", ""),
            (WORDS, " compact , delete ", "compact,delete"),
            (SettingRange::GzipLevel, "-1", "-1"),
            (SettingRange::GzipLevel, "9", "9"),
            (SettingRange::Replicas, "", ""),
            (SettingRange::Replicas, "*", "*"),
            (SettingRange::Replicas, "0:1, 11:2", "0:1,11:2"),
        ] {
            assert_eq!(range.read(given).as_deref(), Some(kept), "{given:?} for {range:?}");
        }
    }

    #[test]
    fn what_kafka_refuses_is_refused() {
        let number = SettingRange::Int { min: -1, max: 10 };
        for (range, given) in [
            (number, ""),
            (number, "11"),
            (number, "-2"),
            (number, "1.0"),
            (number, "9999999999999999999999"),
            (SettingRange::Flag, "yes"),
            (SettingRange::Ratio, "1.1"),
            (SettingRange::Ratio, "NaN"),
            (SettingRange::Word(&["a"]), "A"),
            (WORDS, "delete,,compact"),
            (WORDS, "Delete"),
            (SettingRange::GzipLevel, "0"),
            (SettingRange::GzipLevel, "10"),
            (SettingRange::Replicas, "none"),
            (SettingRange::Replicas, "*,0:1"),
            (SettingRange::Replicas, "0:"),
            (SettingRange::Replicas, "0:-1"),
        ] {
            assert_eq!(range.read(given), None, "{given:?} for {range:?}");
        }
    }
}
