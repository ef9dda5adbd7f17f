//! One shard's logs on the disk: a redo journal that acknowledges, segments that keep, memory that serves the tail.
//!
//! Knows bytes and offsets; no topics' names, no sockets. The life of a batch:
//!
//! ```text
//!   Log::append ─ place ─▶ pending ─┬─ small ─▶ journal write ─▶ acknowledged, readable ─▶ checkpoint run ─▶ segment
//!                                   └─ large ─▶ bypass run ─▶ segment ─▶ note in the journal ─▶ acknowledged
//! ```
//!
//! [`recover`] runs once, on one shard, before any [`Store`] is opened. Formats are drawn in [`journal::format`],
//! [`journal::table`] and [`index`]; `docs/storage-format.md` has them with the protocol and its failure cases.

mod ack;
mod batches;
mod checkpoint;
mod error;
pub mod index;
pub mod inspect;
pub mod journal;
pub mod limits;
mod log;
mod losses;
mod options;
mod producers;
mod recovery;
mod redo;
pub mod repair;
mod retention;
mod shard;
mod slice;
mod stats;
mod store;
mod tails;

pub use ack::{Ack, AckQueue, Appended};
pub use error::{AppendError, FormatError, ReadError, RecoveryError, StartError, StoreError};
pub use log::epochs::EpochEnd;
pub use log::read::Cursor;
pub use log::start::TO_HIGH_WATERMARK;
pub use log::{Log, LogOffsets};
pub use options::{Durability, LogSettings, MemoryShare, PartitionSpec, PartitionUid, StorageOptions};
pub use producers::ProducerStanding;
pub use recovery::{Recovery, ShardRecovery, recover, remove_spare_rings};
pub use slice::Slice;
pub use stats::StoreStats;
pub use store::Store;
