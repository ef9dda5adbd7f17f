//! The whole client without a socket, a clock or a task: events in, bytes and wishes out.
//!
//! A driver owns the sockets. It tells the core what happened ([`Core::connected`], [`Core::received`],
//! [`Core::disconnected`], [`Core::on_time`]), writes what [`Core::transmit`] gives, and carries out each [`Action`]. The
//! public API calls the core from the application's side. Both go through one lock (see `shared`), so the core is plain
//! single-threaded state.
//!
//! | file | what it holds |
//! |---|---|
//! | `links` | connections: opened, greeted, watched, lost, opened again; which one leads to a partition |
//! | `calls` | single questions and their answers; metadata |
//! | `produce`, `producer` | records gathered, sent, acknowledged, sent again |
//! | `transmit` | the bytes to write next |
//! | `consume`, `consumer` | subscriptions, credit, positions |
//! | `framing` | received bytes to frames |
//!
//! Invariants:
//! - Nothing here waits, reads a clock or allocates by a peer's word alone.
//! - Wakers are called with the core locked: they must only schedule, which is all a waker of an executor does.

mod backoff;
mod calls;
mod cluster;
mod consume;
pub(crate) mod consumer;
mod framing;
mod link;
mod links;
mod moment;
mod open_batch;
mod partitioner;
mod prepared;
mod produce;
mod producer;
mod settle;
mod transmit;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::task::Waker;

use wire::limits;
use wire::native::BodyBuilder;

pub(crate) use calls::CallSlot;
pub use framing::{Frame, FrameReader};
pub use link::LinkRef;
pub use moment::{Clock, Moment};
pub use open_batch::batch_of_values;
pub use partitioner::{murmur2, partition_of_key};
pub use prepared::PreparedBatch;
pub(crate) use produce::Tell;
pub use transmit::{Outgoing, Transmit};

use crate::error::ClientError;
use crate::options::ClientOptions;
use calls::Call;
use cluster::Cluster;
use consumer::ConsumerState;
use link::{ById, Link, PartitionKey};
use producer::ProducerState;

/// What the driver is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect, and report with this name.
    Connect {
        /// The connection's name.
        link: LinkRef,
        /// "host:port".
        address: String,
    },
}

/// What a point in time brings. Stale ones are ignored: each is checked against the state when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The open batch of a partition has waited long enough.
    Linger(PartitionKey),
    /// A partition may send again.
    Unblock(PartitionKey),
    /// A partition may subscribe again.
    Resubscribe(PartitionKey),
    /// Connect again.
    Reconnect(usize),
    /// Ask for an identity, or for metadata, again.
    Identify(usize),
    /// Ask for metadata again.
    Refresh,
    /// Look for what is overdue.
    Sweep,
}

/// What the broker allows; its HelloReply says.
#[derive(Clone, Copy, Debug)]
struct SessionLimits {
    batch_bytes_max: usize,
    in_flight_bytes_max: usize,
}

/// The client's state.
#[derive(Debug)]
pub struct Core {
    options: ClientOptions,
    clock: Clock,
    limits: SessionLimits,
    links: Vec<Link>,
    cluster: Cluster,
    /// Topics whose changes are of interest.
    followed: BTreeSet<String>,
    /// A metadata question is under way.
    refreshing: bool,
    /// Something changed since it was asked.
    refresh_again: bool,
    /// Shards whose own port does not answer, until when the shared port is used for them.
    unreachable: BTreeMap<u16, Moment>,
    /// Shards of which that was said.
    said_unreachable: BTreeSet<u16>,
    /// Which of the servers is asked next.
    server: usize,
    calls: ById<Call>,
    next_call: u64,
    /// By a number that is never given again: answers and timers of one that is gone must not find another.
    producers: BTreeMap<usize, ProducerState>,
    consumers: BTreeMap<usize, ConsumerState>,
    next_owner: usize,
    timers: BinaryHeap<Reverse<(Moment, Timer)>>,
    sweeping: bool,
    actions: VecDeque<Action>,
    driver: Option<Waker>,
    builder: BodyBuilder,
    closed: bool,
}

impl Core {
    /// A client that begins to connect at once.
    pub fn new(options: ClientOptions, clock: Clock) -> Self {
        let mut core = Self {
            options,
            clock,
            limits: SessionLimits {
                batch_bytes_max: limits::BATCH_BYTES_DEFAULT,
                in_flight_bytes_max: usize::MAX,
            },
            links: Vec::new(),
            cluster: Cluster::default(),
            followed: BTreeSet::new(),
            refreshing: false,
            refresh_again: false,
            unreachable: BTreeMap::new(),
            said_unreachable: BTreeSet::new(),
            server: 0,
            calls: ById::default(),
            next_call: 1,
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            next_owner: 0,
            timers: BinaryHeap::new(),
            sweeping: false,
            actions: VecDeque::new(),
            driver: None,
            builder: BodyBuilder::new(),
            closed: false,
        };
        core.open_control_link();
        core
    }

