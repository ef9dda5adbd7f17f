//! The judge: what was sent, answered and seen, kept outside of both machines.
//!
//! What has to hold, checked at every answer and every record read, and once more over all of it at the end:
//! - an acknowledged record is at its offset, with its content, for good;
//! - so is one that a consumer was given, acknowledged or not;
//! - offsets have no gap; no record is at two of them;
//! - the records of an idempotent producer stand in the order it sent them;
//! - what was refused as certainly not stored is not there;
//! - a topic that was made is there, with its partitions, until its deletion was asked for; and not after that was answered.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use uuid::Uuid;

/// A record's number, for all of the run.
pub(super) type Serial = u64;
/// A topic by its id, and a partition's number in it.
pub(super) type Place = (Uuid, u32);

#[derive(Default)]
pub(super) struct Ledger {
    sent: BTreeMap<Serial, Sent>,
    partitions: BTreeMap<Place, Partition>,
    topics: BTreeMap<Uuid, Topic>,
    /// When the last deletion of each name was asked for.
    deletions: BTreeMap<String, Moment>,
    /// Names of which a deletion has no answer: it may yet be carried out, on a topic made later too.
    doubtful: BTreeSet<String>,
    now: Moment,
    next_producer: u32,
    pub(super) acknowledged: u64,
}

/// Counts deletions asked for and answered. An answer is judged by what was known when its question was asked.
type Moment = u64;

struct Sent {
    place: Place,
    length: usize,
    producer: ProducerRef,
    /// Where it is known to be.
    offset: Option<i64>,
    is_acknowledged: bool,
    /// It was answered that it is not stored and will not be.
    is_refused: bool,
}

/// One producer of the run; it never comes again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ProducerRef {
    number: u32,
    is_idempotent: bool,
}

#[derive(Default)]
struct Partition {
    /// What is certain: acknowledged, or given to a consumer.
    certain: BTreeMap<i64, Serial>,
    high_watermark: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deletion {
    No,
    Asked,
    Answered(Moment),
}

struct Topic {
    name: String,
    /// At least so many.
    partitions: u32,
    deletion: Deletion,
}

impl Ledger {
    pub(super) fn producer(&mut self, is_idempotent: bool) -> ProducerRef {
        self.next_producer += 1;
        ProducerRef { number: self.next_producer, is_idempotent }
    }

    /// Notes a record that is about to be sent; its value.
    pub(super) fn send(&mut self, producer: ProducerRef, place: Place, length: usize) -> (Serial, Bytes) {
        let serial = self.sent.len() as Serial;
        let length = length.max(8);
        let sent = Sent { place, length, producer, offset: None, is_acknowledged: false, is_refused: false };
        self.sent.insert(serial, sent);
        (serial, value(serial, length))
    }

    pub(super) fn acknowledge(&mut self, serial: Serial, partition: u32, offset: i64) {
        let place = self.sent[&serial].place;
        assert_eq!(place.1, partition, "record {serial} was acknowledged in another partition");
        self.place_at(place, offset, serial);
        self.sent.get_mut(&serial).expect("just looked at").is_acknowledged = true;
        self.acknowledged += 1;
    }

    /// The answer was that the record is not stored.
    pub(super) fn refuse(&mut self, serial: Serial, why: &str) {
        let sent = self.sent.get_mut(&serial).expect("it was sent");
        sent.is_refused = true;
        assert_eq!(sent.offset, None, "record {serial} is there and was refused as not stored: {why}");
    }

    /// A consumer was given a record.
    pub(super) fn see(&mut self, place: Place, offset: i64, found: &[u8]) {
        let serial = found.get(..8).and_then(|bytes| Some(Serial::from_le_bytes(bytes.try_into().ok()?)));
        let sent = serial.and_then(|serial| self.sent.get(&serial));
        let Some((serial, sent)) = serial.zip(sent) else {
            panic!("{place:?}: offset {offset} holds {} bytes that nobody sent", found.len());
        };
        assert_eq!(sent.place, place, "record {serial} is at offset {offset} of another partition");
        assert!(
            found == value(serial, sent.length),
            "{place:?}: offset {offset}: record {serial} is damaged"
        );
        assert!(!sent.is_refused, "{place:?}: offset {offset}: record {serial} was refused as not stored");
        self.place_at(place, offset, serial);
    }

    fn place_at(&mut self, place: Place, offset: i64, serial: Serial) {
        let before = self.partitions.entry(place).or_default().certain.insert(offset, serial);
        assert!(
            before.is_none_or(|before| before == serial),
            "{place:?}: offset {offset} held record {before:?}, now {serial}"
        );
        let sent = self.sent.get_mut(&serial).expect("it was sent");
        let before = sent.offset.replace(offset);
        assert!(
            before.is_none_or(|before| before == offset),
            "{place:?}: record {serial} is at offset {offset} and at {before:?}"
        );
    }

    pub(super) fn see_high_watermark(&mut self, place: Place, high_watermark: i64) {
        let partition = self.partitions.entry(place).or_default();
        partition.high_watermark = partition.high_watermark.max(high_watermark);
    }

