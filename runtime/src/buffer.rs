//! Buffers for direct I/O.
//!
//! - A [`Buffer`] begins at a multiple of 4096 in memory, as direct I/O wants it, and never moves.
//! - Its content is always initialised memory, but only [`Buffer::zeroed`] says what it holds.
//! - A buffer that came from a read stays in the memory the kernel wrote it to. It becomes a copy of its own when it
//!   is first changed or written to a file.
//! - An executor uses the memory of dropped buffers again, within a bound. How many bytes are in buffers at a time is for
//!   the layers above to bound: they know what the bytes are for.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// What a back end brings: `Block` is a handle to aligned memory of this process (`uncleared`, `zeroed`, `as_bytes`,
/// `as_bytes_mut`, which panics while there are clones, `memory_bytes`, `recycle`; a clone is the same memory), `ReadBlock` dereferences
/// to what a read returned.
use crate::backend::buffer::{Block, ReadBlock};

/// The alignment and granularity of direct I/O. Devices ask for 512 or 4096; 4096 serves both.
pub const PAGE_BYTES: usize = 4096;

/// A run of aligned bytes. See the module.
pub struct Buffer {
    content: Content,
}

enum Content {
    /// Shared with a write while that is under way (which also holds the `Buffer`), else sole owner.
    Owned(Block),
    Read(ReadBlock),
    /// Only inside `drop`.
    Gone,
}

impl Buffer {
    /// A buffer of `length` bytes of any value.
    pub fn new(length: usize) -> Buffer {
        Buffer { content: Content::Owned(Block::uncleared(length)) }
    }

    /// A buffer of `length` zeros.
    pub fn zeroed(length: usize) -> Buffer {
        Buffer { content: Content::Owned(Block::zeroed(length)) }
    }

    /// What it keeps in memory: its length, and up to an eighth more in memory that was used before.
    pub fn memory_bytes(&self) -> usize {
        match &self.content {
            Content::Owned(block) => block.memory_bytes(),
            Content::Read(block) => block.len(),
            Content::Gone => unreachable!("a dropped buffer was used"),
        }
    }

    /// What a read returned.
    pub(crate) fn from_read(block: ReadBlock) -> Buffer {
        Buffer { content: Content::Read(block) }
    }

    /// The block that a write hands to the kernel; a copy if this came from a read. The caller keeps the `Buffer`
    /// for as long as it keeps the block.
    #[cfg(not(feature = "simulator"))]
    pub(crate) fn block_to_write(&self) -> Block {
        match &self.content {
            Content::Owned(block) => block.clone(),
            Content::Read(block) => copied(block),
            Content::Gone => unreachable!("a dropped buffer was used"),
        }
    }
}

fn copied(bytes: &[u8]) -> Block {
    let mut block = Block::uncleared(bytes.len());
    block.as_bytes_mut().copy_from_slice(bytes);
    block
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.content {
            Content::Owned(block) => block.as_bytes(),
            Content::Read(block) => block,
            Content::Gone => unreachable!("a dropped buffer was used"),
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        if let Content::Read(block) = &self.content {
            self.content = Content::Owned(copied(block));
        }
        match &mut self.content {
            // A write holds the `Rc<Buffer>` beside the block, so whoever can reach `&mut Buffer` is alone.
            Content::Owned(block) => block.as_bytes_mut(),
            Content::Read(_) | Content::Gone => unreachable!("it was just made its own"),
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} bytes)", self.len())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Content::Owned(block) = std::mem::replace(&mut self.content, Content::Gone) {
            block.recycle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_hold_what_was_put_in() {
        for length in [1, 4096, 3 * 4096, 1 << 20] {
            let mut buffer = Buffer::zeroed(length);
            assert_eq!(buffer.as_ptr() as usize % PAGE_BYTES, 0);
            assert_eq!(buffer.len(), length);
            assert!(buffer.iter().all(|byte| *byte == 0));
            buffer[length - 1] = 7;
            assert_eq!(buffer[length - 1], 7);
        }
        assert!(Buffer::new(0).is_empty());
    }
}
