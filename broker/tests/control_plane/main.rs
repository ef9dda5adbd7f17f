//! Topics, metadata, descriptions, starts and stops, over a bare connection.

#[path = "../fixture/mod.rs"]
mod fixture;

mod lives;
mod topics;
