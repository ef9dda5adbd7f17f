//! A disk that remembers: every write and every flush with its time, so that the disk can be rebuilt as a power
//! cut at any moment could have left it.

mod filesystem;
mod rebuild;
mod recorder;
mod session;

pub(crate) use rebuild::{Cut, choose_cut, rebuild};
pub(crate) use recorder::Recorder;
pub(crate) use session::{RecordedMount, RecordedMountOptions};
