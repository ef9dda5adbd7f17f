//! Executors, tasks, clocks, files and sockets, on glommio or on a deterministic simulator.
//!
//! A *shard* is one executor pinned to one core. Everything in this crate is used on a shard, is `!Send` unless its
//! page says otherwise, and never blocks the shard: what the kernel can only do by blocking runs on a thread beside it.
//!
//! The crate has two back ends behind one API, chosen when it is compiled. `uring` (glommio: io_uring and direct I/O)
//! is the real one. The feature `simulator` replaces it by `sim`, where time, the disk and the network are a function
//! of a seed, so that the broker itself, not a model of it, can be run a million times.
//!
//! **Invariant**: no other crate names glommio, and code that runs on a shard takes time, randomness, files, sockets
//! and tasks from here: `std::time`, `std::fs` and `std::net`'s sockets do not appear there.
//!
//! ```no_run
//! use runtime::executor::{self, ExecutorOptions};
//!
//! let options = ExecutorOptions::new("example", vec![0]);
//! let greetings = executor::run(options, |shard| async move {
//!     runtime::clock::sleep(std::time::Duration::from_millis(1)).await;
//!     format!("hello from shard {shard}")
//! });
//! assert_eq!(greetings.unwrap(), vec!["hello from shard 0".to_string()]);
//! ```

#![deny(unsafe_code)]

pub mod buffer;
pub mod clock;
pub mod executor;
pub mod file;
pub mod gate;
pub mod mesh;
pub mod net;
pub mod random;
#[cfg(not(feature = "simulator"))]
pub mod signal;
pub mod sync;
pub mod task;
pub mod thread;

#[cfg(feature = "simulator")]
pub mod sim;
#[cfg(not(feature = "simulator"))]
mod uring;

/// The back end this build uses; the public modules re-export from it.
#[cfg(feature = "simulator")]
use sim as backend;
#[cfg(not(feature = "simulator"))]
use uring as backend;
