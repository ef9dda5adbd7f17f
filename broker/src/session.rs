//! Who is at the other end of a connection, and what they may do.

use std::net::SocketAddr;

/// One connection's other end, from its Hello on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who it is. Nobody is asked to say yet.
    pub principal: Principal,
    /// Named by the application.
    pub client_id: String,
    /// The library and its version.
    pub software: String,
    pub software_version: String,
    pub listener: Listener,
    /// The other end's address.
    pub peer: SocketAddr,
    /// This end's address: one the client can reach, because it just did.
    pub local: SocketAddr,
    /// The version of the protocol that both speak.
    pub protocol: u16,
}

/// Whom requests are made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Principal {
    #[default]
    Anonymous,
}

/// Which door a connection came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The port that all shards answer.
    Shared,
    /// The shard's own port.
    Shard,
}

/// What a client says of itself, as far as it is kept.
pub(crate) fn shortened(mut text: String) -> String {
    let mut length = text.len().min(crate::limits::CLIENT_NAME_BYTES_MAX);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    text.truncate(length);
    text
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Read,
    Write,
    Describe,
    Create,
    Alter,
    Delete,
}

/// What it is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// By name.
    Topic(&'a str),
    /// By id: the data path never looks a name up.
    TopicId(&'a uuid::Uuid),
    /// A consumer group.
    Group(&'a str),
    /// The node itself, and what spans topics.
    Cluster,
}

/// The principal may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

/// The one place that decides. Every request passes here before it is acted on. Hot path: once a batch.
#[inline]
pub fn authorize(session: &Session, action: Action, resource: Resource<'_>) -> Result<(), Denied> {
    let Principal::Anonymous = session.principal;
    let _ = (action, resource);
    Ok(())
}
