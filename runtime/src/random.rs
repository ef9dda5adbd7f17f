//! Randomness on a shard: from the kernel on the real back end, from the seed in the simulator.

pub use crate::backend::random::fill;

/// A uniformly distributed number.
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A uniformly distributed number below `bound`.
///
/// # Panics
/// If `bound` is zero: there is no such number.
pub fn below(bound: u64) -> u64 {
    assert!(bound > 0, "no number is below zero");
    // Lemire's method: the high half of a product is uniform once the few products that would favour some results
    // (those with a low half under 2^64 mod bound) are drawn again.
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(u64()) * u128::from(bound);
        let (high, low) = ((product >> 64) as u64, product as u64);
        if low >= threshold {
            return high;
        }
    }
}

/// A random UUID (version 4).
pub fn uuid() -> uuid::Uuid {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
