//! Sockets and timers for the core: on tokio for applications, on the crate `runtime` for the load generator and the
//! simulator. Each connection has a task that reads and one that writes; one more opens connections and keeps the time.

#[cfg(feature = "shard")]
pub(crate) mod runtime;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// `future`, unless `over` is ready first. Reading is safe to drop: a dropped read has taken no bytes.
async fn until<T>(over: impl Future<Output = ()>, future: impl Future<Output = T>) -> Option<T> {
    let mut over = pin!(over);
    let mut future = pin!(future);
    poll_fn(|context| {
        if over.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
}
