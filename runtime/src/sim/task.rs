//! Tasks of a simulated shard.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::world::{self, Signal};

/// Waits for a task's output; dropping it detaches the task.
pub struct JoinHandle<T>(Signal<T>);

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JoinHandle")
    }
}

/// Runs `future` as a task of this shard.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    let signal = Signal::new();
    let done = signal.clone();
    world::with(|world| {
        let place = world.current.expect("a task is spawned by a task");
        world.add_task(place, Box::pin(async move { done.set(future.await) }));
    });
    JoinHandle(signal)
}

/// As [`spawn`]: the order of polls is drawn from the seed, whatever the class.
pub fn spawn_background<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    spawn(future)
}

/// Runs `call`, which takes longer than other tasks may wait: here it takes no time, and others come first.
pub async fn run_blocking<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> R {
    yield_now().await;
    call()
}

/// Lets the other tasks run.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Yields once in a while, as the seed has it.
pub async fn yield_if_needed() {
    if world::with(|world| world.rng.below(16)) == 0 {
        yield_now().await;
    }
}
