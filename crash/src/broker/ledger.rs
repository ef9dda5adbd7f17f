//! What the broker promised, and the check that it kept it.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use uuid::Uuid;
use wire::batch::{Batches, check_stored, records};
use wire::codes::ErrorCode;

use super::connection::{Connection, Refused};
use super::load::{Acknowledged, Sent, identify};

/// Which promises count: all, or those made by a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Required {
    All,
    AcknowledgedBy(u64),
}

/// Where a partition may have lost what was acknowledged: from which offset on.
pub(crate) type Lost = HashMap<(Uuid, u32), u64>;

/// What a broker serves of damaged data.
#[derive(Default)]
pub(crate) struct Judged {
    /// Acknowledged records that were found.
    pub(crate) found: u64,
    /// Partitions whose reader was told of damage, each with the error.
    pub(crate) told: Vec<String>,
}

/// (producer, sequence) of each record of one partition, by offset.
type Contents = Vec<(u64, u64)>;

#[derive(Clone, Default)]
pub(crate) struct Ledger {
    acknowledged: Vec<Acknowledged>,
    /// (producer, sequence) of records that were refused for certain.
    not_stored: HashSet<(u64, u64)>,
    /// With when each was acknowledged.
    topics: Vec<(String, Uuid, u32, u64)>,
    /// What was read after an earlier crash: it was served, so it stays.
    read_before: HashMap<(Uuid, u32), Contents>,
}

impl Ledger {
    pub(crate) fn add_topic(&mut self, name: &str, id: Uuid, partitions: u32, at_ns: u64) {
        self.topics.push((name.to_owned(), id, partitions, at_ns));
    }

    pub(crate) fn topics(&self) -> Vec<(Uuid, u32)> {
        self.topics.iter().map(|(_, id, partitions, _)| (*id, *partitions)).collect()
    }

    pub(crate) fn add(&mut self, sent: &Sent) {
        self.acknowledged.extend(&sent.acknowledged);
        self.not_stored.extend(&sent.not_stored);
    }

    pub(crate) fn acknowledged_records(&self) -> u64 {
        self.acknowledged.iter().map(|entry| u64::from(entry.count)).sum()
    }

    pub(crate) fn acknowledge(&mut self, entries: Vec<Acknowledged>) {
        self.acknowledged.extend(entries);
    }

    pub(crate) fn topic_named(&self, name: &str) -> Option<Uuid> {
        self.topics.iter().find(|topic| topic.0 == name).map(|topic| topic.1)
    }

    /// Forgets what was promised after a moment: a rebuilt disk goes on from there.
    pub(crate) fn keep_until(&mut self, moment_ns: u64) {
        self.acknowledged.retain(|entry| entry.at_ns <= moment_ns);
        self.topics.retain(|topic| topic.3 <= moment_ns);
        self.read_before.clear();
    }

    /// Reads everything back; how many required records were found.
    pub(crate) fn check(&mut self, address: &str, required: Required) -> Result<u64> {
        let until_ns = match required {
            Required::All => u64::MAX,
            Required::AcknowledgedBy(moment_ns) => moment_ns,
        };
        let mut connection = Connection::open(address)?;
        let known = connection.topics()?;
        let mut contents = HashMap::new();
        for (name, id, partitions, at_ns) in &self.topics {
            if *at_ns > until_ns {
                continue;
            }
            let found = known.iter().find(|topic| topic.id == *id);
            let found = found.with_context(|| format!("topic {name} was acknowledged and is gone"))?;
            ensure!(found.partitions.len() == *partitions as usize, "topic {name} has other partitions");
            for partition in 0..*partitions {
                let mut read = Contents::new();
                read_partition(&mut connection, *id, partition, &mut read)
                    .with_context(|| format!("topic {name} partition {partition}"))?;
                if let Some(record) = read.iter().find(|record| self.not_stored.contains(record)) {
                    bail!(
                        "STORED: {record:?} (producer, sequence) of topic {name} partition {partition} was refused"
                    );
                }
                contents.insert((*id, partition), read);
            }
        }
        let mut found = 0;
        for entry in self.acknowledged.iter().filter(|entry| entry.at_ns <= until_ns) {
            check_entry(entry, contents.get(&(entry.topic_id, entry.partition)))?;
            found += u64::from(entry.count);
        }
        if matches!(required, Required::All) {
            for (place, before) in &self.read_before {
                let now = contents.get(place).map_or(&[][..], Vec::as_slice);
                ensure!(
                    now.starts_with(before),
                    "partition {place:?}: records that were read have changed or gone"
                );
            }
            self.read_before = contents;
        }
        Ok(found)
    }
}

