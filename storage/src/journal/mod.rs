//! The redo journal of a shard: one write at a time acknowledges the batches of all partitions.
//!
//! `format` and `table` are the bytes, `ring` the files and the space in them, `scan` reads a ring after a crash,
//! `writer` is the one task that writes.
//!
//! **Invariant**: the journal alone says what was acknowledged. A byte is acknowledged when an entry whose end is at or
//! past it is durable; recovery never guesses an end.

pub mod format;
pub(crate) mod ring;
pub mod scan;
pub mod table;
pub(crate) mod writer;
