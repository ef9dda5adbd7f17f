//! Which names a topic may have. Kafka's rule, because every Kafka client and tool assumes it, and because the name is
//! a folder's name on the disk.

use thiserror::Error;
use wire::limits::TOPIC_NAME_BYTES_MAX;

/// The topic that keeps the consumer groups, by the name that Kafka's tools know.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// A name no topic may have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopicNameError {
    #[error("a topic's name cannot be empty")]
    Empty,
    #[error("a topic's name has at most {TOPIC_NAME_BYTES_MAX} bytes, this one has {found}")]
    TooLong { found: usize },
    #[error("a topic's name cannot be \".\" or \"..\"")]
    Dots,
    #[error("a topic's name is made of ASCII letters, digits, '.', '_' and '-'; {found:?} is none of them")]
    Character { found: char },
}

/// Accepts what Kafka accepts: 1 to 249 of `[a-zA-Z0-9._-]`, but not `.` or `..`.
pub fn check_topic_name(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Err(TopicNameError::TooLong { found: name.len() });
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.chars().find(|&c| !allowed(c)) {
        Some(found) => Err(TopicNameError::Character { found }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_safe_as_folders() {
        for good in ["a", "orders.v1", "__consumer_offsets", "A-b_c.9", &"x".repeat(TOPIC_NAME_BYTES_MAX)] {
            assert_eq!(check_topic_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\0", "../x", &"x".repeat(TOPIC_NAME_BYTES_MAX + 1)] {
            assert!(check_topic_name(bad).is_err(), "{bad}");
        }
    }
}
