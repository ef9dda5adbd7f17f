//! Memory of buffers. Alignment is a rule of the API, checked on lengths and positions; the memory itself is a vector.

use std::ops::Deref;
use std::rc::Rc;

/// Memory aligned to 4096, as the API promises. A clone is the same memory.
#[derive(Clone)]
pub(crate) struct Block {
    memory: Rc<Vec<u8>>,
    start: usize,
    length: usize,
}

/// What a new buffer that nobody cleared holds: the next seed must not depend on what an earlier one left in memory, and
/// whoever takes it for zeros is found out.
const UNCLEARED: u8 = 0xa5;

impl Block {
    /// Initialised memory of any content.
    pub(crate) fn uncleared(length: usize) -> Block {
        let mut block = Block::zeroed(length);
        block.as_bytes_mut().fill(UNCLEARED);
        block
    }

    pub(crate) fn zeroed(length: usize) -> Block {
        let page = crate::buffer::PAGE_BYTES;
        let memory = vec![0; length + page];
        let start = memory.as_ptr().align_offset(page);
        Block { memory: Rc::new(memory), start, length }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    /// The other back end's may lie in more memory than they need.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.length
    }

    /// # Panics
    /// While a clone exists: a write may be reading the memory.
    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        let range = self.start..self.start + self.length;
        &mut Rc::get_mut(&mut self.memory).expect("the buffer is being written to a file")[range]
    }

    #[expect(clippy::unused_self, reason = "the other back end uses memory again")]
    pub(crate) fn recycle(self) {}
}

/// What a read returned.
pub(crate) struct ReadBlock(pub(crate) Vec<u8>);

impl Deref for ReadBlock {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
