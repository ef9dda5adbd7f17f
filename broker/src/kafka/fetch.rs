//! Fetch: batches of many partitions, waiting for them without looking again and again. Hot path.
//!
//! ```text
//!   open a reader a partition -> wait for any of them, or the time -> reserve -> read in order
//!                                        ^---- less than min_bytes, and time left ----'
//! ```
//!
//! Nothing is held while a fetch waits. Incremental sessions (KIP-227) are declined: every answer says session 0, and
//! clients then name all partitions each time.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future;
use runtime::clock::{self, Instant};
use uuid::Uuid;
use wire::kafka::{
    self, ErrorCode, FetchPartition, FetchRequest, FetchResponse, FetchedPartition, FetchedTopic, Records,
    encode_response,
};

use super::ELEMENT_BYTES;
use super::connection::Connection;
use super::errors::kafka_code;
use super::offsets::check_epoch;
use super::outbox::Answer;
use super::serve::Call;
use crate::connection::{Held, Life};
use crate::handlers::PartitionReader;
use crate::limits;
use crate::request::{BatchRun, PartitionName};
use crate::shard::Reservation;

/// Readers that a connection keeps from one fetch for the next.
const READERS_KEPT_MAX: usize = 128;
/// Partitions of a fetch whose memory is a connection's own.
const PARTITIONS_FREE: usize = 16;
/// How long a fetch waits that has no memory to wait with: its client asks again, and not at once.
const WAIT_WITHOUT_MEMORY: Duration = Duration::from_millis(100);

/// Long waits end at a multiple of this...
const TICK: Duration = Duration::from_millis(25);
/// ... when they are so many times as long: then it is a small part of them.
const TICKS_WAITED_MIN: u32 = 10;

/// One partition of a fetch.
struct Wanted {
    partition: PartitionName,
    offset: i64,
    bytes_max: usize,
    reader: PartitionReader,
}

/// What one pass over the partitions read.
#[derive(Default)]
struct Pass {
    runs: Vec<BatchRun>,
    bytes: usize,
    failed: bool,
}

/// Fetches. `held` is the memory of a large request's frame.
pub(super) async fn fetch(
    connection: &Rc<Connection>,
    call: &Call<'_>,
    request: FetchRequest,
    mut held: Option<Reservation>,
) -> Answer {
    let shard = connection.shard();
    shard.metrics.fetch_requests.add(1);
    if request.session_id != 0 {
        let error_code = ErrorCode::FetchSessionIdNotFound.number();
        return answer_of(call, &FetchResponse { error_code, ..Default::default() });
    }
    let mut wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let count = request.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    let bytes = count.saturating_sub(PARTITIONS_FREE) * ELEMENT_BYTES;
    let budget = &shard.request_budget;
    // Half of it is for those that wait for data; those that pass through get the rest, one after the other.
    let may_wait = bytes == 0 || budget.used() == 0 || budget.used() + bytes <= budget.bytes_max() / 2;
    if !may_wait {
        future::or(clock::sleep(wait.min(WAIT_WITHOUT_MEMORY)), connection.ended()).await;
        wait = Duration::ZERO;
    }
    let _counted = budget.reserve(bytes).await;
    if may_wait {
        // Counted there from now on.
        held = None;
    }
    let deadline = end_of_wait(clock::now(), wait.min(limits::FETCH_WAIT_MAX));
    let (mut topics, mut wanted) = open(connection, call, &request);
    let whole = topics.iter().flat_map(|topic| &topic.partitions);
    let is_refused = whole.filter(|partition| partition.error_code != 0).count() > 0;
    // A fetch of nothing is how the Java client takes its leave: it waits for nothing.
    let bytes_min =
        if is_refused || wanted.is_empty() { 0 } else { usize::try_from(request.min_bytes).unwrap_or(0) };
    let read = read(connection, &request, bytes_min, deadline, &mut topics, &mut wanted).await;
    let Some((pass, outgoing)) = read else {
        return answer_of(call, &FetchResponse::default());
    };
    drop(held);
    keep_readers(connection, wanted);
    shard.metrics.fetch_bytes.add(pass.bytes as u64);
    let response = FetchResponse { topics, ..Default::default() };
    let frame = encode_response::<kafka::Fetch>(call.version, call.correlation_id, &response);
    Answer::with_batches(frame, pass.runs, outgoing)
}

