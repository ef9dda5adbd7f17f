//! The bytes to write next on a connection: many frames for one system call.
//!
//! Hot path. Headers, bodies and small payloads are gathered in one piece; large payloads follow as they are, uncopied.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use wire::frame::{self, FRAME_HEADER_BYTES, MessageKind};

use super::link::{LinkRef, PartitionKey, Pending, Purpose};
use super::producer::{InFlight, Next, ProducerState, Queued};
use super::{Core, Moment};
use crate::error::ClientError;

/// Written at once, about: beyond, a call costs little against its bytes.
const WRITE_BYTES: usize = 2 * 1024 * 1024;
/// Pieces written at once; the kernel takes 1,024.
const WRITE_SLICES: usize = 512;
/// Payloads up to this are copied beside their headers: a slice of its own costs the kernel more.
const COPY_BYTES_MAX: usize = 2 * 1024;
/// Room asked for when gathering begins.
const CHUNK_BYTES: usize = 64 * 1024;

/// What to write, in order.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// The pieces.
    pub slices: Vec<Bytes>,
    bytes: usize,
}

impl Outgoing {
    fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.bytes += slice.len();
            self.slices.push(slice);
        }
    }
}

/// What the writing task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Write what is in [`Outgoing`], then ask again.
    Write,
    /// The connection is over: close it.
    Over,
}

impl Core {
    /// Fills `outgoing` (cleared first); waits until there is something to write or the connection is over.
    pub fn transmit(
        &mut self,
        reference: LinkRef,
        outgoing: &mut Outgoing,
        now: Moment,
        context: &mut Context<'_>,
    ) -> Poll<Transmit> {
        outgoing.slices.clear();
        outgoing.bytes = 0;
        let link = &mut self.links[reference.index];
        if self.closed || link.attempt != reference.attempt {
            return Poll::Ready(Transmit::Over);
        }
        outgoing.push(link.outgoing.split().freeze());
        if link.purpose == Purpose::Produce && link.is_ready() {
            self.gather_batches(reference.index, outgoing, now);
        }
        if outgoing.slices.is_empty() {
            self.links[reference.index].writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Transmit::Write)
    }

    fn gather_batches(&mut self, index: usize, outgoing: &mut Outgoing, now: Moment) {
        let link_limit = self.limits.in_flight_bytes_max;
        let Core { links, producers, .. } = self;
        let link = &mut links[index];
        let mut chunk = std::mem::take(&mut link.chunk);
        let mut failed = Vec::new();
        while outgoing.bytes + chunk.len() < WRITE_BYTES && outgoing.slices.len() < WRITE_SLICES {
            let Some(key) = link.ready.pop_front() else { break };
            let Some(producer) = producers.get_mut(&key.owner) else { continue };
            let limit = link_limit.min(producer.options.in_flight_bytes);
            let next = producer.partitions[key.partition as usize].next(&producer.options, now);
            let bytes = producer.next_bytes(key, next);
            if bytes > 0 && link.in_flight_bytes > 0 && link.in_flight_bytes + bytes > limit {
                // Its turn stays; an acknowledgement makes room and wakes the writer.
                link.ready.push_front(key);
                break;
            }
            let correlation_id = link.next_correlation();
            match producer.send_next(key, next, correlation_id) {
                Sent::Nothing => producer.partitions[key.partition as usize].listed = false,
                Sent::Failed => {
                    failed.extend(producer.take_failed(key));
                    link.ready.push_back(key);
                }
                Sent::InFlight(place) => {
                    let body = producer.body(key.partition);
                    let item = &producer.partitions[key.partition as usize].in_flight[place];
                    write_frame(item, &body, correlation_id, &mut chunk, outgoing);
                    link.in_flight_bytes += item.batch.length();
                    link.pending.insert(correlation_id, Pending::Produce(key));
                    link.ready.push_back(key);
                }
            }
        }
        outgoing.push(chunk.split().freeze());
        link.chunk = chunk;
        for (owner, queued, error) in failed {
            self.fail_queued(owner, queued, error);
        }
    }

