//! The broker under test, seen from outside: a process, a native connection, a load, and what it promised.

mod connection;
mod ledger;
mod load;
mod process;

pub(crate) use connection::Connection;
pub(crate) use ledger::{Ledger, Required};
pub(crate) use load::{Load, LoadOptions, Sent};
pub(crate) use process::BrokerProcess;
