//! One connection and what is under way on it.
//!
//! ```text
//!   Idle --wanted--> Connecting --connected--> Handshaking --HelloReply--> Ready
//!    ^                   |                         |                         |
//!    |               (lost, refused, silent for too long: everything under way is put back)
//!    +--no work-- Waiting{until} <-----------------+-------------------------+
//! ```
//!
//! A link is made once for each purpose and target and lives as long as the client; `attempt` tells its connections
//! apart, so that what a lost connection still reports is ignored.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::task::Waker;

use bytes::BytesMut;
use wire::frame;
use wire::native::{BodyBuilder, Message};

use super::Moment;

/// Names one connection of one link, for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkRef {
    pub(crate) index: usize,
    pub(crate) attempt: u32,
}

/// What a link carries. Produce and consume are apart so that back-pressure on one cannot block the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Control,
    Produce,
    Consume,
}

/// Where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One of the servers the application named.
    Shared,
    /// A shard's own port.
    Shard(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Waiting,
    Connecting,
    Handshaking,
    Ready,
}

/// A partition of one producer or consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    /// Index of the producer or consumer.
    pub(crate) owner: usize,
    pub(crate) partition: u32,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Hello,
    Pong,
    Produce(PartitionKey),
    Call(u64),
}

/// Ids are ours and sequential: multiplying spreads them well enough.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

pub(crate) type ById<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) purpose: Purpose,
    pub(crate) target: Target,
    pub(crate) phase: Phase,
    pub(crate) attempt: u32,
    /// Since it was Ready last.
    pub(crate) failures: u32,
    next_correlation: u64,
    pub(crate) pending: ById<Pending>,
    /// Frames without payload, encoded, to be written next.
    pub(crate) outgoing: BytesMut,
    /// Small pieces of produce frames between the payloads.
    pub(crate) chunk: BytesMut,
    /// Partitions with something to produce, in turn.
    pub(crate) ready: VecDeque<PartitionKey>,
    /// Batches under way.
    pub(crate) in_flight_bytes: usize,
    /// Subscriptions by id: the correlation id of their Subscribe.
    pub(crate) subscriptions: ById<PartitionKey>,
    pub(crate) last_received: Moment,
    pub(crate) pinged: bool,
    pub(crate) writer: Option<Waker>,
    pub(crate) reader: Option<Waker>,
}

impl Link {
    pub(crate) fn new(purpose: Purpose, target: Target) -> Self {
        Self {
            purpose,
            target,
            phase: Phase::Idle,
            attempt: 0,
            failures: 0,
            next_correlation: 1,
            pending: ById::default(),
            outgoing: BytesMut::new(),
            chunk: BytesMut::new(),
            ready: VecDeque::new(),
            in_flight_bytes: 0,
            subscriptions: ById::default(),
            last_received: Moment::default(),
            pinged: false,
            writer: None,
            reader: None,
        }
    }

    /// Never repeated on one link, not even after a reconnect.
    pub(crate) fn next_correlation(&mut self) -> u64 {
        let id = self.next_correlation;
        self.next_correlation += 1;
        id
    }

    /// Encodes a frame without payload and wakes the writer.
    pub(crate) fn send<M: Message>(&mut self, builder: &mut BodyBuilder, message: &M) -> u64 {
        let id = self.next_correlation();
        frame::encode_message(&mut self.outgoing, builder, message, id, 0, 0);
        self.wake_writer();
        id
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// A socket exists, or is about to.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Handshaking | Phase::Ready)
    }

    /// Something is awaited, so silence means something.
    pub(crate) fn awaits(&self) -> bool {
        !self.pending.is_empty() || !self.subscriptions.is_empty() || self.phase == Phase::Handshaking
    }

    /// Worth a connection of its own right now.
    pub(crate) fn has_work(&self) -> bool {
        self.purpose == Purpose::Control || !self.ready.is_empty() || !self.subscriptions.is_empty()
    }

    pub(crate) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Both tasks of the connection see that it is over.
    pub(crate) fn wake_all(&mut self) {
        self.wake_writer();
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}
