//! What flatc makes of `wire/schema/native.fbs`: written by `scripts/generate-schema`, never by hand. Only
//! [`crate::native`] uses it, so that no flatbuffers type shows in this crate's public API.

#[allow(
    clippy::all,
    clippy::restriction,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    unused_variables,
    rust_2018_idioms,
    reason = "generated code keeps its generator's habits"
)]
#[rustfmt::skip]
#[path = "native.rs"]
mod schema;

pub(crate) use schema::native::*;
