//! The load generator and latency profiler.
