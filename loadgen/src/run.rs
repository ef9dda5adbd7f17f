//! One run: executors on their cores, the topic, the window that is measured, the report.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use corelog_client::{Client, ClientError, ClientOptions, ErrorCode};
use runtime::executor::{self, ExecutorOptions, ShardId, StartError};
use runtime::{clock, task};
use thiserror::Error;

use crate::consume::ConsumerRun;
use crate::cpu;
use crate::measure::{Shared, Tally, now_ns};
use crate::options::{LoadOptions, Mode};
use crate::produce::ProducerRun;
use crate::report::{LatencyMicroseconds, Report};

/// Between two looks of the thread that reads processor times.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Why there is no figure.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The executors cannot run here.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The broker cannot be reached, or refuses.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// Records were sent and neither acknowledged nor refused.
    #[error("{missing} of {sent} records were neither acknowledged nor refused: no figure is given{}", first(.first_error))]
    Unanswered {
        /// How many.
        missing: u64,
        /// Of how many.
        sent: u64,
        /// The first error, if there was any.
        first_error: Option<String>,
    },
    /// Records were acknowledged and did not arrive.
    #[error("{acknowledged} records were acknowledged and {received} received: no figure is given{}", first(.first_error))]
    NotReceived {
        /// Acknowledged to the producers.
        acknowledged: u64,
        /// Received by the consumers.
        received: u64,
        /// The first error, if there was any.
        first_error: Option<String>,
    },
    /// Nothing came within the measured time.
    #[error("no record within the measured time{}", first(.first_error))]
    Nothing {
        /// The first error, if there was any.
        first_error: Option<String>,
    },
}

fn first(error: &Option<String>) -> String {
    error.as_ref().map_or_else(String::new, |error| format!(" (first error: {error})"))
}

/// Runs the load on executors of its own and gives the figures. Blocks the calling thread.
pub fn run(options: &LoadOptions) -> Result<Report, LoadError> {
    options.check().map_err(LoadError::Options)?;
    let options = Arc::new(options.clone());
    let shared = Arc::new(Shared::default());
    let users = users(&options);
    let mut cores = if options.cores.is_empty() { executor::affinity_cores() } else { options.cores.clone() };
    cores.truncate(users.max(1));
    let shards = cores.len();
    let executors = ExecutorOptions {
        spin_before_park: options.spin_before_park,
        ..ExecutorOptions::new("corelog-load", cores)
    };
    let watch = {
        let (shared, duration) = (shared.clone(), options.duration);
        thread::spawn(move || watch_cpu(&shared, duration))
    };
    let run_id = uuid::Uuid::new_v4().as_fields().0;
    let main = {
        let (options, shared) = (options.clone(), shared.clone());
        move |shard| run_shard(options.clone(), shared.clone(), shard, shards, run_id)
    };
    let outcome = executor::run(executors, main);
    shared.over.store(true, Ordering::Release);
    let cpu_seconds = watch.join().unwrap_or(None);
    let mut tally = Tally::default();
    for shard in outcome? {
        tally.merge(&shard?);
    }
    report(&options, &shared, &tally, cpu_seconds)
}

fn users(options: &LoadOptions) -> usize {
    let producers = if options.produces() { options.producers } else { 0 };
    let consumers = if options.consumes() { options.consumers } else { 0 };
    producers + consumers
}

/// Everything one executor does: every n-th producer and consumer.
async fn run_shard(
    options: Arc<LoadOptions>,
    shared: Arc<Shared>,
    shard: ShardId,
    shards: usize,
    run_id: u32,
) -> Result<Tally, ClientError> {
    let result = run_users(options, &shared, shard.index(), shards, run_id).await;
    if result.is_err() {
        shared.failed.store(true, Ordering::Release);
    }
    result
}

async fn run_users(
    options: Arc<LoadOptions>,
    shared: &Arc<Shared>,
    shard: usize,
    shards: usize,
    run_id: u32,
) -> Result<Tally, ClientError> {
    if shard == 0 {
        let control = connect(&options, "load")?;
        let partitions = prepare_topic(&control, &options, shared).await?;
        shared.partitions.store(partitions, Ordering::Release);
    }
    // A topic is answered for when every shard of the broker has it: one asks, all may use it.
    while shared.partitions.load(Ordering::Acquire) == 0 {
        if shared.failed() {
            return Ok(Tally::default());
        }
        clock::sleep(Duration::from_millis(1)).await;
    }
    let partitions = shared.partitions.load(Ordering::Acquire);
    let users = users(&options);
    let mut running = Vec::new();
    let producers = if options.produces() { options.producers } else { 0 };
    for number in (0..producers).filter(|number| number % shards == shard) {
        let run = ProducerRun { options: options.clone(), shared: shared.clone(), number, run_id };
        let client = connect(&options, &format!("load-producer-{number}"))?;
        let producer = run.connect(&client).await?;
        let shared = shared.clone();
        let warm_up = options.warm_up;
        running.push(task::spawn(async move {
            match shared.begin(users, warm_up).await {
                Some(window) => run.run(producer, window).await,
                None => Tally::default(),
            }
        }));
    }
    let consumers = if options.consumes() { options.consumers } else { 0 };
    // Counted from the other end, so that a producer and a consumer do not share a core when there are two.
    for number in (0..consumers).filter(|number| (producers + number) % shards == shard) {
        let run = ConsumerRun { options: options.clone(), shared: shared.clone(), number, run_id };
        let client = connect(&options, &format!("load-consumer-{number}"))?;
        let consumer = run.connect(&client, partitions).await?;
        let shared = shared.clone();
        // A consumer of what is there measures from its first batch.
        let warm_up = if options.mode == Mode::Consume { Duration::ZERO } else { options.warm_up };
        running.push(task::spawn(async move {
            match shared.begin(users, warm_up).await {
                Some(window) => run.run(consumer, window).await,
                None => Tally::default(),
            }
        }));
    }
    let mut tally = Tally::default();
    for user in running {
        tally.merge(&user.await);
    }
    Ok(tally)
}