/// When a fetch that finds nothing is answered: at most a tick after its time, so that those of many idle consumers are
/// answered by one wake-up, and ask again about together.
fn end_of_wait(now: Instant, wait: Duration) -> Instant {
    let end = now + wait;
    if wait < TICKS_WAITED_MIN * TICK {
        return end;
    }
    let tick = TICK.as_nanos() as u64;
    Instant::from_nanos(end.as_nanos().div_ceil(tick).saturating_mul(tick))
}

fn answer_of(call: &Call<'_>, response: &FetchResponse) -> Answer {
    Answer::of(encode_response::<kafka::Fetch>(call.version, call.correlation_id, response))
}

/// Passes over the partitions until there is enough, or no more time. `None`: nobody is left to answer.
async fn read(
    connection: &Connection,
    request: &FetchRequest,
    bytes_min: usize,
    deadline: Instant,
    topics: &mut [FetchedTopic],
    wanted: &mut [Wanted],
) -> Option<(Pass, Held)> {
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0);
    let asked: usize = wanted.iter().map(|wanted| wanted.bytes_max).fold(0, usize::saturating_add);
    let bytes_max = bytes_max.min(asked).min(limits::FETCH_BYTES_MAX);
    if bytes_min > 0 {
        wait(connection, wanted, deadline).await;
    }
    loop {
        let (mut held, granted) = connection.reserve_outgoing(bytes_max).await;
        if connection.life() == Life::Closed {
            // The hundreds that waited for this one's memory would all start to read at once.
            return None;
        }
        let pass = pass(connection, granted, topics, wanted).await;
        let is_late = clock::now() >= deadline || connection.life() != Life::Open;
        if pass.failed || is_late || pass.bytes >= bytes_min.min(granted) {
            held.settle(pass.bytes);
            return Some((pass, held));
        }
        // What was read is let go; the next pass reads it again, with what has come then.
        drop((pass, held));
        wait(connection, wanted, deadline).await;
        for wanted in wanted.iter_mut() {
            wanted.reader.seek(wanted.offset);
        }
    }
}

/// Opens a reader for each partition; what cannot be read has its error in the answer.
fn open(
    connection: &Connection,
    call: &Call<'_>,
    request: &FetchRequest,
) -> (Vec<FetchedTopic>, Vec<Wanted>) {
    let mut readers = connection.readers.borrow_mut();
    let mut wanted = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let id = match call.version {
            ..=12 => call.shard().catalog().topic(topic.topic.as_str()).map(|topic| topic.id),
            _ => Some(topic.topic_id),
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let opened = find(call, id, asked).and_then(|partition| {
                let kept = readers.remove(&partition).filter(|reader| reader.offset() == asked.fetch_offset);
                let reader = match kept {
                    Some(reader) => reader,
                    None => {
                        PartitionReader::open(call.shard(), call.session(), &partition, asked.fetch_offset)
                            .map_err(kafka_code)?
                    }
                };
                let bytes_max = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
                Ok(Wanted { partition, offset: asked.fetch_offset, bytes_max, reader })
            });
            let partition_index = asked.partition;
            let mut answer = FetchedPartition { partition_index, high_watermark: -1, ..Default::default() };
            match opened {
                Ok(opened) => wanted.push(opened),
                Err(code) => answer.error_code = code.number(),
            }
            partitions.push(answer);
        }
        topics.push(FetchedTopic { topic: topic.topic.clone(), topic_id: topic.topic_id, partitions });
    }
    (topics, wanted)
}

