//! Retries across a restart: what a killed broker did not answer is sent again, and so is what it had just
//! acknowledged. The former is stored once, whether the first try was stored or not; the latter keeps its offset.

use std::collections::{BTreeMap, HashMap, VecDeque};

use anyhow::{Context, Result, ensure};
use uuid::Uuid;
use wire::frame::MessageKind;
use wire::native::ProduceAcks;

use super::connection::Connection;
use super::load::{Acknowledged, REMEMBERED_BATCHES, Sent, SentBatch};
use crate::clock::now_ns;

/// Sends the batches again; what is newly acknowledged, and how many answers repeated an earlier one.
pub(crate) fn retry(address: &str, sent: &Sent) -> Result<(Vec<Acknowledged>, u64)> {
    let mut connection = Connection::open(address)?;
    let (mut acknowledged, mut repeated) = (Vec::new(), 0);
    for batches in queues(sent).into_values() {
        for batch in batches {
            let entry = batch.entry;
            let base_offset = send_and_wait(&mut connection, &batch)
                .with_context(|| format!("sent again after the restart: {entry:?}"))?;
            if entry.base_offset < 0 {
                acknowledged.push(Acknowledged { base_offset, at_ns: now_ns(), ..entry });
                continue;
            }
            repeated += 1;
            ensure!(
                base_offset == entry.base_offset,
                "DOUBLED: {entry:?} was sent again and acknowledged at offset {base_offset}"
            );
        }
    }
    Ok((acknowledged, repeated))
}

/// By producer and partition, in the order of sending: as many as a broker remembers, the unanswered at the end.
fn queues(sent: &Sent) -> BTreeMap<(u64, Uuid, u32), VecDeque<SentBatch>> {
    let key = |batch: &SentBatch| (batch.entry.producer, batch.entry.topic_id, batch.entry.partition);
    let mut unanswered: HashMap<_, usize> = HashMap::new();
    for batch in &sent.unanswered {
        *unanswered.entry(key(batch)).or_default() += 1;
    }
    let mut queues: BTreeMap<_, VecDeque<SentBatch>> = BTreeMap::new();
    for batch in &sent.recent {
        let room = REMEMBERED_BATCHES.saturating_sub(unanswered.get(&key(batch)).copied().unwrap_or(0));
        let queue = queues.entry(key(batch)).or_default();
        queue.push_back(batch.clone());
        if queue.len() > room {
            queue.pop_front();
        }
    }
    for batch in &sent.unanswered {
        queues.entry(key(batch)).or_default().push_back(batch.clone());
    }
    queues
}

fn send_and_wait(connection: &mut Connection, batch: &SentBatch) -> Result<i64> {
    let id = batch.send(connection)?;
    loop {
        let frame = connection.receive()?;
        if frame.header.kind != MessageKind::ProduceAcks {
            continue;
        }
        for ack in ProduceAcks::read(&frame.body)? {
            if ack.correlation_id == id {
                ensure!(ack.code.is_none(), "refused: {}", ack.code);
                return Ok(ack.base_offset);
            }
        }
    }
}