fn connect(options: &LoadOptions, client_id: &str) -> Result<Client, ClientError> {
    let client_id = client_id.to_owned();
    Client::connect_on_shard(ClientOptions { client_id, ..ClientOptions::new(&options.server) })
}

/// Makes the topic where there is none; how many partitions it has.
async fn prepare_topic(client: &Client, options: &LoadOptions, shared: &Shared) -> Result<u32, ClientError> {
    let admin = client.admin();
    if options.produces() {
        match admin.create_topic(&options.topic, options.partitions, &[], false).await {
            Err(ClientError::Refused { code: ErrorCode::TopicExists, .. }) | Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    if cpu::is_this_host(&options.server)
        && let Ok(description) = admin.describe_node().await
        && let Some(pid) = cpu::pid_in(&description)
    {
        shared.broker_pid.store(pid, Ordering::Release);
    }
    let topic = admin.describe_topic(&options.topic).await?;
    Ok(u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX))
}

/// The broker's processor time within the window, in seconds.
fn watch_cpu(shared: &Shared, duration: Option<Duration>) -> Option<f64> {
    let over = || shared.over.load(Ordering::Acquire);
    let begins_ns = loop {
        match shared.begins_ns.load(Ordering::Acquire) {
            0 if over() => return None,
            0 => thread::sleep(LOOK_INTERVAL),
            begins => break begins,
        }
    };
    while now_ns() < begins_ns && !over() {
        thread::sleep(LOOK_INTERVAL);
    }
    let pid = shared.broker_pid.load(Ordering::Acquire);
    let before = cpu::process_seconds(pid)?;
    let ends_ns =
        begins_ns.saturating_add(duration.map_or(u64::MAX / 2, |duration| duration.as_nanos() as u64));
    let mut last = before;
    while now_ns() < ends_ns && !over() {
        thread::sleep(LOOK_INTERVAL);
        // A broker that is stopped right after the run has been read in time.
        last = cpu::process_seconds(pid).unwrap_or(last);
    }
    Some(last - before)
}

/// The figures, if what was sent was also answered.
fn report(
    options: &LoadOptions,
    shared: &Shared,
    tally: &Tally,
    cpu_seconds: Option<f64>,
) -> Result<Report, LoadError> {
    let first_error = tally.first_error.clone();
    let answered = tally.acknowledged + tally.failed;
    if tally.sent != answered {
        let missing = tally.sent.abs_diff(answered);
        return Err(LoadError::Unanswered { missing, sent: tally.sent, first_error });
    }
    if options.mode == Mode::EndToEnd && tally.received < tally.acknowledged {
        let (acknowledged, received) = (tally.acknowledged, tally.received);
        return Err(LoadError::NotReceived { acknowledged, received, first_error });
    }
    let begins_ns = shared.begins_ns.load(Ordering::Acquire);
    let last_ns = shared.last_ns.load(Ordering::Acquire);
    let until_last = last_ns.saturating_sub(begins_ns) as f64 / 1e9;
    // A count, or a topic read to its end, may be over before the time is.
    let seconds = options.duration.map_or(until_last, |duration| duration.as_secs_f64().min(until_last));
    if tally.records == 0 || seconds <= 0.0 {
        return Err(LoadError::Nothing { first_error });
    }
    Ok(Report {
        records: tally.records,
        bytes: tally.bytes,
        seconds,
        records_per_second: tally.records as f64 / seconds,
        bytes_per_second: tally.bytes as f64 / seconds,
        errors: tally.failed + tally.wrong,
        first_error,
        latency_us: LatencyMicroseconds::of(&tally.latency_ns),
        broker_cpu_seconds_per_gb: cpu_seconds.map(|seconds| seconds / (tally.bytes as f64 / 1e9)),
        verified_records: (options.verify && options.consumes()).then_some(tally.received),
    })
}
