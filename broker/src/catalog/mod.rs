//! The catalog: which topics there are, their settings, and which shard serves each partition.
//!
//! One writer, on shard 0; every shard holds a copy that it reads without asking. The flow of a change:
//!
//! ```text
//!   any shard: Command --mesh--> shard 0: plan(command, state) -> records -> catalog log (durable)
//!                                              |
//!              every shard: Catalog::apply(record)  <--mesh--  the records, in order
//!                                              |
//!              answered when every shard has applied them
//! ```
//!
//! [`Catalog`], [`plan`] and [`Record`] are a pure state machine: commands become records, records become state, and the
//! same records give the same state everywhere. Each record carries index, term (0 until a quorum writes them) and time,
//! so that a replicated log can take the place of [`CatalogLog`].
//!
//! Invariants:
//! - A partition uid is given once, ever. The counter is part of the state and of each snapshot.
//! - The leader epoch counter only grows; so does each partition's epoch, also across deletion and re-creation of a topic,
//!   because a new partition takes the counter's value.
//! - A catalog's revision is the index of the last record applied.

mod codec;
mod command;
mod log;
mod placement;
mod record;
mod setting_range;
mod settings;
mod snapshot;
mod state;
mod topic_name;

pub use codec::CatalogFormatError;
pub use command::{Command, CommandError, Outcome, Planned, plan, plan_start};
pub use log::{CatalogLog, CatalogLogError, LoadedCatalog};
pub use placement::ShardLoads;
pub use record::{Change, PartitionMove, PartitionPlace, Record};
pub use setting_range::{SettingRange, elements};
pub use settings::{
    MAX_MESSAGE_BYTES, SEGMENT_BYTES, SETTINGS, SettingError, SettingRule, read_settings, rule,
};
pub use state::{ApplyError, Catalog, Partition, Topic};
pub use topic_name::{OFFSETS_TOPIC, TopicNameError, check_topic_name};

#[cfg(test)]
mod tests;
