//! Tasks on glommio's task queues.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use glommio::{Latency, Shares, TaskQueueHandle};

/// Of the default queue's 1,000: what cold reads and retention get when everything is busy. Idle time is theirs too.
const BACKGROUND_SHARES: usize = 100;

thread_local! {
    static BACKGROUND: Cell<Option<TaskQueueHandle>> = const { Cell::new(None) };
}

/// Waits for a task's output; dropping it detaches the task.
pub struct JoinHandle<T>(glommio::task::JoinHandle<T>);

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // `None` means cancelled or panicked: nothing here cancels, and a panic has ended the process.
        Pin::new(&mut self.0).poll(context).map(|output| output.expect("a task ended without its output"))
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JoinHandle")
    }
}

/// Runs `future` as a task of this shard, beside the others, in the class of the task that spawns it.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    // glommio's `spawn_local` would run the task here and now, inside whatever borrow the caller holds.
    spawn_into(future, glommio::executor().current_task_queue())
}

/// Runs `future` in a class with a small share of the executor: a tenth of what the other tasks get while these are
/// busy. For cold reads and retention.
pub fn spawn_background<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    let queue = BACKGROUND.get().unwrap_or_else(|| {
        let shares = Shares::Static(BACKGROUND_SHARES);
        let queue = glommio::executor().create_task_queue(shares, Latency::NotImportant, "background");
        BACKGROUND.set(Some(queue));
        queue
    });
    spawn_into(future, queue)
}

fn spawn_into<T: 'static>(
    future: impl Future<Output = T> + 'static,
    queue: TaskQueueHandle,
) -> JoinHandle<T> {
    let task = glommio::spawn_local_into(future, queue).expect("task queues are never removed");
    JoinHandle(task.detach())
}

/// Runs `call`, which takes longer than other tasks may wait, on a thread beside the shard. Costs about 25 us more than the
/// call. It runs to its end even if the returned future is dropped.
pub fn run_blocking<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> impl Future<Output = R> {
    super::blocking::run(call)
}

/// Lets the other tasks run once.
pub async fn yield_now() {
    glommio::executor().yield_now().await;
}

/// Lets others run if this task's turn is over or I/O has completed; what a long loop calls on each round. Costs a
/// nanosecond when there is no need.
pub async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}

/// Forgets the background queue of the executor that ran on this thread before.
pub(crate) fn reset() {
    BACKGROUND.set(None);
}
