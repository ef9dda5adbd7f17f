//! The Rust client of corelog: producer, consumer, admin.
