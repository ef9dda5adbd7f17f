//! Which names a topic may have. Kafka's rule, because every Kafka client and tool assumes it, and because the name is
//! a folder's name on the disk.

use std::collections::{BTreeMap, BTreeSet};

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

/// Names that others collide with: Kafka names its metrics after topics with `.` as `_`, and so no two topics may differ in
/// these alone. An older catalog may have such topics all the same, so that one spelling stands for several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CollidingNames {
    /// By the spelling that is common to them. Names without `.` and `_` collide with none and are left out.
    by_spelling: BTreeMap<String, BTreeSet<String>>,
}

impl CollidingNames {
    pub(super) fn insert(&mut self, name: &str) {
        if let Some(spelling) = common_spelling(name) {
            self.by_spelling.entry(spelling).or_default().insert(name.to_owned());
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        let Some(spelling) = common_spelling(name) else { return };
        let Some(names) = self.by_spelling.get_mut(&spelling) else { return };
        names.remove(name);
        if names.is_empty() {
            self.by_spelling.remove(&spelling);
        }
    }

    /// A name other than this one that this one collides with.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        let names = self.by_spelling.get(&common_spelling(name)?)?;
        names.iter().map(String::as_str).find(|other| *other != name)
    }
}

fn common_spelling(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
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

    #[test]
    fn names_collide_that_differ_in_dots_and_underscores_alone() {
        let mut names = CollidingNames::default();
        for name in ["a.b", "ab", "a-b", "a.b.c"] {
            names.insert(name);
        }
        assert_eq!(names.find("a_b"), Some("a.b"));
        assert_eq!(names.find("a_b.c"), Some("a.b.c"));
        for alone in ["a.b", "ab", "a_b_", "a-b", "b"] {
            assert_eq!(names.find(alone), None, "{alone}");
        }
        // As in a catalog of a version that did not look.
        names.insert("a_b");
        names.remove("a.b");
        assert_eq!(names.find("a.b"), Some("a_b"));
        ["a_b", "a.b.c", "ab", "a-b"].iter().for_each(|name| names.remove(name));
        assert_eq!(names, CollidingNames::default());
    }
}