impl Ledger {
    /// Reads back what a broker serves of damaged data. Each acknowledged record is there, or its reader was told, or it
    /// is one that may be lost.
    pub(crate) fn judge(&self, address: &str, may_lose: &Lost) -> Result<Judged> {
        let mut connection = Connection::open(address)?;
        let mut judged = Judged::default();
        for (name, id, partitions, _) in &self.topics {
            for partition in 0..*partitions {
                let mut contents = Contents::new();
                let read = read_partition(&mut connection, *id, partition, &mut contents);
                let was_told = match read {
                    Ok(()) => false,
                    Err(error) if is_told(&error) => {
                        judged.told.push(format!("{name}: {error:#}"));
                        true
                    }
                    Err(error) => return Err(error.context(format!("topic {name} partition {partition}"))),
                };
                let served_to = contents.len() as u64;
                let may_end =
                    |last: u64| was_told || may_lose.get(&(*id, partition)).is_some_and(|lost| last >= *lost);
                let own = |entry: &&Acknowledged| (entry.topic_id, entry.partition) == (*id, partition);
                for entry in self.acknowledged.iter().filter(own) {
                    let end = entry.base_offset as u64 + u64::from(entry.count);
                    if end > served_to && may_end(end - 1) {
                        continue;
                    }
                    check_entry(entry, Some(&contents))?;
                    judged.found += u64::from(entry.count);
                }
            }
        }
        Ok(judged)
    }
}

/// The reader was told that data is damaged: no other error stands for that.
fn is_told(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Refused>()
        .is_some_and(|refused| matches!(refused.code, ErrorCode::CorruptLog | ErrorCode::StorageFailed))
}

fn check_entry(entry: &Acknowledged, contents: Option<&Contents>) -> Result<()> {
    let contents = contents.context("acknowledged records in a partition that was not read")?;
    for index in 0..u64::from(entry.count) {
        let offset = entry.base_offset as u64 + index;
        let found = contents.get(offset as usize).copied();
        let expected = (entry.producer, entry.first_sequence + index);
        if found != Some(expected) {
            bail!(
                "LOST: record {} of producer {} was acknowledged in partition {} at offset {offset}; found there: \
                 {found:?}, the log ends at {}. {entry:?}",
                expected.1,
                expected.0,
                entry.partition,
                contents.len()
            );
        }
    }
    Ok(())
}

/// All records in order. Nothing doubled follows from each producer's numbers growing within the partition.
fn read_partition(
    connection: &mut Connection,
    topic_id: Uuid,
    partition: u32,
    contents: &mut Contents,
) -> Result<()> {
    let mut last_of: HashMap<u64, u64> = HashMap::new();
    loop {
        let offset = contents.len() as i64;
        let (high_watermark, payload) = connection.fetch(topic_id, partition, offset)?;
        if payload.is_empty() {
            ensure!(
                high_watermark == offset,
                "nothing to read at {offset}, below the high watermark {high_watermark}"
            );
            return Ok(());
        }
        for batch in Batches::new(&payload) {
            let (range, header) = batch?;
            let bytes: Bytes = payload.slice(range);
            check_stored(&bytes)?;
            let next = contents.len() as i64;
            ensure!(header.base_offset == next, "a batch at {} where {next} comes next", header.base_offset);
            for record in records(&bytes)? {
                let record = record?;
                let (producer, sequence) = identify(record.value.as_deref().unwrap_or_default())?;
                if let Some(last) = last_of.insert(producer, sequence) {
                    ensure!(
                        last < sequence,
                        "producer {producer}: record {sequence} after {last}, at {}",
                        record.offset
                    );
                }
                contents.push((producer, sequence));
            }
        }
    }
}
