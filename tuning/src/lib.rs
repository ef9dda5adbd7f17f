//! What a Linux host must offer a broker, checked and explained, and what its disk can do, measured.
//!
//! Runs on ordinary threads, before any shard: in `corelog serve` (a line for each thing that will hurt,
//! [`start_lines`]), in `corelog tune check` (all of it, explained) and in `corelog tune disk` ([`disk::measure`]).
//!
//! **Invariant**: nothing here changes the host. Files that are needed for a probe have no name, so that they are gone
//! with the process, however it ends. What the broker needs is handed in as [`Needs`]: this crate knows no other of ours.

mod check;
pub mod disk;
mod finding;
mod system_file;

pub use check::{Needs, check};
pub use finding::{Finding, Severity, start_lines};
