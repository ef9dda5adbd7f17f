//! The clients' machine: tasks with one real client each, which never learn of the broker's crashes but by what their
//! client tells them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use corelog_client::{Client, ClientError, ClientOptions, ErrorCode, Notices};
use runtime::sim::{ProcessId, World};
use runtime::{random, task};
use uuid::Uuid;

use super::ledger::Ledger;
use super::machine::SHARED;
use super::members::GroupLedger;
use super::plan::Plan;
use super::{consuming, members, producing, topics};

/// What the clients and the test outside share.
#[derive(Clone)]
pub(super) struct Outside {
    pub(super) plan: Rc<Plan>,
    pub(super) ledger: Rc<RefCell<Ledger>>,
    pub(super) groups: Rc<RefCell<GroupLedger>>,
    /// Set once: nothing new is begun, what was begun is brought to its end.
    pub(super) is_over: Rc<Cell<bool>>,
    /// Producers and makers of topics that are not done.
    pub(super) writing: Rc<Cell<u32>>,
    /// Consumers that are not done.
    pub(super) reading: Rc<Cell<u32>>,
}

impl Outside {
    pub(super) fn new(plan: Plan) -> Outside {
        Outside {
            plan: Rc::new(plan),
            ledger: Rc::default(),
            groups: Rc::default(),
            is_over: Rc::default(),
            writing: Rc::default(),
            reading: Rc::default(),
        }
    }

    /// Starts the machine. An earlier one was killed: its records' outcomes stay unknown.
    pub(super) fn start_clients(&self, world: &World) -> ProcessId {
        self.writing.set(0);
        self.reading.set(0);
        let outside = self.clone();
        world.start_process(1, move |_| outside.clone().live())
    }

    #[expect(clippy::unused_async, reason = "a process is a future")]
    async fn live(self) {
        Outside::add(&self.writing, topics::live(self.clone()));
        for _ in 0..self.plan.producers {
            Outside::add(&self.writing, producing::live(self.clone()));
        }
        for _ in 0..self.plan.consumers {
            Outside::add(&self.reading, consuming::live(self.clone()));
        }
        for _ in 0..self.plan.members {
            Outside::add(&self.reading, members::live(self.clone()));
        }
    }

    fn add(count: &Rc<Cell<u32>>, future: impl Future<Output = ()> + 'static) {
        count.set(count.get() + 1);
        let count = count.clone();
        drop(task::spawn(async move {
            future.await;
            count.set(count.get() - 1);
        }));
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// One of the topics the broker names now: id, name, partitions.
    pub(super) async fn draw_topic(&self, client: &Client) -> Option<(Uuid, String, u32)> {
        let asked = self.ledger.borrow().now();
        let topics = list_topics(client).await.ok()?;
        for (id, name, partitions) in &topics {
            self.ledger.borrow_mut().topic_is_there(asked, *id, name, *partitions);
        }
        if topics.is_empty() {
            return None;
        }
        Some(topics[random::below(topics.len() as u64) as usize].clone())
    }

    /// Whether the topic of this name still has this id: then so has what was opened by its name in between.
    pub(super) async fn is_still(&self, client: &Client, id: Uuid, name: &str) -> bool {
        let topics = list_topics(client).await.unwrap_or_default();
        topics.iter().any(|(found, found_name, _)| *found == id && found_name == name)
    }
}

/// Every topic that clients made, with its id and its number of partitions.
pub(super) async fn list_topics(client: &Client) -> Result<Vec<(Uuid, String, u32)>, ClientError> {
    let reply = client.admin().metadata().await?;
    let is_ours = |topic: &wire::native::TopicMetadata| {
        topic.code == ErrorCode::None && topic.name != "__consumer_offsets"
    };
    let topics = reply.topics.into_iter().filter(is_ours);
    Ok(topics.map(|topic| (topic.id, topic.name, topic.partitions.len() as u32)).collect())
}

/// A client with the patience of a world that crashes every few hundred milliseconds.
pub(super) fn new_client() -> Client {
    let options = ClientOptions {
        connect_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_secs(5),
        silence_max: Duration::from_secs(2),
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(50),
        notices: Notices::to(|_| {}),
        ..ClientOptions::new(SHARED)
    };
    Client::connect_on_shard(options).expect("options that make sense")
}

/// Errors that crashes, full disks and deletions explain. Others are bugs of the broker or the client.
pub(super) fn is_explained(error: &ClientError) -> bool {
    use ErrorCode::{DeadlineExceeded, LimitReached, NotServing, Overloaded, StorageFull};
    use ErrorCode::{TopicDeleted, UnknownPartition, UnknownTopic};
    match error {
        ClientError::TimedOut { .. } | ClientError::Disconnected { .. } | ClientError::NoSuchTopic { .. } => {
            true
        }
        ClientError::Refused { code, .. } => matches!(
            code,
            DeadlineExceeded
                | LimitReached
                | NotServing
                | Overloaded
                | StorageFull
                | TopicDeleted
                | UnknownPartition
                | UnknownTopic
        ),
        _ => false,
    }
}