fn find(call: &Call<'_>, id: Option<Uuid>, asked: &FetchPartition) -> Result<PartitionName, ErrorCode> {
    let unknown =
        if call.version <= 12 { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::UnknownTopicId };
    let catalog = call.shard().catalog();
    let topic = id.and_then(|id| catalog.topic_by_id(&id)).ok_or(unknown)?;
    let index = usize::try_from(asked.partition).ok();
    let partition = index.and_then(|index| topic.partitions.get(index));
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_epoch(asked.current_leader_epoch, partition.leader_epoch)?;
    Ok(PartitionName { topic_id: topic.id, partition: asked.partition as u32 })
}

/// Resolves when a partition has something to read (or an error to be found), at the deadline, or when the connection ends.
async fn wait(connection: &Connection, wanted: &[Wanted], deadline: Instant) {
    type Readable<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
    let shard = connection.shard();
    let mut waits: Vec<Readable<'_>> =
        wanted.iter().map(|wanted| -> Readable<'_> { Box::pin(wanted.reader.readable(shard)) }).collect();
    let any = poll_fn(|context| match waits.iter_mut().any(|wait| wait.as_mut().poll(context).is_ready()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    let over = future::or(clock::sleep_until(deadline), connection.ended());
    future::or(any, over).await;
}

/// Reads the partitions in the order in which they were asked for, up to `bytes_max` and what each allows; at least one batch,
/// if there is one.
async fn pass(
    connection: &Connection,
    bytes_max: usize,
    topics: &mut [FetchedTopic],
    wanted: &mut [Wanted],
) -> Pass {
    let shard = connection.shard();
    let mut pass = Pass::default();
    let answers = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let answers = answers.filter(|answer| answer.error_code == 0);
    for (answer, wanted) in answers.zip(wanted) {
        let left = bytes_max.saturating_sub(pass.bytes);
        if left == 0 && pass.bytes > 0 {
            let offsets = wanted.reader.offsets();
            answer.high_watermark = offsets.high_watermark;
            answer.last_stable_offset = offsets.high_watermark;
            answer.log_start_offset = offsets.log_start;
            answer.records = Records::default();
            continue;
        }
        let fetched = wanted.reader.read(shard, wanted.bytes_max.min(left)).await;
        answer.error_code = kafka_code(fetched.code).number();
        answer.high_watermark = fetched.offsets.high_watermark;
        answer.last_stable_offset = fetched.offsets.high_watermark;
        answer.log_start_offset = fetched.offsets.log_start;
        pass.failed |= !fetched.code.is_none();
        if fetched.run.len() > left && pass.bytes > 0 {
            // Its first batch alone is more than what was left.
            wanted.reader.seek(wanted.offset);
            answer.records = Records::default();
            continue;
        }
        answer.records = Records::Elsewhere(fetched.run.len());
        pass.bytes += fetched.run.len();
        pass.runs.push(fetched.run);
    }
    pass
}

/// Keeps the readers for the next fetch, which goes on where this one ended.
fn keep_readers(connection: &Connection, wanted: Vec<Wanted>) {
    let mut readers = connection.readers.borrow_mut();
    for Wanted { partition, reader, .. } in wanted {
        if readers.len() >= READERS_KEPT_MAX {
            readers.clear();
        }
        readers.insert(partition, reader);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_waits_end_together_and_never_early() {
        let now = Instant::from_nanos(1_234_567_890);
        let milliseconds = Duration::from_millis;
        assert_eq!(end_of_wait(now, milliseconds(100)), now + milliseconds(100));
        let ends: Vec<Instant> =
            (0..20).map(|late| end_of_wait(now + milliseconds(late), milliseconds(500))).collect();
        assert!(ends.iter().zip(0..).all(|(end, late)| *end >= now + milliseconds(late + 500)));
        assert!(ends.iter().zip(0..).all(|(end, late)| *end < now + milliseconds(late + 500) + TICK));
        let mut together = ends;
        together.dedup();
        assert!(together.len() <= 2, "{together:?}");
    }
}
