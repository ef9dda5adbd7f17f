//! A member of a classic group.

use std::time::Duration;

use bytes::Bytes;
use runtime::clock::Instant;
use wire::kafka::GroupMetadataMember;

use super::action::Waiter;
use super::request::{Join, JoinedMember, MemberDescription};

/// What a member takes beside its texts and bytes.
const MEMBER_BYTES: usize = 512;

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    client_id: String,
    client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// By name what it says to the others, its favourite first.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// It waits for the next generation...
    pub(super) joining: Option<Waiter>,
    /// ... or for its part in this one.
    pub(super) syncing: Option<Waiter>,
    /// It has asked for its part in this generation.
    pub(super) has_synced: bool,
    /// Counts only while it waits for nothing.
    pub(super) expires_at: Instant,
}

impl Member {
    /// A member that joins.
    pub(super) fn new(id: String, request: Join, joining: Option<Waiter>, now: Instant) -> Self {
        Self {
            id,
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            expires_at: now + request.session_timeout,
            protocols: request.protocols,
            assignment: Bytes::new(),
            joining,
            syncing: None,
            has_synced: false,
        }
    }

    /// Takes what it says of itself now.
    pub(super) fn update(&mut self, request: Join) {
        self.session_timeout = request.session_timeout;
        self.rebalance_timeout = request.rebalance_timeout;
        self.protocols = request.protocols;
        self.client_id = request.client_id;
        self.client_host = request.client_host;
    }

    /// It said that it lives.
    pub(super) fn lives(&mut self, now: Instant) {
        self.expires_at = now + self.session_timeout;
    }

    /// It waits for an answer, and cannot say that it lives.
    pub(super) fn waits(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    /// What it says to the others with this protocol.
    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| Some(name.as_str()) == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    pub(super) fn as_joined(&self, protocol: Option<&str>) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    pub(super) fn description(&self, protocol: Option<&str>) -> MemberDescription {
        MemberDescription {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }

    /// As it is kept, with this assignment.
    pub(super) fn record(&self, protocol: Option<&str>, assignment: Bytes) -> GroupMetadataMember {
        let milliseconds = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        GroupMetadataMember {
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance_id.as_deref().map(Into::into),
            client_id: self.client_id.as_str().into(),
            client_host: self.client_host.as_str().into(),
            rebalance_timeout: milliseconds(self.rebalance_timeout),
            session_timeout: milliseconds(self.session_timeout),
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// As it was kept; its session begins anew.
    pub(super) fn restored(kept: &GroupMetadataMember, protocol: &str, now: Instant) -> Self {
        let time = |ms: i32| Duration::from_millis(ms.max(0) as u64);
        let session_timeout = time(kept.session_timeout);
        Self {
            id: kept.member_id.to_string(),
            instance_id: kept.group_instance_id.as_ref().map(ToString::to_string),
            client_id: kept.client_id.to_string(),
            client_host: kept.client_host.to_string(),
            session_timeout,
            rebalance_timeout: if kept.rebalance_timeout < 0 {
                session_timeout
            } else {
                time(kept.rebalance_timeout)
            },
            protocols: vec![(protocol.to_owned(), kept.subscription.clone())],
            assignment: kept.assignment.clone(),
            joining: None,
            syncing: None,
            has_synced: true,
            expires_at: now + session_timeout,
        }
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.id, &self.client_id, &self.client_host];
        let protocols = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len());
        MEMBER_BYTES
            + texts.into_iter().map(String::len).sum::<usize>()
            + self.instance_id.as_ref().map_or(0, String::len)
            + protocols.sum::<usize>()
            + self.assignment.len()
    }
}
