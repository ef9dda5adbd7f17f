//! Sockets and timers for the core: on tokio for applications, on the crate `runtime` for the load generator and the
//! simulator. Each connection has a task that reads and one that writes; one more opens connections and keeps the time.

#[cfg(feature = "shard")]
pub(crate) mod runtime;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
