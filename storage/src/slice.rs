//! A run of bytes in one of the shard's buffers, shared by count. Reads are answered with slices, so that the bytes of
//! a batch go from the buffer they were journaled from to the socket without a copy.
//!
//! **Invariant**: a slice never changes once made; its buffer lives as long as the last slice of it.

use std::ops::{Deref, Range};
use std::rc::Rc;

use bytes::Bytes;
use runtime::buffer::Buffer;

use crate::limits;

/// Shared bytes of this shard. `!Send`: what leaves the shard is copied.
#[derive(Clone)]
pub struct Slice {
    buffer: Backing,
    start: usize,
    end: usize,
}

#[derive(Clone)]
enum Backing {
    /// What was written or read in whole pages.
    Pages(Rc<Buffer>),
    /// Copied out of pages that it would have filled badly.
    Copied(Bytes),
}

impl Slice {
    pub(crate) fn new(buffer: Rc<Buffer>, range: Range<usize>) -> Self {
        Self::of(Backing::Pages(buffer), range)
    }

    /// The only part of a buffer that is kept: a copy, where it is less than half of it.
    pub(crate) fn kept(buffer: &Rc<Buffer>, range: Range<usize>) -> Self {
        if range.len() * 2 < buffer.len() {
            let length = range.len();
            return Self::copied(Bytes::copy_from_slice(&buffer[range]), 0..length);
        }
        Self::new(buffer.clone(), range)
    }

    /// The memory that this slice holds if no other shares it.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.memory_bytes()
    }

    /// The same bytes: as they are, or copied where they would keep too much else in memory.
    pub(crate) fn compact(slices: Vec<Slice>) -> Vec<Slice> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if kept_bytes(&slices) <= length * limits::KEPT_PER_BYTE_READ_MAX {
            return slices;
        }
        let mut copy = Vec::with_capacity(length);
        slices.iter().for_each(|slice| copy.extend_from_slice(slice));
        vec![Self::copied(copy.into(), 0..length)]
    }

    pub(crate) fn copied(bytes: Bytes, range: Range<usize>) -> Self {
        Self::of(Backing::Copied(bytes), range)
    }

    fn of(buffer: Backing, range: Range<usize>) -> Self {
        let length = buffer.len();
        assert!(range.start <= range.end && range.end <= length, "{range:?} of {length}");
        Self { buffer, start: range.start, end: range.end }
    }

    /// A part of this slice, counted from its beginning.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {}", self.len());
        Self { buffer: self.buffer.clone(), start: self.start + range.start, end: self.start + range.end }
    }
}

/// The memory that these slices keep. Neighbours often share a buffer, which counts once.
fn kept_bytes(slices: &[Slice]) -> usize {
    let (mut bytes, mut last) = (0, None);
    for slice in slices {
        let buffer = slice.buffer.as_ptr();
        if last.replace(buffer) != Some(buffer) {
            bytes += slice.buffer.memory_bytes();
        }
    }
    bytes
}

impl Backing {
    fn memory_bytes(&self) -> usize {
        match self {
            Self::Pages(buffer) => buffer.memory_bytes(),
            Self::Copied(bytes) => bytes.len(),
        }
    }
}

impl Deref for Backing {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Pages(buffer) => buffer,
            Self::Copied(bytes) => bytes,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A slow reader of one of a hundred partitions would keep the journal writes of all.
    #[test]
    fn what_would_keep_more_than_four_times_its_bytes_is_copied() {
        let buffer = |content: u8| {
            let mut buffer = Buffer::zeroed(8192);
            buffer.fill(content);
            Rc::new(buffer)
        };
        let (one, other) = (buffer(1), buffer(2));
        let small = vec![Slice::new(one.clone(), 0..100), Slice::new(other.clone(), 4000..5000)];
        let copied = Slice::compact(small);
        assert_eq!((Rc::strong_count(&one), Rc::strong_count(&other), copied.len()), (1, 1, 1));
        assert_eq!(&copied[0][..], [&[1; 100][..], &[2; 1000]].concat());
        // Two parts of one buffer keep it once, and are a quarter of it.
        let large =
            Slice::compact(vec![Slice::new(one.clone(), 0..1024), Slice::new(one.clone(), 4096..5120)]);
        assert_eq!((Rc::strong_count(&one), large.len()), (3, 2));
    }

    /// A batch of 100 bytes is written in a page or two of its own, and must not keep them.
    #[test]
    fn what_is_less_than_half_of_its_buffer_does_not_keep_it() {
        let mut buffer = Buffer::zeroed(8192);
        buffer[100..200].fill(7);
        let buffer = Rc::new(buffer);
        let small = Slice::kept(&buffer, 100..200);
        assert_eq!((Rc::strong_count(&buffer), small.held_bytes()), (1, 100));
        assert!(small.iter().all(|byte| *byte == 7) && small.len() == 100);
        let large = Slice::kept(&buffer, 0..4096);
        assert_eq!((Rc::strong_count(&buffer), large.held_bytes(), large.len()), (2, 8192, 4096));
    }
}
