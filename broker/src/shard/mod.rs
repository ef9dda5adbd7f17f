//! One shard's state: its storage, its copy of the catalog, its lanes to the others, its counters.
//!
//! Everything here is `!Send` and lives on one executor. Handlers act on it; this module acts on nobody's behalf but the
//! catalog's.
//!
//! Invariants:
//! - The copy of the catalog is changed by records alone, in their order; routes and storage follow in the same step, so a
//!   request sees all of a change or nothing of it.
//! - No borrow of a cell is held over an `.await`.

mod budget;
mod lanes;
mod message;
mod routes;
mod wakeup;

use std::cell::{Cell, Ref, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use runtime::clock::{self, Instant};
use runtime::executor::ShardId;
use runtime::gate::Gate;
use runtime::sync::{Event, Semaphore};
use storage::{PartitionUid, Store};

pub(crate) use budget::{ByteBudget, Reservation, Waiting};
pub(crate) use lanes::{AckError, AckInbox, Lanes};
pub(crate) use message::{
    Ask, CopiedFetch, LifeMessage, ShardMessage, ShardReply, ShardRequest, ShardStart, Told,
};
pub(crate) use routes::{Route, Routes};
pub(crate) use wakeup::Wakeup;

use crate::catalog::{Catalog, Change, Record, Topic};
use crate::config::Config;
use crate::groups::{Groups, Topics};
use crate::meta::Meta;
use crate::metrics::Metrics;
use crate::said::Said;

/// Where the broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Answered by every shard.
    pub(crate) shared: SocketAddr,
    /// By shard.
    pub(crate) shards: Vec<SocketAddr>,
}

/// Somebody who wants to hear of catalog changes.
pub(crate) struct Follower {
    /// The catalog changed since the follower looked.
    pub(crate) changed: Cell<bool>,
    /// Raised with it.
    pub(crate) wakeup: Rc<Wakeup>,
}

/// What only shard 0 has: how far each shard is with the catalog.
pub(crate) struct Revisions {
    applied: RefCell<Vec<u64>>,
    moved: Event,
}

/// One shard.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) config: Config,
    pub(crate) meta: Meta,
    pub(crate) addresses: Addresses,
    pub(crate) store: Store,
    pub(crate) lanes: Lanes,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
    /// What is being received, beyond small buffers.
    pub(crate) receive_budget: ByteBudget,
    pub(crate) receive_waiting: Waiting,
    /// What was read for connections and is not sent.
    pub(crate) outgoing_budget: ByteBudget,
    pub(crate) outgoing_waiting: Waiting,
    /// Answers of all connections that their peers have not taken.
    pub(crate) answer_bytes: Cell<usize>,
    /// Who holds its permit may receive a batch beyond the receive memory. Of those that hold parts of it and wait for the rest
    /// one comes to its end; else all might wait for each other.
    pub(crate) beyond_receive_memory: Semaphore,
    /// Of requests that wait.
    pub(crate) request_budget: ByteBudget,
    /// Of receive buffers that batches in flight keep, beside the batches.
    pub(crate) overhead_bytes: Cell<usize>,
    /// Who makes a description, which may be large, holds one permit.
    pub(crate) descriptions: Semaphore,
    /// Tasks of connections and requests: closed first, waited for within the drain time.
    pub(crate) requests: Gate,
    /// Deletions and other work that outlives a request.
    pub(crate) services: Gate,
    pub(crate) revisions: Revisions,
    /// Commands to the catalog's writer; shard 0 alone.
    pub(crate) commands: Option<crate::catalog_writer::CommandSender>,
    pub(crate) producer_ids: crate::catalog_writer::ProducerIds,
    pub(crate) groups: Groups,
    catalog: Rc<RefCell<Catalog>>,
    routes: RefCell<Routes>,
    followers: RefCell<Vec<Weak<Follower>>>,
    pub(crate) connections_open: Cell<usize>,
    pub(crate) said: Said,
}

/// What a shard is made of.
pub(crate) struct ShardParts {
    pub(crate) id: ShardId,
    pub(crate) config: Config,
    pub(crate) meta: Meta,
    pub(crate) addresses: Addresses,
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
    pub(crate) lanes: Lanes,
    pub(crate) commands: Option<crate::catalog_writer::CommandSender>,
}

/// The topics of the catalog's copy, as the groups ask for them.
struct CatalogTopics(Rc<RefCell<Catalog>>);

impl Topics for CatalogTopics {
    fn revision(&self) -> u64 {
        self.0.borrow().revision()
    }

    fn find(&self, name: &str) -> Option<(uuid::Uuid, i32)> {
        let catalog = self.0.borrow();
        let topic = catalog.topic(name)?;
        Some((topic.id, i32::try_from(topic.partitions.len()).ok()?))
    }

    fn names(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
        let catalog = self.0.borrow();
        // The broker's own topics too, as in Kafka: it is the classic protocol whose clients leave them out.
        catalog.topics().map(|topic| &topic.name).filter(|name| wanted(name)).cloned().collect()
    }
}

