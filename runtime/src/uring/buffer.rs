//! Aligned memory: glommio's DMA buffers, used again.
//!
//! Hot path. Fresh memory is the dearest thing a broker can ask for: the kernel clears each page at its first touch (0.15 to
//! 0.4 s of processor time a GB, and 2 s where the host of a virtual machine has to find the page too), and Rust wants
//! it initialised once more. So each executor keeps some of what it gave up, by length, for the next of that length.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use glommio::io::{DmaBuffer, ReadResult};

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// This executor keeps so much for later from now on. See [`ExecutorOptions`](crate::executor::ExecutorOptions).
pub(crate) fn keep_at_most(bytes: usize) {
    KEPT.with_borrow_mut(|kept| kept.keep_at_most(bytes));
}

/// Memory that this process allocated, aligned to 4096 and always initialised. A clone is the same memory.
#[derive(Clone)]
pub(crate) struct Block(Rc<DmaBuffer>);

/// Memory that a read returned: glommio's own, from the executor's registered region or the heap. It cannot be written
/// to a file again without a copy.
pub(crate) type ReadBlock = ReadResult;

impl Block {
    /// Initialised memory of any content.
    pub(crate) fn uncleared(length: usize) -> Block {
        let kept = KEPT.with_borrow_mut(|kept| kept.take(length));
        kept.unwrap_or_else(|| Self::zeroed(length))
    }

    pub(crate) fn zeroed(length: usize) -> Block {
        // glommio refuses to allocate nothing, and what it allocates is not initialised.
        let mut buffer = glommio::allocate_dma_buffer_global(length.max(1));
        buffer.as_bytes_mut().fill(0);
        buffer.trim_to_size(length);
        Block(Rc::new(buffer))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// # Panics
    /// While a clone exists: the kernel may be reading the memory.
    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        Rc::get_mut(&mut self.0).expect("the buffer is being written to a file").as_bytes_mut()
    }

    /// Keeps the memory for a later block of the same length, unless a write still holds it.
    pub(crate) fn recycle(self) {
        if Rc::strong_count(&self.0) == 1 {
            // A buffer that is dropped while its thread ends is freed as any other memory.
            let _ = KEPT.try_with(|kept| kept.borrow_mut().give(self));
        }
    }

    pub(crate) fn into_dma(self) -> Rc<DmaBuffer> {
        self.0
    }
}

/// Nothing, until it is told how much.
#[derive(Default)]
struct Kept {
    blocks: HashMap<usize, Vec<Block>>,
    bytes: usize,
    bytes_max: usize,
}

impl Kept {
    fn keep_at_most(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.shrink_to(bytes_max);
    }

    fn take(&mut self, length: usize) -> Option<Block> {
        let block = self.blocks.get_mut(&length)?.pop()?;
        self.bytes -= length;
        Some(block)
    }

    fn give(&mut self, block: Block) {
        let length = block.as_bytes().len();
        if length == 0 || length > self.bytes_max {
            return;
        }
        self.shrink_to(self.bytes_max - length);
        self.bytes += length;
        self.blocks.entry(length).or_default().push(block);
    }

    /// Frees blocks until they hold at most `bytes_max`. Which ones go first does not matter: sizes that nobody asks for any
    /// more go in time.
    fn shrink_to(&mut self, bytes_max: usize) {
        if self.bytes <= bytes_max {
            return;
        }
        for (length, blocks) in &mut self.blocks {
            while self.bytes > bytes_max && blocks.pop().is_some() {
                self.bytes -= length;
            }
        }
        self.blocks.retain(|_, blocks| !blocks.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 32 << 20;

    #[test]
    fn a_block_given_up_is_used_again_uncleared_unless_a_write_holds_it() {
        keep_at_most(BYTES_MAX);
        let mut block = Block::uncleared(3 * 4096);
        block.as_bytes_mut().fill(9);
        let address = block.as_bytes().as_ptr();
        let under_way = block.clone();
        block.recycle();
        assert_ne!(Block::uncleared(3 * 4096).as_bytes().as_ptr(), address, "a write still reads it");
        under_way.recycle();
        assert!(Block::uncleared(4096).as_bytes().iter().all(|byte| *byte == 0), "of another length");
        let again = Block::uncleared(3 * 4096);
        assert_eq!(again.as_bytes().as_ptr(), address);
        assert!(again.as_bytes().iter().all(|byte| *byte == 9));
    }

    #[test]
    fn what_is_kept_is_bounded_and_makes_way_for_other_lengths() {
        let mut kept = Kept::default();
        kept.keep_at_most(BYTES_MAX);
        let length = BYTES_MAX / 4;
        (0..6).for_each(|_| kept.give(Block::zeroed(length)));
        assert_eq!(kept.bytes, BYTES_MAX);
        kept.give(Block::zeroed(4096));
        assert_eq!(kept.bytes, 3 * length + 4096);
        assert!(kept.take(4096).is_some() && kept.take(4096).is_none());
        kept.keep_at_most(2 * length);
        assert_eq!(kept.bytes, 2 * length);
    }
}
