//! The real back end: glommio 0.9 over io_uring.
//!
//! The only place that names glommio. Its traps, and where each is handled:
//!
//! | trap | where |
//! |---|---|
//! | the first file opened on a device decides, for good, whether I/O on it is polled; an empty one decides wrongly | `file/device.rs` |
//! | a dropped write may never have been submitted | `file.rs` (`detached`) |
//! | a listener takes its port beside another process in silence | `net.rs` (`check_port_is_free`) |
//! | a panic in a task ends one executor, the rest goes on | `panic.rs` |
//! | `write_vectored` writes the first slice only | `net.rs` (`WriteHalf`) |
//! | sockets are in blocking mode: a plain `writev` on one blocks the shard | `net.rs` (`WriteHalf`) |
//! | locked memory: too little is refused in words nobody understands, a little more is given up in silence | `executor/start_error.rs` |
//! | no io_uring in a container (seccomp) or by sysctl | `executor/start_error.rs` |
//! | `alignment()` says 512, and its device look-up is wrong with several disks | `file.rs` uses 4096 |
//! | `file_size()` looks the file up by its old name, wrong after a rename | `file.rs` asks the descriptor |
//! | memory of a write is freed under the kernel when an executor ends during the write | `pending.rs` |
//! | a spawned task runs inside the call that spawns it | `task.rs` |
//! | each poll of a channel, a file or an accept adds a waker; 32,768 of one task are a panic | `mesh.rs`, `net.rs`, `file.rs` |
//! | a dropped accept loses a connection that had just come | `net.rs` (`TcpListener`) |
//! | a dropped `spawn_blocking` leaks its result | `blocking.rs` |
//! | the preempt timer is 100 ms: one busy task delays all I/O by that | `executor.rs` |
//! | an executor goes to sleep although tasks are ready, if an event comes at the wrong moment | `third-party/`, `executor/heartbeat.rs` |
//! | no signals | `signal.rs` |

pub(crate) mod blocking;
pub(crate) mod buffer;
pub(crate) mod clock;
pub(crate) mod executor;
pub(crate) mod file;
pub(crate) mod heap;
pub(crate) mod mesh;
pub(crate) mod net;
pub(crate) mod panic;
pub(crate) mod pending;
pub(crate) mod random;
pub(crate) mod signal;
pub(crate) mod task;
