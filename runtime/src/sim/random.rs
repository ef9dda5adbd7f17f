//! Random numbers drawn from the world's seed.

use super::world;

/// Fills `bytes` with numbers that the seed gives.
pub fn fill(bytes: &mut [u8]) {
    for piece in bytes.chunks_mut(8) {
        let drawn = world::with(|world| world.rng.next()).to_le_bytes();
        piece.copy_from_slice(&drawn[..piece.len()]);
    }
}

/// SplitMix64: tiny, well spread, the same everywhere (Steele, Lea, Flood 2014).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; the bias of the remainder does not matter to a simulation.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}
