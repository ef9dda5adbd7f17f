//! Batches in and out, over a bare connection.

#[path = "../fixture/mod.rs"]
mod fixture;

mod bad_input;
mod consuming;
mod producing;
