//! The load generator and latency profiler behind `corelog bench`.
//!
//! | module | what it holds |
//! |---|---|
//! | `options` | what to do: a plain struct, mirrored by flags |
//! | `run` | one run: executors on their cores, the topic, the window that is measured, the report |
//! | `produce`, `consume` | one producer, one consumer |
//! | `payload` | record content, its stamp, and the check of both |
//! | `measure` | the shared clock of a run, histograms, what was sent against what was answered |
//! | `cpu` | the broker's processor time, read beside the shards |
//! | `report` | the figures |
//! | [`sink`] | a server that acknowledges at once: the generator's own ceiling |
//!
//! How it measures, because load tools mislead so easily:
//! - Open loop (a rate): latency counts from the moment a record was *meant* to be sent. A stall of the broker, or of the
//!   generator, is in the latency of every record that should have been sent meanwhile.
//! - Closed loop: latency counts from the moment a batch is handed to the client.
//! - Percentiles come from histograms merged as histograms, never from averages of percentiles.
//! - What was sent is counted against what was answered. A difference is an error, not a footnote.

#![deny(unsafe_code)]

mod consume;
mod cpu;
mod measure;
mod options;
mod payload;
mod produce;
mod report;
mod run;
pub mod sink;

pub use options::{LoadOptions, Mode};
pub use report::{LatencyMicroseconds, Report};
pub use run::{LoadError, run};
