//! Aligned memory: glommio's DMA buffers, used again.
//!
//! Hot path. Fresh memory is the dearest thing a broker can ask for: the kernel clears each page at its first touch (0.15 to
//! 0.4 s of processor time a GB, and 2 s where the host of a virtual machine has to find the page too), and Rust wants
//! it initialised once more. So each executor keeps some of what it gave up, by length, for the next of about that length.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use glommio::io::{DmaBuffer, ReadResult};

use crate::buffer::PAGE_BYTES;

/// A block may lie in memory that is longer than itself by this part of its length: what is written is seldom twice of one length.
const UNUSED_PART_MAX: usize = 8;

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// This executor keeps so much for later from now on. See [`ExecutorOptions`](crate::executor::ExecutorOptions).
pub(crate) fn keep_at_most(bytes: usize) {
    KEPT.with_borrow_mut(|kept| kept.keep_at_most(bytes));
}

/// Memory that this process allocated, aligned to 4096 and always initialised. A clone is the same memory.
#[derive(Clone)]
pub(crate) struct Block {
    memory: Rc<DmaBuffer>,
    memory_bytes: usize,
}

/// Memory that a read returned: glommio's own, from the executor's registered region or the heap. It cannot be written
/// to a file again without a copy.
pub(crate) type ReadBlock = ReadResult;

impl Block {
    /// Initialised memory of any content.
    pub(crate) fn uncleared(length: usize) -> Block {
        let kept = KEPT.with_borrow_mut(|kept| kept.take(length));
        kept.map_or_else(|| Self::zeroed(length), |memory| Self::trimmed(memory, length))
    }

    pub(crate) fn zeroed(length: usize) -> Block {
        // glommio refuses to allocate nothing, and what it allocates is not initialised.
        let mut memory = glommio::allocate_dma_buffer_global(length.max(1));
        memory.as_bytes_mut().fill(0);
        Self::trimmed(memory, length)
    }

    fn trimmed(mut memory: DmaBuffer, length: usize) -> Block {
        let memory_bytes = memory.len();
        memory.trim_to_size(length);
        Block { memory: Rc::new(memory), memory_bytes }
    }

    /// What it keeps in memory; more than its length where it lies in memory that was used before.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.memory.as_bytes()
    }

    /// # Panics
    /// While a clone exists: the kernel may be reading the memory.
    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        Rc::get_mut(&mut self.memory).expect("the buffer is being written to a file").as_bytes_mut()
    }

    /// Keeps the memory for a later block of about the same length, unless a write still holds it.
    pub(crate) fn recycle(self) {
        if let Some(memory) = Rc::into_inner(self.memory) {
            // A buffer that is dropped while its thread ends is freed as any other memory.
            let _ = KEPT.try_with(|kept| kept.borrow_mut().give(memory));
        }
    }

    pub(crate) fn into_dma(self) -> Rc<DmaBuffer> {
        self.memory
    }
}

/// Memory by its length, always whole and initialised. Nothing, until it is told how much.
#[derive(Default)]
struct Kept {
    memories: BTreeMap<usize, Vec<DmaBuffer>>,
    bytes: usize,
    bytes_max: usize,
    /// The next to be freed is so long, or the next longer there is.
    next_freed: usize,
}

impl Kept {
    fn keep_at_most(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.shrink_to(bytes_max);
    }

    /// The shortest that will do.
    fn take(&mut self, length: usize) -> Option<DmaBuffer> {
        let will_do = length..=length + length / UNUSED_PART_MAX;
        let (found, memories) = self.memories.range_mut(will_do).next()?;
        let (found, memory) = (*found, memories.pop());
        if memories.is_empty() {
            self.memories.remove(&found);
        }
        self.bytes -= found;
        memory
    }

    fn give(&mut self, mut memory: DmaBuffer) {
        memory.untrim();
        let length = memory.len();
        if length < PAGE_BYTES || length > self.bytes_max {
            return;
        }
        self.shrink_to(self.bytes_max - length);
        self.bytes += length;
        self.memories.entry(length).or_default().push(memory);
    }

    /// Frees memory until at most `bytes_max` is kept. Each length has its turn: those that nobody asks for any more go in time.
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let next =
                self.memories.range(self.next_freed..).next().or_else(|| self.memories.first_key_value());
            let length = *next.expect("bytes that are kept are in memory that is kept").0;
            drop(self.take(length));
            self.next_freed = length + 1;
        }
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
    fn memory_serves_shorter_blocks_and_is_whole_again_after_each() {
        keep_at_most(BYTES_MAX);
        let whole = 64 * 4096;
        let mut block = Block::uncleared(whole);
        block.as_bytes_mut().fill(7);
        let address = block.as_bytes().as_ptr();
        block.recycle();
        for length in [whole - whole / 10, whole - 4096, whole] {
            let block = Block::uncleared(length);
            assert_eq!((block.as_bytes().as_ptr(), block.as_bytes().len()), (address, length));
            assert_eq!(block.memory_bytes(), whole);
            assert!(block.as_bytes().iter().all(|byte| *byte == 7), "always initialised");
            block.recycle();
        }
        let much_shorter = Block::uncleared(whole - whole / 8);
        assert_ne!(
            much_shorter.as_bytes().as_ptr(),
            address,
            "more than an eighth would be held for nothing"
        );
        assert_ne!(Block::uncleared(whole + 4096).as_bytes().as_ptr(), address);
    }

    fn memory(length: usize) -> DmaBuffer {
        Rc::into_inner(Block::zeroed(length).into_dma()).expect("nobody else has it")
    }

    #[test]
    fn what_is_kept_is_bounded_and_makes_way_for_other_lengths() {
        let mut kept = Kept::default();
        kept.keep_at_most(BYTES_MAX);
        let length = BYTES_MAX / 4;
        (0..6).for_each(|_| kept.give(memory(length)));
        assert_eq!(kept.bytes, BYTES_MAX);
        kept.give(memory(4096));
        assert_eq!(kept.bytes, 3 * length + 4096);
        assert!(kept.take(4096).is_some() && kept.take(4096).is_none());
        kept.keep_at_most(2 * length);
        assert_eq!(kept.bytes, 2 * length);
        kept.give(memory(2 * length + 1));
        assert_eq!(kept.bytes, 2 * length, "nothing makes way for what is dropped all the same");
    }

    #[test]
    fn lengths_take_turns_in_making_way() {
        let mut kept = Kept::default();
        let length = 1 << 20;
        kept.keep_at_most(8 * length);
        (0..3).for_each(|_| kept.give(memory(2 * length)));
        (0..40).for_each(|_| kept.give(memory(length)));
        assert!(kept.take(2 * length).is_none(), "long ones, which nobody asked for, are gone");
        assert_eq!(kept.bytes, 8 * length);
    }
}
