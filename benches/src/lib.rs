//! One benchmark a hot function, and the whole-broker workloads.
