//! A connection's writer: many frames, one call. Hot path.
//!
//! Each round takes the acknowledgements that are there as one frame, the answers that wait, and batches up to
//! [`SEND_BYTES_MAX`](limits::SEND_BYTES_MAX): an answer waits for one such round at most, never for a queue of batches.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::BytesMut;
use runtime::clock::{self, Instant};
use runtime::net::WriteHalf;
use wire::codes::ErrorCode;
use wire::frame;
use wire::native::{Message, ProduceAck, ProduceAcks};

use super::connection::{BatchFrame, Connection};
use super::metadata;
use crate::connection::{self, Life};
use crate::limits;
use crate::request::append_code;
use crate::shard::AckError;

/// A buffer for answers that grew beyond this is not kept.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Sends until the connection is settled and drained, or closed.
pub(super) async fn run(connection: Rc<Connection>, mut half: WriteHalf) {
    let mut head = BytesMut::new();
    while wait(&connection).await {
        let acknowledged = gather_acks(&connection, &mut head);
        metadata::push_change(&connection);
        let owed = connection.owed();
        let batches = gather(&connection, &mut head);
        if head.is_empty() && batches.is_empty() {
            continue;
        }
        if send(&connection, &mut half, &head, &batches).await.is_err() {
            break;
        }
        connection.answers_taken(owed);
        if let Some((count, at)) = acknowledged {
            connection.shard().metrics.durable_to_answered.record_many(at.elapsed(), count);
        }
        head.clear();
        if head.capacity() > KEPT_BYTES_MAX {
            head = BytesMut::new();
        }
        // The reader may have waited for room.
        connection.reader.raise();
    }
    if connection.life() != Life::Closed {
        // The peer may be gone already; there is nobody to tell.
        let _ = half.shutdown().await;
    }
    connection.close();
    *connection.outbox.borrow_mut() = Default::default();
    connection.answers_taken(connection.owed());
}

/// Waits for something to send; false when the connection ends.
async fn wait(connection: &Connection) -> bool {
    let mut acknowledged = pin!(connection.acks.wait());
    poll_fn(|context| {
        loop {
            if connection.life() == Life::Closed {
                return Poll::Ready(false);
            }
            let outbox = connection.outbox.borrow();
            let changed = connection.follower.get().is_some_and(|follower| follower.changed.get());
            if !outbox.answers.is_empty() || !outbox.batches.is_empty() || changed {
                return Poll::Ready(true);
            }
            drop(outbox);
            if !connection.inbox.is_empty() || acknowledged.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            if connection.life() == Life::Draining && connection.is_settled() {
                return Poll::Ready(false);
            }
            if connection.writer.poll_raised(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Puts the acknowledgements that are there into one frame; how many there were, and when.
fn gather_acks(connection: &Connection, head: &mut BytesMut) -> Option<(u64, Instant)> {
    let shard = connection.shard();
    let mut acks = connection.service.acks.borrow_mut();
    acks.clear();
    let now = clock::now();
    let mut in_flight = connection.in_flight.borrow_mut();
    let mut count = 0;
    let mut take = |token, code: ErrorCode, base_offset, log_append_time_ms| {
        let request = in_flight.remove(token);
        shard.overhead_bytes.set(shard.overhead_bytes.get() - request.overhead as usize);
        count += 1;
        shard.metrics.received_to_durable.record(now.since(request.received_at));
        if !code.is_none() {
            shard.metrics.produce_errors.add(1);
        }
        if request.acknowledge {
            let correlation_id = request.correlation_id;
            acks.push(ProduceAck { correlation_id, code, base_offset, log_append_time_ms });
        }
    };
    while let Some(ack) = connection.acks.pop() {
        match ack.result {
            Ok(stored) => take(ack.token, ErrorCode::None, stored.base_offset, stored.log_append_time_ms),
            Err(error) => take(ack.token, append_code(&error), -1, -1),
        }
    }
    for (token, outcome) in connection.inbox.take() {
        match outcome {
            Ok(stored) => take(token, ErrorCode::None, stored.base_offset, stored.log_append_time_ms),
            Err(AckError::Refused(code)) => take(token, code, -1, -1),
            Err(AckError::Append(error)) => take(token, append_code(&error), -1, -1),
        }
    }
    if count == 0 {
        return None;
    }
    // One frame: a connection has no more in flight than a frame holds.
    if !acks.is_empty() {
        let mut builder = connection.service.builder.borrow_mut();
        let revision = shard.catalog().revision();
        let body = ProduceAcks::write(&mut builder, &acks);
        frame::encode(head, ProduceAcks::KIND, 0, revision, body, 0);
    }
    Some((count, now))
}

/// Takes the answers, and batches up to the limit of a round.
fn gather(connection: &Connection, head: &mut BytesMut) -> Vec<BatchFrame> {
    let mut outbox = connection.outbox.borrow_mut();
    if head.is_empty() {
        std::mem::swap(head, &mut outbox.answers);
    } else {
        let answers = std::mem::take(&mut outbox.answers);
        head.extend_from_slice(&answers);
    }
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while bytes < limits::SEND_BYTES_MAX
        && let Some(frame) = outbox.batches.pop_front()
    {
        bytes += frame.run.len();
        batches.push(frame);
    }
    batches
}

async fn send(
    connection: &Connection,
    half: &mut WriteHalf,
    head: &[u8],
    batches: &[BatchFrame],
) -> io::Result<()> {
    let mut slices = Vec::with_capacity(1 + batches.len() * 3);
    if !head.is_empty() {
        slices.push(IoSlice::new(head));
    }
    for frame in batches {
        slices.push(IoSlice::new(&frame.head));
        frame.run.add_slices(&mut slices);
    }
    connection::send(connection, half, &slices).await
}
