//! The broker under test, seen from outside: a process, a native connection, a load, and what it promised.

mod connection;
mod groups;
mod ledger;
mod load;
mod process;
mod producing;
mod retry;

pub(crate) use connection::Connection;
pub(crate) use groups::GroupLedger;
pub(crate) use ledger::{Ledger, Lost, Required};
pub(crate) use load::{Load, LoadOptions, Sent};
pub(crate) use process::BrokerProcess;
pub(crate) use retry::retry;