    fn fail_queued(&mut self, owner: usize, queued: FailedBatch, error: ClientError) {
        if let Some(producer) = self.producers.get_mut(&owner) {
            producer.release(queued.charged_bytes);
        }
        queued.completion.complete(Err(error));
    }
}

/// One Produce frame: header, body and batch header in `chunk`, the records behind.
fn write_frame(
    item: &InFlight,
    body: &[u8],
    correlation_id: u64,
    chunk: &mut BytesMut,
    outgoing: &mut Outgoing,
) {
    let batch = &item.batch;
    if chunk.capacity() - chunk.len() < FRAME_HEADER_BYTES + body.len() + COPY_BYTES_MAX {
        outgoing.push(chunk.split().freeze());
        chunk.reserve(CHUNK_BYTES);
    }
    frame::encode(chunk, MessageKind::Produce, correlation_id, 0, body, batch.length());
    chunk.extend_from_slice(batch.header_bytes());
    for run in batch.runs() {
        if run.len() <= COPY_BYTES_MAX {
            chunk.extend_from_slice(run);
        } else {
            outgoing.push(chunk.split().freeze());
            outgoing.push(run.clone());
        }
    }
}

enum Sent {
    Nothing,
    /// The batch at this place of `in_flight` is to be written.
    InFlight(usize),
    /// A batch could not be built; see [`ProducerState::take_failed`].
    Failed,
}

/// A batch that could not be built: the codec failed.
#[derive(Debug)]
pub(super) struct FailedBatch {
    completion: crate::delivery::Completion,
    charged_bytes: usize,
}

impl ProducerState {
    /// The bytes that would be under way.
    fn next_bytes(&self, key: PartitionKey, next: Next) -> usize {
        let state = &self.partitions[key.partition as usize];
        match next {
            Next::Nothing => 0,
            Next::Again(place) => state.in_flight[place].batch.length(),
            Next::Queued => state.queued[0].bytes(),
            Next::Open => state.open.as_ref().map_or(0, |open| open.builder.bytes()),
        }
    }

    /// Moves the next batch of a partition under way.
    fn send_next(&mut self, key: PartitionKey, next: Next, correlation_id: u64) -> Sent {
        let state = &mut self.partitions[key.partition as usize];
        let queued = match next {
            Next::Nothing => return Sent::Nothing,
            Next::Again(place) => {
                let item = &mut state.in_flight[place];
                item.correlation_id = correlation_id;
                item.attempts += 1;
                state.waiting -= 1;
                return Sent::InFlight(place);
            }
            Next::Queued => state.queued.pop_front(),
            Next::Open => state.open.take().map(Queued::Gathered),
        };
        let queued = queued.expect("the partition said that it has a batch");
        let (charged_bytes, opened) = (queued.bytes(), queued.opened());
        let (batch, completion, base_sequence) = match queued {
            Queued::Gathered(open) => {
                let records = u32::try_from(open.builder.record_count()).unwrap_or(0);
                let before = state.next_sequence;
                let stamp = state.next_stamp(records);
                match open.finish(stamp, &mut self.spare) {
                    (Ok(batch), completion) => (batch, completion, stamp.base_sequence),
                    (Err(error), completion) => {
                        state.next_sequence = before;
                        let error = ClientError::Invalid { reason: error.to_string() };
                        self.failed.push((FailedBatch { completion, charged_bytes }, error));
                        return Sent::Failed;
                    }
                }
            }
            Queued::Prepared { mut batch, completion, .. } => {
                let stamp = state.next_stamp(batch.record_count());
                batch.stamp(stamp.producer_id, stamp.producer_epoch, stamp.base_sequence);
                (batch, completion, stamp.base_sequence)
            }
        };
        state.in_flight.push_back(InFlight {
            batch,
            completion,
            opened,
            charged_bytes,
            base_sequence,
            correlation_id,
            attempts: 1,
            outcome_unknown: false,
            last_error: None,
        });
        Sent::InFlight(state.in_flight.len() - 1)
    }

    fn take_failed(&mut self, key: PartitionKey) -> impl Iterator<Item = (usize, FailedBatch, ClientError)> {
        std::mem::take(&mut self.failed).into_iter().map(move |(batch, error)| (key.owner, batch, error))
    }
}
