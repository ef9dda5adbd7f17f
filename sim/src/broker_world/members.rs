//! Members of one consumer group, which come, read, commit, leave or vanish.
//!
//! What has to hold, whatever crashes:
//! - the group is given every record: where a member begins, somebody was given all before;
//! - where a commit was answered, who begins after it begins there or later;
//! - at the end the group has come to the end of everything.
//!
//! A member that is out and does not know it yet may go on reading where it was: that is not judged.

use std::collections::BTreeMap;
use std::time::Duration;

use corelog_client::{Client, ClientError, ConsumerOptions, ErrorCode, GroupConsumer, GroupOptions, StartAt};
use runtime::{clock, random};
use uuid::Uuid;

use super::clients::{Outside, is_explained, list_topics, new_client};
use super::ledger::Place;

const GROUP: &str = "group";
/// A member looks up from its topics after this long without a batch.
const PATIENCE: Duration = Duration::from_millis(30);

/// What the group was given and promised.
#[derive(Default)]
pub(super) struct GroupLedger {
    places: BTreeMap<Place, Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    /// The end of what members were given.
    given: i64,
    /// The highest commit that was answered.
    promised: i64,
}

pub(super) async fn live(outside: Outside) {
    let client = new_client();
    while !(outside.is_over() && outside.writing.get() == 0) {
        let Some(mut member) = Member::open(&outside, &client).await else {
            clock::sleep(PATIENCE).await;
            continue;
        };
        for _ in 0..1 + random::below(40) {
            if !member.take_one().await || random::below(4) == 0 && !member.commit().await {
                break;
            }
        }
        // Else it vanishes, and is missed.
        if random::below(3) > 0 {
            member.leave().await;
        }
    }
    read_to_the_end(&outside, &client).await;
}

async fn read_to_the_end(outside: &Outside, client: &Client) {
    loop {
        let Some(mut member) = Member::open(outside, client).await else { continue };
        while !is_at_the_end(outside) && member.take_one().await {}
        if is_at_the_end(outside) {
            member.leave().await;
            return;
        }
    }
}

fn is_at_the_end(outside: &Outside) -> bool {
    let ledger = outside.ledger.borrow();
    let groups = outside.groups.borrow();
    ledger.ends().all(|(place, end)| groups.places.get(&place).is_some_and(|progress| progress.given >= end))
}

/// One member of the group, from its coming to its going.
struct Member {
    outside: Outside,
    consumer: GroupConsumer,
    ids: BTreeMap<String, Uuid>,
    /// What it was given, and of each place the commit that was promised when it was given something last.
    given: BTreeMap<Place, i64>,
    promised: BTreeMap<Place, i64>,
}

impl Member {
    async fn open(outside: &Outside, client: &Client) -> Option<Self> {
        let topics = list_topics(client).await.ok().filter(|topics| !topics.is_empty())?;
        let ids: BTreeMap<String, Uuid> = topics.into_iter().map(|(id, name, _)| (name, id)).collect();
        let consumer =
            ConsumerOptions { start: StartAt::Earliest, buffer_bytes: 1 << 16, ..ConsumerOptions::default() };
        let commit_by_itself = random::below(2) == 0;
        let options = GroupOptions { consumer, commit_by_itself, ..GroupOptions::new(ids.keys().cloned()) };
        match client.group_consumer(GROUP, options).await {
            Ok(consumer) => {
                let (given, promised) = (BTreeMap::new(), BTreeMap::new());
                let mut member = Self { outside: outside.clone(), consumer, ids, given, promised };
                member.note_promises();
                Some(member)
            }
            Err(error) => {
                assert!(is_explained(&error), "no member: {error}");
                None
            }
        }
    }

    fn note_promises(&mut self) {
        let groups = self.outside.groups.borrow();
        self.promised = groups.places.iter().map(|(place, progress)| (*place, progress.promised)).collect();
    }

    /// Takes one batch if one comes. False when this member is done.
    async fn take_one(&mut self) -> bool {
        match clock::timeout(PATIENCE, self.consumer.next_batch()).await {
            Err(_) => {}
            Ok(None) => panic!("a member that is to follow came to an end"),
            Ok(Some(Ok(batch))) => self.take(&batch.topic, &batch.batch),
            Ok(Some(Err(error))) => {
                assert!(is_explained(&error), "a member was told: {error}");
                return false;
            }
        }
        self.note_promises();
        true
    }

    fn take(&mut self, topic: &str, batch: &corelog_client::ReceivedBatch) {
        let place = (self.ids[topic], batch.partition);
        let records = batch.records().unwrap_or_else(|error| panic!("{place:?}: {error}"));
        let mut groups = self.outside.groups.borrow_mut();
        let progress = groups.places.entry(place).or_default();
        let first = batch.first_offset();
        assert!(
            first <= progress.given,
            "{place:?}: a member begins at {first}, and the group was given {} records",
            progress.given
        );
        if self.given.get(&place) != Some(&first) {
            let promised = self.promised.get(&place).copied().unwrap_or(0);
            assert!(first >= promised, "{place:?}: a member begins at {first}, and {promised} was committed");
        }
        let mut ledger = self.outside.ledger.borrow_mut();
        for (record, expected) in records.iter().zip(first..) {
            assert_eq!(record.offset, expected, "{place:?}: a member was given a gap or a double");
            ledger.see(place, record.offset, record.value.as_deref().unwrap_or_default());
        }
        progress.given = progress.given.max(batch.next_offset());
        self.given.insert(place, batch.next_offset());
    }

    /// Commits what it was given. False when it is no member any more.
    async fn commit(&mut self) -> bool {
        // What it lost meanwhile is not its to commit.
        let assigned = self.consumer.assigned().clone();
        let is_mine = |place: &Place| {
            let name = self.ids.iter().find(|(_, id)| **id == place.0).map(|(name, _)| name);
            let partitions = name.and_then(|name| assigned.get(name));
            partitions.is_some_and(|partitions| partitions.contains(&place.1))
        };
        let given: Vec<(Place, i64)> = self
            .given
            .iter()
            .filter(|(place, _)| is_mine(place))
            .map(|(place, end)| (*place, *end))
            .collect();
        match self.consumer.commit().await {
            Ok(()) => {
                let mut groups = self.outside.groups.borrow_mut();
                for (place, end) in given {
                    let progress = groups.places.entry(place).or_default();
                    progress.promised = progress.promised.max(end);
                }
                true
            }
            Err(error) => {
                assert!(is_member_error(&error), "a commit was answered: {error}");
                false
            }
        }
    }

    async fn leave(self) {
        if let Err(error) = self.consumer.leave().await {
            assert!(is_member_error(&error), "a member that leaves was told: {error}");
        }
    }
}

fn is_member_error(error: &ClientError) -> bool {
    let is_fenced = matches!(error, ClientError::Refused { code: ErrorCode::MemberFenced, .. });
    is_fenced || is_explained(error)
}
