//! The redo journal of a shard: one write at a time acknowledges the batches of all partitions.
//!
//! `format` and `table` are the bytes, `ring` the files and the space in them, `writer` is the one task that writes. After
//! a crash `reader` and `slots` say what stands in the files, `scan` makes of it what a recovery needs, and `lost` does where
//! the newest table is rotten.
//!
//! **Invariant**: the journal alone says what was acknowledged. A byte is acknowledged when an entry whose end is at or
//! past it is durable; recovery never guesses an end.

pub mod format;
mod lost;
pub(crate) mod reader;
pub(crate) mod ring;
pub mod scan;
pub(crate) mod slots;
pub mod table;
pub(crate) mod writer;
