//! A member of a consumer group.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use runtime::clock::Instant;
use wire::kafka::{ConsumerCurrentValue, ConsumerMemberValue, Text};

use super::{Parts, as_wire, bytes_of, from_wire};
use crate::groups::action::Moment;
use crate::limits;

/// What a member takes beside its texts and partitions.
const MEMBER_BYTES: usize = 512;
/// A pattern, compiled, is bounded by this.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// What stands between a member and its target, by the numbers under which it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::groups) enum MemberState {
    Stable,
    /// It has partitions to give up.
    Revoking,
    /// Others have not given up what it is to have.
    Waiting,
}

// They are Kafka's, and on the log.
const _: () = assert!(MemberState::Stable as i8 == 0);
const _: () = assert!(MemberState::Revoking as i8 == 1 && MemberState::Waiting as i8 == 2);

/// One member.
#[derive(Clone, Debug)]
pub(in crate::groups) struct ConsumerMember {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) rack_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout: Duration,
    pub(super) topics: BTreeSet<String>,
    pub(super) pattern: Option<Pattern>,
    pub(super) assignor: Option<String>,
    pub(super) epoch: i32,
    /// A member whose answer was lost still has this one.
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    pub(super) assigned: Parts,
    /// Not its own any more, but it has not said yet that it has stopped.
    pub(super) revoking: Parts,
    pub(super) expires_at: Instant,
    pub(super) revoke_by: Option<Instant>,
}

/// Topics by their names, which it matches as a whole.
#[derive(Clone, Debug)]
pub(in crate::groups) struct Pattern {
    text: String,
    whole: Regex,
}

impl Pattern {
    /// `None` where the text is no pattern, or too large a one. Its syntax is RE2's, as Kafka's is.
    pub(super) fn new(text: &str) -> Option<Self> {
        let compiled = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().ok();
        // Alone, first: what closes the group around it is none.
        compiled(text)?;
        Some(Self { text: text.to_owned(), whole: compiled(&format!("^(?:{text})$"))? })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.whole.is_match(name)
    }
}

/// The epoch of a static member that will be back.
pub(super) const AWAY: i32 = -2;

impl ConsumerMember {
    pub(super) fn new(id: String, at: Moment) -> Self {
        Self {
            id,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: limits::CONSUMER_SESSION_TIMEOUT,
            topics: BTreeSet::new(),
            pattern: None,
            assignor: None,
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Parts::new(),
            revoking: Parts::new(),
            expires_at: at.now + limits::CONSUMER_SESSION_TIMEOUT,
            revoke_by: None,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.revoke_by.map_or(self.expires_at, |by| by.min(self.expires_at))
    }

    /// What it says of itself, as it is kept.
    pub(super) fn value(&self) -> ConsumerMemberValue {
        let text = |text: &Option<String>| text.as_deref().map(Text::from);
        ConsumerMemberValue {
            instance_id: text(&self.instance_id),
            rack_id: text(&self.rack_id),
            client_id: self.client_id.as_str().into(),
            client_host: self.client_host.as_str().into(),
            subscribed_topic_names: self.topics.iter().map(|topic| topic.as_str().into()).collect(),
            subscribed_topic_regex: self.pattern.as_ref().map(|pattern| pattern.text().into()),
            rebalance_timeout_ms: i32::try_from(self.rebalance_timeout.as_millis()).unwrap_or(i32::MAX),
            server_assignor: text(&self.assignor),
        }
    }

    /// What it has, as it is kept.
    pub(super) fn current(&self) -> ConsumerCurrentValue {
        ConsumerCurrentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state as i8,
            assigned_partitions: as_wire(&self.assigned),
            partitions_pending_revocation: as_wire(&self.revoking),
        }
    }

    /// As it was kept; its session begins anew. What it has stays as it was.
    pub(super) fn restored(id: String, kept: &ConsumerMemberValue, before: Option<Self>, at: Moment) -> Self {
        let text = |text: &Option<Text>| text.as_ref().map(ToString::to_string);
        Self {
            instance_id: text(&kept.instance_id),
            rack_id: text(&kept.rack_id),
            client_id: kept.client_id.to_string(),
            client_host: kept.client_host.to_string(),
            rebalance_timeout: Duration::from_millis(u64::try_from(kept.rebalance_timeout_ms).unwrap_or(0)),
            topics: kept.subscribed_topic_names.iter().map(ToString::to_string).collect(),
            pattern: kept.subscribed_topic_regex.as_ref().and_then(|text| Pattern::new(text.as_str())),
            assignor: text(&kept.server_assignor),
            ..before.unwrap_or_else(|| Self::new(id, at))
        }
    }

    pub(super) fn restore_current(&mut self, kept: &ConsumerCurrentValue) {
        self.epoch = kept.member_epoch;
        self.previous_epoch = kept.previous_member_epoch;
        self.state = match kept.state {
            1 => MemberState::Revoking,
            2 => MemberState::Waiting,
            _ => MemberState::Stable,
        };
        self.assigned = from_wire(&kept.assigned_partitions);
        self.revoking = from_wire(&kept.partitions_pending_revocation);
        if self.state == MemberState::Revoking {
            // It has the whole time again, and its session on top.
            self.revoke_by = Some(self.expires_at + self.rebalance_timeout);
        }
    }

    pub(super) fn has_nothing(&mut self) {
        (self.epoch, self.previous_epoch, self.state) = (0, -1, MemberState::Stable);
        self.assigned.clear();
        self.revoking.clear();
        self.revoke_by = None;
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.id, &self.client_id, &self.client_host].map(String::len);
        let topics: usize = self.topics.iter().map(|topic| topic.len() + 48).sum();
        let pattern = if self.pattern.is_some() { PATTERN_BYTES_MAX } else { 0 };
        MEMBER_BYTES
            + texts.iter().sum::<usize>()
            + topics
            + pattern
            + bytes_of(&self.assigned)
            + bytes_of(&self.revoking)
    }
}
