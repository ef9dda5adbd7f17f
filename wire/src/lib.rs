//! The formats that leave a process: frames, native messages, record batches. A pure codec: no I/O, no async, no
//! clock, no state that outlives a call.
//!
//! | module | what it holds | byte order |
//! |---|---|---|
//! | [`frame`] | the 40-byte header in front of every native message | little-endian |
//! | [`native`] | the messages themselves, one plain struct each, over flatbuffers | little-endian |
//! | [`batch`] | Kafka's record batch v2: the unit of checksum, write and cache | big-endian |
//! | [`kafka`] | Kafka's messages, one plain struct each | big-endian |
//! | [`codes`] | the numbers that say what went wrong | |
//! | [`limits`] | how large anything here may be, and why | |
//!
//! Invariants:
//! - Bytes from outside never cause a panic: slices are taken with `get`, numbers are narrowed with `try_from`.
//! - Bytes from outside never reserve memory by their word alone: a length is compared with the bytes that are there first.
//! - What is decoded and encoded again is the same message; golden files under `tests/golden/` pin the bytes.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "a test that panics has failed, which is what it is for"
    )
)]
#![deny(unsafe_code)]

pub mod batch;
pub mod codes;
pub mod frame;
mod generated;
pub mod kafka;
mod layout;
pub mod limits;
pub mod native;