    /// The end of what is certain of a partition.
    pub(super) fn end(&self, place: Place) -> i64 {
        let partition = self.partitions.get(&place);
        let last = partition.and_then(|partition| partition.certain.last_key_value());
        last.map_or(0, |(offset, _)| offset + 1)
    }

    /// The end of each partition that something is certain of.
    pub(super) fn ends(&self) -> impl Iterator<Item = (Place, i64)> {
        self.partitions.keys().map(|place| (*place, self.end(*place))).filter(|(_, end)| *end > 0)
    }

    /// To be noted before a question whose answer names topics.
    pub(super) fn now(&self) -> Moment {
        self.now
    }

    /// A topic was made, or named in the answer to a question asked at that moment.
    pub(super) fn topic_is_there(&mut self, asked: Moment, id: Uuid, name: &str, partitions: u32) {
        let may_go = self.doubtful.contains(name) || self.deletions.get(name).is_some_and(|at| *at > asked);
        let deletion = if may_go { Deletion::Asked } else { Deletion::No };
        let new = || Topic { name: name.to_owned(), partitions: 0, deletion };
        let topic = self.topics.entry(id).or_insert_with(new);
        assert_eq!(topic.name, name, "topic {id} has another name");
        if let Deletion::Answered(at) = topic.deletion {
            assert!(at > asked, "topic {name}, {id}, was deleted and is there");
        }
        topic.partitions = topic.partitions.max(partitions);
    }

    /// The topic of this name has so many partitions now.
    pub(super) fn widened(&mut self, name: &str, partitions: u32) {
        let is_there = |topic: &&mut Topic| topic.name == name && topic.deletion == Deletion::No;
        for topic in self.topics.values_mut().filter(is_there) {
            topic.partitions = topic.partitions.max(partitions);
        }
    }

    /// Deletions are by name: every topic that has it may go.
    pub(super) fn deletion_asked(&mut self, name: &str) {
        self.now += 1;
        self.deletions.insert(name.to_owned(), self.now);
        // Until it is answered.
        self.doubtful.insert(name.to_owned());
        for topic in self.topics.values_mut().filter(|topic| topic.name == name) {
            if topic.deletion == Deletion::No {
                topic.deletion = Deletion::Asked;
            }
        }
    }

    /// Every topic of this name that was known when the deletion was asked for is gone. `was_doubtful`: an earlier one had
    /// no answer, and still may come.
    pub(super) fn deletion_answered(&mut self, name: &str, was_doubtful: bool) {
        self.now += 1;
        if !was_doubtful {
            self.doubtful.remove(name);
        }
        for topic in self.topics.values_mut().filter(|topic| topic.name == name) {
            if topic.deletion == Deletion::Asked {
                topic.deletion = Deletion::Answered(self.now);
            }
        }
    }

    pub(super) fn is_doubtful(&self, name: &str) -> bool {
        self.doubtful.contains(name)
    }

    /// The topic may be gone.
    pub(super) fn may_be_deleted(&self, id: Uuid) -> bool {
        self.topics.get(&id).is_none_or(|topic| topic.deletion != Deletion::No)
    }

    /// Judges the topics the broker names at the end.
    pub(super) fn judge_topics(&mut self, found: &[(Uuid, String, u32)]) {
        for (id, name, partitions) in found {
            self.topic_is_there(self.now, *id, name, *partitions);
        }
        for (id, topic) in self.topics.iter().filter(|(_, topic)| topic.deletion == Deletion::No) {
            let found = found.iter().find(|(found, ..)| found == id);
            let partitions = found.map(|(_, _, partitions)| *partitions);
            assert_eq!(partitions, Some(topic.partitions), "topic {}, {id}, and its partitions", topic.name);
        }
    }

    /// Judges all that a partition holds at the end; each record was shown to [`Ledger::see`] before.
    pub(super) fn judge(&self, place: Place, offsets: &[i64]) {
        for (expected, offset) in offsets.iter().enumerate() {
            assert_eq!(*offset, expected as i64, "{place:?}: the offsets have a gap or a double");
        }
        let Some(partition) = self.partitions.get(&place) else { return };
        let (end, certain_end) = (offsets.len() as i64, self.end(place));
        assert!(
            end >= certain_end,
            "{place:?}: {end} records are there; offset {} was acknowledged or read: record {:?}",
            certain_end - 1,
            partition.certain.last_key_value()
        );
        assert!(
            end >= partition.high_watermark,
            "{place:?}: {end} records are there; a consumer was told {}",
            partition.high_watermark
        );
        let mut newest: BTreeMap<ProducerRef, Serial> = BTreeMap::new();
        for (offset, serial) in &partition.certain {
            let producer = self.sent[serial].producer;
            let before = newest.insert(producer, *serial);
            assert!(
                !producer.is_idempotent || before.is_none_or(|before| before < *serial),
                "{place:?}: offset {offset}: record {serial} of {producer:?} stands after {before:?}"
            );
        }
    }
}

/// The record's number and bytes that follow from it.
fn value(serial: Serial, length: usize) -> Bytes {
    let mut value = vec![(serial % 251) as u8; length];
    value[..8].copy_from_slice(&serial.to_le_bytes());
    value.into()
}
