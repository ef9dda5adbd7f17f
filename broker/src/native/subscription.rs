//! Subscriptions: batches pushed as they become readable, as far as the peer gave credit. Hot path.
//!
//! One task a subscription. It waits without holding memory, reads when there is something and credit for it, and hands the
//! push to the writer. Invariant: a subscription's pushes are in the order of the log; its last push carries the reason.

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::future;
use wire::codes::ErrorCode;
use wire::native::{Push, StartPosition, Subscribe, SubscribeReply};

use super::connection::Connection;
use super::serve::refuse;
use crate::connection::{Held, Life};
use crate::handlers::{self, PartitionReader};
use crate::limits;
use crate::request::{BatchRun, OffsetQuery, PartitionName};
use crate::shard::Wakeup;

/// What the reader and the task of a subscription share.
pub(super) struct Subscription {
    /// Bytes that may be pushed; below zero after a batch larger than the credit.
    credit: Cell<i64>,
    /// The peer wants no more.
    unsubscribed: Cell<bool>,
    /// Raised for credit, for the end of the subscription, and for the connection's.
    pub(super) wakeup: Wakeup,
}

/// Opens a subscription, whose id is the request's correlation id.
pub(super) fn subscribe(connection: &Rc<Connection>, id: u64, request: &Subscribe) {
    let refused = |code| {
        connection.shard().metrics.request_errors.add(1);
        connection.answer(id, &SubscribeReply { code, start_offset: -1, high_watermark: -1 });
    };
    let mut subscriptions = connection.subscriptions.borrow_mut();
    if subscriptions.contains_key(&id) {
        return refused(ErrorCode::SubscriptionInUse);
    }
    if subscriptions.len() >= limits::SUBSCRIPTIONS_PER_CONNECTION_MAX {
        return refused(ErrorCode::LimitReached);
    }
    let subscription = Rc::new(Subscription {
        credit: Cell::new(request.credit_bytes.into()),
        unsubscribed: Cell::new(false),
        wakeup: Wakeup::default(),
    });
    let task = run(connection.clone(), id, *request, subscription.clone());
    if connection.shard().requests.spawn(task).is_err() {
        return refused(ErrorCode::NotServing);
    }
    subscriptions.insert(id, subscription);
}

/// Lets more be pushed. For a subscription that has just ended it comes too late, and is nothing.
pub(super) fn add_credit(connection: &Connection, id: u64, bytes: u32) {
    if let Some(subscription) = connection.subscriptions.borrow().get(&id) {
        subscription.credit.set(subscription.credit.get().saturating_add(bytes.into()));
        subscription.wakeup.raise();
    }
}

/// Ends a subscription; the task sends its last push.
pub(super) fn unsubscribe(connection: &Connection, id: u64) {
    match connection.subscriptions.borrow().get(&id) {
        Some(subscription) => {
            subscription.unsubscribed.set(true);
            subscription.wakeup.raise();
        }
        None => refuse(connection, id, ErrorCode::UnknownSubscription, "no such subscription".to_owned()),
    }
}

async fn run(connection: Rc<Connection>, id: u64, request: Subscribe, subscription: Rc<Subscription>) {
    match open(&connection, &request).await {
        Ok((mut reader, reply)) => {
            connection.answer(id, &reply);
            let end_code = push_all(&connection, id, &mut reader, &subscription).await;
            let push = Push { high_watermark: -1, end_code };
            connection.send_batches(id, &push, BatchRun::empty(), Held::default());
        }
        Err(code) => {
            connection.shard().metrics.request_errors.add(1);
            connection.answer(id, &SubscribeReply { code, start_offset: -1, high_watermark: -1 });
        }
    }
    connection.subscriptions.borrow_mut().remove(&id);
    connection.writer.raise();
}

async fn open(
    connection: &Connection,
    request: &Subscribe,
) -> Result<(PartitionReader, SubscribeReply), ErrorCode> {
    let shard = connection.shard();
    let session = connection.session.get().expect("nothing is served before Hello");
    let partition = PartitionName { topic_id: request.topic_id, partition: request.partition };
    let find = |query| async move {
        handlers::find_offset(shard, session, &partition, query).await.map(|found| found.offset)
    };
    let log_start = find(OffsetQuery::Earliest).await?;
    let high_watermark = find(OffsetQuery::Latest).await?;
    let start_offset = match request.start {
        StartPosition::Earliest => log_start,
        StartPosition::Latest => high_watermark,
        StartPosition::Offset(offset) if (log_start..=high_watermark).contains(&offset) => offset,
        StartPosition::Offset(_) => return Err(ErrorCode::OffsetOutOfRange),
        StartPosition::Time(time_ms) => match find(OffsetQuery::Time(time_ms)).await? {
            -1 => high_watermark,
            offset => offset,
        },
    };
    let reader = PartitionReader::open(shard, session, &partition, start_offset)?;
    Ok((reader, SubscribeReply { code: ErrorCode::None, start_offset, high_watermark }))
}

/// Pushes until the subscription ends; why it did.
async fn push_all(
    connection: &Connection,
    id: u64,
    reader: &mut PartitionReader,
    subscription: &Subscription,
) -> ErrorCode {
    let metrics = &connection.shard().metrics;
    loop {
        if subscription.unsubscribed.get() {
            return ErrorCode::Unsubscribed;
        }
        if connection.life() != Life::Open {
            return ErrorCode::NotServing;
        }
        let credit = usize::try_from(subscription.credit.get()).unwrap_or(0);
        if credit == 0 {
            subscription.wakeup.wait().await;
            continue;
        }
        let interrupted = async {
            subscription.wakeup.wait().await;
            false
        };
        let readable = async {
            reader.readable(connection.shard()).await;
            true
        };
        if !future::or(readable, interrupted).await {
            continue;
        }
        let (mut held, bytes_max) = connection.reserve_outgoing(credit.min(limits::PUSH_BYTES_MAX)).await;
        if connection.life() != Life::Open {
            // It ended while this waited: thousands that did would all start to read at once.
            return ErrorCode::NotServing;
        }
        let read = reader.read(connection.shard(), bytes_max);
        let stopped = async {
            connection.ended().await;
            crate::request::Fetched::refused(ErrorCode::NotServing)
        };
        let fetched = future::or(read, stopped).await;
        if !fetched.code.is_none() {
            return fetched.code;
        }
        let bytes = fetched.run.len();
        if bytes == 0 {
            continue;
        }
        held.settle(bytes);
        subscription.credit.set(subscription.credit.get() - bytes as i64);
        metrics.pushes.add(1);
        metrics.push_bytes.add(bytes as u64);
        let push = Push { high_watermark: fetched.offsets.high_watermark, end_code: ErrorCode::None };
        connection.send_batches(id, &push, fetched.run, held);
    }
}
