//! Receiving as a member of a consumer group: the broker shares the partitions out among the members.
//!
//! A member asks the broker one question after the other ([`GroupHeartbeat`]), which the broker keeps for a while before it
//! answers: so it needs no timer, and lives for as long as the application takes batches.
//!
//! Invariants:
//! - A partition that goes to another member is not read from the moment that is heard, and what was delivered of it is
//!   committed before the broker is told that it is free (with [`GroupOptions::commit_by_itself`]).
//! - What is committed was delivered, and the application has come back since.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use uuid::Uuid;
use wire::codes::ErrorCode;
use wire::native::{
    CommitOffsets, CommitOffsetsReply, CommittedOffsets, CommittedOffsetsReply, GroupHeartbeat,
    GroupHeartbeatReply, GroupOffset, GroupPartitions, Metadata, MetadataReply, TopicSelection,
};

use crate::client::Client;
use crate::consumer::Consumer;
use crate::error::ClientError;
use crate::options::ConsumerOptions;
use crate::record::{ReceivedBatch, StartAt};

/// How long the broker keeps a heartbeat: changes of the group are noticed within it, and it must be far below a session.
const HEARTBEAT_WAIT: Duration = Duration::from_secs(1);
/// How often a member that cannot be served asks again before the application hears of it.
const FAILURES_MAX: u32 = 30;

/// How to be a member.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// The topics to read.
    pub topics: Vec<String>,
    /// How to read; `start` counts where the group has committed nothing, and `partitions` is not looked at.
    pub consumer: ConsumerOptions,
    /// What was delivered is committed about once a second, before a partition is given up, and at the end.
    pub commit_by_itself: bool,
    /// A name that outlives this process: who comes back with it takes its place without a new sharing out.
    pub instance_id: Option<String>,
    /// How long the application may take to come back before a partition is taken from it.
    pub rebalance_timeout: Duration,
}

impl GroupOptions {
    /// A member that reads these topics, from the beginning where nothing is committed.
    pub fn new(topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            topics: topics.into_iter().map(Into::into).collect(),
            consumer: ConsumerOptions { start: StartAt::Earliest, ..ConsumerOptions::default() },
            commit_by_itself: true,
            instance_id: None,
            rebalance_timeout: Duration::from_secs(60),
        }
    }
}

/// A batch, and the topic that it is of.
#[derive(Clone, Debug)]
pub struct GroupBatch {
    /// The topic's name.
    pub topic: String,
    /// The batch.
    pub batch: ReceivedBatch,
}

type Place = (String, u32);
type Beat = Pin<Box<dyn Future<Output = Result<GroupHeartbeatReply, ClientError>> + Send>>;

enum Event {
    Beat(Result<GroupHeartbeatReply, ClientError>),
    Batch(String, Result<ReceivedBatch, ClientError>),
    /// All that was there when the partitions were given to this member is read.
    AtEnd,
}

/// One member of a group. Dropped without [`GroupConsumer::leave`] it is missed after 45 s.
pub struct GroupConsumer {
    client: Client,
    group: String,
    options: GroupOptions,
    member_id: String,
    epoch: i32,
    /// By topic: the partitions that are this member's.
    assigned: BTreeMap<String, BTreeSet<u32>>,
    consumers: BTreeMap<String, Consumer>,
    /// Where reading a partition begins.
    begins: BTreeMap<Place, StartAt>,
    /// The offset after the last record delivered.
    delivered: BTreeMap<Place, i64>,
    committed: BTreeMap<Place, i64>,
    /// What the broker gave last, until it is taken.
    given: Option<Vec<GroupPartitions>>,
    names: HashMap<Uuid, String>,
    beat: Option<Beat>,
    failures: u32,
    /// Which topic is looked at first: each in turn.
    turn: usize,
}

impl std::fmt::Debug for GroupConsumer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("GroupConsumer")
            .field("group", &self.group)
            .field("member_id", &self.member_id)
            .field("epoch", &self.epoch)
            .field("assigned", &self.assigned)
            .finish_non_exhaustive()
    }
}

impl GroupConsumer {
    pub(crate) fn new(client: Client, group: &str, options: GroupOptions) -> Self {
        Self {
            client,
            group: group.to_owned(),
            options,
            member_id: String::new(),
            epoch: 0,
            assigned: BTreeMap::new(),
            consumers: BTreeMap::new(),
            begins: BTreeMap::new(),
            delivered: BTreeMap::new(),
            committed: BTreeMap::new(),
            given: None,
            names: HashMap::new(),
            beat: None,
            failures: 0,
            turn: 0,
        }
    }

    /// The partitions that are this member's at the moment, by topic.
    pub fn assigned(&self) -> &BTreeMap<String, BTreeSet<u32>> {
        &self.assigned
    }

