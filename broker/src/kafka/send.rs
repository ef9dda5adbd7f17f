//! A connection's writer: outcomes of batches into answers, answers from the front of the outbox to the socket. Hot path.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use runtime::net::WriteHalf;

use super::connection::Connection;
use super::produce;
use crate::connection::{self, Life};

/// Sends until the connection is settled and drained, or closed.
pub(super) async fn run(connection: Rc<Connection>, mut half: WriteHalf) {
    while wait(&connection).await {
        produce::take_outcomes(&connection);
        let answers = connection.outbox.borrow_mut().take_ready();
        if answers.is_empty() {
            // A place without an answer may have gone, for which the reader waits.
            connection.reader.raise();
            continue;
        }
        let mut slices = Vec::with_capacity(answers.len() * 2);
        answers.iter().for_each(|answer| answer.add_slices(&mut slices));
        let bytes = answers.iter().map(|answer| answer.bytes()).sum();
        let sent = connection::send(&connection, &mut half, &slices).await;
        connection.answers_taken(bytes);
        if sent.is_err() {
            break;
        }
        let metrics = &connection.shard().metrics;
        for (count, at) in answers.iter().filter_map(|answer| answer.produced) {
            metrics.durable_to_answered.record_many(at.elapsed(), count);
        }
        // The reader may have waited for room.
        connection.reader.raise();
    }
    if connection.life() != Life::Closed {
        // The peer may be gone already; there is nobody to tell.
        let _ = half.shutdown().await;
    }
    connection.close();
    connection.outbox.borrow_mut().clear_ready();
    connection.answers_taken(connection.owed());
}

/// Waits for something to do; false when the connection ends.
async fn wait(connection: &Connection) -> bool {
    let mut acknowledged = pin!(connection.acks.wait());
    poll_fn(|context| {
        loop {
            if connection.life() == Life::Closed {
                return Poll::Ready(false);
            }
            if connection.outbox.borrow().is_ready() || !connection.inbox.is_empty() {
                return Poll::Ready(true);
            }
            if acknowledged.as_mut().poll(context).is_ready() {
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
