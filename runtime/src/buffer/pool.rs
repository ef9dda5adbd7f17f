//! The pool: a bound in bytes on buffers, and a short list of returned ones.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Block, Buffer, Content};
use crate::sync::Semaphore;

/// Returned buffers kept for reuse hold at most this part of the pool: enough for a few journal buffers, little
/// enough that sizes nobody asks for any more do not fill the memory.
const KEPT_PART_OF_POOL: usize = 4;

/// At most `bytes_max` bytes in buffers, on one shard. Clones are the same pool.
///
/// Buffers out and buffers kept for reuse together never exceed `bytes_max`.
#[derive(Clone)]
pub struct BufferPool {
    shared: Rc<PoolShared>,
}

pub(super) struct PoolShared {
    bytes_max: usize,
    /// One permit a byte: served in the order of asking, so that a large buffer is not starved by small ones.
    room: Semaphore,
    kept: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    blocks: HashMap<usize, Vec<Block>>,
    bytes: usize,
}

impl BufferPool {
    /// A pool of `bytes_max` bytes. Nothing is allocated before it is asked for.
    pub fn new(bytes_max: usize) -> BufferPool {
        let shared = PoolShared { bytes_max, room: Semaphore::new(bytes_max), kept: RefCell::default() };
        BufferPool { shared: Rc::new(shared) }
    }

    /// A buffer of `length` bytes of any value, if there is room and nobody waits for it.
    pub fn try_take(&self, length: usize) -> Option<Buffer> {
        self.shared.room.try_acquire(length)?.forget();
        Some(self.shared.clone().hand_out(length))
    }

    /// A buffer of `length` bytes of any value; waits in the order of asking.
    ///
    /// # Panics
    /// If `length` exceeds the pool: it would wait for ever.
    pub async fn take(&self, length: usize) -> Buffer {
        let bytes_max = self.shared.bytes_max;
        assert!(length <= bytes_max, "a buffer of {length} bytes from a pool of {bytes_max}");
        self.shared.room.acquire(length).await.forget();
        self.shared.clone().hand_out(length)
    }

    /// The bytes of the buffers that are out.
    pub fn bytes_used(&self) -> usize {
        self.shared.bytes_max - self.shared.room.available()
    }

    /// The bound.
    pub fn bytes_max(&self) -> usize {
        self.shared.bytes_max
    }
}

impl PoolShared {
    fn hand_out(self: Rc<Self>, length: usize) -> Buffer {
        let reused = self.kept.borrow_mut().take(length);
        let block = reused.unwrap_or_else(|| {
            // The permits of `length` are already taken, so this is what may stay.
            self.kept.borrow_mut().shrink_to(self.room.available());
            Block::zeroed(length)
        });
        Buffer { content: Content::Owned(block), pool: Some(self) }
    }

    pub(super) fn give_back(&self, length: usize, block: Option<Block>) {
        // Whoever gave the buffer up may have left a copy of the block with a write; then it is not reusable.
        if let Some(block) = block.filter(|block| !block.is_shared()) {
            let mut kept = self.kept.borrow_mut();
            if length > 0 && kept.bytes + length <= self.bytes_max / KEPT_PART_OF_POOL {
                kept.bytes += length;
                kept.blocks.entry(length).or_default().push(block);
            }
        }
        self.room.add(length);
    }
}

impl Kept {
    fn take(&mut self, length: usize) -> Option<Block> {
        let block = self.blocks.get_mut(&length)?.pop()?;
        self.bytes -= length;
        Some(block)
    }

    /// Frees kept blocks until they hold at most `bytes_max`. Which ones go first does not matter: the list is short.
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
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn the_pool_counts_what_is_out_and_refuses_beyond_its_bound() {
        let pool = BufferPool::new(3 * 4096);
        let first = pool.try_take(2 * 4096).unwrap();
        assert_eq!(pool.bytes_used(), 2 * 4096);
        assert!(pool.try_take(2 * 4096).is_none());
        let second = pool.try_take(4096).unwrap();
        drop(first);
        assert_eq!(pool.bytes_used(), 4096);
        drop(second);
        assert_eq!(pool.bytes_used(), 0);
    }

    #[test]
    fn a_returned_buffer_is_reused_without_being_cleared() {
        let pool = BufferPool::new(64 * 4096);
        let mut buffer = pool.try_take(4096).unwrap();
        buffer.fill(9);
        let address = buffer.as_ptr();
        drop(buffer);
        let again = pool.try_take(4096).unwrap();
        assert_eq!(again.as_ptr(), address);
        assert!(again.iter().all(|byte| *byte == 9));
    }

    #[test]
    fn kept_buffers_make_way_for_other_sizes() {
        let pool = BufferPool::new(16 * 4096);
        drop((pool.try_take(4096), pool.try_take(4096)));
        assert_eq!(pool.shared.kept.borrow().bytes, 2 * 4096);
        let large = pool.try_take(16 * 4096).unwrap();
        assert_eq!(pool.shared.kept.borrow().bytes, 0);
        drop(large);
        // Larger than the part that may be kept.
        assert_eq!(pool.shared.kept.borrow().bytes, 0);
    }

    #[test]
    fn waiting_for_a_buffer_keeps_the_order_of_asking() {
        let pool = BufferPool::new(2 * 4096);
        let mut context = Context::from_waker(Waker::noop());
        let held = pool.try_take(4096).unwrap();
        let mut large = pin!(pool.take(2 * 4096));
        assert!(large.as_mut().poll(&mut context).is_pending());
        // There is room for a small one, but somebody was here before.
        assert!(pool.try_take(4096).is_none());
        drop(held);
        let Poll::Ready(buffer) = large.as_mut().poll(&mut context) else { panic!("there is room now") };
        assert_eq!((buffer.len(), pool.bytes_used()), (2 * 4096, 2 * 4096));
    }
}