    /// The next batch; `None` at the end with [`stop_at_end`](ConsumerOptions::stop_at_end). Keeps the member alive for as long
    /// as it waits; who does not call it for 45 s is out of the group. Dropping the future loses nothing.
    pub async fn next_batch(&mut self) -> Option<Result<GroupBatch, ClientError>> {
        loop {
            if let Err(error) = self.take_given().await {
                return Some(Err(error));
            }
            if self.beat.is_none() {
                self.beat = Some(self.next_beat());
            }
            match poll_fn(|context| self.poll_event(context)).await {
                Event::Beat(reply) => {
                    self.beat = None;
                    if let Err(error) = self.on_beat(reply).await {
                        return Some(Err(error));
                    }
                }
                Event::Batch(topic, Ok(batch)) => {
                    self.delivered.insert((topic.clone(), batch.partition), batch.next_offset());
                    return Some(Ok(GroupBatch { topic, batch }));
                }
                Event::Batch(_, Err(error)) => return Some(Err(error)),
                Event::AtEnd => return None,
            }
        }
    }

    /// Says that of the partition only what is before `offset` is done: where the application ends in the middle of a batch.
    pub fn set_delivered(&mut self, topic: &str, partition: u32, offset: i64) {
        self.delivered.insert((topic.to_owned(), partition), offset);
    }

