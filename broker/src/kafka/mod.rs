//! Kafka's protocol: requests to the same handlers as the native protocol's, answers in the order of the requests.
//!
//! ```text
//!   socket -> frames -> serve -> produce -> log
//!                         |         | acknowledgements (one queue a connection)
//!                         |         v
//!   socket <- send <- outbox (one place a request, sent from the front)  <- fetch, metadata, ...
//! ```
//!
//! A connection is two tasks. The reader handles a request to its end before it looks at the next, as Kafka does; produce
//! requests alone only begin there, and any number of them is under way. Each shard is a broker of the cluster, so that a
//! client sends what concerns a partition straight to the core that owns it.
//!
//! Invariants:
//! - Answers leave in the order in which their requests came.
//! - What a request takes in memory is bounded by its frame, by [`elements_max`] and by the shard's budgets.
//! - A request that cannot be read closes the connection, as Kafka does: the protocol has no answer for it.
//!
//! Source: <https://kafka.apache.org/protocol>; what differs from Kafka: docs/kafka-compatibility.md.

mod api_versions;
mod cluster;
mod committed;
mod configs;
mod connection;
mod consumer_groups;
mod coordinator;
mod errors;
mod fetch;
mod fixed_settings;
mod frames;
mod groups;
mod membership;
mod metadata;
mod offsets;
mod outbox;
mod partitions;
mod produce;
mod producer_ids;
mod records;
mod send;
mod serve;
mod topics;

use std::rc::Rc;

use crate::connection::Connections;

pub use api_versions::{SERVED, ServedApi};
pub(crate) use serve::serve_connection;

/// Elements of all arrays of one request at most: more than a client has partitions at one shard.
pub const ELEMENTS_PER_REQUEST_MAX: usize = 20_000;
/// So many are taken also where memory is scarce.
const ELEMENTS_PER_REQUEST_MIN: usize = 1_000;
/// What an element of a request takes until it is answered: what was asked, a reader and its wait, the answer.
const ELEMENT_BYTES: usize = 640;

/// Elements that a request to this broker may have: as many as the memory for requests that wait has room for.
pub fn elements_max(config: &crate::Config) -> usize {
    (config.request_bytes_max() / ELEMENT_BYTES).clamp(ELEMENTS_PER_REQUEST_MIN, ELEMENTS_PER_REQUEST_MAX)
}

/// A shared port knows Kafka's protocol by the first byte: of a frame's length, which is below 112 MiB.
pub(crate) const fn is_first_byte(byte: u8) -> bool {
    byte < 0x07
}

/// What the Kafka connections of a shard share.
pub(crate) struct KafkaService {
    connections: Rc<Connections>,
}

impl KafkaService {
    /// The service of a shard.
    pub(crate) fn new(connections: Rc<Connections>) -> Rc<Self> {
        Rc::new(Self { connections })
    }
}