impl Shard {
    /// A shard that serves nobody yet.
    pub(crate) fn new(parts: ShardParts) -> Rc<Self> {
        let ShardParts { id, config, meta, addresses, store, catalog, lanes, commands } = parts;
        let mut routes = Routes::default();
        for topic in catalog.topics() {
            routes.add(id, &store, topic, 0);
        }
        let applied = vec![catalog.revision(); config.cores.len()];
        let catalog = Rc::new(RefCell::new(catalog));
        let topics = Rc::new(CatalogTopics(catalog.clone()));
        let groups = Groups::new(config.first_members_wait, config.group_bytes_max(), topics);
        Rc::new(Self {
            id,
            receive_budget: ByteBudget::new(config.receive_bytes_max()),
            receive_waiting: Waiting::default(),
            outgoing_budget: ByteBudget::new(config.outgoing_bytes_max()),
            outgoing_waiting: Waiting::default(),
            answer_bytes: Cell::new(0),
            beyond_receive_memory: Semaphore::new(1),
            request_budget: ByteBudget::new(config.request_bytes_max()),
            overhead_bytes: Cell::new(0),
            descriptions: Semaphore::new(crate::limits::DESCRIPTIONS_MAX),
            config,
            meta,
            addresses,
            store,
            lanes,
            metrics: Metrics::default(),
            started: clock::now(),
            requests: Gate::new(),
            services: Gate::new(),
            revisions: Revisions { applied: RefCell::new(applied), moved: Event::new() },
            commands,
            producer_ids: Default::default(),
            groups,
            catalog,
            routes: RefCell::new(routes),
            followers: RefCell::default(),
            connections_open: Cell::new(0),
            said: Said::default(),
        })
    }

    /// This shard's copy of the catalog.
    pub(crate) fn catalog(&self) -> Ref<'_, Catalog> {
        self.catalog.borrow()
    }

    /// Where partitions are.
    #[inline]
    pub(crate) fn routes(&self) -> Ref<'_, Routes> {
        self.routes.borrow()
    }

    /// Tells the follower of changes for as long as it lives.
    pub(crate) fn follow(&self, follower: &Rc<Follower>) {
        self.followers.borrow_mut().push(Rc::downgrade(follower));
    }

    /// Applies records from the catalog's writer, to the copy and to what follows from it.
    pub(crate) fn apply(self: &Rc<Self>, records: &[Record]) {
        for record in records {
            self.apply_one(record);
        }
        self.followers.borrow_mut().retain(|follower| {
            let Some(follower) = follower.upgrade() else { return false };
            follower.changed.set(true);
            follower.wakeup.raise();
            true
        });
    }

    fn apply_one(self: &Rc<Self>, record: &Record) {
        let mut catalog = self.catalog.borrow_mut();
        if let Change::TopicDeleted { id } = &record.change {
            let topic = catalog.topic_by_id(id).expect("the writer has checked it").clone();
            self.routes.borrow_mut().remove(id);
            self.remove_partitions(&topic);
            self.groups.opened().iter().for_each(|partition| partition.forget_topic(&topic.name));
        }
        let before = match &record.change {
            Change::TopicAltered { id, .. } => {
                catalog.topic_by_id(id).map_or(0, |topic| topic.partitions.len())
            }
            _ => 0,
        };
        // The writer applied the same record to the same state.
        catalog.apply(record).unwrap_or_else(|error| panic!("shard {}: {error}", self.id));
        match &record.change {
            Change::TopicCreated { id, .. } => {
                let topic = catalog.topic_by_id(id).expect("it was just made");
                self.routes.borrow_mut().add(self.id, &self.store, topic, 0);
            }
            Change::TopicAltered { id, .. } => {
                let topic = catalog.topic_by_id(id).expect("it was just changed");
                for partition in &topic.partitions[..before] {
                    if partition.shard == self.id {
                        let changed = self.store.change_settings(partition.uid, topic.log_settings());
                        changed.unwrap_or_else(|error| panic!("shard {}: {error}", self.id));
                    }
                }
                self.routes.borrow_mut().add(self.id, &self.store, topic, before);
            }
            _ => {}
        }
    }

    /// The data of a deleted topic goes in the background; nobody can reach it any more.
    fn remove_partitions(self: &Rc<Self>, topic: &Topic) {
        let own = topic.partitions.iter().filter(|partition| partition.shard == self.id);
        let uids: Vec<PartitionUid> = own.map(|partition| partition.uid).collect();
        let (store, name) = (self.store.clone(), topic.name.clone());
        // A closing gate: the next start removes what the catalog no longer has.
        drop(self.services.spawn(async move {
            for uid in uids {
                if let Err(error) = store.remove_partition(uid).await {
                    tracing::error!(topic = name, %uid, %error, "cannot remove a deleted partition's data");
                }
            }
        }));
    }

    /// Shard 0: another shard (or this one) has every record up to `revision`.
    pub(crate) fn note_applied(&self, shard: ShardId, revision: u64) {
        self.revisions.applied.borrow_mut()[shard.index()] = revision;
        self.revisions.moved.notify_all();
    }

    /// Shard 0: resolves when every shard has the record.
    pub(crate) async fn applied_everywhere(&self, revision: u64) {
        loop {
            let moved = self.revisions.moved.wait();
            if self.revisions.applied.borrow().iter().all(|applied| *applied >= revision) {
                return;
            }
            moved.await;
        }
    }
}