    /// Commits what was delivered. It is on the disk when this returns.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let is_new = |(place, offset): &(&Place, &i64)| self.committed.get(*place) != Some(*offset);
        let new: Vec<(Place, i64)> =
            self.delivered.iter().filter(is_new).map(|(place, offset)| (place.clone(), *offset)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let offset = |((topic, partition), offset): &(Place, i64)| GroupOffset {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let message = CommitOffsets {
            group: self.group.clone(),
            member_id: self.member_id.clone(),
            epoch: self.epoch,
            offsets: new.iter().map(offset).collect(),
        };
        let (reply, _) = self.client.shared().ask::<_, CommitOffsetsReply>(&message, true).await?;
        check(reply.code, reply.message)?;
        self.committed.extend(new);
        Ok(())
    }

    /// Commits, unless that is the application's to do, and leaves the group: the others share the partitions at once.
    pub async fn leave(mut self) -> Result<(), ClientError> {
        self.beat = None;
        if self.member_id.is_empty() {
            return Ok(());
        }
        if self.options.commit_by_itself {
            self.commit().await?;
        }
        let message = GroupHeartbeat {
            group: self.group.clone(),
            member_id: self.member_id.clone(),
            epoch: -1,
            ..GroupHeartbeat::default()
        };
        let (reply, _) = self.client.shared().ask::<_, GroupHeartbeatReply>(&message, true).await?;
        match reply.code {
            // It was out already.
            ErrorCode::MemberFenced => Ok(()),
            code => check(code, reply.message),
        }
    }

    fn next_beat(&self) -> Beat {
        let enters = self.epoch == 0;
        let wait = if enters && self.failures == 0 { Duration::ZERO } else { HEARTBEAT_WAIT };
        let milliseconds = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let ids: HashMap<&str, Uuid> = self.names.iter().map(|(id, name)| (name.as_str(), *id)).collect();
        let owned = self.assigned.iter().filter_map(|(topic, partitions)| {
            let topic_id = *ids.get(topic.as_str())?;
            Some(GroupPartitions { topic_id, partitions: partitions.iter().copied().collect() })
        });
        let message = GroupHeartbeat {
            group: self.group.clone(),
            member_id: self.member_id.clone(),
            epoch: self.epoch,
            instance_id: self.options.instance_id.clone().unwrap_or_default(),
            rebalance_timeout_ms: milliseconds(self.options.rebalance_timeout),
            wait_ms: milliseconds(wait),
            topics: if enters { self.options.topics.clone() } else { Vec::new() },
            owned: owned.collect(),
        };
        let client = self.client.clone();
        Box::pin(async move {
            let (reply, _) = client.shared().ask::<_, GroupHeartbeatReply>(&message, true).await?;
            Ok(reply)
        })
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(beat) = &mut self.beat
            && let Poll::Ready(reply) = beat.as_mut().poll(context)
        {
            return Poll::Ready(Event::Beat(reply));
        }
        self.turn = self.turn.wrapping_add(1);
        let (mut ended, count) = (0, self.consumers.len());
        let first = self.turn % count.max(1);
        let in_turn = (0..count).map(|place| (first + place) % count);
        let topics: Vec<String> = self.consumers.keys().cloned().collect();
        for topic in in_turn.filter_map(|place| topics.get(place)) {
            let Some(consumer) = self.consumers.get_mut(topic) else { continue };
            match Pin::new(consumer).poll_next(context) {
                Poll::Ready(Some(batch)) => return Poll::Ready(Event::Batch(topic.clone(), batch)),
                Poll::Ready(None) => ended += 1,
                Poll::Pending => {}
            }
        }
        if ended == count && count > 0 { Poll::Ready(Event::AtEnd) } else { Poll::Pending }
    }

    async fn on_beat(&mut self, reply: Result<GroupHeartbeatReply, ClientError>) -> Result<(), ClientError> {
        let reply = match reply.and_then(|reply| check(reply.code, reply.message.clone()).map(|()| reply)) {
            Ok(reply) => reply,
            Err(ClientError::Refused { code: ErrorCode::MemberFenced, .. })
                if self.failures < FAILURES_MAX =>
            {
                self.begin_anew();
                return Ok(());
            }
            Err(error) if error.is_retriable() && self.failures < FAILURES_MAX => {
                self.failures += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.failures = 0;
        self.member_id = reply.member_id;
        self.epoch = reply.epoch;
        // Before anything of it is given up.
        if self.options.commit_by_itself {
            match self.commit().await {
                Err(ClientError::Refused { code: ErrorCode::MemberFenced, .. }) => self.begin_anew(),
                // The next one takes it along.
                Err(error) if error.is_retriable() => {}
                outcome => outcome?,
            }
        }
        if let Some(assignment) = reply.assignment {
            self.given = Some(assignment);
        }
        Ok(())
    }

    /// The member is out: others have its partitions, and what it delivered and did not commit they will read again.
    fn begin_anew(&mut self) {
        self.failures += 1;
        self.epoch = 0;
        self.member_id.clear();
        self.assigned.clear();
        self.consumers.clear();
        self.begins.clear();
        self.delivered.clear();
        self.committed.clear();
        self.given = None;
    }

    /// Goes over to what the broker gave, from wherever an earlier call was dropped.
    async fn take_given(&mut self) -> Result<(), ClientError> {
        if let Some(given) = &self.given {
            if given.iter().any(|part| !self.names.contains_key(&part.topic_id)) {
                self.learn_names().await?;
            }
            self.set_assigned();
        }
        let missing: Vec<String> =
            self.assigned.keys().filter(|topic| !self.consumers.contains_key(*topic)).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.find_begins().await?;
        for topic in missing {
            self.read(&topic).await?;
        }
        Ok(())
    }

    /// What is another's is not read from here on.
    fn set_assigned(&mut self) {
        let mut assigned: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for part in self.given.take().into_iter().flatten() {
            // A topic that was just deleted has no name any more.
            if let Some(name) = self.names.get(&part.topic_id) {
                assigned.entry(name.clone()).or_default().extend(part.partitions);
            }
        }
        assigned.retain(|_, partitions| !partitions.is_empty());
        let before = std::mem::replace(&mut self.assigned, assigned);
        let assigned = &self.assigned;
        let is_mine = |(topic, partition): &Place| {
            assigned.get(topic).is_some_and(|partitions| partitions.contains(partition))
        };
        self.begins.retain(|place, _| is_mine(place));
        self.delivered.retain(|place, _| is_mine(place));
        self.committed.retain(|place, _| is_mine(place));
        self.consumers.retain(|topic, _| before.get(topic) == assigned.get(topic));
    }

    async fn learn_names(&mut self) -> Result<(), ClientError> {
        let message = Metadata { topics: TopicSelection::Names(self.options.topics.clone()), follow: false };
        let (reply, _) = self.client.shared().ask::<_, MetadataReply>(&message, true).await?;
        self.names = reply.topics.into_iter().map(|topic| (topic.id, topic.name)).collect();
        Ok(())
    }

    /// Where the partitions that are new here begin: after what the group has committed.
    async fn find_begins(&mut self) -> Result<(), ClientError> {
        let places = self.assigned.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |partition| (topic.clone(), *partition))
        });
        let new: Vec<Place> = places.filter(|place| !self.begins.contains_key(place)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let message = CommittedOffsets { group: self.group.clone() };
        let (reply, _) = self.client.shared().ask::<_, CommittedOffsetsReply>(&message, true).await?;
        check(reply.code, reply.message)?;
        let known: HashMap<Place, i64> = reply
            .offsets
            .into_iter()
            .map(|offset| ((offset.topic, offset.partition), offset.offset))
            .collect();
        for place in new {
            let begin =
                known.get(&place).map_or(self.options.consumer.start, |offset| StartAt::Offset(*offset));
            self.begins.insert(place, begin);
        }
        Ok(())
    }

    async fn read(&mut self, topic: &str) -> Result<(), ClientError> {
        let Some(partitions) = self.assigned.get(topic) else { return Ok(()) };
        let partitions: Vec<u32> = partitions.iter().copied().collect();
        let options = ConsumerOptions { partitions: partitions.clone(), ..self.options.consumer.clone() };
        let mut consumer = self.client.consumer(topic, options).await?;
        for partition in partitions {
            let place = (topic.to_owned(), partition);
            let delivered = self.delivered.get(&place).map(|offset| StartAt::Offset(*offset));
            if let Some(begin) = delivered.or_else(|| self.begins.get(&place).copied()) {
                consumer.seek(partition, begin)?;
            }
        }
        self.consumers.insert(topic.to_owned(), consumer);
        Ok(())
    }
}

fn check(code: ErrorCode, message: String) -> Result<(), ClientError> {
    match code {
        ErrorCode::None => Ok(()),
        code => Err(ClientError::Refused { code, message }),
    }
}
