//! The server: shards, catalog, handlers, listeners.
//!
//! | module | what it is |
//! |---|---|
//! | [`server`] | a broker planned, started on every shard, stopped in order |
//! | `net` | the ports; the first byte tells the protocol |
//! | [`kafka`] | Kafka's protocol: requests to the same handlers, answers in their order |
//! | `native` | the native protocol: frames to requests, outcomes to frames |
//! | `connection` | what a connection is in every protocol |
//! | `handlers` | what requests do, whichever protocol they came by |
//! | `said` | lines of the log that peers can provoke, and how often they are said |
//! | `shard` | one shard's state, and its lanes to the others |
//! | `retention` | asks the storage, now and then, to give up what is old |
//! | `groups` | consumer groups: members, generations, committed offsets |
//! | [`catalog`] | topics, settings, placement: a pure state machine over a log of its own |
//! | [`stopped`] | the data folder of a broker that does not run |
//! | [`request`] | requests and replies without a protocol |
//!
//! Imports run from the top of the table to the bottom, never up.
//!
//! ```no_run
//! use broker::{Config, Server};
//!
//! let plan = Server::plan(Config::default()).unwrap();
//! plan.on_ready(|ready| eprintln!("ready {}", ready.shared));
//! let options = plan.config().executor_options();
//! runtime::executor::run(options, move |shard| plan.clone().run_shard(shard)).unwrap();
//! ```

#![deny(unsafe_code)]

pub mod catalog;
mod catalog_writer;
pub mod config;
mod connection;
mod groups;
mod handlers;
pub mod kafka;
pub mod limits;
pub mod meta;
mod metrics;
mod native;
mod net;
pub mod request;
mod retention;
mod said;
pub mod server;
pub mod session;
mod shard;
pub mod stopped;

pub use config::{Config, ConfigError, KafkaAdvertise, Protocols};
pub use server::{Ready, ServeError, Server, ServerPlan, StopHandle};
pub use storage::Durability;