    /// The next thing to do; `None` when all was asked for.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Core::on_time`] is to be called next, unless something happens first.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.timers.peek().map(|Reverse((moment, _))| *moment)
    }

    /// Who is woken when [`Core::next_action`] or [`Core::next_deadline`] has changed.
    pub fn set_driver(&mut self, waker: Waker) {
        self.driver = Some(waker);
    }

    /// There is something to do.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Ends everything: connections close, what is under way fails.
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let closed = ClientError::Closed { may_be_stored: false };
        let producers: Vec<usize> = self.producers.keys().copied().collect();
        producers.into_iter().for_each(|index| self.end_producer(index, &closed));
        self.consumers.values_mut().for_each(|consumer| consumer.end(closed.clone()));
        self.close_calls();
        self.links.iter_mut().for_each(Link::wake_all);
        self.wake_driver();
    }

    /// The client was closed: the driver ends when all connections have.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Time has passed. Does what has become due.
    pub fn on_time(&mut self, now: Moment) {
        while let Some(&Reverse((moment, timer))) = self.timers.peek() {
            if moment > now {
                break;
            }
            self.timers.pop();
            match timer {
                Timer::Linger(key) => self.linger_over(key, now),
                Timer::Unblock(key) => self.enlist(key, now),
                Timer::Resubscribe(key) => self.subscribe(key, now),
                Timer::Reconnect(index) => self.reconnect(index),
                Timer::Identify(producer) => self.identify(producer, now),
                Timer::Refresh => self.refresh(now),
                Timer::Sweep => self.sweep(now),
            }
        }
    }

    fn at(&mut self, moment: Moment, timer: Timer) {
        let earlier = self.next_deadline().is_none_or(|next| moment < next);
        self.timers.push(Reverse((moment, timer)));
        if earlier {
            self.wake_driver();
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
        self.wake_driver();
    }

    /// The number of a new producer or consumer.
    fn next_owner(&mut self) -> usize {
        self.next_owner += 1;
        self.next_owner
    }

    fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Once a second while anything is under way: overdue calls, records and silent connections.
    fn sweep(&mut self, now: Moment) {
        self.sweeping = false;
        self.sweep_calls(now);
        self.sweep_producers(now);
        self.sweep_links(now);
        let busy = !self.calls.is_empty()
            || self.links.iter().any(Link::awaits)
            || self.producers.values().any(|producer| producer.batches > 0);
        if busy {
            self.want_sweep(now);
        }
    }

    /// Makes sure that what is under way now will be looked at.
    fn want_sweep(&mut self, now: Moment) {
        if !self.sweeping && !self.closed {
            self.sweeping = true;
            self.at(now + SWEEP_INTERVAL, Timer::Sweep);
        }
    }
}

/// Time-outs are seconds: looking once in a quarter is exact enough and costs nothing.
const SWEEP_INTERVAL: std::time::Duration = std::time::Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ProducerOptions;
    use uuid::Uuid;
    use wire::native::{MetadataReply, PartitionMetadata, TopicMetadata};

    /// A producer was dropped with batches under way, and the next one took its number. An answer to the first, which names
    /// producer, partition and request, was then judged as one to the second: it named a partition that the second did not have,
    /// and could as well have matched a batch on another connection and acknowledged it at a wrong offset.
    #[test]
    fn no_producer_ever_gets_the_number_of_one_that_is_gone() {
        let clock = Clock { now: || Moment(0), wall_ms: || 0, random: || 0 };
        let mut core = Core::new(ClientOptions::new("127.0.0.1:9092"), clock);
        let topic = TopicMetadata {
            name: "t".into(),
            id: Uuid::from_u128(7),
            partitions: vec![PartitionMetadata::default()],
            ..TopicMetadata::default()
        };
        core.absorb(MetadataReply { topics: vec![topic], ..MetadataReply::default() }, 1, Moment(0));
        let first = core.add_producer("t", ProducerOptions::default(), Moment(0)).unwrap();
        core.remove_producer(first);
        let second = core.add_producer("t", ProducerOptions::default(), Moment(0)).unwrap();
        assert_ne!(first, second);
    }
}
