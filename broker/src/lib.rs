//! The server: shards, catalog, handlers, listeners.
