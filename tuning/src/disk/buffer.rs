//! Memory that direct I/O accepts.

use std::ops::Deref;

const ALIGNMENT_BYTES: usize = 4096;

/// Bytes that begin at a multiple of 4096. Taken one alignment too large, and cut to measure.
pub(super) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    pub(super) fn zeroed(length: usize) -> Self {
        let memory = vec![0_u8; length + ALIGNMENT_BYTES];
        let start = memory.as_ptr().align_offset(ALIGNMENT_BYTES);
        assert!(start < ALIGNMENT_BYTES, "{start} bytes to the next multiple of {ALIGNMENT_BYTES}");
        Self { memory, start, length }
    }

    /// Bytes that no device can compress (xorshift64; the seed must not be zero).
    pub(super) fn noise(length: usize, seed: u64) -> Self {
        let mut buffer = Self::zeroed(length);
        let mut state = seed;
        for word in buffer.as_mut_slice().chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        buffer
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}
