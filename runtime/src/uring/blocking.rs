//! What the kernel does only by blocking, on a thread beside the shard.
//!
//! glommio keeps a few threads an executor for it; a call costs about 25 us more than the system call.

use std::future::Future;

use super::{panic, pending, task};

/// Threads an executor has for blocking calls. Two, so that deleting a large file does not hold up opening another.
pub(crate) const BLOCKING_THREADS: usize = 2;

/// Runs `call` on a thread beside the shard. It runs to its end even if the returned future is dropped, and the
/// executor does not end before it.
pub(crate) fn run<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> impl Future<Output = R> {
    let pending = pending::begin();
    // In a task of its own: glommio never drops the result of a call whose future was dropped, and a descriptor
    // in it would stay open.
    task::spawn(async move {
        let result = glommio::executor()
            .spawn_blocking(move || {
                panic::stop_process_on_panic();
                call()
            })
            .await;
        drop(pending);
        result
    })
}
