//! The Rust client of corelog: producers, consumers, and the control side.
//!
//! ```no_run
//! use corelog_client::{Client, ClientOptions, ConsumerOptions, ProducerOptions, Record, StartAt};
//!
//! # async fn example() -> Result<(), corelog_client::ClientError> {
//! let client = Client::connect(ClientOptions::new("127.0.0.1:9092"))?;
//! client.admin().create_topic("greetings", 4, &[], false).await?;
//!
//! let producer = client.producer("greetings", ProducerOptions::default()).await?;
//! let delivery = producer.send(Record::new("hello").key("world")).await?; // taken into a batch
//! let stored = delivery.await?; // acknowledged: on the disk
//! println!("stored in partition {} at offset {}", stored.partition, stored.offset);
//!
//! let options = ConsumerOptions { start: StartAt::Earliest, stop_at_end: true, ..Default::default() };
//! let mut consumer = client.consumer("greetings", options).await?;
//! while let Some(batch) = consumer.next_batch().await {
//!     for record in batch?.records()? {
//!         println!("{}: {:?}", record.offset, record.value);
//!     }
//! }
//! producer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `client`, `producer`, `consumer`, `group`, `admin` | the public API: thin, over the core behind a lock |
//! | `core` | the client as a state machine: no sockets, no clock, no tasks |
//! | `drivers` | sockets and timers, on tokio (feature `tokio`) or on the crate `runtime` (feature `shard`) |
//!
//! What a failed send means: [`ClientError::is_retriable`] and [`ClientError::may_be_stored`]. Producers are idempotent
//! unless told otherwise: what the client repeats by itself is stored once and in order.
//!
//! Invariant: no type of tokio shows in the public API.

#![deny(unsafe_code)]

mod admin;
mod client;
mod consumer;
pub mod core;
mod delivery;
mod drivers;
mod error;
mod group;
mod options;
mod producer;
mod record;
mod shared;

pub use admin::{Admin, FoundOffset};
pub use client::Client;
pub use consumer::Consumer;
pub use core::PreparedBatch;
pub use core::consumer::PartitionPosition;
pub use delivery::{Delivery, DeliveryQueue, QueuedDelivery};
pub use error::ClientError;
pub use group::{GroupBatch, GroupConsumer, GroupOptions};
pub use options::{ClientOptions, ConsumerOptions, IDEMPOTENT_IN_FLIGHT_MAX, Notices, ProducerOptions};
pub use producer::{BatchProducer, Producer};
pub use record::{Delivered, ReceivedBatch, Record, StartAt};
pub use wire::batch::{Compression, Header};
pub use wire::codes::ErrorCode;
