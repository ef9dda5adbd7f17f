//! Kafka's protocol, over a bare connection that can also say what no client would.

#[path = "../fixture/mod.rs"]
mod fixture;

mod as_kafka_does;
mod bad_input;
mod cluster;
mod consuming;
mod groups;
mod partitions;
mod producing;
mod records;
mod settings;
