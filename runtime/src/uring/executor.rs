//! Starting and ending the executors.
//!
//! All executors are made before any of them runs: a shard that could not start would leave the others waiting for it
//! in the mesh.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};

use super::{blocking, buffer, heap, panic, pending, signal, task};
use crate::executor::ShardId;
use heartbeat::Pulse;

mod heartbeat;
mod start_error;
mod watch;

pub use start_error::StartError;

/// After how long a busy task is told to yield (`yield_if_needed`), and I/O is looked after meanwhile. glommio's own
/// 100 ms would be the latency of every acknowledgement beside one long loop; much less gains nothing (docs/performance.md).
const PREEMPT_INTERVAL_DEFAULT: Duration = Duration::from_millis(10);

/// Locked memory for reads that one executor starts with, by default. glommio registers it with three rings.
const IO_MEMORY_BYTES_DEFAULT: usize = 1 << 20;

/// About what is under way at a time on a busy shard: a few runs of 8 MiB.
const KEPT_BUFFER_BYTES_DEFAULT: usize = 32 << 20;

/// Deep futures of debug builds need more than a thread's usual 2 MiB. Only what is touched is taken.
const STACK_BYTES: usize = 8 << 20;

/// How to run the executors.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// What the threads are called: `<name>-<shard>`.
    pub name: String,
    /// One shard a core, in this order.
    pub cores: Vec<usize>,
    /// Memory of each executor that is registered with the kernel for reads: its pages need not be looked up for each read,
    /// which is a fifth of what a cold read costs. It counts three times against the memory lock limit (`ulimit -l`), once
    /// a ring; what the limit has no room for is not registered. Reads beyond it use ordinary memory.
    pub io_memory_bytes: usize,
    /// How long an idle executor looks for work before it sleeps: lower latency, at the price of a busy core. Zero in
    /// tests and wherever cores are shared.
    pub spin_before_park: Duration,
    /// Added to each durable write and flush. A measuring switch: shows what a slower disk would do. Zero otherwise.
    pub flush_delay: Duration,
    /// Memory of dropped buffers that each executor keeps for the next ones at most: a little above what is under way at a
    /// time, or the kernel clears fresh pages for each.
    pub kept_buffer_bytes_max: usize,
    /// After how long a busy task is told to yield. Ten milliseconds, except where a test wants time to be up
    /// before the first task of a round.
    pub preempt_interval: Duration,
}

impl ExecutorOptions {
    /// One shard on each of these cores, no spinning, no delay.
    pub fn new(name: &str, cores: Vec<usize>) -> ExecutorOptions {
        ExecutorOptions {
            name: name.to_string(),
            cores,
            io_memory_bytes: IO_MEMORY_BYTES_DEFAULT,
            spin_before_park: Duration::ZERO,
            flush_delay: Duration::ZERO,
            kept_buffer_bytes_max: KEPT_BUFFER_BYTES_DEFAULT,
            preempt_interval: PREEMPT_INTERVAL_DEFAULT,
        }
    }
}

thread_local! {
    static FLUSH_DELAY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// This executor's [`ExecutorOptions::flush_delay`].
pub(crate) fn flush_delay() -> Duration {
    FLUSH_DELAY.get()
}

/// Runs `main(shard)` on one pinned executor a core and returns their outputs in the order of the shards, when all have
/// ended. Tasks that still run when `main` ends are dropped, but writes to files end first.
///
/// # Panics
/// With no core, or one named twice. A panic *on* a shard stops the whole process.
pub fn run<F, Fut, T>(options: ExecutorOptions, main: F) -> Result<Vec<T>, StartError>
where
    F: Fn(ShardId) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    check_cores(&options.cores);
    start_error::check_memory_lock(&options)?;
    heap::keep_free_ends();
    watch::make_kicks_harmless().map_err(StartError::Thread)?;
    let (report, reports) = mpsc::channel();
    // Nothing is ever sent: it closes when the last shard's thread has ended.
    let (alive, all_ended) = mpsc::channel::<Infallible>();
    let mut shards = Vec::with_capacity(options.cores.len());
    for (index, &core) in options.cores.iter().enumerate() {
        let shard = ShardId(u16::try_from(index).expect("checked"));
        let (start, started) = mpsc::channel::<()>();
        let pulse = Pulse::default();
        let (of_thread, options, main) = (pulse.clone(), options.clone(), main.clone());
        let (report, alive) = (report.clone(), alive.clone());
        let thread = thread::Builder::new()
            .name(format!("{}-{shard}", options.name))
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _alive = alive;
                // A report fails only if `run` has returned, with another shard's reason.
                let executor = match make(&options, core) {
                    Ok(executor) => executor,
                    Err(error) => {
                        let _ = report.send(Err(error));
                        return None;
                    }
                };
                let _ = report.send(Ok(()));
                started.recv().ok()?;
                Some(run_shard(&executor, &options, shard, of_thread, main))
            })
            .map_err(StartError::Thread)?;
        shards.push(Running { thread, start, pulse });
    }
    drop(alive);
    for _ in 0..shards.len() {
        // Returning drops the `start` senders, at which the threads that were made end.
        reports.recv().expect("each thread reports")?;
    }
    for shard in &shards {
        shard.start.send(()).expect("a made executor waits for its start");
    }
    watch::until_all_ended(&shards, &all_ended);
    let joined = shards.into_iter().map(|shard| shard.thread.join());
    Ok(joined.map(|output| output.expect("a panic stops the process").expect("it was started")).collect())
}

/// A shard's thread, as the thread that started it sees it.
struct Running<T> {
    thread: JoinHandle<Option<T>>,
    /// Tells it to run; dropped instead, it ends.
    start: mpsc::Sender<()>,
    pulse: Pulse,
}

fn check_cores(cores: &[usize]) {
    assert!(!cores.is_empty(), "no core to run on");
    assert!(
        cores.len() <= usize::from(u16::MAX),
        "{} cores are more than a shard's number holds",
        cores.len()
    );
    for (index, core) in cores.iter().enumerate() {
        assert!(!cores[..index].contains(core), "core {core} is named twice");
    }
}

fn make(options: &ExecutorOptions, core: usize) -> Result<LocalExecutor, StartError> {
    // Not pinned: the threads for blocking calls inherit this thread's mask from before it is pinned.
    let blocking_threads = PoolPlacement::Unbound(blocking::BLOCKING_THREADS);
    let mut builder = LocalExecutorBuilder::new(Placement::Fixed(core))
        .name(&options.name)
        .io_memory(options.io_memory_bytes_lockable())
        .preempt_timer(options.preempt_interval)
        .blocking_thread_pool_placement(blocking_threads);
    if !options.spin_before_park.is_zero() {
        builder = builder.spin_before_park(options.spin_before_park);
    }
    builder.make().map_err(|error| start_error::from_glommio(error, core))
}

fn run_shard<F, Fut, T>(
    executor: &LocalExecutor,
    options: &ExecutorOptions,
    shard: ShardId,
    pulse: Pulse,
    main: F,
) -> T
where
    F: Fn(ShardId) -> Fut,
    Fut: Future<Output = T>,
{
    panic::stop_process_on_panic();
    task::reset();
    signal::reset();
    FLUSH_DELAY.set(options.flush_delay);
    buffer::keep_at_most(options.kept_buffer_bytes_max);
    executor.run(async {
        drop(task::spawn(heartbeat::beat(pulse)));
        let output = main(shard).await;
        pending::all_ended().await;
        output
    })
}
