//! A run of bytes in one of the shard's buffers, shared by count. Reads are answered with slices, so that the bytes of
//! a batch go from the buffer they were journaled from to the socket without a copy.
//!
//! **Invariant**: a slice never changes once made; its buffer lives as long as the last slice of it.

use std::ops::{Deref, Range};
use std::rc::Rc;

use runtime::buffer::Buffer;

/// Shared bytes of this shard. `!Send`: what leaves the shard is copied.
#[derive(Clone)]
pub struct Slice {
    buffer: Rc<Buffer>,
    start: usize,
    end: usize,
}

impl Slice {
    pub(crate) fn new(buffer: Rc<Buffer>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= buffer.len(), "{range:?} of {}", buffer.len());
        Self { buffer, start: range.start, end: range.end }
    }

    /// A part of this slice, counted from its beginning.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {}", self.len());
        Self { buffer: self.buffer.clone(), start: self.start + range.start, end: self.start + range.end }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slice({} bytes)", self.len())
    }
}
